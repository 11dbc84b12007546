"""Frames: the same ones and the same error from the same bytes, however they are cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speedo_trio.errors import FrameTooLong, IncompleteFrame, MalformedFrame, ProtocolError
from speedo_trio.simplepub import frames
from speedo_trio.simplepub.frames import (
    MAX_PAYLOAD,
    MAX_REASON,
    FrameReader,
    FrameType,
    decode_filters,
    decode_pub,
    decode_reason,
    encode_disconnect,
    encode_pub,
    encode_sub,
    encode_unsub,
)

Limited = partial(FrameReader, limit=4)


class Outcome(NamedTuple):
    """What feeding some chunks to a reader comes to."""

    frames: list[bytes]
    error: str | None
    buffered: int


def outcome(reader: FrameReader, chunks: Iterable[bytes]) -> Outcome:
    """Feed the chunks up to the first error."""
    got: list[bytes] = []
    for chunk in chunks:
        try:
            # Not extend(list(...)), which would lose the frames before an error.
            got.extend(frame for frame in reader.feed(chunk))
        except ProtocolError as error:
            return Outcome(got, f"{type(error).__name__}: {error}", reader.buffered)
    return Outcome(got, None, reader.buffered)


def each_byte(data: bytes) -> list[bytes]:
    """Cut data into single bytes."""
    return [bytes([byte]) for byte in data]


def ways_to_cut(data: bytes) -> Iterator[list[bytes]]:
    """Give the data whole, in single bytes, and in two pieces at every place."""
    yield [data]
    yield each_byte(data)
    yield from ([data[:place], data[place:]] for place in range(len(data) + 1))


PUB = b"\x01\x00\x00\x04\x00\x00\x01t"
SUB = b"\x02\x00\x00\x03\x00\x01f"
PING = b"\x02\x00\x00\x00"
UNSUB = b"\x03\x00\x00\x00"
GOODBYE = b"\x04\x00\x00\x02no"

# the bytes, the frames in them, the bytes then held
GOOD: dict[str, tuple[bytes, list[bytes], int]] = {
    "nothing": (b"", [], 0),
    "each type": (PUB + SUB + UNSUB + GOODBYE, [PUB, SUB, UNSUB, GOODBYE], 0),
    "without payload": (PING + UNSUB, [PING, UNSUB], 0),
    "at the limit": (PUB * 3, [PUB] * 3, 0),
    "unfinished: the type": (PUB + b"\x04", [PUB], 1),
    "unfinished: the length": (PUB + b"\x04\x00\x00", [PUB], 3),
    "unfinished: a header without its payload": (PING + SUB[:4], [PING], 4),
    "unfinished: a byte is missing": (SUB + PUB[:-1], [SUB], 7),
}

TYPES = "allowed are 1 PUB, 2 SUB, 3 UNSUB, 4 DISCONNECT"

# the bytes up to the first that makes the error certain, the frames before, the error
BAD: dict[str, tuple[bytes, list[bytes], str]] = {
    "type 0": (b"\x00", [], f"MalformedFrame: a frame of type 0; {TYPES}"),
    "type 5": (PUB + b"\x05", [PUB], f"MalformedFrame: a frame of type 5; {TYPES}"),
    "type 255": (SUB + b"\xff", [SUB], f"MalformedFrame: a frame of type 255; {TYPES}"),
    "a type where the original looked for it": (
        b"\x40",
        [],
        f"MalformedFrame: a frame of type 64; {TYPES}",
    ),
    "over the limit": (
        PUB + GOODBYE + b"\x01\x00\x00\x05",
        [PUB, GOODBYE],
        "FrameTooLong: a payload of 5 bytes; allowed are at most 4",
    ),
    "over the limit, the length's other bytes": (
        b"\x02\x01\x02\x00",
        [],
        "FrameTooLong: a payload of 66048 bytes; allowed are at most 4",
    ),
    "the longest that can be told": (
        b"\x03\xff\xff\xff",
        [],
        "FrameTooLong: a payload of 16777215 bytes; allowed are at most 4",
    ),
}

each_good = pytest.mark.parametrize("name", GOOD)
each_bad = pytest.mark.parametrize("name", BAD)


# Reading


@each_good
def test_gives_the_frames_and_holds_the_rest(name: str) -> None:
    """Good bytes give their frames, however cut, and the unfinished end is held."""
    data, expected, held = GOOD[name]

    for chunks in ways_to_cut(data):
        assert Outcome(expected, None, held) == outcome(Limited(), chunks), chunks


@each_bad
def test_gives_the_frames_before_the_error(name: str) -> None:
    """Bad bytes give the good frames before them, then the error; nothing stays held."""
    data, expected, error = BAD[name]

    for chunks in ways_to_cut(data):
        assert Outcome(expected, error, 0) == outcome(Limited(), chunks), chunks


@each_bad
def test_looks_no_further_than_the_error(name: str) -> None:
    """What follows the bad bytes, even good frames, changes nothing."""
    data, expected, error = BAD[name]

    for chunks in ways_to_cut(data + PUB + PING):
        assert Outcome(expected, error, 0) == outcome(Limited(), chunks), chunks


@each_bad
def test_errs_at_the_first_byte_that_makes_it_certain(name: str) -> None:
    """Without the last bad byte there is no error: a type is told before its length has come."""
    data, expected, _ = BAD[name]

    for chunks in ways_to_cut(data[:-1]):
        result = outcome(Limited(), chunks)

        assert (expected, None) == (result.frames, result.error), chunks


@each_bad
def test_stays_broken(name: str) -> None:
    """After an error every further feed gives no frame, and that error again, as a new one."""
    data, _, error = BAD[name]
    reader = Limited()
    reader.feed(data)

    for more in (b"", b"\x01", PUB):
        assert Outcome([], error, 0) == outcome(reader, [more])
    reader.eof()  # has nothing to add


def test_each_error_is_a_new_one() -> None:
    """It is not one exception raised over and over, with an ever longer traceback."""
    reader = FrameReader()
    errors = []
    for _ in range(2):
        with pytest.raises(MalformedFrame) as caught:
            list(reader.feed(b"\0"))
        errors.append(caught.value)

    assert errors[0] is not errors[1]


@each_good
def test_eof_knows_whether_it_is_inside_a_frame(name: str) -> None:
    """It raises IncompleteFrame with the bytes held, or nothing between frames."""
    data, _, held = GOOD[name]
    reader = Limited()
    reader.feed(data)

    if held:
        text = f"^the stream ended {held} bytes into a frame; it may end only between frames$"
        with pytest.raises(IncompleteFrame, match=text):
            reader.eof()
    else:
        reader.eof()


def test_reads_the_longest_frame() -> None:
    """Three bytes of length can be used to the last."""
    frame = b"\x04\xff\xff\xff" + bytes(MAX_PAYLOAD)

    assert Outcome([frame, PING], None, 0) == outcome(FrameReader(), [frame + PING])
    assert Outcome([], None, len(frame) - 1) == outcome(FrameReader(), [frame[:-1]])


# Encoding

ENCODED: dict[str, tuple[Callable[[], bytes], bytes]] = {
    "PUB": (lambda: encode_pub(b"a/b", b"xyz"), b"\x01\x00\x00\x09\x00\x00\x03a/bxyz"),
    "PUB, retained": (
        lambda: encode_pub(b"t", b"x", retain=True),
        b"\x01\x00\x00\x05\x01\x00\x01tx",
    ),
    "PUB without body": (lambda: encode_pub(b"t", b""), b"\x01\x00\x00\x04\x00\x00\x01t"),
    "PUB of 256 bytes": (
        lambda: encode_pub(b"t", b"x" * 252),
        b"\x01\x00\x01\x00\x00\x00\x01t" + b"x" * 252,
    ),
    "PUB with a topic of 256 bytes": (
        lambda: encode_pub(b"t" * 256, b"x"),
        b"\x01\x00\x01\x04\x00\x01\x00" + b"t" * 256 + b"x",
    ),
    "SUB": (lambda: encode_sub([b"a/#", b"+"]), b"\x02\x00\x00\x08\x00\x03a/#\x00\x01+"),
    "SUB of nothing": (lambda: encode_sub([]), b"\x02\x00\x00\x00"),
    "UNSUB": (lambda: encode_unsub([b"a"]), b"\x03\x00\x00\x03\x00\x01a"),
    "DISCONNECT": (lambda: encode_disconnect("so"), b"\x04\x00\x00\x02so"),
    "DISCONNECT without reason": (encode_disconnect, b"\x04\x00\x00\x00"),
    "DISCONNECT, a long reason": (
        lambda: encode_disconnect("x" * (MAX_REASON + 1)),
        b"\x04\x00\x03\xe8" + b"x" * MAX_REASON,
    ),
    "DISCONNECT, cut inside a character": (
        lambda: encode_disconnect("x" * (MAX_REASON - 1) + "é"),
        b"\x04\x00\x03\xe7" + b"x" * (MAX_REASON - 1),
    ),
    "DISCONNECT, half a surrogate": (lambda: encode_disconnect("\ud800"), b"\x04\x00\x00\x01?"),
}


@pytest.mark.parametrize("name", ENCODED)
def test_encodes_these_bytes(name: str) -> None:
    """To the byte, and a reader takes it for one frame."""
    encode, expected = ENCODED[name]

    assert expected == encode()
    assert Outcome([expected], None, 0) == outcome(FrameReader(), [encode()])


@pytest.mark.parametrize("kind", FrameType)
def test_the_type_is_the_first_byte(kind: FrameType) -> None:
    """The original shifted the header by 6 bits and not by 24, and found types in the length."""
    encoded = {
        FrameType.PUB: encode_pub(b"topic", b"body"),
        FrameType.SUB: encode_sub([b"filter"]),
        FrameType.UNSUB: encode_unsub([b"filter"]),
        FrameType.DISCONNECT: encode_disconnect("reason"),
    }[kind]

    assert kind == encoded[0]
    assert len(encoded) - 4 == int.from_bytes(encoded[1:4], "big")


def test_encodes_the_longest_payload() -> None:
    """And with one byte more it is refused."""
    topic, body = b"t", bytes(MAX_PAYLOAD - 4)

    assert encode_pub(topic, body).startswith(b"\x01\xff\xff\xff")
    with pytest.raises(FrameTooLong, match="a payload of 16777216 bytes; allowed are at most 1677"):
        encode_pub(topic, body + b"x")


def test_encodes_the_longest_topic_and_filter() -> None:
    """And with one byte more it is refused."""
    longest = b"x" * 0xFFFF

    assert encode_pub(longest, b"")[4:7] == b"\x00\xff\xff"
    assert encode_sub([longest])[4:6] == b"\xff\xff"
    with pytest.raises(FrameTooLong, match="a topic of 65536 bytes; allowed are at most 65535"):
        encode_pub(longest + b"x", b"")
    for encode in (encode_sub, encode_unsub):
        with pytest.raises(FrameTooLong, match="a filter of 65536 bytes; allowed are at most 6"):
            encode([b"a", longest + b"x"])
        with pytest.raises(FrameTooLong, match="a payload of 16777472 bytes; allowed"):
            encode([longest] * 256)


# Decoding

BAD_PUBS = {
    b"": "a PUB of 0 bytes; it has flags and a topic's length in 3",
    b"\x00\x00": "a PUB of 2 bytes; it has flags and a topic's length in 3",
    b"\x02\x00\x00": "a PUB with flags 0x02; allowed are 0x00 and 0x01, retain",
    b"\x81\x00\x00": "a PUB with flags 0x81; allowed are 0x00 and 0x01, retain",
    b"\x00\x00\x02t": "a PUB with a topic of 2 bytes; 1 are there",
    b"\x01\xff\xfftopic": "a PUB with a topic of 65535 bytes; 5 are there",
}

BAD_FILTERS = {
    b"\x00": "a list of filters with 1 byte left; a filter's length has 2",
    b"\x00\x01a\x00": "a list of filters with 1 byte left; a filter's length has 2",
    b"\x00\x02a": "a filter of 2 bytes; 1 are there",
    b"\x00\x01a\x01\x00": "a filter of 256 bytes; 0 are there",
}


def framed(kind: FrameType, payload: bytes) -> bytes:
    """A frame with that payload."""
    return bytes([kind]) + len(payload).to_bytes(3, "big") + payload


@pytest.mark.parametrize("payload", BAD_PUBS)
def test_a_pub_whose_parts_are_wrong(payload: bytes) -> None:
    """The error tells what was seen and what is allowed."""
    with pytest.raises(MalformedFrame) as caught:
        decode_pub(framed(FrameType.PUB, payload))

    assert BAD_PUBS[payload] == str(caught.value)


@pytest.mark.parametrize("payload", BAD_FILTERS)
def test_filters_whose_lengths_are_wrong(payload: bytes) -> None:
    """The error tells what was seen and what is there."""
    with pytest.raises(MalformedFrame) as caught:
        decode_filters(framed(FrameType.SUB, payload))

    assert BAD_FILTERS[payload] == str(caught.value)


def test_a_reason_of_any_bytes_is_text() -> None:
    """A reason is shown to people; bytes that are no UTF-8 don't make it an error."""
    assert decode_reason(b"\x04\x00\x00\x02\xffa") == "\ufffda"
    assert decode_reason(b"\x04\x00\x00\x00") == ""


# Properties, for any bytes. No deadline, as a busy machine is no bug.

some_examples = settings(max_examples=150, deadline=None)
meaningful = st.lists(st.sampled_from(b"\x00\x00\x00\x00\x01\x02\x03\x04\x05"), max_size=16).map(
    bytes
)
some_chunks = st.lists(meaningful | meaningful | st.binary(max_size=12), max_size=8)


@some_examples
@given(chunks=some_chunks)
def test_cutting_makes_no_difference(chunks: list[bytes]) -> None:
    """Any bytes in any chunks come to the same as fed whole, and as fed byte by byte."""
    whole = b"".join(chunks)
    expected = outcome(Limited(), [whole])

    assert expected == outcome(Limited(), chunks)
    assert expected == outcome(Limited(), each_byte(whole))


@some_examples
@given(chunks=some_chunks)
def test_frames_are_those_of_a_naive_model(chunks: list[bytes]) -> None:
    """The reader does what a slow, obvious implementation does."""
    assert naive(b"".join(chunks)) == outcome(Limited(), chunks)._replace(error=None)


def naive(data: bytes) -> Outcome:
    """The frames in `data`, in the plainest way; without the text of an error."""
    got: list[bytes] = []
    while data:
        if data[0] not in {1, 2, 3, 4}:
            return Outcome(got, None, 0)
        length = int.from_bytes(data[1:4], "big")
        if len(data) >= 4 and length > 4:
            return Outcome(got, None, 0)
        if len(data) < 4 or len(data) < 4 + length:
            return Outcome(got, None, len(data))
        got.append(data[: 4 + length])
        data = data[4 + length :]
    return Outcome(got, None, 0)


@some_examples
@given(data=st.data())
def test_good_streams_come_back_however_cut(data: st.DataObject) -> None:
    """What was encoded is what is read and decoded, in any chunks, with nothing left."""
    wanted = data.draw(st.lists(st.tuples(st.binary(), st.binary(), st.booleans()), max_size=6))
    filters = data.draw(st.lists(st.binary(), max_size=4))
    wire = b"".join(encode_pub(topic, body, retain=kept) for topic, body, kept in wanted)
    wire += encode_sub(filters) + encode_unsub(filters) + encode_disconnect("done")
    places = data.draw(st.lists(st.integers(0, len(wire)), max_size=6).map(sorted))
    chunks = [wire[i:j] for i, j in zip([0, *places], [*places, len(wire)], strict=True)]
    *published, sub, unsub, goodbye = outcome(FrameReader(), chunks).frames

    assert wanted == [decode_pub(frame) for frame in published]
    assert filters == decode_filters(sub) == decode_filters(unsub)
    assert decode_reason(goodbye) == "done"


@some_examples
@given(payload=st.binary(max_size=12) | meaningful)
def test_garbage_is_refused_and_no_more(payload: bytes) -> None:
    """Decoding any payload gives its parts, which encode to it again, or MalformedFrame."""
    pub, sub = framed(FrameType.PUB, payload), framed(FrameType.SUB, payload)
    try:
        topic, body, retain = decode_pub(pub)
        assert pub == encode_pub(topic, body, retain=retain)
    except MalformedFrame:
        pass
    try:
        assert sub == encode_sub(decode_filters(sub))
    except MalformedFrame:
        pass
    decode_reason(framed(FrameType.DISCONNECT, payload))


@some_examples
@given(chunks=some_chunks)
def test_holds_no_more_than_one_unfinished_frame(chunks: list[bytes]) -> None:
    """However long a peer sends, in whatever chunks, what is held has a bound."""
    reader = Limited()

    for chunk in chunks:
        reader.feed(chunk)

        assert reader.buffered < 4 + 4


# Work


class CountingBytes(bytearray):
    """What a reader holds, counting the bytes that are read back from it."""

    read = 0

    def __bytes__(self) -> bytes:
        CountingBytes.read += len(self)
        return bytes(memoryview(self))


def test_a_large_frame_in_small_pieces_is_read_back_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The work is linear: what is held is not looked at again with each read."""
    monkeypatch.setattr(frames, "bytearray", CountingBytes, raising=False)
    CountingBytes.read = 0
    frame = framed(FrameType.PUB, bytes(1 << 16))

    assert Outcome([frame], None, 0) == outcome(FrameReader(), each_byte(frame))
    assert len(frame) <= CountingBytes.read <= len(frame) + 4
