"""One quiet client beside clients that flood the server: `python -m benchmarks.fairness`.

The flood sends as fast as the server takes it and reads every reply; the quiet client sends a
line every 10 ms. How long does the quiet client wait, with and without the flood?
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from attrs import frozen

from benchmarks.compiled import LoadError
from benchmarks.contenders import NAMES, Contender, chosen
from benchmarks.entrants import entrants
from benchmarks.load import Shape, compiled_lineload, figures, lineload_command
from benchmarks.machine import this_machine
from benchmarks.quiet import RoundTrips, quiet_client
from benchmarks.servers import Server, ServerError, ending_on_signals, running
from benchmarks.table import table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.results import Figures

# 4 MiB of lines in flight per client: more than a server buffers on purpose, so that what
# bounds the flood is the server's own back-pressure.
FLOOD_LINES = 65536
FLOOD_LEAD_SECONDS = 1  # the flood is on before the quiet client begins, and until it is done

HEADER = ("server", "alone p50", "p99", "max", "flooded p50", "p99", "max", "flood lines/s")


@frozen(kw_only=True)
class Fairness:
    """The quiet client's round trips without and with the flood, and how fast the flood ran."""

    alone: RoundTrips
    flooded: RoundTrips
    flood: Figures


def main() -> int:
    """Measure each server and print the table; 1 when any measurement failed."""
    options = _options()
    with ending_on_signals(), compiled_lineload() as lineload:
        contenders = entrants(chosen(options.servers))
        print(f"{this_machine(contenders)}\n")
        rows = [_row(lineload, contender, options) for contender in contenders]
    print(f"1 quiet client, 1 line per 10 ms, beside {options.clients} that flood; µs")
    print(table(HEADER, rows))
    return 1 if any("FAILED" in row for row in rows) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fairness", description=__doc__)
    parser.add_argument("--servers", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--clients", type=int, default=10, help="that flood")
    parser.add_argument("--seconds", type=float, default=5, help="per measurement, two a server")
    return parser.parse_args()


def _row(lineload: Path, contender: Contender, options: argparse.Namespace) -> list[str]:
    try:
        fairness = _measured(lineload, contender, options.clients, options.seconds)
    except (LoadError, ServerError) as error:
        print(f"FAILED, not counted: {contender.name}: {error}", file=sys.stderr)
        return [contender.title, "FAILED", *["–"] * (len(HEADER) - 2)]
    return [
        contender.title,
        *_cells(fairness.alone),
        *_cells(fairness.flooded),
        f"{fairness.flood.rate:,.0f}",
    ]


def _cells(trips: RoundTrips) -> list[str]:
    return [f"{trip:,.0f}" for trip in (trips.p50_us, trips.p99_us, trips.max_us)]


def _measured(lineload: Path, contender: Contender, clients: int, seconds: float) -> Fairness:
    with running(contender) as server:
        alone = quiet_client(server.port, seconds)
        with _flood(lineload, server, clients, seconds) as flood:
            time.sleep(FLOOD_LEAD_SECONDS)
            flooded = quiet_client(server.port, seconds)
            flood_figures = _finished(flood, seconds)
        server.check()
    return Fairness(alone=alone, flooded=flooded, flood=flood_figures)


@contextlib.contextmanager
def _flood(
    lineload: Path, server: Server, clients: int, seconds: float
) -> Iterator[subprocess.Popen[str]]:
    # It drains nothing: what a slow server still owes at the end could take it minutes.
    shape, duration = Shape(clients, FLOOD_LINES), seconds + 2 * FLOOD_LEAD_SECONDS
    command = lineload_command(lineload, server.port, shape, duration, drain=0)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as flood:
        try:
            yield flood
        finally:
            flood.kill()


def _finished(flood: subprocess.Popen[str], seconds: float) -> Figures:
    try:
        output, errors = flood.communicate(timeout=seconds + 10)
    except subprocess.TimeoutExpired:
        raise LoadError("the flood did not end in time") from None
    return figures(flood.returncode, output, errors)


if __name__ == "__main__":
    sys.exit(main())
