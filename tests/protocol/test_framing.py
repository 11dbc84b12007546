"""Framers: the same frames and the same error from the same bytes, however they are cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speedo_trio.errors import (
    ConfigError,
    FrameTooLong,
    HandlerError,
    IncompleteFrame,
    MalformedFrame,
    ProtocolError,
)
from speedo_trio.protocol import framing
from speedo_trio.protocol.framing import (
    DelimiterFramer,
    FixedFramer,
    Framer,
    LengthPrefixFramer,
    LineFramer,
    NetstringFramer,
)

Line = partial(LineFramer, limit=4)
Semicolons = partial(DelimiterFramer, b";", limit=4)
DoubleLine = partial(DelimiterFramer, b"\r\n\r\n", limit=4)
TwoA = partial(DelimiterFramer, b"aa", limit=4)
AtEnd = partial(DelimiterFramer, b"aab", limit=1)
Prefix1 = partial(LengthPrefixFramer, 1, limit=4)
Prefix2 = partial(LengthPrefixFramer, 2, limit=4)
Prefix2Little = partial(LengthPrefixFramer, 2, "little", limit=4)
Prefix3 = partial(LengthPrefixFramer, 3, limit=4)
Prefix3Little = partial(LengthPrefixFramer, 3, "little", limit=4)
Prefix4 = partial(LengthPrefixFramer, 4, limit=4)
Prefix8Little = partial(LengthPrefixFramer, 8, "little", limit=4)
Varint = partial(LengthPrefixFramer, "varint", limit=4)
Varint200 = partial(LengthPrefixFramer, "varint", limit=200)
Fixed = partial(FixedFramer, 4)
Netstring = partial(NetstringFramer, limit=12)


class Outcome(NamedTuple):
    """What feeding some chunks to a framer comes to."""

    frames: list[bytes]
    error: type[ProtocolError] | None
    buffered: int


def outcome(framer: Framer, chunks: Iterable[bytes]) -> Outcome:
    """Feed the chunks up to the first error."""
    frames: list[bytes] = []
    for chunk in chunks:
        try:
            # Not extend(list(...)), which would lose the frames before an error.
            frames.extend(frame for frame in framer.feed(chunk))
        except ProtocolError as error:
            return Outcome(frames, type(error), framer.buffered)
    return Outcome(frames, None, framer.buffered)


def each_byte(data: bytes) -> list[bytes]:
    """Cut data into single bytes."""
    return [bytes([byte]) for byte in data]


def ways_to_cut(data: bytes) -> Iterator[list[bytes]]:
    """Give the data whole, in single bytes, and in two pieces at every place."""
    yield [data]
    yield each_byte(data)
    yield from ([data[:place], data[place:]] for place in range(len(data) + 1))


# factory, the bytes, the frames in them, the bytes then held
GOOD: dict[str, tuple[Callable[[], Framer], bytes, list[bytes], int]] = {
    "line: nothing": (Line, b"", [], 0),
    "line: LF": (Line, b"a\nbc\n", [b"a", b"bc"], 0),
    "line: CRLF": (Line, b"a\r\nbc\r\n", [b"a", b"bc"], 0),
    "line: LF and CRLF": (Line, b"a\nb\r\nc\n", [b"a", b"b", b"c"], 0),
    "line: empty lines": (Line, b"\n\r\n\n", [b"", b"", b""], 0),
    "line: CR inside is data": (Line, b"a\rb\n\rc\n", [b"a\rb", b"\rc"], 0),
    "line: one CR is stripped, not two": (Line, b"a\r\r\n", [b"a\r"], 0),
    "line: at the limit": (Line, b"abcd\nabcd\n", [b"abcd", b"abcd"], 0),
    "line: at the limit, CRLF": (Line, b"abcd\r\nabcd\r\n", [b"abcd", b"abcd"], 0),
    "line: at the limit, data ends in CR": (Line, b"abc\r\r\n", [b"abc\r"], 0),
    "line: unfinished": (Line, b"a\nbcd", [b"a"], 3),
    "line: unfinished at the limit": (Line, b"a\nabcd", [b"a"], 4),
    "line: unfinished at the limit, CR": (Line, b"a\nabcd\r", [b"a"], 5),
    "delimiter: one byte": (Semicolons, b"a;;bc;", [b"a", b"", b"bc"], 0),
    "delimiter: a CR is data": (Semicolons, b"a\r;", [b"a\r"], 0),
    "delimiter: at the limit": (Semicolons, b"abcd;abcd", [b"abcd"], 4),
    "delimiter: four bytes": (DoubleLine, b"a\r\n\r\n\r\n\r\nb\r\n\r\n", [b"a", b"", b"b"], 0),
    "delimiter: half of one is data": (DoubleLine, b"a\r\nb\r\n\r\n", [b"a\r\nb"], 0),
    "delimiter: CR before it is data": (DoubleLine, b"a\r\r\n\r\n", [b"a\r"], 0),
    "delimiter: four bytes at the limit": (DoubleLine, b"abcd\r\n\r\n", [b"abcd"], 0),
    "delimiter: unfinished at the limit": (DoubleLine, b"abcd\r\n\r", [], 7),
    "delimiter: overlaps itself": (TwoA, b"aaa", [b""], 1),
    "delimiter: overlaps itself, leftmost": (TwoA, b"baaa", [b"b"], 1),
    "delimiter: a false start": (AtEnd, b"aaab", [b"a"], 0),
    "delimiter: a false start, unfinished": (AtEnd, b"aaa", [], 3),
    "prefix 1": (Prefix1, b"\x02ab\x00\x01c", [b"ab", b"", b"c"], 0),
    "prefix 2": (Prefix2, b"\x00\x02ab\x00\x00", [b"ab", b""], 0),
    "prefix 2, little": (Prefix2Little, b"\x02\x00ab\x00\x00", [b"ab", b""], 0),
    "prefix 3": (Prefix3, b"\x00\x00\x02ab", [b"ab"], 0),
    "prefix 3, little": (Prefix3Little, b"\x02\x00\x00ab", [b"ab"], 0),
    "prefix 4": (Prefix4, b"\x00\x00\x00\x02ab", [b"ab"], 0),
    "prefix 8, little": (Prefix8Little, b"\x02" + bytes(7) + b"ab", [b"ab"], 0),
    "prefix: at the limit": (Prefix2, b"\x00\x04abcd", [b"abcd"], 0),
    "prefix: unfinished header": (Prefix2, b"\x00\x01a\x00", [b"a"], 1),
    "prefix: unfinished payload": (Prefix2, b"\x00\x01a\x00\x04abc", [b"a"], 5),
    "prefix: header only": (Prefix2, b"\x00\x04", [], 2),
    "varint: one byte": (Varint, b"\x02ab\x00\x01c", [b"ab", b"", b"c"], 0),
    "varint: at the limit": (Varint, b"\x04abcd", [b"abcd"], 0),
    "varint: the longest of one byte": (Varint200, b"\x7f" + bytes(127), [bytes(127)], 0),
    "varint: the shortest of two bytes": (Varint200, b"\x80\x01" + bytes(128), [bytes(128)], 0),
    "varint: two bytes at the limit": (Varint200, b"\xc8\x01" + bytes(200), [bytes(200)], 0),
    "varint: unfinished header": (Varint200, b"\x01a\x80", [b"a"], 1),
    "varint: unfinished payload": (Varint200, b"\x80\x01" + bytes(127), [], 129),
    "fixed": (Fixed, b"abcdefgh", [b"abcd", b"efgh"], 0),
    "fixed: unfinished": (Fixed, b"abcdefg", [b"abcd"], 3),
    "netstring": (Netstring, b"12:hello world!,1:a,", [b"hello world!", b"a"], 0),
    "netstring: empty": (Netstring, b"0:,0:,", [b"", b""], 0),
    "netstring: its own signs inside": (Netstring, b"5:1:a,,,", [b"1:a,,"], 0),
    "netstring: unfinished length": (Netstring, b"1:a,1", [b"a"], 1),
    "netstring: unfinished, length only": (Netstring, b"12:", [], 3),
    "netstring: unfinished payload": (Netstring, b"2:a", [], 3),
    "netstring: no comma yet": (Netstring, b"2:ab", [], 4),
}

# factory, the bytes up to the first that makes the error certain, the frames before, the error
BAD: dict[str, tuple[Callable[[], Framer], bytes, list[bytes], type[ProtocolError]]] = {
    "line: over the limit": (Line, b"abcd\nabcde", [b"abcd"], FrameTooLong),
    "line: over the limit by CR": (Line, b"a\nabcd\r\r", [b"a"], FrameTooLong),
    "line: over the limit, CR then data": (Line, b"abcd\re", [], FrameTooLong),
    "delimiter: over the limit": (Semicolons, b"a;abcde", [b"a"], FrameTooLong),
    "delimiter: over, no delimiter after": (DoubleLine, b"abcd\r\n\n", [], FrameTooLong),
    "delimiter: over, first byte": (DoubleLine, b"abcde", [], FrameTooLong),
    "delimiter: over by a false start": (AtEnd, b"aaaa", [], FrameTooLong),
    "prefix: over the limit": (Prefix2, b"\x00\x01a\x00\x05", [b"a"], FrameTooLong),
    "prefix: over the limit, little": (Prefix2Little, b"\x00\x01", [], FrameTooLong),
    "prefix: all ones": (Prefix4, b"\xff\xff\xff\xff", [], FrameTooLong),
    "varint: over the limit": (Varint, b"\x01a\x05", [b"a"], FrameTooLong),
    "varint: over the limit in two bytes": (Varint200, b"\xc9\x01", [], FrameTooLong),
    "varint: over by too many bytes": (Varint, b"\x80", [], FrameTooLong),
    "varint: over by too many, two bytes": (Varint200, b"\x80\x80", [], FrameTooLong),
    "varint: overlong zero": (Varint200, b"\x80\x00", [], MalformedFrame),
    "varint: overlong number": (Varint200, b"\x01a\x84\x00", [b"a"], MalformedFrame),
    "netstring: over the limit": (Netstring, b"1:a,13", [b"a"], FrameTooLong),
    "netstring: over the limit by digits": (Netstring, b"99", [], FrameTooLong),
    "netstring: over by more digits": (Netstring, b"100", [], FrameTooLong),
    "netstring: leading zero": (Netstring, b"1:a,01", [b"a"], MalformedFrame),
    "netstring: two zeros": (Netstring, b"00", [], MalformedFrame),
    "netstring: no digits": (Netstring, b":", [], MalformedFrame),
    "netstring: a letter": (Netstring, b"a", [], MalformedFrame),
    "netstring: a letter after digits": (Netstring, b"1a", [], MalformedFrame),
    "netstring: a sign": (Netstring, b"-", [], MalformedFrame),
    "netstring: a space": (Netstring, b"1 ", [], MalformedFrame),
    "netstring: an underscore": (Netstring, b"1_", [], MalformedFrame),
    "netstring: no comma": (Netstring, b"0:,2:abc", [b""], MalformedFrame),
    "netstring: no comma after nothing": (Netstring, b"0:x", [], MalformedFrame),
}

# factory, bytes that mean something to it, the most bytes that it may hold
KINDS: dict[str, tuple[Callable[[], Framer], bytes, bytes]] = {
    "line": (Line, b"\r\nab", b"abcd\r"),
    "line, limit 1": (partial(LineFramer, limit=1), b"\r\nab", b"a\r"),
    "semicolons": (Semicolons, b";ab", b"abcd"),
    "double line": (DoubleLine, b"\r\na", b"abcd\r\n\r"),
    "two a": (TwoA, b"ab", b"bbbba"),
    "at end": (AtEnd, b"ab", b"baa"),
    "abab, limit 1": (partial(DelimiterFramer, b"abab", limit=1), b"ab", b"baba"),
    "prefix 1": (Prefix1, b"\x00\x01\x04\x05", b"\x04abc"),
    "prefix 2": (Prefix2, b"\x00\x00\x00\x01\x04\x05", b"\x00\x04abc"),
    "prefix 2, little": (Prefix2Little, b"\x00\x00\x00\x01\x04\x05", b"\x04\x00abc"),
    "prefix 3": (Prefix3, b"\x00\x00\x00\x00\x01\x04\x05", b"\x00\x00\x04abc"),
    "prefix 8, little": (Prefix8Little, bytes(20) + b"\x01\x04\x05", b"\x04" + bytes(10)),
    "varint": (Varint, b"\x00\x01\x04\x05\x80", b"\x04abc"),
    "varint, 200": (Varint200, b"\x00\x01\x04\x7f\x80\x81\xc8", b"\xc8\x01" + bytes(199)),
    "fixed": (Fixed, b"ab", b"abc"),
    "netstring": (Netstring, b"00123:,,a", b"12:hello world!"),
    "netstring, limit 9": (partial(NetstringFramer, limit=9), b"00129:,,a", b"9:" + bytes(9)),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def chunks_for(kind: str) -> st.SearchStrategy[list[bytes]]:
    """Chunks of any bytes, and more often of those that mean something to this framer."""
    meaningful = st.lists(st.sampled_from(KINDS[kind][1]), max_size=12).map(bytes)
    return st.lists(meaningful | meaningful | st.binary(max_size=12), max_size=8)


def payloads_for(framer: Framer) -> st.SearchStrategy[bytes]:
    """Payloads that encode accepts."""
    if isinstance(framer, FixedFramer):
        return st.binary(min_size=framer.limit, max_size=framer.limit)
    return st.binary(max_size=5).filter(partial(is_encodable, framer))


def is_encodable(framer: Framer, payload: bytes) -> bool:
    """Whether encode accepts the payload."""
    try:
        framer.encode(payload)
    except HandlerError:
        return False
    return True


@pytest.mark.parametrize("name", GOOD)
def test_gives_the_frames_and_holds_the_rest(name: str) -> None:
    """Good bytes give their frames, however cut, and the unfinished end is held."""
    factory, data, frames, held = GOOD[name]

    for chunks in ways_to_cut(data):
        assert Outcome(frames, None, held) == outcome(factory(), chunks), chunks


@pytest.mark.parametrize("name", GOOD)
def test_gives_a_list_of_bytes(name: str) -> None:
    """The result for good bytes is a plain list of plain bytes, whether or not some were held."""
    factory, data, _, _ = GOOD[name]

    for chunks in ways_to_cut(data):
        framer = factory()
        for chunk in chunks:
            frames = framer.feed(chunk)

            assert type(frames) is list
            assert all(type(frame) is bytes for frame in frames)


@pytest.mark.parametrize("name", BAD)
def test_gives_the_frames_before_the_error(name: str) -> None:
    """Bad bytes give the good frames before them, then the error; nothing stays held."""
    factory, data, frames, error = BAD[name]

    for chunks in ways_to_cut(data):
        assert Outcome(frames, error, 0) == outcome(factory(), chunks), chunks


@pytest.mark.parametrize("name", BAD)
def test_looks_no_further_than_the_error(name: str) -> None:
    """What follows the bad bytes, even good frames, changes nothing."""
    factory, data, frames, error = BAD[name]
    more = data + b"\r\n\r\n;aab\x00\x01a1:a,aaaaaaaa"

    for chunks in ways_to_cut(more):
        assert Outcome(frames, error, 0) == outcome(factory(), chunks), chunks


@pytest.mark.parametrize("name", BAD)
def test_errs_at_the_first_byte_that_makes_it_certain(name: str) -> None:
    """Without the last bad byte there is no error, whole or byte by byte."""
    factory, data, frames, _ = BAD[name]

    for chunks in ways_to_cut(data[:-1]):
        result = outcome(factory(), chunks)

        assert (frames, None) == (result.frames, result.error), chunks


@pytest.mark.parametrize("name", BAD)
def test_stays_broken(name: str) -> None:
    """After an error every further feed gives no frame and raises the same kind of error."""
    factory, data, _, error = BAD[name]
    framer = factory()
    framer.feed(data)

    for more in (b"", b"a", b"\n", b"1:a,", b"\x00\x01a;"):
        assert Outcome([], error, 0) == outcome(framer, [more])


@pytest.mark.parametrize("name", BAD)
def test_is_silent_at_the_end_of_a_broken_stream(name: str) -> None:
    """After an error eof has nothing to add."""
    factory, data, _, _ = BAD[name]
    framer = factory()
    framer.feed(data)

    framer.eof()


@pytest.mark.parametrize("name", GOOD)
def test_eof_knows_whether_it_is_inside_a_frame(name: str) -> None:
    """eof raises IncompleteFrame with the bytes held, or nothing between frames."""
    factory, data, _, held = GOOD[name]
    framer = factory()
    framer.feed(data)

    if held:
        with pytest.raises(IncompleteFrame, match=f" {held} bytes into a frame"):
            framer.eof()
    else:
        framer.eof()


def test_broken_result_can_be_iterated_again() -> None:
    """Like a list, the result with an error gives the same for each iteration."""
    result = Line().feed(b"a\nb\nabcdef")

    for _ in range(2):
        frames = iter(result)

        assert [b"a", b"b"] == [next(frames), next(frames)]
        with pytest.raises(FrameTooLong):
            next(frames)


def test_each_error_is_a_new_one() -> None:
    """The error is not one exception raised over and over, with an ever longer traceback."""
    framer = Line()
    errors = []
    for _ in range(2):
        with pytest.raises(FrameTooLong) as caught:
            list(framer.feed(b"abcdef"))
        errors.append(caught.value)

    assert errors[0] is not errors[1]
    assert str(errors[0]) == str(errors[1])


@each_kind
def test_works_whether_or_not_results_are_pulled(kind: str) -> None:
    """Frames are computed by feed; a result that nobody looked at is not fed again."""
    framer = KINDS[kind][0]()
    frame = framer.encode(b"abcd" if isinstance(framer, FixedFramer) else b"b")
    payload = next(iter(framer.feed(frame)))
    framer.feed(frame + frame[:1])

    assert [payload] == list(framer.feed(frame[1:]))


def test_is_broken_even_if_the_error_was_not_pulled() -> None:
    """The error of a result that nobody pulled comes again with the next."""
    framer = Line()
    framer.feed(b"abcdef\n")

    with pytest.raises(FrameTooLong):
        list(framer.feed(b"a\n"))


def test_subclass_that_changes_the_bytes_sees_each_once() -> None:
    """feed is not called for held bytes again, so that a subclass may decode what it is fed."""

    class Rotated(LineFramer):
        def feed(self, data: bytes) -> Iterable[bytes]:
            return super().feed(bytes(byte ^ 1 for byte in data))

    assert Outcome([b"ab"], None, 0) == outcome(Rotated(), each_byte(b"`c\x0b"))


# Properties, for any bytes

# Fewer examples than usual, as there are many kinds; no deadline, as a busy machine is no bug.
some_examples = settings(max_examples=40, deadline=None)
many_examples = settings(max_examples=400, deadline=None)


@each_kind
@some_examples
@given(data=st.data())
def test_cutting_makes_no_difference(kind: str, data: st.DataObject) -> None:
    """Any bytes in any chunks come to the same as fed whole, and as fed byte by byte."""
    factory = KINDS[kind][0]
    chunks = data.draw(chunks_for(kind))
    whole = b"".join(chunks)
    expected = outcome(factory(), [whole])

    assert expected == outcome(factory(), chunks)
    assert expected == outcome(factory(), each_byte(whole))


@each_kind
@some_examples
@given(data=st.data())
def test_good_streams_come_back_however_cut(kind: str, data: st.DataObject) -> None:
    """What encode wrote is what feed reads, in any chunks, with nothing left."""
    framer = KINDS[kind][0]()
    payloads = data.draw(st.lists(payloads_for(framer), max_size=8))
    wire = b"".join(map(framer.encode, payloads))
    places = data.draw(st.lists(st.integers(0, len(wire)), max_size=6).map(sorted))
    chunks = [wire[i:j] for i, j in zip([0, *places], [*places, len(wire)], strict=True)]

    assert Outcome(payloads, None, 0) == outcome(framer, chunks)


@each_kind
@some_examples
@given(payload=st.binary(max_size=6) | st.text("ab\r\n;", max_size=6).map(str.encode))
def test_encode_refuses_what_feed_would_not_give_back(kind: str, payload: bytes) -> None:
    """A payload comes back as it went, or encode refuses it."""
    framer = KINDS[kind][0]()
    try:
        wire = framer.encode(payload)
    except HandlerError:
        return

    assert Outcome([payload], None, 0) == outcome(framer, [wire])


@each_kind
@some_examples
@given(data=st.data())
def test_holds_no_more_than_its_bound(kind: str, data: st.DataObject) -> None:
    """However long a peer sends, in whatever chunks, what is held has a bound."""
    factory, _, most = KINDS[kind]
    framer = factory()

    for chunk in data.draw(chunks_for(kind)):
        framer.feed(chunk)

        assert framer.buffered <= len(most)


@each_kind
def test_holds_as_much_as_its_bound(kind: str) -> None:
    """The bounds of the test above are no looser than need be: these bytes reach them."""
    factory, _, most = KINDS[kind]

    assert Outcome([], None, len(most)) == outcome(factory(), [most])


def naive(data: bytes, delimiter: bytes, terminators: list[bytes], limit: int) -> Outcome:
    """Split data as the contract says it, in the plainest way.

    `terminators` are all that may follow a payload, the longest first.
    """

    def payload(frame: bytes) -> bytes:
        return next(
            frame.removesuffix(terminator)
            for terminator in terminators
            if frame.endswith(terminator)
        )

    frames: list[bytes] = []
    while delimiter in data:
        end = data.index(delimiter) + len(delimiter)
        frame = payload(data[:end])
        if len(frame) > limit:
            return Outcome(frames, FrameTooLong, 0)
        frames.append(frame)
        data = data[end:]
    # It is too long if, whatever comes next, the frame would be.
    endings = [ending[skip:] for ending in terminators for skip in range(len(ending))]
    shortest = min(
        len(payload(whole[: whole.index(delimiter) + len(delimiter)]))
        for whole in (data + ending for ending in endings)
        if delimiter in whole
    )
    return (
        Outcome(frames, FrameTooLong, 0) if shortest > limit else Outcome(frames, None, len(data))
    )


@many_examples
@given(
    chunks=st.lists(st.text("\r\nab", max_size=10).map(str.encode), max_size=6),
    limit=st.integers(1, 8),
)
def test_lines_are_those_of_a_naive_model(chunks: list[bytes], limit: int) -> None:
    """LineFramer does what a slow, obvious implementation does."""
    expected = naive(b"".join(chunks), b"\n", [b"\r\n", b"\n"], limit)

    assert expected == outcome(LineFramer(limit=limit), chunks)


@many_examples
@given(
    chunks=st.lists(st.text("abc", max_size=10).map(str.encode), max_size=6),
    delimiter=st.text("ab", min_size=1, max_size=5).map(str.encode),
    limit=st.integers(1, 8),
)
def test_delimited_frames_are_those_of_a_naive_model(
    chunks: list[bytes], delimiter: bytes, limit: int
) -> None:
    """DelimiterFramer does what a slow, obvious implementation does."""
    expected = naive(b"".join(chunks), delimiter, [delimiter], limit)

    assert expected == outcome(DelimiterFramer(delimiter, limit=limit), chunks)


# Work


FOR_PAYLOADS_OF: dict[str, Callable[[int], Framer]] = {
    "line": lambda size: LineFramer(limit=2 * size),
    "delimiter": lambda size: DelimiterFramer(b"\r\n\r\n", limit=2 * size),
    "prefix": lambda size: LengthPrefixFramer(4, limit=2 * size),
    "varint": lambda size: LengthPrefixFramer("varint", limit=2 * size),
    "fixed": FixedFramer,
    "netstring": lambda size: NetstringFramer(limit=2 * size),
}
for_large_payloads = pytest.mark.parametrize(
    "factory", FOR_PAYLOADS_OF.values(), ids=FOR_PAYLOADS_OF
)


@for_large_payloads
def test_takes_a_large_frame_byte_by_byte(factory: Callable[[int], Framer]) -> None:
    """A frame of 256 KiB in single bytes is no trouble."""
    payload = bytes(1 << 18)
    framer = factory(len(payload))
    frames: list[bytes] = []
    for byte in each_byte(framer.encode(payload)):
        frames.extend(framer.feed(byte))

    assert [payload] == frames


class CountingBytes(bytearray):
    """What a framer holds, counting the bytes that are read back from it."""

    read = 0

    def __getitem__(self, key: Any) -> Any:
        result = super().__getitem__(key)
        self.read += len(result) if isinstance(key, slice) else 1
        return result

    def __contains__(self, key: Any) -> bool:
        self.read += len(self)
        return super().__contains__(key)

    def __add__(self, other: Any) -> bytearray:
        self.read += len(self)
        return super().__add__(other)

    def find(self, *args: Any) -> int:
        self.read += len(self)
        return super().find(*args)


@for_large_payloads
def test_reads_what_it_holds_a_bounded_number_of_times(
    factory: Callable[[int], Framer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work grows with the bytes, not with their square: counted, not timed."""
    joined: list[int] = []
    original = framing._HoldingFramer._joined

    def counting(framer: framing._HoldingFramer, data: bytes) -> bytes | None:
        result = original(framer, data)
        joined.append(len(result or b""))
        return result

    monkeypatch.setattr(framing._HoldingFramer, "_joined", counting)
    size = 20_000
    framer: Any = factory(size)
    framer._held = held = CountingBytes()
    wire = framer.encode(b"x" * size)
    result = outcome(framer, each_byte(wire))

    assert Outcome([b"x" * size], None, 0) == result
    assert sum(joined) <= len(wire) + 100  # once for the frame, and a few bytes for its header
    assert held.read <= 4 * len(wire)  # a delimiter's length for each byte


def test_does_not_hold_a_chunk_that_is_over_the_limit() -> None:
    """A chunk past the limit is refused before, not after, it is added to what is held."""
    framer = Line()
    framer.feed(b"abc")
    largest = 0

    class Watched(bytearray):
        def __iadd__(self, other: Any) -> Self:  # type: ignore[misc]
            nonlocal largest
            largest = max(largest, len(self) + len(other))
            return super().__iadd__(other)

    framer._held = Watched(framer._held)
    framer.feed(b"x" * 1000)

    assert largest <= 5


# encode

ENCODED: dict[str, tuple[Callable[[], Framer], bytes, bytes]] = {
    "line": (Line, b"abcd", b"abcd\n"),
    "line: empty": (Line, b"", b"\n"),
    "line: CR not at the end": (Line, b"\ra", b"\ra\n"),
    "delimiter": (DoubleLine, b"ab", b"ab\r\n\r\n"),
    "delimiter: part of it inside": (DoubleLine, b"\n\r\na", b"\n\r\na\r\n\r\n"),
    "prefix 1": (Prefix1, b"ab", b"\x02ab"),
    "prefix 2": (Prefix2, b"ab", b"\x00\x02ab"),
    "prefix 2, little": (Prefix2Little, b"ab", b"\x02\x00ab"),
    "prefix 3": (Prefix3, b"ab", b"\x00\x00\x02ab"),
    "prefix 8, little": (Prefix8Little, b"ab", b"\x02" + bytes(7) + b"ab"),
    "varint": (Varint, b"ab", b"\x02ab"),
    "varint: empty": (Varint, b"", b"\x00"),
    "varint: 127": (Varint200, bytes(127), b"\x7f" + bytes(127)),
    "varint: 128": (Varint200, bytes(128), b"\x80\x01" + bytes(128)),
    "varint: 16384": (
        partial(LengthPrefixFramer, "varint"),
        bytes(16384),
        b"\x80\x80\x01" + bytes(16384),
    ),
    "fixed": (Fixed, b"abcd", b"abcd"),
    "netstring": (Netstring, b"hello world!", b"12:hello world!,"),
    "netstring: empty": (Netstring, b"", b"0:,"),
}

UNENCODABLE: dict[str, tuple[Callable[[], Framer], bytes, str]] = {
    "line: over the limit": (Line, b"abcde", "5 bytes, at most 4 are allowed"),
    "line: LF inside": (Line, b"a\nb", "an LF at index 1"),
    "line: LF at the end": (Line, b"a\n", "an LF at index 1"),
    "line: CR at the end": (Line, b"a\r", "ends in CR"),
    "line: CR inside and at the end": (Line, b"\ra\r", "ends in CR"),
    "delimiter: over the limit": (DoubleLine, b"abcde", "5 bytes, at most 4 are allowed"),
    "delimiter: inside": (DoubleLine, b"\r\n\r\n", "found at index 0"),
    "delimiter: found early": (TwoA, b"ba", "found at index 1"),
    "delimiter: over the limit, found": (TwoA, b"aaaaa", "5 bytes, at most 4 are allowed"),
    "prefix: over the limit": (Prefix2, b"abcde", "5 bytes, at most 4 are allowed"),
    "prefix: over what 1 byte tells": (partial(LengthPrefixFramer, 1), bytes(256), "at most 255"),
    "varint: over the limit": (Varint, b"abcde", "5 bytes, at most 4 are allowed"),
    "fixed: too short": (Fixed, b"abc", "3 bytes, it must have 4"),
    "fixed: too long": (Fixed, b"abcde", "5 bytes, it must have 4"),
    "fixed: empty": (Fixed, b"", "0 bytes, it must have 4"),
    "netstring: over the limit": (Netstring, bytes(13), "13 bytes, at most 12 are allowed"),
}


@pytest.mark.parametrize("name", ENCODED)
def test_encodes(name: str) -> None:
    """encode gives exactly these bytes."""
    factory, payload, wire = ENCODED[name]

    assert wire == factory().encode(payload)


@pytest.mark.parametrize("name", UNENCODABLE)
def test_refuses_to_encode(name: str) -> None:
    """encode refuses what feed would not give back, and says why."""
    factory, payload, text = UNENCODABLE[name]

    with pytest.raises(HandlerError, match=text):
        factory().encode(payload)


@each_kind
def test_encode_leaves_the_stream_alone(kind: str) -> None:
    """Encoding in the middle of a frame that comes in does not disturb it."""
    framer = KINDS[kind][0]()
    payload = b"abcd" if isinstance(framer, FixedFramer) else b"b"
    wire = framer.encode(payload)
    framer.feed(wire[:1])

    assert wire == framer.encode(payload)
    assert Outcome([payload], None, 0) == outcome(framer, [wire[1:]])


# Limits, settings, texts


@pytest.mark.parametrize(
    ("size", "largest"), [(1, 255), (2, 65535), (3, 2**24 - 1), (4, 2**32 - 1)]
)
def test_limit_is_lowered_to_what_the_prefix_can_express(size: Any, largest: int) -> None:
    """A limit that the prefix cannot express becomes the largest that it can."""
    assert largest == LengthPrefixFramer(size, limit=2**40).limit
    assert largest == LengthPrefixFramer(size, limit=largest).limit
    assert largest - 1 == LengthPrefixFramer(size, limit=largest - 1).limit


@pytest.mark.parametrize("size", [8, "varint"])
def test_wide_prefixes_keep_large_limits(size: Any) -> None:
    """8 bytes and varints can express any limit that is allowed."""
    assert 2**40 == LengthPrefixFramer(size, limit=2**40).limit


def test_varint_of_mqtt_has_at_most_four_bytes() -> None:
    """[MQTT 5.0, 1.5.5] With MQTT's limit, a fourth byte may be the last and not announce more."""
    framer = partial(LengthPrefixFramer, "varint", limit=268_435_455)

    assert Outcome([], None, 4) == outcome(framer(), [b"\xff\xff\xff\x7f"])
    assert Outcome([], FrameTooLong, 0) == outcome(framer(), [b"\xff\xff\xff\xff"])


@pytest.mark.parametrize(
    "factory",
    [
        LineFramer,
        partial(DelimiterFramer, b";"),
        partial(LengthPrefixFramer, 4),
        partial(LengthPrefixFramer, "varint"),
        NetstringFramer,
    ],
)
def test_default_limit_is_64_kib(factory: Callable[..., Any]) -> None:
    """65536 bytes pass and one more is too much if no limit is set."""
    wire = factory(limit=65537).encode(bytes(65537))

    assert Outcome([bytes(65536)], None, 0) == outcome(factory(), [factory().encode(bytes(65536))])
    assert Outcome([], FrameTooLong, 0) == outcome(factory(), [wire])


# As someone without a type checker would call it.
unchecked: Any = partial


@pytest.mark.parametrize(
    ("factory", "text"),
    [
        (unchecked(LineFramer, limit=0), "limit is 0; it must be a whole number of bytes, 1 to "),
        (unchecked(LineFramer, limit=-1), "limit is -1"),
        (unchecked(LineFramer, limit=1.5), "limit is 1.5"),
        (unchecked(LineFramer, limit="64k"), "limit is '64k'"),
        (unchecked(LineFramer, limit=True), "limit is True"),
        (unchecked(LineFramer, limit=None), "limit is None"),
        (unchecked(LineFramer, limit=1 << 63), "limit is 9223372036854775808"),
        (unchecked(DelimiterFramer, b";", limit=0), "limit is 0"),
        (unchecked(DelimiterFramer, b""), "delimiter is b''; it must be bytes, one or more"),
        (unchecked(DelimiterFramer, ";"), "delimiter is ';'"),
        (unchecked(LengthPrefixFramer, 4, limit=0), "limit is 0"),
        (unchecked(LengthPrefixFramer, "varint", limit=0), "limit is 0"),
        (unchecked(LengthPrefixFramer, 5), "size is 5; it must be one of 1, 2, 3, 4, 8, 'varint'"),
        (unchecked(LengthPrefixFramer, "big"), "size is 'big'"),
        (unchecked(LengthPrefixFramer, True), "size is True"),
        (unchecked(LengthPrefixFramer, 2, "middle"), "byteorder is 'middle'.* 'big', 'little'"),
        (unchecked(LengthPrefixFramer, "varint", None), "byteorder is None"),
        (unchecked(FixedFramer, 0), "size is 0; it must be a whole number of bytes"),
        (unchecked(FixedFramer, "4"), "size is '4'"),
        (unchecked(NetstringFramer, limit=0), "limit is 0"),
    ],
)
def test_refuses_settings(factory: Callable[[], Framer], text: str) -> None:
    """A setting that is not allowed is told with what was seen and what is allowed."""
    with pytest.raises(ConfigError, match=text):
        factory()


@pytest.mark.parametrize(
    ("factory", "data", "text"),
    [
        (Line, b"abcdefg\n", "a frame of 7 bytes; a frame may have at most 4 bytes"),
        (Line, b"abcdefg", "7 bytes without the end of a frame; a frame may have at most 4"),
        (Prefix2, b"\x01\x00", "a frame of 256 bytes; a frame may have at most 4"),
        (Varint, b"\x05", "a frame of 5 bytes; a frame may have at most 4"),
        (Varint, b"\x80", "a length of more than 1 bytes; a frame may have at most 4"),
        (Varint200, b"\x81\x00", "a varint of 2 bytes for 1; it must be as short as possible"),
        (Netstring, b"13", "length that starts with 13; a frame may have at most 12"),
        (Netstring, b"01:a,", "length of b'01'; it must have no leading zeros"),
        (Netstring, b"GET", "starts with b'GET'; it must be decimal digits and a colon"),
        (Netstring, b"1:ab", "b'b' after a payload of 1 bytes; it must be b','"),
    ],
)
def test_error_says_what_was_seen_and_what_is_allowed(
    factory: Callable[[], Framer], data: bytes, text: str
) -> None:
    """The text of an error lets a reader of the log find the mistake."""
    with pytest.raises(ProtocolError, match=text):
        list(factory().feed(data))


@each_kind
def test_has_no_room_for_stray_attributes(kind: str) -> None:
    """Framers are slotted: one per connection, and a misspelt attribute is an error."""
    assert not hasattr(KINDS[kind][0](), "__dict__")
