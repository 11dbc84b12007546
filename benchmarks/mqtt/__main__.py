"""MQTT brokers side by side: `python -m benchmarks.mqtt`.

For each shape, rounds; in each round, each broker once: a fresh process on loopback, loaded with
checked messages, ended. `benchmarks/README.md` says how to read what comes out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve

from benchmarks.entrants import entrants
from benchmarks.idle import SPARE_FILES, allow_files
from benchmarks.machine import this_machine
from benchmarks.mqtt.brokers import BASELINES, NAMES, chosen
from benchmarks.mqtt.measures import MEASURES
from benchmarks.mqtt.shapes import parse_shape
from benchmarks.mqtt.suites import SUITES
from benchmarks.mqtt.tools import compiled_tools
from benchmarks.overview import overview
from benchmarks.report import text_report, write_report
from benchmarks.results import Contest, Figures, Measurement, failures
from benchmarks.rounds import in_rounds
from benchmarks.servers import ending_on_signals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from benchmarks.mqtt.brokers import Broker
    from benchmarks.mqtt.shapes import Shape
    from benchmarks.mqtt.tools import Tools
    from benchmarks.servers import Server


def main() -> int:
    """Measure, print, write; 1 when a measurement of ours failed."""
    options = _options()
    shapes = options.shapes or SUITES["quick" if options.quick else options.suite]
    seconds = options.seconds or (0.3 if options.quick else 3)
    rounds = options.rounds or (1 if options.quick else 5)
    allow_files(max(shape.connections for shape in shapes) + SPARE_FILES)
    with ending_on_signals(), compiled_tools(seconds) as tools:
        brokers = entrants(chosen(options.brokers, install=options.install))
        contest = Contest(
            programs=brokers,
            baselines=BASELINES,
            subject="MQTT brokers",
        )
        machine = this_machine(contest.programs)
        measurements = list(_measurements(tools, brokers, shapes, rounds))
    if not measurements:
        sys.exit("nothing was measured")
    print(text_report(contest, machine, measurements))
    write_report(options.output / "mqtt", contest, machine, seconds, measurements)
    (options.output / "mqtt.md").write_text(overview(contest, machine, measurements))
    # Peers that lose messages are told in the report; that is a result.
    return 1 if any(each.server == NAMES[0] for each in failures(measurements)) else 0


def _measurements(
    tools: Tools, brokers: Sequence[Broker], shapes: Iterable[Shape], rounds: int
) -> Iterator[Measurement]:
    def measured(server: Server, broker: Broker, shape: Shape) -> Figures:
        version = broker.version_for(shape)
        assert version is not None
        with tools.with_keep_alive(broker.keep_alive):
            return MEASURES[shape.kind](tools, server, evolve(shape, version=version))

    for shape in shapes:
        partakers = [broker for broker in brokers if broker.version_for(shape) is not None]
        yield from in_rounds(partakers, [shape], rounds, measured)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mqtt", description=__doc__)
    parser.add_argument("--brokers", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument(
        "--install",
        action="store_true",
        help="install peers that are missing, each in a folder of its own in the user's cache",
    )
    parser.add_argument("--suite", choices=SUITES, default="main")
    parser.add_argument(
        "--shapes",
        nargs="+",
        type=parse_shape,
        metavar="SHAPE",
        help="instead of a suite, such as pairs-20x32 fanout-50x8-q1-v5-1024b idle-10000x1",
    )
    parser.add_argument(
        "--quick", action="store_true", help="see that all of it runs: suite quick, one round"
    )
    parser.add_argument("--seconds", type=float, help="per load; default: 3")
    parser.add_argument("--rounds", type=int, help="per shape; default: 5")
    parser.add_argument("--output", type=Path, default=Path("bench-results"), metavar="DIR")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
