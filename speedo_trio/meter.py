"""The meter: how long lanes wait for a turn, how long messages take, how long turns last.

It is optional: give a `Meter` to `speedo_trio.server.serve` and take snapshots of it whenever you
like. What the workers do for it is in `speedo_trio.worker.laps`; without a meter they do nothing.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from math import inf, nan

from attrs import define, field, frozen

BOUNDS = (
    *(0.0001, 0.00025, 0.0005),
    *(0.001, 0.0025, 0.005),
    *(0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0),
    10.0,
)
"""The buckets' upper bounds in seconds, each inside its bucket. One bucket more takes what is
longer. Below the first, a server's own work for a message is most of what there would be to see;
what takes longer than the last is stuck rather than slow."""

_FIRST = BOUNDS[0]


@frozen(kw_only=True)
class HistogramSnapshot:
    """A histogram of durations at one moment."""

    bounds: tuple[float, ...]
    """The buckets' upper bounds in seconds, each inside its bucket."""
    counts: tuple[int, ...]
    """How many durations are in each bucket, not cumulated; the last bucket, which has no bound,
    is for those above all bounds."""
    sum: float
    """Of all durations, in seconds."""

    @property
    def count(self) -> int:
        """How many durations there are in all."""
        return sum(self.counts)

    def quantile(self, q: float) -> float:
        """About how long the share `q` of all durations was at most: 0.5 gives the median.

        It is in the bucket of the true one, and inside it as if that bucket's durations were
        evenly spread. Of durations above the last bound it only knows that bound. Without any
        duration it is not a number.

        Raises:
            ValueError: `q` is not from 0 to 1.
        """
        if not 0 <= q <= 1:
            raise ValueError(f"q is {q!r}; allowed is a number from 0 to 1")
        wanted, low = q * self.count, 0.0
        for bound, count in zip(self.bounds, self.counts, strict=False):
            if count and wanted <= count:
                return low + (bound - low) * wanted / count
            wanted -= count
            low = bound
        return low if self.count else nan


@define(eq=False)
class Histogram:
    """Counts durations by how long they were, in the buckets of `BOUNDS`.

    It has no lock: one thread at a time may use it.
    """

    counts: list[int] = field(init=False, factory=lambda: [0] * (len(BOUNDS) + 1))
    """How many durations are in each bucket, not cumulated."""
    sum: float = field(init=False, default=0.0)
    """Of all durations, in seconds."""

    def add(self, value: float, count: int = 1) -> None:
        """Count `count` durations of `value` seconds each.

        Raises:
            ValueError: `value` is negative or no finite number, or `count` is negative.
        """
        if not 0 <= value < inf:
            raise ValueError(f"value is {value!r}; allowed is a number of seconds from 0")
        if count < 0:
            raise ValueError(f"count is {count!r}; allowed is a whole number from 0")
        self.counts[bisect_left(BOUNDS, value)] += count
        self.sum += value * count

    def snapshot(self) -> HistogramSnapshot:
        """What was counted so far."""
        return HistogramSnapshot(bounds=BOUNDS, counts=tuple(self.counts), sum=self.sum)


@frozen(kw_only=True)
class MeterSnapshot:
    """What a meter has measured, at one moment."""

    waited: HistogramSnapshot
    """For each turn: from when the connection was queued for a worker until the turn began."""
    executed: HistogramSnapshot
    """For each message: its execution. See `Meter` for how exact it is."""
    turns: HistogramSnapshot
    """For each turn: from its begin to the end of its last message. A turn is what a worker
    executes of one connection before it is another's turn."""


class Meter:
    """Measures a server's work; give it to `serve`. Given to several, it measures all together.

    There are three histograms: how long connections with messages waited for a worker, how long
    messages took, and how long a worker stayed with one connection. Every executed message is
    counted once, also one that raised; one that was cut off by the end of its connection is not.

    Times are of the clock on the wall: what an async message awaits is part of it, and so is the
    time in which the interpreter let other threads run. A message of 0.1 ms or more that follows
    quicker ones in the same turn is taken for shorter than it was, by up to 0.1 ms; none is taken
    for longer. So those of up to 0.1 ms are all in the first bucket, where they belong, and the
    sum of all durations is right.

    Every method may be called from any thread.
    """

    def __init__(self) -> None:
        self._waited, self._executed, self._turns = Histogram(), Histogram(), Histogram()
        self._lock = threading.Lock()  # held for a microsecond

    def snapshot(self) -> MeterSnapshot:
        """What was measured so far, all of it at one moment.

        A turn is in it when it is over; messages of a turn that goes on may be in it already.
        """
        with self._lock:
            return MeterSnapshot(
                waited=self._waited.snapshot(),
                executed=self._executed.snapshot(),
                turns=self._turns.snapshot(),
            )

    def add_lap(self, messages: int, seconds: float, last: float) -> None:
        """Count messages that were executed one after another in `seconds`. For workers.

        Args:
            messages: how many. All but the last one took no longer than the first of `BOUNDS`.
            last: how long the last one took, in seconds.
        """
        with self._lock:
            self._add_lap(messages, seconds, last)

    def add_turn(
        self, waited: float, seconds: float, messages: int, lap: float, last: float
    ) -> None:
        """Count a turn that is over, and its last `messages` as `add_lap` does. For workers."""
        # This is most of what measuring costs; a `with` would cost 0.1 µs more.
        lock = self._lock
        lock.acquire()
        try:
            histogram = self._waited
            histogram.counts[bisect_left(BOUNDS, waited)] += 1
            histogram.sum += waited
            histogram = self._turns
            histogram.counts[0 if seconds <= _FIRST else bisect_left(BOUNDS, seconds)] += 1
            histogram.sum += seconds
            if messages:
                self._add_lap(messages, lap, last)
        finally:
            lock.release()

    def _add_lap(self, messages: int, seconds: float, last: float) -> None:
        histogram = self._executed
        histogram.counts[0] += messages - 1
        histogram.counts[0 if last <= _FIRST else bisect_left(BOUNDS, last)] += 1
        histogram.sum += seconds
