"""PUBLISH and its answers, quickly: the same bytes as the encoder's, and pieces that fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.errors import UnsendablePacket
from speedo_trio.mqtt.wire.decoder import decode
from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.packets import Packet, PubAck, PubComp, Publish, PubRec, PubRel
from speedo_trio.mqtt.wire.property_list import encode_properties
from speedo_trio.mqtt.wire.publish import (
    FIRST_BYTES,
    encode_answer,
    encode_answers,
    encode_publish,
    share_publish,
    share_run,
)
from speedo_trio.mqtt.wire.versions import Version
from tests.mqtt.wire import strategies
from tests.mqtt.wire.examples import V4, V5
from tests.mqtt.wire.streams import whole

publishes = strategies.versions.flatmap(
    lambda version: st.tuples(st.just(version), strategies.publishes(version))
)


@given(publishes)
def test_every_publish_comes_back(case: tuple[Version, Publish]) -> None:
    """What is decoded is what the pieces were."""
    version, packet = case
    data = encode_publish(
        packet.topic,
        packet.payload,
        packet.qos,
        packet.retain,
        packet.dup,
        packet.packet_id,
        encode_properties(packet.properties, PacketType.PUBLISH),
        version,
    )

    assert packet == decode(*whole(data), version)


@given(publishes.filter(lambda case: case[1].qos > 0), strategies.packet_ids)
def test_one_for_many(case: tuple[Version, Publish], packet_id: int) -> None:
    """With a receiver's identifier and flags it is what the encoder gives, whole or in parts."""
    version, packet = case
    properties = encode_properties(packet.properties, PacketType.PUBLISH)
    shared = share_publish(packet.topic, packet.payload, properties, version)
    packet.packet_id = packet_id
    data = encode(packet, version)
    first = FIRST_BYTES[packet.qos, packet.retain, packet.dup]

    assert data == shared.packet(packet_id, packet.qos, packet.retain, packet.dup)
    assert data == first + shared.head + packet_id.to_bytes(2) + shared.tail
    assert len(data) == shared.size


def test_first_bytes() -> None:
    """[MQTT-3.3.1-2] [MQTT-3.3.1-4] All that a PUBLISH may begin with."""
    assert sorted(FIRST_BYTES.values()) == [
        bytes((each,)) for each in (*(0x30, 0x31, 0x32, 0x33, 0x34, 0x35), *range(0x3A, 0x3E))
    ]


def test_properties_are_of_no_account_before_5() -> None:
    """3.1 and 3.1.1 have none, not even their length."""
    assert encode_publish(b"a", b"p", properties=b"\2\1\1", version=V4) == b"\x30\4\0\1ap"
    assert share_publish(b"a", b"p", b"\2\1\1", V4).packet(7, 1) == b"\x32\6\0\1a\0\7p"


@pytest.mark.parametrize("version", Version)
def test_too_long(version: Version) -> None:
    """[MQTT-4.7.3-3] and section 2.1.4: a topic name, and a packet."""
    for encoded in (encode_publish, share_publish):
        with pytest.raises(UnsendablePacket, match="the topic name has 65536 bytes; allowed are"):
            encoded(b"a" * 65536, b"", version=version)
        with pytest.raises(UnsendablePacket, match=r"the length is .*; allowed are 0 to 268435455"):
            encoded(b"abc", bytes(268_435_451), version=version)


def test_the_longest_topic_name() -> None:
    """[MQTT-4.7.3-3] 65,535 bytes are allowed."""
    topic = b"a" * 65535

    assert len(encode_publish(topic, b"", version=V4)) == 4 + 2 + 65535
    assert share_publish(topic, b"").size == len(encode_publish(topic, b"", 1, packet_id=1))


def test_answers() -> None:
    """They are what the encoder gives for success, in all versions."""
    for version in Version:
        for packet_id in (1, 258, 65535):
            answers: dict[PacketType, Packet] = {
                PacketType.PUBACK: PubAck(packet_id),
                PacketType.PUBREC: PubRec(packet_id),
                PacketType.PUBREL: PubRel(packet_id),
                PacketType.PUBCOMP: PubComp(packet_id),
            }
            for kind, packet in answers.items():
                assert encode(packet, version) == encode_answer(kind, packet_id)


def test_nothing_in_it() -> None:
    """The shortest there is."""
    assert encode_publish(b"a", b"") == b"\x30\x04\0\1a\0"
    assert encode_publish(b"a", b"", version=V4) == b"\x30\x03\0\1a"
    assert encode_publish(b"", b"", properties=b"\3\x23\0\1", version=V5) == b"\x30\6\0\0\3\x23\0\1"


@given(
    strategies.topics,
    st.lists(strategies.payloads, max_size=5),
    st.sampled_from([1, 2]),
    strategies.versions,
    st.integers(1, 60_000),
)
def test_a_shared_run(
    topic: bytes, several: list[bytes], qos: int, version: Version, first: int
) -> None:
    """Each packet is as if it had been encoded by itself."""
    ids = range(first, first + len(several))
    expected = [
        encode_publish(topic, payload, qos, packet_id=packet_id, version=version)
        for payload, packet_id in zip(several, ids, strict=True)
    ]

    assert b"".join(expected) == share_run(topic, several, qos, version).packets(ids)


@pytest.mark.parametrize(
    "kind", [PacketType.PUBACK, PacketType.PUBREC, PacketType.PUBREL, PacketType.PUBCOMP]
)
def test_several_answers(kind: PacketType) -> None:
    """They are as those of one each."""
    ids = (1, 255, 256, 65_535)

    assert b"".join(encode_answer(kind, each) for each in ids) == encode_answers(
        kind, [each.to_bytes(2) for each in ids]
    )
