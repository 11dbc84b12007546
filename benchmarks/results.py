"""Measurements, and what they come to over the rounds."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Protocol

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.contenders import Program


class Shape(Protocol):
    """What is measured; hashable. `str()` gives what the command line calls it."""

    @property
    def title(self) -> str:
        """What a table of it is called."""

    @property
    def unit(self) -> str:
        """What its rate counts, such as `lines/s`."""


@frozen(kw_only=True)
class Figures:
    """What one measurement gave.

    Attributes:
        rate: Of the shape's unit, everything checked.
        p50_us, p99_us: How long each took, in µs.
        answered: All that came back, also what is not in the other figures.
        more: What only this shape has, by the headings of its columns.
    """

    rate: float
    p50_us: float
    p99_us: float
    answered: int
    more: dict[str, float] = field(factory=dict)


@frozen(kw_only=True)
class Measurement:
    """One server, one shape, one round. `figures` is None where `failure` says why."""

    server: str
    shape: Shape
    round: int
    figures: Figures | None = None
    failure: str | None = None


@frozen(kw_only=True)
class Contest:
    """Who is compared, and with whom.

    Attributes:
        programs: In the order of tables.
        baselines: Names of those that ratios are taken against, and what tables call them.
        subject: What plots are called.
    """

    programs: Sequence[Program]
    baselines: dict[str, str]
    subject: str


@frozen(kw_only=True)
class Summary:
    """One server on one shape over all rounds that gave figures; there is at least one.

    Attributes:
        ratios: By baseline: the median, over rounds, of the rate relative to the baseline in
            the same round. None when no round has both.
        more: Medians of what only this shape has.
    """

    server: str
    rate: float
    slowest: float
    fastest: float
    p50_us: float
    p99_us: float
    ratios: dict[str, float | None]
    more: dict[str, float]


def shapes_of(measurements: Iterable[Measurement]) -> list[Shape]:
    """Each shape once, in the order in which they were measured."""
    return list(dict.fromkeys(measurement.shape for measurement in measurements))


def summaries(
    contest: Contest, measurements: Iterable[Measurement], shape: Shape
) -> dict[str, Summary]:
    """By server: the summary on a shape, for every server that gave a figure there."""
    rounds = by_round(measurements, shape)
    return {server: _summary(server, rounds, contest.baselines) for server in rounds}


def by_round(measurements: Iterable[Measurement], shape: Shape) -> dict[str, dict[int, Figures]]:
    """By server and round: the figures on a shape that there are."""
    rounds: dict[str, dict[int, Figures]] = {}
    for measurement in measurements:
        if measurement.shape == shape and measurement.figures is not None:
            rounds.setdefault(measurement.server, {})[measurement.round] = measurement.figures
    return rounds


def _summary(
    server: str, rounds: dict[str, dict[int, Figures]], baselines: Iterable[str]
) -> Summary:
    own = rounds[server]
    rates = [figures.rate for figures in own.values()]
    columns = dict.fromkeys(name for figures in own.values() for name in figures.more)
    return Summary(
        server=server,
        rate=median(rates),
        slowest=min(rates),
        fastest=max(rates),
        p50_us=median(figures.p50_us for figures in own.values()),
        p99_us=median(figures.p99_us for figures in own.values()),
        ratios={baseline: ratio(own, rounds.get(baseline, {})) for baseline in baselines},
        more={name: median(figures.more[name] for figures in own.values()) for name in columns},
    )


def ratio(own: dict[int, Figures], baseline: dict[int, Figures]) -> float | None:
    """The median of the ratios of the rounds that both have; None when there is none."""
    ratios = [
        own[number].rate / baseline[number].rate
        for number in own.keys() & baseline.keys()
        if baseline[number].rate
    ]
    return median(ratios) if ratios else None


def failures(measurements: Sequence[Measurement]) -> list[Measurement]:
    """The measurements that gave no figure."""
    return [measurement for measurement in measurements if measurement.failure is not None]
