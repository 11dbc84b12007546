"""Framers: where one message ends and the next begins, in bytes that arrive in any pieces.

A framer is fed what the socket gave and answers with the frames that this completed. It does
no I/O and has no clock: the same bytes give the same frames however they were cut up.

- `LineFramer`: a payload, then LF or CRLF. Text protocols.
- `DelimiterFramer`: a payload, then a delimiter of your choice.
- `LengthPrefixFramer`: a binary length, then the payload.
- `FixedFramer`: payloads that all have the same size, nothing between them.
- `NetstringFramer`: ``12:hello world!,``

How they work: a chunk is cut as a whole, at C speed where Python has a way. Only its unfinished
end is kept, in one bytearray, and it is joined with later bytes once these are known to finish
the frame or its header. So the work is linear in the input, even when it comes byte by byte.

Next to read: `speedo_trio.protocol.handler`, which turns frames into messages.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Final, Literal, Protocol, TypeAlias, get_args

from speedo_trio.errors import (
    ConfigError,
    FrameTooLong,
    HandlerError,
    IncompleteFrame,
    MalformedFrame,
    ProtocolError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# 64 KiB, as asyncio's StreamReader has for a line: far above the lines and records of real
# protocols, and a thousand peers that send half a frame each still hold less than 64 MiB.
DEFAULT_LIMIT: Final = 65536

PrefixSize: TypeAlias = Literal[1, 2, 3, 4, 8, "varint"]
ByteOrder: TypeAlias = Literal["big", "little"]

# Searching for one byte as an int takes less than half the time of searching for a bytes object.
_LF: Final = 0x0A
_CR: Final = 0x0D
_COLON: Final = 0x3A
_ZERO: Final = 0x30


class Framer(Protocol):
    """Cuts a stream of bytes into frames, and makes frames of payloads.

    One framer serves one direction of one connection. Any object with these four members will
    do; those of this module also keep the following promises.

    **The cutting of the bytes makes no difference.** For every way to split the same bytes over
    calls of `feed`, the frames, the class of the error after them, and `buffered` are the same.

    **Bounded.** What is held of an unfinished frame is never more than the limit and the bytes
    of one header or delimiter. A peer that goes past it is told so at the first byte that makes
    it certain, not when the frame ends.

    **Linear.** The work is proportional to the bytes fed, whatever their pieces.
    """

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Take the next bytes of the stream and give the frames that they complete.

        Iterate over the result; what it raises ends the connection.

        Args:
            data: any number of bytes, cut anywhere; none at all changes nothing.

        Returns:
            The payloads, in order, without delimiters or headers: a list as long as the bytes
            keep the rules. If they break them, an iterable that gives the frames before the
            error and then raises it. All of it is worked out before `feed` returns, so it
            does not matter whether or when the result is pulled to its end.

        Raises:
            ProtocolError: from the result, never from the call: `FrameTooLong` or
                `MalformedFrame`. From then on the stream has no meaning: nothing is held,
                and the result of each further call gives no frame and raises the same error.
        """
        ...

    def eof(self) -> None:
        """Take note that the stream has ended. Nothing may be fed after this.

        After an error in `feed`, which has told the end of the stream already, this is silent.

        Raises:
            IncompleteFrame: the stream ended inside a frame.
        """
        ...

    def encode(self, payload: bytes) -> bytes:
        """Give the bytes that carry `payload`, such that ``list(feed(encode(p))) == [p]``.

        It reads nothing that `feed` changes, so any thread may call it at any time.

        Raises:
            HandlerError: no frame can carry this payload: it is over the limit, is not of the
                fixed size, or has the end of a frame inside.
        """
        ...

    @property
    def buffered(self) -> int:
        """The bytes now held for an unfinished frame, its header included."""
        ...


class _FramesThenError:
    """The frames before an error, then the error. Like a list, it can be iterated again."""

    __slots__ = ("_error", "_frames")

    def __init__(self, frames: Iterable[bytes], error: ProtocolError) -> None:
        self._frames = frames
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        yield from self._frames
        # A new one each time: an exception that is raised again drags its old traceback along.
        raise type(self._error)(*self._error.args)


class _HoldingFramer(ABC):
    """What all framers share: the unfinished frame, the error that ends the stream, the limit.

    Each `feed` begins with the same five lines, which join the data with what is held, or wait
    for more. Below them nothing is held, and the data starts with a frame. They are not a
    function since the call would make the common case, nothing held, half as long again.
    """

    __slots__ = ("_error", "_held", "_limit")

    _error: ProtocolError | None
    _held: bytearray
    _limit: int

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = bytearray()
        self._error = None

    @property
    def limit(self) -> int:
        """The bytes that a payload may have at most."""
        return self._limit

    @property
    def buffered(self) -> int:
        """The bytes now held for an unfinished frame, its header included."""
        return len(self._held)

    @abstractmethod
    def feed(self, data: bytes) -> Iterable[bytes]:
        """Take the next bytes of the stream and give the frames that they complete."""

    @abstractmethod
    def encode(self, payload: bytes) -> bytes:
        """Give the bytes that carry `payload`."""

    def eof(self) -> None:
        """Take note that the stream has ended.

        Raises:
            IncompleteFrame: the stream ended inside a frame.
        """
        if self._held:
            raise IncompleteFrame(
                f"the stream ended {len(self._held)} bytes into a frame; "
                "it may end only between frames"
            )

    @abstractmethod
    def _completes(self, data: bytes) -> bool:
        """Whether `data` after what is held may end a frame or its header."""

    @abstractmethod
    def _hold(self, frames: list[bytes], rest: bytes) -> Iterable[bytes]:
        """Keep `rest`, the bytes of an unfinished frame, and give the frames before it."""

    def _joined(self, data: bytes) -> bytes | None:
        """Take what is held and `data` as one, or give None if it is no use to cut that."""
        if self._error is not None or not self._completes(data):
            return None
        joined = b"".join((self._held, data))
        self._held.clear()
        return joined

    def _wait(self, data: bytes) -> Iterable[bytes]:
        """Answer to data that completes nothing, or that comes after an error."""
        if self._error is not None:
            return _FramesThenError((), self._error)
        return self._hold([], data)

    def _refuse(self, frames: list[bytes], error: ProtocolError) -> Iterable[bytes]:
        """End the stream with `error`, which comes after the good `frames`."""
        self._held.clear()
        self._error = error.with_traceback(None)  # its frames would keep the chunk alive
        return _FramesThenError(frames, error)

    def _too_long(self, seen: str) -> FrameTooLong:
        return FrameTooLong(f"{seen}; a frame may have at most {self._limit} bytes")

    def _unframeable(self, reason: str) -> HandlerError:
        return HandlerError(f"this payload cannot be framed: {reason}")

    def _over_limit(self, payload: bytes) -> HandlerError:
        return self._unframeable(f"it has {len(payload)} bytes, at most {self._limit} are allowed")


class _SplitFramer(_HoldingFramer):
    """Frames that end in a delimiter. `DelimiterFramer` and `LineFramer` differ in `feed`.

    `_delimiter` is what to search for. `_terminator` is the longest thing that may follow a
    payload: the delimiter, or CRLF where LF is searched for. Up to all but one of its bytes
    are held on top of the limit, as they may turn out to be no part of the payload.
    """

    __slots__ = ("_delimiter", "_terminator")

    def __init__(self, delimiter: bytes, terminator: bytes, limit: int) -> None:
        super().__init__(_number_of_bytes("limit", limit))
        self._delimiter = delimiter
        self._terminator = terminator

    def _completes(self, data: bytes) -> bool:
        if self._delimiter in data:
            return True
        # Or it lies across the seam; the bytes before the last few have been searched already.
        overlap = len(self._delimiter) - 1
        seam = self._held[max(0, len(self._held) - overlap) :] + data[:overlap]
        return self._delimiter in seam

    def _within_limit(self, frames: list[bytes], rest: bytes) -> Iterable[bytes]:
        """Give the frames up to the first that is too long; keep `rest` if there is none."""
        limit = self._limit
        if len(max(frames, key=len, default=b"")) <= limit:
            return self._hold(frames, rest)
        index = next(index for index, frame in enumerate(frames) if len(frame) > limit)
        return self._refuse(
            frames[:index], self._too_long(f"a frame of {len(frames[index])} bytes")
        )

    def _hold(self, frames: list[bytes], rest: bytes) -> Iterable[bytes]:
        seen = len(self._held) + len(rest)
        if seen < self._limit + len(self._terminator):
            self._held += rest
            if seen <= self._limit or self._may_end_within_limit():
                return frames
        return self._refuse(frames, self._too_long(f"{seen} bytes without the end of a frame"))

    def _may_end_within_limit(self) -> bool:
        """Whether what is held past the limit may be the start of a terminator.

        It is asked only while that is shorter than a terminator, and so are its loop and slices.
        """
        first = max(0, len(self._held) - len(self._terminator) + 1)
        return any(
            self._terminator.startswith(self._held[end:]) for end in range(first, self._limit + 1)
        )


class LineFramer(_SplitFramer):
    """Lines that end in LF or CRLF.

    One CR before the LF belongs to the line's end; any other CR is data. `encode` ends lines
    in LF, and refuses a payload that holds an LF, or that ends in CR, which would be lost.

    Args:
        limit: the bytes that a line may have, its end not counted; 1 or more.

    Raises:
        ConfigError: a limit that is not allowed.
    """

    __slots__ = ()

    def __init__(self, *, limit: int = DEFAULT_LIMIT) -> None:
        super().__init__(b"\n", b"\r\n", limit)

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Take the next bytes of the stream and give the lines that they complete.

        The whole contract is that of `Framer.feed`.
        """
        if self._held or self._error is not None:
            joined = self._joined(data)
            if joined is None:
                return self._wait(data)
            data = joined
        lines = data.split(b"\n")
        rest = lines.pop()
        if _CR in data:
            lines = [line.removesuffix(b"\r") for line in lines]
        if len(data) > self._limit:  # else no line can be over it
            return self._within_limit(lines, rest)
        if rest:
            self._held += rest
        return lines

    def encode(self, payload: bytes) -> bytes:
        """Give `payload` and an LF.

        Raises:
            HandlerError: the payload holds an LF, ends in CR, or is over the limit.
        """
        if _LF in payload or (_CR in payload and payload[-1] == _CR) or len(payload) > self._limit:
            raise self._unencodable(payload)
        return payload + b"\n"

    def _unencodable(self, payload: bytes) -> HandlerError:
        if len(payload) > self._limit:
            return self._over_limit(payload)
        if _LF in payload:
            return self._unframeable(f"it holds an LF at index {payload.index(_LF)}")
        return self._unframeable("it ends in CR, which would be read as part of a CRLF")


class DelimiterFramer(_SplitFramer):
    """Frames that end in a delimiter of one byte or more, searched for from left to right.

    The first occurrence ends the frame: with the delimiter ``aa``, ``aaa`` is an empty frame
    and the start of another. That is why `encode` refuses not only payloads that hold the
    delimiter, but also those that together with it hold it earlier, such as ``ba``.

    A call of `feed` costs its bytes and the length of the delimiter, or the square of that
    length while an unfinished frame is past its limit by a part of a delimiter.

    Args:
        delimiter: what ends a frame; not empty.
        limit: the bytes that a payload may have, its delimiter not counted; 1 or more.

    Raises:
        ConfigError: a delimiter or limit that is not allowed.
    """

    __slots__ = ("_byte",)

    def __init__(self, delimiter: bytes, *, limit: int = DEFAULT_LIMIT) -> None:
        if not isinstance(delimiter, bytes) or not delimiter:
            raise ConfigError(f"delimiter is {delimiter!r}; it must be bytes, one or more")
        super().__init__(delimiter, delimiter, limit)
        self._byte: int = delimiter[0] if len(delimiter) == 1 else -1  # quicker to look for

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Take the next bytes of the stream and give the frames that they complete.

        The whole contract is that of `Framer.feed`.
        """
        if self._held or self._error is not None:
            joined = self._joined(data)
            if joined is None:
                return self._wait(data)
            data = joined
        frames = data.split(self._delimiter)
        rest = frames.pop()
        if len(data) > self._limit:  # else no frame can be over it
            return self._within_limit(frames, rest)
        if rest:
            self._held += rest
        return frames

    def encode(self, payload: bytes) -> bytes:
        """Give `payload` and the delimiter.

        Raises:
            HandlerError: the payload is over the limit, or the delimiter would be found early.
        """
        frame = payload + self._delimiter
        if len(payload) > self._limit:
            raise self._over_limit(payload)
        if self._byte in payload if self._byte >= 0 else self._is_found_early(payload, frame):
            raise self._unencodable(payload, frame)
        return frame

    def _is_found_early(self, payload: bytes, frame: bytes) -> bool:
        return frame.find(self._delimiter) != len(payload)

    def _unencodable(self, payload: bytes, frame: bytes) -> HandlerError:
        early = frame.find(self._delimiter)
        return self._unframeable(
            f"with {self._delimiter!r} after its {len(payload)} bytes, that delimiter is first "
            f"found at index {early}"
        )


class _CutFramer(_HoldingFramer):
    """Frames whose end is known from their start: by a length before them, or by rule.

    `_needed` is how many bytes, counted from the start of the unfinished frame, the next cut
    needs to get any further: those of its header, or of the whole frame.
    """

    __slots__ = ("_needed",)

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._needed = 0

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Take the next bytes of the stream and give the frames that they complete.

        The whole contract is that of `Framer.feed`.
        """
        if self._held or self._error is not None:
            joined = self._joined(data)
            if joined is None:
                return self._wait(data)
            data = joined
        frames: list[bytes] = []
        try:
            rest = self._cut(data, frames)
        except ProtocolError as error:
            return self._refuse(frames, error)
        if rest < len(data):
            self._held += data[rest:]
        return frames

    @abstractmethod
    def _cut(self, data: bytes, frames: list[bytes]) -> int:
        """Append the frames in `data`; give where the unfinished one begins, set `_needed`.

        Raises:
            ProtocolError: the bytes after the frames appended so far break the rules.
        """

    def _completes(self, data: bytes) -> bool:
        return len(self._held) + len(data) >= self._needed

    def _hold(self, frames: list[bytes], rest: bytes) -> Iterable[bytes]:
        self._held += rest  # it stays below _needed, and so within the bound
        return frames


class FixedFramer(_CutFramer):
    """Frames of exactly `size` bytes, with nothing between them. No bytes break its rules.

    Args:
        size: the bytes of each frame; 1 or more. It is the limit too.

    Raises:
        ConfigError: a size that is not allowed.
    """

    __slots__ = ()

    def __init__(self, size: int) -> None:
        super().__init__(_number_of_bytes("size", size))
        self._needed = size

    def encode(self, payload: bytes) -> bytes:
        """Give `payload` as it is.

        Raises:
            HandlerError: the payload is shorter or longer than the size.
        """
        if len(payload) != self._limit:
            raise self._unframeable(f"it has {len(payload)} bytes, it must have {self._limit}")
        return payload

    def _cut(self, data: bytes, frames: list[bytes]) -> int:
        size = self._limit
        rest = len(data) - len(data) % size
        frames += [data[start : start + size] for start in range(0, rest, size)]
        return rest


class _HeaderFramer(_CutFramer):
    """Frames with a header of varying size that tells the payload's length.

    `_trailer` is what must follow the payload; at most one byte, so that a wrong one is seen
    when it comes.
    """

    __slots__ = ()

    _trailer: ClassVar[bytes] = b""

    @abstractmethod
    def _header(self, data: bytes, start: int) -> tuple[int, int] | None:
        """Give the payload's length and where it begins; None if the header is unfinished.

        Raises:
            ProtocolError: no byte to come can make this a header, or it is over the limit.
        """

    def _cut(self, data: bytes, frames: list[bytes]) -> int:
        trailer = self._trailer
        available = len(data)
        start = 0
        while start < available:
            header = self._header(data, start)
            if header is None:
                self._needed = available - start + 1
                break
            length, body = header
            end = body + length
            after = end + len(trailer)
            if after > available:
                self._needed = after - start
                break
            if trailer and data[end:after] != trailer:
                raise MalformedFrame(
                    f"{data[end:after]!r} after a payload of {length} bytes; it must be {trailer!r}"
                )
            frames.append(data[body:end])
            start = after
        return start


class LengthPrefixFramer(_HeaderFramer):
    """Frames with a binary length before them, which counts the payload only.

    The prefix is an unsigned integer of 1, 2, 3, 4 or 8 bytes, or a ``"varint"``: LEB128, with
    seven bits a byte, the lowest first, and the top bit set in all bytes but the last, as in
    Protocol Buffers ("Encoding", base 128 varints) and MQTT 5.0 (section 1.5.5).

    A varint may have as many bytes as the limit's own has, such as 3 for 65536. If the last of
    these still announces another, that is `FrameTooLong`. One that is longer than its number
    needs, such as ``80 00``, is a `MalformedFrame`: MQTT forbids it [MQTT-1.5.5-1], Protocol
    Buffers has no need of it, and two spellings of one message help only smugglers.

    Args:
        size: the bytes of the prefix, or ``"varint"``.
        byteorder: of the prefix; a varint has only one order and does not look at this.
        limit: the bytes that a payload may have; 1 or more. Where the prefix cannot express
            that many, the limit is what it can express, such as 255 for 1 byte; the property
            `limit` tells.

    Raises:
        ConfigError: a size, byte order or limit that is not allowed.
    """

    __slots__ = ("_byteorder", "_header_size", "_is_varint")

    def __init__(
        self, size: PrefixSize, byteorder: ByteOrder = "big", *, limit: int = DEFAULT_LIMIT
    ) -> None:
        _one_of("size", size, get_args(PrefixSize))
        _one_of("byteorder", byteorder, get_args(ByteOrder))
        _number_of_bytes("limit", limit)
        if size == "varint":
            super().__init__(limit)
            self._header_size = (limit.bit_length() + 6) // 7
        else:
            super().__init__(min(limit, 256**size - 1))
            self._header_size = size
        self._is_varint = size == "varint"
        self._byteorder: ByteOrder = byteorder

    def encode(self, payload: bytes) -> bytes:
        """Give the length, in as few bytes as its kind allows, and `payload`.

        Raises:
            HandlerError: the payload is over the limit.
        """
        length = len(payload)
        if length > self._limit:
            raise self._over_limit(payload)
        if self._is_varint:
            return _varint(length) + payload
        return length.to_bytes(self._header_size, self._byteorder) + payload

    def _cut(self, data: bytes, frames: list[bytes]) -> int:
        if self._is_varint:
            return super()._cut(data, frames)
        return self._cut_by_integer(data, frames)

    def _cut_by_integer(self, data: bytes, frames: list[bytes]) -> int:
        # The same story as _HeaderFramer._cut, without a call per frame: twice as fast.
        size, byteorder, limit = self._header_size, self._byteorder, self._limit
        from_bytes = int.from_bytes
        available = len(data)
        start = 0
        while (body := start + size) <= available:
            length = from_bytes(data[start:body], byteorder)
            if length > limit:
                raise self._too_long(f"a frame of {length} bytes")
            end = body + length
            if end > available:
                self._needed = end - start
                return start
            frames.append(data[body:end])
            start = end
        self._needed = size
        return start

    def _header(self, data: bytes, start: int) -> tuple[int, int] | None:
        length = shift = 0
        for byte in data[start : start + self._header_size]:
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                self._check_varint(length, shift)
                return length, start + shift // 7
        if shift == 7 * self._header_size:
            raise self._too_long(f"a length of more than {self._header_size} bytes")
        return None

    def _check_varint(self, length: int, shift: int) -> None:
        if shift > 7 and length < 1 << (shift - 7):
            raise MalformedFrame(
                f"a varint of {shift // 7} bytes for {length}; it must be as short as possible"
            )
        if length > self._limit:
            raise self._too_long(f"a frame of {length} bytes")


class NetstringFramer(_HeaderFramer):
    """Netstrings, ``12:hello world!,``, as in D. J. Bernstein's "Netstrings" (1997).

    The length is in decimal ASCII digits without leading zeros; the empty netstring is ``0:,``.

    A `MalformedFrame` is a length that is empty, has a leading zero or is ended by anything
    but a colon, and a payload that is not followed by a comma. The digits are `FrameTooLong`
    as soon as they make a number over the limit, whatever would have come after them.

    Args:
        limit: the bytes that a payload may have; 1 or more.

    Raises:
        ConfigError: a limit that is not allowed.
    """

    __slots__ = ("_header_size",)

    _trailer = b","

    def __init__(self, *, limit: int = DEFAULT_LIMIT) -> None:
        super().__init__(_number_of_bytes("limit", limit))
        self._header_size = len(f"{limit}:")

    def encode(self, payload: bytes) -> bytes:
        """Give the length, a colon, `payload` and a comma.

        Raises:
            HandlerError: the payload is over the limit.
        """
        if len(payload) > self._limit:
            raise self._over_limit(payload)
        return b"%d:%b," % (len(payload), payload)

    def _header(self, data: bytes, start: int) -> tuple[int, int] | None:
        # In this window there are the longest header allowed, or digits enough to be over it.
        seen = data[start : start + self._header_size]
        digits = seen[: _leading_digits(seen)]
        if digits:
            self._check_digits(digits)
        if digits == seen:
            return None
        if not digits or seen[len(digits)] != _COLON:
            raise MalformedFrame(
                f"a netstring that starts with {seen!r}; it must be decimal digits and a colon"
            )
        return int(digits), start + len(digits) + 1

    def _check_digits(self, digits: bytes) -> None:
        if digits[0] == _ZERO and len(digits) > 1:
            raise MalformedFrame(f"a netstring length of {digits!r}; it must have no leading zeros")
        if int(digits) > self._limit:
            raise self._too_long(f"a netstring length that starts with {digits.decode()}")


def _leading_digits(data: bytes) -> int:
    """Give how many ASCII digits `data` starts with."""
    return len(data) - len(data.lstrip(b"0123456789"))


def _varint(number: int) -> bytes:
    """Give `number` as LEB128, in as few bytes as it needs."""
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def _number_of_bytes(name: str, value: int) -> int:
    """Give `value` back if it is a number of bytes that an object can have."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= sys.maxsize:
        raise ConfigError(
            f"{name} is {value!r}; it must be a whole number of bytes, 1 to {sys.maxsize}"
        )
    return value


def _one_of(name: str, value: object, allowed: tuple[object, ...]) -> None:
    # By type too: True == 1, and 2.0 == 2.
    if not any(type(value) is type(choice) and value == choice for choice in allowed):
        choices = ", ".join(map(repr, allowed))
        raise ConfigError(f"{name} is {value!r}; it must be one of {choices}")
