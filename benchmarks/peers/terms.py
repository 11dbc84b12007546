"""The terms that every peer keeps, so that only the framework differs.

A peer takes a port, listens on loopback only with TCP_NODELAY and this backlog, says one line
when it is ready, and ends on SIGTERM (Python's default: the process simply ends).
"""

from __future__ import annotations

import sys

HOST = "127.0.0.1"

# 500 clients that connect at once must all fit; asyncio's default of 100 would make some of
# them wait a second for the kernel to try again.
BACKLOG = 1024


def port_argument() -> int:
    """The port that the command line gives; ends the program with a usage line if it doesn't."""
    match sys.argv[1:]:
        case [port] if port.isdecimal():
            return int(port)
        case _:
            sys.exit(f"usage: {sys.argv[0]} PORT")


def announce(port: int) -> None:
    """Print the one line that says that clients may connect now."""
    print(f"ready on {HOST}:{port}", flush=True)


def execute(line: bytes) -> bytes:
    """What a message does: the reply to a line. The thread peers run it in a worker thread."""
    return line + b"\n"
