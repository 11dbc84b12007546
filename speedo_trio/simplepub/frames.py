"""The frames of SimplePub: a byte for the type, three for the payload's length, the payload.

`docs/simplepub.md` is the specification. Everything here is bytes in, bytes out.

Next: `speedo_trio.simplepub.protocol`, which serves them.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final, TypeAlias

from speedo_trio.errors import FrameTooLong, IncompleteFrame, MalformedFrame, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class FrameType(IntEnum):
    """What a frame is: its first byte."""

    PUB = 1
    """A message under a topic."""
    SUB = 2
    """Filters to subscribe to, or that are subscribed to now."""
    UNSUB = 3
    """Filters to unsubscribe from, or that are not subscribed to any more."""
    DISCONNECT = 4
    """The last frame, with the reason as text."""


HEADER_BYTES: Final = 4
MAX_PAYLOAD: Final = 0xFF_FFFF
"""The longest payload that three bytes can tell, 16,777,215 bytes."""
RETAIN: Final = 0x01
"""The bit of a PUB's flags that asks to keep the message, or tells that it was kept."""
MAX_REASON: Final = 1000
"""The most bytes of a reason that this end sends."""

_TOPIC_AT: Final = HEADER_BYTES + 3  # after the flags and the topic's length
_MAX_TEXT: Final = 0xFFFF  # of a topic or filter
_TYPES: Final = "allowed are 1 PUB, 2 SUB, 3 UNSUB, 4 DISCONNECT"

Published: TypeAlias = tuple[bytes, bytes, bool]
"""What is in a PUB: its topic, its body, and whether it is to be, or was, retained."""


class FrameReader:
    """Cuts a stream of bytes into frames.

    The same bytes give the same frames however they are cut up. What is held is never more than
    one unfinished frame, and a type or length that is not allowed is told as soon as it is there.
    The work is linear in the input.
    """

    __slots__ = ("_error", "_held", "_limit", "_needed")

    def __init__(self, limit: int = MAX_PAYLOAD) -> None:
        """Begin between two frames.

        Args:
            limit: The longest payload allowed, in bytes.
        """
        self._limit = limit
        self._held = bytearray()
        self._needed = 0  # bytes of the unfinished frame without which it isn't worth a look
        self._error: ProtocolError | None = None

    @property
    def buffered(self) -> int:
        """The bytes held of an unfinished frame."""
        return len(self._held)

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Take the next bytes of the stream and give the frames that they complete.

        Returns:
            The frames, each with its header. If the bytes break the rules, an iterable that gives
            the frames before the error and then raises it.

        Raises:
            ProtocolError: from what is returned, never from the call: `MalformedFrame` for a type,
                `FrameTooLong` for a length. From then on each call gives that error.
        """
        if self._error is not None:
            return _then_raise((), self._error)
        if self._held:
            self._held += data
            if len(self._held) < self._needed:
                return ()
            data = bytes(self._held)
            self._held.clear()
        frames: list[bytes] = []
        try:
            rest = self._cut(data, frames)
        except ProtocolError as error:
            self._error = error.with_traceback(None)  # its frames would keep the data alive
            return _then_raise(frames, self._error)
        if rest < len(data):
            self._held += data[rest:]
        return frames

    def eof(self) -> None:
        """Take note that the stream has ended; silent after an error in `feed`.

        Raises:
            IncompleteFrame: it ended inside a frame.
        """
        if self._held:
            raise IncompleteFrame(
                f"the stream ended {len(self._held)} bytes into a frame; "
                "it may end only between frames"
            )

    def _cut(self, data: bytes, frames: list[bytes]) -> int:
        """Append the frames in `data`; gives where the unfinished one begins."""
        available, limit = len(data), self._limit
        start = 0
        while start < available:
            if not 1 <= data[start] <= 4:
                raise MalformedFrame(f"a frame of type {data[start]}; {_TYPES}")
            body = start + HEADER_BYTES
            if body > available:
                self._needed = HEADER_BYTES
                break
            length = (data[start + 1] << 16) | (data[start + 2] << 8) | data[start + 3]
            if length > limit:
                raise FrameTooLong(f"a payload of {length} bytes; allowed are at most {limit}")
            end = body + length
            if end > available:
                self._needed = end - start
                break
            frames.append(data[start:end])
            start = end
        return start


def _then_raise(frames: Iterable[bytes], error: ProtocolError) -> Iterator[bytes]:
    yield from frames
    raise type(error)(*error.args)  # a new one: raised again it would drag its traceback along


# Encoding


def encode_pub(topic: bytes, body: bytes, *, retain: bool = False) -> bytes:
    """A PUB.

    Raises:
        FrameTooLong: the topic or both together are longer than a frame can tell.
    """
    if len(topic) > _MAX_TEXT:
        raise FrameTooLong(f"a topic of {len(topic)} bytes; allowed are at most {_MAX_TEXT}")
    length = 3 + len(topic) + len(body)
    flags = RETAIN if retain else 0
    return b"".join(
        (_header(FrameType.PUB, length), bytes((flags,)), _length16(topic), topic, body)
    )


def encode_sub(filters: Iterable[bytes]) -> bytes:
    """A SUB; without any filter it subscribes to nothing, and is answered all the same.

    Raises:
        FrameTooLong: a filter or all of them are longer than a frame can tell.
    """
    return _encode_filters(FrameType.SUB, filters)


def encode_unsub(filters: Iterable[bytes]) -> bytes:
    """An UNSUB.

    Raises:
        FrameTooLong: a filter or all of them are longer than a frame can tell.
    """
    return _encode_filters(FrameType.UNSUB, filters)


def encode_disconnect(reason: str = "") -> bytes:
    """A DISCONNECT; a reason over `MAX_REASON` bytes is cut."""
    text = reason.encode("utf-8", "replace")[:MAX_REASON]
    text = text.decode("utf-8", "ignore").encode()  # without half a character at its end
    return _header(FrameType.DISCONNECT, len(text)) + text


def _encode_filters(kind: FrameType, filters: Iterable[bytes]) -> bytes:
    parts: list[bytes] = []
    for topic_filter in filters:
        if len(topic_filter) > _MAX_TEXT:
            size = len(topic_filter)
            raise FrameTooLong(f"a filter of {size} bytes; allowed are at most {_MAX_TEXT}")
        parts += (_length16(topic_filter), topic_filter)
    payload = b"".join(parts)
    return _header(kind, len(payload)) + payload


def _header(kind: FrameType, length: int) -> bytes:
    if length > MAX_PAYLOAD:
        raise FrameTooLong(f"a payload of {length} bytes; allowed are at most {MAX_PAYLOAD}")
    return (kind << 24 | length).to_bytes(HEADER_BYTES, "big")


def _length16(text: bytes) -> bytes:
    return len(text).to_bytes(2, "big")


# Decoding


def decode_pub(frame: bytes) -> Published:
    """The topic, the body, and whether it is retained, of a PUB. The topic is not looked at.

    Raises:
        MalformedFrame: flags that are not allowed, or lengths that don't add up.
    """
    if len(frame) < _TOPIC_AT:
        seen = len(frame) - HEADER_BYTES
        raise MalformedFrame(f"a PUB of {seen} bytes; it has flags and a topic's length in 3")
    flags = frame[4]
    if flags > RETAIN:
        raise MalformedFrame(f"a PUB with flags 0x{flags:02x}; allowed are 0x00 and 0x01, retain")
    body = _TOPIC_AT + ((frame[5] << 8) | frame[6])
    if body > len(frame):
        raise MalformedFrame(
            f"a PUB with a topic of {body - _TOPIC_AT} bytes; {len(frame) - _TOPIC_AT} are there"
        )
    return frame[_TOPIC_AT:body], frame[body:], flags == RETAIN


def decode_filters(frame: bytes) -> list[bytes]:
    """The filters of a SUB or UNSUB. They are not looked at.

    Raises:
        MalformedFrame: lengths that don't add up.
    """
    filters: list[bytes] = []
    at, end = HEADER_BYTES, len(frame)
    while at < end:
        start = at + 2
        if start > end:
            raise MalformedFrame("a list of filters with 1 byte left; a filter's length has 2")
        at = start + int.from_bytes(frame[at:start], "big")
        if at > end:
            raise MalformedFrame(f"a filter of {at - start} bytes; {end - start} are there")
        filters.append(frame[start:at])
    return filters


def decode_reason(frame: bytes) -> str:
    """The reason of a DISCONNECT, whatever bytes it has; empty for none."""
    return frame[HEADER_BYTES:].decode("utf-8", "replace")
