"""Promise 1: messages of a connection execute one after another, and replies keep their order."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import trio
from attrs import define, evolve, field

from speedo_trio import Config, Connection, Limits, Message, Workers
from tests.promises.scene import (
    QUICK,
    Await,
    Blocker,
    Peer,
    Run,
    Scripted,
    after,
    echo,
    serving,
    until,
)

TINY = Limits(lane_messages=2, unsent_high=64, read_bytes=100)
"""Bounds that are hit all the time."""


@define(eq=False)
class Ledger:
    """What executed on one connection, as written down by its messages while they ran."""

    executed: list[int] = field(factory=list)
    running: int = 0
    overlaps: int = 0

    def begin(self, number: int) -> None:
        self.running += 1
        self.overlaps += self.running != 1
        self.executed.append(number)

    def end(self) -> None:
        self.running -= 1


class Mixed:
    """A script: numbered lines become thread and async messages of all tempers, at random."""

    def __init__(self, seed: int, *, slow: bool = True) -> None:
        self.ledgers: dict[int, Ledger] = {}
        self._random = random.Random(seed)
        self._slow = slow

    def __call__(self, connection: Connection, line: bytes) -> Message:
        ledger = self.ledgers.setdefault(connection.id, Ledger())
        number, dice = int(line), self._random.random()
        kinds = (self._thread, self._task)
        return kinds[dice * 1000 % 2 < 1](ledger, number, dice if self._slow else 0.0)

    def _thread(self, ledger: Ledger, number: int, dice: float) -> Message:
        def execute() -> bytes:
            ledger.begin(number)
            if dice > 0.9:
                time.sleep(0)  # let other threads run
            if dice > 0.99:
                time.sleep(0.003)  # longer than a turn
            ledger.end()
            return b"%d" % number

        return Run(execute)

    def _task(self, ledger: Ledger, number: int, dice: float) -> Message:
        async def execute() -> bytes:
            ledger.begin(number)
            if dice > 0.9:
                await trio.lowlevel.checkpoint()
            if dice > 0.99:
                await trio.sleep(0.003)
            ledger.end()
            return b"%d" % number

        return Await(execute)


async def converse(peer: Peer, count: int, seed: int) -> None:
    """Send the numbers in chunks cut anywhere, and see that each comes back in its place."""
    dice = random.Random(seed)
    data = b"".join(b"%d\n" % number for number in range(count))

    async def send() -> None:
        at = 0
        while at < len(data):
            size = dice.choice((1, 7, 64, 1000, 65_536))
            await peer.send(data[at : at + size])
            at += size

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        expected = b"".join(b"%d" % number for number in range(count))
        assert expected == b"".join(await peer.lines(count))


@pytest.mark.parametrize("workers", [1, 4, 16])
@pytest.mark.parametrize(
    ("limits", "turn_messages"),
    [(Limits(), 1024), (TINY, 1024), (Limits(lane_messages=1), 1), (Limits(messages=5), 3)],
    ids=["roomy", "tiny", "one", "shared"],
)
async def test_replies_keep_their_order(workers: int, limits: Limits, turn_messages: int) -> None:
    """Threads and tasks mixed at random, bounds hit or not: every reply is in its place."""
    script = Mixed(seed=workers)
    config = evolve(
        QUICK, limits=limits, workers=Workers(count=workers, turn_messages=turn_messages)
    )
    count, connections = 150, 6

    async with serving(script, config=config) as stage:
        async with trio.open_nursery() as nursery:
            for seed in range(connections):
                nursery.start_soon(converse, await stage.peer(), count, seed)

        for ledger in script.ledgers.values():
            assert list(range(count)) == ledger.executed
            assert ledger.overlaps == 0
        assert connections == len(script.ledgers)
        assert stage.record.failures == []


@pytest.mark.soak
@pytest.mark.parametrize("workers", [1, 4, 16])
async def test_a_million_messages(workers: int, *, soak: bool) -> None:
    """50 connections, all kinds of messages: not one out of order, none lost, none twice.

    By default it is 20,000 messages; ``SPEEDO_SOAK=1 pytest -m soak tests/promises`` takes the
    million.
    """
    count, connections = (20_000 if soak else 400), 50
    script = Mixed(seed=workers, slow=False)
    config = evolve(QUICK, workers=Workers(count=workers))

    async with serving(script, config=config, patience=110) as stage:
        async with trio.open_nursery() as nursery:
            for seed in range(connections):
                nursery.start_soon(converse, await stage.peer(), count, seed)
        for ledger in script.ledgers.values():
            assert list(range(count)) == ledger.executed
            assert ledger.overlaps == 0
        await until(lambda: stage.server.stats().executed == count * connections)
        assert stage.server.stats().waiting == 0


@pytest.mark.parametrize("workers", [1, 4])
async def test_what_a_message_writes_keeps_its_place(workers: int) -> None:
    """`Connection.write` inside a message leaves after earlier replies and before its own."""

    def script(connection: Connection, line: bytes) -> Message:
        def execute() -> bytes:
            assert connection.write(line + b" first\n")
            assert connection.write(line + b" second\n")
            return line + b" reply"

        async def execute_async() -> bytes:
            assert connection.write(line + b" first\n")
            await trio.lowlevel.checkpoint()
            await connection.send(line + b" second\n")
            return line + b" reply"

        return Await(execute_async) if int(line) % 3 == 0 else Run(execute)

    config = evolve(QUICK, limits=TINY, workers=Workers(count=workers))
    async with serving(script, config=config) as stage:
        peer = await stage.peer()
        stage.nursery.start_soon(peer.send, b"".join(b"%d\n" % number for number in range(100)))

        for number in range(100):
            expected = [b"%d %s" % (number, part) for part in (b"first", b"second", b"reply")]
            assert expected == await peer.lines(3)


async def test_what_is_pushed_leaves_after_earlier_replies() -> None:
    """Also when these wait behind a slow reader, in several pieces."""
    huge = b"." * 20_000_000

    class Unlimited(Scripted):
        limit = 2**30

    def script(connection: Connection, line: bytes) -> Message:
        return Run(lambda: huge if line == b"huge" else line)

    config = evolve(QUICK, limits=Limits(unsent_high=2**30, unsent_bytes=2**30))
    async with serving(script, kind=Unlimited, config=config) as stage:
        peer = await stage.peer()
        await peer.send(b"huge\nreply\n")
        await until(lambda: stage.server.stats().executed == 2)
        assert stage.connection(1).write(b"pushed\n")

        assert [huge, b"reply", b"pushed"] == await peer.lines(3)


async def test_writes_of_the_application_keep_their_order() -> None:
    """What one task or thread writes leaves in the order of its calls."""
    async with serving() as stage:
        peer = await stage.peer()
        connection = stage.connection(1)

        def write(who: bytes) -> None:
            for number in range(500):
                assert connection.write(b"%s %d\n" % (who, number))

        async with trio.open_nursery() as nursery:
            for who in (b"a", b"b"):
                nursery.start_soon(trio.to_thread.run_sync, write, who)
            write(b"c")
            lines = [line.split() for line in await peer.lines(1500)]

        for who in (b"a", b"b", b"c"):
            assert list(range(500)) == [int(line[1]) for line in lines if line[0] == who]


class Lazy(Scripted):
    """Gives a hundred messages for any chunk, and counts how many were pulled."""

    pulled = 0

    def handle(self, data: bytes) -> Iterator[Message]:
        for number in range(100):
            type(self).pulled += 1
            message = self.frame(b"%d" % number)
            assert message is not None
            yield message


async def test_a_generator_is_pulled_as_there_is_room(blocker: Blocker) -> None:
    """A handler's generator is not run ahead of what the lane takes, and then runs to its end."""

    class Counted(Lazy):
        pulled = 0

    def script(connection: Connection, line: bytes) -> Message:
        return Run(blocker) if line == b"0" else Run(lambda: line)

    config = evolve(QUICK, limits=Limits(lane_messages=3))
    async with serving(script, kind=Counted, config=config) as stage:
        peer = await stage.peer()
        await peer.send(b"go")
        await blocker.reached()
        await trio.sleep(0.05)  # what would be pulled too early

        assert Counted.pulled <= 1 + 3

        blocker.free()
        assert [b"free", *(b"%d" % number for number in range(1, 100))] == await peer.lines(100)


async def test_callbacks_messages_come_in_the_order_of_the_callbacks() -> None:
    """What `opened` gives comes before what the bytes give, what `eof` gives comes after it."""

    class Polite(Scripted):
        def opened(self) -> list[Message]:
            return [Run(lambda: after(0.01, b"hello")), echo(self.connection, b"you")]

        def eof(self) -> Iterator[Message]:
            for word in (b"good", b"bye"):
                yield echo(self.connection, word)

    config = evolve(QUICK, limits=Limits(lane_messages=1))
    async with serving(kind=Polite, config=config) as stage:
        peer = await stage.peer()
        await peer.send(b"1\n2\n3\n")
        await peer.end()

        assert b"hello\nyou\n1\n2\n3\ngood\nbye\n" == await peer.rest()


def meeting_of_threads(size: int) -> Callable[[Connection, bytes], Message]:
    """A script whose messages only end when `size` of them run at once."""
    barrier = threading.Barrier(size)
    return lambda connection, line: Run(lambda: b"%d" % barrier.wait(10))


def meeting_of_tasks(size: int) -> Callable[[Connection, bytes], Message]:
    """The same, for async messages."""
    arrived = 0
    complete = trio.Event()

    async def arrive() -> bytes:
        nonlocal arrived
        arrived += 1
        if arrived == size:
            complete.set()
        await complete.wait()
        return b"met"

    return lambda connection, line: Await(arrive)


@pytest.mark.parametrize("meeting", [meeting_of_threads, meeting_of_tasks])
async def test_connections_run_in_parallel(
    meeting: Callable[[int], Callable[[Connection, bytes], Message]],
) -> None:
    """As many messages as there are workers run at once, each on its own connection."""
    config = evolve(QUICK, workers=Workers(count=4))
    async with serving(meeting(4), config=config) as stage:
        peers = await stage.peers_of(4)
        for peer in peers:
            await peer.send(b"arrive\n")
        for peer in peers:
            assert await peer.line()


async def test_a_connection_never_runs_two_messages_at_once(blocker: Blocker) -> None:
    """However many workers are idle, a message waits for the one before it."""

    def script(connection: Connection, line: bytes) -> Message:
        return Run(blocker)

    async with serving(script, config=Config(workers=Workers(count=8))) as stage:
        peer = await stage.peer()
        await peer.send(b"1\n2\n")
        await blocker.reached()
        await peer.send(b"3\n" * 100)
        await trio.sleep(0.05)  # what would run too early

        assert blocker.inside == 1
