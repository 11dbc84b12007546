"""Measurements, and what they come to over the rounds."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from attrs import frozen

from benchmarks.contenders import BASELINES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.load import Figures, Shape


@frozen(kw_only=True)
class Measurement:
    """One server, one shape, one round. `figures` is None where `failure` says why."""

    server: str
    shape: Shape
    round: int
    figures: Figures | None = None
    failure: str | None = None


@frozen(kw_only=True)
class Summary:
    """One server on one shape over all rounds that gave figures; there is at least one.

    Attributes:
        ratios: By baseline: the median, over rounds, of lines/s relative to the baseline in
            the same round. None when no round has both.
    """

    server: str
    lines_per_s: float
    slowest: float
    fastest: float
    p50_us: float
    p99_us: float
    ratios: dict[str, float | None]


def shapes_of(measurements: Iterable[Measurement]) -> list[Shape]:
    """Each shape once, in the order in which they were measured."""
    return list(dict.fromkeys(measurement.shape for measurement in measurements))


def summaries(measurements: Iterable[Measurement], shape: Shape) -> dict[str, Summary]:
    """By server: the summary on a shape, for every server that gave a figure there."""
    rounds: dict[str, dict[int, Figures]] = {}
    for measurement in measurements:
        if measurement.shape == shape and measurement.figures is not None:
            rounds.setdefault(measurement.server, {})[measurement.round] = measurement.figures
    return {server: _summary(server, rounds) for server in rounds}


def _summary(server: str, rounds: dict[str, dict[int, Figures]]) -> Summary:
    own = rounds[server]
    rates = [figures.lines_per_s for figures in own.values()]
    return Summary(
        server=server,
        lines_per_s=median(rates),
        slowest=min(rates),
        fastest=max(rates),
        p50_us=median(figures.p50_us for figures in own.values()),
        p99_us=median(figures.p99_us for figures in own.values()),
        ratios={baseline: _ratio(own, rounds.get(baseline, {})) for baseline in BASELINES},
    )


def _ratio(own: dict[int, Figures], baseline: dict[int, Figures]) -> float | None:
    ratios = [
        own[number].lines_per_s / baseline[number].lines_per_s
        for number in own.keys() & baseline.keys()
        if baseline[number].lines_per_s
    ]
    return median(ratios) if ratios else None


def failures(measurements: Sequence[Measurement]) -> list[Measurement]:
    """The measurements that gave no figure."""
    return [measurement for measurement in measurements if measurement.failure is not None]
