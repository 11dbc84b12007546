"""A histogram of times, of bounded size whatever is recorded, and percentiles from it.

The buckets are log-linear, as those of HdrHistogram: each power of two is divided into equal steps,
so that every bucket is narrow in proportion to what it holds.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

_STEP_BITS = 7
_STEPS = 1 << _STEP_BITS
"""Steps for each power of two: a bucket is at most 1/128 of its values wide, and its middle at most
1/256 (0.4 %) from each of them."""
_VALUE_BITS = 47
"""The largest value has so many bits: 39 hours of nanoseconds, far beyond any timeout."""
LARGEST = (1 << _VALUE_BITS) - 1
_BUCKETS = (_VALUE_BITS - _STEP_BITS + 1) * _STEPS


@frozen
class Bucket:
    """The values from `low`, up to and without `high`, and how many of them were recorded."""

    low: int
    high: int
    count: int

    @property
    def middle(self) -> int:
        """What stands for all values in it."""
        return (self.low + self.high - 1) // 2


class Histogram:
    """Whole numbers of nanoseconds, each in a bucket at most 1/128 of its value wide.

    Some 40 kilobytes, however many are recorded. `count`, `least`, `most` and `mean` are exact.
    """

    __slots__ = ("_counts", "_total", "count", "least", "most")

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self._total = 0
        self.count: int = 0
        self.least: int = 0
        self.most: int = 0

    def record(self, value: int, count: int = 1) -> None:
        """Add `value`, `count` times. What is out of range counts as the nearest that is not."""
        value = min(max(value, 0), LARGEST)
        shift = max(0, value.bit_length() - _STEP_BITS - 1)
        self._counts[(shift << _STEP_BITS) + (value >> shift)] += count
        if value < self.least or not self.count:
            self.least = value
        self.most = max(self.most, value)
        self.count += count
        self._total += value * count

    @property
    def mean(self) -> float:
        """The arithmetic mean; 0 of nothing."""
        return self._total / self.count if self.count else 0.0

    def percentile(self, percent: float) -> int:
        """The smallest value that `percent` of all values do not exceed, at most 0.4 % off.

        It lies between `least` and `most`; 0 of nothing.
        """
        rank = ceil(self.count * percent / 100)
        if rank <= 1:
            return self.least
        if rank >= self.count:
            return self.most
        seen = 0
        for bucket in self:
            seen += bucket.count
            if seen >= rank:
                return min(max(bucket.middle, self.least), self.most)
        raise AssertionError("a rank is at most the count")

    def __iter__(self) -> Iterator[Bucket]:
        """The buckets that hold anything, in the order of their values."""
        for index, count in enumerate(self._counts):
            if count:
                shift = max(0, (index >> _STEP_BITS) - 1)
                low = (index - (shift << _STEP_BITS)) << shift
                yield Bucket(low, low + (1 << shift), count)
