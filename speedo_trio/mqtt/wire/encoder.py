"""The encoder: the bytes of any packet, for any version.

Next: `speedo_trio.mqtt.wire.publish`, for the packets that are sent again and again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from speedo_trio.errors import UnsendablePacket
from speedo_trio.mqtt.wire.body import shown
from speedo_trio.mqtt.wire.connect import encode_connect
from speedo_trio.mqtt.wire.decoder import FLAGS, OPTIONS, SHARED
from speedo_trio.mqtt.wire.fields import (
    check_no_properties,
    check_qos,
    write_packet_id,
    write_topic,
    write_utf_8,
    write_variable,
)
from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.packets import (
    Auth,
    ConnAck,
    Connect,
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
from speedo_trio.mqtt.wire.property_list import NO_PROPERTIES, encode_properties
from speedo_trio.mqtt.wire.publish import encode_publish
from speedo_trio.mqtt.wire.reason_codes import ALLOWED_REASONS, CONNECT_RETURN_CODES, ReasonCode
from speedo_trio.mqtt.wire.versions import Version

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from speedo_trio.mqtt.wire.packets import Packet
    from speedo_trio.mqtt.wire.properties import Properties

_OPTION_BYTES: Final = {options: byte for byte, options in OPTIONS.items()}


def encode(packet: Packet, version: Version) -> bytes:
    """Give the bytes of a packet.

    Args:
        packet: Any. Its reason is left out where `speedo_trio.mqtt.wire.packets` says that a
            version has no place for it.
        version: What the connection speaks.

    Raises:
        UnsendablePacket: It may not be sent, in this version or in any.
    """
    if isinstance(packet, Publish):
        return _encode_publish(packet, version)
    kind, encode_body = _ENCODERS[type(packet)]
    body = encode_body(packet, version)
    first = kind << 4 | FLAGS.get(kind, 0)  # [MQTT-2.1.3-1]
    return b"".join((first.to_bytes(), write_variable(len(body)), body))


def _properties(properties: Properties | None, kind: PacketType, version: Version) -> bytes:
    """Give the property list, or nothing for versions that have none."""
    if version is Version.MQTT_5_0:
        return encode_properties(properties, kind)
    check_no_properties(kind.name, properties)
    return b""


def _reason(reason: int, kind: PacketType) -> bytes:
    if reason not in ALLOWED_REASONS[kind]:
        allowed = ", ".join(f"{each:02X}" for each in sorted(ALLOWED_REASONS[kind]))
        raise UnsendablePacket(
            f"{kind.name} has the reason code 0x{reason:02X}; allowed are {allowed}"
        )
    return reason.to_bytes()


def _encode_publish(packet: Publish, version: Version) -> bytes:
    properties = packet.properties
    alias = properties is not None and properties.topic_alias is not None
    if packet.topic or not alias:  # section 3.3.2.1
        write_topic("topic name", packet.topic)
    check_qos(packet.qos)
    if packet.qos:
        write_packet_id("PUBLISH", packet.packet_id)
    elif packet.dup or packet.packet_id:  # [MQTT-3.3.1-2] [MQTT-2.2.1-2]
        raise UnsendablePacket(
            "PUBLISH has QoS 0 and is marked DUP or has a packet identifier; "
            "that is allowed with QoS 1 or 2"
        )
    return encode_publish(
        packet.topic,
        packet.payload,
        packet.qos,
        bool(packet.retain),
        bool(packet.dup),
        packet.packet_id,
        _properties(properties, PacketType.PUBLISH, version),
        version,
    )


def _encode_connect(packet: Connect, version: Version) -> bytes:
    if packet.version is not version:
        raise UnsendablePacket(
            f"CONNECT has the version {packet.version.name}; allowed is {version.name}"
        )
    return encode_connect(packet)


def _encode_connack(packet: ConnAck, version: Version) -> bytes:
    reason = packet.reason
    if packet.session_present and reason:  # [MQTT-3.2.2-6] [MQTT3-3.2.2-4]
        raise UnsendablePacket(
            f"CONNACK has a session with the reason code 0x{reason:02X}; allowed is 0x00"
        )
    present = packet.session_present and version > Version.MQTT_3_1
    properties = _properties(packet.properties, PacketType.CONNACK, version)
    if version is Version.MQTT_5_0:  # [MQTT-3.2.2-8]
        return present.to_bytes() + _reason(reason, PacketType.CONNACK) + properties
    code = CONNECT_RETURN_CODES.get(reason)
    if code is None:  # [MQTT3-3.2.2-6]
        raise UnsendablePacket(
            f"CONNACK has the reason code 0x{reason:02X}, which {version.name} can't say; allowed "
            f"are {', '.join(f'{each:02X}' for each in sorted(CONNECT_RETURN_CODES))}"
        )
    return bytes((present, code))


def _answer_encoder(kind: PacketType) -> Callable[[Any, Version], bytes]:
    """The four answers of a PUBLISH differ only in their names."""

    def encode_answer(packet: PubAck | PubRec | PubRel | PubComp, version: Version) -> bytes:
        packet_id = write_packet_id(kind.name, packet.packet_id)
        properties = _properties(packet.properties, kind, version)
        reason = _reason(packet.reason, kind)
        if version < Version.MQTT_5_0:
            return packet_id
        return packet_id + _shortened(reason, properties)

    return encode_answer


def _shortened(reason: bytes, properties: bytes) -> bytes:
    """Reason and properties where success, and then no properties, go without saying."""
    if properties != NO_PROPERTIES:
        return reason + properties
    return reason if reason != b"\0" else b""


def _some(kind: PacketType, what: str, items: Sequence[object]) -> None:
    if not items:
        raise UnsendablePacket(f"{kind.name} has no {what}; allowed is one or more")


def _filter(topic_filter: bytes) -> bytes:
    if not topic_filter:  # [MQTT-4.7.3-1]
        raise UnsendablePacket("the topic filter is empty; allowed is one character or more")
    return write_utf_8("topic filter", topic_filter)  # [MQTT-3.8.3-1] [MQTT-3.10.3-1]


def _options(options: SubscriptionOptions, topic_filter: bytes, version: Version) -> bytes:
    byte = _OPTION_BYTES.get(options)
    if byte is None or (byte > 2 and version < Version.MQTT_5_0):
        raise UnsendablePacket(
            f"{version.name} has no {options}; allowed are QoS 0 to 2, and in MQTT 5.0 Retain "
            "Handling 0 to 2 and flags"
        )
    if options.no_local and topic_filter.startswith(SHARED):  # [MQTT-3.8.3-4]
        raise UnsendablePacket(
            f"{shown(topic_filter)} is shared and No Local; allowed is one of the two"
        )
    return byte.to_bytes()


def _encode_subscribe(packet: Subscribe, version: Version) -> bytes:
    _some(PacketType.SUBSCRIBE, "topic filter", packet.subscriptions)  # [MQTT-3.8.3-2]
    parts = [
        write_packet_id("SUBSCRIBE", packet.packet_id),
        _properties(packet.properties, PacketType.SUBSCRIBE, version),
    ]
    for topic_filter, options in packet.subscriptions:
        parts += (_filter(topic_filter), _options(options, topic_filter, version))
    return b"".join(parts)


def _encode_suback(packet: SubAck, version: Version) -> bytes:
    kind = PacketType.SUBACK
    _some(kind, "reason code", packet.reasons)  # [MQTT-3.8.4-6]
    packet_id = write_packet_id(kind.name, packet.packet_id)
    properties = _properties(packet.properties, kind, version)
    reasons = [_reason(reason, kind) for reason in packet.reasons]  # [MQTT-3.9.3-2]
    if version < Version.MQTT_5_0:  # [MQTT3-3.9.3-2]
        failure = ReasonCode.UNSPECIFIED_ERROR
        reasons = [min(reason, failure).to_bytes() for reason in packet.reasons]
    return b"".join((packet_id, properties, *reasons))


def _encode_unsubscribe(packet: Unsubscribe, version: Version) -> bytes:
    _some(PacketType.UNSUBSCRIBE, "topic filter", packet.filters)  # [MQTT-3.10.3-2]
    parts = [
        write_packet_id("UNSUBSCRIBE", packet.packet_id),
        _properties(packet.properties, PacketType.UNSUBSCRIBE, version),
    ]
    return b"".join(parts + [_filter(topic_filter) for topic_filter in packet.filters])


def _encode_unsuback(packet: UnsubAck, version: Version) -> bytes:
    kind = PacketType.UNSUBACK
    packet_id = write_packet_id(kind.name, packet.packet_id)
    properties = _properties(packet.properties, kind, version)
    reasons = [_reason(reason, kind) for reason in packet.reasons]  # [MQTT-3.11.3-2]
    if version < Version.MQTT_5_0:
        return packet_id
    _some(kind, "reason code", packet.reasons)
    return b"".join((packet_id, properties, *reasons))


def _encode_ping(packet: PingReq | PingResp, version: Version) -> bytes:
    return b""


def _encode_disconnect(packet: Disconnect, version: Version) -> bytes:
    kind = PacketType.DISCONNECT
    properties = _properties(packet.properties, kind, version)
    reason = _reason(packet.reason, kind)  # [MQTT-3.14.2-1]
    if version is Version.MQTT_5_0:
        return _shortened(reason, properties)
    if packet.reason:
        raise UnsendablePacket(
            f"DISCONNECT has the reason code 0x{packet.reason:02X}, which {version.name} can't "
            "say; allowed is 0x00"
        )
    return b""


def _encode_auth(packet: Auth, version: Version) -> bytes:
    kind = PacketType.AUTH
    if version < Version.MQTT_5_0:
        raise UnsendablePacket(f"{version.name} has no AUTH; it is allowed in MQTT 5.0")
    properties = encode_properties(packet.properties, kind)
    reason = _reason(packet.reason, kind)  # [MQTT-3.15.2-1]
    if properties == NO_PROPERTIES and not packet.reason:  # section 3.15.2.1
        return b""
    if packet.properties is None or packet.properties.authentication_method is None:
        raise UnsendablePacket("AUTH has no authentication method; allowed is one")
    return reason + properties


_ENCODERS: Final[dict[type[Packet], tuple[PacketType, Callable[[Any, Version], bytes]]]] = {
    Connect: (PacketType.CONNECT, _encode_connect),
    ConnAck: (PacketType.CONNACK, _encode_connack),
    PubAck: (PacketType.PUBACK, _answer_encoder(PacketType.PUBACK)),
    PubRec: (PacketType.PUBREC, _answer_encoder(PacketType.PUBREC)),
    PubRel: (PacketType.PUBREL, _answer_encoder(PacketType.PUBREL)),
    PubComp: (PacketType.PUBCOMP, _answer_encoder(PacketType.PUBCOMP)),
    Subscribe: (PacketType.SUBSCRIBE, _encode_subscribe),
    SubAck: (PacketType.SUBACK, _encode_suback),
    Unsubscribe: (PacketType.UNSUBSCRIBE, _encode_unsubscribe),
    UnsubAck: (PacketType.UNSUBACK, _encode_unsuback),
    PingReq: (PacketType.PINGREQ, _encode_ping),
    PingResp: (PacketType.PINGRESP, _encode_ping),
    Disconnect: (PacketType.DISCONNECT, _encode_disconnect),
    Auth: (PacketType.AUTH, _encode_auth),
}
