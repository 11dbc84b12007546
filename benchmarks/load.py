"""The load generator for lines: `lineload.c` run, its figures read."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from benchmarks.compiled import check_status, compiled, run_load
from benchmarks.results import Figures

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

SOURCE = Path(__file__).with_name("lineload.c")
LINE_BYTES = 64
# Beyond its own seconds, lineload connects, and waits up to 5 s for lines in flight.
SPARE_SECONDS = 20


@frozen(order=True)
class Shape:
    """So many clients, each with so many lines in flight."""

    clients: int
    inflight: int

    def __str__(self) -> str:
        return f"{self.clients}x{self.inflight}"

    @property
    def title(self) -> str:
        """What a table of it is called."""
        return f"{_counted(self.clients, 'client')} × {_counted(self.inflight, 'line')} in flight"

    @property
    def unit(self) -> str:
        """What is counted."""
        return "lines/s"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def parse_shape(text: str) -> Shape:
    """The shape that an option such as `50x64` means."""
    clients, _, inflight = text.partition("x")
    if not (clients.isdecimal() and inflight.isdecimal() and int(clients) and int(inflight)):
        raise argparse.ArgumentTypeError(f"{text!r} is not CLIENTSxLINES, such as 50x64")
    return Shape(int(clients), int(inflight))


def compiled_lineload() -> AbstractContextManager[Path]:
    """The load generator, while the block lasts."""
    return compiled(SOURCE)


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
    return _figures(run_load(command, seconds + SPARE_SECONDS))


def figures(status: int, output: str, errors: str) -> Figures:
    """The figures that a finished load generator printed.

    Raises:
        LoadError: It ended with a status other than 0; its first complaint is the text.
    """
    check_status(status, errors)
    return _figures(output)


def _figures(output: str) -> Figures:
    read = json.loads(output)
    return Figures(
        rate=read["lines_per_s"],
        p50_us=read["p50_us"],
        p99_us=read["p99_us"],
        answered=read["answered"],
    )
