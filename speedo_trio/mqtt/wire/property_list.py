"""A property list: the properties of one packet as bytes, their length before them, both ways.

Next: `speedo_trio.mqtt.wire.decoder`.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from speedo_trio.errors import MalformedPacket, MQTTError, UnsendablePacket
from speedo_trio.mqtt.wire.body import check_topic
from speedo_trio.mqtt.wire.fields import (
    utf_8,
    write_binary,
    write_text,
    write_topic,
    write_variable,
)
from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.properties import (
    MOST_USER_PROPERTIES,
    PROPERTIES,
    WILL,
    Place,
    Properties,
    PropertyType,
)
from speedo_trio.mqtt.wire.reason_codes import ReasonCode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from speedo_trio.mqtt.wire.body import Body
    from speedo_trio.mqtt.wire.properties import Property

_Writer: TypeAlias = "Callable[[Property, Any], bytes]"  # Any: whatever the property's value is

NO_PROPERTIES: Final = b"\0"
"""A list of none [MQTT-2.2.2-1]."""

_VALUES: Final = attrgetter(*(each.name for each in PROPERTIES))
_KNOWN: Final = {each.identifier: each for each in PROPERTIES}


def name_of(place: Place) -> str:
    """A place as the standard calls it."""
    return PacketType(place).name if place else "the will"


def decode_properties(body: Body, place: Place) -> Properties | None:
    """Read the list that comes next in `body`; None when it has no properties.

    Raises:
        MalformedPacket: It can't be taken apart, or has a property that may not be there.
        MQTTError: A property comes again that may not, or has a value that is not allowed.
    """
    length = body.variable("property length")
    if not length:
        return None
    part = body.part("property list", length)
    allowed = _ALLOWED[place]
    found: dict[str, Any] = {}  # whatever the attributes of Properties are
    while part.left:
        identifier = part.variable("property identifier")
        if identifier not in allowed:
            raise _misplaced(identifier, place)
        known, read = allowed[identifier]
        value = read(part, known)
        if place in known.several:
            values = found.setdefault(known.name, [])
            values.append(value)
            if len(values) > MOST_USER_PROPERTIES:
                raise _too_many(place, known)
        elif known.name in found:
            raise MQTTError(
                f"{name_of(place)} has the property {known.name} again; allowed is one",
                ReasonCode.PROTOCOL_ERROR,
            )
        else:
            found[known.name] = value
    for name in ("subscription_identifiers", "user"):
        if name in found:
            values = found[name]
            found[name] = tuple(values) if isinstance(values, list) else (values,)
    return Properties(**found)


def _too_many(place: Place, known: Property) -> MQTTError:
    return MQTTError(
        f"{name_of(place)} has the property {known.name} more than {MOST_USER_PROPERTIES} times; "
        "allowed are as many",
        ReasonCode.QUOTA_EXCEEDED,
    )


def _misplaced(identifier: int, place: Place) -> MQTTError:
    """A property that may not be there (section 2.2.2.2)."""
    known = _KNOWN.get(identifier)
    if known is None:
        return MalformedPacket(
            f"{name_of(place)} has a property 0x{identifier:02X}; allowed are those of MQTT 5.0"
        )
    places = ", ".join(name_of(each) for each in sorted(known.places))
    return MalformedPacket(
        f"{name_of(place)} has the property {known.name}; it is allowed in {places}"
    )


def _out_of_range(known: Property, value: int) -> str:
    return f"the property {known.name} is {value}; allowed are {known.least} to {known.most}"


def _checked(known: Property, value: int) -> int:
    if not known.least <= value <= known.most:
        raise MQTTError(_out_of_range(known, value), known.reason)
    return value


def _read_topic(body: Body, known: Property) -> str:
    topic = body.binary(known.name)
    check_topic(known.name, topic)  # [MQTT-3.3.2-13] [MQTT-3.3.2-14]
    return topic.decode()


def _read_pair(body: Body, known: Property) -> tuple[str, str]:
    return body.text("user name"), body.text("user value")  # [MQTT-1.5.7-1]


_READERS: Final[dict[PropertyType, Callable[[Body, Property], Any]]] = {
    PropertyType.FLAG: lambda body, known: bool(_checked(known, body.byte(known.name))),
    PropertyType.BYTE: lambda body, known: _checked(known, body.byte(known.name)),
    PropertyType.TWO_BYTES: lambda body, known: _checked(known, body.number(known.name, 2)),
    PropertyType.FOUR_BYTES: lambda body, known: _checked(known, body.number(known.name, 4)),
    PropertyType.VARIABLE: lambda body, known: _checked(known, body.variable(known.name)),
    PropertyType.TEXT: lambda body, known: body.text(known.name),  # [MQTT-3.3.2-19]
    PropertyType.TOPIC: _read_topic,
    PropertyType.BINARY: lambda body, known: body.binary(known.name),
    PropertyType.PAIR: _read_pair,
}

_ALLOWED: Final = {
    place: {
        each.identifier: (each, _READERS[each.type]) for each in PROPERTIES if place in each.places
    }
    for place in (WILL, *PacketType)
}
"""What may be in each place, and how it is read."""


def encode_properties(properties: Properties | None, place: Place) -> bytes:
    """Give the list with its length, the properties in the order of their identifiers.

    Args:
        properties: None is the same as none of them.
        place: The `PacketType` that they are of, or `WILL`.

    Raises:
        UnsendablePacket: A property that may not be there, comes again, or has a value that is
            not allowed.
    """
    if properties is None:
        return NO_PROPERTIES
    values = _VALUES(properties)
    for known, value in zip(PROPERTIES, values, strict=True):
        if value is None or value == ():
            continue
        if place not in known.places:
            raise UnsendablePacket(str(_misplaced(known.identifier, place)))
        if isinstance(value, tuple) and len(value) > 1 and place not in known.several:
            raise UnsendablePacket(
                f"{name_of(place)} has the property {known.name} {len(value)} times; allowed is 1"
            )
    encoded = _encode(values, _ENCODED)
    return write_variable(len(encoded)) + encoded


def encode_passed_on(properties: Properties) -> bytes:
    """Those of a PUBLISH that reach subscribers unaltered, without a length.

    Raises:
        UnsendablePacket: One has a value that is not allowed.
    """
    return _encode(_PASSED_ON_VALUES(properties), _PASSED_ON)


def _encode(values: Sequence[Any], listed: Sequence[tuple[Property, bytes, _Writer]]) -> bytes:
    parts: list[bytes] = []
    for value, (known, identifier, write) in zip(values, listed, strict=True):
        if value is None:
            continue
        if isinstance(value, tuple):
            for each in value:
                parts += (identifier, write(known, each))
        else:
            parts += (identifier, write(known, value))
    return b"".join(parts)


def _sendable(known: Property, value: int) -> int:
    if not known.least <= value <= known.most:
        raise UnsendablePacket(_out_of_range(known, value))
    return value


def _write_pair(known: Property, pair: tuple[str, str]) -> bytes:
    name, value = pair
    return write_text("user name", name) + write_text("user value", value)


_WRITERS: Final[dict[PropertyType, _Writer]] = {
    PropertyType.FLAG: lambda known, value: _sendable(known, value).to_bytes(),
    PropertyType.BYTE: lambda known, value: _sendable(known, value).to_bytes(),
    PropertyType.TWO_BYTES: lambda known, value: _sendable(known, value).to_bytes(2),
    PropertyType.FOUR_BYTES: lambda known, value: _sendable(known, value).to_bytes(4),
    PropertyType.VARIABLE: lambda known, value: write_variable(_sendable(known, value)),
    PropertyType.TEXT: lambda known, value: write_text(known.name, value),
    PropertyType.TOPIC: lambda known, value: write_topic(known.name, utf_8(value)),
    PropertyType.BINARY: lambda known, value: write_binary(known.name, value),
    PropertyType.PAIR: _write_pair,
}

_ENCODED: Final = tuple(
    (each, each.identifier.to_bytes(), _WRITERS[each.type]) for each in PROPERTIES
)
_PASSED_ON: Final = tuple(
    each
    for each in _ENCODED
    if each[0].name
    in {
        "payload_format_indicator",
        "content_type",
        "response_topic",
        "correlation_data",
        "user",
    }
)
"""Section 3.3.2.3. The expiry is altered; the others are between two ends."""
_PASSED_ON_VALUES: Final = attrgetter(*(each[0].name for each in _PASSED_ON))
