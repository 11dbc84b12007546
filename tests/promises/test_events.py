"""What is told and counted of a connection: its opening and its end, once each, on every path.

Promise 5, for observers: they get it without a handler's help, and without them nothing changes.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, NoReturn

import pytest
import trio
import trio.testing
from attrs import evolve

from speedo_trio import (
    Address,
    Cause,
    Config,
    Connection,
    ConnectionEnded,
    ConnectionFailed,
    ConnectionOpened,
    ConnectionRefused,
    Event,
    Limits,
    Message,
    MessageFailed,
    ProtocolError,
    Timeouts,
)
from tests.promises.scene import (
    QUICK,
    Await,
    Peer,
    Record,
    Run,
    Scripted,
    Stage,
    echo,
    serving,
    until,
)

PROXIED = "tcp+proxy://127.0.0.1:0"
HEADER = b"PROXY TCP4 192.0.2.1 198.51.100.7 40000 443\r\n"


def script(connection: Connection, line: bytes) -> Message:
    """Lines that end their connection in several ways; others come back."""

    async def wait() -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    def fail(error: Exception) -> NoReturn:
        raise error

    def overflow() -> None:
        connection.write(bytes(5_000_000))

    ways: dict[bytes, Message] = {
        b"close": Run(connection.close),
        b"abort": Run(connection.abort),
        b"wait": Await(wait),
        b"fail": Run(lambda: fail(ValueError("a bad message"))),
        b"err": Run(lambda: fail(ProtocolError("a bad peer"))),
        b"much": Run(lambda: bytes(20_000_000)),
        b"overflow": Run(overflow),
    }
    return ways.get(line) or echo(connection, line)


class Unlimited(Scripted):
    """Has no limit on lines, and answers for what it is told to forgive."""

    limit = 2**30


class Refusing(Scripted):
    """Can't be made."""

    def __init__(self, connection: Connection, script: Any, record: Record) -> None:
        raise ValueError("a bad factory")


Act = Callable[[Stage, Peer], Awaitable[object]]


class Path(NamedTuple):
    """A way to end: what the first connection's peer and the server do, and what comes of it."""

    cause: Cause
    act: Act
    config: Config = QUICK
    kind: type[Scripted] = Unlimited
    bind: str = "tcp://127.0.0.1:0"
    opened: bool = True
    failed: int = 0
    """How many failures are reported."""


def sends(*data: bytes) -> Act:
    """Sends this and waits."""

    async def act(stage: Stage, peer: Peer) -> None:
        for each in data:
            await peer.send(each)

    return act


async def ends(stage: Stage, peer: Peer) -> None:
    """Talks and ends its stream."""
    await peer.send(b"hello\n")
    await peer.line()
    await peer.end()
    assert await peer.rest() == b""


async def resets(stage: Stage, peer: Peer) -> None:
    """Talks and vanishes."""
    await peer.send(b"hello\n")
    await peer.line()
    peer.reset()


async def drains(stage: Stage, peer: Peer) -> None:
    """Talks; then the server drains."""
    await peer.send(b"hello\n")
    await peer.line()
    stage.nursery.start_soon(stage.server.drain)
    await peer.rest()
    peer.close()


async def is_cut(stage: Stage, peer: Peer) -> None:
    """Waits when the grace is over."""
    await peer.send(b"wait\n")
    await until(lambda: stage.server.stats().busy == 1)
    stage.nursery.start_soon(stage.server.drain, 0.05)


async def is_stopped(stage: Stage, peer: Peer) -> None:
    """Waits when the server is cancelled."""
    await peer.send(b"wait\n")
    await until(lambda: stage.server.stats().busy == 1)
    stage.scope.cancel()


async def comes_too_often(stage: Stage, peer: Peer) -> None:
    """Is one too many, when its proxy tells who it is."""
    before = stage.server._house.guests
    assert before.enter(Address("tcp", "192.0.2.1"), trio.current_time()) is None
    await peer.send(HEADER)


def timed(**timeouts: Any) -> Config:
    """With these time limits."""
    return evolve(QUICK, timeouts=Timeouts(linger=0.05, **timeouts))


PATHS = {
    "eof": Path(Cause.EOF, ends),
    "reset": Path(Cause.LOST, resets),
    "close": Path(Cause.CLOSED, sends(b"hello\nclose\nbehind\n")),
    "abort": Path(Cause.ABORTED, sends(b"hello\nabort\nbehind\n")),
    "message": Path(Cause.HANDLER_ERROR, sends(b"hello\nfail\nbehind\n"), failed=1),
    "peer": Path(Cause.PROTOCOL_ERROR, sends(b"hello\nerr\nbehind\n"), failed=1),
    "frame": Path(Cause.PROTOCOL_ERROR, sends(b"x" * 2**20 + b"yy"), kind=Scripted, failed=1),
    "factory": Path(Cause.HANDLER_ERROR, sends(), kind=Refusing, failed=1),
    "handshake": Path(Cause.HANDSHAKE, sends(b"nonsense\n"), bind=PROXIED, opened=False, failed=1),
    "untrusted": Path(
        Cause.HANDSHAKE, sends(HEADER), bind=f"{PROXIED}?trust=10.0.0.0/8", opened=False, failed=1
    ),
    "silent": Path(
        Cause.HANDSHAKE, sends(), timed(handshake=0.05), bind=PROXIED, opened=False, failed=1
    ),
    "refused": Path(
        Cause.REFUSED,
        comes_too_often,
        evolve(QUICK, limits=Limits(connections_per_address=1)),
        bind=PROXIED,
        opened=False,
    ),
    "first message": Path(Cause.FIRST_MESSAGE, sends(b"hel"), timed(first_message=0.05)),
    "idle": Path(Cause.IDLE, sends(b"hello\n"), timed(idle=0.05)),
    "lifetime": Path(Cause.LIFETIME, sends(b"hello\n"), timed(lifetime=0.05)),
    "write": Path(Cause.WRITE_TIMEOUT, sends(b"much\n"), timed(write=0.1)),
    "overflow": Path(Cause.OVERFLOW, sends(b"overflow\n")),
    "drain": Path(Cause.DRAINED, drains),
    "grace": Path(Cause.GRACE_OVER, is_cut),
    "stop": Path(Cause.STOPPED, is_stopped),
}

every_path = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)


def test_every_cause_has_a_path() -> None:
    """A new one must be given its way here."""
    assert {path.cause for path in PATHS.values()} == set(Cause)


@every_path
async def test_opening_and_end_are_told_once(path: Path) -> None:
    """In this order, and with failures in between; a connection that was refused has neither."""
    async with serving(script, kind=path.kind, config=path.config, bind=path.bind) as stage:
        peer = await stage.peer()
        began = time.monotonic()
        await path.act(stage, peer)
        await until(lambda: stage.server.stats().closed != {})
        await trio.sleep(0.02)  # what would tell it again

        told = stage.record.events_of(
            ConnectionOpened, ConnectionFailed, ConnectionEnded, ConnectionRefused
        )
        kinds: list[type[Event]] = [ConnectionOpened] * path.opened
        kinds += [ConnectionFailed] * path.failed
        kinds += [ConnectionRefused if path.cause is Cause.REFUSED else ConnectionEnded]
        assert kinds == list(map(type, told))
        assert stage.server.stats().closed == {path.cause: 1}
        if path.cause is not Cause.REFUSED:
            (end,) = stage.record.events_of(ConnectionEnded)
            stats = stage.server.stats()
            assert end.reason.cause is path.cause
            assert (end.received, end.sent, end.messages) == (
                *(stats.received, stats.sent),
                stats.executed,
            )
            assert 0 < end.seconds < time.monotonic() - began + 0.1
            assert {getattr(event, "connection", None) for event in told} == {1}
        assert [reason.cause for reason in stage.record.ends(1)] == [path.cause] * len(
            stage.record.made
        )


@every_path
async def test_nobody_is_told(path: Path) -> None:
    """Without an observer everything goes the same way, and is counted the same."""
    async with serving(
        script, kind=path.kind, config=path.config, bind=path.bind, unobserved=True
    ) as stage:
        peer = await stage.peer()
        await path.act(stage, peer)
        await until(lambda: stage.server.stats().closed != {})

        assert stage.server.stats().closed == {path.cause: 1}
        assert stage.record.causes == [path.cause] * len(stage.record.made)
        assert stage.record.events == []


@every_path
async def test_observer_that_always_raises(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It changes nothing either; each event is logged once."""
    events: list[Event] = []

    def observe(event: Event) -> None:
        events.append(event)
        raise ValueError("a bad observer")

    async with serving(
        script, kind=path.kind, config=path.config, bind=path.bind, observer=observe
    ) as stage:
        peer = await stage.peer()
        await path.act(stage, peer)
        await until(lambda: stage.server.stats().closed != {})
        await trio.sleep(0.02)

        assert stage.server.stats().closed == {path.cause: 1}
        assert len([r for r in caplog.records if r.name == "speedo_trio"]) == len(events)


@pytest.mark.alone
async def test_numbers_of_an_end() -> None:
    """Bytes as the protocol got and gave them, messages that failed included."""

    class Forgiving(Scripted):
        def failed(self, message: Message, error: BaseException) -> bytes:
            return b"sorry"

    async with serving(script, kind=Forgiving) as stage:
        peer = await stage.peer()
        began = trio.current_time()
        await peer.send(b"one\nfail\nthree\nhalf a li")
        assert await peer.lines(3) == [b"one", b"sorry", b"three"]
        await trio.sleep(0.1)
        stage.connection(1).close()
        assert await peer.rest() == b""
        lasted = trio.current_time() - began
        peer.close()
        await until(lambda: stage.record.endings != [])

        (end,) = stage.record.events_of(ConnectionEnded)
        assert (end.received, end.sent, end.messages) == (24, 16, 3)
        assert lasted - 0.02 < end.seconds < lasted + 0.1
        assert (end.connection, end.peer) == (1, stage.record.events_of(ConnectionOpened)[0].peer)
        assert len(stage.record.events_of(MessageFailed)) == 1


async def test_opening_tells_who_it_is() -> None:
    """The addresses of both ends, and no layer where there is none."""
    async with serving() as stage:
        peer = await stage.peer()
        await until(lambda: stage.record.made == [1])

        assert stage.record.events_of(ConnectionOpened) == [
            ConnectionOpened(connection=1, peer=peer.name, local=stage.server.addresses[0])
        ]


async def test_streams_of_the_application_are_told_too() -> None:
    """With the addresses that it gave them."""
    async with serving() as stage:
        client, stream = trio.testing.memory_stream_pair()
        who = Address("tcp", "192.0.2.9", 9)

        async def serve_stream() -> None:
            await stage.server.serve_stream(stream, peer=who)

        stage.nursery.start_soon(serve_stream)
        await client.send_all(b"hello\n")
        await client.send_eof()
        await until(lambda: stage.record.endings != [])

        (opened,) = stage.record.events_of(ConnectionOpened)
        (end,) = stage.record.events_of(ConnectionEnded)
        assert (opened.peer, opened.local) == (who, Address("stream"))
        assert (end.peer, end.received, end.sent, end.messages) == (who, 6, 6, 1)
