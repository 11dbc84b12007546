"""Runs say the same as the packets that they stand for, wherever the bytes are cut."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.errors import MQTTError
from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.packets import (
    Packet,
    PingReq,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
)
from speedo_trio.mqtt.wire.reader import PacketReader
from speedo_trio.mqtt.wire.runs import MOST_RUN, AnswerRun, PublishRun, Run
from speedo_trio.mqtt.wire.versions import Version
from tests.mqtt.wire import strategies
from tests.mqtt.wire.streams import cut

V4, V5 = Version.MQTT_3_1_1, Version.MQTT_5_0

alike = st.builds(
    lambda topic, size, qos, packet_id: Publish(
        topic, b"x" * size, qos, packet_id=qos and packet_id
    ),
    st.sampled_from([b"a", b"b", b"ab"]),
    st.sampled_from([0, 1, 2, 120, 130, 300]),
    st.integers(0, 2),
    st.sampled_from([1, 2, 255, 256, 65_535]),
)
answers = st.builds(
    lambda make, packet_id: make(packet_id),
    st.sampled_from([PubAck, PubRec, PubRel, PubComp]),
    st.sampled_from([1, 2, 255, 256, 65_535]),
)


def encoded(packets: list[Packet], version: Version = V4) -> bytes:
    """The packets' bytes."""
    return b"".join(encode(packet, version) for packet in packets)


def split(found: list[Packet | Run]) -> list[Packet]:
    """The packets, those of runs too."""
    packets: list[Packet] = []
    for each in found:
        packets.extend(each if isinstance(each, (PublishRun, AnswerRun)) else [each])
    return packets


def heard(reader: PacketReader, chunks: Iterable[bytes]) -> tuple[list[Packet], str]:
    """All packets of a stream, and the error behind them."""
    packets: list[Packet] = []
    for chunk in chunks:
        try:
            for each in reader.feed_runs(chunk):
                packets += split([each])
        except MQTTError as error:
            return packets, str(error)
    return packets, ""


@given(
    st.sampled_from([V4, V5]),
    st.lists(st.one_of(alike, alike, answers, st.just(PingReq())), max_size=30),
    st.lists(st.integers(0, 2000), max_size=4),
)
def test_they_say_the_same(version: Version, packets: list[Packet], places: list[int]) -> None:
    """Whatever comes between, and however it is cut; each packet is counted."""
    reader = PacketReader(version)

    assert (packets, "") == heard(reader, cut(encoded(packets, version), places))
    assert len(packets) == reader.count


@given(
    st.sampled_from([V4, V5]),
    st.lists(st.one_of(alike, answers), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3),
    st.integers(10, 200),
)
def test_they_say_the_same_of_what_is_wrong(
    version: Version, packets: list[Packet], changes: list[tuple[int, int]], limit: int
) -> None:
    """Bytes that are changed anywhere: the same packets, then the same error."""
    data = bytearray(encoded(packets, version))
    for place, value in changes:
        data[place % len(data)] = value
    plain: list[Packet] = []
    error = ""
    try:
        plain.extend(PacketReader(version, limit=limit).feed(bytes(data)))
    except MQTTError as wrong:
        error = str(wrong)

    assert (plain, error) == heard(PacketReader(version, limit=limit), [bytes(data)])


@given(strategies.versions.flatmap(strategies.conversations))
def test_any_conversation(packets: list[Packet]) -> None:
    """The first packet, which tells the version, and all that may come behind."""
    version = packets[0].version  # type: ignore[union-attr]  # it is a CONNECT

    assert (packets, "") == heard(PacketReader(), [encoded(packets, version)])


# What makes a run


@pytest.mark.parametrize("version", [V4, V5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_run_of_messages(qos: int, version: Version) -> None:
    """To one topic, of any sizes; what is common is said once."""
    sizes = (3, 3, 200, 0, 3)
    packets: list[Packet] = [
        Publish(b"a/b", b"x" * size, qos, packet_id=number if qos else 0)
        for number, size in enumerate(sizes, start=300)
    ]
    data = encoded(packets, version)
    (run,) = PacketReader(version).feed_runs(data)

    assert isinstance(run, PublishRun)
    assert (b"a/b", qos, version, 5, len(data), data) == (
        run.topic,
        run.qos,
        run.version,
        len(run),
        run.size,
        run.raw,
    )
    assert [b"x" * size for size in sizes] == run.payloads
    if qos:
        assert [*range(300, 305)] == run.packet_ids
    assert [encode(packet, version) for packet in packets] == [
        packet.raw if packet.raw is not None else encode(packet, version) for packet in run
    ]


@pytest.mark.parametrize(
    "other",
    [
        Publish(b"b", b"x"),
        Publish(b"a", b"x", retain=True),
        Publish(b"a", b"x", 1, packet_id=1),
        PingReq(),
    ],
)
def test_what_ends_a_run(other: Packet) -> None:
    """Another topic, RETAIN, another QoS, another packet."""
    two: list[Packet] = [Publish(b"a", b"x")] * 2
    found = [*PacketReader(V4).feed_runs(encoded([*two, other, *two]))]

    assert [PublishRun, type(other), PublishRun] == [type(each) for each in found]


def test_what_is_sent_again_is_no_run() -> None:
    """Nor what is retained."""
    again: list[Packet] = [Publish(b"a", b"x", 1, dup=True, packet_id=1)] * 2
    retained: list[Packet] = [Publish(b"a", b"x", retain=True)] * 2

    assert [*again, *retained] == [*PacketReader(V4).feed_runs(encoded([*again, *retained]))]


@pytest.mark.parametrize("kind", [PubAck, PubRec, PubRel, PubComp])
def test_a_run_of_answers(kind: type[PubAck]) -> None:
    """Of one type."""
    packets: list[Packet] = [kind(number) for number in (1, 256, 65_535)]
    (run,) = PacketReader(V4).feed_runs(encoded(packets))

    assert AnswerRun(PacketType[kind.__name__.upper()], [1, 256, 65_535]) == run
    assert isinstance(run, AnswerRun)
    assert packets[1:] == [*run.after(1)]


def test_a_run_is_bounded() -> None:
    """However much is read together: it is others' turn in between."""
    packets: list[Packet] = [*[Publish(b"a", b"x")] * (2 * MOST_RUN), *[PubAck(1)] * (2 * MOST_RUN)]
    found = PacketReader(V4).feed_runs(encoded(packets))

    assert [MOST_RUN] * 4 == [len(each) for each in found]  # type: ignore[arg-type]  # all are runs


def test_without_runs_there_are_none() -> None:
    """`feed` gives packets."""
    packets: list[Packet] = [*[Publish(b"a", b"x")] * 3, *[PubAck(1)] * 3]

    assert packets == PacketReader(V4).feed(encoded(packets))


@pytest.mark.parametrize(
    ("version", "third", "error"),
    [
        (V4, b"\x32\6\0\1a\0\0x", "packet identifier"),  # [MQTT3-2.3.1-1]
        (V5, b"\x32\7\0\1a\0\0\0x", "packet identifier"),  # [MQTT-2.2.1-3]
        (V5, b"\x30\7\0\1a\2\1\2x", "payload_format_indicator"),
    ],
)
def test_what_is_wrong_is_not_in_a_run(version: Version, third: bytes, error: str) -> None:
    """The run ends before it, and the error comes behind."""
    qos = third[0] >> 1 & 3
    two: list[Packet] = [
        Publish(b"a", b"x" * (1 if qos else 3), qos, packet_id=qos and each) for each in (1, 2)
    ]
    packets, seen = heard(PacketReader(version), [encoded(two, version) + third])

    assert two == packets
    assert error in seen
