"""The server: where it listens, whom it lets in, what it counts, and how it ends."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
import trio.testing
from attrs import define, field
from trio.testing import wait_all_tasks_blocked

from speedo_trio.config import Config, Limits, Timeouts, Workers
from speedo_trio.errors import BindError, ConfigError, ProtocolError, ServerClosed
from speedo_trio.events import (
    Address,
    Cause,
    CloseReason,
    ConnectionEnded,
    ConnectionOpened,
    ConnectionRefused,
    Drained,
    DrainReport,
    DrainStarted,
    Event,
    Listening,
    Pause,
    Refusal,
)
from speedo_trio.protocol.handler import Connection, ProtocolHandler
from speedo_trio.protocol.message import Message
from speedo_trio.server import Server, serve
from speedo_trio.testing import serve_in_memory

if TYPE_CHECKING:
    from tests.conftest import Gate

FOREIGN = "tcp://192.0.2.1:1"  # RFC 5737: nobody's


@define
class Say(Message):
    """Replies, in a thread; does something before."""

    reply: bytes
    does: Callable[[], object] = bool

    def execute(self) -> bytes:
        self.does()
        return self.reply


@define
class SayAsync(Message):
    """Replies, in a task; awaits something before."""

    reply: bytes
    awaits: Callable[[], Any] = trio.lowlevel.checkpoint

    async def execute(self) -> bytes:
        await self.awaits()
        return self.reply


class Bytes(ProtocolHandler):
    """A message for each byte: H is held at the gate, S sleeps for ever, others come back."""

    def __init__(self, connection: Connection, served: Served) -> None:
        super().__init__(connection)
        self.served = served

    def handle(self, data: bytes) -> Iterable[Message]:
        for byte in data:
            reply = bytes([byte])
            if reply == b"H":
                assert self.served.gate is not None
                yield Say(reply, self.served.gate.hold)
            elif reply == b"S":
                yield SayAsync(reply, trio.sleep_forever)
            else:
                yield Say(reply)

    def closed(self, reason: CloseReason) -> None:
        self.served.reasons.append(reason)


@define(eq=False)
class Served:
    """What is known of a server."""

    gate: Gate | None = None
    events: list[Event] = field(factory=list)
    reasons: list[CloseReason] = field(factory=list)
    clients: list[trio.abc.Stream] = field(factory=list)
    report: DrainReport | None = None
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    server: Server = field(init=False)
    nursery: trio.Nursery = field(init=False)

    async def run(self, binds: tuple[str, ...], config: Config, task_status: Any) -> None:
        """Serve; `scope` cancels only this."""
        factory = partial(Bytes, served=self)
        with self.scope:
            self.report = await serve(
                factory, *binds, config=config, observer=self.events.append, task_status=task_status
            )

    async def connect(self, which: int = 0) -> trio.SocketStream:
        """A client on one of the addresses."""
        address = self.server.addresses[which]
        if address.scheme == "unix":
            stream = await trio.open_unix_socket(address.path)
        else:
            stream = await trio.open_tcp_stream(address.host, address.port)
        self.clients.append(stream)
        return stream

    def attach(self) -> trio.StapledStream[Any, Any]:
        """A client in memory."""
        ours, theirs = trio.testing.memory_stream_pair()
        self.nursery.start_soon(self.server.serve_stream, theirs)
        return ours


@asynccontextmanager
async def serving(*binds: str, gate: Gate | None = None, **sections: Any) -> AsyncIterator[Served]:
    """Serve for the block; at its end the server is stopped, if it still runs."""
    served = Served(gate)
    async with trio.open_nursery() as nursery:
        served.nursery = nursery
        served.server = await nursery.start(served.run, binds, Config(**sections))
        try:
            with trio.fail_after(20):
                yield served
        finally:
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):  # closing by force doesn't wait
                for client in served.clients:
                    await trio.aclose_forcefully(client)


LOOPBACK = "tcp://127.0.0.1:0"


async def eventually(condition: Callable[[], object]) -> None:
    """Wait for what threads and sockets bring about."""
    with trio.fail_after(10):
        while not condition():  # noqa: ASYNC110  # threads ring no bell here
            await trio.sleep(0.001)


async def settled() -> None:
    """Let everything happen that can without the threads that a gate holds."""
    for _ in range(20):
        await wait_all_tasks_blocked()


async def talk(client: trio.abc.Stream, data: bytes) -> None:
    """Send, and receive the same."""
    await client.send_all(data)
    received = bytearray()
    with trio.fail_after(10):
        while len(received) < len(data):
            more = await client.receive_some()
            assert more
            received += more
    assert received == data


async def end_of(client: trio.abc.ReceiveStream) -> bytes:
    """What a client receives until the end."""
    received = bytearray()
    with trio.fail_after(10):
        try:
            while data := await client.receive_some():
                received += data
        except trio.BrokenResourceError:
            pass  # a reset is an end too
    return bytes(received)


def refuses(address: Address) -> bool:
    """Whether nobody listens there any more."""
    try:
        socket.create_connection((address.host, address.port)).close()
    except ConnectionRefusedError:
        return True
    return False


def names_in(folder: Path) -> list[str]:
    """What is there."""
    return [path.name for path in folder.iterdir()]


# Where it listens


async def test_addresses_are_the_real_ones(tmp_path: Path) -> None:
    """Every bind's, ports filled in, in order; the observer is told the same, first of all."""
    async with serving("tcp://localhost:0", f"unix:{tmp_path}/s", LOOPBACK) as served:
        four, six, unix, other = served.server.addresses

        assert (four.host, six.host, other.host) == ("127.0.0.1", "::1", "127.0.0.1")
        assert four.port == six.port != 0
        assert other.port not in {0, four.port}
        assert str(unix) == f"unix:{tmp_path}/s"
        assert served.events == [Listening(addresses=(four, six, unix, other))]
        for which in range(4):
            await talk(await served.connect(which), b"hello")


async def test_no_address_is_allowed() -> None:
    """Then peers come by serve_stream() only."""
    async with serving() as served:
        assert served.server.addresses == ()
        await talk(served.attach(), b"abc")


async def test_serve_returns_what_the_drain_did() -> None:
    """When the server is drained, serve() is over."""
    async with serving(LOOPBACK) as served:
        client = await served.connect()
        await talk(client, b"abc")
        await client.aclose()
        report = await served.server.drain()
        await eventually(lambda: served.report)

        assert served.report is report


def test_serve_is_a_whole_program() -> None:
    """As trio.run(serve, …), with nothing around it."""

    def drain(event: Event) -> None:
        if isinstance(event, Listening):
            trio.lowlevel.spawn_system_task(stop)

    async def stop() -> None:
        server = servers.pop()
        await server.drain()

    servers: list[Server] = []

    class Status:
        def started(self, value: Server) -> None:
            servers.append(value)

    report: DrainReport = trio.run(
        partial(serve, Bytes, LOOPBACK, observer=drain, task_status=Status())  # type: ignore[arg-type]  # takes one more
    )
    assert report.clean
    assert report.connections == 0


@pytest.mark.parametrize("text", ["nonsense", "tcp://localhost", "unix:relative"])
async def test_bind_that_cannot_be_parsed(text: str, tmp_path: Path) -> None:
    """Is told before anything is opened."""
    with pytest.raises(BindError):
        await serve(Bytes, f"unix:{tmp_path}/s", text)  # type: ignore[arg-type]  # never called

    assert names_in(tmp_path) == []


async def test_bind_that_cannot_be_opened_leaves_nothing(tmp_path: Path) -> None:
    """What was opened before it is closed, and its file removed."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    with pytest.raises(BindError, match=FOREIGN):
        await serve(Bytes, f"tcp://127.0.0.1:{port}", f"unix:{tmp_path}/s", FOREIGN)  # type: ignore[arg-type]  # as above

    assert refuses(Address("tcp", "127.0.0.1", port))
    assert names_in(tmp_path) == []


async def test_bind_error_comes_out_of_start_as_it_is() -> None:
    """Not inside a group."""
    async with trio.open_nursery() as nursery:
        with pytest.raises(BindError):
            await nursery.start(serve, Bytes, FOREIGN)


async def test_port_in_use(tmp_path: Path) -> None:
    """Two servers don't share an address; the first goes on."""
    async with serving(LOOPBACK, f"unix:{tmp_path}/s") as served:
        for address in served.server.addresses:
            with pytest.raises(BindError, match="cannot listen on"):
                await serve(Bytes, str(address))  # type: ignore[arg-type]  # as above
        for which in range(2):
            await talk(await served.connect(which), b"x")


async def test_two_servers_in_one_application(tmp_path: Path) -> None:
    """They share nothing; the end of one is not the other's."""
    async with serving(LOOPBACK) as one, serving(LOOPBACK) as other:
        first, second = await one.connect(), await other.connect()
        await talk(first, b"one")
        await talk(second, b"other")
        assert [connection.id for connection in one.server.connections] == [1]
        assert [connection.id for connection in other.server.connections] == [1]
        assert (one.server.stats().executed, other.server.stats().executed) == (3, 5)

        await first.aclose()
        await one.server.drain()
        await talk(second, b"still here")
        assert not other.server.stats().draining


async def test_server_after_server_on_one_address() -> None:
    """A restart needs no waiting."""
    async with serving(LOOPBACK) as first:
        client = await first.connect()
        await talk(client, b"x")
        bind = str(first.server.addresses[0])
        await first.server.drain(grace=0.1)
        async with serving(bind) as second:
            await talk(await second.connect(), b"y")


# Whom it lets in


async def test_full_server_lets_peers_wait() -> None:
    """They are served when there is room."""
    async with serving(LOOPBACK, limits=Limits(connections=2)) as served:
        first, second = await served.connect(), await served.connect()
        await talk(first, b"1")
        await talk(second, b"2")
        third = await served.connect()
        await third.send_all(b"3")
        await settled()
        assert len(served.server.connections) == 2
        assert served.server.stats().accepted == 2

        await first.aclose()
        assert await third.receive_some(1) == b"3"
        assert served.server.stats().refused == 0


async def test_full_server_may_refuse() -> None:
    """It closes new peers at once, tells of them and counts them."""
    async with serving(LOOPBACK, limits=Limits(connections=1, when_full="refuse")) as served:
        first = await served.connect()
        await talk(first, b"1")
        for refused in (1, 2):
            over = await served.connect()
            name = over.socket.getsockname()
            assert await end_of(over) == b""
            assert served.events[-1] == ConnectionRefused(
                peer=Address("tcp", name[0], name[1]), why=Refusal.FULL, limit=1
            )
            assert served.server.stats().refused == refused
            assert served.server.stats().refusals == {Refusal.FULL: refused}
        await talk(first, b"still")
        await first.aclose()
        await eventually(lambda: not served.server.connections)

        await talk(await served.connect(), b"again")
        assert served.server.stats().accepted == 2


async def test_paused_server_lets_peers_wait() -> None:
    """Those open are served; new ones when it is resumed."""
    async with serving(LOOPBACK) as served:
        first = await served.connect()
        await talk(first, b"1")
        served.server.pause()
        served.server.pause()
        assert served.server.stats().paused
        second = await served.connect()
        await second.send_all(b"2")
        await talk(first, b"goes on")
        await settled()
        assert len(served.server.connections) == 1

        served.server.resume()
        served.server.resume()
        assert await second.receive_some(1) == b"2"
        assert not served.server.stats().paused


async def test_paused_and_resumed_and_paused() -> None:
    """The last word counts."""
    async with serving(LOOPBACK) as served:
        for pause in (True, False, True):
            (served.server.pause if pause else served.server.resume)()
        client = await served.connect()
        await client.send_all(b"x")
        await settled()
        assert served.server.connections == ()

        served.server.resume()
        assert await client.receive_some(1) == b"x"


@pytest.mark.parametrize("paused_first", [False, True])
async def test_paused_server_refuses_nobody(*, paused_first: bool) -> None:
    """Though it is full: new peers wait in the kernel as it says."""
    async with serving(LOOPBACK, limits=Limits(connections=1, when_full="refuse")) as served:
        if paused_first:
            ours = served.attach()
            await talk(ours, b"x")
            served.server.pause()
        else:
            ours = served.attach()
            await talk(ours, b"x")
            await settled()
            served.server.pause()
        client = await served.connect()
        await client.send_all(b"y")
        await settled()
        assert served.server.stats().refused == 0

        await ours.send_eof()
        await eventually(lambda: not served.server.connections)
        served.server.resume()
        assert await client.receive_some(1) == b"y"


async def test_idle_connections_are_closed() -> None:
    """On sockets as everywhere; those of a server without the setting stay."""
    async with serving(LOOPBACK, timeouts=Timeouts(idle=0.02)) as served:
        client = await served.connect()
        assert await end_of(client) == b""
        await client.aclose()
        await eventually(lambda: served.reasons == [CloseReason(Cause.IDLE)])


# Any stream


async def test_serve_stream_returns_when_the_connection_has_ended() -> None:
    """And has closed the stream, and told the handler."""
    async with serving() as served:
        ours, theirs = trio.testing.memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(served.server.serve_stream, theirs)
            await talk(ours, b"abc")
            await ours.send_eof()

        assert served.reasons == [CloseReason(Cause.EOF)]
        assert await end_of(ours) == b""
        with pytest.raises(trio.ClosedResourceError):
            await theirs.receive_some()


async def test_serve_stream_waits_for_room() -> None:
    """It counts as a connection."""
    async with serving(LOOPBACK, limits=Limits(connections=1)) as served:
        first = await served.connect()
        await talk(first, b"1")
        second = served.attach()
        await second.send_all(b"2")
        await settled()
        assert len(served.server.connections) == 1

        await first.aclose()
        assert await second.receive_some(1) == b"2"


async def test_serve_stream_waits_while_paused() -> None:
    """Until the server is resumed."""
    async with serving() as served:
        served.server.pause()
        client = served.attach()
        await client.send_all(b"x")
        await settled()
        assert served.server.connections == ()

        served.server.resume()
        with trio.fail_after(5):
            assert await client.receive_some(1) == b"x"


@pytest.mark.parametrize("when", ["running", "waiting"])
async def test_cancelled_serve_stream_aborts(when: str) -> None:
    """The stream is closed in either case."""
    async with serving() as served:
        if when == "waiting":
            served.server.pause()
        ours, theirs = trio.testing.memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(served.server.serve_stream, theirs)
            if when == "running":
                await talk(ours, b"x")
            else:
                await settled()
            nursery.cancel_scope.cancel()

        assert await end_of(ours) == b""
        await eventually(lambda: not served.server.connections)
        expected = [CloseReason(Cause.ABORTED)] if when == "running" else []
        assert served.reasons == expected


@pytest.mark.parametrize("waits_for", ["resume", "room", "nothing"])
@pytest.mark.parametrize("how", ["drain", "stop"])
async def test_serve_stream_of_a_server_that_ends(waits_for: str, how: str) -> None:
    """Whatever it waits for: ServerClosed, and the stream is closed."""
    for _ in range(5):  # which task goes first is a matter of luck
        async with serving(limits=Limits(connections=1)) as served:
            told: list[str] = []

            async def attach(stream: trio.abc.Stream, served: Served, told: list[str]) -> None:
                with pytest.raises(ServerClosed) as closed:
                    await served.server.serve_stream(stream)
                told.append(str(closed.value))

            if waits_for == "resume":
                served.server.pause()
            elif waits_for == "room":
                first = served.attach()
                await talk(first, b"x")
            ours, theirs = trio.testing.memory_stream_pair()
            if waits_for != "nothing":
                served.nursery.start_soon(attach, theirs, served, told)
                await settled()
            if how == "drain":
                await served.server.drain(grace=0, kill_after=0)
            else:
                served.scope.cancel()
                await settled()
            if waits_for == "nothing":
                served.nursery.start_soon(attach, theirs, served, told)
            await eventually(lambda told=told: told)  # type: ignore[misc]  # binds this round's

            assert "no new connection" in told[0]
            assert await end_of(ours) == b""
            assert served.server.connections == ()


async def test_serve_stream_during_a_drain(gate: Gate) -> None:
    """The server takes no new connection while it ends the old ones."""
    async with serving(gate=gate) as served:
        client = served.attach()
        await client.send_all(b"H")
        await gate.arrival()
        served.nursery.start_soon(served.server.drain)
        await settled()
        ours, theirs = trio.testing.memory_stream_pair()
        with trio.fail_after(5), pytest.raises(ServerClosed):
            await served.server.serve_stream(theirs)

        assert await end_of(ours) == b""


class Broken(trio.abc.Stream):
    """A stream that breaks its contract at one of its steps, with an error of its own."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.received = False

    def _step(self, here: str) -> None:
        if here == self.where:
            raise RuntimeError(f"{here} is broken")

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self._step("send_all")

    async def wait_send_all_might_not_block(self) -> None:
        raise AssertionError

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        self._step("receive_some")
        if self.received:
            await trio.sleep(0.01)
            return b""
        self.received = True
        return b"x"

    async def aclose(self) -> None:
        self._step("aclose")


@pytest.mark.parametrize("where", ["receive_some", "send_all", "aclose"])
async def test_broken_stream_costs_only_its_connection(where: str) -> None:
    """The application brought it; the server goes on."""
    async with serving() as served:
        with trio.fail_after(5):
            await served.server.serve_stream(Broken(where))
        assert len(served.reasons) == 1
        await talk(served.attach(), b"others")


# What it counts


async def test_stats_of_a_server_at_rest() -> None:
    """Nothing yet."""
    async with serving(LOOPBACK) as served:
        stats = served.server.stats()

        nothing = {"int": 0, "bool": False}
        assert attrs.asdict(stats) == {
            field.name: nothing.get(str(field.type), {}) for field in attrs.fields(type(stats))
        }


async def test_stats_of_a_server_at_work(gate: Gate) -> None:
    """Connections, bytes, messages and workers, at that moment."""
    async with serving(LOOPBACK, gate=gate, workers=Workers(count=1)) as served:
        first, second = await served.connect(), await served.connect()
        await talk(first, b"abc")
        await first.send_all(b"Hxyz")
        await gate.arrival()
        await second.send_all(b"12")
        await eventually(lambda: served.server.stats().received == 9)
        await settled()
        stats = served.server.stats()

        assert (stats.connections, stats.accepted, stats.refused) == (2, 2, 0)
        assert (stats.received, stats.sent) == (9, 3)
        assert stats.executed == 3
        assert 5 <= stats.waiting <= 6  # the one that is executed may count
        assert (stats.ready, stats.busy, stats.threads) == (1, 1, 1)
        assert (stats.paused, stats.draining, stats.dropped) == (False, False, 0)


async def test_stats_keep_what_ended_connections_did(gate: Gate) -> None:
    """Sums only grow; what an aborted connection had waiting is not counted as dropped."""
    async with serving(gate=gate) as served:
        for _ in range(3):
            client = served.attach()
            await talk(client, b"abc")
            await client.send_eof()
            await end_of(client)
        await eventually(lambda: not served.server.connections)
        stats = served.server.stats()
        assert (stats.connections, stats.accepted) == (0, 3)
        assert (stats.received, stats.sent, stats.executed) == (9, 9, 9)

        client = served.attach()
        await client.send_all(b"Hxyz")
        await gate.arrival()
        await settled()
        served.server.connections[0].abort()
        gate.open()
        await eventually(lambda: not served.server.connections)
        assert served.server.stats().dropped == 0
        assert served.server.stats().waiting == 0


async def test_stats_are_a_snapshot() -> None:
    """They stay as they were."""
    async with serving() as served:
        before = served.server.stats()
        await talk(served.attach(), b"x")

        assert before.accepted == 0
        assert served.server.stats().accepted == 1
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            before.accepted = 2  # type: ignore[misc]  # is what is tested


async def test_stats_of_a_connection(gate: Gate) -> None:
    """What it alone is doing, and has done."""
    async with serving(LOOPBACK, gate=gate) as served:
        first, other = await served.connect(), await served.connect()
        await talk(first, b"abc")
        await talk(other, b"x")
        await first.send_all(b"Hyz")
        await gate.arrival()
        began = trio.current_time()
        await settled()
        stats = served.server.connection_stats(1)

        name = first.socket.getsockname()
        assert (stats.id, stats.peer) == (1, Address("tcp", name[0], name[1]))
        assert stats.local == served.server.addresses[0]
        assert (stats.tls, stats.websocket, stats.proxy) == (None, None, None)
        assert 0 < stats.seconds < trio.current_time() - began + 10
        assert (stats.received, stats.sent, stats.executed) == (6, 3, 3)
        assert 2 <= stats.waiting <= 3  # the one that is executed may count
        assert stats.unsent == 0


async def test_stats_of_a_connection_that_does_not_read() -> None:
    """What waits to be sent."""
    async with serving() as served:
        ours, theirs = trio.testing.lockstep_stream_pair()
        served.nursery.start_soon(served.server.serve_stream, theirs)
        await ours.send_all(b"abc")
        await eventually(lambda: served.server.stats().executed == 3)
        await settled()

        assert served.server.connection_stats(1).unsent == 3
        assert served.server.connection_stats(1).sent == 0


@pytest.mark.parametrize("number", [0, 1, 2, -1])
async def test_stats_of_a_connection_that_is_not_open(number: int) -> None:
    """Never or no longer: a LookupError."""
    async with serving(LOOPBACK) as served:
        client = await served.connect()
        await talk(client, b"x")
        await client.aclose()
        await eventually(lambda: not served.server.connections)
        with pytest.raises(LookupError):
            served.server.connection_stats(number)


async def test_connections_are_those_open_now() -> None:
    """With which an application can end or push to them."""
    async with serving(LOOPBACK) as served:
        client = await served.connect()
        await talk(client, b"x")
        (connection,) = served.server.connections

        assert connection.peer.port == client.socket.getsockname()[1]
        assert connection.local == served.server.addresses[0]
        connection.write(b"news")
        connection.close()
        assert await end_of(client) == b"news"
        await client.aclose()
        await eventually(lambda: served.server.connections == ())


async def test_observer_that_raises_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """What it raises is logged, and the server goes on."""

    def observe(event: Event) -> None:
        raise ValueError("a bad observer")

    caplog.set_level(logging.ERROR, "speedo_trio")
    async with trio.open_nursery() as nursery:
        served = Served()
        start = partial(serve, partial(Bytes, served=served), observer=observe)
        server: Server = await nursery.start(start)
        ours, theirs = trio.testing.memory_stream_pair()
        nursery.start_soon(server.serve_stream, theirs)
        await talk(ours, b"x")
        await ours.send_eof()
        report = await server.drain()

    assert report.clean
    told = (Listening, ConnectionOpened, DrainStarted, ConnectionEnded, Drained)
    assert [record.getMessage().partition("(")[0] for record in caplog.records] == [
        f"the observer raised on {kind.__name__}" for kind in told
    ]
    assert "a bad observer" in caplog.text


async def test_servers_share_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """Each that is given no observer has a log of its own: none withholds another's lines."""

    class Broken(ProtocolHandler):
        def handle(self, data: bytes) -> None:
            raise ProtocolError("no")

    caplog.set_level(logging.INFO)
    for _ in range(2):
        async with serve_in_memory(Broken) as server:
            client = server.connect()
            await client.send_all(b"x")
            assert await client.receive_some() == b""

    assert [message.endswith("ProtocolError: no") for message in caplog.messages] == [True] * 2


async def test_interrupt_in_the_observer_ends_the_program() -> None:
    """Control-C is the user's, wherever it strikes."""

    def observe(event: Event) -> None:
        raise KeyboardInterrupt

    with trio.fail_after(5), pytest.raises(BaseExceptionGroup) as group:
        await serve(Bytes, LOOPBACK, observer=observe)  # type: ignore[arg-type]  # never called
    assert group.value.subgroup(KeyboardInterrupt) is not None


# The drain


async def test_drain_reports(gate: Gate) -> None:
    """What was executed in it, and that nothing was lost; the observer gets the same."""
    async with serving(LOOPBACK, gate=gate) as served:
        client = await served.connect()
        await talk(client, b"before")
        await client.send_all(b"Hxyz")
        await gate.arrival()
        reports: list[DrainReport] = []

        async def drain() -> None:
            reports.append(await served.server.drain(grace=10))

        served.nursery.start_soon(drain)
        await settled()
        assert served.server.stats().draining
        started = served.events[-1]
        assert isinstance(started, DrainStarted)
        assert started.connections == 1
        assert 9 < started.grace <= 10
        gate.open()
        assert await end_of(client) == b"Hxyz"
        await client.aclose()
        await eventually(lambda: reports)

        (report,) = reports
        assert report.clean
        assert (report.connections, report.executed) == (1, 4)
        assert 0 < report.seconds < 5
        assert list(map(type, served.events)) == [
            *(Listening, ConnectionOpened, DrainStarted, ConnectionEnded, Drained)
        ]
        assert served.events[-1] == Drained(report=report)
        assert served.reasons == [CloseReason(Cause.DRAINED)]


async def test_states() -> None:
    """They are told without looking at every connection."""

    def state(server: Server) -> tuple[bool, bool, bool]:
        return server.paused, server.draining, server.ended

    async with serving(LOOPBACK) as served:
        server = served.server
        states = [state(server)]
        server.pause()
        states.append(state(server))
        server.resume()
        client = await served.connect()
        await talk(client, b"x")
        served.nursery.start_soon(server.drain)
        await settled()
        states.append(state(server))
        await client.aclose()
        await eventually(lambda: served.report)
        states.append(state(server))

    assert states == [
        (False, False, False),
        (True, False, False),
        (False, True, False),
        (False, True, True),
    ]


async def test_a_server_that_was_stopped_has_ended() -> None:
    """Though it never drained."""
    async with serving(LOOPBACK) as served:
        served.scope.cancel()
        await eventually(lambda: served.server.ended)

        assert not served.server.draining


async def test_drain_stops_listening_at_once(gate: Gate, tmp_path: Path) -> None:
    """While the old connections are finished nobody new comes, and the paths are free."""
    async with serving(LOOPBACK, f"unix:{tmp_path}/s", gate=gate) as served:
        client = await served.connect()
        await client.send_all(b"H")
        await gate.arrival()
        served.nursery.start_soon(served.server.drain)
        await settled()

        assert refuses(served.server.addresses[0])
        assert names_in(tmp_path) == []


async def test_drain_takes_a_paused_server_too() -> None:
    """Peers that waited in the kernel are served, and told goodbye."""
    async with serving(LOOPBACK) as served:
        served.server.pause()
        client = await served.connect()
        await client.send_all(b"waited")
        served.nursery.start_soon(served.server.drain)

        assert await end_of(client) == b"waited"


@pytest.mark.alone
async def test_drain_counts_what_it_drops(gate: Gate) -> None:
    """At the end of the grace: messages, connections, threads."""
    async with serving(LOOPBACK, gate=gate) as served:
        blocked, sleeping = await served.connect(), await served.connect()
        await blocked.send_all(b"Hxyz")
        await sleeping.send_all(b"Sab")
        await gate.arrival()
        await eventually(lambda: served.server.stats().busy == 2)
        await settled()
        report = await served.server.drain(grace=0.05, kill_after=0.05)

        assert not report.clean
        assert report.cut_connections == 2
        assert report.abandoned_threads == 1
        assert report.dropped_messages == 7
        assert report.dropped_bytes == 0
        assert report.executed == 0
        assert 0.1 <= report.seconds < 0.6
        assert [reason.cause for reason in served.reasons] == [Cause.GRACE_OVER] * 2


async def test_drain_counts_unsent_bytes() -> None:
    """Replies that a peer did not read in time."""
    async with serving() as served:
        ours, theirs = trio.testing.lockstep_stream_pair()
        served.nursery.start_soon(served.server.serve_stream, theirs)
        await ours.send_all(b"abc")
        await eventually(lambda: served.server.stats().executed == 3)
        await settled()
        report = await served.server.drain(grace=0.05)

        assert (report.dropped_bytes, report.dropped_messages) == (3, 0)
        assert report.cut_connections == 1


async def test_every_drain_gets_the_same_report() -> None:
    """Those that wait together, and one that comes after the end."""
    async with serving() as served:
        reports: list[DrainReport] = []

        async def drain() -> None:
            reports.append(await served.server.drain())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain)
            nursery.start_soon(drain)
        await drain()

        assert reports[0] is reports[1] is reports[2]


async def test_second_drain_shortens_the_grace(gate: Gate) -> None:
    """But never lengthens it."""
    async with serving(gate=gate) as served:
        client = served.attach()
        await client.send_all(b"S")
        await eventually(lambda: served.server.stats().busy)
        begun = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(served.server.drain, 15)
            await settled()
            nursery.start_soon(served.server.drain, 0.05)
            await settled()
            nursery.start_soon(served.server.drain, 15)

        assert 0.05 <= trio.current_time() - begun < 2


async def test_second_drain_shortens_the_wait_for_threads(gate: Gate) -> None:
    """Though that has begun already: the second signal jumps to the end."""
    async with serving(gate=gate) as served:
        client = served.attach()
        await client.send_all(b"H")
        await gate.arrival()
        begun = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(served.server.drain, 0, 15)
            await end_of(client)  # the grace is over
            await settled()
            assert served.reasons == []
            report = await served.server.drain(0, 0)

        assert trio.current_time() - begun < 2
        assert report.abandoned_threads == 1


async def test_drain_may_wait_for_threads_longer_than_configured(gate: Gate) -> None:
    """A number given is the number taken."""
    async with serving(gate=gate, timeouts=Timeouts(kill_after=0.0, grace=0.0)) as served:
        client = served.attach()
        await client.send_all(b"H")
        await gate.arrival()
        reports: list[DrainReport] = []

        async def drain() -> None:
            reports.append(await served.server.drain(kill_after=15))

        served.nursery.start_soon(drain)
        await end_of(client)
        await settled()
        gate.open()
        await eventually(lambda: reports)

        assert reports[0].abandoned_threads == 0
        assert reports[0].cut_connections == 1


async def test_drain_takes_its_times_from_the_config() -> None:
    """When it is given none."""
    async with serving(timeouts=Timeouts(grace=0.1, kill_after=0.1)) as served:
        client = served.attach()
        await client.send_all(b"S")
        await eventually(lambda: served.server.stats().busy)
        report = await served.server.drain()

        assert 0.1 <= report.seconds < 2
        assert report.cut_connections == 1


async def test_cancelled_drain_goes_on(gate: Gate) -> None:
    """A cancel ends the waiting only."""
    async with serving(gate=gate) as served:
        client = served.attach()
        await client.send_all(b"H")
        await gate.arrival()
        with trio.move_on_after(0.01) as scope:
            await served.server.drain()
        assert scope.cancelled_caught
        assert served.server.stats().draining
        gate.open()

        assert await end_of(client) == b"H"
        await client.send_eof()
        assert (await served.server.drain()).clean


async def test_lingering_threads_do_not_hold_up_the_end() -> None:
    """Whatever they linger for."""
    async with serving(workers=Workers(linger=3600.0)) as served:
        client = served.attach()
        await talk(client, b"x")
        assert served.server.stats().threads == 1
        await client.send_eof()
        with trio.fail_after(2):
            report = await served.server.drain()

        assert report.clean
        assert report.abandoned_threads == 0


# The hard stop


@pytest.mark.alone
async def test_cancelled_serve_stops_hard(gate: Gate, tmp_path: Path) -> None:
    """At once: every handler is told, sockets are closed, files removed, threads abandoned."""
    async with serving(LOOPBACK, f"unix:{tmp_path}/s", gate=gate) as served:
        clients = [await served.connect(which) for which in (0, 0, 1)]
        for client, data in zip(clients, (b"x", b"H", b"S"), strict=True):
            await client.send_all(data)
        await gate.arrival()
        await eventually(lambda: served.server.stats().busy == 2)
        address, begun = served.server.addresses[0], trio.current_time()
        served.scope.cancel()
        await eventually(lambda: len(served.reasons) == 3)

        assert trio.current_time() - begun < 0.5
        assert served.reasons == [CloseReason(Cause.STOPPED)] * 3
        assert refuses(address)
        assert names_in(tmp_path) == []
        for client in clients:
            await end_of(client)
        with pytest.raises(ServerClosed):
            await served.server.drain()
        assert served.server.connections == ()


async def test_drain_of_a_server_that_is_stopped(gate: Gate) -> None:
    """Who waits for a drain is told that it was not finished."""
    async with serving(gate=gate) as served:
        client = served.attach()
        await client.send_all(b"H")
        await gate.arrival()
        told: list[str] = []

        async def drain() -> None:
            with pytest.raises(ServerClosed) as closed:
                await served.server.drain()
            told.append(str(closed.value))

        served.nursery.start_soon(drain)
        await settled()
        served.scope.cancel()
        await eventually(lambda: told)

        assert "stopped" in told[0]
        assert not any(isinstance(event, Drained) for event in served.events)


async def test_failure_of_the_application_stops_the_server() -> None:
    """One nursery owns both, so nothing is left behind."""
    servers: list[Server] = []

    async def fail() -> None:
        async with trio.open_nursery() as nursery:
            servers.append(await nursery.start(serve, partial(Bytes, served=Served()), LOOPBACK))
            1 // 0  # noqa: B018  # is what is tested

    with trio.fail_after(5), pytest.RaisesGroup(ZeroDivisionError):
        await fail()

    assert refuses(servers[0].addresses[0])


async def test_settings_are_validated_before_the_server_starts() -> None:
    """A mistake never costs a running server."""
    with pytest.raises(ConfigError):
        Config(limits=Limits(connections=0))


@pytest.mark.parametrize(
    ("limits", "sent", "pause"),
    [
        (Limits(lane_messages=4), b"H" + b"x" * 20, Pause.LANE_MESSAGES),
        (Limits(messages=4), b"H" + b"x" * 20, Pause.MESSAGES),
        (Limits(lane_bytes=4), b"H" + b"x" * 20, Pause.LANE_BYTES),
        (Limits(bytes=4), b"H" + b"x" * 20, Pause.BYTES),
    ],
)
async def test_who_is_held_up_is_counted(
    limits: Limits, sent: bytes, pause: Pause, gate: Gate
) -> None:
    """By the setting whose bound was reached; all is answered in the end."""
    async with serving(LOOPBACK, gate=gate, limits=limits) as served:
        client = await served.connect()
        await client.send_all(sent)
        await eventually(lambda: served.server.stats().pauses)
        gate.open()
        with trio.fail_after(10):
            received = b""
            while len(received) < len(sent):
                received += await client.receive_some()

        assert received == sent
        assert set(served.server.stats().pauses) == {pause}


async def test_who_does_not_read_is_counted() -> None:
    """A peer whose replies wait is held up until it has read them."""
    async with serving(limits=Limits(unsent_high=1)) as served:
        client, peer = trio.testing.lockstep_stream_pair()
        served.nursery.start_soon(served.server.serve_stream, peer)
        await client.send_all(b"xyz")
        (link,) = served.server._house.links.values()
        await eventually(lambda: link.connection._gated)
        received = b""
        while len(received) < 3:
            received += await client.receive_some()
        await eventually(lambda: served.server.stats().pauses)

        assert received == b"xyz"
        assert served.server.stats().pauses == {Pause.UNSENT: 1}
