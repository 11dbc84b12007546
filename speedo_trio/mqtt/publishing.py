"""Publishing under the eyes of hooks: is it allowed, and what is published instead?

Next: `speedo_trio.mqtt.referee`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from attrs import evolve

from speedo_trio.mqtt.calls import call_hook, no_answer
from speedo_trio.mqtt.requests import PublishRequest
from speedo_trio.mqtt.state.asks import ALLOW, Allow, Refuse
from speedo_trio.mqtt.state.publication import MQTTPublication
from speedo_trio.mqtt.verdicts import Refused
from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.property_list import encode_properties
from speedo_trio.mqtt.wire.reason_codes import ReasonCode

if TYPE_CHECKING:
    from speedo_trio.mqtt.calls import Calls
    from speedo_trio.mqtt.requests import ClientInfo

PublishVerdict: TypeAlias = "Allow | Refuse | MQTTPublication"

FAILED: Final = Refuse(ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR)
"""What a client is told whose request met a hook that failed."""

DROP: Final = MQTTPublication(b"dropped", b"", properties=Properties(message_expiry_interval=0))
"""In place of a message that nobody is to get. One that has expired is only answered."""


def publish_request(
    client: ClientInfo, publication: MQTTPublication, *, will: bool
) -> PublishRequest:
    """What the hooks are asked about a publication."""
    own = publication.properties or Properties()
    return PublishRequest(
        client=client,
        topic=publication.topic.decode(),
        payload=publication.payload,
        qos=publication.qos,
        retain=publication.retain,
        will=will,
        payload_format_indicator=own.payload_format_indicator,
        message_expiry_interval=own.message_expiry_interval,
        content_type=own.content_type,
        response_topic=own.response_topic,
        correlation_data=own.correlation_data,
        user_properties=own.user,
    )


async def judge_publish(
    calls: Calls, client: ClientInfo, publication: MQTTPublication, *, will: bool = False
) -> PublishVerdict:
    """Have it authorised, then transformed. `DROP` when nobody is to get it."""
    hooks, request = calls.hooks, publish_request(client, publication, will=will)
    if hooks.authorise_publish is not None:
        call = partial(call_hook, hooks.authorise_publish, calls.clients, request)
        verdict = await calls.ask("authorise_publish", client, call, _read_publish)
        if not isinstance(verdict, Allow):
            return FAILED if verdict is None else verdict
    if hooks.transform is None:
        return ALLOW
    call = partial(call_hook, hooks.transform, calls.clients, request)
    read = partial(_read_transformed, request, publication)
    return await calls.ask("transform", client, call, read) or FAILED


def read_refusal(answer: Refused) -> Refuse:
    """A refusal, as the machine knows it."""
    return Refuse(answer.reason, answer.text, answer.server_reference)


def _read_publish(answer: object) -> Allow | Refuse:
    match answer:
        case True:
            return ALLOW
        case False:
            return Refuse(ReasonCode.NOT_AUTHORIZED)
        case Refused():
            return read_refusal(answer)
    raise no_answer("authorise_publish", answer, "True, False or Refused")


def _read_transformed(
    request: PublishRequest, publication: MQTTPublication, answer: object
) -> Allow | MQTTPublication:
    if answer is None:
        return DROP
    if not isinstance(answer, PublishRequest):
        raise no_answer("transform", answer, "a PublishRequest, or None to drop it")
    if answer is request or answer == request:
        return ALLOW
    properties = _properties(publication.properties, answer)
    _check(answer, properties)
    return MQTTPublication(
        answer.topic.encode(),
        answer.payload,
        answer.qos,
        answer.retain,
        properties,
        publication.origin,
        publication.received_at,
    )


def _check(answer: PublishRequest, properties: Properties | None) -> None:
    """See that it can be published: a mistake here is the hook's, and would go far.

    Raises:
        HandlerError: It can't.
    """
    if answer.qos not in {0, 1, 2} or type(answer.payload) is not bytes:
        raise no_answer("transform", answer, "one with QoS 0, 1 or 2, and a payload of bytes")
    if properties is not None:
        encode_properties(properties, PacketType.PUBLISH)


def _properties(before: Properties | None, answer: PublishRequest) -> Properties | None:
    told: dict[str, Any] = {  # Any: as Properties has them
        "payload_format_indicator": answer.payload_format_indicator,
        "message_expiry_interval": answer.message_expiry_interval,
        "content_type": answer.content_type,
        "response_topic": answer.response_topic,
        "correlation_data": answer.correlation_data,
        "user": answer.user_properties,
    }
    if before is None:
        return Properties(**told) if any(each not in {None, ()} for each in told.values()) else None
    return evolve(before, **told)
