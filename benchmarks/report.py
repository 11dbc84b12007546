"""What a comparison says: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from attrs import asdict

from benchmarks.plot import write_plot
from benchmarks.results import Measurement, Summary, failures, shapes_of, summaries
from benchmarks.table import table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from benchmarks.machine import Machine
    from benchmarks.results import Contest, Shape


def text_report(contest: Contest, machine: Machine, measurements: Sequence[Measurement]) -> str:
    """The machine, a table per shape, and every failed measurement by name."""
    tables = [_shape_table(contest, measurements, shape) for shape in shapes_of(measurements)]
    return "\n\n".join([str(machine), *tables, *_failure_lines(measurements)])


def _shape_table(contest: Contest, measurements: Sequence[Measurement], shape: Shape) -> str:
    here = [measurement for measurement in measurements if measurement.shape == shape]
    summary = summaries(contest, here, shape)
    measured = {measurement.server for measurement in here}
    more = list(dict.fromkeys(name for each in summary.values() for name in each.more))
    ratios = [f"× {title}" for title in contest.baselines.values()]
    header = ["server", shape.unit, "slowest–fastest", *ratios, "p50 µs", "p99 µs", *more, "failed"]
    rows = []
    for program in contest.programs:
        if program.name in measured:
            own = [measurement for measurement in here if measurement.server == program.name]
            cells = ["–"] * (len(header) - 2)
            if program.name in summary:
                cells = list(_cells(summary[program.name], more))
            rows.append([program.title, *cells, _failed(own)])
    return f"{shape.title}\n{table(header, rows)}"


def _cells(summary: Summary, more: Sequence[str]) -> Iterator[str]:
    yield f"{summary.rate:,.0f}"
    yield f"{summary.slowest:,.0f}–{summary.fastest:,.0f}"
    yield from ("–" if ratio is None else f"{ratio:.2f}" for ratio in summary.ratios.values())
    yield f"{summary.p50_us:,.0f}"
    yield f"{summary.p99_us:,.0f}"
    yield from ("–" if name not in summary.more else brief(summary.more[name]) for name in more)


def brief(number: float) -> str:
    """A number of any size in three digits, or all of its whole ones."""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def _failed(measurements: Sequence[Measurement]) -> str:
    count = len(failures(measurements))
    return f"{count} of {len(measurements)}" if count else "0"


def _failure_lines(measurements: Sequence[Measurement]) -> list[str]:
    lines = [
        f"FAILED, not counted: {failure.server}, {failure.shape}, round {failure.round}: "
        f"{failure.failure}"
        for failure in failures(measurements)
    ]
    return ["\n".join(lines)] if lines else []


def write_report(
    stem: Path,
    contest: Contest,
    machine: Machine,
    seconds: float,
    measurements: Sequence[Measurement],
) -> None:
    """Write every measurement of the run, and the picture of it, as `stem` with its suffixes."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    _write_json(stem.with_suffix(".json"), machine, seconds, measurements)
    try:
        write_plot(stem.with_suffix(".png"), contest, measurements)
    except ImportError:
        print("\nno plot: matplotlib is not installed", file=sys.stderr)
    print(f"\nwritten to {stem.parent}", file=sys.stderr)


def _write_json(
    path: Path, machine: Machine, seconds: float, measurements: Sequence[Measurement]
) -> None:
    """Write every measurement of the run, the failed ones with their reasons."""
    run = {
        "machine": asdict(machine),
        "seconds": seconds,
        "measurements": [
            {**asdict(measurement), "name": str(measurement.shape)} for measurement in measurements
        ],
    }
    path.write_text(json.dumps(run, indent=2) + "\n")
