"""Turns: messages in order until the lane is empty, a cap is reached or the kind changes.

And what a meter is told of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable
from functools import partial
from itertools import accumulate
from math import inf
from time import perf_counter
from typing import Any, TypeAlias

import pytest
import trio
from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.config import Workers
from speedo_trio.errors import HandlerError
from speedo_trio.meter import BOUNDS, Meter
from speedo_trio.protocol.message import Message, Reply
from speedo_trio.queue.lane import Lane, Tally
from speedo_trio.worker.laps import LAP_SECONDS, Laps
from speedo_trio.worker.turn import (
    EMPTY,
    MORE,
    OTHER_KIND,
    Failure,
    Outcome,
    task_turn,
    thread_turn,
)
from tests.worker.conftest import Clock, stopped_clock

CAPS = Workers(turn_seconds=30.0)


class Outlet:
    """Keeps the replies."""

    def __init__(self, encode: Callable[[bytes], bytes] | None = None) -> None:
        self.replies: list[bytes] = []
        self.encode = encode

    def flush(self) -> bool:
        return True

    def gate(self) -> bool:
        return False


class Owner:
    """Is told nothing by a turn."""

    def message_failed(self, message: object, error: BaseException) -> None:
        raise AssertionError

    def progressed(self) -> None:
        raise AssertionError


@define
class Sync(Message):
    """Runs in a thread; does something or gives a reply."""

    reply: Any
    does: Callable[[], object] = bool

    def execute(self) -> Reply:
        self.does()
        return self.reply  # type: ignore[no-any-return]  # it may be anything


@define
class Async(Message):
    """The same in a task."""

    reply: Any
    does: Callable[[], object] = bool

    async def execute(self) -> Reply:
        self.does()
        return self.reply  # type: ignore[no-any-return]  # as above


Kind: TypeAlias = type[Sync] | type[Async]
Turn: TypeAlias = Callable[..., Awaitable[Outcome | Failure]]


async def in_thread(
    lane: Lane[Message], caps: Workers, began: float, laps: Laps | None = None
) -> Outcome | Failure:
    """A thread's turn, here."""
    return thread_turn(lane, caps, began, laps)


def make_lane(
    messages: Iterable[object], encode: Callable[[bytes], bytes] | None = None
) -> Lane[Message]:
    """A claimed lane with these messages."""
    lane: Lane[Message] = Lane(Owner(), Outlet(encode), 10_000, Tally(10_000))
    lane.put(iter(messages))  # type: ignore[arg-type]  # some are no messages
    assert lane.claim()
    return lane


def replies(lane: Lane[Message]) -> list[bytes]:
    """What was replied so far."""
    return lane.outlet.replies


both = pytest.mark.parametrize(
    ("kind", "turn"), [(Sync, in_thread), (Async, task_turn)], ids=["thread", "task"]
)


@both
async def test_executes_all_that_waits(kind: Kind, turn: Turn) -> None:
    """In order; replies are appended, None adds none; everything is counted."""
    lane = make_lane(kind(reply) for reply in (b"1", None, b"", b"3"))

    assert await turn(lane, CAPS, perf_counter()) is EMPTY
    assert replies(lane) == [b"1", b"", b"3"]
    assert (lane.executed, lane.waiting, lane.tally.waiting) == (4, 0, 0)
    assert lane.claimed  # giving it back is the crew's


@both
async def test_replies_are_encoded(kind: Kind, turn: Turn) -> None:
    """Each by itself, and None not at all."""
    lane = make_lane((kind(b"1"), kind(None), kind(b"2")), encode=lambda reply: b"<" + reply + b">")
    await turn(lane, CAPS, perf_counter())

    assert replies(lane) == [b"<1>", b"<2>"]


@both
async def test_turn_ends_after_its_messages(kind: Kind, turn: Turn) -> None:
    """At the cap of messages it is another's turn; the rest waits."""
    lane = make_lane(kind(b"%d" % number) for number in range(10))
    caps = evolve(CAPS, turn_messages=4)

    assert await turn(lane, caps, perf_counter()) is MORE
    assert replies(lane) == [b"0", b"1", b"2", b"3"]
    assert (lane.executed, lane.waiting, lane.tally.waiting) == (4, 6, 6)
    assert await turn(lane, caps, perf_counter()) is MORE
    assert await turn(lane, caps, perf_counter()) is EMPTY
    assert replies(lane) == [b"%d" % number for number in range(10)]


@both
async def test_turn_ends_after_its_bytes(kind: Kind, turn: Turn) -> None:
    """Counted as they are encoded; the reply that reaches the cap is the last."""
    lane = make_lane((kind(b"12345") for _ in range(10)), encode=lambda reply: reply * 2)

    assert await turn(lane, evolve(CAPS, turn_bytes=30), perf_counter()) is MORE
    assert replies(lane) == [b"1234512345"] * 3


@both
async def test_turn_ends_when_its_time_is_over(kind: Kind, turn: Turn) -> None:
    """A turn that began long ago ends after one message, which is never left out."""
    lane = make_lane(kind(b"x") for _ in range(10))
    began = perf_counter() - 31

    assert await turn(lane, CAPS, began) is MORE
    assert replies(lane) == [b"x"]


@both
async def test_turn_of_no_time_executes_one(kind: Kind, turn: Turn) -> None:
    """The smallest caps still make progress."""
    lane = make_lane(kind(b"x") for _ in range(3))
    caps = Workers(turn_messages=1, turn_bytes=1, turn_seconds=0)
    for executed in (1, 2, 3):
        await turn(lane, caps, perf_counter())

        assert lane.executed == executed


@both
async def test_time_is_looked_at_after_each_message(kind: Kind, turn: Turn) -> None:
    """The turn ends within the message in which its time is over."""
    caps = evolve(CAPS, turn_seconds=0.01)
    began = perf_counter()

    def until_the_time_is_over() -> None:
        while perf_counter() < began + 0.011:
            pass

    lane = make_lane([kind(b"1"), kind(b"2", until_the_time_is_over), kind(b"3"), kind(b"4")])
    assert await turn(lane, caps, began) is MORE

    assert replies(lane)[-1] != b"3"


@both
async def test_turn_ends_before_a_message_of_the_other_kind(kind: Kind, turn: Turn) -> None:
    """That message stays the first, and counts as waiting."""
    other = Async if kind is Sync else Sync
    lane = make_lane([kind(b"1"), other(b"2"), kind(b"3")])

    assert await turn(lane, CAPS, perf_counter()) is OTHER_KIND
    assert replies(lane) == [b"1"]
    assert (lane.executed, lane.waiting, lane.tally.waiting) == (1, 2, 2)
    assert await turn(lane, CAPS, perf_counter()) is OTHER_KIND
    assert (lane.executed, lane.waiting) == (1, 2)


class Odd(BaseException):
    """An exception that is no Exception."""


@both
@pytest.mark.parametrize(
    "error",
    [ValueError("bad"), SystemExit(3), Odd(), StopIteration(), GeneratorExit()],
    ids=lambda error: type(error).__name__,
)
async def test_error_ends_the_turn(kind: Kind, turn: Turn, error: BaseException) -> None:
    """The message that raised is told, counts as executed, and later ones wait."""

    def fail() -> None:
        raise error

    failing = kind(b"2", fail)
    lane = make_lane([kind(b"1"), failing, kind(b"3")])
    outcome = await turn(lane, CAPS, perf_counter())

    assert isinstance(outcome, Failure)
    assert outcome.message is failing
    assert error in (
        outcome.error,
        outcome.error.__cause__,
    )  # a coroutine can't raise StopIteration
    assert replies(lane) == [b"1"]
    assert (lane.executed, lane.waiting, lane.tally.waiting) == (2, 1, 1)


def test_interrupt_in_a_thread_is_the_messages_own() -> None:
    """Signals reach only the main thread, so what a thread raises is no signal."""

    def fail() -> None:
        raise KeyboardInterrupt

    outcome = thread_turn(make_lane([Sync(None, fail)]), CAPS, perf_counter())

    assert isinstance(outcome, Failure)


async def test_interrupt_in_a_task_passes() -> None:
    """The user's interrupt is not the message's: it ends the program."""

    def fail() -> None:
        raise KeyboardInterrupt

    lane = make_lane([Async(None, fail)])
    with pytest.raises(KeyboardInterrupt):
        await task_turn(lane, CAPS, perf_counter())


@both
@pytest.mark.parametrize("encode", [None, bytes.upper], ids=["plain", "encoded"])
@pytest.mark.parametrize(
    "reply",
    ["text", 1, bytearray(b"x"), memoryview(b"x"), [b"x"], True, (), type("Sub", (bytes,), {})()],
)
async def test_reply_that_is_not_bytes_is_refused(
    kind: Kind, turn: Turn, reply: object, encode: Callable[[bytes], bytes] | None
) -> None:
    """With or without an encoder, a HandlerError that names the message's class and the reply's."""
    outcome = await turn(make_lane([kind(reply)], encode), CAPS, perf_counter())

    assert isinstance(outcome, Failure)
    assert isinstance(outcome.error, HandlerError)
    assert kind.__name__ in str(outcome.error)
    assert f" {type(reply).__name__}" in str(outcome.error)
    assert "allowed are bytes" in str(outcome.error)


@both
async def test_encoder_that_gives_no_bytes_is_refused(kind: Kind, turn: Turn) -> None:
    """What goes onto the wire is bytes, whoever made it."""
    lane = make_lane([kind(b"x")], encode=bytes.decode)  # type: ignore[arg-type]  # is what is tested
    outcome = await turn(lane, CAPS, perf_counter())

    assert isinstance(outcome, Failure)
    assert isinstance(outcome.error, HandlerError)
    assert "str" in str(outcome.error)
    assert replies(lane) == []


@both
async def test_encoder_that_raises_fails_the_message(kind: Kind, turn: Turn) -> None:
    """A reply that can't be encoded is the message's failure."""

    def encode(reply: bytes) -> bytes:
        raise HandlerError("no frame can carry this")

    outcome = await turn(make_lane([kind(b"x")], encode), CAPS, perf_counter())

    assert isinstance(outcome, Failure)
    assert str(outcome.error) == "no frame can carry this"


@both
async def test_what_is_no_message_fails(kind: Kind, turn: Turn) -> None:
    """A handler that gives something else harms its own connection, and the counts stay right."""
    given: Any = "no message"
    lane = make_lane([kind(b"1"), given, kind(b"3")])
    outcome = await turn(lane, CAPS, perf_counter())

    assert isinstance(outcome, Failure)
    assert outcome.message is given
    assert (lane.executed, lane.waiting, lane.tally.waiting) == (2, 1, 1)


async def test_message_that_forgot_to_be_async_is_refused() -> None:
    """A coroutine as a reply is no bytes."""
    never_awaited = Async(b"x").execute()
    outcome = thread_turn(make_lane([Sync(never_awaited)]), CAPS, perf_counter())
    never_awaited.close()

    assert isinstance(outcome, Failure)
    assert isinstance(outcome.error, HandlerError)
    assert "coroutine" in str(outcome.error)


async def test_cancelled_turn_has_taken_its_message() -> None:
    """The message that ran is taken off; what waited behind it waits still."""

    @define
    class Sleep(Message):
        async def execute(self) -> None:
            await trio.sleep_forever()

    lane = make_lane([Async(b"1"), Sleep(), Async(b"3")])
    with trio.move_on_after(0.01) as scope:
        await task_turn(lane, CAPS, perf_counter())

    assert scope.cancelled_caught
    assert replies(lane) == [b"1"]
    assert (lane.executed, lane.dropped) == (1, 1)
    assert (lane.waiting, lane.tally.waiting) == (1, 1)


async def test_error_beside_a_cancel_is_the_messages_own() -> None:
    """A child that fails while it is cancelled ends the turn as any error does."""

    async def clumsy() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("in the cleanup")

    @define
    class Clumsy(Message):
        async def execute(self) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(clumsy)
                await trio.sleep_forever()

    with trio.move_on_after(0.01):
        outcome = await task_turn(make_lane([Clumsy()]), CAPS, perf_counter())

    assert isinstance(outcome, Failure)
    assert isinstance(outcome.error, ExceptionGroup)


def test_caps_have_no_upper_surprises() -> None:
    """A turn without any bound in time is allowed by the function, if not by the settings."""
    lane = make_lane(Sync(b"x") for _ in range(3))
    assert thread_turn(lane, CAPS, inf) is EMPTY


# Measured


@define
class Measured:
    """A meter for turns of lanes that were ready three seconds before."""

    clock: Clock
    meter: Meter = field(factory=Meter)

    async def __call__(self, turn: Turn, lane: Lane[Message], **caps: Any) -> Outcome | Failure:
        """Execute a turn."""
        workers = evolve(CAPS, **caps)
        lane.ready_at = self.clock() - 3
        return await turn(lane, workers, self.clock(), Laps(self.meter, workers))

    @property
    def executed(self) -> int:
        """How many messages were counted."""
        return self.meter.snapshot().executed.count


@pytest.fixture
def measured(clock: Clock) -> Measured:
    """On a clock that stands."""
    return Measured(clock)


@both
async def test_measured_turn_does_the_same(kind: Kind, turn: Turn, measured: Measured) -> None:
    """Replies, counts and outcomes are those of any turn."""
    lane = make_lane(kind(b"%d" % number) for number in range(10))

    assert await measured(turn, lane, turn_messages=7) is MORE
    assert (lane.executed, lane.waiting, lane.tally.waiting) == (7, 3, 3)
    assert await measured(turn, lane) is EMPTY
    assert replies(lane) == [b"%d" % number for number in range(10)]
    assert measured.executed == lane.executed == 10


@both
async def test_wait_is_measured(kind: Kind, turn: Turn, measured: Measured) -> None:
    """From when the lane became ready to the begin of its turn."""
    await measured(turn, make_lane([kind(b"1", lambda: measured.clock.move(40))]))

    waited = measured.meter.snapshot().waited
    assert (waited.count, waited.sum) == (1, 3.0)


@both
@pytest.mark.parametrize(
    ("caps", "executed"),
    [({"turn_messages": 4}, 4), ({"turn_bytes": 6}, 3), ({"turn_seconds": 0}, 1)],
    ids=str,
)
async def test_capped_turn_counts_what_it_executed(
    kind: Kind, turn: Turn, measured: Measured, caps: dict[str, Any], executed: int
) -> None:
    """And not what it left."""
    lane = make_lane(kind(b"xx") for _ in range(10))

    assert await measured(turn, lane, **caps) is MORE
    assert measured.executed == lane.executed == executed


@both
async def test_halted_turn_counts_what_it_executed(
    kind: Kind, turn: Turn, measured: Measured
) -> None:
    """The last message that ran included."""
    lane = make_lane([kind(b"1")])

    def halt() -> None:
        lane.halt = True

    lane.put(iter([kind(b"2", halt), kind(b"3")]))
    await measured(turn, lane)

    assert measured.executed == lane.executed == 2


@both
async def test_message_of_the_other_kind_is_not_counted(
    kind: Kind, turn: Turn, measured: Measured
) -> None:
    """Not before it was executed; a turn that finds it first is a turn all the same."""
    other = Async if kind is Sync else Sync
    lane = make_lane([kind(b"1"), other(b"2"), kind(b"3")])

    assert await measured(turn, lane) is OTHER_KIND
    assert await measured(turn, lane) is OTHER_KIND
    assert measured.executed == lane.executed == 1
    assert measured.meter.snapshot().turns.count == 2


@both
@pytest.mark.parametrize("slow", [0.0, 0.3])
async def test_failed_message_is_measured(
    kind: Kind, turn: Turn, measured: Measured, slow: float
) -> None:
    """As any other, with the time until it raised."""

    def fail() -> None:
        measured.clock.move(slow)
        raise ValueError

    lane = make_lane([kind(b"1"), kind(b"2", fail), kind(b"3")])
    assert isinstance(await measured(turn, lane), Failure)
    assert isinstance(await measured(turn, make_lane(["no message"])), Failure)

    executed = measured.meter.snapshot().executed
    assert executed.count == 3
    assert executed.counts[11] == (1 if slow else 0)  # up to half a second
    assert executed.sum == pytest.approx(slow)


@both
async def test_slow_messages_are_in_their_buckets(
    kind: Kind, turn: Turn, measured: Measured
) -> None:
    """One after another exactly, after a quick one to a tenth of a millisecond."""
    durations = [0.003, 0.02, 0.00001, 0.02, 0.7, 0.00001, 0.00001, 11]
    lane = make_lane(kind(b"x", partial(measured.clock.move, seconds)) for seconds in durations)
    await measured(turn, lane)

    executed = measured.meter.snapshot().executed
    assert dict(zip((*executed.bounds, inf), executed.counts, strict=True)) == {
        **dict.fromkeys(BOUNDS, 0),
        LAP_SECONDS: 3,
        0.005: 1,
        0.025: 2,
        1.0: 1,
        inf: 1,
    }
    assert executed.sum == measured.meter.snapshot().turns.sum == pytest.approx(sum(durations))


@given(
    microseconds=st.lists(
        st.integers(0, 30) | st.integers(0, 3000) | st.integers(0, 20_000_000), max_size=60
    ),
    turn_messages=st.integers(1, 20),
    turn_seconds=st.sampled_from([0.0, 0.00005, 0.0003, 0.002, 30.0]),
    kind=st.sampled_from([Sync, Async]),
)
def test_measured_beside_exact(
    microseconds: list[int], turn_messages: int, turn_seconds: float, kind: Kind
) -> None:
    """No message is lost or taken for longer, none for shorter by more than a lap."""
    exact = [number / 1e6 for number in microseconds]
    with stopped_clock() as clock:
        lane = make_lane(kind(b"x", partial(clock.move, seconds)) for seconds in [*exact, 0])
        measured = Measured(clock)
        caps: dict[str, Any] = {"turn_messages": turn_messages, "turn_seconds": turn_seconds}
        turn = in_thread if kind is Sync else task_turn
        while lane.waiting:
            run_to_its_end(measured(turn, lane, **caps))

    snapshot = measured.meter.snapshot()
    assert snapshot.executed.count == lane.executed == len(exact) + 1
    assert snapshot.executed.sum == pytest.approx(sum(exact))
    assert snapshot.turns.sum == pytest.approx(sum(exact))
    cumulated = accumulate(snapshot.executed.counts)
    for bound, count in zip(BOUNDS, cumulated, strict=False):
        fewest = sum(seconds <= bound - 1e-9 for seconds in [*exact, 0])
        most = sum(seconds <= bound + LAP_SECONDS + 1e-9 for seconds in [*exact, 0])
        assert fewest <= count <= most


def run_to_its_end(turn: Coroutine[Any, Any, Outcome | Failure]) -> None:
    """Run what never waits."""
    with pytest.raises(StopIteration):
        turn.send(None)


async def test_cut_message_is_not_measured(measured: Measured) -> None:
    """It was not executed; what was before it is counted, and so is the turn."""

    @define
    class Sleep(Message):
        async def execute(self) -> None:
            measured.clock.move(50)
            await trio.sleep_forever()

    lane = make_lane([Async(b"1"), Async(b"2"), Sleep(), Async(b"3")])
    with trio.move_on_after(0.01) as scope:
        await measured(task_turn, lane)

    assert scope.cancelled_caught
    snapshot = measured.meter.snapshot()
    assert snapshot.executed.count == lane.executed == 2
    assert (snapshot.turns.count, snapshot.turns.sum) == (1, 50.0)
