"""``pub``: what arrives at the broker, and how the command ends."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from speedo_trio.cli.app import run
from speedo_trio.simplepub.frames import encode_disconnect
from tests.cli.conftest import Start
from tests.cli.pubsub.conftest import Odd, Served

MakeOdd = Callable[[Callable[[socket.socket], None]], Odd]


@pytest.fixture
def standard_input(tmp_path: Path) -> Iterator[Callable[[bytes], None]]:
    """Gives this process bytes as stdin."""
    saved = os.dup(0)

    def give(data: bytes) -> None:
        (tmp_path / "stdin").write_bytes(data)
        with (tmp_path / "stdin").open("rb") as file:
            os.dup2(file.fileno(), 0)

    yield give
    os.dup2(saved, 0)
    os.close(saved)


@pytest.fixture
def quiet() -> Iterator[int]:
    """A pipe in which nothing comes."""
    reading, writing = os.pipe()
    yield reading
    os.close(reading)
    os.close(writing)


def retained(served: Served, topic_filter: str = "#") -> dict[str, bytes]:
    """What the broker keeps."""
    return {each.topic: each.payload for each in served.retained(topic_filter)}


def test_a_message(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    """The server has it when the command returns; nothing is said."""
    assert run(["pub", "a/b", "21.5 °C", "--retain", "--url", served.url]) == 0
    assert run(["pub", "c", "-5", "--retain", "--url", served.url]) == 0
    assert run(["pub", "c/d", "not retained", "--url", served.url]) == 0

    assert retained(served) == {"a/b": "21.5 °C".encode(), "c": b"-5"}
    assert capfd.readouterr() == ("", "")


def test_an_empty_message_removes_what_is_retained(served: Served) -> None:
    """As with any client."""
    for message in ("x", ""):
        assert run(["pub", "a", message, "--retain", "--url", served.url]) == 0

    assert retained(served) == {}


def test_the_bytes_of_an_argument(served: Served, start: Start) -> None:
    """They need not be UTF-8; a topic must be."""
    words = ["pub", "a", "\udcff\udcfe", "--retain", "--url", served.url]
    assert start(*words).end() == (0, "", "")
    status, _, err = start("pub", "\udcff", "x", "--url", served.url).end()

    assert retained(served) == {"a": b"\xff\xfe"}
    assert status == 2
    assert err.startswith("trio-speedo: 'utf-8' codec can't encode character")


def test_a_file(served: Served, tmp_path: Path) -> None:
    """Byte for byte, its last line's end included."""
    data = bytes(range(256)) * 5000 + b"\n"
    (tmp_path / "file").write_bytes(data)
    words = ["--file", str(tmp_path / "file"), "--retain", "--url", served.url]
    assert run(["pub", "a", *words]) == 0

    assert retained(served) == {"a": data}


def test_stdin_as_a_file(served: Served, standard_input: Callable[[bytes], None]) -> None:
    """All of it is one message."""
    standard_input(b"one\ntwo\n")
    assert run(["pub", "a", "--file", "-", "--retain", "--url", served.url]) == 0

    assert retained(served) == {"a": b"one\ntwo\n"}


def test_a_file_that_is_too_long(
    served: Served, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is a mistake, and nothing is sent."""
    with (tmp_path / "file").open("wb") as file:
        file.truncate(2**24)
    assert run(["pub", "a", "--file", str(tmp_path / "file"), "--url", served.url]) == 2

    assert capfd.readouterr().err == (
        "trio-speedo: a payload of 16777220 bytes; allowed are at most 16777215\n"
    )


def test_a_file_without_end(
    served: Served, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more of it is read than a message can have."""
    monkeypatch.setattr("speedo_trio.cli.pubsub.publish._LONGEST", 1_000_000)
    assert run(["pub", "a", "--file", "/dev/zero", "--url", served.url]) == 2

    assert capfd.readouterr().err == (
        "trio-speedo: --file has over 1000000 bytes, more than a message can have\n"
    )


@pytest.mark.parametrize("words", [["--lines"], ["--file", "-"]])
def test_no_stdin(served: Served, start: Start, words: list[str]) -> None:
    """It is told."""
    process = start("pub", "a", *words, "--url", served.url, preexec_fn=close_stdin)
    status, out, err = process.end()

    assert (status, out) == (2, "")
    assert err == "trio-speedo: cannot read stdin: it is closed\n"


def close_stdin() -> None:
    """As ``<&-`` does."""
    os.close(0)


def test_a_stdin_that_cannot_be_read(served: Served, start: Start) -> None:
    """It is told why."""
    only_written = os.open(os.devnull, os.O_WRONLY)
    pub = start("pub", "a", "--lines", "--url", served.url, stdin=only_written)
    os.close(only_written)

    assert pub.end() == (2, "", "trio-speedo: cannot read stdin: Bad file descriptor\n")


def test_lines_are_published_as_they_come(served: Served, start: Start) -> None:
    """Each when its end has come, the last also without; other bytes stay as they are."""
    reading, writing = os.pipe()
    sub = start("sub", "#", "--url", served.url, "--count", "5", stdout=writing)
    os.close(writing)
    served.wait_for_filters(1)
    feeding, feed = os.pipe()
    pub = start("pub", "a", "--lines", "--url", served.url, stdin=feeding)
    os.close(feeding)
    os.write(feed, b"one\ntw")
    with os.fdopen(reading, "rb") as written:
        assert written.readline() == b"one\n"
        os.write(feed, b"o\n\n\xff\r\nlast")
        os.close(feed)
        assert written.read() == b"two\n\n\xff\r\nlast\n"

    assert pub.end() == (0, "", "")
    assert sub.end()[0] == 0


def test_no_lines(served: Served, standard_input: Callable[[bytes], None]) -> None:
    """Then nothing is published, and that is done."""
    standard_input(b"")

    assert run(["pub", "a", "--lines", "--retain", "--url", served.url]) == 0
    assert retained(served) == {}


def test_a_topic_that_is_none(
    served: Served,
    standard_input: Callable[[bytes], None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It is a mistake, whatever is published."""
    standard_input(b"x\n")
    for words in (["x"], ["--lines"]):
        assert run(["pub", "a/#", *words, "--url", served.url]) == 2
        err = capfd.readouterr().err
        assert err.startswith("trio-speedo: the topic name b'a/#' has a wildcard; allowed is")
        assert err.count("\n") == 1


def test_nobody_listens(capfd: pytest.CaptureFixture[str]) -> None:
    """One line and status 1."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"simplepub://127.0.0.1:{unused.getsockname()[1]}"
        assert run(["pub", "a", "b", "--url", url]) == 1

    assert capfd.readouterr() == (
        "",
        f"trio-speedo: cannot connect to {url}: Connection refused\n",
    )


def test_the_server_refuses(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    """Its reason is the line."""
    assert run(["pub", "$SYS/a", "b", "--url", served.url]) == 1
    err = capfd.readouterr().err
    assert err.startswith("trio-speedo: the server closed the connection: a message under ")
    assert err.endswith("'$SYS/a'; $SYS is the server's own\n")


def test_a_reason_commands_no_terminal(odd: MakeOdd, capfd: pytest.CaptureFixture[str]) -> None:
    """It comes from the network."""
    server = odd(lambda connection: connection.sendall(encode_disconnect("\x1b[2J\nx")))

    assert run(["pub", "a", "b", "--url", server.url]) == 1
    assert capfd.readouterr().err == (
        "trio-speedo: the server closed the connection: \\x1b[2J\\nx\n"
    )


def test_a_server_that_does_not_answer(odd: MakeOdd, capfd: pytest.CaptureFixture[str]) -> None:
    """After the time limit that is the line."""
    server = odd(lambda connection: None)

    assert run(["pub", "a", "b", "--timeout", "0.2", "--url", server.url]) == 1
    assert capfd.readouterr().err == f"trio-speedo: no answer within 0.2 s: {server.url}\n"


def test_a_server_that_speaks_something_else(
    odd: MakeOdd, capfd: pytest.CaptureFixture[str]
) -> None:
    """What it said first is told."""
    server = odd(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))

    assert run(["pub", "a", "b", "--url", server.url]) == 1
    assert capfd.readouterr().err.startswith("trio-speedo: a frame of type 72; allowed are 1 PUB")


def test_a_connection_that_is_lost_while_no_line_comes(
    odd: MakeOdd, start: Start, quiet: int
) -> None:
    """It ends at once: the next line may come in hours."""
    server = odd(lambda connection: connection.shutdown(socket.SHUT_RDWR))
    pub = start("pub", "a", "--lines", "--url", server.url, stdin=quiet)

    pub.popen.wait(20)
    assert pub.popen.stderr is not None
    assert pub.popen.stderr.read() == (
        "trio-speedo: the server closed the connection without a reason\n"
    )
    assert pub.popen.returncode == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal(odd: MakeOdd, start: Start, quiet: int, number: signal.Signals) -> None:
    """The status is that of an interrupt, also while stdin is waited for."""
    server = odd(lambda connection: None)
    pub = start("pub", "a", "--lines", "--url", server.url, stdin=quiet)
    assert server.came.wait(20)
    began = time.monotonic()
    pub.send(number)
    pub.popen.wait(20)

    assert time.monotonic() - began < 5
    assert pub.end() == (130, "", "")
