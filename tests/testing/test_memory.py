"""A server in memory: reached by streams, gone after its block."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from speedo_trio.config import Config, Limits
from speedo_trio.echo import EchoProtocol
from speedo_trio.errors import ServerClosed
from speedo_trio.events import (
    Cause,
    CloseReason,
    ConnectionEnded,
    ConnectionOpened,
    Event,
    Listening,
)
from speedo_trio.protocol.handler import Connection, ProtocolHandler
from speedo_trio.protocol.message import Message
from speedo_trio.testing.memory import MemoryServer, serve_in_memory


@asynccontextmanager
async def serving(*args: Any, **options: Any) -> AsyncIterator[MemoryServer]:
    """As serve_in_memory(), with an end in sight."""
    with trio.fail_after(10):
        async with serve_in_memory(*args, **options) as server:
            yield server


async def receive(stream: trio.abc.ReceiveStream, size: int) -> bytes:
    """So many bytes."""
    received = bytearray()
    with trio.fail_after(5):
        while len(received) < size:
            received += await stream.receive_some()
    return bytes(received)


async def test_connect() -> None:
    """A client end that can be talked to; several don't mix."""
    async with serving(EchoProtocol) as server:
        one, other = server.connect(), server.connect()
        await one.send_all(b"one\n")
        await other.send_all(b"other\n")

        assert await receive(other, 6) == b"other\n"
        assert await receive(one, 4) == b"one\n"


async def test_connect_lockstep() -> None:
    """The same without any buffer, so that a peer that doesn't read holds the server up."""
    async with serving(EchoProtocol) as server:
        client = server.connect_lockstep()
        with trio.fail_after(5):
            await client.send_all(b"hello\nworld\n")
            (connection,) = server.server.connections
            while server.server.stats().executed < 2:  # noqa: ASYNC110  # a thread does it
                await trio.sleep(0.001)
        await trio.testing.wait_all_tasks_blocked()
        assert server.server.stats().sent == 0

        assert await receive(client, 12) == b"hello\nworld\n"
        assert str(connection.peer) == "stream:"


async def test_attach() -> None:
    """Any pair of streams will do."""
    ours, theirs = trio.testing.memory_stream_pair()
    async with serving(EchoProtocol) as server:
        assert server.attach(ours, theirs) is ours
        await ours.send_all(b"hello\n")

        assert await receive(ours, 6) == b"hello\n"


async def test_config_and_observer_are_the_servers() -> None:
    """They reach it as they are."""
    events: list[Event] = []
    config = Config(limits=Limits(connections=1))
    async with serving(EchoProtocol, config, events.append) as server:
        first = server.connect()
        await trio.testing.wait_all_tasks_blocked()
        second = server.connect()
        await trio.testing.wait_all_tasks_blocked()
        assert len(server.server.connections) == 1
        await first.aclose()
        await second.send_all(b"hello\n")
        assert await receive(second, 6) == b"hello\n"

    assert list(map(type, events)) == [
        Listening,
        *(ConnectionOpened, ConnectionEnded),
        *(ConnectionOpened, ConnectionEnded),
    ]


async def test_without_an_observer() -> None:
    """None is told to nobody."""
    async with serving(EchoProtocol, observer=None) as server:
        client = server.connect()
        await client.send_all(b"hello\n")
        assert await receive(client, 6) == b"hello\n"


async def test_end_of_the_block_stops_the_server() -> None:
    """At once; handlers are told, clients see the end."""
    reasons: list[CloseReason] = []

    class Sleep(Message):
        async def execute(self) -> None:
            await trio.sleep_forever()

    class Sleeper(ProtocolHandler):
        def handle(self, data: bytes) -> list[Message]:
            return [Sleep()]

        def closed(self, reason: CloseReason) -> None:
            reasons.append(reason)

    async with serving(Sleeper) as server:
        client = server.connect()
        await client.send_all(b"x")
        await trio.testing.wait_all_tasks_blocked()

    assert [reason.cause in {Cause.STOPPED, Cause.ABORTED} for reason in reasons] == [True]
    with trio.fail_after(5):
        assert await client.receive_some() == b""
        with pytest.raises(ServerClosed):
            await server.server.drain()


async def test_failure_in_the_block_is_told() -> None:
    """A test's own error comes out, in a group as of any nursery."""
    with pytest.RaisesGroup(ZeroDivisionError):
        async with serving(EchoProtocol) as server:
            server.connect()
            1 // 0  # noqa: B018  # is what is tested


async def test_drain_in_the_block() -> None:
    """The server may end before its block does."""
    async with serving(EchoProtocol) as server:
        client = server.connect()
        await client.send_all(b"hello\n")
        assert await receive(client, 6) == b"hello\n"
        await client.aclose()

        report = await server.server.drain()
        assert report.clean


async def test_two_servers_at_once() -> None:
    """They know nothing of each other."""

    class Shout(ProtocolHandler):
        def __init__(self, connection: Connection) -> None:
            super().__init__(connection)

        def handle(self, data: bytes) -> None:
            self.connection.write(data.upper())

    async with serving(EchoProtocol) as echo, serving(Shout) as shout:
        quiet, loud = echo.connect(), shout.connect()
        await quiet.send_all(b"hello\n")
        await loud.send_all(b"hello\n")

        assert await receive(quiet, 6) == b"hello\n"
        assert await receive(loud, 6) == b"HELLO\n"
        assert [connection.id for connection in echo.server.connections] == [1]
        assert [connection.id for connection in shout.server.connections] == [1]
