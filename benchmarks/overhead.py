"""What watching a server costs: `python -m benchmarks.overhead`.

The echo server with nothing attached, with an observer, with a meter, and with both, interleaved:
in each round each of them once, in a fresh process. `README.md` says how to read what comes out.
"""

from __future__ import annotations

import argparse
import sys
from statistics import median
from typing import TYPE_CHECKING

from attrs import frozen

from benchmarks.compiled import LoadError
from benchmarks.contenders import Contender
from benchmarks.load import Shape, compiled_lineload, measure, parse_shape
from benchmarks.machine import this_machine
from benchmarks.servers import ServerError, ending_on_signals, running
from benchmarks.table import table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

KINDS = ("threads", "async")
ATTACHED = {
    "nothing": (),
    "observer": ("observer",),
    "meter": ("meter",),
    "both": ("observer", "meter"),
}
HEADER = ("attached", "lines/s", "×", "CPU µs a line", "×", "least", "×")


@frozen(kw_only=True)
class Cost:
    """One measurement: checked lines a second, and the server's CPU time for each line."""

    lines_per_s: float
    cpu_us: float


def main() -> int:
    """Measure and print a table for each shape and kind; 1 when any measurement failed."""
    options = _options()
    complete = True
    with ending_on_signals(), compiled_lineload() as lineload:
        print(this_machine([_contender("threads", "nothing")]))
        for shape in options.shapes:
            for kind in options.kinds:
                rounds = list(_rounds(lineload, kind, shape, options))
                complete &= len(rounds) == options.rounds
                print(f"\n{shape}, {kind}")
                print(table(HEADER, list(_rows(rounds))) if rounds else "nothing was measured")
    return 0 if complete else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument(
        "--shapes",
        nargs="+",
        type=parse_shape,
        default=[Shape(50, 64)],
        metavar="CLIENTSxLINES",
        help="clients x lines in flight; default: 50x64",
    )
    parser.add_argument("--seconds", type=float, default=1, help="per measurement")
    parser.add_argument("--rounds", type=int, default=10, help="per shape and kind")
    return parser.parse_args()


def _contender(kind: str, attached: str) -> Contender:
    arguments = ("benchmarks.attached", "{port}", kind, *ATTACHED[attached])
    return Contender(
        name=f"{kind}, {attached}", title=attached, package="speedo_trio", arguments=arguments
    )


def _rounds(
    lineload: Path, kind: str, shape: Shape, options: argparse.Namespace
) -> Iterator[dict[str, Cost]]:
    """The costs of each round in which nothing failed."""
    names = list(ATTACHED)
    for number in range(options.rounds):
        first = number % len(names)  # none always follows the same one
        try:
            yield {
                name: _cost(lineload, _contender(kind, name), shape, options.seconds)
                for name in (*names[first:], *names[:first])
            }
        except (LoadError, ServerError) as error:
            print(f"FAILED, round not counted: {shape} {kind}: {error}", file=sys.stderr)


def _cost(lineload: Path, contender: Contender, shape: Shape, seconds: float) -> Cost:
    with running(contender) as server:
        before = server.cpu_seconds()
        figures = measure(lineload, server.port, shape, seconds)
        cpu = server.cpu_seconds() - before
        server.check()
    cost = Cost(lines_per_s=figures.rate, cpu_us=cpu / figures.answered * 1e6)
    print(
        f"{shape} {contender.name}: {cost.lines_per_s:,.0f} lines/s, {cost.cpu_us:.3f} µs a line",
        file=sys.stderr,
    )
    return cost


def _rows(rounds: Sequence[dict[str, Cost]]) -> Iterator[list[str]]:
    """Medians and the least; the ratios of the former are taken within each round."""
    bare = [costs["nothing"] for costs in rounds]
    least = min(cost.cpu_us for cost in bare)
    for name in ATTACHED:
        costs = [each[name] for each in rounds]
        pairs = list(zip(costs, bare, strict=True))
        yield [
            name,
            f"{median(cost.lines_per_s for cost in costs):,.0f}",
            f"{median(cost.lines_per_s / other.lines_per_s for cost, other in pairs):.2f}",
            f"{median(cost.cpu_us for cost in costs):.3f}",
            f"{median(cost.cpu_us / other.cpu_us for cost, other in pairs):.2f}",
            f"{min(cost.cpu_us for cost in costs):.3f}",
            f"{min(cost.cpu_us for cost in costs) / least:.3f}",
        ]


if __name__ == "__main__":
    sys.exit(main())
