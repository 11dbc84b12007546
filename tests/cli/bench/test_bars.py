"""Bars: readable rows, not too many, and nothing left out."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.cli.bench.bars import bars
from speedo_trio.cli.bench.histogram import LARGEST, Histogram

COUNTS = st.dictionaries(
    st.integers(0, 10**7) | st.integers(0, LARGEST), st.integers(1, 10**9), min_size=1
)


def of(counts: dict[int, int]) -> Histogram:
    """A histogram of these values."""
    histogram = Histogram()
    for value, count in counts.items():
        histogram.record(value, count)
    return histogram


def test_an_example() -> None:
    """Where a row begins, how many, their share, and a bar as long as the share of the most."""
    rows = bars(of({1_000_000: 1, 1_300_000: 300, 2_000_000: 600}), blocks=True)

    assert rows == [
        "1.00 ms              1    0.1%  ▏",
        "1.20 ms            300   33.3%  ████████████████████",
        "1.50 ms              0    0.0%",
        "1.80 ms            600   66.6%  ████████████████████████████████████████",
    ]


def test_without_block_characters() -> None:
    """For who can't show them."""
    assert bars(of({1000: 1, 1600: 2}), blocks=False) == [
        "1.00 µs              1   33.3%  ####################",
        "1.20 µs              0    0.0%",
        "1.50 µs              2   66.7%  ########################################",
    ]


@given(COUNTS, st.booleans())
def test_everything_is_shown_in_little_room(counts: dict[int, int], blocks: bool) -> None:  # noqa: FBT001  # Hypothesis says which
    """Each value is in a row, rows are few and fit 80 columns, and what is there is seen."""
    rows = bars(of(counts), blocks=blocks)
    shown = [int(re.split(r"  +", row.strip())[1].replace(",", "")) for row in rows]

    assert sum(shown) == sum(counts.values())
    assert len(rows) <= 22
    assert max(map(len, rows)) < 80
    for row, count in zip(rows, shown, strict=True):
        assert row.endswith("%") == (count == 0)
