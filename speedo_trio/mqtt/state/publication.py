"""An MQTT publication: what a client published, with its QoS and properties.

Next: `speedo_trio.mqtt.state.publication_run`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from speedo_trio.mqtt.wire.fields import write_variable
from speedo_trio.mqtt.wire.properties import size_of
from speedo_trio.mqtt.wire.property_list import NO_PROPERTIES, encode_passed_on
from speedo_trio.mqtt.wire.publish import SharedPublish, encode_publish, share_publish
from speedo_trio.mqtt.wire.versions import Version
from speedo_trio.pubsub.publication import FORMS, Publication

if TYPE_CHECKING:
    from collections.abc import Hashable

    from speedo_trio.mqtt.wire.properties import Properties

_EXPIRY: Final = b"\x02"
_SUBSCRIPTION: Final = b"\x0b"
_ALIAS: Final = b"\x23"

FAMILIES: Final = {Version.MQTT_3_1: 3, Version.MQTT_3_1_1: 3, Version.MQTT_5_0: 5}
"""The form of a plain PUBLISH, with QoS 0 and not retained: 3.1 and 3.1.1 have the same."""

_Form: TypeAlias = tuple[int, tuple[int, ...], int, bool] | None


class MQTTPublication(Publication):
    """What is published by a client of MQTT, or by a program that wants more than a payload.

    It doesn't change, but for what it keeps of its encoded forms. A `Publication` that is none of
    these has QoS 0 and no properties.
    """

    __slots__ = ("_body", "_extra", "_shared", "expiry", "number", "qos", "received_at")

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
            forms: The bytes that it came in, by `FAMILIES` of the version: only of a PUBLISH with
                QoS 0 and without properties, not to be retained.
        """
        self.topic = topic  # type: ignore[misc]  # Final in the base class, set here in its place
        self.payload = payload  # type: ignore[misc]  # the same
        self.retain = retain  # type: ignore[misc]  # the same
        self.origin = origin  # type: ignore[misc]  # the same
        self.properties: Properties | None = properties  # type: ignore[misc]  # the same, narrower
        self._forms = forms
        self.settled = 0
        self.qos: Final = qos
        self.received_at: Final = received_at
        self.expiry: Final = None if properties is None else properties.message_expiry_interval
        """Seconds from `received_at` after which nobody gets it any more; None: never."""
        self.number: int = 0
        """What a store knows it by; 0: none does."""
        self._extra: int | None = None  # the bytes of the properties, once they were wanted
        self._body: bytes | None = None
        self._shared: dict[_Form, SharedPublish] | None = None

    @property
    def size(self) -> int:
        extra = self._extra
        if extra is None:
            extra = self._extra = size_of(self.properties)
        return len(self.topic) + len(self.payload) + extra

    @property
    def expires_at(self) -> float | None:
        """When it expires; None: never."""
        return None if self.expiry is None else self.received_at + self.expiry

    def expired(self, now: float) -> bool:
        """Whether nobody is to get it any more who didn't before."""
        return self.expiry is not None and now - self.received_at >= self.expiry

    def waited(self, now: float) -> int:
        """Whole seconds since it came, as far as they are of account."""
        return 0 if self.expiry is None else max(0, int(now - self.received_at))

    def shared(
        self,
        version: Version,
        waited: int = 0,
        identifiers: tuple[int, ...] = (),
        alias: int = 0,
        *,
        named: bool = True,
    ) -> SharedPublish:
        """The PUBLISH with QoS 1 or 2, encoded once for all who get the same.

        Args:
            version: What the receiver speaks.
            waited: As `waited` gave it.
            identifiers: The subscription identifiers.
            alias: The topic alias; 0 for none.
            named: Whether it has the topic's name, which an alias may stand for.
        """
        if version is Version.MQTT_5_0:
            return self._share((waited, identifiers, alias, named), version)
        return self._share(None, version)

    def property_list(self, waited: int, identifiers: tuple[int, ...], alias: int) -> bytes:
        """The property list for a receiver that speaks MQTT 5.0."""
        left = None
        if self.expiry is not None:  # [MQTT-3.3.2-6], and 0 for what is sent again after its time
            left = max(0, self.expiry - waited)
        return _list(self._passed_on(), left, identifiers, alias)

    def settle(self, number: int = 1) -> None:
        super().settle(number)
        self._body = self._shared = None

    def _share(self, form: _Form, version: Version) -> SharedPublish:
        shared = self._shared
        if shared is not None:
            found = shared.get(form)
            if found is not None:
                return found
        topic, properties = self.topic, NO_PROPERTIES  # [MQTT-3.3.2-3]
        if form is not None:
            waited, identifiers, alias, named = form
            topic = self.topic if named else b""
            properties = self.property_list(waited, identifiers, alias)
        made = share_publish(topic, self.payload, properties, version)
        if shared is not None and len(shared) < FORMS:
            shared[form] = made
        elif shared is None and not self.settled:
            self._shared = {form: made}
        return made

    def _passed_on(self) -> bytes:
        """The properties that are passed on as they came, encoded, without their length."""
        if self.properties is None:
            return b""
        body = self._body
        if body is None:
            # [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18]
            # [MQTT-3.3.2-20]
            body = encode_passed_on(self.properties)
            if not self.settled:
                self._body = body
        return body


def encode_3(publication: Publication) -> bytes:
    """A PUBLISH with QoS 0 that is not retained, for MQTT 3.1 and 3.1.1."""
    return encode_publish(publication.topic, publication.payload, version=Version.MQTT_3_1_1)


def encode_5(publication: Publication) -> bytes:
    """A PUBLISH with QoS 0 that is not retained, for MQTT 5.0, of what was published just now."""
    return encode_publish(
        publication.topic, publication.payload, properties=_properties(publication, 0, (), 0)
    )


def encode_message(
    publication: Publication,
    version: Version,
    *,
    retain: bool,
    waited: int = 0,
    identifiers: tuple[int, ...] = (),
    alias: int = 0,
    named: bool = True,
) -> bytes:
    """A PUBLISH with QoS 0, encoded once for all who get the same.

    `MQTTPublication.shared` says what the arguments are.
    """
    if version is not Version.MQTT_5_0:
        if not retain:
            return publication.encoded(FAMILIES[version], encode_3)
        return publication.encoded(
            (retain,),
            lambda own: encode_publish(own.topic, own.payload, 0, retain, version=version),
        )
    if not (retain or waited or identifiers or alias):
        return publication.encoded(FAMILIES[version], encode_5)
    return publication.encoded(
        (retain, waited, identifiers, alias, named),
        lambda own: encode_publish(
            own.topic if named else b"",
            own.payload,
            0,
            retain,
            properties=_properties(own, waited, identifiers, alias),
        ),
    )


def _properties(
    publication: Publication, waited: int, identifiers: tuple[int, ...], alias: int
) -> bytes:
    if isinstance(publication, MQTTPublication):
        return publication.property_list(waited, identifiers, alias)
    return _list(b"", None, identifiers, alias)


def _list(body: bytes, left: int | None, identifiers: tuple[int, ...], alias: int) -> bytes:
    """Join encoded properties with those that are not the same for all receivers."""
    if not (body or identifiers or alias) and left is None:
        return NO_PROPERTIES
    parts = [body]
    if left is not None:
        parts += (_EXPIRY, left.to_bytes(4))
    for identifier in identifiers:  # [MQTT-3.3.4-3]
        parts += (_SUBSCRIPTION, write_variable(identifier))
    if alias:
        parts += (_ALIAS, alias.to_bytes(2))
    whole = b"".join(parts)
    return write_variable(len(whole)) + whole
