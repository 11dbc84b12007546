"""Promise 7: the server goes on, whatever the system lacks and however peers behave."""

from __future__ import annotations

import errno
import gc
import os
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing
from attrs import evolve

from speedo_trio import (
    AcceptFailed,
    Cause,
    Connection,
    ConnectionRefused,
    Limits,
    Message,
    Server,
    ServerClosed,
    Timeouts,
    Workers,
    serve,
)
from tests.promises.apart import serving_apart
from tests.promises.scene import (
    PATIENCE,
    QUICK,
    Await,
    Blocker,
    Peer,
    Record,
    Run,
    Scripted,
    Stage,
    connect,
    descriptors,
    echo,
    echo_async,
    serving,
    until,
)


async def test_out_of_file_descriptors() -> None:
    """At EMFILE those who are in are served, nothing spins, and those who wait get in later."""
    async with serving_apart(descriptors=40) as server:
        peers = [await server.peer() for _ in range(100)]
        with trio.fail_after(PATIENCE):
            while not (inside := await server.inside()).accept_failed:
                pass  # it has yet to let in as many as it can
        served = inside.connections - 1
        assert 10 < served < 40

        for peer in peers[:served]:
            await peer.send(b"line\n")
            assert await peer.line() == b"line"
        before = await server.inside()
        await trio.sleep(1)
        after = await server.inside()
        assert after.processor - before.processor < 0.3
        assert 1 <= after.accept_failed - before.accept_failed <= 20

        for peer in peers[:served]:
            peer.close()
        for peer in peers[served : 2 * served]:
            await peer.send(b"line\n")
            assert await peer.line() == b"line"


@contextmanager
def file_limit(least: int) -> Iterator[None]:
    """Have this process, and those it starts meanwhile, open at least so many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, least), max(hard, least)))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_ten_thousand_idle_connections() -> None:
    """They are held, at 8 KiB each at the most, and each is served when it wakes up."""
    with file_limit(10_500):
        async with serving_apart(descriptors=10_500) as server:
            before = await server.inside()
            with ExitStack() as clients:
                idle = [clients.enter_context(socket.socket()) for _ in range(10_000)]
                for client in idle:
                    client.connect(("127.0.0.1", server.port))
                while (inside := await server.inside()).connections < 10_001:
                    pass  # asking is what takes the time
                assert inside.memory - before.memory < 10_000 * 8 * 1024

                for client in idle[::500]:
                    client.sendall(b"awake\n")
                    assert client.recv(10) == b"awake\n"


@contextmanager
def failing_accept(monkeypatch: pytest.MonkeyPatch, errors: list[int]) -> Iterator[None]:
    """Have accept(2) fail with these errors, one after another, then work again."""
    accept = socket.socket.accept

    def failing(self: socket.socket) -> object:
        if errors:
            raise OSError(errors[0], os.strerror(errors.pop(0)))
        return accept(self)

    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "accept", failing)
        yield


@pytest.mark.parametrize(
    "number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM], ids=errno.errorcode.get
)
async def test_accept_lacks_something(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, and tried again a little later."""
    async with serving() as stage:
        with failing_accept(monkeypatch, [number] * 2):
            began = trio.current_time()
            await stage.works()
            assert 0.2 <= trio.current_time() - began < 1

        failed = [event for event in stage.record.events if isinstance(event, AcceptFailed)]
        assert [number] * 2 == [event.error.errno for event in failed]
        assert {stage.server.addresses[0]} == {event.address for event in failed}


@pytest.mark.alone
@pytest.mark.parametrize(
    "number",
    [
        errno.ECONNABORTED,
        errno.EPROTO,
        errno.EPERM,
        errno.ENETDOWN,
        errno.EHOSTUNREACH,
        errno.ETIMEDOUT,
        errno.EINTR,
    ],
    ids=errno.errorcode.get,
)
async def test_accept_fails_for_one_peer(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with the new connection, accept(2) says, is to be retried at once."""
    async with serving() as stage:
        with failing_accept(monkeypatch, [number] * 3):
            began = trio.current_time()
            await stage.works()
            assert trio.current_time() - began < 0.1
        assert not [event for event in stage.record.events if isinstance(event, AcceptFailed)]


async def test_accept_that_always_fails_does_not_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are served all the same, and the server can be drained."""
    async with serving() as stage:
        peer = await stage.peer()
        with failing_accept(monkeypatch, [errno.EMFILE] * 100_000):
            waiting = await stage.peer(accepted=False)
            for _ in range(20):
                await peer.send(b"line\n")
                assert await peer.line() == b"line"
                await trio.sleep(0.01)
            events = [event for event in stage.record.events if isinstance(event, AcceptFailed)]
            assert 1 <= len(events) <= 10
            peer.close()
            await stage.server.drain()
        assert await waiting.ended()


DIALOGUE = b"one\ntwo\nthree\nfour\nfive\n"


async def test_a_reset_after_every_byte() -> None:
    """Peers that vanish after any number of bytes sent and read are no failure."""
    config = evolve(QUICK, workers=Workers(count=2))

    def script(connection: Connection, line: bytes) -> Message:
        return (echo, echo_async)[len(line) % 2](connection, line)

    async with serving(script, config=config) as stage:
        before = descriptors()
        for size in range(len(DIALOGUE) + 1):
            peer = await stage.peer()
            await peer.send(DIALOGUE[:size])
            if size % 3 == 0:
                await trio.sleep(0.002)
            peer.reset()
        for size in range(1, len(DIALOGUE) + 1):
            peer = await stage.peer()
            await peer.send(DIALOGUE)
            assert DIALOGUE[:size] == await _receive_exactly(peer, size)
            peer.reset()
        await until(lambda: not stage.server.connections)

        assert len(stage.record.endings) == len(stage.record.made) == 2 * len(DIALOGUE) + 1
        assert {Cause.LOST} == set(stage.record.causes)
        assert stage.record.failures == []
        assert descriptors() == before
        await stage.works()


async def _receive_exactly(peer: Peer, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += await peer.stream.receive_some(size - len(data))
    return data


async def test_a_reset_with_the_connecting() -> None:
    """A peer that is gone before it is accepted harms nobody."""
    async with serving() as stage:
        stage.server.pause()
        for _ in range(20):
            (await stage.peer(accepted=False)).reset()
        stage.server.resume()
        await stage.works()
        await until(lambda: not stage.server.connections)

        assert stage.record.failures == []


async def test_a_half_closed_peer_gets_its_replies(blocker: Blocker) -> None:
    """A peer that has ended its side reads on: all replies come, then the end."""

    def script(connection: Connection, line: bytes) -> Message:
        return Run(blocker) if line == b"block" else echo(connection, line)

    async with serving(script) as stage:
        peer = await stage.peer()
        await peer.send(b"1\nblock\n2\n")
        await peer.end()
        await blocker.reached()
        await trio.sleep(0.02)  # the end has been read
        blocker.free()

        assert await peer.rest() == b"1\nfree\n2\n"


async def test_peers_that_never_read() -> None:
    """They are aborted after the write timeout; meanwhile and afterwards others are served."""

    class Unlimited(Scripted):
        limit = 2**30

    def script(connection: Connection, line: bytes) -> Message:
        return Run(lambda: bytes(10_000_000)) if line == b"much" else echo(connection, line)

    config = evolve(QUICK, timeouts=Timeouts(write=0.3), workers=Workers(count=2))
    async with serving(script, kind=Unlimited, config=config) as stage:
        for peer in await stage.peers_of(5):
            await peer.send(b"much\nmuch\nmuch\n")
        for _ in range(10):
            await stage.works()
            await trio.sleep(0.02)
        await until(lambda: not stage.server.connections)

        assert [Cause.WRITE_TIMEOUT] * 5 == [
            reason.cause for number, reason in stage.record.endings if number <= 5
        ]


async def test_a_descriptor_that_is_used_again() -> None:
    """A connection that is aborted in the middle of a write leaves its number to the next one."""

    class Unlimited(Scripted):
        limit = 2**30

    def script(connection: Connection, line: bytes) -> Message:
        return Run(lambda: bytes(10_000_000)) if line == b"much" else echo(connection, line)

    before = 0
    async with serving(script, kind=Unlimited) as stage:
        for number in range(1, 6):
            peer = await stage.peer()
            await peer.send(b"much\n")
            await until(partial(_has_sent_more, stage, before))
            await trio.sleep(0.02)  # the kernel takes no more
            stage.connection(number).abort()
            await until(lambda: not stage.server.connections)
            before = stage.server.stats().sent
        await stage.works()
        assert [Cause.ABORTED] * 5 == stage.record.causes[:5]


def _has_sent_more(stage: Stage, before: int) -> bool:
    return stage.server.stats().sent > before


async def test_peers_that_never_send() -> None:
    """A thousand that connect and do nothing leave room for those who do something."""
    async with serving() as stage:
        silent = [await stage.peer(accepted=False) for _ in range(1000)]
        await until(lambda: len(stage.server.connections) == 1000)
        await stage.works()
        for peer in silent:
            peer.close()
        await until(lambda: not stage.server.connections)


async def test_the_limit_of_connections_waits() -> None:
    """At the limit peers wait in the kernel, and are served as others leave."""
    config = evolve(QUICK, limits=Limits(connections=2))
    async with serving(config=config) as stage:
        inside = await stage.peers_of(2)
        outside = [await stage.peer(accepted=False) for _ in range(3)]
        for peer in outside:
            await peer.send(b"line\n")
        await trio.sleep(0.05)
        assert stage.server.stats().accepted == 2
        for peer in inside:
            await peer.send(b"line\n")
            assert await peer.line() == b"line"
            peer.close()
        for peer in outside:
            assert await peer.line() == b"line"
            peer.close()
        assert stage.server.stats().refused == 0


async def test_the_limit_of_connections_refuses() -> None:
    """Or they are closed at once, which is told with their addresses."""
    config = evolve(QUICK, limits=Limits(connections=2, when_full="refuse"))
    async with serving(config=config) as stage:
        inside = await stage.peers_of(2)
        outside = [await stage.peer(accepted=False) for _ in range(3)]
        names = [peer.name for peer in outside]
        for peer in outside:
            assert await peer.ended()
        for peer in inside:
            await peer.send(b"line\n")
            assert await peer.line() == b"line"
        refused = [event for event in stage.record.events if isinstance(event, ConnectionRefused)]

        assert names == [event.peer for event in refused]
        assert stage.server.stats().refused == 3
        inside[0].close()
        await until(lambda: len(stage.server.connections) == 1)
        await stage.works()


async def test_paused_and_resumed() -> None:
    """While paused nobody is accepted or refused; afterwards all are served."""
    config = evolve(QUICK, limits=Limits(connections=4, when_full="refuse"))
    async with serving(config=config) as stage:
        inside = await stage.peer()
        stage.server.pause()
        outside = [await stage.peer(accepted=False) for _ in range(3)]
        for peer in outside:
            await peer.send(b"line\n")
        await inside.send(b"line\n")
        assert await inside.line() == b"line"
        await trio.sleep(0.05)
        assert stage.server.stats().accepted == 1
        stage.server.resume()
        for peer in outside:
            assert await peer.line() == b"line"


async def test_pausing_does_not_spin() -> None:
    """Peers that wait while the server is paused cost nothing."""
    async with serving_apart(limits={"connections": 1}) as server:
        for _ in range(3):
            await server.peer()
        before = await server.inside()
        await trio.sleep(0.5)
        after = await server.inside()

        assert after.processor - before.processor < 0.15


async def test_many_come_and_go() -> None:
    """After five hundred connections nothing is left of them: descriptors, links, threads."""
    async with serving() as stage:
        await stage.works()
        await until(lambda: not stage.server.connections)
        before = descriptors()

        async def visit() -> None:
            peer = await stage.peer(accepted=False)
            await peer.send(b"line\n")
            assert await peer.line() == b"line"
            peer.close()

        for _ in range(10):
            async with trio.open_nursery() as nursery:
                for _ in range(50):
                    nursery.start_soon(visit)
        await until(lambda: not stage.server.connections)

        assert descriptors() == before
        stats = stage.server.stats()
        assert stats.accepted == 501
        assert stats.waiting == stats.ready == 0
        assert len(stage.record.endings) == 501


class CancelAfter(trio.abc.Instrument):
    """Cancels a scope after a number of steps of any tasks."""

    def __init__(self, steps: int) -> None:
        self.left = steps
        self.scope = trio.CancelScope()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.left -= 1
        if self.left == 0:
            self.scope.cancel()


async def _live_until_cancelled(instrument: CancelAfter, record: Record) -> None:
    """A server with peers that talk to it, on sockets and streams, until it is cancelled."""

    async def later() -> bytes:
        await trio.lowlevel.checkpoint()
        return b"later"

    def script(connection: Connection, line: bytes) -> Message:
        if line == b"close":
            connection.close()
        return Await(later) if line == b"later" else echo(connection, line)

    async def talk_on_socket(server: Server) -> None:
        peer = await connect(("127.0.0.1", server.addresses[0].port))
        try:
            await peer.send(b"1\nlater\n2\nlater\nclose\n3\n")
            await peer.rest()
        except trio.BrokenResourceError:
            pass
        finally:
            peer.close()

    async def talk_on_stream(server: Server) -> None:
        client, stream = trio.testing.memory_stream_pair()

        async def served() -> None:
            with suppress(ServerClosed):  # on a busy machine this begins when the drain has
                await server.serve_stream(stream)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(served)
            await client.send_all(b"1\nlater\n2\n")
            await client.send_eof()
            while await client.receive_some():
                pass

    factory = partial(Scripted, script=script, record=record)
    config = evolve(QUICK, timeouts=Timeouts(idle=10, linger=0.05), limits=Limits(lane_messages=1))
    with instrument.scope:
        async with trio.open_nursery() as nursery:
            start = partial(
                serve, factory, "tcp://127.0.0.1:0", config=config, observer=record.events.append
            )
            server = await nursery.start(start)
            for talk in (talk_on_socket, talk_on_stream, talk_on_socket):
                nursery.start_soon(talk, server)
            await trio.sleep(0.01)
            await server.drain()


@pytest.mark.parametrize("first", range(4))
def test_the_hard_stop_at_any_step(first: int) -> None:
    """Cancelled after any number of task steps, `serve` ends soon and leaves nothing behind."""

    async def live(instrument: CancelAfter, record: Record) -> None:
        with trio.fail_after(5):
            await _live_until_cancelled(instrument, record)

    trio.run(live, CancelAfter(-1), Record())  # what is opened once is opened now
    gc.collect()
    before = descriptors()
    for steps in range(1 + first, 180, 4):
        record = Record()
        instrument = CancelAfter(steps)
        trio.run(live, instrument, record, instruments=[instrument])

        assert sorted(record.made) == sorted(number for number, _ in record.endings)
        assert record.failures == []
        assert descriptors() == before
    assert [thread for thread in threading.enumerate() if not thread.daemon] == [
        threading.main_thread()
    ]


class Unclosable(trio.abc.Stream):
    """A stream of the application that hangs, at its closing too."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.sleep_forever()

    async def wait_send_all_might_not_block(self) -> None:
        raise AssertionError

    async def aclose(self) -> None:
        await trio.sleep_forever()


@pytest.mark.alone
async def test_the_hard_stop_takes_half_a_second_at_most(blocker: Blocker) -> None:
    """With stuck threads, tasks that clean up slowly, and streams that don't close."""

    async def slow() -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    def script(connection: Connection, line: bytes) -> Message:
        return Run(blocker) if line == b"block" else Await(slow)

    async with serving(script) as stage:
        for line in (b"block\n", b"wait\n") * 3:
            await (await stage.peer()).send(line)
        stage.nursery.start_soon(stage.server.serve_stream, Unclosable())
        await until(lambda: len(stage.server.connections) == 7)
        await blocker.reached(3)
        began = trio.current_time()
        stage.scope.cancel()
        await stage.stopped.wait()

        assert trio.current_time() - began < 0.5 + 0.2
        assert len(stage.record.endings) == 7


async def test_the_listening_socket_is_gone_after_the_hard_stop() -> None:
    """The port, and a Unix socket's file, are free at once."""
    async with serving() as stage:
        port = stage.server.addresses[0].port
        stage.scope.cancel()
        await stage.stopped.wait()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=1)
        async with serving(bind=f"tcp://127.0.0.1:{port}") as again:
            await again.works()


async def test_a_unix_sockets_file_goes_with_the_server(tmp_path: Path) -> None:
    """Also after the hard stop."""
    path = tmp_path / "socket"
    record = Record()
    factory = partial(Scripted, script=echo, record=record)
    with trio.fail_after(5):
        for _ in range(2):
            async with trio.open_nursery() as nursery:
                await nursery.start(partial(serve, factory, f"unix:{path}", config=QUICK))
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(str(path))
                    client.sendall(b"line\n")
                    client.setblocking(False)
                    await trio.lowlevel.wait_readable(client)
                    assert client.recv(100) == b"line\n"
                nursery.cancel_scope.cancel()
            assert not path.exists()


async def test_slow_and_quick_peers_on_one_server() -> None:
    """A peer that reads a little at a time gets everything, while others come and go."""
    data = b"".join(b"%d\n" % number for number in range(200_000))
    config = evolve(QUICK, timeouts=Timeouts(write=1))
    async with serving(config=config) as stage:
        peer = await stage.peer(receive_buffer=4096)
        stage.nursery.start_soon(peer.send, data)
        heard = bytearray()
        while len(heard) < len(data):
            heard += await peer.stream.receive_some(10_000 + len(heard) // 4)
            if len(heard) < 200_000:
                await trio.sleep(0.005)
        assert data == heard
        await stage.works()
