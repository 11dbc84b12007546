"""The programs that people try a server with: nc and curl."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.judges.command import Command
from tests.judges.conftest import Ends
from tests.judges.program import Program
from tests.outside import need

LINES = "".join(f"line {number} of many\n" for number in range(50_000))
"""A megabyte, more than all buffers in between hold."""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The server's Unix socket."""
    return tmp_path_factory.mktemp("everyday") / "socket"


@pytest.fixture(scope="module")
def server(path: Path) -> Iterator[Command]:
    """An echo on both loopback addresses and at a path."""
    with Command("echo", "tcp://localhost:0", "--bind", f"unix:{path}") as server:
        yield server


@pytest.mark.parametrize("where", ["127.0.0.1", "::1", "path"])
def test_nc(ends: Ends, server: Command, path: Path, where: str) -> None:
    """``nc -N``: all that is piped in comes out, then both sides end."""
    need("nc.openbsd")  # others have other options
    target = ("-U", str(path)) if where == "path" else (where, str(server.port))
    nc = ends(Program("nc.openbsd", "-N", *target))
    nc.tell(LINES)

    assert nc.end() == 0
    assert nc.text == LINES


def test_curl(ends: Ends, server: Command) -> None:
    """``curl telnet://`` shows the answer to each line that is typed."""
    need("curl")
    curl = ends(Program("curl", "--silent", "--no-buffer", f"telnet://localhost:{server.port}"))
    for line in ("hello\n", "is there an echo?\n"):
        curl.tell(line)
        curl.wait_for(line.replace("?", r"\?"))


def test_nc_is_let_go_by_a_drain(ends: Ends) -> None:
    """A client that just stays connected ends by itself, and without an error, with the server."""
    need("nc.openbsd")  # others have other options
    server = ends(Command("echo", "tcp://127.0.0.1:0"))
    nc = ends(Program("nc.openbsd", "127.0.0.1", str(server.port)))
    nc.tell("hello\n")
    nc.wait_for("hello\n")
    server.send(signal.SIGTERM)
    nc.hush()

    assert nc.end() == 0
    assert server.end() == 0
    server.wait_for("drained 1 connection in .* nothing dropped\n")


def test_a_look_at_the_port_is_no_error(ends: Ends) -> None:
    """``nc -z`` finds the server, which has nothing to tell of that."""
    need("nc.openbsd")  # others have other options
    server = ends(Command("echo", "tcp://127.0.0.1:0"))
    for _ in range(5):
        assert ends(Program("nc.openbsd", "-z", "127.0.0.1", str(server.port))).end() == 0
    server.send(signal.SIGTERM)

    assert server.end() == 0
    assert server.log == []
