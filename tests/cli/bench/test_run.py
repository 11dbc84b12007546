"""The command as a process: what it prints, what signals do, and how it exits."""

from __future__ import annotations

import json
import os
import pty
import re
import resource
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from speedo_trio.cli.bench.run import allow_files
from speedo_trio.cli.mistakes import Mistake
from tests.cli.conftest import Process, Start

SHORT = ("--clients", "3", "--warm-up", "0.05", "--seconds", "0.2")


class Server(threading.Thread):
    """An echo server in threads; it tells when something has come, and may keep it to itself."""

    def __init__(self, *, answers: bool = True) -> None:
        super().__init__(daemon=True)
        self._answers = answers
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._listening.getsockname()[1]}"
        self.loaded = threading.Event()

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65_536):
                    self.loaded.set()
                    if self._answers:
                        connection.sendall(data)
            except OSError:
                pass

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.join()


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that echoes."""
    server = Server()
    server.start()
    yield server
    server.close()


@pytest.fixture
def silent() -> Iterator[Server]:
    """A server that reads, and says nothing."""
    server = Server(answers=False)
    server.start()
    yield server
    server.close()


def test_all_is_right(start: Start, server: Server) -> None:
    """The report on stdout, nothing on stderr, status 0."""
    status, out, err = start("bench", server.url, *SHORT).end()

    assert (status, err) == (0, "")
    first, _, *rows = out.splitlines()
    assert first == f"{server.url}: 3 clients, 1 in flight each, echo of 64-byte lines"
    names = [row[:10].strip() for row in rows]
    assert names == ["replies", "", "latency", "", "connect", "", "", "errors"]


def test_json_is_all_there_is_on_stdout(start: Start, server: Server) -> None:
    """For programs."""
    status, out, err = start("bench", server.url, *SHORT, "--json").end()

    assert (status, err) == (0, "")
    assert json.loads(out)["replies"] > 0


def test_errors_are_status_3(start: Start, server: Server) -> None:
    """The report tells them."""
    words = ("--requests", "5", "--send", "GET x", "--expect", "y")
    status, out, _ = start("bench", server.url, *words).end()

    assert status == 3
    assert "errors    5 × wrong reply; the first: expected b'y', got b'GET x'\n" in out


def test_nothing_listens(start: Start) -> None:
    """One line and status 1."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"tcp://127.0.0.1:{unused.getsockname()[1]}"

        assert start("bench", url, "--json").end() == (
            1,
            "",
            f"trio-speedo: cannot connect to {url}: Connection refused\n",
        )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_early(start: Start, server: Server, number: signal.Signals) -> None:
    """What was measured until then is reported, and counts as it is."""
    process = start("bench", server.url, "--warm-up", "0", "--seconds", "60")
    assert server.loaded.wait(20)
    process.send(number)
    status, out, err = process.end()

    assert (status, err) == (0, "")
    assert out.endswith("interrupted: nothing that was in flight is counted\n")


def test_a_signal_before_anything_was_measured(start: Start, silent: Server) -> None:
    """There is nothing to report, and the status is that of an interrupt."""
    process = start("bench", silent.url, "--warm-up", "60", "--json")
    assert silent.loaded.wait(20)
    process.send(signal.SIGINT)

    assert process.end() == (130, "", "trio-speedo: interrupted before anything was measured\n")


def on_terminal(start: Start, *words: str) -> tuple[Process, str]:
    """Run with a terminal as stderr; what appeared there."""
    ours, theirs = pty.openpty()
    process = start("bench", *words, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while data := os.read(ours, 65_536):
            shown += data
    except OSError:  # how a terminal ends on Linux
        pass
    os.close(ours)
    process.popen.wait()
    return process, shown.decode()


def test_a_terminal_has_a_bar(
    start: Start, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tells phase and rate, and is gone at the end; the report is still on stdout."""
    monkeypatch.setenv("TERM", "xterm")
    process, shown = on_terminal(start, server.url, "--warm-up", "0.5", "--seconds", "0.5")
    assert process.popen.stdout is not None

    assert "warming up" in shown
    assert re.search(r"measuring .* replies/s", shown)
    assert process.popen.stdout.read().startswith(server.url)
    assert process.popen.returncode == 0


@pytest.mark.parametrize("flag", ["--quiet", "--json"])
def test_no_bar(start: Start, server: Server, flag: str) -> None:
    """Not for who asks for quiet, nor beside JSON."""
    process, shown = on_terminal(start, server.url, *SHORT, flag)

    assert shown == ""
    assert process.popen.returncode == 0


def test_no_stdout_at_all_harms_nothing(start: Start, server: Server) -> None:
    """The status still tells."""
    process = start("bench", server.url, *SHORT, preexec_fn=lambda: os.close(1))

    assert process.end()[::2] == (0, "")


@pytest.mark.parametrize(("encoding", "bar"), [("utf-8", "█"), ("ascii", "#")])
def test_bars_are_what_the_terminal_can_show(
    start: Start, server: Server, monkeypatch: pytest.MonkeyPatch, encoding: str, bar: str
) -> None:
    """Blocks if its encoding has them."""
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    _, out, _ = start("bench", server.url, *SHORT, "--histogram").end()

    assert f" {bar * 40}" in out


def test_over_a_unix_socket(start: Start) -> None:
    """With the server of the same command."""
    server = start("serve", "--bind", f"unix:{Path.cwd()}/here")
    server.line()
    words = ("--clients", "5", "--window", "20", "--requests", "1000", "--json")
    status, out, err = start("bench", f"unix:{Path.cwd()}/here", *words).end()

    assert (status, err) == (0, "")
    assert json.loads(out)["replies"] == 1000


def test_many_clients_may_open_as_many_files(start: Start, server: Server) -> None:
    """The soft limit is raised as far as the system allows; beyond, it is a mistake."""

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 60))

    limit = "this process may open"
    words = ("--requests", "1", "--json", "--clients")
    assert start("bench", server.url, *words, "20", preexec_fn=few).end()[0] == 0
    assert start("bench", server.url, *words, "30", preexec_fn=few).end() == (
        2,
        "",
        f"trio-speedo: so many clients need 62 open files; {limit} 60 files (ulimit -n)\n",
    )


@pytest.mark.parametrize("soft", [resource.RLIM_INFINITY, 100])
def test_a_limit_that_suffices_stays(monkeypatch: pytest.MonkeyPatch, soft: int) -> None:
    """Nothing is changed."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", None)
    allow_files(100)


def test_no_hard_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The soft one can be raised to anything."""
    raised = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: raised.append(limits))
    allow_files(10**6)

    assert raised == [(10**6, resource.RLIM_INFINITY)]


def test_too_low_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (50, 60))
    with pytest.raises(Mistake, match="this process may open 60 files"):
        allow_files(61)
