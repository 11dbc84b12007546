"""Bars: a histogram as text, in 80 columns."""

from __future__ import annotations

from bisect import bisect_right
from functools import partial
from typing import TYPE_CHECKING

from speedo_trio.cli.bench.units import duration

if TYPE_CHECKING:
    from speedo_trio.cli.bench.histogram import Histogram

_SERIES = (
    (1.0, 1.2, 1.5, 1.8, 2.2, 2.7, 3.3, 3.9, 4.7, 5.6, 6.8, 8.2),
    (1.0, 1.5, 2.2, 3.3, 4.7, 6.8),
    (1.0, 2.2, 4.7),
    (1.0,),
)
"""Where rows begin within a decade: equal ratios, rounded as those of resistors are (IEC 60063)."""
_DECADES = range(14)  # of nanoseconds: to a day
_MOST_ROWS = 22
_BAR_COLUMNS = 40
_EIGHTHS = " ▏▎▍▌▋▊▉"


def bars(histogram: Histogram, *, blocks: bool) -> list[str]:
    """A row for each range of times: where it begins, how many there were, their share, a bar.

    Args:
        histogram: The times, at least one.
        blocks: whether who reads can show the block characters of Unicode.
    """
    rows = _rows(histogram)
    most = max(count for _, count in rows)
    return [
        f"{duration(low):>7}  {count:>13,}  {count / histogram.count:>6.1%}  "
        f"{_bar(count / most, blocks=blocks)}".rstrip()
        for low, count in rows
    ]


def _rows(histogram: Histogram) -> list[tuple[int, int]]:
    """Where each row begins and how much is in it: the finest that are not too many."""
    edges = next(filter(None, map(partial(_edges, histogram), _SERIES)))
    counts = dict.fromkeys(edges, 0)
    for bucket in histogram:
        middle = min(max(bucket.middle, histogram.least), histogram.most)
        counts[edges[bisect_right(edges, middle) - 1]] += bucket.count
    return list(counts.items())


def _edges(histogram: Histogram, series: tuple[float, ...]) -> list[int]:
    """Where rows of this series begin that have all of the histogram; none if that are too many."""
    edges = [0] + [round(step * 10**decade) for decade in _DECADES for step in series]
    first = bisect_right(edges, histogram.least) - 1
    edges = edges[first : bisect_right(edges, histogram.most)]
    return edges if len(edges) <= _MOST_ROWS else []


def _bar(share: float, *, blocks: bool) -> str:
    """A bar of so much of the whole width; something is to be seen of anything."""
    if not blocks:
        return "#" * max(share > 0, round(share * _BAR_COLUMNS))
    full, eighths = divmod(max(share > 0, round(share * _BAR_COLUMNS * 8)), 8)
    return "█" * full + _EIGHTHS[eighths]
