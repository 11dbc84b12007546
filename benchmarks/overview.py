"""An overview of a comparison: tables in Markdown, with a row for each shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.report import brief
from benchmarks.results import by_round, ratio, shapes_of, summaries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.machine import Machine
    from benchmarks.results import Contest, Measurement, Shape, Summary


def overview(contest: Contest, machine: Machine, measurements: Sequence[Measurement]) -> str:
    """Rates, ratios, times and what else there is, all medians; the first program is ours."""
    shapes = shapes_of(measurements)
    found = {shape: summaries(contest, measurements, shape) for shape in shapes}
    names = [program.name for program in contest.programs]

    def told(tell: Callable[[Summary], str]) -> list[list[str]]:
        return [
            [_named(shape), *(tell(by[name]) if name in by else "–" for name in names)]
            for shape, by in found.items()
        ]

    parts = [
        f"{machine}\n",
        _markdown("Rate", names, told(lambda summary: f"{summary.rate:,.0f}")),
        _markdown(f"Rate of {names[0]} ÷ theirs", names[1:], _ratios(names, measurements)),
        _markdown("p50 – p99, µs", names, told(_times)),
        *(_further(title, names, found) for title in _titles(found.values())),
    ]
    return "\n".join(parts)


def _named(shape: Shape) -> str:
    return f"`{shape}`, {shape.unit}"


def _times(summary: Summary) -> str:
    return f"{summary.p50_us:,.0f} – {summary.p99_us:,.0f}"


def _ratios(names: Sequence[str], measurements: Sequence[Measurement]) -> list[list[str]]:
    rows = []
    for shape in shapes_of(measurements):
        rounds = by_round(measurements, shape)
        ours = rounds.get(names[0], {})
        ratios = [ratio(ours, rounds.get(name, {})) for name in names[1:]]
        rows.append([_named(shape), *("–" if each is None else f"{each:.2f}" for each in ratios)])
    return rows


def _titles(found: Iterable[dict[str, Summary]]) -> list[str]:
    return list(dict.fromkeys(name for by in found for each in by.values() for name in each.more))


def _further(title: str, names: Sequence[str], found: dict[Shape, dict[str, Summary]]) -> str:
    rows = [
        [f"`{shape}`", *(_cell(by.get(name), title) for name in names)]
        for shape, by in found.items()
        if any(title in each.more for each in by.values())
    ]
    return _markdown(title, names, rows)


def _cell(summary: Summary | None, title: str) -> str:
    return "–" if summary is None or title not in summary.more else brief(summary.more[title])


def _markdown(title: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [[title, *names], ["---", *(["---:"] * len(names))], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
