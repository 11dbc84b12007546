"""An MQTT publication: what a client published, with its QoS and properties.

Next: `speedo_trio.mqtt.state.terms`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from speedo_trio.mqtt.wire import fields
from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.property_list import NO_PROPERTIES, encode_properties
from speedo_trio.mqtt.wire.publish import SharedPublish, encode_publish, share_publish
from speedo_trio.mqtt.wire.versions import Version
from speedo_trio.pubsub.publication import FORMS, Publication

if TYPE_CHECKING:
    from collections.abc import Hashable

_EXPIRY: Final = b"\x02"
_SUBSCRIPTION: Final = b"\x0b"
_ALIAS: Final = b"\x23"


class MQTTPublication(Publication):
    """What is published by a client of MQTT, or by a program that wants more than a payload.

    It doesn't change, but for what it keeps of its encoded forms. A `Publication` that is none of
    these has QoS 0 and no properties.
    """

    __slots__ = ("_body", "_shared", "expiry", "qos", "received_at")

    def __init__(  # it does itself what the base class does: the call would double its time
        self,
        topic: bytes,
        payload: bytes,
        qos: int = 0,
        retain: bool = False,  # noqa: FBT001, FBT002  # positional: it is made for each message
        properties: Properties | None = None,
        origin: object = None,
        received_at: float = 0.0,
        forms: dict[Hashable, bytes] | None = None,
    ) -> None:
        """Make one.

        Args:
            topic: A topic name that has been checked.
            qos: What it was published with.
            properties: As they came. What concerns only the publisher and the server, such as a
                topic alias, is not passed on.
            origin: The client identifier of the publisher.
            received_at: When it came, in seconds of the clock that all calls of the machine use.
            forms: The form that it came in, by the family of the version (`family`).
        """
        self.topic = topic  # type: ignore[misc]  # Final in the base class, set here in its place
        self.payload = payload  # type: ignore[misc]  # the same
        self.retain = retain  # type: ignore[misc]  # the same
        self.origin = origin  # type: ignore[misc]  # the same
        self.properties: Properties | None = properties  # type: ignore[misc]  # the same, narrower
        self._forms = forms
        self._settled = False
        self.qos: Final = qos
        self.received_at: Final = received_at
        self.expiry: Final = None if properties is None else properties.message_expiry_interval
        """Seconds from `received_at` after which nobody gets it any more; None: never."""
        self._body: bytes | None = None
        self._shared: dict[Hashable, SharedPublish] | None = None

    @property
    def expires_at(self) -> float | None:
        """When it expires; None: never."""
        return None if self.expiry is None else self.received_at + self.expiry

    def waited(self, now: float) -> int:
        """Whole seconds since it came, if that is of account: 0 when it doesn't expire."""
        return 0 if self.expiry is None else max(0, int(now - self.received_at))

    def shared(
        self, topic: bytes, waited: int, identifiers: tuple[int, ...], alias: int, version: Version
    ) -> SharedPublish:
        """The PUBLISH with QoS 1 or 2, encoded once for all who get the same.

        Args:
            topic: The topic name, or nothing where the alias says it.
            waited: As `waited` gave it.
            identifiers: The subscription identifiers.
            alias: The topic alias; 0 for none.
            version: What the receiver speaks.
        """
        five = version is Version.MQTT_5_0
        form = (five, waited, identifiers, alias, not topic) if five else five
        shared = self._shared
        if shared is not None:
            found = shared.get(form)
            if found is not None:
                return found
        properties = self.property_list(waited, identifiers, alias) if five else b""
        made = share_publish(topic, self.payload, properties, version)
        if shared is None:
            if not self._settled:
                self._shared = {form: made}
        elif len(shared) < FORMS:
            shared[form] = made
        return made

    def property_list(self, waited: int, identifiers: tuple[int, ...], alias: int) -> bytes:
        """The property list for a receiver that speaks MQTT 5.0."""
        own = self.properties
        if own is None and not identifiers and not alias:
            return NO_PROPERTIES
        return property_list(self._passed_on(), self._left(waited), identifiers, alias)

    def settle(self) -> None:
        super().settle()
        self._body = self._shared = None

    def _left(self, waited: int) -> int | None:
        """Seconds to its expiry [MQTT-3.3.2-6]; what was sent once goes on with none left."""
        return None if self.expiry is None else max(0, self.expiry - waited)

    def _passed_on(self) -> bytes:
        """The properties that are passed on as they came, encoded, without their length."""
        body = self._body
        if body is None:
            body = _encode(passed_on(self.properties))
            if not self._settled:
                self._body = body
        return body


def passed_on(own: Properties | None) -> Properties | None:
    """The properties of a publisher that reach subscribers unaltered; None when there are none.

    [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]
    """
    if own is None:
        return None
    return Properties(
        payload_format_indicator=own.payload_format_indicator,
        content_type=own.content_type,
        response_topic=own.response_topic,
        correlation_data=own.correlation_data,
        user=own.user,
    )


def property_list(
    body: bytes, expiry: int | None, identifiers: tuple[int, ...], alias: int
) -> bytes:
    """Join encoded properties with those that are not the same for all receivers."""
    parts = [body]
    if expiry is not None:
        parts += (_EXPIRY, expiry.to_bytes(4))
    for identifier in identifiers:  # [MQTT-3.3.4-3]
        parts += (_SUBSCRIPTION, fields.variable(identifier))
    if alias:
        parts += (_ALIAS, alias.to_bytes(2))
    whole = b"".join(parts)
    return fields.variable(len(whole)) + whole


def encode_plain(publication: Publication, version: Version) -> bytes:
    """The PUBLISH with QoS 0, not retained, as it goes out just when it was published."""
    properties = publication.properties
    if version < Version.MQTT_5_0 or properties is None:
        return encode_publish(publication.topic, publication.payload, version=version)
    return encode_message(publication, 0, False, 0, (), 0, version)


def encode_message(
    publication: Publication,
    waited: int,
    retain: bool,  # noqa: FBT001  # the order of the others
    alias: int,
    identifiers: tuple[int, ...],
    named: int,
    version: Version,
) -> bytes:
    raise NotImplementedError


def _encode(properties: Properties | None) -> bytes:
    """Encode properties and leave their length away."""
    encoded = encode_properties(properties, PacketType.PUBLISH)
    size = 1
    while encoded[size - 1] & 0x80:
        size += 1
    return encoded[size:]
