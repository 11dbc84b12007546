"""PUBLISH and its answers for those who send very many: quickly, and once for many receivers.

This ends the tour of the codec.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from speedo_trio.errors import UnsendablePacket
from speedo_trio.mqtt.wire.fields import MOST_BYTES, write_variable
from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.property_list import NO_PROPERTIES
from speedo_trio.mqtt.wire.versions import Version

FIRST_BYTES: Final = {
    (qos, retain, dup): bytes((PacketType.PUBLISH << 4 | dup << 3 | qos << 1 | retain,))
    for qos in (0, 1, 2)
    for retain in (False, True)
    for dup in (False, True)
    if qos or not dup  # [MQTT-3.3.1-2]
}
"""The first byte of a PUBLISH, by its QoS, RETAIN and DUP."""

_ANSWERS: Final = {
    PacketType.PUBACK: b"\x40\x02",
    PacketType.PUBREC: b"\x50\x02",
    PacketType.PUBREL: b"\x62\x02",
    PacketType.PUBCOMP: b"\x70\x02",
}


def encode_publish(
    topic: bytes,
    payload: bytes,
    qos: int = 0,
    retain: bool = False,  # noqa: FBT001, FBT002  # the order of `Publish`
    dup: bool = False,  # noqa: FBT001, FBT002  # the same
    packet_id: int = 0,
    properties: bytes = NO_PROPERTIES,
    version: Version = Version.MQTT_5_0,
) -> bytes:
    """Give the bytes of a PUBLISH whose fields are known to be right.

    Args:
        topic: A topic name that has been checked; empty only with a topic alias.
        payload: Any bytes.
        qos: 0 to 2.
        retain: Whether it is to be retained, or was.
        dup: Whether it may have been sent before; not with QoS 0.
        packet_id: 1 to 65535; of no account with QoS 0.
        properties: What `encode_properties` made; of no account before MQTT 5.0.
        version: What the receiver speaks.

    Raises:
        UnsendablePacket: The topic or the whole is too long.
    """
    size = len(topic)
    if size > MOST_BYTES:
        raise _too_long(topic)
    name = size.to_bytes(2) + topic
    if qos:
        name += packet_id.to_bytes(2)
    if version is Version.MQTT_5_0:
        name += properties
    length = write_variable(len(name) + len(payload))
    return b"".join((FIRST_BYTES[qos, retain, dup], length, name, payload))


class SharedPublish(NamedTuple):
    """A PUBLISH with QoS 1 or 2 for many receivers: all of it but first byte and packet identifier.

    Make it with `share_publish`, once for all who speak one version and get the same properties.
    Of a packet, `FIRST_BYTES[qos, retain, dup]`, `head`, the identifier's two bytes and `tail` are
    the parts, for who puts them into a buffer of his own; `packet` joins them.
    """

    head: bytes
    """The length, and the topic name."""
    tail: bytes
    """The properties, and the payload."""

    def packet(
        self,
        packet_id: int,
        qos: int,
        retain: bool = False,  # noqa: FBT001, FBT002  # the order of `Publish`
        dup: bool = False,  # noqa: FBT001, FBT002  # the same
    ) -> bytes:
        """Give the packet for one receiver; with QoS 1 or 2, and an identifier of 1 to 65535."""
        return b"".join(
            (FIRST_BYTES[qos, retain, dup], self.head, packet_id.to_bytes(2), self.tail)
        )

    @property
    def size(self) -> int:
        """The bytes of the packet, for who must not get it over his maximum packet size."""
        return 3 + len(self.head) + len(self.tail)


def share_publish(
    topic: bytes,
    payload: bytes,
    properties: bytes = NO_PROPERTIES,
    version: Version = Version.MQTT_5_0,
) -> SharedPublish:
    """Encode what all receivers of a PUBLISH with QoS 1 or 2 get. The arguments are as above.

    Raises:
        UnsendablePacket: The topic or the whole is too long.
    """
    size = len(topic)
    if size > MOST_BYTES:
        raise _too_long(topic)
    if version < Version.MQTT_5_0:
        properties = b""
    length = write_variable(4 + size + len(properties) + len(payload))
    return SharedPublish(b"".join((length, size.to_bytes(2), topic)), properties + payload)


def encode_answer(kind: PacketType, packet_id: int) -> bytes:
    """Give a PUBACK, PUBREC, PUBREL or PUBCOMP that says success, the same in all versions.

    The packet identifier is one that is known to be right: 1 to 65535.
    """
    return _ANSWERS[kind] + packet_id.to_bytes(2)


def _too_long(topic: bytes) -> UnsendablePacket:
    return UnsendablePacket(f"the topic name has {len(topic)} bytes; allowed are {MOST_BYTES}")
