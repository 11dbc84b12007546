"""SUBSCRIBE and UNSUBSCRIBE.

Next: `speedo_trio.mqtt.state.runs`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from speedo_trio.errors import HandlerError, MQTTError, TopicError
from speedo_trio.mqtt.state.answers import REFUSED, allowed
from speedo_trio.mqtt.state.asks import Allow, Ask, AskSubscribe, Grants, Refuse, Verdict
from speedo_trio.mqtt.state.machine import FIVE, Machine, check_id
from speedo_trio.mqtt.state.terms import MQTTTerms
from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.packets import (
    SubAck,
    Subscribe,
    SubscriptionOptions,
    UnsubAck,
    Unsubscribe,
)
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.versions import Version
from speedo_trio.pubsub.topics import SHARED, check_filter, has_wildcard, parse_shared

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from speedo_trio.mqtt.state.capabilities import Capabilities
    from speedo_trio.mqtt.state.session import Session

Known: TypeAlias = "list[ReasonCode | None]"
"""For each filter why it is refused, or None."""


def on_subscribe(machine: Machine, packet: Subscribe, now: float) -> Ask | None:
    """See that all filters are allowed, and subscribe to them or have the host asked."""
    assert machine.session is not None
    subscriptions = packet.subscriptions
    _check(topic_filter for topic_filter, _ in subscriptions)
    if packet.packet_id in machine.session.incoming.held:
        check_id(machine, "SUBSCRIBE", packet.packet_id)
        reasons = [ReasonCode.PACKET_IDENTIFIER_IN_USE] * len(subscriptions)
        machine.tell(lambda told: SubAck(packet.packet_id, reasons, told))
        return None
    identified = bool(_identifiers(packet))
    known = [
        _refusal(each, machine.capabilities, identified=identified)
        or _forbidden(each, machine.session)
        for each, _ in subscriptions
    ]
    wanted = [each for each, why in zip(subscriptions, known, strict=True) if why is None]
    if wanted and machine.asking.subscribe:
        ask = AskSubscribe(machine.client_id, tuple(wanted), packet.properties)
        return machine.put_ask(ask, partial(_judge, machine, packet, known))
    _grant(machine, packet, known, "", now)
    return None


def on_unsubscribe(machine: Machine, packet: Unsubscribe, now: float) -> None:
    """Take subscriptions back, one after the other [MQTT-3.10.4-6]."""
    session = machine.session
    assert session is not None
    _check(packet.filters)
    if packet.packet_id in session.incoming.held:
        check_id(machine, "UNSUBSCRIBE", packet.packet_id)
        reasons = [ReasonCode.PACKET_IDENTIFIER_IN_USE] * len(packet.filters)
    else:
        reasons = [_unsubscribe(machine, session, each) for each in packet.filters]
    machine.taken = len(reasons)
    # [MQTT-2.2.1-6] [MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT-3.11.3-1] [MQTT-3.11.3-2]
    machine.tell(lambda told: UnsubAck(packet.packet_id, reasons, told))


def _check(topic_filters: Iterable[bytes]) -> None:
    """See that these are filters, before anything is done about any.

    Raises:
        MQTTError: One is none.
    """
    try:
        for topic_filter in topic_filters:
            if parse_shared(topic_filter) is None:
                check_filter(topic_filter)
    except TopicError as error:
        raise MQTTError(str(error), ReasonCode.MALFORMED_PACKET) from None


def _identifiers(packet: Subscribe) -> tuple[int, ...]:
    return () if packet.properties is None else packet.properties.subscription_identifiers


def _refusal(
    topic_filter: bytes, capabilities: Capabilities, *, identified: bool
) -> ReasonCode | None:
    """Why the server doesn't take a subscription, whoever asks; None: it does."""
    if not capabilities.shared_subscriptions and topic_filter.startswith(SHARED):
        return ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED
    if not capabilities.subscription_identifiers and identified:
        return ReasonCode.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED
    if not capabilities.wildcard_subscriptions and has_wildcard(topic_filter):
        return ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED
    return None


def _forbidden(topic_filter: bytes, session: Session) -> ReasonCode | None:
    """That the client may not subscribe to a filter; None: it may."""
    if session.rights is None:
        return None
    shared = parse_shared(topic_filter)
    plain = topic_filter if shared is None else shared.topic_filter
    return None if session.rights.may_subscribe(plain) else ReasonCode.NOT_AUTHORIZED


def _judge(machine: Machine, packet: Subscribe, known: Known, verdict: Verdict, now: float) -> None:
    """The verdict on those filters that are not refused already."""
    missing = known.count(None)
    match verdict:
        case Allow():
            _grant(machine, packet, known, "", now)
        case Grants():
            _grant(machine, packet, _filled(known, verdict.reasons), "", now)
        case Refuse():
            reasons = (max(verdict.reason, ReasonCode.UNSPECIFIED_ERROR),) * missing
            _grant(machine, packet, _filled(known, reasons), verdict.text, now)
        case _:
            raise HandlerError(f"{verdict!r} is no verdict on subscriptions")


def _filled(known: Known, verdicts: Sequence[ReasonCode]) -> Known:
    missing = known.count(None)
    if len(verdicts) != missing:
        raise HandlerError(f"{len(verdicts)} verdicts on {missing} filters")
    rest = iter(verdicts)
    return [next(rest) if why is None else why for why in known]


def _grant(machine: Machine, packet: Subscribe, known: Known, text: str, now: float) -> None:
    """Subscribe to one filter after the other [MQTT-3.8.4-5], and answer them all."""
    session = machine.session
    assert session is not None
    identifiers = _identifiers(packet)
    retained: dict[bytes, MQTTTerms] = {}  # filters of which it is to be sent
    reasons: list[ReasonCode] = []
    for (topic_filter, options), verdict in zip(packet.subscriptions, known, strict=True):
        reason = ReasonCode.GRANTED_QOS_2 if verdict is None else verdict
        if reason < REFUSED:
            terms = _terms(machine, topic_filter, options, reason, identifiers)
            reason = _subscribe(machine, session, topic_filter, terms, options, retained)
        reasons.append(_sayable(machine, reason))
    # [MQTT-2.2.1-6] [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-6] [MQTT-3.9.3-1]
    machine.tell(lambda told: SubAck(packet.packet_id, reasons, told), text)
    machine.speak()  # before what is retained
    machine.taken = len(reasons)
    for topic_filter, terms in retained.items():
        source = machine.hub.retained(topic_filter, now)
        session.outgoing.send_retained(topic_filter, source, terms)
    session.outgoing.pump(now)


def _terms(
    machine: Machine,
    topic_filter: bytes,
    options: SubscriptionOptions,
    most: int,
    identifiers: tuple[int, ...],
) -> MQTTTerms:
    """The terms of a subscription that is granted. A bridge wants nothing back, and RETAIN kept."""
    shared = topic_filter.startswith(SHARED)
    bridge = machine.bridge and not shared
    return MQTTTerms(
        # [MQTT-3.2.2-10] [MQTT-4.8.2-3]
        min(options.qos, most, machine.capabilities.maximum_qos),
        no_local=options.no_local or bridge,
        retain_as_published=options.retain_as_published or bridge,
        identifiers=identifiers,  # [MQTT-3.3.4-5]
        group=topic_filter if shared else None,
    )


def _subscribe(
    machine: Machine,
    session: Session,
    topic_filter: bytes,
    terms: MQTTTerms,
    options: SubscriptionOptions,
    retained: dict[bytes, MQTTTerms],
) -> ReasonCode:
    """Subscribe to a filter; the QoS that is granted, or why it isn't [MQTT-3.8.4-7]."""
    before = session.subscriptions.get(topic_filter)
    most = machine.capabilities.maximum_subscriptions
    if before is None and len(session.subscriptions) >= most:
        machine.sessions.hit("maximum_subscriptions")
        return ReasonCode.QUOTA_EXCEEDED
    if before is None and not machine.sessions.has_room_for_subscription:
        machine.sessions.hit("all_subscriptions")
        return ReasonCode.QUOTA_EXCEEDED
    try:
        machine.hub.subscribe(topic_filter, session, terms)  # [MQTT-3.8.4-3]
    except TopicError:
        machine.sessions.hit("topics")
        return ReasonCode.TOPIC_FILTER_INVALID
    session.subscriptions[topic_filter] = terms
    machine.sessions.subscriptions += before is None
    if session.journal is not None:
        session.journal.subscribe(topic_filter, terms)
    handling, shared = options.retain_handling, topic_filter.startswith(SHARED)
    # [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11] [MQTT-3.8.4-4]
    if not shared and (handling == 0 or (handling == 1 and before is None)):
        retained[topic_filter] = terms
    return ReasonCode(terms.qos)


def _sayable(machine: Machine, reason: ReasonCode) -> ReasonCode:
    """What SUBACK can say in this version [MQTT-3.9.3-2] [MQTT3-3.9.3-2]."""
    if reason < REFUSED:
        return reason
    if machine.version is Version.MQTT_3_1:
        return ReasonCode.GRANTED_QOS_0
    return allowed(reason, PacketType.SUBACK) if machine.version is FIVE else reason


def _unsubscribe(machine: Machine, session: Session, topic_filter: bytes) -> ReasonCode:
    """Take back the subscription to this very filter [MQTT-3.10.4-1] [MQTT-3.10.4-2].

    What waits or is in flight goes on [MQTT-3.10.4-3].
    """
    if session.subscriptions.pop(topic_filter, None) is None:
        return ReasonCode.NO_SUBSCRIPTION_EXISTED
    machine.sessions.subscriptions -= 1
    if session.journal is not None:
        session.journal.unsubscribe(topic_filter)
    machine.hub.unsubscribe(topic_filter, session)
    session.outgoing.forget_retained(topic_filter)
    return ReasonCode.SUCCESS
