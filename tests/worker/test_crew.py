"""The crew, seen from outside: who executes which lane, where, when, and for how long."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import trio
import trio.testing
from attrs import define, field

from speedo_trio.config import Workers
from speedo_trio.io.border import Border
from speedo_trio.meter import Meter
from speedo_trio.protocol.message import Message
from speedo_trio.queue.lane import Lane, Tally
from speedo_trio.worker.crew import Crew

if TYPE_CHECKING:
    from tests.conftest import Gate
    from tests.worker.conftest import Clock

PATIENT: dict[str, Any] = {"patience": 1.0, "turn_seconds": 1.0}
"""Times so long that a busy machine makes no thread look blocked."""


@define(eq=False)
class Peer:
    """One lane with its outlet and owner."""

    crew: Crew
    tally: Tally
    lane: Lane[Message] = field(init=False)
    replies: list[bytes] = field(factory=list)
    encode: Callable[[bytes], bytes] | None = None
    sent: list[bytes] = field(factory=list)
    failures: list[tuple[object, BaseException]] = field(factory=list)
    blocked: bool = False
    """Whether nothing can be sent, so that the gate is closed."""
    gates: int = 0
    home: int = field(factory=threading.get_ident)
    progress: int = 0

    def __attrs_post_init__(self) -> None:
        self.lane = Lane(self, self, 100_000, self.tally)

    def put(self, *messages: object) -> None:
        """What a link does with messages."""
        self.lane.put(iter(messages))  # type: ignore[arg-type]  # some are no messages
        if self.lane.claim():
            self.crew.dispatch(self.lane)

    @property
    def done(self) -> bool:
        """Whether nothing waits or is executed."""
        return not self.lane.claimed

    # The outlet

    def flush(self) -> bool:
        if self.blocked:
            return False
        count = len(self.replies)
        self.sent += self.replies[:count]
        del self.replies[:count]
        return True

    def gate(self) -> bool:
        self.gates += self.blocked
        return self.blocked

    # The owner

    def message_failed(self, message: object, error: BaseException) -> None:
        assert threading.get_ident() == self.home
        assert self.lane.claimed
        self.failures.append((message, error))
        self.crew.resume(self.lane)

    def progressed(self) -> None:
        assert threading.get_ident() == self.home
        self.progress += 1


@define
class Say(Message):
    """Replies, in a thread; does something before."""

    reply: bytes | None
    does: Callable[[], object] = bool

    def execute(self) -> bytes | None:
        self.does()
        return self.reply


@define
class SayAsync(Message):
    """Replies, in a task; awaits something before."""

    reply: bytes | None
    awaits: Callable[[], Any] = trio.lowlevel.checkpoint

    async def execute(self) -> bytes | None:
        await self.awaits()
        return self.reply


@define(eq=False)
class House:
    """A crew at work, and its peers."""

    crew: Crew
    nursery: trio.Nursery
    tally: Tally = field(factory=lambda: Tally(1_000_000))

    def peer(self) -> Peer:
        """A new lane."""
        return Peer(self.crew, self.tally)


Working: TypeAlias = Callable[..., AbstractAsyncContextManager[House]]


@asynccontextmanager
async def working(meter: Meter | None = None, **settings: Any) -> AsyncIterator[House]:
    """Run a crew for the block, which must end in time and leave no thread lingering."""
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            border = Border()
            crew = Crew(Workers(**settings), border, nursery, meter)
            nursery.start_soon(border.guard)
            crew.start()
            yield House(crew, nursery)
            crew.stop()
            nursery.cancel_scope.cancel()


async def eventually(condition: Callable[[], object]) -> None:
    """Wait for what threads bring about."""
    with trio.fail_after(10):
        while not condition():  # noqa: ASYNC110  # threads ring no bell here
            await trio.sleep(0.001)


def tasks_now() -> int:
    """How many tasks there are in all."""
    return trio.lowlevel.current_statistics().tasks_living


def numbered(count: int) -> list[bytes]:
    """Replies to tell apart."""
    return [b"%d" % number for number in range(count)]


# Where messages run


async def test_sync_messages_run_in_a_thread() -> None:
    """Not on the Trio thread; replies come in order, and the lane is given back."""
    where: set[int] = set()
    async with working() as house:
        peer = house.peer()
        peer.put(*(Say(n, lambda: where.add(threading.get_ident())) for n in numbered(50)))
        await eventually(lambda: peer.done)

        assert peer.sent == numbered(50)
        assert threading.get_ident() not in where
        assert peer.lane.executed == 50
        assert house.tally.waiting == 0


async def test_async_messages_run_in_a_task() -> None:
    """On the Trio thread, where they may await."""
    where: set[int] = set()

    async def look() -> None:
        await trio.lowlevel.checkpoint()
        where.add(threading.get_ident())

    async with working() as house:
        peer = house.peer()
        peer.put(*(SayAsync(n, look) for n in numbered(50)))
        await eventually(lambda: peer.done)

        assert peer.sent == numbered(50)
        assert where == {threading.get_ident()}
        assert house.crew.threads == 0


@pytest.mark.parametrize(
    "caps", [{"turn_seconds": 0}, {"turn_bytes": 1}, {"turn_messages": 1}], ids=str
)
async def test_long_async_message_needs_no_thread(caps: dict[str, Any]) -> None:
    """A lane whose last message reached a cap has nothing more to do; nobody is woken for it."""
    async with working(**caps) as house:
        peer = house.peer()
        peer.put(SayAsync(b"x"))
        await eventually(lambda: peer.done)
        await trio.testing.wait_all_tasks_blocked()

        assert peer.sent == [b"x"]
        assert house.crew.threads == 0


async def test_kinds_mix_in_order() -> None:
    """A lane goes from threads to tasks and back, and its replies keep their order."""
    async with working() as house:
        peer = house.peer()
        kinds: list[type[Say | SayAsync]] = [Say, SayAsync, SayAsync, Say, Say, Say, SayAsync]
        peer.put(*(kinds[number % 7](b"%d" % number) for number in range(70)))
        await eventually(lambda: peer.done)

        assert peer.sent == numbered(70)


async def test_messages_that_come_during_a_turn() -> None:
    """Are executed without another dispatch."""
    async with working() as house:
        peer = house.peer()
        for reply in numbered(300):
            peer.put(Say(reply))
            if len(peer.sent) % 7 == 0:
                await trio.lowlevel.checkpoint()
        await eventually(lambda: peer.done)

        assert peer.sent == numbered(300)


async def test_owner_that_watches_is_told() -> None:
    """After a turn, on the Trio thread; one that doesn't is not."""
    async with working() as house:
        watching, other = house.peer(), house.peer()
        watching.lane.watched = True
        for peer in (watching, other):
            peer.put(Say(b"x"))
            await eventually(lambda peer=peer: peer.done)  # type: ignore[misc]  # binds this one
        await eventually(lambda: watching.progress)

        assert other.progress == 0


async def test_many_lanes_of_mixed_kinds() -> None:
    """Each message is executed once and in its lane's order, whatever the number of workers."""
    async with working(count=4, turn_messages=5) as house:
        peers = [house.peer() for _ in range(60)]
        for start in range(0, 60, 10):
            for which, peer in enumerate(peers):
                for number in range(start, start + 10):
                    kind = SayAsync if (number + which) % 11 == 0 else Say
                    peer.put(kind(b"%d" % number))
            await trio.lowlevel.checkpoint()
        await eventually(lambda: all(peer.done for peer in peers))

        assert [peer.sent for peer in peers] == [numbered(60)] * 60
        assert house.tally.waiting == 0
        assert (house.crew.ready, house.crew.busy) == (0, 0)


# How many threads


async def test_lanes_run_in_parallel(make_gate: Callable[[], Gate]) -> None:
    """Messages that block in two lanes are inside at the same time."""
    gate = make_gate()
    async with working(count=2) as house:
        one, other = house.peer(), house.peer()
        one.put(Say(b"1", gate.hold))
        other.put(Say(b"2", gate.hold))
        await gate.arrival()
        await gate.arrival()
        assert house.crew.busy == house.crew.busy_threads == 2

        gate.open()
        await eventually(lambda: one.done and other.done)


async def test_threads_are_bounded(gate: Gate) -> None:
    """When all are inside a message, lanes wait; one that gets free takes the next."""
    async with working(count=2) as house:
        peers = [house.peer() for _ in range(4)]
        for peer in peers:
            peer.put(Say(b"x", gate.hold))
        await gate.arrival()
        await gate.arrival()
        await trio.sleep(0.02)  # several times the patience
        assert (house.crew.threads, house.crew.busy, house.crew.ready) == (2, 2, 2)

        gate.open()
        await eventually(lambda: all(peer.done for peer in peers))
        assert house.crew.ready == 0


async def test_message_that_blocks_delays_no_other_lane(gate: Gate) -> None:
    """Another thread comes, whether the others came before or after it."""
    async with working(count=2) as house:
        blocked, others = house.peer(), [house.peer() for _ in range(5)]
        blocked.put(Say(b"x", gate.hold))
        for peer in others[:3]:
            peer.put(Say(b"y"))
        await gate.arrival()
        for peer in others[3:]:
            peer.put(Say(b"y"))
        await eventually(lambda: all(peer.done for peer in others))

        assert blocked.sent == []


async def test_lanes_that_wait_behind_a_turn_are_taken_over(gate: Gate) -> None:
    """A thread that blocks with finished turns behind it holds up neither them nor others."""
    async with working(count=2, **PATIENT | {"patience": 0.01}) as house:
        peers = [house.peer() for _ in range(20)]
        for which, peer in enumerate(peers):
            peer.put(
                *(Say(n) for n in numbered(40)), Say(b"last", gate.hold if which == 9 else bool)
            )
        await eventually(lambda: sum(peer.done for peer in peers) == 19)

        await eventually(lambda: peers[9].sent == numbered(40))


async def test_quick_messages_need_one_thread() -> None:
    """Several would only fight for the interpreter's lock."""
    most = 0
    async with working(**PATIENT) as house:
        peers = [house.peer() for _ in range(50)]
        for _ in range(20):
            for peer in peers:
                peer.put(Say(b"x"))
            await trio.lowlevel.checkpoint()
            most = max(most, house.crew.threads)
        await eventually(lambda: all(peer.done for peer in peers))

        assert most == house.crew.threads == 1


async def test_slow_messages_bring_further_threads() -> None:
    """Though none of them is so slow that its thread looks blocked."""
    most = 0
    async with working(count=4, patience=0.1, turn_seconds=0.0) as house:
        peers = [house.peer() for _ in range(8)]
        for peer in peers:
            peer.put(*(Say(b"x", partial(time.sleep, 0.08)) for _ in range(3)))
        while not all(peer.done for peer in peers):
            most = max(most, house.crew.threads)
            await trio.sleep(0.01)

        assert most >= 3


async def test_thread_that_lingers_takes_the_next_message() -> None:
    """A way into a thread and back costs as much as sixty messages."""
    where: list[int] = []
    async with working(**PATIENT) as house:
        peer = house.peer()
        for _ in range(5):
            peer.put(Say(b"x", lambda: where.append(threading.get_ident())))
            await eventually(lambda: peer.done)
            assert house.crew.threads == 1

    assert len(set(where)) == 1


async def test_idle_thread_leaves_after_its_linger() -> None:
    """And another comes when there is work again."""
    async with working(linger=0.05) as house:
        peer = house.peer()
        for times in (1, 2):
            peer.put(Say(b"x"))
            await eventually(lambda: peer.done)
            await eventually(lambda: house.crew.threads == 0)

            assert len(peer.sent) == times


async def test_thread_without_linger() -> None:
    """Leaves at once, and nothing is lost in between."""
    async with working(linger=0, count=2) as house:
        peer = house.peer()
        for reply in numbered(300):
            peer.put(Say(reply))
            await trio.lowlevel.checkpoint()
        await eventually(lambda: peer.done)

        assert peer.sent == numbered(300)
        await eventually(lambda: house.crew.threads == 0)


async def test_one_thread_lingers(gate: Gate) -> None:
    """Of several that had work, one is kept for the next."""
    async with working(count=4, **PATIENT | {"patience": 0.001}) as house:
        peers = [house.peer() for _ in range(4)]
        for peer in peers:
            peer.put(Say(b"x", gate.hold))
        for _ in peers:
            await gate.arrival()
        gate.open()
        await eventually(lambda: all(peer.done for peer in peers))

        await eventually(lambda: house.crew.threads == 1)


# How many tasks


async def test_async_messages_wait_side_by_side() -> None:
    """Those of many lanes are under way at once, though threads are few."""
    inside, opened = 0, trio.Event()

    async def wait() -> None:
        nonlocal inside
        inside += 1
        await opened.wait()

    async with working(count=1) as house:
        peers = [house.peer() for _ in range(100)]
        for peer in peers:
            peer.put(SayAsync(b"x", wait))
        await eventually(lambda: inside == 100)
        assert house.crew.busy == 100
        assert house.crew.busy_threads == 0

        opened.set()
        await eventually(lambda: all(peer.done for peer in peers))


async def test_tasks_are_bounded() -> None:
    """At the bound, lanes wait; one that gets free takes the next."""
    inside, most, opened = 0, 0, trio.Event()

    async def wait() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await opened.wait()
        inside -= 1

    async with working(tasks=3) as house:
        peers = [house.peer() for _ in range(10)]
        for peer in peers:
            peer.put(SayAsync(b"x", wait))
        await eventually(lambda: inside == 3)
        await trio.sleep(0.02)  # several times the patience
        assert (house.crew.busy, house.crew.ready) == (3, 7)

        opened.set()
        await eventually(lambda: all(peer.done for peer in peers))
        assert most == 3


async def test_tasks_come_and_go() -> None:
    """After a crowd the tasks are few again, and the next crowd is served as well."""
    async with working(tasks=50) as house:
        before = tasks_now()
        for _ in range(3):
            opened = trio.Event()
            peers = [house.peer() for _ in range(60)]
            for peer in peers:
                peer.put(SayAsync(b"x", opened.wait))
            await eventually(lambda: house.crew.busy == 50)
            opened.set()
            await eventually(lambda peers=peers: all(peer.done for peer in peers))  # type: ignore[misc]  # these
            await eventually(lambda: tasks_now() < before + 25)


async def test_async_messages_leave_room_for_other_tasks() -> None:
    """A lane whose messages never wait doesn't keep the Trio thread for itself."""

    async def compute() -> None:
        end = perf_counter() + 0.0001
        while perf_counter() < end:
            pass

    async with working(turn_messages=10) as house:
        peer = house.peer()
        peer.put(*(SayAsync(b"x", compute) for _ in range(500)))
        looks: list[int] = []
        while not peer.done:
            looks.append(peer.lane.executed)
            await trio.lowlevel.checkpoint()

        assert len(set(looks)) >= 3


# Turns


@pytest.mark.parametrize(
    "caps", [{"turn_messages": 10}, {"turn_bytes": 10}, {"turn_seconds": 0}], ids=str
)
@pytest.mark.parametrize("kind", [Say, SayAsync])
async def test_capped_turn_is_followed_by_anothers(
    caps: dict[str, Any], kind: type[Say | SayAsync], make_gate: Callable[[], Gate]
) -> None:
    """A lane with much to do lets a lane with little go between."""
    order: list[bytes] = []

    @define(eq=False)
    class Noted(Peer):
        def flush(self) -> bool:
            order.extend(self.replies)
            return super().flush()

    async with working(count=1, tasks=1, **PATIENT | caps) as house:
        busy, *peers = (Noted(house.crew, house.tally) for _ in range(4))
        busy.put(*(kind(b"busy") for _ in range(300)))
        for peer in peers:
            peer.put(kind(b"quiet"))
        await eventually(lambda: len(order) == 303)

        last = max(index for index, who in enumerate(order) if who == b"quiet")
        assert last < 200


@pytest.mark.parametrize("kind", [Say, SayAsync])
async def test_lanes_take_turns(kind: type[Say | SayAsync]) -> None:
    """Two that always have messages get on together."""
    async with working(count=1, tasks=1, **PATIENT | {"turn_messages": 10}) as house:
        peers = [house.peer() for _ in range(2)]
        for peer in peers:
            peer.put(*(kind(b"x") for _ in range(2000)))
        await eventually(lambda: any(peer.done for peer in peers))

        assert min(peer.lane.executed for peer in peers) > 1000


async def test_replies_do_not_wait_behind_a_message_that_blocks(gate: Gate) -> None:
    """A reply that is there is sent while the lane's next message takes its time."""
    async with working(count=2) as house:
        peer = house.peer()
        peer.put(Say(b"warm"))
        await eventually(lambda: peer.done)
        await trio.sleep(0.06)  # now a thread lingers and nobody looks
        peer.put(Say(b"quick"), Say(b"slow", gate.hold))
        await gate.arrival()

        await eventually(lambda: peer.sent == [b"warm", b"quick"])


async def test_replies_do_not_wait_however_long_all_went_well(gate: Gate) -> None:
    """A lane that is executed for a while, without anything to help, and then blocks."""
    async with working(count=2) as house:
        peer = house.peer()
        work = [Say(b"slow", partial(time.sleep, 0.002)) for _ in range(60)]
        peer.put(*work, Say(b"quick"), Say(b"blocks", gate.hold))
        await gate.arrival()

        await eventually(lambda: peer.sent[-1:] == [b"quick"])


async def test_replies_do_not_wait_behind_an_async_message() -> None:
    """The same in a task."""
    async with working() as house:
        peer = house.peer()
        peer.put(SayAsync(b"warm"))
        await eventually(lambda: peer.done)
        await trio.sleep(0.06)
        peer.put(SayAsync(b"quick"), SayAsync(b"slow", trio.sleep_forever))

        await eventually(lambda: peer.sent == [b"warm", b"quick"])


# Failures, gates, ends


@pytest.mark.parametrize("kind", [Say, SayAsync])
async def test_failure_is_the_owners_to_deal_with(kind: type[Message]) -> None:
    """It is told on the Trio thread, holds the claim, and later messages go on when it wants."""

    def fail() -> None:
        raise ValueError

    async def fail_async() -> None:
        raise ValueError

    failing = Say(b"2", fail) if kind is Say else SayAsync(b"2", fail_async)
    async with working() as house:
        peer = house.peer()
        peer.put(kind(b"1"), failing, kind(b"3"))  # type: ignore[call-arg]  # both take a reply
        await eventually(lambda: peer.done)

        assert peer.sent == [b"1", b"3"]
        ((message, error),) = peer.failures
        assert message is failing
        assert isinstance(error, ValueError)
        assert peer.lane.executed == 3


async def test_what_is_no_message_is_a_failure() -> None:
    """First or later in a lane, it harms nobody else."""
    async with working() as house:
        peer, other = house.peer(), house.peer()
        peer.put("text", Say(b"1"), None, SayAsync(b"2"), 3)
        other.put(Say(b"x"))
        await eventually(lambda: peer.done and other.done)

        assert [message for message, _ in peer.failures] == ["text", None, 3]
        assert peer.sent == [b"1", b"2"]
        assert house.tally.waiting == 0


@pytest.mark.parametrize("kind", [Say, SayAsync])
async def test_gated_lane_waits_for_a_dispatch(kind: type[Say | SayAsync]) -> None:
    """While the gate is closed it keeps its claim and is not executed."""
    async with working(turn_messages=1) as house:
        peer, other = house.peer(), house.peer()
        peer.blocked = True
        peer.put(*map(kind, numbered(3)))
        await eventually(lambda: peer.gates == 1)
        other.put(kind(b"x"))
        await eventually(lambda: other.done)
        assert peer.lane.executed == 1
        assert not peer.done
        assert not peer.lane.claim()

        peer.blocked = False
        house.crew.dispatch(peer.lane)
        await eventually(lambda: peer.done)
        assert peer.sent == numbered(3)


@pytest.mark.parametrize("kind", [Say, SayAsync])
async def test_shut_lane_is_dropped(
    kind: type[Say | SayAsync], make_gate: Callable[[], Gate]
) -> None:
    """What waited in the queue of ready lanes is not executed, and the lane is given back."""
    gate, opened, inside = make_gate(), trio.Event(), trio.Event()

    async def wait() -> None:
        inside.set()
        await opened.wait()

    async with working(count=1, tasks=1) as house:
        first, shut = house.peer(), house.peer()
        if kind is Say:
            first.put(Say(b"x", gate.hold))
            await gate.arrival()
        else:
            first.put(SayAsync(b"x", wait))
            await inside.wait()
        shut.put(*map(kind, numbered(3)))
        shut.lane.shut_down()
        gate.open()
        opened.set()
        await eventually(lambda: first.done and shut.done)

        assert shut.sent == []
        assert (shut.lane.executed, shut.lane.dropped, shut.lane.waiting) == (0, 3, 0)
        assert house.tally.waiting == 0
        assert house.crew.ready == 0


async def test_lane_that_is_shut_in_its_turn(gate: Gate) -> None:
    """The message that runs ends in its own time; the lane is given back with nothing waiting."""
    async with working() as house:
        peer = house.peer()
        peer.put(Say(b"1", gate.hold), *map(Say, numbered(50)))
        await gate.arrival()
        peer.lane.shut_down()
        assert not peer.done
        gate.open()
        await eventually(lambda: peer.done)

        assert peer.lane.waiting == 0
        assert peer.lane.executed + peer.lane.dropped == 51
        assert house.tally.waiting == 0


async def test_cancel_ends_the_async_message() -> None:
    """It counts as dropped, as do those behind it; the worker serves others afterwards."""
    cancelled = trio.Event()

    async def wait() -> None:
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    async with working(tasks=1) as house:
        peer, other = house.peer(), house.peer()
        peer.put(SayAsync(b"1"), SayAsync(b"2", wait), SayAsync(b"3"))
        await eventually(lambda: peer.lane.unexecuted == 2)
        peer.lane.shut_down()
        house.crew.cancel(peer.lane)
        other.put(SayAsync(b"x"))
        await eventually(lambda: peer.done and other.done)

        assert cancelled.is_set()
        assert (peer.lane.executed, peer.lane.dropped, peer.lane.waiting) == (1, 2, 0)
        assert other.sent == [b"x"]
        assert house.tally.waiting == 0


async def test_cancel_ends_no_other_lanes_message() -> None:
    """Only the one that was meant."""
    opened = trio.Event()
    async with working() as house:
        one, other = house.peer(), house.peer()
        one.put(SayAsync(b"1", opened.wait))
        other.put(SayAsync(b"2", opened.wait))
        await eventually(lambda: house.crew.busy == 2)
        one.lane.shut_down()
        house.crew.cancel(one.lane)
        await eventually(lambda: one.done)
        opened.set()
        await eventually(lambda: other.done)

        assert (one.sent, other.sent) == ([], [b"2"])


async def test_cancel_without_an_async_message(gate: Gate) -> None:
    """Idle, waiting or in a thread: nothing happens."""
    async with working(count=1) as house:
        idle, running, waiting = house.peer(), house.peer(), house.peer()
        running.put(Say(b"1", gate.hold))
        await gate.arrival()
        waiting.put(Say(b"2"))
        for peer in (idle, running, waiting):
            house.crew.cancel(peer.lane)
        gate.open()
        await eventually(lambda: running.done and waiting.done)

        assert (running.sent, waiting.sent) == ([b"1"], [b"2"])


async def test_message_that_fails_while_it_is_cancelled() -> None:
    """Whatever it raises in its cleanup stays its own; the crew goes on."""

    async def clumsy() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("in the cleanup")

    async def in_a_nursery() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clumsy)
            await trio.sleep_forever()

    async with working(tasks=1) as house:
        for awaits in (clumsy, in_a_nursery):
            peer, other = house.peer(), house.peer()
            peer.put(SayAsync(b"1", awaits), SayAsync(b"2"))
            await eventually(lambda: house.crew.busy == 1)
            await trio.testing.wait_all_tasks_blocked()
            peer.lane.shut_down()
            house.crew.cancel(peer.lane)
            other.put(SayAsync(b"x"))
            await eventually(lambda peer=peer, other=other: peer.done and other.done)  # type: ignore[misc]  # these

            assert peer.sent == []


async def test_message_that_cancels_itself() -> None:
    """Its own cancel scopes are its own affair."""

    async def brief() -> None:
        with trio.move_on_after(0):
            await trio.sleep_forever()

    async with working() as house:
        peer = house.peer()
        peer.put(SayAsync(b"1", brief), SayAsync(b"2"))
        await eventually(lambda: peer.done)

        assert peer.sent == [b"1", b"2"]
        assert peer.failures == []


async def test_stop_lets_no_turn_begin(gate: Gate) -> None:
    """The message that runs goes on; what waits stays; threads leave."""
    async with working(count=1) as house:
        running, waiting = house.peer(), house.peer()
        running.put(Say(b"1", gate.hold))
        await gate.arrival()
        waiting.put(Say(b"2"))
        await trio.testing.wait_all_tasks_blocked()
        house.crew.stop()
        gate.open()
        await eventually(lambda: house.crew.threads == 0)

        assert waiting.lane.executed == 0


async def test_stop_lets_a_lingering_thread_go() -> None:
    """It doesn't hold up the end for its linger."""
    async with working(linger=3600.0) as house:
        peer = house.peer()
        peer.put(Say(b"x"))
        await eventually(lambda: peer.done)
        assert house.crew.threads == 1
        house.crew.stop()

        await eventually(lambda: house.crew.threads == 0)


async def test_end_of_the_nursery_abandons_a_message_that_blocks(gate: Gate) -> None:
    """A thread inside a message holds up nobody; what it does later harms nobody."""
    with trio.fail_after(5):
        async with working() as house:
            peer = house.peer()
            peer.put(Say(b"x", gate.hold), Say(b"y"))
            await gate.arrival()
            begun = trio.current_time()
        assert trio.current_time() - begun < 2

        gate.open()
        await eventually(lambda: peer.lane.executed)


async def test_counts() -> None:
    """At rest nothing is counted."""
    async with working() as house:
        crew = house.crew
        assert (crew.threads, crew.busy, crew.busy_threads, crew.ready) == (0, 0, 0, 0)

        peer = house.peer()
        peer.put(SayAsync(b"x"))
        assert crew.ready == 1
        await eventually(lambda: peer.done)
        assert (crew.busy, crew.ready) == (0, 0)


# Measured


@pytest.mark.parametrize(
    "caps", [{}, {"turn_messages": 5}, {"turn_bytes": 9}, {"turn_seconds": 0}], ids=str
)
async def test_every_message_is_measured(caps: dict[str, Any]) -> None:
    """Once, whatever executes it and however it ends; and each turn has its wait."""
    meter = Meter()

    def fail() -> None:
        raise ValueError

    async def fail_async() -> None:
        raise ValueError

    async with working(meter, count=4, **caps) as house:
        peers = [house.peer() for _ in range(20)]
        for which, peer in enumerate(peers):
            for number in range(60):
                reply = b"%d" % number
                match (number + which) % 17:
                    case 0:
                        peer.put(Say(reply, fail))
                    case 1:
                        peer.put(SayAsync(reply, fail_async))
                    case 2:
                        peer.put("no message")
                    case 3 | 4 | 5:
                        peer.put(SayAsync(reply))
                    case _:
                        peer.put(Say(reply))
            await trio.lowlevel.checkpoint()
        await eventually(lambda: all(peer.done for peer in peers))
        snapshot = meter.snapshot()

    assert snapshot.executed.count == sum(peer.lane.executed for peer in peers) == 1200
    assert snapshot.turns.count == snapshot.waited.count
    assert snapshot.executed.sum <= snapshot.turns.sum


async def test_wait_for_a_thread_is_measured(clock: Clock, gate: Gate) -> None:
    """From when the lane was queued to the begin of its turn."""
    meter = Meter()
    async with working(meter, count=1) as house:
        first, second = house.peer(), house.peer()
        first.put(Say(b"1", gate.hold))
        await gate.arrival()
        clock.move(2)
        second.put(Say(b"2"))
        await trio.testing.wait_all_tasks_blocked()
        clock.move(7)
        gate.open()
        await eventually(lambda: first.done and second.done)

    waited = meter.snapshot().waited
    assert (waited.counts[0], waited.count, waited.sum) == (1, 2, 7.0)


async def test_wait_for_a_task_is_measured(clock: Clock) -> None:
    """The same."""
    meter, opened = Meter(), trio.Event()
    async with working(meter, tasks=1) as house:
        first, second = house.peer(), house.peer()
        first.put(SayAsync(b"1", opened.wait))
        await eventually(lambda: house.crew.busy == 1)
        clock.move(2)
        second.put(SayAsync(b"2"))
        await trio.testing.wait_all_tasks_blocked()
        clock.move(7)
        opened.set()
        await eventually(lambda: first.done and second.done)

    waited = meter.snapshot().waited
    assert (waited.counts[0], waited.count, waited.sum) == (1, 2, 7.0)


@pytest.mark.parametrize("kind", [Say, SayAsync])
async def test_wait_begins_again_after_each_turn(clock: Clock, kind: type[Say | SayAsync]) -> None:
    """A lane with much to do doesn't wait while it is executed."""
    meter = Meter()

    async def move() -> None:
        clock.move(3)

    does: Any = move if kind is SayAsync else partial(clock.move, 3)
    async with working(meter, turn_messages=1, count=1) as house:
        peer = house.peer()
        peer.put(*(kind(reply, does) for reply in numbered(5)))
        await eventually(lambda: peer.done)

    snapshot = meter.snapshot()
    assert (snapshot.waited.count, snapshot.waited.sum) == (5, 0.0)
    assert (snapshot.turns.sum, snapshot.executed.sum) == (15.0, 15.0)


async def test_gated_lane_does_not_wait_for_a_worker(clock: Clock) -> None:
    """It waits for its peer to read; then it is queued."""
    meter = Meter()
    async with working(meter, turn_messages=1) as house:
        peer = house.peer()
        peer.blocked = True
        peer.put(SayAsync(b"1"), SayAsync(b"2"))
        await eventually(lambda: peer.gates == 1)
        clock.move(50)
        peer.blocked = False
        house.crew.dispatch(peer.lane)
        await eventually(lambda: peer.done)

    assert (meter.snapshot().waited.count, meter.snapshot().waited.sum) == (2, 0.0)


async def test_cut_message_is_not_measured() -> None:
    """It is dropped, not executed; its worker measures the next turn as ever."""
    meter = Meter()
    async with working(meter, tasks=1) as house:
        peer, other = house.peer(), house.peer()
        peer.put(SayAsync(b"1"), SayAsync(b"2", trio.sleep_forever), SayAsync(b"3"))
        await eventually(lambda: peer.lane.unexecuted == 2)
        peer.lane.shut_down()
        house.crew.cancel(peer.lane)
        other.put(SayAsync(b"x"))
        await eventually(lambda: peer.done and other.done)

    snapshot = meter.snapshot()
    assert snapshot.executed.count == peer.lane.executed + other.lane.executed == 2
    assert snapshot.turns.count == 2


async def test_shut_lane_has_no_turn() -> None:
    """What is dropped is not measured."""
    meter = Meter()
    async with working(meter) as house:
        for kind in (Say, SayAsync):
            peer = house.peer()
            peer.put(kind(b"x"))
            peer.lane.shut_down()
            await eventually(lambda peer=peer: peer.done)  # type: ignore[misc]  # binds this one

    assert (meter.snapshot().turns.count, meter.snapshot().waited.count) == (0, 0)


async def test_nothing_is_measured_without_a_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lanes are not marked, and workers have nothing that measures."""
    monkeypatch.delattr("speedo_trio.worker.crew.Laps")
    async with working(turn_messages=1) as house:
        for kind in (Say, SayAsync):
            peer = house.peer()
            peer.put(*map(kind, numbered(3)))
            await eventually(lambda peer=peer: peer.done)  # type: ignore[misc]  # as above

            assert peer.lane.executed == 3
            assert peer.lane.ready_at == 0.0
