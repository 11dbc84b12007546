"""Framed protocols: frames become messages, one by one and as they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import pytest
from attrs import define

from speedo_trio.errors import FrameTooLong, HandlerError, IncompleteFrame, ProtocolError
from speedo_trio.protocol.framed import FramedProtocol, LineProtocol
from speedo_trio.protocol.framing import Framer, LengthPrefixFramer
from speedo_trio.protocol.message import Message
from speedo_trio.testing.driver import FakeConnection, check_splits


@define
class Echo(Message):
    """A frame."""

    payload: bytes

    def execute(self) -> bytes:
        return self.payload


class Lines(LineProtocol):
    """Remembers the lines that it was asked about; empty ones need no message."""

    limit = 10

    def __init__(self, connection: FakeConnection) -> None:
        super().__init__(connection)
        self.asked: list[bytes] = []

    def frame(self, payload: bytes) -> Message | None:
        self.asked.append(payload)
        match payload:
            case b"":
                return None
            case b"bad":
                raise ProtocolError("bad is not allowed")
            case b"stop":
                return next(iter(()))  # a mistake that is easily made
        return Echo(payload)


class Packets(FramedProtocol):
    """Frames with a length before them."""

    made: int = 0

    def make_framer(self) -> Framer:
        self.made += 1
        return LengthPrefixFramer(2)

    def frame(self, payload: bytes) -> Message:
        return Echo(payload)


def payloads(messages: Iterable[Message] | None) -> list[bytes]:
    """The frames of messages."""
    assert messages is not None
    return [message.payload for message in messages if isinstance(message, Echo)]


def test_frames_become_messages() -> None:
    """In order, across chunks."""
    lines = Lines(FakeConnection())

    assert payloads(lines.handle(b"one\ntwo\nth")) == [b"one", b"two"]
    assert payloads(lines.handle(b"ree\n")) == [b"three"]
    assert payloads(lines.handle(b"no end")) == []


def test_frames_without_a_message_are_left_out() -> None:
    """None among the messages would be no message."""
    messages = Lines(FakeConnection()).handle(b"\n1\n\n\n2\n\n")
    assert messages is not None

    assert list(messages) == [Echo(b"1"), Echo(b"2")]


def test_frames_are_asked_about_when_they_are_pulled() -> None:
    """A lane that has room for two makes no third message."""
    lines = Lines(FakeConnection())
    messages = iter(lines.handle(b"1\n2\n3\n4\n") or ())

    assert payloads(islice(messages, 2)) == [b"1", b"2"]
    assert lines.asked == [b"1", b"2"]
    assert payloads(messages) == [b"3", b"4"]


def test_bytes_are_framed_though_nobody_pulls() -> None:
    """What one call was given is not lost when the next one is pulled first."""
    lines = Lines(FakeConnection())
    first = lines.handle(b"1\n2")
    assert payloads(first) == [b"1"]
    second = lines.handle(b"3\n")

    assert payloads(second) == [b"23"]


def test_refused_frame_comes_after_earlier_ones() -> None:
    """What was asked before is answered."""
    messages = iter(Lines(FakeConnection()).handle(b"1\n2\nbad\n3\n") or ())
    assert payloads(islice(messages, 2)) == [b"1", b"2"]

    with pytest.raises(ProtocolError, match="bad is not allowed"):
        next(messages)


def test_broken_frame_comes_after_earlier_ones() -> None:
    """The framer's errors as well."""
    messages = iter(Lines(FakeConnection()).handle(b"1\n" + b"x" * 11 + b"\n") or ())
    assert payloads(islice(messages, 1)) == [b"1"]

    with pytest.raises(FrameTooLong):
        next(messages)


def test_stop_iteration_in_frame_is_an_error() -> None:
    """It doesn't pass for the end of the frames, with the rest silently lost."""
    with pytest.raises(RuntimeError):
        payloads(Lines(FakeConnection()).handle(b"1\nstop\n2\n"))


def test_eof_between_frames() -> None:
    """Is in order, and gives nothing more."""
    lines = Lines(FakeConnection())
    payloads(lines.handle(b"1\n"))

    assert lines.eof() is None


def test_eof_inside_a_frame() -> None:
    """Is the peer's error."""
    lines = Lines(FakeConnection())
    payloads(lines.handle(b"1\n2"))

    with pytest.raises(IncompleteFrame):
        lines.eof()


def test_replies_are_encoded_by_the_framer() -> None:
    """What goes out is framed as what comes in."""
    packets = Packets(FakeConnection())
    encode = packets.encoder()
    assert encode is not None

    assert encode(b"hello") == b"\0\5hello" == packets.framer.encode(b"hello")


def test_framer_is_made_once_for_each_connection() -> None:
    """Two connections share no unfinished frame."""
    one, other = Packets(FakeConnection()), Packets(FakeConnection())
    payloads(one.handle(b"\0"))

    assert one.made == 1
    assert one.framer is not other.framer
    assert payloads(other.handle(b"\0\1x")) == [b"x"]


def test_line_protocol() -> None:
    r"""Lines end in \n or \r\n, replies in \n."""
    lines = Lines(FakeConnection())
    encode = lines.encoder()
    assert encode is not None

    assert payloads(lines.handle(b"1\r\n2\n")) == [b"1", b"2"]
    assert encode(b"reply") == b"reply\n"
    with pytest.raises(HandlerError):
        encode(b"two\nlines")


def test_line_protocol_has_a_limit() -> None:
    """The class's, or 64 KiB."""

    class Long(LineProtocol):
        def frame(self, payload: bytes) -> Message:
            return Echo(payload)

    long = Long(FakeConnection())
    assert payloads(long.handle(b"x" * 65_536 + b"\n")) == [b"x" * 65_536]
    with pytest.raises(FrameTooLong):
        payloads(long.handle(b"x" * 65_537 + b"\n"))
    with pytest.raises(FrameTooLong):
        payloads(Lines(FakeConnection()).handle(b"12345678901"))


@pytest.mark.parametrize(
    "data", [b"1\n22\r\n\n333\n4", b"1\nbad\n2\n", b"1\n" + b"x" * 20 + b"\n3\n"]
)
def test_splits_make_no_difference(data: bytes) -> None:
    """However the network cuts the bytes."""

    def make(connection: FakeConnection) -> Lines:
        return Lines(connection)

    check_splits(make, data)  # type: ignore[arg-type]  # the driver's connection is a fake one


def test_handle_gives_an_iterator_that_ends() -> None:
    """It can be pulled once."""
    messages = Lines(FakeConnection()).handle(b"1\n")

    assert isinstance(messages, Iterator)
    assert payloads(messages) == [b"1"]
    assert payloads(messages) == []
