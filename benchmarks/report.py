"""What a run of `benchmarks.echo` says: tables for people, JSON for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from attrs import asdict

from benchmarks.contenders import CONTENDERS
from benchmarks.results import Measurement, Summary, failures, shapes_of, summaries
from benchmarks.table import table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.load import Shape
    from benchmarks.machine import Machine

HEADER = (
    "server",
    "lines/s",
    "slowest–fastest",
    "× Protocol",
    "× executor",
    "p50 µs",
    "p99 µs",
    "failed",
)


def text_report(machine: Machine, measurements: Sequence[Measurement]) -> str:
    """The machine, a table per shape, and every failed measurement by name."""
    tables = [_shape_table(measurements, shape) for shape in shapes_of(measurements)]
    return "\n\n".join([str(machine), *tables, *_failure_lines(measurements)])


def _shape_table(measurements: Sequence[Measurement], shape: Shape) -> str:
    here = [measurement for measurement in measurements if measurement.shape == shape]
    summary = summaries(here, shape)
    measured = {measurement.server for measurement in here}
    rows = [
        [
            contender.title,
            *_cells(summary.get(contender.name)),
            _failed([measurement for measurement in here if measurement.server == contender.name]),
        ]
        for contender in CONTENDERS
        if contender.name in measured
    ]
    title = f"{_counted(shape.clients, 'client')} × {_counted(shape.inflight, 'line')} in flight"
    return f"{title}\n{table(HEADER, rows)}"


def _cells(summary: Summary | None) -> list[str]:
    if summary is None:
        return ["–"] * (len(HEADER) - 2)
    return [
        f"{summary.lines_per_s:,.0f}",
        f"{summary.slowest:,.0f}–{summary.fastest:,.0f}",
        *("–" if ratio is None else f"{ratio:.2f}" for ratio in summary.ratios.values()),
        f"{summary.p50_us:,.0f}",
        f"{summary.p99_us:,.0f}",
    ]


def _failed(measurements: Sequence[Measurement]) -> str:
    count = len(failures(measurements))
    return f"{count} of {len(measurements)}" if count else "0"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _failure_lines(measurements: Sequence[Measurement]) -> list[str]:
    lines = [
        f"FAILED, not counted: {failure.server}, {failure.shape}, round {failure.round}: "
        f"{failure.failure}"
        for failure in failures(measurements)
    ]
    return ["\n".join(lines)] if lines else []


def write_json(
    path: Path, machine: Machine, seconds: float, measurements: Sequence[Measurement]
) -> None:
    """Write every measurement of the run, the failed ones with their reasons."""
    run = {
        "machine": asdict(machine),
        "seconds": seconds,
        "measurements": [asdict(measurement) for measurement in measurements],
    }
    path.write_text(json.dumps(run, indent=2) + "\n")
