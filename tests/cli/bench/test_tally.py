"""The tally: what counts, and from when to when."""

from __future__ import annotations

from speedo_trio.cli.bench.dialogue import Wrong
from speedo_trio.cli.bench.failure import Failure, Kind
from speedo_trio.cli.bench.tally import Tally


def test_a_warm_up_does_not_count() -> None:
    """Neither its volume nor its latencies; what went wrong and the connections do."""
    tally = Tally()
    tally.volume.replies = 5
    tally.latencies.record(1)
    tally.connects.record(1)
    tally.fail(Failure(Kind.EOF, "x"))
    tally.lost = 1
    tally.begin(100, connects=False)

    assert (tally.volume.replies, tally.latencies.count) == (0, 0)
    assert (tally.connects.count, tally.failures[Kind.EOF], tally.lost) == (1, 1, 1)


def test_connections_of_a_warm_up_may_be_forgotten_too() -> None:
    """When connecting is what is measured."""
    tally = Tally()
    tally.connects.record(1)
    tally.begin(100, connects=True)

    assert tally.connects.count == 0


def test_what_comes_after_the_end_has_latencies_only() -> None:
    """Slow replies count as slow, but don't make the rate higher than it was."""
    tally = Tally()
    tally.begin(10**9, connects=False)
    tally.volume.replies = 6
    tally.end(3 * 10**9)
    tally.volume.replies += 1
    tally.latencies.record(5)
    tally.end(9 * 10**9)

    assert tally.counted.replies == 6
    assert tally.seconds == 2
    assert tally.per_second(tally.counted.replies) == 3
    assert tally.latencies.count == 1


def test_an_end_before_the_beginning() -> None:
    """The warm-up was not over: nothing was measured, and that is no division by zero."""
    tally = Tally()
    tally.volume.replies = 6
    tally.end(10)

    assert (tally.seconds, tally.counted.replies, tally.per_second(5)) == (0, 0, 0)


def test_failures_are_counted_by_kind() -> None:
    """The first of a kind is kept, as an example."""
    tally = Tally()
    tally.fail(Failure(Kind.EOF, "first"))
    tally.fail(Failure(Kind.EOF, "second"))
    tally.wrong(Wrong(count=3, expected=b"a", seen=b"b", lasting=False))

    assert not tally.faultless
    assert tally.failures == {Kind.EOF: 2, Kind.WRONG: 3}
    assert tally.examples == {Kind.EOF: "first", Kind.WRONG: "expected b'a', got b'b'"}


def test_a_lost_reply_is_a_fault() -> None:
    """Even if no failure tells why."""
    assert Tally().faultless
    assert not Tally(lost=1).faultless
