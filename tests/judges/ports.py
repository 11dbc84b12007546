"""Ports for programs that can't choose one themselves."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.judges.program import PATIENCE

_LISTEN = "0A"
"""TCP_LISTEN, as /proc/net/tcp has it."""


@contextmanager
def held_port() -> Iterator[int]:
    """A port of 127.0.0.1 that nobody else is given during the block.

    It is bound here, and nobody listens there. With SO_REUSEADDR, which all servers set, a program
    may bind it too, and listen (socket(7)).
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def wait_for_listener(port: int) -> None:
    """Wait until a program listens there, without troubling it by a connection."""
    over = time.monotonic() + PATIENCE
    while not _has_listener(port):
        assert time.monotonic() < over, f"nobody listens on port {port}"
        time.sleep(0.005)


def _has_listener(port: int) -> bool:
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return any(line[1].endswith(f":{port:04X}") and line[3] == _LISTEN for line in lines[1:])
