"""``sub``: what it writes and when, and how it ends."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from speedo_trio.cli.app import run
from speedo_trio.simplepub.frames import encode_disconnect, encode_pub
from tests.cli.conftest import Start
from tests.cli.pubsub.conftest import Odd, Served

MakeOdd = Callable[[Callable[[socket.socket], None]], Odd]


def test_messages_are_written_as_they_come(served: Served, start: Start) -> None:
    """Each at once, though stdout is a pipe; those of a moment before the end too."""
    sub = start("sub", "a/#", "b", "--topics", "--count", "4", "--url", served.url)
    served.wait_for_filters(2)
    served.publish("a/x", b"1")
    assert sub.line() == "a/x 1"
    served.publish("c", b"for others")
    for body in (b"2", b"3", b"4", b"5"):
        served.publish("b", body)

    assert sub.end() == (0, "b 2\nb 3\nb 4\n", "")


def test_what_is_retained(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    """It comes first, unless it is left out; or it is all there is."""
    served.publish("a", b"kept", retain=True)
    words = ["sub", "a", "--url", served.url]
    assert run([*words, "--count", "1"]) == 0
    assert run([*words, "--count", "1", "--only-retained"]) == 0
    assert capfd.readouterr() == ("kept\nkept\n", "")
    assert run([*words, "--seconds", "0.1", "--no-retained"]) == 0

    assert capfd.readouterr() == ("", "")


def test_only_what_is_retained(served: Served, start: Start) -> None:
    """What is published meanwhile is neither written nor counted."""
    served.publish("a", b"kept", retain=True)
    sub = start("sub", "#", "--count", "2", "--only-retained", "--url", served.url)
    assert sub.line() == "kept"
    served.publish("b", b"live")
    sub.send(signal.SIGTERM)

    assert sub.end() == (130, "", "")


def test_formats(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    """As `renderer` has them."""
    served.publish("a", b"x\n", retain=True)
    words = ["sub", "a", "--count", "1", "--url", served.url]
    assert run([*words, "--format", "raw"]) == 0
    assert capfd.readouterr().out == "x\n"
    assert run([*words, "--format", "json"]) == 0
    told = json.loads(capfd.readouterr().out)

    assert (told["topic"], told["payload"], told["retain"]) == ("a", "x\n", True)


def test_a_terminal_is_not_commanded(served: Served, start: Start) -> None:
    """Where stdout is one, control characters are escapes."""
    served.publish("a", b"\x1b[2J\n", retain=True)
    ours, theirs = pty.openpty()
    sub = start("sub", "a", "--count", "1", "--url", served.url, stdout=theirs)
    os.close(theirs)
    sub.popen.wait(20)
    shown = os.read(ours, 1000)
    os.close(ours)

    assert shown == b"\\x1b[2J\\n\r\n"


def test_a_reader_that_goes(served: Served, start: Start) -> None:
    """``| head -1`` ends it at the next message, quietly."""
    served.publish("a", b"kept", retain=True)
    sub = start("sub", "#", "--url", served.url)
    assert sub.line() == "kept"
    assert sub.popen.stdout is not None
    sub.popen.stdout.close()
    sub.popen.stdout = None
    served.publish("b", b"nobody reads it")
    sub.popen.wait(20)

    assert sub.popen.stderr is not None
    assert (sub.popen.returncode, sub.popen.stderr.read()) == (0, "")


def test_a_disk_that_is_full(served: Served, start: Start) -> None:
    """That is no quiet end: messages are missing."""
    served.publish("a", b"kept", retain=True)
    with Path("/dev/full").open("w") as full:
        status, _, err = start("sub", "#", "--url", served.url, stdout=full).end()

    assert (status, err) == (1, "trio-speedo: cannot write to stdout: No space left on device\n")


def test_no_stdout(served: Served, start: Start) -> None:
    """Nothing could be written, so nothing is asked for."""
    status, _, err = start("sub", "#", "--url", served.url, preexec_fn=close_stdout).end()

    assert (status, err) == (2, "trio-speedo: cannot write to stdout: it is closed\n")


def close_stdout() -> None:
    """As ``>&-`` does."""
    os.close(1)


def test_the_time_is_over(served: Served) -> None:
    """It was all that was asked for, or there was a count that was not reached."""
    words = ["sub", "a", "--seconds", "0.1", "--url", served.url]

    assert run(words) == 0
    assert run([*words, "--count", "1"]) == 3


SIGNALS = {
    "SIGINT": (signal.SIGINT, [], 0),
    "SIGTERM": (signal.SIGTERM, [], 0),
    "before the count": (signal.SIGINT, ["--count", "5"], 130),
}


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_ends_it(served: Served, start: Start, name: str) -> None:
    """What has come is written; the status tells whether that was what was asked for."""
    number, words, status = SIGNALS[name]
    served.publish("a", b"kept", retain=True)
    sub = start("sub", "#", *words, "--url", served.url)
    assert sub.line() == "kept"
    sub.send(number)

    assert sub.end() == (status, "", "")


def test_a_signal_while_nobody_reads(served: Served, start: Start) -> None:
    """A pipe that is full doesn't keep it for longer than a moment."""
    for number in range(30):
        served.publish(f"a/{number}", bytes(60_000), retain=True)
    sub = start("sub", "#", "--format", "raw", "--url", served.url)
    assert sub.popen.stdout is not None
    assert sub.popen.stdout.read(60_000) == "\0" * 60_000
    sub.send(signal.SIGINT)
    sub.popen.wait(20)

    assert sub.popen.returncode == 0


def test_a_signal_before_it_is_subscribed(odd: MakeOdd, start: Start) -> None:
    """Nothing of what was asked for was done."""
    server = odd(lambda connection: None)
    sub = start("sub", "#", "--url", server.url)
    assert server.came.wait(20)
    sub.send(signal.SIGINT)

    assert sub.end() == (130, "", "")


def test_nobody_listens(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """One line and status 1."""
    url = f"simplepub+unix:{tmp_path}/no.sock"
    assert run(["sub", "#", "--url", url]) == 1

    assert capfd.readouterr() == (
        "",
        f"trio-speedo: cannot connect to {url}: No such file or directory\n",
    )


def test_the_connection_ends(odd: MakeOdd, capfd: pytest.CaptureFixture[str]) -> None:
    """What came is written, then the reason."""

    def treat(connection: socket.socket) -> None:
        connection.sendall(connection.recv(1000))
        connection.sendall(encode_pub(b"t", b"last") + encode_disconnect("that is all"))

    assert run(["sub", "#", "--url", odd(treat).url]) == 1
    assert capfd.readouterr() == (
        "last\n",
        "trio-speedo: the server closed the connection: that is all\n",
    )


def test_a_filter_that_is_none(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    """It is a mistake."""
    assert run(["sub", "a", "b#", "--url", served.url]) == 2
    assert capfd.readouterr().err.startswith("trio-speedo: the topic filter b'b#' has # inside")


def test_a_server_that_does_not_answer(odd: MakeOdd, capfd: pytest.CaptureFixture[str]) -> None:
    """After the time limit that is the line; it is not --seconds."""
    url = odd(lambda connection: None).url

    assert run(["sub", "#", "--timeout", "0.2", "--seconds", "9", "--url", url]) == 1
    assert capfd.readouterr().err == f"trio-speedo: no answer within 0.2 s: {url}\n"


def test_over_tls(start: Start, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """With an authority to trust, and without one; against the command that serves."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    pair = authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem
    pair.write_to_path(tmp_path / "cert.pem")
    server = start("serve", "simplepub", "--bind", "tls://127.0.0.1:0?cert=cert.pem")
    url = "simplepub+tls://" + server.line().partition("tls://")[2].partition("?")[0]
    ca = ["--ca", "ca.pem", "--url", url]
    assert run(["pub", "a", "x", "--retain", *ca]) == 0
    assert run(["sub", "a", "--count", "1", *ca]) == 0
    assert run(["sub", "a", "--count", "1", "--insecure", "--url", url]) == 0
    assert capfd.readouterr() == ("x\nx\n", "")

    assert run(["sub", "a", "--count", "1", "--url", url]) == 1
    assert capfd.readouterr().err.startswith(f"trio-speedo: cannot connect to {url}: certificate")
