"""How long peers may keep a connection: each time limit at its bound, and who is not hurt by it.

Promise 7, for peers that don't flood but sit there. `test_one_ending` has the idle timeout.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import trio
from attrs import evolve

from speedo_trio import (
    Cause,
    CloseReason,
    Config,
    Connection,
    HandshakeError,
    Message,
    Timeouts,
)
from tests.promises.scene import (
    QUICK,
    Await,
    Blocker,
    Peer,
    Run,
    Scripted,
    Stage,
    at_rest,
    echo,
    serving,
    until,
)

PROXIED = "tcp+proxy://127.0.0.1:0"
HEADER = b"PROXY TCP4 192.0.2.1 198.51.100.7 40000 443\r\n"
LATE = 0.4
"""How much later than due an end may be seen here; a machine may be busy."""


def timed(**timeouts: Any) -> Config:
    """Quick ends, and these time limits."""
    return evolve(QUICK, timeouts=Timeouts(**{"linger": 0.1, **timeouts}))


async def ends_after(seconds: float, peer: Peer, since: float) -> bytes:
    """See that the server ends the connection then, and not before; what it said until then."""
    rest = await peer.rest()
    assert seconds - 0.01 <= trio.current_time() - since < seconds + LATE
    peer.close()
    return rest


async def reason_of(stage: Stage, connection: int = 1) -> CloseReason:
    """Why it ended, once it has."""
    await until(lambda: stage.record.ends(connection) != [])
    (reason,) = stage.record.ends(connection)
    return reason


# The handshake


@pytest.mark.parametrize("trickles", [False, True], ids=["silent", "byte by byte"])
async def test_handshake_that_is_not_over_in_time(*, trickles: bool) -> None:
    """A peer that sends no header, or sends it too slowly, is closed; others aren't held up."""
    async with serving(config=timed(handshake=0.3), bind=PROXIED) as stage:
        began = trio.current_time()
        peer = await stage.peer()

        async def trickle() -> None:
            for byte in HEADER:
                await peer.send(bytes([byte]))
                await trio.sleep(0.03)

        async with trio.open_nursery() as nursery:
            if trickles:
                nursery.start_soon(trickle)
            quick = await stage.peer()
            await quick.send(HEADER + b"hello\n")
            assert await quick.line() == b"hello"
            assert await ends_after(0.3, peer, began) == b""
            nursery.cancel_scope.cancel()

        await until(lambda: stage.server.stats().closed == {Cause.HANDSHAKE: 1})
        (failed,) = stage.record.failures
        assert (failed.connection, failed.peer.host) == (1, "127.0.0.1")
        assert failed.reason.cause is Cause.HANDSHAKE
        assert isinstance(failed.reason.error, HandshakeError)
        assert str(failed.reason.error) == "it was not over after 0.3 s"
        assert stage.record.made == [2]
        await quick.send(b"still\n")
        assert await quick.line() == b"still"


async def test_handshake_without_a_limit() -> None:
    """It may take as long as it takes, and then begins the protocol."""
    async with serving(config=timed(handshake=None), bind=PROXIED) as stage:
        peer = await stage.peer()
        await peer.send(HEADER[:10])
        await at_rest()
        await peer.send(HEADER[10:] + b"hello\n")
        assert await peer.line() == b"hello"


async def test_handshake_that_is_over_costs_no_time() -> None:
    """The limit is for that alone."""
    async with serving(config=timed(handshake=0.1), bind=PROXIED) as stage:
        peer = await stage.peer()
        await peer.send(HEADER)
        await trio.sleep(0.3)
        await peer.send(b"hello\n")
        assert await peer.line() == b"hello"


async def test_bind_without_layers_has_no_handshake() -> None:
    """A silent peer is the idle timeout's affair, or that for the first message."""
    async with serving(config=timed(handshake=0.05)) as stage:
        peer = await stage.peer()
        await trio.sleep(0.2)
        await peer.send(b"hello\n")
        assert await peer.line() == b"hello"


@pytest.mark.alone
async def test_drain_of_a_handshake() -> None:
    """Nothing was received that could be answered: it ends at once, without a handler."""
    async with serving(bind=PROXIED) as stage:
        peer = await stage.peer()
        await peer.send(HEADER[:10])
        stage.nursery.start_soon(stage.server.drain)
        assert await peer.ended()
        peer.close()
        await stage.stopped.wait()

        assert stage.report is not None
        assert stage.report.clean
        assert stage.report.seconds < 0.4
        assert stage.record.made == []
        assert stage.server.stats().closed == {Cause.DRAINED: 1}


# The first message


@pytest.mark.parametrize("trickles", [False, True], ids=["silent", "byte by byte"])
async def test_first_message_that_does_not_come(*, trickles: bool) -> None:
    """Bytes alone are no message: a peer doesn't stay by sending one now and then."""
    config = timed(first_message=0.3, idle=0.1 if trickles else None)
    async with serving(config=config) as stage:
        began = trio.current_time()
        peer = await stage.peer()

        async def trickle() -> None:
            while True:
                await peer.send(b".")
                await trio.sleep(0.02)

        async with trio.open_nursery() as nursery:
            if trickles:
                nursery.start_soon(trickle)
            assert await ends_after(0.3, peer, began) == b""
            nursery.cancel_scope.cancel()
        assert await reason_of(stage) == CloseReason(Cause.FIRST_MESSAGE)
        assert stage.record.failures == []


async def test_first_message_in_time(blocker: Blocker) -> None:
    """Whoever has sent one may be silent, and it may take its time."""

    def script(connection: Connection, line: bytes) -> Message:
        return Run(blocker) if line == b"block" else echo(connection, line)

    async with serving(script, config=timed(first_message=0.2)) as stage:
        quick, blocked = await stage.peers_of(2)
        await quick.send(b"hello\n")
        await blocked.send(b"block\n")
        await trio.sleep(0.5)
        blocker.free()

        for peer in (quick, blocked):
            await peer.send(b"again\n")
        assert await quick.lines(2) == [b"hello", b"again"]
        assert await blocked.lines(2) == [b"free", b"again"]


async def test_first_message_after_a_handshake() -> None:
    """The time for it begins when the peer is accepted."""
    async with serving(config=timed(first_message=0.3), bind=PROXIED) as stage:
        began = trio.current_time()
        peer = await stage.peer()
        await trio.sleep(0.15)
        await peer.send(HEADER)
        await ends_after(0.3, peer, began)
        assert await reason_of(stage) == CloseReason(Cause.FIRST_MESSAGE)


# The lifetime


class Polite(Scripted):
    """Says goodbye."""

    def draining(self) -> Iterable[Message]:
        self.record.events.append(self.connection.id)  # type: ignore[arg-type]  # a mark of ours
        return [Run(lambda: b"goodbye")]


def goodbyes(stage: Stage) -> list[Any]:
    """Which connections said it."""
    return [event for event in stage.record.events if isinstance(event, int)]


async def test_lifetime_of_an_idle_connection() -> None:
    """It ends as in a drain: with a goodbye, once."""
    async with serving(kind=Polite, config=timed(lifetime=0.3)) as stage:
        began = trio.current_time()
        peer = await stage.peer()
        assert await ends_after(0.3, peer, began) == b"goodbye\n"
        assert await reason_of(stage) == CloseReason(Cause.LIFETIME)
        assert goodbyes(stage) == [1]
        assert stage.record.failures == []


async def test_lifetime_of_a_busy_connection() -> None:
    """What was received is answered, in order, before the goodbye; a flood doesn't put it off."""
    async with serving(kind=Polite, config=timed(lifetime=0.3)) as stage:
        began = trio.current_time()
        peer = await stage.peer()

        async def pour() -> None:
            try:
                for number in range(10_000_000):
                    await peer.send(b"%d\n" % number)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass

        stage.nursery.start_soon(pour)
        *lines, goodbye, nothing = (await ends_after(0.3, peer, began)).split(b"\n")
        assert (goodbye, nothing) == (b"goodbye", b"")
        assert lines == [b"%d" % number for number in range(len(lines))]
        assert len(lines) > 10
        assert await reason_of(stage) == CloseReason(Cause.LIFETIME)


@pytest.mark.parametrize("tasks", [False, True], ids=["thread", "task"])
async def test_lifetime_that_ends_inside_a_message(blocker: Blocker, *, tasks: bool) -> None:
    """It is executed to its end, and so is what waits behind it, as long as that takes."""
    freed = trio.Event()

    async def wait() -> bytes:
        await freed.wait()
        return b"free"

    def script(connection: Connection, line: bytes) -> Message:
        if line == b"block":
            return Await(wait) if tasks else Run(blocker)
        return echo(connection, line)

    async with serving(script, kind=Polite, config=timed(lifetime=0.2)) as stage:
        peer = await stage.peer()
        await peer.send(b"block\nbehind\n")
        await trio.sleep(0.3)
        await peer.send(b"too late\n")
        await trio.sleep(0.1)
        assert stage.record.endings == []
        blocker.free()
        freed.set()

        assert await peer.rest() == b"free\nbehind\ngoodbye\n"
        assert await reason_of(stage) == CloseReason(Cause.LIFETIME)


@pytest.mark.parametrize("ended", [False, True], ids=["open", "half-closed"])
async def test_lifetime_of_a_peer_that_reads_byte_by_byte(*, ended: bool) -> None:
    """It always takes something, and so is neither idle nor silent: the grace is its end."""
    much = bytes(5_000_000)

    def script(connection: Connection, line: bytes) -> Message:
        return Run(lambda: much)

    class Unlimited(Scripted):
        limit = 2**30

    config = timed(lifetime=0.2, grace=0.4, write=30.0, idle=30.0)
    async with serving(script, kind=Unlimited, config=config) as stage:
        began = trio.current_time()
        peer = await stage.peer(receive_buffer=4096)
        await peer.send(b"much\n")
        if ended:
            await peer.end()

        async def sip() -> None:
            while True:
                await peer.stream.receive_some(1)
                await trio.sleep(0.001)

        stage.nursery.start_soon(sip)
        assert await reason_of(stage) == CloseReason(Cause.LIFETIME)
        assert 0.6 <= trio.current_time() - began < 0.6 + LATE


async def test_lifetime_and_a_message_that_outlives_the_grace(blocker: Blocker) -> None:
    """That is not the peer's doing: it is answered."""
    config = timed(lifetime=0.1, grace=0.1)
    async with serving(lambda *_: Run(blocker), config=config) as stage:
        peer = await stage.peer()
        await peer.send(b"block\n")
        await trio.sleep(0.5)
        blocker.free()

        assert await peer.rest() == b"free\n"
        assert await reason_of(stage) == CloseReason(Cause.LIFETIME)


async def test_lifetime_of_one_is_not_that_of_others() -> None:
    """Each has its own, from its own beginning."""
    async with serving(config=timed(lifetime=0.4)) as stage:
        began = trio.current_time()
        first = await stage.peer()
        await trio.sleep(0.2)
        second, later = await stage.peer(), trio.current_time()
        await ends_after(0.4, first, began)
        await second.send(b"hello\n")
        assert await second.line() == b"hello"
        await ends_after(0.4, second, later)


async def test_lifetime_and_a_drain(blocker: Blocker) -> None:
    """A connection that finishes already is not told twice, and keeps its reason."""
    config = timed(lifetime=0.2, grace=2.0)
    async with serving(lambda *_: Run(blocker), kind=Polite, config=config) as stage:
        peer = await stage.peer()
        await peer.send(b"block\n")
        await trio.sleep(0.4)
        stage.nursery.start_soon(stage.server.drain)
        await trio.sleep(0.1)
        blocker.free()
        assert await peer.rest() == b"free\ngoodbye\n"
        await stage.stopped.wait()

        assert stage.record.causes == [Cause.LIFETIME]
        assert goodbyes(stage) == [1]


async def test_lifetime_that_ends_in_the_handshake() -> None:
    """There is nobody to say goodbye yet."""
    async with serving(config=timed(lifetime=0.2), bind=PROXIED) as stage:
        began = trio.current_time()
        peer = await stage.peer()
        assert await ends_after(0.2, peer, began) == b""
        await until(lambda: stage.server.stats().closed == {Cause.LIFETIME: 1})
        assert stage.record.made == []


# All of them


async def test_the_first_to_come_ends_it() -> None:
    """Each of several limits holds beside the others."""
    for timeouts, cause in (
        ({"idle": 0.1, "lifetime": 0.3, "first_message": 0.3}, Cause.IDLE),
        ({"idle": 0.3, "lifetime": 0.1, "first_message": 0.3}, Cause.LIFETIME),
        ({"idle": 0.3, "lifetime": 0.3, "first_message": 0.1}, Cause.FIRST_MESSAGE),
    ):
        async with serving(config=timed(**timeouts)) as stage:
            began = trio.current_time()
            await ends_after(0.1, await stage.peer(), began)
            assert (await reason_of(stage)).cause is cause


async def test_waiting_costs_nothing() -> None:
    """However many limits a silent connection has, nothing spins until the first is over."""
    config = timed(idle=30, lifetime=60, first_message=20)
    async with serving(config=config) as stage:
        await stage.peers_of(50)
        await at_rest()


async def test_many_end_at_the_same_time() -> None:
    """Hundreds that came together go together, and the server serves on."""
    async with serving(config=timed(first_message=1.0, linger=0.0), patience=30) as stage:
        busy = await stage.peer()
        await busy.send(b"hello\n")
        assert await busy.line() == b"hello"
        for peer in [await stage.peer(accepted=False) for _ in range(300)]:
            assert await peer.ended()
        await until(lambda: stage.server.stats().closed == {Cause.FIRST_MESSAGE: 300})

        await busy.send(b"still\n")
        assert await busy.line() == b"still"
