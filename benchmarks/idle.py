"""Resident memory per idle connection: `python -m benchmarks.idle`.

Connections are opened and held; what the server's resident memory grew by is divided by their
number. Once before they sent anything, once after each has had one line echoed.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import socket
import sys
from typing import TYPE_CHECKING

from attrs import frozen

from benchmarks.contenders import NAMES, Contender, chosen
from benchmarks.entrants import entrants
from benchmarks.machine import this_machine
from benchmarks.servers import HOST, Server, ServerError, ending_on_signals, running
from benchmarks.table import table

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_SERVERS = ["speedo", "speedo-async", "asyncio-protocol", "asyncio-streams", "trio-threads"]
SPARE_FILES = 100  # beside its connections, a server opens its libraries, selector and listener
PATIENCE_SECONDS = 10

HEADER = ("server", "empty MiB", "KiB a connection: silent", "after one line")


@frozen(kw_only=True)
class Idle:
    """A server's resident bytes: with no connection, and what one adds, silent and used."""

    empty: int
    silent: float
    used: float


def main() -> int:
    """Measure each server and print the table; 1 when any measurement failed."""
    options = _options()
    allow_files(options.connections + SPARE_FILES)
    with ending_on_signals():
        contenders = entrants(chosen(options.servers))
        print(f"{this_machine(contenders)}\n")
        rows = [_row(contender, options.connections) for contender in contenders]
    print(f"{options.connections} idle connections")
    print(table(HEADER, rows))
    return 1 if any("FAILED" in row for row in rows) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.idle", description=__doc__)
    parser.add_argument("--servers", nargs="+", choices=NAMES, default=DEFAULT_SERVERS)
    parser.add_argument("--connections", type=int, default=1000)
    return parser.parse_args()


def allow_files(wanted: int) -> None:
    """Raise the limit of open files, which the servers inherit, as far as it is needed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and wanted > hard:
        sys.exit(f"{wanted} open files are needed, the hard limit is {hard} (ulimit -Hn)")
    if soft != resource.RLIM_INFINITY and wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _row(contender: Contender, connections: int) -> list[str]:
    try:
        idle = _measured(contender, connections)
    except (ServerError, OSError) as error:
        print(f"FAILED, not counted: {contender.name}: {error}", file=sys.stderr)
        return [contender.title, "FAILED", "–", "–"]
    memory = [f"{bytes_ / 1024:.1f}" for bytes_ in (idle.silent, idle.used)]
    return [contender.title, f"{idle.empty / 1024**2:.1f}", *memory]


def _measured(contender: Contender, connections: int) -> Idle:
    with running(contender) as server, contextlib.ExitStack() as stack:
        # `running` has had one line echoed: what the first connection imports is loaded.
        empty = server.settled_bytes()
        clients = [stack.enter_context(_connected(server)) for _ in range(connections)]
        _echo([clients[-1]])  # accepted in order, so all are accepted now
        silent = server.settled_bytes()
        _echo(clients)
        used = server.settled_bytes()
    return Idle(
        empty=empty, silent=(silent - empty) / connections, used=(used - empty) / connections
    )


def _connected(server: Server) -> socket.socket:
    return socket.create_connection((HOST, server.port), timeout=PATIENCE_SECONDS)


def _echo(clients: Sequence[socket.socket]) -> None:
    for number, client in enumerate(clients):
        line = b"idle %d\n" % number
        client.sendall(line)
        reply = b""
        while len(reply) < len(line) and (data := client.recv(len(line))):
            reply += data
        if reply != line:
            raise ServerError(f"connection {number} was answered with {reply!r}")


if __name__ == "__main__":
    sys.exit(main())
