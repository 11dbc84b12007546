"""Promise 6: a drain finishes what was begun, is bounded, and tells the truth about it."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator

import pytest
import trio
import trio.testing
from attrs import evolve

from speedo_trio import (
    Cause,
    CloseReason,
    Config,
    Connection,
    Drained,
    DrainReport,
    DrainStarted,
    Limits,
    Message,
    ServerClosed,
    Timeouts,
    Workers,
)
from tests.promises.scene import (
    QUICK,
    Await,
    Blocker,
    Peer,
    Run,
    Script,
    Scripted,
    Stage,
    after,
    echo,
    serving,
    until,
)

GRACE, KILL_AFTER = 0.4, 0.3
SLACK = 0.5
"""Seconds that a drain may take beyond its grace and its kill_after, always."""


class Unlimited(Scripted):
    """Lines of any length."""

    limit = 2**30


def ask_of(blocker: Blocker) -> dict[bytes, Message]:
    """Messages by what they do."""

    async def forever() -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    async def stubborn() -> bytes:
        while True:
            try:
                await trio.sleep_forever()
            except trio.Cancelled:
                return b"swallowed"

    return {
        b"block": Run(blocker),
        b"forever": Await(forever),
        b"stubborn": Await(stubborn),
        b"huge": Run(lambda: bytes(30_000_000)),
        b"raise": Run(lambda: b"%d" % (1 // 0)),
    }


def asking(blocker: Blocker) -> Script:
    """A script of these, and of echoes."""
    by_line = ask_of(blocker)
    return lambda connection, line: by_line.get(line) or echo(connection, line)


async def drain(stage: Stage, grace: float = GRACE, kill_after: float = KILL_AFTER) -> DrainReport:
    """Drain, and see that it keeps its bound."""
    began = trio.current_time()
    report = await stage.server.drain(grace, kill_after)
    took = trio.current_time() - began
    assert took <= grace + kill_after + SLACK
    await stage.stopped.wait()
    assert stage.report == report
    assert report.seconds >= took - 0.1
    return report


@pytest.mark.parametrize("line", [b"block", b"forever", b"stubborn", b"huge", b"quick"])
async def test_a_drain_is_bounded(line: bytes, blocker: Blocker) -> None:
    """Stuck threads, tasks that never end, peers that never read: all are within the bound."""
    async with serving(asking(blocker), kind=Unlimited) as stage:
        for _ in range(5):
            peer = await stage.peer(receive_buffer=4096)
            await peer.send(line + b"\n")
        await trio.sleep(0.05)
        await drain(stage)


@pytest.mark.alone
async def test_a_drain_under_a_flood_is_bounded() -> None:
    """Clients that go on sending don't keep it from ending, and get no reset for what they sent."""

    async def flood(peer: Peer) -> None:
        try:
            while True:
                await peer.send(b"line\n" * 1000)
        except trio.BrokenResourceError:
            pass

    async def drink(peer: Peer) -> None:
        try:
            while await peer.stream.receive_some(2**16):
                pass
        except trio.BrokenResourceError:
            pass

    async with serving() as stage:
        for index, peer in enumerate(await stage.peers_of(6)):
            stage.nursery.start_soon(flood, peer)
            if index % 2:
                stage.nursery.start_soon(drink, peer)
        await trio.sleep(0.1)
        await drain(stage)


class FaultyAtTheEnd(Scripted):
    """Raises in one of its callbacks, on every other connection, once ``late`` has come."""

    place: str

    def at(self, here: str) -> None:
        if self.place == here and self.connection.id % 2:
            raise ValueError(here)

    def handle(self, data: bytes) -> Iterator[Message]:
        if b"late" in data:
            self.at("handle")
        yield from super().handle(data) or ()
        if b"late" in data:
            self.at("generator")

    def failed(self, message: Message, error: BaseException) -> bytes:
        self.at("failed")
        return b"failed"

    def draining(self) -> list[Message]:
        self.at("draining")
        return [echo(self.connection, b"bye")]

    def closed(self, reason: CloseReason) -> None:
        super().closed(reason)
        self.at("closed")


@pytest.mark.parametrize("place", ["handle", "generator", "draining", "closed", "failed"])
async def test_errors_do_not_disturb_a_drain(place: str, blocker: Blocker) -> None:
    """A callback that raises while the server drains costs its connection its goodbye, no more."""

    class Here(FaultyAtTheEnd):
        pass

    Here.place = place
    async with serving(asking(blocker), kind=Here) as stage:
        peers = await stage.peers_of(6)
        for peer in peers:
            await peer.send(b"early\n")
            assert await peer.line() == b"early"
            peer.send_nowait(b"late\nraise\n")
        async with trio.open_nursery() as nursery:
            for number, peer in enumerate(peers, 1):
                nursery.start_soon(_leaves_with_goodbye, peer, number % 2 == 0)
            report = await drain(stage)

        assert report.connections == 6
        assert report.cut_connections == 0
        assert len(stage.record.endings) == 6
        assert len(stage.record.failures) == 3


async def _leaves_with_goodbye(peer: Peer, good: bool) -> None:  # noqa: FBT001
    rest = await peer.rest()
    if good:
        assert rest == b"late\nfailed\nbye\n"
    peer.close()


async def test_what_was_received_is_executed_and_answered() -> None:
    """Lanes, generators, the kernel's buffers: every line sent before the drain is answered."""
    config = evolve(QUICK, limits=Limits(lane_messages=2, read_bytes=64), workers=Workers(count=2))

    def script(connection: Connection, line: bytes) -> Message:
        return Run(lambda: after(0.001, line))

    async with serving(script, config=config) as stage:
        peers = await stage.peers_of(5)
        lines = b"".join(b"%d\n" % number for number in range(100))
        for peer in peers:
            peer.send_nowait(lines)
        async with trio.open_nursery() as nursery:
            for peer in peers:
                nursery.start_soon(_hears, peer, lines)
            report = await drain(stage, grace=5)

        assert report == DrainReport(
            connections=5,
            executed=report.executed,
            dropped_messages=0,
            dropped_bytes=0,
            cut_connections=0,
            abandoned_threads=0,
            seconds=report.seconds,
        )
        assert report.clean
        assert stage.record.causes == [Cause.DRAINED] * 5


async def _hears(peer: Peer, expected: bytes) -> None:
    assert expected == await peer.rest()
    peer.close()


async def test_what_arrives_with_the_drain_is_answered() -> None:
    """Bytes that the kernel has when the drain begins, and that no task has read yet, count."""
    async with serving() as stage:
        peer = await stage.peer()
        await trio.testing.wait_all_tasks_blocked()
        peer.send_nowait(b"line\n")
        stage.nursery.start_soon(stage.server.drain)

        assert await peer.rest() == b"line\n"


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("backlog", [1, 5, 4096])
async def test_who_waits_in_the_kernel_is_served(backlog: int, *, paused: bool) -> None:
    """Connections in the listen queue that have sent something are accepted and answered."""
    config = evolve(QUICK, limits=Limits(backlog=backlog))
    async with serving(config=config) as stage:
        if paused:
            stage.server.pause()
        await trio.testing.wait_all_tasks_blocked()
        address = stage.server.addresses[0]
        clients = []
        for _ in range(min(backlog + 1, 20)):
            client = socket.create_connection((address.host, address.port), timeout=1)
            client.send(b"line\n")
            clients.append(Peer(trio.SocketStream(trio.socket.from_stdlib_socket(client))))
        stage.peers += clients
        async with trio.open_nursery() as nursery:
            for peer in clients:
                nursery.start_soon(_hears, peer, b"line\n")
            report = await drain(stage, grace=3)

        assert report.connections == len(clients)
        assert report.executed == len(clients)
        assert report.clean


async def test_a_drain_in_the_tick_of_a_connection() -> None:
    """The listener may have been woken when its socket is closed."""
    for _ in range(10):
        async with serving() as stage:
            address = stage.server.addresses[0]

            async def connect_now(to: tuple[str, int] = (address.host, address.port)) -> None:
                with socket.create_connection(to) as client:
                    client.send(b"line\n")

            async with trio.open_nursery() as nursery:
                nursery.start_soon(stage.server.drain)
                nursery.start_soon(connect_now)
            await stage.stopped.wait()
            assert stage.report is not None


async def test_who_waits_for_room_is_told() -> None:
    """At the limit of connections the drain can take in nobody: those who wait see the end."""
    config = evolve(QUICK, limits=Limits(connections=1))
    async with serving(config=config) as stage:
        inside = await stage.peer()
        outside = await stage.peer(accepted=False)
        await outside.send(b"line\n")
        client, stream = trio.testing.memory_stream_pair()

        async def refused() -> None:
            with pytest.raises(ServerClosed):
                await stage.server.serve_stream(stream)
            assert await client.receive_some() == b""

        async with trio.open_nursery() as nursery:
            nursery.start_soon(refused)
            nursery.start_soon(_hears, inside, b"")
            await trio.testing.wait_all_tasks_blocked()
            await drain(stage)
        assert await outside.ended()


async def test_nobody_new_comes_in(blocker: Blocker) -> None:
    """Once the drain has begun, connecting is refused and streams are closed."""
    async with serving(asking(blocker)) as stage:
        peer = await stage.peer()
        await peer.send(b"block\n")
        await blocker.reached()
        address = stage.server.addresses[0]
        stage.nursery.start_soon(drain, stage)
        await trio.testing.wait_all_tasks_blocked()

        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address.host, address.port), timeout=1)
        client, stream = trio.testing.memory_stream_pair()
        with pytest.raises(ServerClosed):
            await stage.server.serve_stream(stream)
        assert await client.receive_some() == b""


async def test_unread_input_causes_no_reset() -> None:
    """A peer that goes on sending until it sees the end still gets its last replies."""

    class Polite(Scripted):
        def draining(self) -> list[Message]:
            return [Run(lambda: after(0.05, b"bye"))]

    async with serving(kind=Polite) as stage:
        peer = await stage.peer()
        await peer.send(b"line\n")
        assert await peer.line() == b"line"
        stage.nursery.start_soon(drain, stage)
        for _ in range(20):
            await trio.sleep(0.005)
            peer.send_nowait(b"too late\n")

        heard = await peer.rest()
        assert heard.endswith(b"bye\n")


async def test_the_goodbye_comes_last() -> None:
    """`draining` is called once, when all that was received has been handled; reading is over."""
    calls: list[str] = []

    class Polite(Scripted):
        def handle(self, data: bytes) -> Iterator[Message]:
            yield from super().handle(data) or ()
            calls.append("handled")

        def draining(self) -> list[Message]:
            calls.append("draining")
            return [echo(self.connection, b"good"), echo(self.connection, b"bye")]

    config = evolve(QUICK, limits=Limits(lane_messages=1))
    async with serving(kind=Polite, config=config) as stage:
        peer = await stage.peer()
        await peer.send(b"first\n")
        assert await peer.line() == b"first"
        peer.send_nowait(b"1\n2\n3\n4\n")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_hears, peer, b"1\n2\n3\n4\ngood\nbye\n")
            await drain(stage)

        assert calls == ["handled", "handled", "draining"]


async def test_no_goodbye_to_those_who_have_ended(blocker: Blocker) -> None:
    """A connection that ends for another reason is not asked for a goodbye."""

    class Polite(Scripted):
        def draining(self) -> list[Message]:
            return [echo(self.connection, b"bye")]

    async with serving(asking(blocker), kind=Polite) as stage:
        peer = await stage.peer()
        await peer.send(b"block\n")
        await peer.end()
        await blocker.reached()
        await trio.sleep(0.02)
        stage.nursery.start_soon(drain, stage, 2.0)
        await trio.testing.wait_all_tasks_blocked()
        blocker.free()

        assert await peer.rest() == b"free\n"


async def test_the_report_counts_what_was_lost(blocker: Blocker) -> None:
    """Messages not executed to their end, bytes not taken, connections cut, threads abandoned."""
    config = evolve(QUICK, workers=Workers(count=2))
    async with serving(asking(blocker), kind=Unlimited, config=config) as stage:
        slow = await stage.peer(receive_buffer=4096)
        await slow.send(b"huge\n")
        await until(lambda: stage.server.stats().sent > 0)
        await trio.sleep(0.05)
        stuck, stuck_too, queued, good = await stage.peers_of(4)
        await good.send(b"line\n")
        assert await good.line() == b"line"
        await stuck.send(b"block\nnever\nnever\n")
        await stuck_too.send(b"block\n")
        await blocker.reached(2)
        await queued.send(b"never\n" * 5)
        waiting = await stage.peer()
        await waiting.send(b"forever\nnever\n")
        await until(lambda: stage.server.stats().received == 5 + 5 + 18 + 6 + 30 + 14)
        sent = stage.server.stats().sent
        stage.nursery.start_soon(_hears, good, b"")
        report = await drain(stage)

        assert report.connections == 6
        assert report.dropped_messages == (1 + 2) + 1 + 5 + (1 + 1)
        assert report.dropped_bytes == 30_000_001 + 5 - sent
        assert report.cut_connections == 5
        assert report.abandoned_threads == 2
        assert report.executed == 0
        assert not report.clean
        assert [event for event in stage.record.events if isinstance(event, Drained)] == [
            Drained(report=report)
        ]


async def test_the_report_counts_what_was_executed(blocker: Blocker) -> None:
    """Messages that waited when the drain began, and the last words, are executed and counted."""

    class Polite(Scripted):
        def draining(self) -> list[Message]:
            return [echo(self.connection, b"bye")]

    config = evolve(QUICK, workers=Workers(count=1))
    async with serving(asking(blocker), kind=Polite, config=config) as stage:
        first, second = await stage.peers_of(2)
        await first.send(b"block\n1\n2\n")
        await blocker.reached()
        await second.send(b"3\n4\n5\n")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_hears, first, b"free\n1\n2\nbye\n")
            nursery.start_soon(_hears, second, b"3\n4\n5\nbye\n")

            async def free() -> None:
                await trio.sleep(0.05)
                blocker.free()

            nursery.start_soon(free)
            report = await drain(stage)

        assert report.executed == 3 + 3 + 2
        assert report.clean


async def test_lingering_is_not_cut() -> None:
    """A peer that was told everything and only doesn't hang up is no loss."""
    async with serving(config=evolve(QUICK, timeouts=Timeouts(linger=5.0))) as stage:
        peer = await stage.peer()
        await peer.send(b"line\n")
        assert await peer.line() == b"line"
        report = await drain(stage, grace=0.2)

        assert report.clean
        assert stage.record.causes == [Cause.DRAINED]


async def test_a_second_drain_shortens_the_first(blocker: Blocker) -> None:
    """Both return the same report, at the time that the hastier one asked for."""
    async with serving(asking(blocker)) as stage:
        peer = await stage.peer()
        await peer.send(b"block\n")
        await blocker.reached()
        reports: list[DrainReport] = []

        async def first() -> None:
            reports.append(await stage.server.drain(60, 60))

        stage.nursery.start_soon(first)
        await trio.sleep(0.1)
        reports.append(await drain(stage, 0.1, 0.1))
        await until(lambda: len(reports) == 2)

        assert reports[0] == reports[1]


async def test_a_second_drain_shortens_the_waiting_for_threads(blocker: Blocker) -> None:
    """Also when the grace is over already: it jumps to the end."""
    async with serving(asking(blocker)) as stage:
        peer = await stage.peer()
        await peer.send(b"block\n")
        await blocker.reached()
        stage.nursery.start_soon(stage.server.drain, 0.05, 60)
        await trio.sleep(0.2)
        await drain(stage, 0, 0)


async def test_a_second_drain_does_not_lengthen_the_first(blocker: Blocker) -> None:
    """The earlier end counts."""
    async with serving(asking(blocker)) as stage:
        peer = await stage.peer()
        await peer.send(b"block\n")
        await blocker.reached()
        stage.nursery.start_soon(stage.server.drain, 60, 60)
        await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(GRACE + KILL_AFTER + SLACK):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stage.server.drain, GRACE, KILL_AFTER)
                nursery.start_soon(stage.server.drain, 60, 60)


async def test_cancelling_the_caller_does_not_stop_the_drain() -> None:
    """Who waits for the drain may go away; it goes on."""
    async with serving() as stage:
        peer = await stage.peer()
        with trio.move_on_after(0.01):
            await stage.server.drain()
        assert await peer.rest() == b""
        peer.close()
        await stage.stopped.wait()

        assert stage.report is not None
        assert stage.report.clean
        assert stage.report == await stage.server.drain()


async def test_a_drain_that_the_hard_stop_overtakes(blocker: Blocker) -> None:
    """Whoever waits for the drain is told that there is no report."""
    async with serving(asking(blocker)) as stage:
        peer = await stage.peer()
        await peer.send(b"block\n")
        await blocker.reached()

        async def told() -> None:
            with pytest.raises(ServerClosed):
                await stage.server.drain(60)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(told)
            await trio.testing.wait_all_tasks_blocked()
            stage.scope.cancel()
        assert stage.report is None


@pytest.mark.parametrize("late", ["reply", "error", "write", "abort"])
async def test_what_an_abandoned_thread_does_late_harms_nobody(late: str, blocker: Blocker) -> None:
    """It may end when the server, the connection and the file descriptor are long gone."""
    ended = threading.Event()

    def script(connection: Connection, line: bytes) -> Message:
        def execute() -> bytes:
            blocker()
            try:
                if late == "error":
                    raise ValueError("too late")
                if late == "write":
                    assert not connection.write(b"too late")
                if late == "abort":
                    connection.abort()
                    connection.close()
                return b"too late"
            finally:
                ended.set()

        return Run(execute)

    async with serving(script) as stage:
        peer = await stage.peer()
        await peer.send(b"block\nnever\n")
        await blocker.reached()
        report = await drain(stage, 0.05, 0.05)
        assert report.abandoned_threads == 1
    async with serving() as other:  # gets the same descriptors
        peers = await other.peers_of(3)
        blocker.free()
        await trio.to_thread.run_sync(ended.wait, 5)
        await trio.sleep(0.05)
        for peer in peers:
            await peer.send(b"line\n")
            assert await peer.line() == b"line"


def test_a_connection_outlives_its_run() -> None:
    """What a foreign thread does with a connection when Trio itself is gone is in vain, no more."""
    kept: list[Connection] = []

    async def run() -> None:
        async with serving() as stage:
            await stage.peer()
            kept.extend(stage.server.connections)
            await stage.server.drain(0.05, 0)

    trio.run(run)
    (connection,) = kept

    assert not connection.write(b"too late")
    connection.close()
    connection.abort()


async def test_a_drain_with_nobody_there() -> None:
    """It ends at once, with a clean report, and says so to the observer."""
    async with serving() as stage:
        report = await drain(stage, 0, 0)

        assert report.clean
        assert report.connections == 0
        names = [type(event) for event in stage.record.events]
        assert names[-2:] == [DrainStarted, Drained]


async def test_a_drain_while_paused_with_nobody_there() -> None:
    """A paused server drains as any other, and streams that wait are told."""
    async with serving() as stage:
        stage.server.pause()
        client, stream = trio.testing.memory_stream_pair()

        async def refused() -> None:
            with pytest.raises(ServerClosed):
                await stage.server.serve_stream(stream)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(refused)
            await trio.testing.wait_all_tasks_blocked()
            await drain(stage)
        assert await client.receive_some() == b""


async def test_a_stream_goes_on_after_a_pause() -> None:
    """A stream that waits while the server is paused is served when it resumes."""
    async with serving() as stage:
        stage.server.pause()
        client, stream = trio.testing.memory_stream_pair()
        stage.nursery.start_soon(stage.server.serve_stream, stream)
        await client.send_all(b"line\n")
        await trio.testing.wait_all_tasks_blocked()
        stage.server.resume()

        assert await client.receive_some() == b"line\n"


async def test_streams_are_drained() -> None:
    """A connection over a stream gets its goodbye and its end too."""

    class Polite(Scripted):
        def draining(self) -> list[Message]:
            return [echo(self.connection, b"bye")]

    async with serving(kind=Polite) as stage:
        client, stream = trio.testing.memory_stream_pair()
        stage.nursery.start_soon(stage.server.serve_stream, stream)
        await client.send_all(b"line\n")
        assert await client.receive_some() == b"line\n"
        async with trio.open_nursery() as nursery:

            async def hear() -> None:
                assert await client.receive_some() == b"bye\n"
                assert await client.receive_some() == b""
                await client.aclose()

            nursery.start_soon(hear)
            report = await drain(stage)
        assert report.clean


async def test_a_drain_during_a_drain_of_idle_peers_takes_no_time() -> None:
    """Peers that hang up when they see the end are not waited for."""
    async with serving(config=Config()) as stage:
        peers = await stage.peers_of(50)
        async with trio.open_nursery() as nursery:
            for peer in peers:
                nursery.start_soon(_hears, peer, b"")
            report = await drain(stage, grace=10)
        assert report.seconds < 1


async def test_a_reset_during_a_drain(blocker: Blocker) -> None:
    """Peers that vanish while the server drains are no loss."""
    async with serving(asking(blocker)) as stage:
        peers = await stage.peers_of(4)
        for peer in peers[:2]:
            await peer.send(b"block\n")
        await blocker.reached(2)

        async def vanish() -> None:
            await trio.sleep(0.05)
            linger = struct.pack("ii", 1, 0)
            for peer in peers:
                peer.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                peer.close()
            blocker.free()

        stage.nursery.start_soon(vanish)
        report = await drain(stage, grace=2)

        assert report.cut_connections == 0
        assert report.dropped_messages == 0
        assert len(stage.record.endings) == 4
