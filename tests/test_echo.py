"""Echo: every line comes back as it came."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.echo import EchoMessage, EchoProtocol
from speedo_trio.errors import FrameTooLong, IncompleteFrame
from speedo_trio.testing.driver import Driver, check_splits
from speedo_trio.testing.memory import serve_in_memory


@given(st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")), max_size=6))
def test_lines_come_back(lines: list[bytes]) -> None:
    """Byte for byte, however they are split."""
    data = b"".join(line + b"\n" for line in lines)

    assert check_splits(EchoProtocol, data) == data


@pytest.mark.parametrize("line", [b"", b"\r", b"a\r", b"\0\xff", b" "])
def test_bytes_that_others_change_come_back(line: bytes) -> None:
    """A carriage return belongs to the line."""
    assert Driver(EchoProtocol).feed(line + b"\n") == line + b"\n"


def test_messages_hold_their_line() -> None:
    """One message for each line, executed in a thread."""
    driver = Driver(EchoProtocol)
    driver.feed(b"1\n2\n")

    assert driver.executed == [EchoMessage(b"1"), EchoMessage(b"2")]
    assert not EchoMessage.runs_async


def test_line_that_is_too_long_ends_the_connection() -> None:
    """Lines before it are answered."""
    driver = Driver(EchoProtocol)

    assert driver.feed(b"short\n" + b"x" * 65_537) == b"short\n"
    assert isinstance(driver.error, FrameTooLong)


def test_stream_that_ends_inside_a_line() -> None:
    """Is the peer's error."""
    driver = Driver(EchoProtocol)
    driver.feed(b"half a li")
    driver.eof()

    assert isinstance(driver.error, IncompleteFrame)


async def test_served() -> None:
    """Over a server, too."""
    with trio.fail_after(10):
        async with serve_in_memory(EchoProtocol) as server:
            client = server.connect()
            await client.send_all(b"hello\nworld\n")
            received = b""
            while len(received) < 12:
                received += await client.receive_some()

    assert received == b"hello\nworld\n"
