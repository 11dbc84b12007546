"""Laps: what a turn is told to look for, and what the meter gets of it."""

from __future__ import annotations

import gc
import weakref
from math import inf
from typing import TYPE_CHECKING, Any

import pytest

from speedo_trio.config import Workers
from speedo_trio.meter import Meter
from speedo_trio.queue.lane import Lane, Tally
from speedo_trio.worker.laps import LAP_SECONDS, Laps

if TYPE_CHECKING:
    from tests.worker.conftest import Clock

CAPS = Workers(turn_seconds=30.0, turn_messages=100)


def make_lane(messages: int = 100) -> Lane[Any]:
    """A claimed lane that became ready two seconds ago."""
    party: Any = None
    lane: Lane[Any] = Lane(party, party, 1000, Tally(1000))
    lane.put(iter(range(messages)))
    assert lane.claim()
    lane.ready_at = 998.0
    lane.begin()
    return lane


def filled(meter: Meter) -> dict[float, int]:
    """The buckets of executions that have any, by their upper bounds."""
    executed = meter.snapshot().executed
    buckets = zip((*executed.bounds, inf), executed.counts, strict=True)
    return {bound: count for bound, count in buckets if count}


def test_turn_is_measured(clock: Clock) -> None:
    """How long its lane waited, how long it took, and its only message."""
    meter = Meter()
    laps, lane = Laps(meter, CAPS), make_lane()
    laps.begin(lane, clock())
    clock.move(0.125)
    laps.done(1)

    snapshot = meter.snapshot()
    assert (snapshot.waited.count, snapshot.waited.sum) == (1, 2.0)
    assert (snapshot.turns.count, snapshot.turns.sum) == (1, 0.125)
    assert (snapshot.executed.count, snapshot.executed.sum) == (1, 0.125)


def test_turn_is_over_for_the_lane_too(clock: Clock) -> None:
    """Its messages are taken off and counted."""
    laps, lane = Laps(Meter(), CAPS), make_lane(10)
    laps.begin(lane, clock())
    laps.done(4)

    assert (lane.executed, lane.waiting, lane.tally.waiting) == (4, 6, 6)


def test_turn_without_messages(clock: Clock) -> None:
    """Is a turn; none executed."""
    meter = Meter()
    laps = Laps(meter, CAPS)
    laps.begin(make_lane(), clock())
    laps.done(0)

    snapshot = meter.snapshot()
    assert (snapshot.waited.count, snapshot.turns.count) == (1, 1)
    assert (snapshot.executed.count, snapshot.executed.sum) == (0, 0.0)


@pytest.mark.parametrize("seconds", [0.0, LAP_SECONDS / 2, LAP_SECONDS, 0.002, 1.0])
def test_first_look(clock: Clock, seconds: float) -> None:
    """When the lap is over, or the turn if that is sooner."""
    laps = Laps(Meter(), Workers(turn_seconds=seconds))

    assert laps.begin(make_lane(), clock()) == clock() + min(seconds, LAP_SECONDS)


def test_further_looks(clock: Clock) -> None:
    """A lap after the last look, then the turn's end, then none."""
    laps = Laps(Meter(), Workers(turn_seconds=0.002, turn_messages=100))
    laps.begin(make_lane(), clock())
    clock.move(0.001)
    assert laps.lap(99) == clock() + LAP_SECONDS
    clock.now = 1000.00195
    assert laps.lap(98) == 1000.002
    clock.now = 1000.002
    assert laps.lap(97) == inf


def test_lap_is_counted_at_once(clock: Clock) -> None:
    """Who looks at the meter sees messages of a turn that goes on, and no turn."""
    meter = Meter()
    laps = Laps(meter, CAPS)
    laps.begin(make_lane(), clock())
    clock.move(0.2)
    laps.lap(99)

    assert filled(meter) == {0.25: 1}
    assert meter.snapshot().turns.count == 0


def test_message_behind_quick_ones(clock: Clock) -> None:
    """Has the time for which it went on after the look was due; the others are quick."""
    meter = Meter()
    laps = Laps(meter, CAPS)
    laps.begin(make_lane(), clock())
    clock.move(0.04)
    laps.lap(90)  # ten messages
    clock.move(0.003)
    laps.done(30)  # twenty more

    assert filled(meter) == {LAP_SECONDS: 28, 0.005: 1, 0.05: 1}
    assert meter.snapshot().executed.sum == pytest.approx(0.043)


def test_slow_messages_one_after_another(clock: Clock) -> None:
    """Are measured exactly: nobody else is in their laps."""
    meter = Meter()
    laps = Laps(meter, CAPS)
    laps.begin(make_lane(), clock())
    clock.move(0.00105)
    laps.lap(99)
    clock.move(0.00505)
    laps.lap(98)
    clock.move(0.01005)
    laps.done(3)

    assert filled(meter) == {0.0025: 1, 0.01: 1, 0.025: 1}


def test_last_quick_messages_of_a_turn(clock: Clock) -> None:
    """Two of 60 µs are two quick ones, though together they are none."""
    meter = Meter()
    laps = Laps(meter, CAPS)
    laps.begin(make_lane(), clock())
    clock.move(0.00012)
    laps.done(2)
    laps.begin(make_lane(), clock())
    clock.move(0.00012)
    laps.lap(98)
    laps.done(2)

    assert filled(meter) == {LAP_SECONDS: 4}


def test_last_message_is_counted_once(clock: Clock) -> None:
    """When it was in a lap, the turn's end adds nothing."""
    meter = Meter()
    laps = Laps(meter, CAPS)
    laps.begin(make_lane(), clock())
    clock.move(0.2)
    laps.lap(99)
    clock.move(0.2)
    laps.done(1)

    assert filled(meter) == {0.25: 1}
    assert meter.snapshot().turns.sum == pytest.approx(0.4)


@pytest.mark.parametrize(("before", "count"), [(0, 0), (3, 3)])
def test_message_that_was_cut_off(clock: Clock, before: int, count: int) -> None:
    """Is not measured; those before it and the turn are."""
    meter = Meter()
    laps, lane = Laps(meter, CAPS), make_lane(10)
    laps.begin(lane, clock())
    clock.move(7.0)
    laps.cut(before + 1)

    snapshot = meter.snapshot()
    assert filled(meter) == ({LAP_SECONDS: count} if count else {})
    assert snapshot.executed.sum <= LAP_SECONDS * 1.001
    assert (snapshot.turns.count, snapshot.turns.sum, snapshot.waited.count) == (1, 7.0, 1)
    assert (lane.executed, lane.dropped, lane.waiting) == (before, 1, 10 - before - 1)


def test_turns_follow_one_another(clock: Clock) -> None:
    """Nothing of a turn is left for the next one."""
    meter = Meter()
    laps = Laps(meter, CAPS)
    for _ in range(3):
        laps.begin(make_lane(), clock())
        clock.move(0.2)
        laps.lap(99)
        laps.done(3)
        clock.move(50)

    assert filled(meter) == {LAP_SECONDS: 6, 0.25: 3}
    assert meter.snapshot().turns.sum == pytest.approx(0.6)


@pytest.mark.parametrize("end", ["done", "cut"])
def test_no_lane_is_kept_alive(clock: Clock, end: str) -> None:
    """A worker that has nothing to do holds no connection that has ended."""

    class Watched(Lane[Any]):
        __slots__ = ("__weakref__",)

    party: Any = None
    lane = Watched(party, party, 1000, Tally(1000))
    gone = weakref.ref(lane)
    laps = Laps(Meter(), CAPS)
    laps.begin(lane, clock())
    getattr(laps, end)(1)
    del lane
    gc.collect()

    assert gone() is None
