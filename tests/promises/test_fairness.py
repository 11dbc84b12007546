"""Promise 3: a noisy peer can't starve a quiet one, nor a message that blocks another lane."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import pytest
import trio
import trio.testing
from attrs import evolve

from speedo_trio import Connection, Message, Reply, Workers
from tests.promises.apart import serving_apart
from tests.promises.scene import (
    DOZE,
    QUICK,
    Await,
    Blocker,
    Peer,
    Run,
    echo,
    echo_async,
    serving,
    until,
)

SOON = 0.5
"""Seconds that are soon on a busy machine, and far from for ever."""


class Actions:
    """A script of lines: ``block`` blocks a thread, ``wait`` a task; others are echoed.

    ``async …`` is echoed by a task, the rest by a thread.
    """

    def __init__(self, blocker: Blocker) -> None:
        self.blocker = blocker
        self.waiting = 0

    def __call__(self, connection: Connection, line: bytes) -> Message:
        if line == b"block":
            return Run(self.blocker)
        if line == b"wait":
            return Await(self._wait)
        if line.startswith(b"async"):
            return echo_async(connection, line)
        return echo(connection, line)

    async def _wait(self) -> bytes:
        self.waiting += 1
        await trio.sleep_forever()
        raise AssertionError


async def answers_soon(peer: Peer, line: bytes) -> None:
    """See that the peer gets its answer, which is the line, before a blocked message could end."""
    with trio.fail_after(SOON):
        assert line == await peer.line()


async def ask(peer: Peer, line: bytes) -> None:
    """Send a line, and see that its answer comes soon."""
    await peer.send(line + b"\n")
    await answers_soon(peer, line)


@pytest.mark.parametrize("workers", [2, 4, 16])
async def test_blocked_threads_delay_nobody_while_one_is_free(
    workers: int, blocker: Blocker
) -> None:
    """With all threads but one inside messages that block, others are served, again and again."""
    config = evolve(QUICK, workers=Workers(count=workers))
    async with serving(Actions(blocker), config=config) as stage:
        for peer in await stage.peers_of(workers - 1):
            await peer.send(b"block\n")
        for peer in await stage.peers_of(3):
            for number in range(10):
                await ask(peer, b"%d" % number)
        assert blocker.inside == workers - 1


async def test_blocked_threads_delay_no_task(blocker: Blocker) -> None:
    """With every thread blocked, async messages are executed."""
    config = evolve(QUICK, workers=Workers(count=2))
    async with serving(Actions(blocker), config=config) as stage:
        for peer in await stage.peers_of(2):
            await peer.send(b"block\n")
        await blocker.reached(2)
        await ask(await stage.peer(), b"async")


async def test_blocked_tasks_delay_nobody_while_one_is_free(blocker: Blocker) -> None:
    """With all worker tasks but one waiting, async messages are executed, and thread messages."""
    actions = Actions(blocker)
    config = evolve(QUICK, workers=Workers(count=4))
    async with serving(actions, config=config) as stage:
        for peer in await stage.peers_of(3):
            await peer.send(b"wait\n")
        await until(lambda: actions.waiting == 3)
        peer = await stage.peer()
        for number in range(10):
            await ask(peer, b"async %d" % number)
            await ask(peer, b"%d" % number)


@pytest.mark.parametrize("workers", [2, 16])
async def test_a_lane_that_comes_with_a_blocking_one_is_taken_by_another(
    workers: int, blocker: Blocker
) -> None:
    """A rested server gets a message that blocks and others at once: only the one is blocked."""
    config = evolve(QUICK, workers=Workers(count=workers))
    async with serving(Actions(blocker), config=config) as stage:
        peers = await stage.peers_of(6)
        for number, peer in enumerate(peers):
            await ask(peer, b"warm up %d" % number)
        await trio.sleep(DOZE)

        for peer in peers[:3]:
            peer.send_nowait(b"quick\n")
        (await stage.peer()).send_nowait(b"block\n")
        for peer in peers[3:]:
            peer.send_nowait(b"quick\n")

        for peer in peers:
            await answers_soon(peer, b"quick")


@pytest.mark.parametrize("rested", [False, True], ids=["new", "rested"])
@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize(
    ("quick", "slow"),
    [(b"quick", b"block"), (b"async", b"block"), (b"async", b"wait"), (b"quick", b"wait")],
    ids=lambda it: it.decode(),
)
async def test_replies_leave_before_a_later_message_ends(
    quick: bytes, slow: bytes, workers: int, blocker: Blocker, *, rested: bool
) -> None:
    """Pipelined behind one another, the quick messages' replies don't wait for the slow one."""
    config = evolve(QUICK, workers=Workers(count=workers))
    async with serving(Actions(blocker), config=config) as stage:
        peer = await stage.peer()
        if rested:
            await ask(peer, b"warm up")
            await ask(peer, b"async")
            await trio.sleep(DOZE)
        await peer.send(quick + b"\n" + quick + b"\n" + slow + b"\n")

        await answers_soon(peer, quick)
        await answers_soon(peer, quick)


async def test_replies_between_two_messages_that_block() -> None:
    """The reply after a long wait doesn't wait for the next long one."""
    first, second = Blocker(), Blocker()

    def script(connection: Connection, line: bytes) -> Message:
        by_line = {b"first": Run(first), b"second": Run(second)}
        return by_line.get(line) or echo(connection, line)

    async with serving(script) as stage:
        peer = await stage.peer()
        await peer.send(b"first\nquick\nsecond\n")
        await first.reached()
        await trio.sleep(DOZE)
        first.free()
        try:
            await answers_soon(peer, b"free")
            await answers_soon(peer, b"quick")
        finally:
            second.free()


async def test_what_a_message_writes_leaves_before_it_ends() -> None:
    """`Connection.write` inside a message that blocks, or awaits for long, is sent at once."""
    blocker = Blocker()

    def script(connection: Connection, line: bytes) -> Message:
        def write() -> Reply:
            connection.write(b"progress\n")
            return blocker()

        async def write_async() -> Reply:
            connection.write(b"progress\n")
            await trio.sleep_forever()
            raise AssertionError

        return Run(write) if line == b"thread" else Await(write_async)

    async with serving(script) as stage:
        for line in (b"thread\n", b"task\n"):
            peer = await stage.peer()
            await peer.send(line)
            await answers_soon(peer, b"progress")
        blocker.free()


@pytest.mark.parametrize("kind", [b"", b"async "], ids=["threads", "tasks"])
async def test_a_pipeline_behind_a_blocked_lane_is_served_whole(
    kind: bytes, blocker: Blocker
) -> None:
    """Many lanes with much to do come with lanes that block: all but those are finished."""
    config = evolve(QUICK, workers=Workers(count=4, turn_messages=16))
    async with serving(Actions(blocker), config=config) as stage:
        peers = await stage.peers_of(10)
        lines = [kind + b"%d" % number for number in range(200)]
        for peer in (*peers, *await stage.peers_of(2)):
            ask_all = b"".join(line + b"\n" for line in lines)
            peer.send_nowait(ask_all if peer in peers else b"block\n" if not kind else b"wait\n")
        with trio.fail_after(2 * SOON):
            for peer in peers:
                assert lines == await peer.lines(200)


def busy_for(seconds: float) -> None:
    """Keep the interpreter busy."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@pytest.mark.parametrize("tasks", [False, True], ids=["threads", "tasks"])
@pytest.mark.parametrize(
    ("workers", "cost", "most"),
    [
        (Workers(count=1, tasks=1, turn_messages=10), lambda: None, 10),
        (Workers(count=1, tasks=1, turn_bytes=7_000), lambda: bytes(2500), 3),
        (Workers(count=1, tasks=1, turn_seconds=0.002), lambda: busy_for(0.001), 3),
    ],
    ids=["messages", "bytes", "seconds"],
)
async def test_a_turn_is_capped(
    workers: Workers, cost: Callable[[], Reply], most: int, *, tasks: bool
) -> None:
    """Two lanes with much to do share the one worker there is, turn by turn."""
    log: list[bytes] = []
    blocker, go = Blocker(), trio.Event()

    def script(connection: Connection, line: bytes) -> Message:
        def execute() -> Reply:
            log.append(line)
            return cost()

        async def execute_async() -> Reply:
            return execute()

        async def wait() -> None:
            await go.wait()

        if line == b"first":
            return Await(wait) if tasks else Run(blocker)
        return Await(execute_async) if tasks else Run(execute)

    config = evolve(QUICK, workers=workers)
    async with serving(script, config=config) as stage:
        await (await stage.peer()).send(b"first\n")
        one, other = await stage.peers_of(2)
        await one.send(b"1\n" * 100)
        await other.send(b"2\n" * 100)
        await until(lambda: stage.server.stats().received == 6 + 2 * 200)
        await trio.testing.wait_all_tasks_blocked()  # both lanes are ready
        go.set()
        blocker.free()
        await until(lambda: len(log) == 200)

        turns = [len(list(turn)) for _, turn in itertools.groupby(log)]
        assert max(turns[:-1]) <= most


@pytest.mark.parametrize("tasks", [False, True], ids=["threads", "tasks"])
async def test_a_turn_ends_in_time_when_messages_become_slow(*, tasks: bool) -> None:
    """However quick a lane's first messages were, its turn's time is up in a slow one."""
    log: list[bytes] = []
    blocker, go = Blocker(), trio.Event()

    def script(connection: Connection, line: bytes) -> Message:
        def execute() -> Reply:
            log.append(line)
            if line == b"slow":
                busy_for(0.01)
            return None

        async def execute_async() -> Reply:
            return execute()

        async def wait() -> None:
            await go.wait()

        if line == b"first":
            return Await(wait) if tasks else Run(blocker)
        return Await(execute_async) if tasks else Run(execute)

    config = evolve(QUICK, workers=Workers(count=1, tasks=1))
    async with serving(script, config=config) as stage:
        first, changing, quick = await stage.peers_of(3)
        await first.send(b"first\n")
        await changing.send(b"quick\n" * 100 + b"slow\n" * 40)
        await until(lambda: stage.server.stats().received == 6 + 600 + 200)
        await trio.testing.wait_all_tasks_blocked()  # the lane is ready
        await quick.send(b"other\n" * 140)
        await until(lambda: stage.server.stats().received == 6 + 600 + 200 + 840)
        await trio.testing.wait_all_tasks_blocked()
        go.set()
        blocker.free()
        await until(lambda: len(log) == 280)

        assert log[: log.index(b"other")].count(b"slow") <= 1


async def ping(peer: Peer, times: int) -> list[float]:
    """Ask for a line so often; how long each answer took, the shortest first."""
    taken = []
    for number in range(times):
        began = time.perf_counter()
        await peer.send(b"%d\n" % number)
        assert await peer.line() == b"%d" % number
        taken.append(time.perf_counter() - began)
        await trio.sleep(0.002)
    return sorted(taken)


@pytest.mark.alone
@pytest.mark.parametrize("kind", [b"", b"async "], ids=["threads", "tasks"])
async def test_a_quiet_client_beside_floods_is_answered_in_time(kind: bytes) -> None:
    """While four clients send all they can, and read it, a fifth waits little for its answers.

    The bound is that of a busy machine; benchmarks/ has the strict one.
    """
    async with serving_apart() as server, trio.open_nursery() as nursery:
        for _ in range(4):
            loud = await server.peer()
            nursery.start_soon(loud.pour, (kind + b"." * 58 + b"\n") * 1000)
            nursery.start_soon(drink, loud)
        taken = await ping(await server.peer(), 200)
        nursery.cancel_scope.cancel()

        assert taken[-3] < 0.1  # 99 of 100


async def drink(peer: Peer) -> None:
    """Read all that comes."""
    while await peer.stream.receive_some(2**18):
        pass


async def test_a_quiet_client_beside_slow_messages_is_answered_in_time() -> None:
    """While clients keep the workers busy with slow messages, others get their turns."""

    def script(connection: Connection, line: bytes) -> Message:
        return Run(lambda: time.sleep(0.005)) if line == b"slow" else echo(connection, line)

    config = evolve(QUICK, workers=Workers(count=4))
    async with serving(script, config=config) as stage:
        for loud in await stage.peers_of(6):
            stage.nursery.start_soon(loud.pour, b"slow\n" * 100)
        taken = await ping(await stage.peer(), 50)

        assert taken[-1] < SOON
