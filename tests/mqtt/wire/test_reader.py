"""The reader: the same packets and the same error from the same bytes, however they are cut."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speedo_trio.errors import ConfigError, IncompleteFrame, MalformedPacket, MQTTError
from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.known_topics import KNOWN
from speedo_trio.mqtt.wire.packets import (
    Connect,
    Packet,
    PingReq,
    PubAck,
    Publish,
    PubRec,
    PubRel,
)
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reader import MOST_PACKET_BYTES, PacketReader
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.runs import Run
from speedo_trio.mqtt.wire.versions import Version
from tests.mqtt.wire import strategies
from tests.mqtt.wire.examples import BOTH_WAYS, MQISDP, MQTT, READ_ONLY, V3, V4, V5
from tests.mqtt.wire.streams import cut, each_byte, outcome, with_length
from tests.mqtt.wire.test_decoder import WRONG

CONNECT = b"\x10\x0d" + MQTT + b"\x04\x02\x00\x00\x00\x01c"
PING = b"\xc0\x00"
PLAIN = b"\x30\x04\x00\x01ap"

EXAMPLES = {
    name: example
    for name, example in {**BOTH_WAYS, **READ_ONLY}.items()
    if len(example.data) < 100_000
}


def reader_of(data: bytes, version: Version) -> PacketReader:
    """One that a server has for a CONNECT, or one that knows the version."""
    return PacketReader() if data[0] >> 4 == 1 else PacketReader(version)


def ways_to_cut(data: bytes) -> list[list[bytes]]:
    """The data whole, in single bytes, and in two pieces at every place near its ends."""
    places = sorted({*range(min(len(data), 100)), *range(max(0, len(data) - 3), len(data))})
    return [[data], each_byte(data), *([data[:place], data[place:]] for place in places)]


# Cut anywhere


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_cut_anywhere(name: str) -> None:
    """Each packet of the tables comes out as one, whatever the pieces; and twice from twice."""
    version, data, packet = EXAMPLES[name]
    for chunks in ways_to_cut(data):
        assert outcome(reader_of(data, version), chunks) == ([packet], None, 0)
    if not isinstance(packet, Connect):
        for chunks in ([data * 2], [data + data[:1], data[1:]]):
            assert outcome(PacketReader(version), chunks) == ([packet] * 2, None, 0)


@pytest.mark.parametrize("name", WRONG)
def test_errors_cut_anywhere(name: str) -> None:
    """The packets before are given, then comes the error, the same whatever the pieces."""
    wrong = WRONG[name]
    data = with_length(wrong.head, wrong.body)
    if wrong.head >> 4 == 1:
        before: list[Packet] = []
        make: Callable[[], PacketReader] = PacketReader
    else:
        before, data = [PingReq()], PING + data
        make = lambda: PacketReader(wrong.version)  # noqa: E731  # beside its other half
    expected = outcome(make(), [data])

    assert before == expected.packets
    assert expected.error is not None
    assert wrong.reason == expected.error[2]
    assert expected.error[1].startswith(wrong.text)
    for chunks in ways_to_cut(data):
        assert expected == outcome(make(), chunks)


@given(
    strategies.versions.flatmap(strategies.conversations),
    st.lists(st.integers(0, 500), max_size=8),
)
def test_conversations_cut_anywhere(packets: list[Packet], places: list[int]) -> None:
    """A CONNECT fixes the version of what follows; what was encoded comes back."""
    assert isinstance(packets[0], Connect)
    version = packets[0].version
    data = b"".join(encode(packet, version) for packet in packets)
    reader = PacketReader()

    assert (packets, None, 0) == outcome(reader, cut(data, places))
    assert version == reader.version
    reader.eof()


@settings(max_examples=300)
@given(
    strategies.versions.flatmap(strategies.conversations),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), min_size=1, max_size=4),
    st.lists(st.integers(0, 300), max_size=4),
)
def test_mutations(
    packets: list[Packet], changes: list[tuple[int, int]], places: list[int]
) -> None:
    """Bytes that were changed give packets or an MQTTError, nothing else, however they are cut."""
    assert isinstance(packets[0], Connect)
    data = bytearray(b"".join(encode(packet, packets[0].version) for packet in packets))
    for place, byte in changes:
        data[place % len(data)] = byte
    whole = outcome(PacketReader(limit=1000), [bytes(data)])

    assert whole == outcome(PacketReader(limit=1000), cut(bytes(data), places))
    assert whole == outcome(PacketReader(limit=1000), each_byte(bytes(data)))
    assert whole.buffered < 1000


@given(st.binary(max_size=60), strategies.versions)
def test_garbage(data: bytes, version: Version) -> None:
    """Any bytes give packets or an MQTTError, with the fast way and without."""
    whole = outcome(PacketReader(version), [data])

    assert whole == outcome(PacketReader(version), each_byte(data))


@given(
    st.integers(0x30, 0x7F),
    st.binary(max_size=12),
    strategies.versions,
)
def test_the_fast_way_knows_the_rules(head: int, body: bytes, version: Version) -> None:
    """A frequent packet read out of the chunk is what the decoder makes of it alone."""
    data = with_length(head, b"\0\1" + body)
    KNOWN.clear()
    alone = outcome(PacketReader(version), each_byte(data))
    together = outcome(PacketReader(version), [data + PING])

    assert alone.error == together.error
    assert alone.packets == [each for each in together.packets if each != PingReq()]


# The first packet


def test_a_server_learns_the_version() -> None:
    """A reader without a version has that of the CONNECT from then on."""
    reader = PacketReader()

    assert len(list(reader.feed(CONNECT + PLAIN))) == 2
    assert reader.version is V4
    assert reader.level == 4


@pytest.mark.parametrize("data", [PING, PLAIN, b"\x20\x02\0\0", b"\0", b"GET / HTTP/1.1"])
def test_the_first_packet_is_a_connect(data: bytes) -> None:
    """[MQTT-3.1.0-1] Anything else is refused at its first byte."""
    for chunk in (data, data[:1]):
        with pytest.raises(MQTTError, match="the first packet is of type") as caught:
            list(PacketReader().feed(chunk))
        assert caught.value.reason == ReasonCode.PROTOCOL_ERROR


def test_a_second_connect() -> None:
    """[MQTT-3.1.0-2] It is a protocol error, at its first byte."""
    for chunks in ([CONNECT * 2], [CONNECT, CONNECT], [CONNECT, b"\x10"]):
        packets, error, _ = outcome(PacketReader(), chunks)
        assert [type(packet) for packet in packets] == [Connect]
        assert error == (MQTTError, "CONNECT comes again; allowed is one", 0x82)


@pytest.mark.parametrize(
    ("data", "level", "version"),
    [
        (MQTT + b"\x05\x01", 5, V5),  # [MQTT-3.1.2-3]
        (MQTT + b"\x84\x01", 0x84, V4),
        (MQTT + b"\x06", 6, None),  # [MQTT-3.1.2-2]
        (MQISDP + b"\x02", 2, None),
        (MQTT, None, None),
        (b"\0\1X\5", None, None),  # [MQTT-3.1.2-1]
    ],
)
def test_what_is_known_of_a_connect_that_is_wrong(
    data: bytes, level: int | None, version: Version | None
) -> None:
    """Level and version, as far as they were read, so that it can be answered."""
    reader = PacketReader()
    with pytest.raises(MQTTError):
        list(reader.feed(with_length(0x10, data)))

    assert level == reader.level
    assert version is reader.version


# Length and limit


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x80\x00", "the length 0 of PUBLISH has 2 bytes"),
        (b"\x85\x80\x00", "the length 5 of PUBLISH has 3 bytes"),
        (b"\xff\xff\xff\x00", "the length 2097151 of PUBLISH has 4 bytes"),
        (b"\xff\xff\xff\xff", "the length of PUBLISH goes on after 4 bytes; allowed are 4"),
        (b"\x80\x80\x80\x80\x01", "the length of PUBLISH goes on after 4 bytes"),
    ],
)
def test_a_length_that_is_none(data: bytes, text: str) -> None:
    """[MQTT-1.5.5-1] As few bytes as can be, and four at most."""
    for chunks in ways_to_cut(b"\x30" + data):
        _, error, held = outcome(PacketReader(V4), chunks)
        assert error is not None
        assert error[0] is MalformedPacket
        assert error[1].startswith(text)
        assert held == 0


@pytest.mark.parametrize(
    ("limit", "data"),
    [
        (127, b"\x30\x7e"),
        (128, b"\x30\x7f"),
        (130, b"\x30\x80\x01"),
        (1000, b"\x82\xff\xff\xff\x7f"),
        (2, b"\x40\x02"),
    ],
)
def test_too_large(limit: int, data: bytes) -> None:
    """[MQTT-3.2.2-15] [MQTT-3.1.2-24] Refused when the length has come, before the body."""
    for chunks in ways_to_cut(data):
        packets, error, held = outcome(PacketReader(V5, limit=limit), [PING, *chunks])
        assert packets == [PingReq()]
        assert error is not None
        assert error[1].endswith(f"bytes; allowed are {limit}")
        assert error[2] == ReasonCode.PACKET_TOO_LARGE
        assert held == 0
    _, error, _ = outcome(PacketReader(V5, limit=limit), [data + bytes(300)])
    assert error is not None
    assert error[2] == ReasonCode.PACKET_TOO_LARGE


@pytest.mark.parametrize("size", [2, 127, 128, 16_383, 16_384])
def test_as_large_as_the_limit(size: int) -> None:
    """Exactly the limit is allowed, one byte more is not."""
    data = with_length(0x30, b"\0\1a" + bytes(size))
    for chunks in ([data], [data[:5], data[5:]]):
        assert outcome(PacketReader(V4, limit=len(data)), chunks).error is None
        assert outcome(PacketReader(V4, limit=len(data) - 1), chunks).error is not None


def test_a_new_limit() -> None:
    """It can be raised when a client has been let in."""
    reader = PacketReader(limit=20)
    assert len(list(reader.feed(CONNECT))) == 1
    reader.limit = 200

    assert reader.limit == 200
    assert len(list(reader.feed(with_length(0x30, b"\0\1a" + bytes(100))))) == 1


@pytest.mark.parametrize("limit", [1, 0, -1, MOST_PACKET_BYTES + 1])
def test_a_limit_that_is_not_allowed(limit: int) -> None:
    """It says what is."""
    with pytest.raises(ConfigError, match=f"limit is {limit}; allowed are 2 to 268435460 bytes"):
        PacketReader(limit=limit)


def test_what_is_held_is_bounded() -> None:
    """Never more than the unfinished packet, and so than the limit."""
    reader = PacketReader(V4, limit=1000)
    data = (with_length(0x30, b"\0\1a" + bytes(900)) + PLAIN) * 3
    most = 0
    for byte in each_byte(data):
        list(reader.feed(byte))
        most = max(most, reader.buffered)

    assert most == len(with_length(0x30, b"\0\1a" + bytes(900))) - 1
    assert reader.buffered == 0


def test_the_work_is_linear() -> None:
    """A packet that comes byte by byte is looked at when there is enough of it, and not before."""
    looked_at = 0

    class Counting(PacketReader):
        __slots__ = ()

        def _cut(self, data: bytes, packets: list[Packet | Run], *, runs: bool) -> int:
            nonlocal looked_at
            looked_at += len(data)
            return super()._cut(data, packets, runs=runs)

    data = (with_length(0x30, b"\0\1a" + bytes(10_000)) + PLAIN) * 3

    assert len(outcome(Counting(V4), each_byte(data)).packets) == 6
    assert looked_at < len(data) + 6 * 15  # a header of n bytes is looked at n times


# Errors and ends


def test_an_error_ends_the_stream() -> None:
    """The result can be iterated again; each further call gives the same error and no packet."""
    reader = PacketReader(V4)
    result = reader.feed(PLAIN + PING + b"\x00" + PLAIN)
    for _ in range(2):
        packets = iter(result)
        assert [next(packets), next(packets)] == [Publish(b"a", b"p"), PingReq()]
        with pytest.raises(MalformedPacket, match="the packet type is 0"):
            next(packets)

    for data in (PLAIN, b""):
        with pytest.raises(MalformedPacket, match="the packet type is 0") as caught:
            list(reader.feed(data))
        assert caught.value.reason == ReasonCode.MALFORMED_PACKET
    assert reader.buffered == 0
    reader.eof()


def test_no_bytes_change_nothing() -> None:
    """Neither before anything nor inside a packet."""
    reader = PacketReader()
    assert list(reader.feed(b"")) == []
    assert list(reader.feed(CONNECT[:5])) == []
    assert list(reader.feed(b"")) == []
    assert reader.buffered == 5
    assert len(list(reader.feed(CONNECT[5:]))) == 1


def test_the_end_inside_a_packet() -> None:
    """It is told, with how far the packet has come."""
    reader = PacketReader(V4)
    list(reader.feed(PLAIN + PLAIN[:3]))
    with pytest.raises(IncompleteFrame, match="the stream ended 3 bytes into a packet"):
        reader.eof()


# Frequent packets


def test_the_raw_bytes() -> None:
    """QoS 0, no properties, not retained: the packet has its own bytes, to be sent on."""
    for version, data in ((V3, PLAIN), (V4, PLAIN), (V5, b"\x30\x04\x00\x01a\x00")):
        for chunks in ([PING + data * 2], each_byte(PING + data * 2)):
            _, *published = outcome(PacketReader(version), chunks).packets
            assert [each.raw for each in published if isinstance(each, Publish)] == [data, data]


@pytest.mark.parametrize(
    "packet",
    [
        Publish(b"a", retain=True),
        Publish(b"a", qos=1, packet_id=1),
        Publish(b"a", properties=Properties(content_type="t")),
        Publish(b"a", bytes(16_384)),
    ],
)
def test_no_raw_bytes(packet: Publish) -> None:
    """Those of other packets must not be sent on as they are."""
    [read] = PacketReader(V5).feed(encode(packet, V5))

    assert isinstance(read, Publish)
    assert read.raw is None


def test_a_topic_is_one_object() -> None:
    """Readers share the names that they know."""
    [first], [second] = (PacketReader(V4).feed(PLAIN) for _ in range(2))

    assert isinstance(first, Publish)
    assert isinstance(second, Publish)
    assert first.topic is second.topic


@pytest.mark.parametrize("version", Version)
def test_answers(version: Version) -> None:
    """Those without a reason are the same in all versions."""
    data = b"\x40\x02\x00\x01\x50\x02\x01\x00\x62\x02\xff\xff"

    assert list(PacketReader(version).feed(data)) == [PubAck(1), PubRec(256), PubRel(65535)]
