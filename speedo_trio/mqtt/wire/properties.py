"""The properties of MQTT 5.0 packets: their values, and the table of what is allowed where.

Next: `speedo_trio.mqtt.wire.packets`.
"""

from __future__ import annotations

from enum import Enum, auto
from operator import attrgetter
from sys import getsizeof
from typing import Final, TypeAlias

from attrs import define, frozen

from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.reason_codes import ReasonCode

MOST_VARIABLE: Final = 268_435_455
"""The largest Variable Byte Integer: four bytes of seven bits (section 1.5.5)."""


MOST_USER_PROPERTIES: Final = 10_000
"""User properties that a packet may have, so that none takes longer than 15 ms to read, nor much
more memory than it has bytes."""


@define(kw_only=True)
class Properties:
    """The properties of a packet, or of a will. None, or an empty tuple: it is not there.

    Who makes one may give any values; `encode` refuses what the standard doesn't allow.
    """

    payload_format_indicator: int | None = None
    """1: the payload is UTF-8; 0: it is unspecified bytes."""
    message_expiry_interval: int | None = None
    """Seconds."""
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    subscription_identifiers: tuple[int, ...] = ()
    """One in a SUBSCRIBE; in a PUBLISH one for each subscription that it answers."""
    session_expiry_interval: int | None = None
    """Seconds; 0xFFFFFFFF: the session does not expire."""
    assigned_client_identifier: str | None = None
    server_keep_alive: int | None = None
    """Seconds."""
    authentication_method: str | None = None
    authentication_data: bytes | None = None
    request_problem_information: bool | None = None
    will_delay_interval: int | None = None
    """Seconds."""
    request_response_information: bool | None = None
    response_information: str | None = None
    server_reference: str | None = None
    reason_string: str | None = None
    receive_maximum: int | None = None
    topic_alias_maximum: int | None = None
    topic_alias: int | None = None
    maximum_qos: int | None = None
    """0 or 1; 2 is told by leaving it away."""
    retain_available: bool | None = None
    user: tuple[tuple[str, str], ...] = ()
    """User properties in their order, repeats included."""
    maximum_packet_size: int | None = None
    """Bytes of a whole packet, its fixed header included."""
    wildcard_subscription_available: bool | None = None
    subscription_identifier_available: bool | None = None
    shared_subscription_available: bool | None = None


_LONG: Final = attrgetter(
    *("content_type", "response_topic", "correlation_data", "reason_string"),
    *("authentication_method", "authentication_data", "server_reference"),
)
"""What may be long of what a client sends, but for the user properties."""
_PAIR_BYTES: Final = 64
"""What a tuple of two takes."""


def size_of(properties: Properties | None) -> int:
    """The bytes of properties that a client sent, for bounds.

    As they are in memory: many short user properties take 30 times the bytes that they came in.
    """
    if properties is None:
        return 0
    size = sum(getsizeof(each) for each in _LONG(properties) if each)
    for name, value in properties.user:
        size += _PAIR_BYTES + getsizeof(name) + getsizeof(value)
    return size


class PropertyType(Enum):
    """How a property's value is written (section 1.5)."""

    FLAG = auto()
    """A byte that is 0 or 1, for a bool."""
    BYTE = auto()
    TWO_BYTES = auto()
    FOUR_BYTES = auto()
    VARIABLE = auto()
    TEXT = auto()
    TOPIC = auto()
    """A text that is a topic name."""
    BINARY = auto()
    PAIR = auto()


MOST: Final = {
    PropertyType.FLAG: 1,
    PropertyType.BYTE: 0xFF,
    PropertyType.TWO_BYTES: 0xFFFF,
    PropertyType.FOUR_BYTES: 0xFFFF_FFFF,
    PropertyType.VARIABLE: MOST_VARIABLE,
}
"""The largest number of each type."""

Place: TypeAlias = int
"""Where properties may be: a `PacketType`, or `WILL`."""

WILL: Final[Place] = 0
"""The properties of the will in a CONNECT. No packet has this number."""


@frozen(kw_only=True)
class Property:
    """What the standard says of a property (sections 2.2.2.2 and those on the packets)."""

    identifier: int
    name: str
    """The attribute of `Properties`."""
    type: PropertyType
    places: frozenset[Place]
    several: frozenset[Place]
    """The places where it may be more than once."""
    least: int
    """What a number may be at least."""
    most: int
    """What a number may be at most."""
    reason: ReasonCode
    """The reason code when a number is not allowed."""


def _property(
    identifier: int,
    name: str,
    kind: PropertyType,
    *places: Place,
    several: tuple[Place, ...] = (),
    least: int = 0,
    most: int | None = None,
    reason: ReasonCode = ReasonCode.PROTOCOL_ERROR,
) -> Property:
    return Property(
        identifier=identifier,
        name=name,
        type=kind,
        places=frozenset(places),
        several=frozenset(several),
        least=least,
        most=MOST.get(kind, 0) if most is None else most,
        reason=reason,
    )


_CONNECT, _CONNACK, _PUBLISH = PacketType.CONNECT, PacketType.CONNACK, PacketType.PUBLISH
_SUBSCRIBE, _DISCONNECT, _AUTH = PacketType.SUBSCRIBE, PacketType.DISCONNECT, PacketType.AUTH
_ACKS = (
    *(PacketType.PUBACK, PacketType.PUBREC, PacketType.PUBREL, PacketType.PUBCOMP),
    *(PacketType.SUBACK, PacketType.UNSUBACK),
)
_ALL = (
    *(WILL, _CONNECT, _CONNACK, _PUBLISH, *_ACKS),
    *(_SUBSCRIBE, PacketType.UNSUBSCRIBE, _DISCONNECT, _AUTH),
)

_T = PropertyType

PROPERTIES: Final = (
    _property(0x01, "payload_format_indicator", _T.BYTE, _PUBLISH, WILL, most=1),
    _property(0x02, "message_expiry_interval", _T.FOUR_BYTES, _PUBLISH, WILL),
    _property(0x03, "content_type", _T.TEXT, _PUBLISH, WILL),
    _property(0x08, "response_topic", _T.TOPIC, _PUBLISH, WILL),
    _property(0x09, "correlation_data", _T.BINARY, _PUBLISH, WILL),
    _property(
        *(0x0B, "subscription_identifiers", _T.VARIABLE, _PUBLISH, _SUBSCRIBE),
        several=(_PUBLISH,),
        least=1,
    ),
    _property(0x11, "session_expiry_interval", _T.FOUR_BYTES, _CONNECT, _CONNACK, _DISCONNECT),
    _property(0x12, "assigned_client_identifier", _T.TEXT, _CONNACK),
    _property(0x13, "server_keep_alive", _T.TWO_BYTES, _CONNACK),
    _property(0x15, "authentication_method", _T.TEXT, _CONNECT, _CONNACK, _AUTH),
    _property(0x16, "authentication_data", _T.BINARY, _CONNECT, _CONNACK, _AUTH),
    _property(0x17, "request_problem_information", _T.FLAG, _CONNECT),
    _property(0x18, "will_delay_interval", _T.FOUR_BYTES, WILL),
    _property(0x19, "request_response_information", _T.FLAG, _CONNECT),
    _property(0x1A, "response_information", _T.TEXT, _CONNACK),
    _property(0x1C, "server_reference", _T.TEXT, _CONNACK, _DISCONNECT),
    _property(0x1F, "reason_string", _T.TEXT, _CONNACK, *_ACKS, _DISCONNECT, _AUTH),
    _property(0x21, "receive_maximum", _T.TWO_BYTES, _CONNECT, _CONNACK, least=1),
    _property(0x22, "topic_alias_maximum", _T.TWO_BYTES, _CONNECT, _CONNACK),
    _property(
        *(0x23, "topic_alias", _T.TWO_BYTES, _PUBLISH),
        least=1,  # [MQTT-3.3.2-8]
        reason=ReasonCode.TOPIC_ALIAS_INVALID,
    ),
    _property(0x24, "maximum_qos", _T.BYTE, _CONNACK, most=1),
    _property(0x25, "retain_available", _T.FLAG, _CONNACK),
    _property(0x26, "user", _T.PAIR, *_ALL, several=_ALL),
    _property(0x27, "maximum_packet_size", _T.FOUR_BYTES, _CONNECT, _CONNACK, least=1),
    _property(0x28, "wildcard_subscription_available", _T.FLAG, _CONNACK),
    _property(0x29, "subscription_identifier_available", _T.FLAG, _CONNACK),
    _property(0x2A, "shared_subscription_available", _T.FLAG, _CONNACK),
)
"""All properties, by their identifiers (table 2-4 and the sections on the packets)."""
