"""The load generator: compiled from `lineload.c` on demand, run, its figures read."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).with_name("lineload.c")
LINE_BYTES = 64
# Beyond its own seconds, lineload connects, and waits up to 5 s for lines in flight.
SPARE_SECONDS = 20


class LoadError(Exception):
    """A measurement that gave no figure; the text is what the load generator said."""


@frozen(order=True)
class Shape:
    """So many clients, each with so many lines in flight."""

    clients: int
    inflight: int

    def __str__(self) -> str:
        return f"{self.clients}x{self.inflight}"


def parse_shape(text: str) -> Shape:
    """The shape that an option such as `50x64` means."""
    clients, _, inflight = text.partition("x")
    if not (clients.isdecimal() and inflight.isdecimal() and int(clients) and int(inflight)):
        raise argparse.ArgumentTypeError(f"{text!r} is not CLIENTSxLINES, such as 50x64")
    return Shape(int(clients), int(inflight))


@frozen(kw_only=True)
class Figures:
    """What one run of the load generator measured: checked lines a second, round trips in µs.

    Attributes:
        answered: All lines that came back, also those that are not in the other figures.
    """

    lines_per_s: float
    p50_us: float
    p99_us: float
    answered: int


@contextlib.contextmanager
def compiled_lineload() -> Iterator[Path]:
    """Compile the load generator into a directory that goes when the block is left.

    Without a C compiler (`$CC`, `cc`, `gcc` or `clang`) the program ends here, saying so.
    """
    compiler = next(filter(None, map(shutil.which, _compilers())), None)
    if compiler is None:
        sys.exit("no C compiler for lineload.c: install cc, gcc or clang, or set CC")
    with tempfile.TemporaryDirectory(prefix="lineload-") as directory:
        program = Path(directory, "lineload")
        command = [compiler, "-O2", "-o", str(program), str(SOURCE)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            sys.exit(f"lineload.c did not compile:\n{result.stderr}")
        yield program


def _compilers() -> list[str]:
    return [*filter(None, [os.environ.get("CC")]), "cc", "gcc", "clang"]


def lineload_command(
    program: Path, port: int, shape: Shape, seconds: float, drain: float | None = None
) -> list[str]:
    """The command line; its usage is explained at the top of `lineload.c`."""
    numbers = [port, shape.clients, shape.inflight, LINE_BYTES, seconds]
    if drain is not None:
        numbers.append(drain)
    return [str(program), *map(str, numbers)]


def measure(program: Path, port: int, shape: Shape, seconds: float) -> Figures:
    """Load the echo server on a port and wait for the figures.

    Raises:
        LoadError: Wrong bytes, lost connections, or no end in time: there is no figure.
    """
    command = lineload_command(program, port, shape, seconds)
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds + SPARE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise LoadError(f"no end after {seconds + SPARE_SECONDS:g} s") from None
    return figures(result.returncode, result.stdout, result.stderr)


def figures(status: int, output: str, errors: str) -> Figures:
    """The figures that a finished load generator printed.

    Raises:
        LoadError: It ended with a status other than 0; its first complaint is the text.
    """
    if status:
        complaints = errors.splitlines() or [f"lineload ended with status {status}"]
        more = f" (and {len(complaints) - 1} more)" if len(complaints) > 1 else ""
        raise LoadError(complaints[0] + more)
    read = json.loads(output)
    names = ("lines_per_s", "p50_us", "p99_us", "answered")
    return Figures(**{name: read[name] for name in names})
