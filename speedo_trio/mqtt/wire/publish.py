"""PUBLISH and its answers for those who send very many: quickly, and once for many receivers.

This ends the tour of the codec.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from speedo_trio.errors import UnsendablePacket
from speedo_trio.mqtt.wire.fields import MOST_BYTES, write_variable
from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.property_list import NO_PROPERTIES
from speedo_trio.mqtt.wire.versions import Version

if TYPE_CHECKING:
    from collections.abc import Iterable

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


class SharedRun:
    """PUBLISHes with QoS 1 or 2 to one topic for many receivers, but for the packet identifiers."""

    __slots__ = ("_parts",)

    def __init__(self, parts: list[bytes]) -> None:
        """Args: of each packet what comes before the identifier, that, and what comes behind it."""
        self._parts = parts

    def packets(self, packet_ids: Iterable[int]) -> bytes:
        """Give the packets for one receiver; the identifiers are 1 to 65535, one for each."""
        parts = self._parts.copy()
        parts[1::3] = [packet_id.to_bytes(2) for packet_id in packet_ids]
        return b"".join(parts)


def share_run(topic: bytes, payloads: Iterable[bytes], qos: int, version: Version) -> SharedRun:
    """Encode what all receivers of several PUBLISHes get that have no properties.

    Args:
        topic: A topic name that has been checked, of 65,535 bytes at most.
        payloads: That of each.
        qos: 1 or 2.
        version: What the receivers speak.
    """
    name = len(topic).to_bytes(2) + topic
    properties = NO_PROPERTIES if version is Version.MQTT_5_0 else b""
    first, other = FIRST_BYTES[qos, False, False], len(name) + 2 + len(properties)
    heads: dict[int, bytes] = {}
    parts: list[bytes] = []
    for payload in payloads:
        size = len(payload)
        head = heads.get(size)
        if head is None:
            head = heads[size] = b"".join((first, write_variable(other + size), name))
        parts += (head, b"", properties + payload)
    return SharedRun(parts)


def encode_answer(kind: PacketType, packet_id: int) -> bytes:
    """Give a PUBACK, PUBREC, PUBREL or PUBCOMP that says success, the same in all versions.

    The packet identifier is one that is known to be right: 1 to 65535.
    """
    return _ANSWERS[kind] + packet_id.to_bytes(2)


def encode_answers(kind: PacketType, id_bytes: Iterable[bytes]) -> bytes:
    """The same for several: the two bytes of each identifier."""
    head = _ANSWERS[kind]
    return head + head.join(id_bytes)


def _too_long(topic: bytes) -> UnsendablePacket:
    return UnsendablePacket(f"the topic name has {len(topic)} bytes; allowed are {MOST_BYTES}")
