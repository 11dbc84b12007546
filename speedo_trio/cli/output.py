"""Lines for the people outside: what goes to stdout, what to stderr, and when nobody reads."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO

from speedo_trio.logs.text import printable


def say(line: str) -> None:
    """Print `line` to stdout, at once. A reader that has gone is no error."""
    _write(sys.stdout, line)


def complain(line: str) -> None:
    """Print `line` to stderr, as one line whatever is in it, with the command's name before it."""
    _write(sys.stderr, f"trio-speedo: {printable(line)}")


def accept_any_text() -> None:
    """Let stdout escape what its encoding lacks, as stderr does, rather than raise."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def flush() -> None:
    """Flush both streams now, while a broken one can still be silenced.

    Otherwise the interpreter would try at its exit, print a traceback and change the exit status.
    """
    for stream in (sys.stdout, sys.stderr):
        _write(stream, "", end="")


def _write(stream: TextIO | None, line: str, end: str = "\n") -> None:
    if stream is None or stream.closed:
        return  # None: the descriptor was closed when Python started, as with ``>&-``
    try:
        print(line, end=end, file=stream, flush=True)
    except OSError:  # a broken pipe, a full disk, a terminal that hung up: the server goes on
        _silence(stream)


def _silence(stream: TextIO) -> None:
    """Send what is still buffered, and all that follows, to the null device."""
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, stream.fileno())
    finally:
        os.close(null)
