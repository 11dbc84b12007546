"""Serving: what is printed, what signals do, and how it exits. Real processes and sockets."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from speedo_trio.cli.log import CommandLog
from speedo_trio.cli.notify import Notifier
from speedo_trio.cli.orders import SIGNALS
from speedo_trio.cli.reload import Reloader
from speedo_trio.cli.run import Run
from speedo_trio.cli.settings import Settings
from speedo_trio.cli.voice import OwnVoice
from speedo_trio.echo import EchoProtocol
from speedo_trio.logs.event_log import EventLog

if TYPE_CHECKING:
    from tests.cli.conftest import Process, Start

LOCAL = ("--bind", "tcp://127.0.0.1:0")

STUCK = """
import time
from attrs import define
from speedo_trio.protocol.framed import LineProtocol
from speedo_trio.protocol.message import Message

@define
class Sleep(Message):
    connection: object
    def execute(self):
        self.connection.write(b"asleep\\n")
        time.sleep(60)

class Stuck(LineProtocol):
    def frame(self, payload):
        return Sleep(self.connection)
"""

GREETING = """
from speedo_trio.protocol.handler import ProtocolHandler

class Greeting(ProtocolHandler):
    def opened(self):
        self.connection.write(b"hello\\n")

    def handle(self, data):
        pass
"""

FAILING = """
from attrs import define
from speedo_trio.protocol.framed import LineProtocol
from speedo_trio.protocol.message import Message

@define
class Fail(Message):
    def execute(self):
        raise RuntimeError("out of paper")

class Failing(LineProtocol):
    def frame(self, payload):
        return Fail()
"""


def ask(connection: socket.socket, line: bytes) -> bytes:
    """Send a line, receive a line."""
    connection.sendall(line)
    return connection.makefile("rb").readline()


def test_serves_echo_on_both_loopback_addresses(start: Start) -> None:
    """Without a protocol it is echo; each address has its line, and answers."""
    process = start("serve", "--bind", "tcp://localhost:0")
    first, second = process.line(), process.line()
    found = re.fullmatch(r"serving echo on tcp://127\.0\.0\.1:(\d+)", first)

    assert found
    assert second == f"serving echo on tcp://[::1]:{found[1]}"
    for host in "127.0.0.1", "::1":
        with socket.create_connection((host, int(found[1]))) as connection:
            assert ask(connection, b"hello\n") == b"hello\n"


def test_safe_path_is_obeyed(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``python -P`` the current directory is not importable, as the user wished."""
    Path("here.py").write_text("from speedo_trio.echo import EchoProtocol\n")
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    status, _, err = start("check", "here:EchoProtocol").end()

    assert status == 2
    assert "No module named 'here'" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains(start: Start, number: signal.Signals) -> None:
    """A signal ends the connection in good order, tells of it, and the exit status is 0."""
    Path("greeting.py").write_text(GREETING)
    process = start("serve", "greeting:Greeting", *LOCAL)
    with process.connect() as connection:
        assert connection.recv(10) == b"hello\n"
        process.send(number)

        assert process.line() == "draining 1 connection, up to 10 s; again to stop at once"
        assert connection.recv(1) == b""
    status, out, err = process.end()

    assert (status, err) == (0, "")
    assert re.fullmatch(
        r"drained 1 connection in \S+ s, 0 messages executed, nothing dropped\n", out
    )


def start_stuck(start: Start, *words: str) -> tuple[Process, socket.socket]:
    """A server with a thread inside a message that takes too long, and the waiting peer."""
    Path("stuck.py").write_text(STUCK)
    process = start("serve", "stuck:Stuck", *LOCAL, *words)
    connection = process.connect()
    assert ask(connection, b"sleep\n") == b"asleep\n"
    return process, connection


def test_the_second_signal_ends_at_once(start: Start) -> None:
    """It does not wait for a stuck message; what was cut is told and makes the status 3."""
    process, connection = start_stuck(start)
    with connection:
        process.send(signal.SIGTERM)
        process.line()
        began = time.monotonic()
        process.send(signal.SIGINT)
        status, out, err = process.end()

    assert time.monotonic() - began < 5  # the grace is 10 s, the message takes 60 s
    assert (status, err) == (3, "")
    assert out == "stopped at once: cut 1 connection, dropped 1 message\n"


def test_further_signals_change_nothing(start: Start) -> None:
    """An impatient user gets the same end, not a traceback or a killed process."""
    process, connection = start_stuck(start)
    with connection:
        for _ in range(5):
            process.send(signal.SIGINT)
            time.sleep(0.01)  # signals that wait are merged; these come while it stops
        status, out, err = process.end()

    assert (status, err) == (3, "")
    assert "stopped at once: cut 1 connection" in out


def test_two_signals_without_work_are_clean(start: Start) -> None:
    """Nobody was connected, so stopping at once drops nothing."""
    process = start("serve", *LOCAL)
    process.line()
    process.send(signal.SIGTERM)
    process.send(signal.SIGINT)

    assert process.end()[0] == 0


def test_status_3_when_something_was_dropped(start: Start) -> None:
    """A drain whose grace is over has the report of what was lost, and status 3."""
    process, connection = start_stuck(
        start, "--timeouts.grace", "0.1", "--timeouts.kill-after", "0.1"
    )
    with connection:
        process.send(signal.SIGTERM)
        status, out, _ = process.end()

    assert status == 3
    assert "up to 0.1 s" in out
    assert "dropped 1 message and 0 bytes of replies, cut 1 connection, abandoned 1 thread" in out


def test_a_port_in_use_is_one_line_and_status_1(start: Start) -> None:
    """The line names the address and the reason."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"tcp://127.0.0.1:{taken.getsockname()[1]}"

        assert start("serve", "--bind", bind).end() == (
            1,
            "",
            f"trio-speedo: cannot listen on {bind}: Address already in use\n",
        )


def test_log_lines_go_to_stderr(start: Start) -> None:
    """What the log protocol logs is visible and has a time; events of the drain are not there."""
    process = start("serve", "log", *LOCAL)
    with process.connect() as connection:
        connection.sendall(b"hello\n")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""  # the server closes once the line is logged
    process.send(signal.SIGTERM)
    _, _, err = process.end()

    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \S+ INFO speedo_trio\.log: tcp://127\.0\.0\.1:\d+: hello\n", err
    )


def test_a_failing_message_is_logged_and_serving_goes_on(start: Start) -> None:
    """The traceback is on stderr; the next connection is served; nothing was dropped by a drain."""
    Path("failing.py").write_text(FAILING)
    process = start("serve", "failing:Failing", *LOCAL)
    port = process.port()
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            assert ask(connection, b"x\n") == b""
    process.send(signal.SIGTERM)
    status, _, err = process.end()

    assert status == 0
    assert err.count("RuntimeError: out of paper\n") == err.count("Traceback") * 2 == 4
    assert "ERROR speedo_trio: connection 1 from tcp://127.0.0.1:" in err


def test_a_plugin_is_served_by_its_name(start: Start, plugin: Path) -> None:
    """An installed package's entry point is enough."""
    process = start("serve", "shout", *LOCAL)
    with process.connect() as connection:
        assert ask(connection, b"hello\n") == b"HELLO\n"


def test_a_factory_in_the_current_directory_is_served(start: Start, plugin: Path) -> None:
    """``package.module:Factory`` finds modules that lie there, as ``python -m`` does."""
    Path("here.py").write_text("from shouting import Shout as Loud\n")
    process = start("serve", "here:Loud", *LOCAL)
    with process.connect() as connection:
        assert ask(connection, b"hello\n") == b"HELLO\n"


def test_settings_reach_the_server(start: Start) -> None:
    """At the limit of connections, set by a flag, the next one is refused and that is logged."""
    process = start("serve", *LOCAL, "--limits.connections", "1", "--limits.when-full", "refuse")
    port = process.port()
    with socket.create_connection(("127.0.0.1", port)) as first:
        ask(first, b"x\n")
        with socket.create_connection(("127.0.0.1", port)) as second:
            assert second.recv(1) == b""
    process.send(signal.SIGTERM)

    assert "refused: limits.connections is 1" in process.end()[2]


def wait_for_socket(path: Path) -> socket.socket:
    """Connect to a server that cannot tell when it serves."""
    for _ in range(1000):
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(path))
        except OSError:
            connection.close()
            time.sleep(0.02)
        else:
            return connection
    raise AssertionError(f"no server came up at {path}")


def test_a_closed_stdout_harms_nothing(start: Start, tmp_path: Path) -> None:
    """Nobody reads the lines: it serves, drains and exits as ever, without a word."""
    Path("greeting.py").write_text(GREETING)
    process = start("serve", "greeting:Greeting", "--bind", f"unix:{tmp_path}/here")
    assert process.popen.stdout is not None
    process.popen.stdout.close()
    process.popen.stdout = None
    with wait_for_socket(tmp_path / "here") as connection:
        assert connection.recv(10) == b"hello\n"
    process.send(signal.SIGTERM)
    process.popen.wait()
    assert process.popen.stderr is not None

    assert (process.popen.returncode, process.popen.stderr.read()) == (0, "")


def test_a_closed_stderr_harms_nothing(start: Start) -> None:
    """A log that nobody reads changes neither the service nor the exit status."""
    process = start("serve", "log", *LOCAL)
    assert process.popen.stderr is not None
    process.popen.stderr.close()
    process.popen.stderr = None
    with process.connect() as connection:
        connection.sendall(b"hello\n")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    process.send(signal.SIGTERM)

    assert process.end()[0] == 0


def test_no_stdout_at_all_harms_nothing(start: Start, tmp_path: Path) -> None:
    """The same for ``>&-``."""
    Path("greeting.py").write_text(GREETING)
    words = ("greeting:Greeting", "--bind", f"unix:{tmp_path}/here")
    process = start("serve", *words, preexec_fn=lambda: os.close(1))
    with wait_for_socket(tmp_path / "here") as connection:
        assert connection.recv(10) == b"hello\n"
    process.send(signal.SIGTERM)
    status, _, err = process.end()

    assert (status, err) == (0, "")


def test_a_terminal_gets_a_hint(start: Start) -> None:
    """Only who can press Ctrl-C is told of it."""
    ours, theirs = pty.openpty()
    process = start("serve", *LOCAL, stdout=theirs)
    os.close(theirs)
    with os.fdopen(ours) as terminal:
        assert terminal.readline().startswith("serving echo on tcp://127.0.0.1:")
        assert terminal.readline() == "Ctrl-C to drain, twice to stop at once\n"
        process.send(signal.SIGTERM)
        assert process.popen.wait() == 0


@pytest.fixture
def stalled(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Awaitable[int]]]:
    """A run whose server never gets to listen, as when a name server does not answer."""

    async def serve(*args: object, **options: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr("speedo_trio.cli.run.serve", serve)
    before = {number: signal.getsignal(number) for number in SIGNALS}
    settings, notifier = Settings(), Notifier()
    voice = OwnVoice(settings, EventLog())
    reloader = Reloader(
        settings, EchoProtocol, pytest.fail, CommandLog(None, None), voice, notifier
    )
    yield Run(settings, EchoProtocol, voice, notifier, reloader).run
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("count", [1, 2])
async def test_a_signal_before_it_listens(
    stalled: Callable[[], Awaitable[int]], count: int
) -> None:
    """There is nothing to drain: it ends, with status 0; so does the impatient second."""
    statuses = []

    async def run() -> None:
        statuses.append(await stalled())

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await trio.testing.wait_all_tasks_blocked()
            for number in SIGNALS[:count]:
                signal.raise_signal(number)

    assert statuses == [0]
    for number in SIGNALS:  # the status stands; no signal may change it while Python ends
        assert signal.getsignal(number) is signal.SIG_IGN
