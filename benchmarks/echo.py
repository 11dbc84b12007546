"""Throughput and round trips of line echo servers, side by side: `python -m benchmarks.echo`.

For each shape of load, rounds; in each round, each server once: a fresh process on loopback,
loaded with checked lines, ended. `README.md` says how to read what comes out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.contenders import NAMES, Contender
from benchmarks.entrants import entrants
from benchmarks.load import LoadError, Shape, compiled_lineload, measure, parse_shape
from benchmarks.machine import Machine, this_machine
from benchmarks.plot import write_plot
from benchmarks.report import text_report, write_json
from benchmarks.results import Measurement, failures
from benchmarks.servers import ServerError, ending_on_signals, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SHAPES = (Shape(1, 1), Shape(50, 1), Shape(500, 1), Shape(1, 256), Shape(50, 64))


def main() -> int:
    """Measure, print, write; 1 when any measurement failed."""
    options = _options()
    with ending_on_signals(), compiled_lineload() as lineload:
        contenders = entrants(options.servers)
        machine = this_machine(contenders)
        measurements = list(_measurements(lineload, contenders, options))
    if not measurements:
        sys.exit("nothing was measured")
    print(text_report(machine, measurements))
    _write(options.output, machine, options.seconds, measurements)
    return 1 if failures(measurements) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.echo", description=__doc__)
    parser.add_argument("--servers", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument(
        "--shapes",
        nargs="+",
        type=parse_shape,
        default=SHAPES,
        metavar="CLIENTSxLINES",
        help=f"clients x lines in flight; default: {' '.join(map(str, SHAPES))}",
    )
    parser.add_argument("--seconds", type=float, default=3, help="per measurement")
    parser.add_argument("--rounds", type=int, default=3, help="per shape")
    parser.add_argument("--output", type=Path, default=Path("bench-results"), metavar="DIR")
    return parser.parse_args()


def _measurements(
    lineload: Path, contenders: Sequence[Contender], options: argparse.Namespace
) -> Iterator[Measurement]:
    for shape in options.shapes:
        for number in range(1, options.rounds + 1):
            for contender in _rotated(contenders, number - 1):
                yield _measured(lineload, contender, shape, number, options.seconds)


def _rotated(contenders: Sequence[Contender], places: int) -> list[Contender]:
    """Each round begins with another server, so that none always follows the same one."""
    places %= max(len(contenders), 1)
    return [*contenders[places:], *contenders[:places]]


def _measured(
    lineload: Path, contender: Contender, shape: Shape, number: int, seconds: float
) -> Measurement:
    figures, failure = None, None
    try:
        with running(contender) as server:
            figures = measure(lineload, server.port, shape, seconds)
            server.check()
    except (LoadError, ServerError) as error:
        figures, failure = None, str(error)
    said = f"{figures.lines_per_s:,.0f} lines/s" if figures else f"FAILED: {failure}"
    print(f"{shape} round {number} {contender.name}: {said}", file=sys.stderr)
    return Measurement(
        server=contender.name, shape=shape, round=number, figures=figures, failure=failure
    )


def _write(
    directory: Path, machine: Machine, seconds: float, measurements: Sequence[Measurement]
) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / "echo.json", machine, seconds, measurements)
    try:
        write_plot(directory / "echo.png", measurements)
    except ImportError:
        print("\nno plot: matplotlib is not installed", file=sys.stderr)
    print(f"\nwritten to {directory}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
