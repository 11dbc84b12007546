"""The decoder: makes a packet of a whole body, for every type but CONNECT (see `connect`).

Next: `speedo_trio.mqtt.wire.runs`.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Final

from speedo_trio.errors import MalformedPacket, MQTTError
from speedo_trio.mqtt.wire.body import Body, check_text, shown
from speedo_trio.mqtt.wire.connect import decode_connect, read_level, version_of
from speedo_trio.mqtt.wire.known_topics import learn
from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.packets import (
    Auth,
    ConnAck,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionOptions,
    UnsubAck,
    Unsubscribe,
)
from speedo_trio.mqtt.wire.property_list import decode_properties
from speedo_trio.mqtt.wire.reason_codes import (
    ALLOWED_REASONS,
    CONNECT_REASONS,
    GRANTED,
    ReasonCode,
)
from speedo_trio.mqtt.wire.versions import BRIDGE_BIT, Version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from speedo_trio.mqtt.wire.packets import Packet
    from speedo_trio.mqtt.wire.properties import Properties

DUP: Final = 0x08
QOS: Final = 0x06
RETAIN: Final = 0x01

FLAGS: Final = {PacketType.PUBREL: 0x02, PacketType.SUBSCRIBE: 0x02, PacketType.UNSUBSCRIBE: 0x02}
"""The flags of the types whose flags are not 0; PUBLISH has what it likes (section 2.1.3)."""

SHARED: Final = b"$share/"
"""What the filter of a shared subscription begins with (section 4.8.2)."""

MOST_FILTERS: Final = 10_000
"""Topic filters that a packet may have. It is dealt with as a whole, and others wait meanwhile: so
many are read in 12 ms, and subscribed to in 60."""

PINGREQ: Final = PingReq()
PINGRESP: Final = PingResp()

OPTIONS: Final = {
    qos | no_local << 2 | as_published << 3 | handling << 4: SubscriptionOptions(
        qos, no_local, as_published, handling
    )
    for qos, no_local, as_published, handling in product(
        range(3), (False, True), (False, True), range(3)
    )
}
"""Every byte of subscription options that is allowed."""


def check_head(head: int, version: Version) -> PacketType:
    """See that the first byte of a packet is allowed, and give the packet's type.

    Raises:
        MalformedPacket: It is not.
    """
    flags = head & 0x0F
    if head < 0x10 or (head >= 0xF0 and version < Version.MQTT_5_0):
        raise MalformedPacket(
            f"the packet type is {head >> 4}; allowed are 1 to 14, and 15 in MQTT 5.0"
        )
    kind = PacketType(head >> 4)
    if kind is PacketType.PUBLISH:
        _check_publish_flags(flags)
        return kind
    expected = FLAGS.get(kind, 0)
    # 3.1 lets DUP be set wherever the QoS is 1, so that a request can be repeated.
    repeated = version is Version.MQTT_3_1 and expected and flags == expected | DUP
    if flags != expected and not repeated:
        # [MQTT-2.1.3-1] [MQTT3-2.2.2-1] [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1]
        # [MQTT-3.14.1-1] [MQTT-3.15.1-1]
        raise MalformedPacket(f"{kind.name} has the flags {flags:#x}; allowed are {expected:#x}")
    return kind


def _check_publish_flags(flags: int) -> None:
    if flags & QOS == QOS:  # [MQTT-3.3.1-4]
        raise MalformedPacket("PUBLISH has QoS 3; allowed are 0 to 2")
    if flags & DUP and not flags & QOS:  # [MQTT-3.3.1-2]
        raise MalformedPacket(
            "PUBLISH has QoS 0 and is marked DUP; that is allowed with QoS 1 or 2"
        )


def decode(head: int, data: bytes, version: Version) -> Packet:
    """Make a packet of its first byte and of what follows the fixed header.

    A CONNECT has the version inside; `version` only says what flags it may have, the same in all.

    Raises:
        MalformedPacket: It can't be taken apart.
        MQTTError: It has what is not allowed.
    """
    kind = check_head(head, version)
    body = Body(data, kind.name)
    if kind is PacketType.CONNECT:
        name, level = read_level(body)
        return decode_connect(body, version_of(name, level), bridge=level >= BRIDGE_BIT)
    return decode_body(body, kind, head & 0x0F, version)


def decode_body(body: Body, kind: PacketType, flags: int, version: Version) -> Packet:
    """Make a packet of what follows a fixed header that has been checked. CONNECT is not for it.

    Raises:
        MalformedPacket: It can't be taken apart.
        MQTTError: It has what is not allowed.
    """
    packet = DECODERS[kind](body, flags, version)
    body.end()
    return packet


def _properties(body: Body, kind: PacketType, version: Version) -> Properties | None:
    return decode_properties(body, kind) if version is Version.MQTT_5_0 else None


def _reason(body: Body, allowed: Mapping[int, ReasonCode]) -> ReasonCode:
    """Read a reason code that is one of those allowed."""
    value = body.byte("reason code")
    reason = allowed.get(value)
    if reason is None:
        raise MQTTError(
            f"{body.of} has the reason code 0x{value:02X}; "
            f"allowed are {', '.join(f'{each:02X}' for each in sorted(allowed))}",
            ReasonCode.PROTOCOL_ERROR,
        )
    return reason


def _decode_connack(body: Body, flags: int, version: Version) -> ConnAck:
    acknowledge = body.byte("acknowledge flags")
    if acknowledge > 1:  # [MQTT-3.2.2-1]
        raise MalformedPacket(f"CONNACK has the flags 0x{acknowledge:02X}; allowed are 0 and 1")
    five = version is Version.MQTT_5_0
    # [MQTT-3.2.2-8]
    reason = _reason(body, ALLOWED_REASONS[PacketType.CONNACK] if five else CONNECT_REASONS)
    if acknowledge and reason:  # [MQTT-3.2.2-6] [MQTT3-3.2.2-4]
        raise MQTTError(
            f"CONNACK has a session with the reason code 0x{reason:02X}; allowed is 0x00",
            ReasonCode.PROTOCOL_ERROR,
        )
    return ConnAck(reason, bool(acknowledge), _properties(body, PacketType.CONNACK, version))


def _decode_publish(body: Body, flags: int, version: Version) -> Publish:
    name = body.binary("topic name")  # [MQTT-3.3.2-1]
    topic = learn(name) if name or version < Version.MQTT_5_0 else b""
    qos = (flags & QOS) >> 1
    packet_id = body.packet_id() if qos else 0  # [MQTT-2.2.1-2]
    properties = _properties(body, PacketType.PUBLISH, version)
    if not topic and (properties is None or properties.topic_alias is None):  # section 3.3.2.1
        raise MQTTError(
            "PUBLISH has an empty topic name; that is allowed with a topic alias",
            ReasonCode.PROTOCOL_ERROR,
        )
    retain, dup = bool(flags & RETAIN), bool(flags & DUP)
    return Publish(topic, body.rest(), qos, retain, dup, packet_id, properties)


def _answer_decoder(
    kind: PacketType, make: Callable[[int, ReasonCode, Properties | None], Packet]
) -> Callable[[Body, int, Version], Packet]:
    """The four answers of a PUBLISH differ only in their names."""
    allowed = ALLOWED_REASONS[kind]

    def decode_answer(body: Body, flags: int, version: Version) -> Packet:
        packet_id = body.packet_id()
        if version < Version.MQTT_5_0 or not body.left:  # section 3.4.2.1
            return make(packet_id, ReasonCode.SUCCESS, None)
        # [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1]
        reason = _reason(body, allowed)
        # Without a property length there are no properties: section 3.4.2.2.1.
        return make(packet_id, reason, decode_properties(body, kind) if body.left else None)

    return decode_answer


def _filter(body: Body) -> bytes:
    """Read a topic filter: its text only, what it means is for others."""
    data = body.binary("topic filter")
    check_text("topic filter", data)  # [MQTT-3.8.3-1] [MQTT-3.10.3-1]
    if not data:  # [MQTT-4.7.3-1]
        raise MalformedPacket("the topic filter is empty; allowed is one character or more")
    return data


def _check_some(body: Body, what: str) -> None:
    if not body.left:
        raise MQTTError(
            f"{body.of} has no {what}; allowed is one or more", ReasonCode.PROTOCOL_ERROR
        )


def _check_few(body: Body, filters: int) -> None:
    if filters > MOST_FILTERS:
        raise MQTTError(
            f"{body.of} has more than {MOST_FILTERS} topic filters; allowed are as many",
            ReasonCode.QUOTA_EXCEEDED,
        )


def _decode_subscribe(body: Body, flags: int, version: Version) -> Subscribe:
    packet_id = body.packet_id()
    properties = _properties(body, PacketType.SUBSCRIBE, version)
    _check_some(body, "topic filter")  # [MQTT-3.8.3-2] [MQTT3-3.8.3-3]
    subscriptions = []
    while body.left:
        topic_filter = _filter(body)
        byte = body.byte("subscription options")
        options = OPTIONS.get(byte)
        if options is None or (byte > 2 and version < Version.MQTT_5_0):
            raise _wrong_options(byte, version)
        if options.no_local and topic_filter.startswith(SHARED):  # [MQTT-3.8.3-4]
            raise MQTTError(
                f"{shown(topic_filter)} is shared and No Local; allowed is one of the two",
                ReasonCode.PROTOCOL_ERROR,
            )
        subscriptions.append((topic_filter, options))
        _check_few(body, len(subscriptions))
    return Subscribe(packet_id, subscriptions, properties)


def _wrong_options(byte: int, version: Version) -> MQTTError:
    if version < Version.MQTT_5_0:  # [MQTT3-3.8.3-4]
        return MalformedPacket(f"the requested QoS is {byte}; allowed are 0 to 2")
    seen = f"the subscription options are 0x{byte:02X}"
    if byte & 0xC0:  # [MQTT-3.8.3-5]
        return MalformedPacket(f"{seen}; allowed are bits 6 and 7 of 0")
    return MQTTError(  # section 3.8.3.1
        f"{seen}; allowed are QoS 0 to 2 and Retain Handling 0 to 2", ReasonCode.PROTOCOL_ERROR
    )


def _reasons(body: Body, allowed: Mapping[int, ReasonCode]) -> list[ReasonCode]:
    _check_some(body, "reason code")  # [MQTT-3.8.4-6]
    return [_reason(body, allowed) for _ in range(body.left)]


def _decode_suback(body: Body, flags: int, version: Version) -> SubAck:
    packet_id = body.packet_id()
    properties = _properties(body, PacketType.SUBACK, version)
    five = version is Version.MQTT_5_0
    # [MQTT-3.9.3-2]
    reasons = _reasons(body, ALLOWED_REASONS[PacketType.SUBACK] if five else GRANTED)
    return SubAck(packet_id, reasons, properties)


def _decode_unsubscribe(body: Body, flags: int, version: Version) -> Unsubscribe:
    packet_id = body.packet_id()
    properties = _properties(body, PacketType.UNSUBSCRIBE, version)
    _check_some(body, "topic filter")  # [MQTT-3.10.3-2]
    filters = []
    while body.left:
        filters.append(_filter(body))
        _check_few(body, len(filters))
    return Unsubscribe(packet_id, filters, properties)


def _decode_unsuback(body: Body, flags: int, version: Version) -> UnsubAck:
    packet_id = body.packet_id()
    if version < Version.MQTT_5_0:
        return UnsubAck(packet_id)
    properties = decode_properties(body, PacketType.UNSUBACK)
    reasons = _reasons(body, ALLOWED_REASONS[PacketType.UNSUBACK])  # [MQTT-3.11.3-2]
    return UnsubAck(packet_id, reasons, properties)


def _decode_pingreq(body: Body, flags: int, version: Version) -> PingReq:
    return PINGREQ


def _decode_pingresp(body: Body, flags: int, version: Version) -> PingResp:
    return PINGRESP


def _decode_disconnect(body: Body, flags: int, version: Version) -> Disconnect:
    if version < Version.MQTT_5_0 or not body.left:  # section 3.14.2.1
        return Disconnect()
    reason = _reason(body, ALLOWED_REASONS[PacketType.DISCONNECT])  # [MQTT-3.14.2-1]
    # Without a property length there are no properties: section 3.14.2.2.1.
    return Disconnect(reason, decode_properties(body, PacketType.DISCONNECT) if body.left else None)


def _decode_auth(body: Body, flags: int, version: Version) -> Auth:
    if not body.left:  # section 3.15.2.1
        return Auth()
    reason = _reason(body, ALLOWED_REASONS[PacketType.AUTH])  # [MQTT-3.15.2-1]
    properties = decode_properties(body, PacketType.AUTH)
    if properties is None or properties.authentication_method is None:  # section 3.15.2.2.2
        raise MQTTError(
            "AUTH has no authentication method; allowed is one", ReasonCode.PROTOCOL_ERROR
        )
    return Auth(reason, properties)


DECODERS: Final[dict[PacketType, Callable[[Body, int, Version], Packet]]] = {
    PacketType.CONNACK: _decode_connack,
    PacketType.PUBLISH: _decode_publish,
    PacketType.PUBACK: _answer_decoder(PacketType.PUBACK, PubAck),
    PacketType.PUBREC: _answer_decoder(PacketType.PUBREC, PubRec),
    PacketType.PUBREL: _answer_decoder(PacketType.PUBREL, PubRel),
    PacketType.PUBCOMP: _answer_decoder(PacketType.PUBCOMP, PubComp),
    PacketType.SUBSCRIBE: _decode_subscribe,
    PacketType.SUBACK: _decode_suback,
    PacketType.UNSUBSCRIBE: _decode_unsubscribe,
    PacketType.UNSUBACK: _decode_unsuback,
    PacketType.PINGREQ: _decode_pingreq,
    PacketType.PINGRESP: _decode_pingresp,
    PacketType.DISCONNECT: _decode_disconnect,
    PacketType.AUTH: _decode_auth,
}
"""What reads the body of each type, given the flags and the version."""
