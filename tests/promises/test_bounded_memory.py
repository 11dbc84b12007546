"""Promise 2: everything that waits has a bound; at the bound reading stops, nothing is dropped."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from attrs import evolve

from speedo_trio import (
    Cause,
    Connection,
    ConnectionClosed,
    FixedFramer,
    Framer,
    FrameTooLong,
    Limits,
    Message,
    Workers,
)
from tests.promises.apart import serving_apart
from tests.promises.scene import (
    QUICK,
    QUIET,
    Await,
    Blocker,
    Run,
    Script,
    Scripted,
    at_rest,
    echo,
    serving,
    until,
)

MEGABYTE = 1_000_000
LITTLE = 10 * MEGABYTE
"""How far a server's memory may move whatever one peer does."""

REPLY = 4096
"""Bytes of a reply in the tests of the gate."""

GATED = evolve(
    QUICK,
    limits=Limits(lane_messages=50, unsent_high=100_000),
    workers=Workers(turn_bytes=20_000),
)


async def still(count: Callable[[], int]) -> int:
    """Wait until it has not moved for a while; what it then is. A test's deadline is the bound."""
    last = -1
    while last != (now := count()):
        last = now
        await trio.sleep(QUIET)
    return last


def replying(connection: Connection, line: bytes) -> Message:
    """A script of large replies out of threads."""
    return Run(lambda: line.ljust(REPLY, b"."))


def replying_async(connection: Connection, line: bytes) -> Message:
    """A script of large replies out of tasks."""

    async def reply() -> bytes:
        return line.ljust(REPLY, b".")

    return Await(reply)


def writing(connection: Connection, line: bytes) -> Message:
    """A script of messages that write instead of replying."""

    def write() -> None:
        connection.write(line.ljust(REPLY, b".") + b"\n")

    return Run(write)


def failing(connection: Connection, line: bytes) -> Message:
    """A script of messages whose replies are those of `Forgiving.failed`."""

    def fail() -> None:
        raise ValueError(line)

    return Run(fail)


def alternating(connection: Connection, line: bytes) -> Message:
    """A script of all these kinds but one."""
    kinds = (replying, replying_async, failing)
    return kinds[int(line) % 3](connection, line)


class Forgiving(Scripted):
    """Counts its messages, and answers those that fail."""

    count = 0

    def frame(self, line: bytes) -> Message | None:
        type(self).count += 1
        return super().frame(line)

    def failed(self, message: Message, error: BaseException) -> bytes:
        return bytes(error.args[0]).ljust(REPLY, b".")


@pytest.mark.parametrize(
    "script", [replying, replying_async, writing, failing, alternating], ids=lambda it: it.__name__
)
async def test_execution_stops_behind_a_peer_that_does_not_read(script: Script) -> None:
    """Replies wait up to `unsent_high` and a turn; then nothing executes, and then nothing is read.

    When the peer reads at last, it gets every reply.
    """

    class Counting(Forgiving):
        count = 0

    async with serving(script, kind=Counting, config=GATED) as stage:
        peer = await stage.peer(receive_buffer=4096)
        numbers = b"".join(b"%d\n" % number for number in range(10**6))

        async with trio.open_nursery() as flooding:
            flooding.start_soon(peer.send, numbers)
            await still(lambda: stage.server.stats().executed)
            stats = stage.server.stats()
            unsent = stats.executed * (REPLY + 1) - stats.sent
            turn = 50 * (REPLY + 1) if script is writing else 20_000

            assert unsent <= 100_000 + turn + REPLY
            assert stats.waiting <= 50
            assert Counting.count == stats.executed + stats.waiting

            expected = [b"%d" % number for number in range(Counting.count)]
            assert expected == [line.rstrip(b".") for line in await peer.lines(len(expected))]
            flooding.cancel_scope.cancel()
        assert stage.record.failures == []


async def test_a_slow_reader_is_given_no_more_than_it_takes() -> None:
    """Nothing executes before there is room: what waits stays within the bound all the time."""
    async with serving(replying, config=GATED) as stage:
        peer = await stage.peer(receive_buffer=4096)
        async with trio.open_nursery() as flooding:
            flooding.start_soon(peer.send, b"".join(b"%d\n" % number for number in range(10**6)))
            await still(lambda: stage.server.stats().executed)
            read = 0
            while read < 400_000:
                read += len(await peer.stream.receive_some(20_000))
                await trio.sleep(0.001)
                stats = stage.server.stats()
                assert stats.executed * (REPLY + 1) - stats.sent <= 100_000 + 20_000 + REPLY
            flooding.cancel_scope.cancel()


async def test_reading_stops_when_a_lane_is_full(blocker: Blocker) -> None:
    """Behind a message that blocks, a peer's lane takes `lane_messages`, then its bytes wait."""
    config = evolve(QUICK, limits=Limits(lane_messages=10, read_bytes=1000))
    async with serving(lambda *_: Run(blocker), config=config) as stage:
        peer = await stage.peer()
        await peer.flood(b"line\n", most=20 * MEGABYTE)
        stats = stage.server.stats()

        assert stats.waiting <= 10
        assert stats.received <= 2 * 1000


class Blocks(Scripted):
    """A protocol of large frames."""

    def make_framer(self) -> Framer:
        return FixedFramer(10_000)


async def test_reading_stops_at_the_bytes_of_a_lane(blocker: Blocker) -> None:
    """Behind a message that blocks, `lane_bytes` and one read are taken, then bytes wait."""
    config = evolve(QUICK, limits=Limits(lane_bytes=100_000, read_bytes=20_000))
    async with serving(lambda *_: Run(blocker), kind=Blocks, config=config) as stage:
        peer = await stage.peer()
        await peer.flood(bytes(10_000), most=40 * MEGABYTE)

        assert stage.server.stats().received <= 100_000 + 20_000


async def test_all_lanes_together_have_a_bound(blocker: Blocker) -> None:
    """`messages` bounds what waits in all lanes; each has room for one, so none is shut out."""
    config = evolve(QUICK, limits=Limits(messages=20), workers=Workers(count=8))

    def script(connection: Connection, line: bytes) -> Message:
        return Run(blocker) if line == b"block" else echo(connection, line)

    async with serving(script, config=config) as stage:
        for peer in await stage.peers_of(6):
            await peer.send(b"block\n" * 100)
        await blocker.reached(6)
        await still(lambda: stage.server.stats().waiting)

        assert stage.server.stats().waiting <= 20 + 6
        await stage.works()

        blocker.free()
        for peer in stage.peers[:6]:
            assert [b"free"] * 100 == await peer.lines(100)
        assert stage.server.stats().waiting == 0


async def test_slow_readers_do_not_use_up_the_room_of_others() -> None:
    """Lanes that stopped behind slow readers may fill the tally; quiet peers are served."""
    config = evolve(GATED, limits=evolve(GATED.limits, messages=60))

    def script(connection: Connection, line: bytes) -> Message:
        return echo(connection, line) if line.startswith(b"still") else replying(connection, line)

    async with serving(script, config=config) as stage:
        for _ in range(5):
            peer = await stage.peer(receive_buffer=4096)
            stage.nursery.start_soon(peer.send, b"line\n" * 10**6)
        await still(lambda: stage.server.stats().executed)

        assert stage.server.stats().waiting <= 60 + 5
        for _ in range(20):
            await stage.works()


async def test_what_waits_is_forgotten_with_its_connection(blocker: Blocker) -> None:
    """Messages of connections that end before their turn leave nothing behind."""
    config = evolve(QUICK, workers=Workers(count=1))
    async with serving(lambda *_: Run(blocker), config=config) as stage:
        busy, *others = await stage.peers_of(4)
        await busy.send(b"block\n")
        await blocker.reached()
        for peer in others:
            await peer.send(b"wait\n" * 10)
        await until(lambda: stage.server.stats().received == 6 + 3 * 50)
        for peer in others:
            peer.reset()
        await trio.sleep(0.05)  # the server may note it, or note it later
        blocker.free()

        await until(lambda: stage.server.stats().waiting == 0)
        await until(lambda: stage.server.stats().connections == 1)
        assert stage.server.stats().executed == 1
        assert await busy.line() == b"free"
        await at_rest()


async def test_messages_that_are_none_leave_nothing_behind() -> None:
    """What a handler gives by mistake doesn't count as waiting for ever."""

    class Mistaken(Scripted):
        def handle(self, data: bytes) -> list[Message]:
            return [b"no message"] * 10  # type: ignore[list-item]

    async with serving(kind=Mistaken) as stage:
        for _ in range(5):
            peer = await stage.peer()
            await peer.send(b"go")
            assert await peer.ended()
        await until(lambda: not stage.server.connections)

        assert stage.server.stats().waiting == 0


async def test_writing_too_much_ends_that_peer_only() -> None:
    """`write` beyond `unsent_bytes` is False and aborts a peer that slow; others go on."""
    config = evolve(QUICK, limits=Limits(unsent_bytes=200_000))
    async with serving(config=config) as stage:
        slow = await stage.peer(receive_buffer=4096)
        connection = stage.connection(1)
        taken = 0
        while connection.write(bytes(50_000)):
            taken += 50_000
            await trio.lowlevel.checkpoint()
            assert taken < 50 * MEGABYTE
        await until(lambda: stage.record.endings != [])

        assert [Cause.OVERFLOW] == stage.record.causes
        assert not connection.write(b"more")
        slow.close()
        await stage.works()


async def test_one_turns_writes_do_not_end_a_peer_that_reads() -> None:
    """A message's `write` is no overflow while the bytes had no chance to be sent."""

    def script(connection: Connection, line: bytes) -> Message:
        def write() -> None:
            connection.write(bytes(20_000) + b"\n")

        return Run(write)

    async with serving(script) as stage:
        peer = await stage.peer()
        stage.nursery.start_soon(peer.send, b"go\n" * 2000)

        assert [bytes(20_000)] * 2000 == await peer.lines(2000)


async def test_send_waits_for_room() -> None:
    """`send` waits while more than `unsent_high` bytes are unsent, and then goes on."""
    async with serving() as stage:
        peer = await stage.peer(receive_buffer=4096)
        connection = stage.connection(1)
        sent = 0

        async def push() -> None:
            nonlocal sent
            for _ in range(400):
                await connection.send(b"." * 49_999 + b"\n")
                sent += 1

        stage.nursery.start_soon(push)
        await still(lambda: sent)

        assert sent < 200
        assert (sent + 1) * 50_000 - stage.server.stats().sent <= 65_536 + 2 * 50_000
        assert len(await peer.lines(400)) == 400
        assert sent == 400


async def test_send_goes_on_when_the_kernel_took_all() -> None:
    """A `send` after a large `write` waits no longer than until that is sent."""
    async with serving() as stage:
        peer = await stage.peer()
        connection = stage.connection(1)

        assert connection.write(b"." * 100_000 + b"\n")
        await connection.send(b"end\n")

        assert [b"." * 100_000, b"end"] == await peer.lines(2)


async def test_many_senders_wait_for_the_same_room() -> None:
    """Tasks that `send` at once don't all take the same room."""
    config = evolve(QUICK, limits=Limits(unsent_high=10_000, unsent_bytes=100_000))
    async with serving(config=config) as stage:
        peer = await stage.peer(receive_buffer=4096)
        connection = stage.connection(1)
        for _ in range(100):
            stage.nursery.start_soon(connection.send, b"." * 49_999 + b"\n")
        await trio.sleep(QUIET)

        assert len(await peer.lines(100)) == 100
        assert stage.record.endings == []


async def test_send_tells_that_the_connection_is_closed() -> None:
    """A `send` that waits when the connection ends raises `ConnectionClosed`."""
    async with serving() as stage:
        peer = await stage.peer(receive_buffer=4096)
        connection = stage.connection(1)

        async def push() -> None:
            while True:
                await connection.send(bytes(50_000))

        async def told() -> None:
            with pytest.raises(ConnectionClosed):
                await push()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(told)
            await still(lambda: stage.server.stats().sent)
            peer.reset()


async def test_a_giant_reply_arrives_whole() -> None:
    """A reply far larger than every bound is sent as the peer takes it."""
    giant = b"".join(b"%07d." % number for number in range(1_250_000))

    def script(connection: Connection, line: bytes) -> Message:
        return Run(lambda: giant)

    async with serving(script, kind=Unlimited) as stage:
        peer = await stage.peer()
        await peer.send(b"go\n")
        await trio.sleep(QUIET)  # the kernel's buffers are full now

        assert giant == await peer.line()


class Unlimited(Scripted):
    """Lines of any length."""

    limit = 2**30


@pytest.mark.parametrize(
    "line", [b"%d\n", b"big 10000\n", b"fail %s\n" % bytes(1000)], ids=["echo", "large", "failed"]
)
async def test_a_flood_that_nobody_reads_takes_little_memory(line: bytes) -> None:
    """A client that sends for ever and never reads is stopped; the process stays small."""
    data = b"".join(line % number if b"%d" in line else line for number in range(10_000))
    async with serving_apart() as server:
        before = await server.inside()
        flooder = await server.peer(receive_buffer=4096)
        await flooder.flood(data, most=60 * MEGABYTE)
        after = await server.inside()

        assert after.memory - before.memory < LITTLE
        assert after.waiting <= 1024 + 1


@pytest.mark.parametrize("before_it", [b"", b"line\n" * 1000], ids=["alone", "after lines"])
async def test_a_line_without_end_takes_little_memory(before_it: bytes) -> None:
    """A client that never sends a newline is told that its frame is too long."""
    async with serving_apart(short=True) as server:
        before = await server.inside()
        endless = await server.peer()
        await endless.send(before_it)
        with pytest.raises(trio.BrokenResourceError):
            await endless.pour(bytes(10**6))
        after = await server.inside()

        assert after.memory - before.memory < LITTLE
        assert after.connections == before.connections


async def test_a_frame_too_long_is_the_reason() -> None:
    """The connection of an endless line ends as the peer's mistake, after its good lines."""

    class Limited(Scripted):
        limit = 1000

    async with serving(kind=Limited) as stage:
        peer = await stage.peer()
        await peer.send(b"good\n" + bytes(1001))

        assert b"good\n" == await peer.rest()
        await until(lambda: stage.record.endings != [])
        assert [Cause.PROTOCOL_ERROR] == stage.record.causes
        assert isinstance(stage.record.failures[0].reason.error, FrameTooLong)


async def test_many_slow_readers_take_their_bounds_only() -> None:
    """Fifty clients that don't read take fifty times the bounds of one, not more."""
    config = {"unsent_high": 16_384, "lane_messages": 64}
    async with serving_apart(limits=config, workers={"turn_bytes": 16_384}) as server:
        before = await server.inside()
        flooders = [await server.peer(receive_buffer=4096) for _ in range(50)]
        async with trio.open_nursery() as nursery:
            for flooder in flooders:
                nursery.start_soon(flooder.flood, b"big 1000\n" * 1000, MEGABYTE)
        after = await server.inside()

        assert after.memory - before.memory < 50 * 100_000 + LITTLE
