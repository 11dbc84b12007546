"""Promise 5: ``closed(reason)`` exactly once for every handler that was made, on every path."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

import pytest
import trio
import trio.testing
from attrs import evolve

from speedo_trio import (
    Cause,
    CloseReason,
    Connection,
    ConnectionLost,
    FrameTooLong,
    Limits,
    Message,
    ProtocolError,
    ServerClosed,
    Timeouts,
    Workers,
    shared,
)
from tests.promises.scene import (
    QUICK,
    QUIET,
    Await,
    Blocker,
    Record,
    Run,
    Scripted,
    Stage,
    echo,
    serving,
    until,
)


async def ends_with(cause: Cause, stage: Stage) -> CloseReason:
    """See that the first connection is told of its end once, for this cause; the reason."""
    await until(lambda: stage.record.endings != [])
    await trio.sleep(0.02)  # what would tell it again
    (reason,) = stage.record.ends(1)
    assert reason.cause is cause
    return reason


async def test_the_peer_ends_its_stream() -> None:
    """EOF, after the last reply."""
    async with serving() as stage:
        peer = await stage.peer()
        await peer.send(b"line\n")
        await peer.end()
        assert await peer.rest() == b"line\n"
        await ends_with(Cause.EOF, stage)


async def test_the_peer_vanishes() -> None:
    """A reset is a loss, and no failure to report."""
    async with serving() as stage:
        peer = await stage.peer()
        await peer.send(b"line\n")
        await peer.line()
        peer.reset()
        reason = await ends_with(Cause.LOST, stage)
        assert isinstance(reason.error, ConnectionLost)
        assert stage.record.failures == []


async def test_the_peer_vanishes_while_it_is_written_to() -> None:
    """A loss seen by the writer is told as one that is seen by the reader."""
    async with serving() as stage:
        peer = await stage.peer(receive_buffer=4096)
        connection = stage.connection(1)
        written = 0
        while written <= stage.server.stats().sent:
            assert connection.write(bytes(100_000))
            written += 100_000
            await trio.sleep(0.005)
        peer.reset()
        await ends_with(Cause.LOST, stage)


async def test_the_peer_vanishes_after_its_end(blocker: Blocker) -> None:
    """A peer that has ended its side, and is gone when its reply is ready, is a loss."""
    async with serving(lambda *_: Run(blocker)) as stage:
        peer = await stage.peer()
        await peer.send(b"line\n")
        await peer.end()
        await blocker.reached()
        await trio.sleep(0.02)  # the end has been read
        peer.reset()
        await trio.sleep(0.02)
        blocker.free()
        await ends_with(Cause.LOST, stage)


Step = Callable[[Connection], None]


def close(connection: Connection) -> None:
    """End it in good order."""
    connection.close()


def abort(connection: Connection) -> None:
    """End it at once."""
    connection.abort()


STEPS = pytest.mark.parametrize(
    ("step", "cause"), [(close, Cause.CLOSED), (abort, Cause.ABORTED)], ids=["close", "abort"]
)


@STEPS
@pytest.mark.parametrize("place", ["factory", "opened", "handle", "generator", "eof"])
async def test_the_handler_ends_it(step: Step, cause: Cause, place: str) -> None:
    """`close` and `abort`, called in any callback."""

    class Ending(Scripted):
        def __init__(self, connection: Connection, script: object, record: Record) -> None:
            super().__init__(connection, echo, record)
            self.at("factory")

        def at(self, here: str) -> None:
            if place == here:
                step(self.connection)

        def opened(self) -> None:
            self.at("opened")

        def handle(self, data: bytes) -> Iterator[Message]:
            self.at("handle")
            yield echo(self.connection, b"one")
            self.at("generator")
            yield echo(self.connection, b"two")

        def eof(self) -> None:
            self.at("eof")

    async with serving(kind=Ending) as stage:
        peer = await stage.peer()
        try:
            await peer.send(b"go")
            await peer.end()
        except (OSError, trio.BrokenResourceError):
            pass
        await ends_with(cause, stage)
        if step is close and place not in ("factory", "opened"):
            assert await peer.rest() == b"one\ntwo\n"


@STEPS
@pytest.mark.parametrize("tasks", [False, True], ids=["thread", "task"])
async def test_a_message_ends_it(step: Step, cause: Cause, *, tasks: bool) -> None:
    """`close` executes and answers what was received, `abort` drops it."""
    executed: list[bytes] = []

    def script(connection: Connection, line: bytes) -> Message:
        def execute() -> bytes:
            executed.append(line)
            if line == b"end":
                step(connection)
            return line

        async def execute_async() -> bytes:
            return execute()

        return Await(execute_async) if tasks else Run(execute)

    async with serving(script) as stage:
        peer = await stage.peer()
        await peer.send(b"1\nend\n2\n3\n")
        await ends_with(cause, stage)

        if step is close:
            assert await peer.rest() == b"1\nend\n2\n3\n"
        assert executed == ([b"1", b"end", b"2", b"3"] if step is close else [b"1", b"end"])


@STEPS
async def test_the_application_ends_it(step: Step, cause: Cause) -> None:
    """From outside of any callback, and from a foreign thread."""
    async with serving() as stage:
        await stage.peer()
        await trio.to_thread.run_sync(step, stage.connection(1))
        await ends_with(cause, stage)


@STEPS
async def test_ending_it_twice(step: Step, cause: Cause, blocker: Blocker) -> None:
    """Whatever else ends it afterwards, and in ``closed`` itself: it is told once."""

    class Again(Scripted):
        def closed(self, reason: CloseReason) -> None:
            super().closed(reason)
            self.connection.close()
            self.connection.abort()
            assert not self.connection.write(b"too late")

    async with serving(lambda *_: Run(blocker), kind=Again) as stage:
        peer = await stage.peer()
        await peer.send(b"block\n")
        await blocker.reached()
        connection = stage.connection(1)
        for _ in range(3):
            step(connection)
        await trio.sleep(0.01)
        blocker.free()
        peer.close()
        await ends_with(cause, stage)


async def test_the_peer_breaks_the_protocol() -> None:
    """The error is the reason's."""

    class Short(Scripted):
        limit = 10

    async with serving(kind=Short) as stage:
        peer = await stage.peer()
        await peer.send(b"." * 11)
        reason = await ends_with(Cause.PROTOCOL_ERROR, stage)
        assert isinstance(reason.error, FrameTooLong)


async def test_a_message_raises() -> None:
    """The error is the reason's."""

    def script(connection: Connection, line: bytes) -> Message:
        return Run(lambda: b"%d" % (1 // 0))

    async with serving(script) as stage:
        peer = await stage.peer()
        await peer.send(b"line\n")
        reason = await ends_with(Cause.HANDLER_ERROR, stage)
        assert isinstance(reason.error, ZeroDivisionError)


async def test_a_message_raises_after_the_peer_has_ended_its_stream(blocker: Blocker) -> None:
    """What costs replies is the reason, not what merely ended the reading."""

    def script(connection: Connection, line: bytes) -> Message:
        return Run(lambda: blocker() + b"%d" % (1 // 0))

    async with serving(script) as stage:
        peer = await stage.peer()
        await peer.send(b"bad\nnever\n")
        await peer.end()
        await blocker.reached()
        await trio.sleep(0.02)  # the end has been read
        blocker.free()
        await ends_with(Cause.HANDLER_ERROR, stage)


@pytest.mark.alone
async def test_idle() -> None:
    """Nothing received, sent or executed for the timeout; seen a quarter late at most."""
    config = evolve(QUICK, timeouts=Timeouts(idle=0.2, linger=0.1))
    async with serving(config=config) as stage:
        peer = await stage.peer()
        for _ in range(5):
            await trio.sleep(0.1)
            await peer.send(b"line\n")
            await peer.line()
        assert stage.record.endings == []
        began = trio.current_time()
        assert await peer.rest() == b""
        assert 0.19 <= trio.current_time() - began < 0.25 + 0.3
        peer.close()
        await ends_with(Cause.IDLE, stage)


async def test_a_message_is_not_idleness(blocker: Blocker) -> None:
    """While a message executes the connection is not idle."""
    config = evolve(QUICK, timeouts=Timeouts(idle=0.1, linger=0.1))
    async with serving(lambda *_: Run(blocker), config=config) as stage:
        peer = await stage.peer()
        await peer.send(b"block\n")
        await trio.sleep(0.5)
        assert stage.record.endings == []
        blocker.free()
        await peer.send(b"more\n")
        assert await peer.lines(2) == [b"free", b"free"]


SLOW = evolve(QUICK, timeouts=Timeouts(write=0.3, linger=0.1), limits=Limits(unsent_high=1000))


def flood(connection: Connection, line: bytes) -> Message:
    """A script that answers with more than the kernel takes."""
    return Run(lambda: bytes(20_000_000) if line == b"much" else line)


@pytest.mark.parametrize("half", [False, True], ids=["open", "after its end"])
async def test_a_peer_that_takes_nothing(*, half: bool) -> None:
    """WRITE_TIMEOUT, after the peer took no byte for so long, also when it has ended its side."""

    class Unlimited(Scripted):
        limit = 2**30

    async with serving(flood, kind=Unlimited, config=SLOW) as stage:
        peer = await stage.peer(receive_buffer=4096)
        await peer.send(b"much\nmore\n")
        if half:
            await peer.end()
        await ends_with(Cause.WRITE_TIMEOUT, stage)


async def test_a_peer_that_takes_little_is_left_alone() -> None:
    """Who takes some bytes now and then is slow, not stuck."""

    class Unlimited(Scripted):
        limit = 2**30

    async with serving(flood, kind=Unlimited, config=SLOW) as stage:
        peer = await stage.peer()
        await peer.send(b"much\n")
        for _ in range(10):
            await trio.sleep(0.1)
            await peer.stream.receive_some(1_500_000)
        assert stage.record.endings == []


async def test_a_stream_that_takes_little_is_left_alone() -> None:
    """The same over a stream of the application, whose `send_all` tells nothing in between."""

    class Unlimited(Scripted):
        limit = 2**30

    def script(connection: Connection, line: bytes) -> Message:
        return Run(lambda: bytes(2_000_000))

    async with serving(script, kind=Unlimited, config=SLOW) as stage:
        client, stream = trio.testing.lockstep_stream_pair()
        stage.nursery.start_soon(stage.server.serve_stream, stream)
        await client.send_all(b"line\n")
        for _ in range(10):
            await trio.sleep(0.1)
            assert await client.receive_some(100_000)
        assert stage.record.endings == []


async def test_too_much_is_written() -> None:
    """OVERFLOW."""
    config = evolve(QUICK, limits=Limits(unsent_bytes=1000))
    async with serving(config=config) as stage:
        await stage.peer()
        assert not stage.connection(1).write(bytes(1001))
        await ends_with(Cause.OVERFLOW, stage)


async def test_drained() -> None:
    """DRAINED, whether there is something left to do or not."""
    async with serving(config=QUICK) as stage:
        peer = await stage.peer()
        stage.nursery.start_soon(stage.server.drain)
        assert await peer.rest() == b""
        peer.close()
        await ends_with(Cause.DRAINED, stage)


@pytest.mark.parametrize("what", ["thread", "task", "slow reader", "full lane"])
async def test_the_grace_is_over(what: str, blocker: Blocker) -> None:
    """GRACE_OVER for those that were cut off, be it in a message or with replies unsent."""

    async def wait() -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    class Unlimited(Scripted):
        limit = 2**30

    def script(connection: Connection, line: bytes) -> Message:
        if what == "slow reader":
            return flood(connection, b"much")
        return Await(wait) if what == "task" else Run(blocker)

    config = evolve(QUICK, limits=Limits(lane_messages=2))
    async with serving(script, kind=Unlimited, config=config) as stage:
        peer = await stage.peer(receive_buffer=4096)
        await peer.send(b"line\n" * (1 if what != "full lane" else 10))
        if what in ("thread", "full lane"):
            await blocker.reached()
        else:
            await trio.sleep(QUIET)
        await stage.server.drain(0.2, 0.2)
        await ends_with(Cause.GRACE_OVER, stage)


@pytest.mark.alone
async def test_stopped(blocker: Blocker) -> None:
    """The hard stop tells every connection, those inside a message too."""

    async def wait() -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    def script(connection: Connection, line: bytes) -> Message:
        return {b"block": Run(blocker), b"wait": Await(wait)}.get(line) or echo(connection, line)

    async with serving(script) as stage:
        peers = await stage.peers_of(4)
        for peer, line in zip(peers, (b"block\n", b"wait\n", b"line\n", b""), strict=True):
            await peer.send(line)
        await blocker.reached()
        await peers[2].line()
        began = trio.current_time()
        stage.scope.cancel()
        await stage.stopped.wait()

        assert trio.current_time() - began < 0.5 + 0.2
        assert [1, 2, 3, 4] == sorted(number for number, _ in stage.record.endings)
        assert {Cause.STOPPED} == set(stage.record.causes)


async def test_serve_stream_is_cancelled() -> None:
    """The stream's connection is aborted, the server goes on."""
    async with serving() as stage:
        client, stream = trio.testing.memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.server.serve_stream, stream)
            await client.send_all(b"line\n")
            assert await client.receive_some() == b"line\n"
            nursery.cancel_scope.cancel()
        await ends_with(Cause.ABORTED, stage)
        await stage.works()


async def test_serve_stream_returns_after_the_end() -> None:
    """When it returns, the handler has been told."""
    async with serving() as stage:
        client, stream = trio.testing.memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.server.serve_stream, stream)
            await client.send_all(b"line\n")
            await client.send_eof()
            assert await client.receive_some() == b"line\n"
        assert [Cause.EOF] == stage.record.causes


async def test_a_connection_that_the_drain_accepts() -> None:
    """Who waited in the kernel when the drain began is served, drained and told."""
    async with serving() as stage:
        stage.server.pause()
        peer = await stage.peer(accepted=False)
        await peer.send(b"line\n")
        stage.nursery.start_soon(stage.server.drain)
        assert await peer.rest() == b"line\n"
        peer.close()
        await ends_with(Cause.DRAINED, stage)


async def test_no_handler_no_ending() -> None:
    """A factory that raises has made no handler, and `ServerClosed` makes none."""

    class Refusing(Scripted):
        def __init__(self, connection: Connection, script: object, record: Record) -> None:
            raise ProtocolError("not from there")

    async with serving(kind=Refusing) as stage:
        assert await (await stage.peer()).ended()
        await stage.server.drain(0.1)
        client, stream = trio.testing.memory_stream_pair()
        with pytest.raises(ServerClosed):
            await stage.server.serve_stream(stream)
        assert await client.receive_some() == b""
        assert stage.record.endings == []


async def test_a_handler_that_is_falsy() -> None:
    """A handler may have a length, and be empty: it is the connection's one handler."""

    class Empty(Scripted):
        def __len__(self) -> int:
            return 0

    async with serving(kind=Empty) as stage:
        peer = await stage.peer()
        stage.nursery.start_soon(stage.server.drain)
        await peer.rest()
        peer.close()
        await stage.stopped.wait()
        assert stage.record.made == [1]
        await ends_with(Cause.DRAINED, stage)


async def test_a_shared_handler() -> None:
    """It is told of each connection that ends."""
    record = Record()

    class Nowhere:
        id = 0

    handler = Scripted(Nowhere(), echo, record)  # type: ignore[arg-type]  # it has no connection
    async with serving(factory=shared(handler)) as stage:
        for peer in await stage.peers_of(3):
            peer.close()
        await until(lambda: len(record.endings) == 3)


@pytest.mark.parametrize("how", ["reset", "abort", "close", "overflow"])
async def test_closed_waits_for_a_message_in_a_thread(how: str, blocker: Blocker) -> None:
    """None of the connection's messages runs any more when the handler is told."""
    config = evolve(QUICK, limits=Limits(unsent_bytes=1000))
    async with serving(lambda *_: Run(blocker), config=config) as stage:
        peer = await stage.peer()
        await peer.send(b"block\n")
        await blocker.reached()
        connection = stage.connection(1)
        if how == "reset":
            peer.reset()
        elif how == "overflow":
            connection.write(bytes(2000))
        else:
            (abort if how == "abort" else close)(connection)
        await trio.sleep(0.05)

        assert stage.record.endings == []
        blocker.free()
        await until(lambda: stage.record.endings != [])
        assert blocker.done == 1


@pytest.mark.parametrize("how", ["reset", "abort", "drain", "stop"])
async def test_closed_waits_for_a_message_in_a_task(how: str) -> None:
    """An async message is cancelled, and may clean up, before the handler is told."""
    story: list[str] = []
    inside = trio.Event()

    async def execute() -> bytes:
        try:
            inside.set()
            await trio.sleep_forever()
        finally:
            with trio.move_on_after(1, shield=True):
                for _ in range(5):
                    await trio.lowlevel.checkpoint()
            story.append("cleaned up")
        raise AssertionError

    class Telling(Scripted):
        def closed(self, reason: CloseReason) -> None:
            super().closed(reason)
            story.append("closed")

    async with serving(lambda *_: Await(execute), kind=Telling) as stage:
        peer = await stage.peer()
        await peer.send(b"go\n")
        await inside.wait()
        if how == "reset":
            peer.reset()
        elif how == "abort":
            stage.connection(1).abort()
        elif how == "drain":
            await stage.server.drain(0.05, 0.5)
        else:
            stage.scope.cancel()
        await until(lambda: len(story) == 2)

        assert story == ["cleaned up", "closed"]


async def test_any_end_of_many() -> None:
    """Two hundred connections that end in any way at any time, and a hard stop: each told once."""
    dice = random.Random(5)

    async def wait() -> bytes:
        await trio.sleep(dice.random() / 20)
        return b"waited"

    def script(connection: Connection, line: bytes) -> Message:
        def end() -> bytes:
            dice.choice((connection.close, connection.abort, lambda: 1 // 0))()
            return b"end"

        kinds = (
            Run(end),
            Await(wait),
            Run(lambda: time.sleep(dice.random() / 50)),
            echo(connection, line),
            echo(connection, line),
        )
        return dice.choice(kinds)

    async def live(stage: Stage) -> None:
        peer = await stage.peer(accepted=False)
        try:
            for _ in range(dice.randrange(5)):
                await peer.send(b"line\n" * dice.randrange(1, 20))
                await trio.sleep(dice.random() / 50)
            if dice.random() < 0.3:
                peer.reset()
            elif dice.random() < 0.5:
                await peer.end()
                await peer.rest()
        except (OSError, trio.BrokenResourceError):
            pass

    config = evolve(QUICK, limits=Limits(lane_messages=4), timeouts=Timeouts(idle=0.3, linger=0.05))
    async with serving(script, config=config) as stage:
        async with trio.open_nursery() as nursery:
            for _ in range(200):
                nursery.start_soon(live, stage)
                await trio.sleep(0.002)
        stage.scope.cancel()
        await stage.stopped.wait()

        assert sorted(stage.record.made) == sorted(number for number, _ in stage.record.endings)
        assert len(set(stage.record.made)) == len(stage.record.made) > 150
        reported = [failure.connection for failure in stage.record.failures]
        assert len(set(reported)) == len(reported)


async def test_the_limit_of_connections_counts_until_the_ending(blocker: Blocker) -> None:
    """A connection whose message still runs in a thread takes its place until that is over."""
    config = evolve(QUICK, limits=Limits(connections=1), workers=Workers(count=4))
    async with serving(lambda *_: Run(blocker), config=config) as stage:
        peer = await stage.peer()
        await peer.send(b"block\n")
        await blocker.reached()
        peer.reset()
        waiting = await stage.peer(accepted=False)
        await waiting.send(b"block\n")
        await trio.sleep(0.05)

        assert stage.server.stats().accepted == 1
        blocker.free()
        assert await waiting.line() == b"free"
