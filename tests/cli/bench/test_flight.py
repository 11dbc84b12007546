"""The flight: which request an answer is for, and how long it took."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.cli.bench.flight import Flight


def landed(flight: Flight, count: int, now: int) -> list[int]:
    """The latencies of the next answers, one by one."""
    latencies: list[int] = []
    flight.land(count, now, lambda latency, count: latencies.extend([latency] * count))
    return latencies


def test_answers_are_for_the_oldest_requests() -> None:
    """A batch may be answered in parts, and a chunk may answer several batches."""
    flight = Flight()
    flight.launch(3, 0, 0)
    flight.launch(2, 10, 10)

    assert landed(flight, 1, 100) == [100]
    assert landed(flight, 3, 200) == [200, 200, 190]
    assert flight.count == 1
    assert landed(flight, 1, 300) == [290]


@given(st.lists(st.integers(1, 5)), st.data())
def test_it_is_a_queue(counts: list[int], data: st.DataObject) -> None:
    """However batches and chunks fall, each request has its own latency."""
    flight = Flight()
    queue: list[int] = []
    for time, count in enumerate(counts):
        flight.launch(count, time, time)
        queue += [time] * count
        done = data.draw(st.integers(0, len(queue)))

        assert landed(flight, done, 1000) == [1000 - sent for sent in queue[:done]]
        del queue[:done]
        assert flight.count == len(queue)


def test_a_latency_counts_from_when_the_request_was_due() -> None:
    """How long it waits is counted from when it was sent."""
    flight = Flight()
    flight.launch(1, 5, 50)

    assert flight.oldest() == 50
    assert landed(flight, 1, 60) == [55]
    assert flight.oldest() is None


def test_a_crash_leaves_nothing() -> None:
    """What was in flight is told, once."""
    flight = Flight()
    flight.launch(3, 0, 0)

    assert (flight.crash(), flight.crash(), flight.count, flight.oldest()) == (3, 0, 0, None)
