"""The command on sockets that it was started with: by descriptor, by systemd, by name."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import PATIENCE, Process, Start
from tests.passing import PACKAGES, start_with

ACTIVATE = shutil.which("systemd-socket-activate")
SERVE = ("-m", "speedo_trio", "serve", "--bind")


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A socket of whoever starts the command."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


Watch = Callable[[subprocess.Popen[str]], Process]


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Sees to it that a process that was started is gone at the end."""
    watched: list[Process] = []

    def watch(popen: subprocess.Popen[str]) -> Process:
        watched.append(Process(popen))
        return watched[-1]

    yield watch
    for process in watched:
        process.close()


def echo_of(address: tuple[str, int], line: bytes) -> bytes:
    """What comes back."""
    with socket.create_connection(address, timeout=PATIENCE) as client:
        client.sendall(line + b"\n")
        return client.makefile("rb").readline().rstrip(b"\n")


def ends(process: Process) -> None:
    """See that it drains and has lost nothing."""
    process.send(signal.SIGTERM)
    status, out, err = process.end()
    assert (status, err) == (0, "")
    assert "nothing dropped" in out


@pytest.mark.parametrize("bind", ["systemd:", "systemd:web", "fd://3"])
def test_serves_on_a_passed_socket(bind: str, listening: socket.socket, watch: Watch) -> None:
    """It says where that listens; the socket goes on when it has ended."""
    process = watch(start_with([listening], *SERVE, bind, names="web"))
    assert process.port() == listening.getsockname()[1]
    assert echo_of(listening.getsockname(), b"hello") == b"hello"
    ends(process)

    with socket.create_connection(listening.getsockname(), timeout=PATIENCE):
        pass


def test_each_name_has_its_bind(listening: socket.socket, watch: Watch) -> None:
    """Here with a layer on one of them."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        binds = ("systemd+proxy:proxied", "--bind", "systemd:plain")
        process = watch(start_with([listening, other], *SERVE, *binds, names="plain:proxied"))
        assert {process.port(), process.port()} == {
            listening.getsockname()[1],
            other.getsockname()[1],
        }
        assert echo_of(listening.getsockname(), b"hello") == b"hello"
        header = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"
        assert echo_of(other.getsockname(), header + b"hello") == b"hello"
        ends(process)


@pytest.mark.parametrize(
    ("bind", "text"),
    [
        ("systemd:", "no sockets were passed: LISTEN_PID and LISTEN_FDS are not both set"),
        ("systemd+proxy:web", "no sockets were passed"),
        ("fd://77", "descriptor 77 is not open"),
        ("fd://0", "descriptor 0 is no socket"),
    ],
)
def test_nothing_was_passed(bind: str, text: str, start: Start) -> None:
    """One line says so, and the status is that of not being able to listen."""
    status, out, err = start("serve", "--bind", bind, stdin=subprocess.DEVNULL).end()

    assert (status, out) == (1, "")
    assert err.startswith(f"trio-speedo: cannot listen on {bind}: {text}")
    assert err.count("\n") == 1


def test_check_takes_no_socket(start: Start) -> None:
    """It only reads: what systemd passes is for the server."""
    status, out, _ = start("check", "--bind", "systemd:web", "--bind", "fd://3").end()

    assert status == 0
    assert 'bind = ["systemd:web", "fd://3"]' in out


@pytest.mark.skipif(ACTIVATE is None, reason="systemd-socket-activate is not there")
def test_started_by_systemds_own_tool(tmp_path: Path, watch: Watch) -> None:
    """What systemd really passes is understood; here by its tool for trying that."""
    assert ACTIVATE is not None
    path = tmp_path / "s"
    words = [ACTIVATE, "--listen", str(path), "--fdname", "web", "-E", f"PYTHONPATH={PACKAGES}"]
    process = watch(
        subprocess.Popen(
            [*words, sys.executable, *SERVE, "systemd:web"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ},
        )
    )
    while not path.exists():
        assert process.popen.poll() is None
        time.sleep(0.01)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(str(path))
        client.sendall(b"hello\n")
        assert client.recv(10) == b"hello\n"
    assert process.line() == f"serving echo on unix:{path}"
    process.send(signal.SIGTERM)
    status, out, _ = process.end()

    assert status == 0
    assert "nothing dropped" in out
    assert path.exists()
