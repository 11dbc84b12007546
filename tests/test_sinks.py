"""Sinks: discard throws away, log writes lines that a peer can't forge."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.errors import FrameTooLong
from speedo_trio.sinks import DiscardProtocol, LogProtocol
from speedo_trio.testing.driver import Driver, check_splits


def logged(data: bytes) -> list[str]:
    """The log lines that some bytes make."""
    seen: list[str] = []

    class Seen(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.getMessage())

    logger, handler = logging.getLogger("speedo_trio.log"), Seen()
    before, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        Driver(LogProtocol).feed(data)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        logger.propagate = propagate
    return seen


@given(st.binary(max_size=50))
def test_discard_takes_everything(data: bytes) -> None:
    """And answers nothing, makes no message and never ends the connection."""
    driver = Driver(DiscardProtocol)

    assert driver.feed(data, data) == b""
    assert driver.eof() == b""
    assert (driver.executed, driver.error) == ([], None)


def test_log_writes_each_line(caplog: pytest.LogCaptureFixture) -> None:
    """At INFO, with who sent it, and answers nothing."""
    caplog.set_level(logging.INFO)
    driver = Driver(LogProtocol)

    assert driver.feed(b"hello\r\n\nworld\nno end") == b""
    peer = driver.connection.peer
    assert caplog.record_tuples == [
        ("speedo_trio.log", logging.INFO, f"{peer}: {line}") for line in ("hello", "", "world")
    ]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("grüße 你好".encode(), "grüße 你好"),
        (b"100 %s %(name)s {}", "100 %s %(name)s {}"),
        (b"\xff\xfe", r"\xff\xfe"),
        (b"a\rb", r"a\rb"),
        (b"\x1b[31mred", r"\x1b[31mred"),
        (b"\x00\x07\x7f\t", r"\x00\x07\x7f\t"),
        ("\x85\u2028\u2029".encode(), r"\x85\u2028\u2029"),
        ("\u202egnp.exe".encode(), r"\u202egnp.exe"),
        (rb"\r", r"\\r"),
    ],
)
def test_log_escapes_what_could_deceive(line: bytes, text: str) -> None:
    """Control characters, foreign bytes and the escapes' own backslash."""
    assert logged(line + b"\n") == [f"tcp://192.0.2.1:40000: {text}"]


@given(st.lists(st.one_of(st.text().map(str.encode), st.binary()), max_size=3).map(b"\r".join))
def test_no_peer_forges_a_line_or_commands_a_terminal(data: bytes) -> None:
    """Whatever it sends: one line of the log for one of its lines, all of it printable."""
    line = data.replace(b"\n", b"")
    lines = logged(line + b"\n")

    assert len(lines) == 1
    assert lines[0].isprintable()
    assert len(lines[0].splitlines()) == 1


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_log_tells_different_lines_apart(one: bytes, other: bytes) -> None:
    """The escapes lose nothing."""
    one, other = one.replace(b"\n", b"").rstrip(b"\r"), other.replace(b"\n", b"").rstrip(b"\r")
    lines = logged(one + b"\n" + other + b"\n")

    assert (lines[0] == lines[1]) == (one == other)


def test_log_has_a_limit() -> None:
    """As any protocol of lines."""
    driver = Driver(LogProtocol)
    driver.feed(b"x" * 65_537)

    assert isinstance(driver.error, FrameTooLong)


def test_splits_make_no_difference() -> None:
    """However the network cuts the bytes."""
    assert check_splits(LogProtocol, b"one\r\ntwo\n") == b""
