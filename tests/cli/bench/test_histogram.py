"""The histogram: bounded, and within a hundredth of what a sorted list tells."""

from __future__ import annotations

from itertools import pairwise
from math import ceil
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.cli.bench.histogram import LARGEST, Histogram

TIMES = st.lists(st.integers(0, 10**9) | st.integers(0, LARGEST), min_size=1)


def of(values: list[int]) -> Histogram:
    """A histogram of these values."""
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


@given(TIMES, st.floats(0, 100))
def test_percentiles_are_those_of_a_sorted_list(values: list[int], percent: float) -> None:
    """The value of that rank, at most half a percent off."""
    exact = sorted(values)[max(0, ceil(len(values) * percent / 100) - 1)]

    assert of(values).percentile(percent) == pytest.approx(exact, rel=0.005, abs=0.5)


@given(TIMES)
def test_what_is_exact(values: list[int]) -> None:
    """The number of values, their extremes and their mean."""
    histogram = of(values)

    assert histogram.count == len(values)
    assert (histogram.least, histogram.most) == (min(values), max(values))
    assert histogram.mean == pytest.approx(fmean(values))
    assert (histogram.percentile(0), histogram.percentile(100)) == (min(values), max(values))


@given(TIMES)
def test_every_value_is_in_a_narrow_bucket(values: list[int]) -> None:
    """Buckets don't overlap, and none is wider than a hundredth of what is in it."""
    buckets = list(of(values))

    assert sum(bucket.count for bucket in buckets) == len(values)
    for bucket, following in pairwise(buckets):
        assert bucket.high <= following.low
    for value in values:
        (bucket,) = (bucket for bucket in buckets if bucket.low <= value < bucket.high)
        assert bucket.high - bucket.low <= max(1, value / 100)


@given(st.integers(0, LARGEST), st.integers(1, 10**9))
def test_many_at_once_are_as_many_one_by_one(value: int, count: int) -> None:
    """A batch is recorded in one step."""
    histogram = Histogram()
    histogram.record(value, count)

    assert histogram.count == count
    assert histogram.mean == pytest.approx(value)
    assert [bucket.count for bucket in histogram] == [count]


def test_what_is_out_of_range_counts_as_the_nearest() -> None:
    """A clock that jumps can't break a measurement."""
    histogram = of([-5, LARGEST + 5])

    assert (histogram.least, histogram.most) == (0, LARGEST)


def test_nothing() -> None:
    """It has no times, and asking for them is no error."""
    histogram = Histogram()

    assert (histogram.mean, histogram.percentile(50), histogram.most) == (0, 0, 0)
    assert list(histogram) == []


def test_the_size_is_bounded() -> None:
    """However far apart the values are, there are some thousand buckets."""
    histogram = of([2**bits + 2**step for bits in range(47) for step in range(bits)])

    assert len(histogram._counts) < 5500
