"""Sockets that systemd's own program opens and passes."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.judges.conftest import Ends
from tests.judges.ports import held_port, wait_for_listener
from tests.judges.program import PATIENCE, Program, environment
from tests.outside import need

need("systemd-socket-activate")

Activate = Callable[..., Program]


@pytest.fixture
def port() -> Iterator[int]:
    """A port for systemd."""
    with held_port() as port:
        yield port


@pytest.fixture
def activate(ends: Ends) -> Activate:
    """Has systemd listen, and start the command when somebody comes."""

    def activate(*binds: str, listen: tuple[int | Path, ...], names: str) -> Program:
        addresses = [f"127.0.0.1:{at}" if isinstance(at, int) else str(at) for at in listen]
        program = Program(
            "systemd-socket-activate",
            *(f"--listen={address}" for address in addresses),
            f"--fdname={names}",
            f"--setenv=PYTHONPATH={environment()['PYTHONPATH']}",
            *(sys.executable, "-m", "speedo_trio", "serve", "echo"),
            *(word for bind in binds for word in ("--bind", bind)),
        )
        ends(program)
        program.wait_for("Listening on ", len(listen))
        return program

    return activate


def echoes(connection: socket.socket, sent: bytes = b"", back: bytes = b"hello\n") -> None:
    """Send what is to be sent, and a line; the line must come back."""
    connection.sendall(sent + back)
    assert connection.makefile("rb").readline() == back


def connect(port: int) -> socket.socket:
    """A client that waits for no answer longer than a test may."""
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def test_the_very_first_connection_is_served(activate: Activate, port: int) -> None:
    """Who knocks when there is no server yet, and says all it has to say, is answered by it."""
    program = activate("systemd:web", listen=(port,), names="web")
    wait_for_listener(port)
    with connect(port) as first:
        first.sendall(b"hello\nthere\n")
        first.shutdown(socket.SHUT_WR)
        assert first.makefile("rb").read() == b"hello\nthere\n"
    program.wait_for(f"serving echo on tcp://127.0.0.1:{port}\n")
    with connect(port) as second:
        echoes(second)
    program.send(signal.SIGTERM)

    assert program.end() == 0


def test_names_tell_sockets_apart(activate: Activate, port: int, tmp_path: Path) -> None:
    """Each bind gets the socket of its name, whatever their order, and has its own layers."""
    path = tmp_path / "inside"
    binds = ("systemd+proxy:inside", "systemd:web")
    activate(*binds, listen=(port, path), names="web:inside")
    with connect(port) as outside, socket.socket(socket.AF_UNIX) as inside:
        echoes(outside)
        inside.settimeout(PATIENCE)
        inside.connect(str(path))
        echoes(inside, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n")


def test_all_sockets_can_be_taken(activate: Activate, port: int, tmp_path: Path) -> None:
    """Without a name a bind gets all that were passed."""
    path = tmp_path / "inside"
    program = activate("systemd:", listen=(port, path), names="web:inside")
    with connect(port) as outside:
        echoes(outside)

    program.wait_for(f"serving echo on tcp://127.0.0.1:{port}\nserving echo on unix:{path}\n")


def test_a_wrong_name(activate: Activate, port: int) -> None:
    """The line tells which names there are, and the exit status that it can't listen."""
    program = activate("systemd:wbe", listen=(port,), names="web")
    with connect(port):
        assert program.end() == 1

    assert program.text.splitlines()[-1] == (
        "trio-speedo: cannot listen on systemd:wbe: "
        "none of the passed sockets is called 'wbe'; passed was 'web'"
    )


def test_without_systemd(ends: Ends) -> None:
    """Started by hand, it says what is missing and who would bring it."""
    words = (sys.executable, "-m", "speedo_trio", "serve", "echo", "--bind", "systemd:web")
    program = ends(Program(*words))

    assert program.end() == 1
    assert program.text == (
        "trio-speedo: cannot listen on systemd:web: no sockets were passed: "
        "LISTEN_PID and LISTEN_FDS are not both set; "
        "a .socket unit or systemd-socket-activate sets them\n"
    )
