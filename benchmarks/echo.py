"""Throughput and round trips of line echo servers, side by side: `python -m benchmarks.echo`.

For each shape of load, rounds; in each round, each server once: a fresh process on loopback,
loaded with checked lines, ended. `README.md` says how to read what comes out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.contenders import BASELINES, NAMES, chosen
from benchmarks.entrants import entrants
from benchmarks.load import Shape, compiled_lineload, measure, parse_shape
from benchmarks.machine import this_machine
from benchmarks.report import text_report, write_report
from benchmarks.results import Contest, Figures, failures
from benchmarks.rounds import in_rounds
from benchmarks.servers import ending_on_signals

if TYPE_CHECKING:
    from benchmarks.contenders import Contender
    from benchmarks.servers import Server

SHAPES = (Shape(1, 1), Shape(50, 1), Shape(500, 1), Shape(1, 256), Shape(50, 64))


def main() -> int:
    """Measure, print, write; 1 when any measurement failed."""
    options = _options()
    with ending_on_signals(), compiled_lineload() as lineload:
        contenders = entrants(chosen(options.servers))
        contest = Contest(
            programs=contenders,
            baselines=BASELINES,
            subject="Line echo: clients × lines in flight",
        )
        machine = this_machine(contenders)

        def loaded(server: Server, _contender: Contender, shape: Shape) -> Figures:
            return measure(lineload, server.port, shape, options.seconds)

        measurements = list(in_rounds(contenders, options.shapes, options.rounds, loaded))
    if not measurements:
        sys.exit("nothing was measured")
    print(text_report(contest, machine, measurements))
    write_report(options.output / "echo", contest, machine, options.seconds, measurements)
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


if __name__ == "__main__":
    sys.exit(main())
