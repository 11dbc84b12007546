"""Lanes against a naive model, in any order of calls; and the claim, against real threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from speedo_trio.queue.lane import Lane, Tally


class Nobody:
    """An owner and an outlet that do nothing."""

    def __init__(self) -> None:
        self.replies: list[bytes] = []
        self.encode: Callable[[bytes], bytes] | None = None

    def flush(self) -> bool:
        return True

    def gate(self) -> bool:
        return False

    def message_failed(self, message: object, error: BaseException) -> None:
        pass

    def progressed(self) -> None:
        pass


def make_lane(limit: int = 10, tally: Tally | None = None) -> Lane[int]:
    """A lane of numbers."""
    return Lane(Nobody(), Nobody(), limit, Tally(100) if tally is None else tally)


def failing_after(messages: Iterable[int]) -> Iterator[int]:
    """A generator that fails after some messages."""
    yield from messages
    raise RuntimeError("the handler failed")


def execute(lane: Lane[int], most: int) -> list[int]:
    """A turn of some messages, for who holds the claim."""
    executed = [message for message, _ in zip(lane.begin(), range(most), strict=False)]
    lane.done(len(executed))
    return executed


class Model:
    """What a lane should be, told naively."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.waiting: list[int] = []
        self.held = False
        self.shut = False
        self.executed = 0
        self.dropped = 0

    def drop(self) -> None:
        """Drop what waits."""
        self.dropped += len(self.waiting)
        self.waiting.clear()


class Lanes(RuleBasedStateMachine):
    """Two lanes with a common tally, and a model of each."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = count()

    @initialize(limits=st.tuples(st.integers(1, 6), st.integers(1, 6)), limit=st.integers(1, 9))
    def make(self, limits: tuple[int, int], limit: int) -> None:
        """Make the lanes."""
        self.limit = limit
        self.tally = Tally(limit)
        self.lanes = [make_lane(each, self.tally) for each in limits]
        self.models = [Model(each) for each in limits]

    which = st.integers(0, 1)

    def room(self, which: int) -> int:
        """How many messages a lane should take."""
        model = self.models[which]
        shared = self.limit - sum(len(each.waiting) for each in self.models)
        if not model.waiting:
            shared = max(1, shared)
        return max(0, min(model.limit - len(model.waiting), shared))

    @rule(which=which, size=st.integers(0, 8))
    def put(self, which: int, size: int) -> None:
        """Put takes what there is room for, in order, and tells whether there may be more."""
        model, room = self.models[which], self.room(which)
        if model.shut:
            return
        messages = [next(self.numbers) for _ in range(size)]
        left = iter(messages)

        assert self.lanes[which].put(left) == (size >= room)
        assert list(left) == messages[room:]
        model.waiting += messages[:room]

    @rule(which=which, size=st.integers(0, 8))
    def put_failing(self, which: int, size: int) -> None:
        """What the iterator raises comes after the messages before it were put."""
        model, room = self.models[which], self.room(which)
        if model.shut:
            return
        messages = [next(self.numbers) for _ in range(size)]
        if size < room:
            with pytest.raises(RuntimeError, match="the handler failed"):
                self.lanes[which].put(failing_after(messages))
        else:
            assert self.lanes[which].put(failing_after(messages))
        model.waiting += messages[:room]

    @rule(which=which)
    def claim(self, which: int) -> None:
        """The claim is had by who asks first, and only while messages wait."""
        model = self.models[which]
        expected = bool(model.waiting) and not model.held

        assert self.lanes[which].claim() == expected
        model.held = model.held or expected

    @rule(which=which, most=st.integers(0, 8))
    def turn(self, which: int, most: int) -> None:
        """The holder of the claim executes the first messages, in order."""
        model = self.models[which]
        if not model.held:
            return
        expected, model.waiting = model.waiting[:most], model.waiting[most:]
        model.executed += len(expected)

        assert execute(self.lanes[which], most) == expected

    @rule(which=which)
    def release(self, which: int) -> None:
        """The claim is given back unless messages wait."""
        model = self.models[which]
        if not model.held:
            return
        model.held = bool(model.waiting)

        assert self.lanes[which].release() == model.held

    @precondition(lambda self: not all(model.shut for model in self.models))
    @rule(which=which)
    def shut_down(self, which: int) -> None:
        """What waits is dropped at once unless somebody holds the claim."""
        self.lanes[which].shut_down()
        model = self.models[which]
        model.shut = True
        if not model.held:
            model.drop()

    @rule(which=which)
    def clear(self, which: int) -> None:
        """The holder drops what waits."""
        model = self.models[which]
        if not model.held:
            return
        self.lanes[which].clear()
        model.drop()

    @invariant()
    def same(self) -> None:
        """Lanes and tally tell what their models do."""
        for which, (lane, model) in enumerate(zip(self.lanes, self.models, strict=True)):
            assert lane.waiting == len(model.waiting)
            assert lane.claimed == model.held
            assert lane.shut == model.shut
            assert lane.executed == model.executed
            assert lane.dropped == model.dropped
            assert lane.room == self.room(which)
        assert self.tally.waiting == sum(len(model.waiting) for model in self.models)


def test_lanes_in_any_order_of_calls() -> None:
    """Put, claim, turn, release, clear and shut_down, in any order, do what the model says."""
    run_state_machine_as_test(Lanes, settings=settings(max_examples=60, stateful_step_count=40))


def test_new_lane_is_empty() -> None:
    """Nobody holds it, nothing waits, and it has room for its limit."""
    lane = make_lane(limit=7)

    assert (lane.waiting, lane.claimed, lane.room, lane.claim()) == (0, False, 7, False)


def test_limit_is_never_passed() -> None:
    """A lane pulls no more from a generator than it has room for."""
    lane, endless = make_lane(limit=3), count()
    assert lane.put(endless)
    assert lane.put(endless)

    assert lane.waiting == 3
    assert next(endless) == 3


def test_full_tally_leaves_an_empty_lane_room_for_one() -> None:
    """Lanes of peers that don't read can't starve the others."""
    tally = Tally(4)
    hog, other = make_lane(10, tally), make_lane(10, tally)
    hog.put(count())

    assert (hog.waiting, hog.room) == (4, 0)
    assert other.room == 1
    other.put(count())
    assert (other.waiting, other.room) == (1, 0)


def test_messages_put_during_a_turn_are_part_of_it() -> None:
    """The holder goes on while messages come."""
    lane = make_lane()
    lane.put(iter([0]))
    assert lane.claim()
    seen = []
    for message in lane.begin():
        seen.append(message)
        if message < 5:
            lane.put(iter([message + 1]))
    lane.done(len(seen))

    assert seen == [0, 1, 2, 3, 4, 5]
    assert not lane.release()


def test_waiting_leaves_out_the_message_that_is_executed() -> None:
    """During a turn only what has not begun waits, and what runs is not executed yet."""
    lane = make_lane()
    lane.put(iter([0, 1, 2]))
    assert lane.claim()
    turn = lane.begin()
    next(turn)

    assert lane.waiting == 2
    assert lane.unexecuted == 3
    lane.done(1)
    assert lane.unexecuted == 2


def test_message_that_is_cut_off_is_dropped() -> None:
    """The last of a turn, when it was begun and not executed to its end."""
    lane = make_lane()
    lane.put(iter([1, 2, 3, 4]))
    assert lane.claim()
    lane.begin()
    lane.cut(3)

    assert (lane.executed, lane.dropped, lane.waiting, lane.tally.waiting) == (2, 1, 1, 1)


def test_messages_that_come_to_a_shut_lane_are_dropped() -> None:
    """A generator that aborts its connection while it is pulled leaves nothing behind."""
    tally = Tally(100)
    lane = make_lane(10, tally)

    def aborting() -> Iterator[int]:
        yield 0
        lane.shut_down()
        yield 1

    lane.put(aborting())

    assert (lane.waiting, lane.claim(), tally.waiting) == (0, False, 0)
    assert lane.dropped + lane.unexecuted == 2


def test_tally_counts_what_threads_take_off() -> None:
    """Removing needs no lock and loses nothing."""
    tally = Tally(10)
    tally.add(40_000)

    def take_off() -> None:
        for _ in range(10_000):
            tally.remove(1)

    threads = [threading.Thread(target=take_off) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert tally.waiting >= 0
    for thread in threads:
        thread.join()

    assert tally.waiting == 0


def test_claim_is_held_by_one_thread_at_a_time() -> None:
    """Several workers fight for one lane: each message is executed once, in order."""
    tally, total, crew = Tally(1_000_000), 20_000, 4
    lane = make_lane(total, tally)
    executed: list[int] = []
    inside = threading.Semaphore(1)
    failures: list[str] = []
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            if not lane.claim():
                continue
            again = True
            while again:
                if not inside.acquire(blocking=False):
                    failures.append("two held the claim")
                executed.extend(execute(lane, 7))
                inside.release()
                again = lane.release()

    threads = [threading.Thread(target=work) for _ in range(crew)]
    for thread in threads:
        thread.start()
    try:
        for number in range(0, total, 5):
            lane.put(iter(range(number, number + 5)))
        give_up = threading.Event()
        alarm = threading.Timer(20, give_up.set)
        alarm.start()
        while len(executed) < total and not give_up.is_set():
            pass
        alarm.cancel()
    finally:
        over.set()
        for thread in threads:
            thread.join()

    assert failures == []
    assert executed == list(range(total))
    assert (lane.executed, lane.waiting, lane.claimed, tally.waiting) == (total, 0, False, 0)
