"""The defects of the C++ original, each as a test: what it did wrong must stay right here."""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections import Counter

import pytest
import trio
import trio.testing
from attrs import evolve

from speedo_trio import (
    BindError,
    Cause,
    Connection,
    EchoProtocol,
    Message,
    Workers,
    serve,
)
from tests.promises.apart import serving_apart
from tests.promises.scene import QUICK, Blocker, Run, descriptors, echo, serving, until


async def test_descriptors_are_closed() -> None:
    """It stopped watching a connection at EOF and never closed its descriptor."""
    async with serving() as stage:
        await stage.works()
        await until(lambda: not stage.server.connections)
        before = descriptors()
        for _ in range(100):
            await stage.works()
        await until(lambda: not stage.server.connections)

        assert descriptors() == before


async def test_an_end_is_handled_once() -> None:
    """At EOF it could run its error path twice, for a stale errno, and delete itself twice."""
    async with serving() as stage:
        for _ in range(20):
            peer = await stage.peer()
            await peer.send(b"line\n")
            await peer.end()
            peer.reset()
        await until(lambda: not stage.server.connections)

        counts = Counter(number for number, _ in stage.record.endings)
        assert counts == Counter(range(1, 21))


async def test_large_replies_lose_no_byte() -> None:
    """Its echo called write(2) once from a worker, and lost what a full socket didn't take."""
    lines = [b"%06d" % number * 10_000 for number in range(100)]
    async with serving(factory=EchoProtocol) as stage:
        peer = await stage.peer(receive_buffer=4096)
        stage.nursery.start_soon(peer.send, b"".join(line + b"\n" for line in lines))
        for line in lines:
            assert line == await peer.line()


async def test_a_line_has_a_limit() -> None:
    """It buffered a line without end until the memory was used up."""
    async with serving(factory=EchoProtocol) as stage:
        peer = await stage.peer()
        with pytest.raises(trio.BrokenResourceError):
            await peer.pour(bytes(100_000))
        await until(lambda: not stage.server.connections)
        assert [Cause.PROTOCOL_ERROR] == [it.reason.cause for it in stage.record.failures]


async def test_the_queue_has_a_limit(blocker: Blocker) -> None:
    """It read and queued messages as long as anybody sent some."""
    async with serving(lambda *_: Run(blocker)) as stage:
        peer = await stage.peer()
        await peer.flood(b"line\n", most=20_000_000)

        assert stage.server.stats().waiting <= 1024


@pytest.mark.parametrize("workers", [2, 16])
async def test_more_workers_keep_the_order(workers: int) -> None:
    """With more than one worker the replies to pipelined lines came in any order."""
    config = evolve(QUICK, workers=Workers(count=workers))
    async with serving(config=config) as stage:
        peer = await stage.peer()
        lines = [b"%d" % number for number in range(10_000)]
        stage.nursery.start_soon(peer.send, b"".join(line + b"\n" for line in lines))

        assert lines == await peer.lines(10_000)


async def test_every_message_is_executed_once() -> None:
    """Its workers looked at the queue without its lock."""
    executed: list[bytes] = []

    def script(connection: Connection, line: bytes) -> Message:
        return Run(lambda: executed.append(line))

    config = evolve(QUICK, workers=Workers(count=8, turn_messages=3))
    async with serving(script, config=config) as stage:
        peers = await stage.peers_of(20)
        for number, peer in enumerate(peers):
            await peer.send(b"".join(b"%d/%d\n" % (number, line) for line in range(100)))
        await until(lambda: len(executed) >= 2000)

        assert len(set(executed)) == len(executed) == 2000


async def test_stopping_executes_what_is_queued(blocker: Blocker) -> None:
    """Its stop() deleted queued messages unexecuted, racing with the workers."""

    def script(connection: Connection, line: bytes) -> Message:
        return Run(blocker) if line == b"block" else echo(connection, line)

    config = evolve(QUICK, workers=Workers(count=1))
    async with serving(script, config=config) as stage:
        first, second = await stage.peers_of(2)
        await first.send(b"block\n1\n2\n")
        await blocker.reached()
        await second.send(b"3\n4\n")
        await until(lambda: stage.server.stats().received == 14)
        stage.nursery.start_soon(stage.server.drain)
        await trio.testing.wait_all_tasks_blocked()
        blocker.free()

        assert await first.rest() == b"free\n1\n2\n"
        assert await second.rest() == b"3\n4\n"


async def test_out_of_descriptors_it_does_not_spin() -> None:
    """At EMFILE its level-triggered watcher burnt a processor."""
    async with serving_apart(descriptors=30) as server:
        for _ in range(60):
            await server.peer()
        before = await server.inside()
        await trio.sleep(0.5)
        after = await server.inside()

        assert after.processor - before.processor < 0.15


async def test_an_ipv6_address_is_whole() -> None:
    """It copied IPv6 addresses into a sockaddr_in, which cut them."""

    def script(connection: Connection, line: bytes) -> Message:
        return Run(f"{connection.peer} {connection.local}".encode)

    async with serving(script, bind="tcp://[::1]:0") as stage:
        peer = await stage.peer()
        await peer.send(b"who\n")
        port = stage.server.addresses[0].port

        assert await peer.line() == f"{peer.name} tcp://[::1]:{port}".encode()
        assert str(peer.name).startswith("tcp://[::1]:")


async def test_a_bind_error_tells_its_reason() -> None:
    """It logged the errno of another call."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(BindError) as raised:
            await serve(EchoProtocol, address)

    assert address in str(raised.value)
    assert os.strerror(errno.EADDRINUSE) in str(raised.value)


async def test_signals_are_left_alone() -> None:
    """It logged and closed descriptors in a signal handler; this library installs none."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)
    before = [signal.getsignal(number) for number in numbers]
    async with serving() as stage:
        await stage.works()
        assert before == [signal.getsignal(number) for number in numbers]
