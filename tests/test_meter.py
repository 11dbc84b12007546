"""The meter: buckets and quantiles, what workers tell it, and what a server measures."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from math import ceil, inf, isnan, nan

import pytest
import trio
import trio.testing
from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.meter import BOUNDS, Histogram, HistogramSnapshot, Meter
from speedo_trio.protocol.framed import LineProtocol
from speedo_trio.protocol.message import Message
from speedo_trio.server import Server, serve

DURATIONS = st.floats(0, 100) | st.sampled_from((0.0, *BOUNDS))


def histogram_of(values: list[float]) -> Histogram:
    """One that has counted these."""
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


def limits_of(value: float) -> tuple[float, float]:
    """The lower and upper bound of the bucket that a duration belongs into."""
    edges = (0.0, *BOUNDS, inf)
    return next((low, high) for low, high in pairwise(edges) if value <= high)


# Histograms


def test_bounds() -> None:
    """From a tenth of a millisecond to ten seconds, evenly on a logarithmic scale."""
    assert (BOUNDS[0], BOUNDS[-1], len(BOUNDS)) == (0.0001, 10.0, 16)
    ratios = [high / low for low, high in pairwise(BOUNDS)]
    assert all(1.9 < ratio < 2.6 for ratio in ratios)


@pytest.mark.parametrize(
    ("value", "bucket"),
    [
        (0, 0),
        (0.0001, 0),
        (0.00010001, 1),
        (0.001, 3),
        (0.9, 12),
        (1, 12),
        (10, 15),
        (10.001, 16),
        (1e9, 16),
    ],
)
def test_bucket(value: float, bucket: int) -> None:
    """A bound is inside its bucket; what is above all bounds is in the last one."""
    counts = histogram_of([value]).counts

    assert counts.index(1) == bucket
    assert (len(counts), sum(counts)) == (17, 1)


@given(st.lists(DURATIONS))
def test_counts_are_those_of_sorting(values: list[float]) -> None:
    """Each duration is in the one bucket that it belongs into."""
    snapshot = histogram_of(values).snapshot()
    edges = (-1.0, *BOUNDS, inf)
    naive = [sum(low < value <= high for value in values) for low, high in pairwise(edges)]

    assert list(snapshot.counts) == naive
    assert snapshot.count == len(values)
    assert snapshot.sum == pytest.approx(sum(values))
    assert snapshot.bounds == BOUNDS


def test_many_at_once() -> None:
    """Count as often as they are; none at all changes nothing."""
    histogram = Histogram()
    histogram.add(0.5, 7)
    histogram.add(0.5, 0)

    assert (histogram.counts[11], histogram.sum) == (7, 3.5)


@pytest.mark.parametrize("value", [-0.1, inf, -inf, nan])
def test_what_is_no_duration_is_refused(value: float) -> None:
    """One of them would spoil the sum for ever."""
    histogram = Histogram()
    with pytest.raises(ValueError, match=f"value is {value}; allowed is"):
        histogram.add(value)

    assert (sum(histogram.counts), histogram.sum) == (0, 0.0)


def test_negative_count_is_refused() -> None:
    """Nothing is ever taken away."""
    with pytest.raises(ValueError, match="count is -1; allowed is"):
        Histogram().add(0.1, -1)


def test_snapshot_stays_as_it_is() -> None:
    """What is counted later is not in it."""
    histogram = histogram_of([0.1])
    before = histogram.snapshot()
    histogram.add(0.1)

    assert (before.count, histogram.snapshot().count) == (1, 2)


# Quantiles


@pytest.mark.parametrize(
    ("q", "seconds"), [(0, 1.0), (0.25, 1.75), (0.5, 2.5), (0.75, 3.75), (1, 5.0)]
)
def test_quantile_inside_a_bucket(q: float, seconds: float) -> None:
    """As if the durations of a bucket were evenly spread."""
    assert histogram_of([2.0] * 5 + [3.0] * 5).snapshot().quantile(q) == seconds


@given(st.lists(DURATIONS, min_size=1), st.floats(0, 1))
def test_quantile_is_in_the_bucket_of_the_true_one(values: list[float], q: float) -> None:
    """Above the last bound it is that bound."""
    true = sorted(values)[max(ceil(q * len(values)), 1) - 1]
    low, high = limits_of(true)
    estimate = histogram_of(values).snapshot().quantile(q)

    assert low <= estimate <= min(high, BOUNDS[-1])


@given(st.lists(DURATIONS, min_size=1), st.floats(0, 1), st.floats(0, 1))
def test_quantiles_grow(values: list[float], one: float, other: float) -> None:
    """A larger share never took less."""
    snapshot = histogram_of(values).snapshot()

    assert snapshot.quantile(min(one, other)) <= snapshot.quantile(max(one, other))


@pytest.mark.parametrize("q", [0, 0.5, 1])
def test_quantile_of_nothing(q: float) -> None:
    """Is not a number."""
    assert isnan(Histogram().snapshot().quantile(q))


@pytest.mark.parametrize("q", [-0.1, 1.1, 50, nan])
def test_quantile_that_is_none(q: float) -> None:
    """A percentage, say."""
    with pytest.raises(ValueError, match=f"q is {q}; allowed is"):
        Histogram().snapshot().quantile(q)


def test_snapshot_of_other_bounds() -> None:
    """One can be made by hand, for tests of what reads it."""
    snapshot = HistogramSnapshot(bounds=(1.0, 2.0), counts=(1, 3, 0), sum=5.0)

    assert (snapshot.count, snapshot.quantile(1)) == (4, 2.0)


# The meter


def test_new_meter_is_empty() -> None:
    """Nothing was measured."""
    snapshot = Meter().snapshot()

    for part in (snapshot.waited, snapshot.executed, snapshot.turns):
        assert (part.count, part.sum) == (0, 0.0)


@pytest.mark.parametrize(
    ("messages", "last", "expected"),
    [(1, 0.003, {5: 1}), (4, 0.003, {0: 3, 5: 1}), (4, -0.00005, {0: 4}), (1, 0.0001, {0: 1})],
)
def test_lap(messages: int, last: float, expected: dict[int, int]) -> None:
    """All but the last message are quick; what all took is the sum."""
    meter = Meter()
    meter.add_lap(messages, 0.0031, last)

    executed = meter.snapshot().executed
    assert {bucket: count for bucket, count in enumerate(executed.counts) if count} == expected
    assert executed.sum == 0.0031


def test_turn() -> None:
    """Its wait, its length and its last lap, each in its own histogram."""
    meter = Meter()
    meter.add_turn(0.02, 0.3, 5, 0.004, 0.0039)

    snapshot = meter.snapshot()
    assert (snapshot.waited.counts[7], snapshot.waited.sum) == (1, 0.02)
    assert (snapshot.turns.counts[11], snapshot.turns.sum) == (1, 0.3)
    assert (snapshot.executed.counts[0], snapshot.executed.counts[5]) == (4, 1)
    assert snapshot.executed.sum == 0.004
    assert [part.count for part in (snapshot.waited, snapshot.turns, snapshot.executed)] == [
        1,
        1,
        5,
    ]


def test_turn_whose_messages_are_counted() -> None:
    """The time since then is nobody's."""
    meter = Meter()
    meter.add_turn(0.02, 0.3, 0, 0.004, -1.0)

    assert (meter.snapshot().executed.count, meter.snapshot().executed.sum) == (0, 0.0)


def test_threads_record_at_once() -> None:
    """Nothing is lost, and each snapshot belongs together."""
    meter, turns, threads = Meter(), 3000, 4
    start = threading.Barrier(threads + 1)

    def work() -> None:
        start.wait()
        for _ in range(turns):
            meter.add_lap(1, 0.25, 0.25)
            meter.add_turn(0.5, 0.5, 1, 0.25, 0.25)

    crew = [threading.Thread(target=work) for _ in range(threads)]
    for thread in crew:
        thread.start()
    start.wait()
    while any(thread.is_alive() for thread in crew):
        snapshot = meter.snapshot()
        assert snapshot.waited == snapshot.turns
        assert snapshot.turns.sum == snapshot.turns.count * 0.5
        assert snapshot.executed.sum == snapshot.executed.count * 0.25

    snapshot = meter.snapshot()
    assert (snapshot.turns.count, snapshot.executed.count) == (12_000, 24_000)


@pytest.mark.parametrize(
    "use",
    [
        Meter.snapshot,
        lambda meter: meter.add_lap(1, 0.1, 0.1),
        lambda meter: meter.add_turn(0.1, 0.1, 1, 0.1, 0.1),
    ],
    ids=["snapshot", "lap", "turn"],
)
def test_one_thread_at_a_time(use: Callable[[Meter], object]) -> None:
    """Who finds another at it waits, as an interpreter without a lock of its own needs it."""
    meter = Meter()
    thread = threading.Thread(target=use, args=(meter,))
    with meter._lock:
        thread.start()
        thread.join(0.02)
        assert thread.is_alive()
        assert not any(meter._turns.counts + meter._executed.counts)
    thread.join(10)

    assert not thread.is_alive()


# In a server


@define
class Say(Message):
    """Replies from a thread; raises when it is told to."""

    line: bytes

    def execute(self) -> bytes:
        if self.line == b"raise":
            raise ValueError
        return self.line


@define
class SayAsync(Message):
    """Replies from a task."""

    line: bytes

    async def execute(self) -> bytes:
        await trio.lowlevel.checkpoint()
        return self.line


class Both(LineProtocol):
    """Lines that begin with an a are async; a failure costs no connection."""

    def frame(self, payload: bytes) -> Message:
        return (SayAsync if payload.startswith(b"a") else Say)(payload)

    def failed(self, message: Message, error: BaseException) -> bytes:
        return b"failed"


async def test_server_measures_with_its_meter() -> None:
    """As many messages as the server says that it executed, failed ones included."""
    meter, lines = Meter(), (b"1", b"2", b"a3", b"raise", b"a4", b"5")
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            server: Server = await nursery.start(partial(serve, Both, meter=meter))
            client, peer = trio.testing.memory_stream_pair()
            nursery.start_soon(server.serve_stream, peer)
            await client.send_all(b"\n".join(lines) + b"\n")
            replies = b""
            while replies.count(b"\n") < len(lines):
                replies += await client.receive_some()
            snapshot = meter.snapshot()
            executed = server.stats().executed
            nursery.cancel_scope.cancel()

    assert replies == b"1\n2\na3\nfailed\na4\n5\n"
    assert snapshot.executed.count == executed == len(lines)
    assert snapshot.waited.count == snapshot.turns.count >= 4
    assert snapshot.executed.sum <= snapshot.turns.sum
