"""Links: the life of a handler, from the first byte to the one ending, whatever comes between."""

from __future__ import annotations

import socket
import struct
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import trio
import trio.testing
from attrs import define, field
from trio.testing import MockClock, wait_all_tasks_blocked

from speedo_trio.config import Config, Limits, Timeouts, Workers
from speedo_trio.errors import ConnectionClosed, ConnectionLost, HandlerError, ProtocolError
from speedo_trio.events import Cause, CloseReason, ConnectionFailed, DrainReport, Event
from speedo_trio.io.connection import WireConnection
from speedo_trio.io.wire import SocketWire, StreamWire
from speedo_trio.protocol.handler import (
    Connection,
    ProtocolHandler,
    ProtocolHandlerFactory,
    shared,
)
from speedo_trio.protocol.message import Message
from speedo_trio.server import Server, serve
from speedo_trio.stats import ServerStats
from tests.io.scripted import Boxes, box

if TYPE_CHECKING:
    from tests.conftest import Gate

Messages: TypeAlias = Iterable[Any] | None
Client: TypeAlias = trio.abc.HalfCloseableStream


@define
class Say(Message):
    """Replies, in a thread; does something before."""

    reply: Any
    does: Callable[[], object] = bool

    def execute(self) -> Any:
        self.does()
        return self.reply


@define
class SayAsync(Message):
    """Replies, in a task; awaits something before."""

    reply: Any
    awaits: Callable[[], Any] = trio.lowlevel.checkpoint

    async def execute(self) -> Any:
        await self.awaits()
        return self.reply


class Handler(ProtocolHandler):
    """Remembers its life; a message for each byte, with the byte as its reply."""

    def __init__(self, connection: Connection, life: list[object]) -> None:
        super().__init__(connection)
        self.life = life
        self.home = threading.get_ident()

    def note(self, what: object) -> None:
        """Remember, and see that it is the Trio thread."""
        assert threading.get_ident() == self.home
        self.life.append(what)

    def opened(self) -> Messages:
        self.note("opened")
        return None

    def handle(self, data: bytes) -> Messages:
        self.note(bytes(data))
        return [Say(bytes([byte])) for byte in data]

    def eof(self) -> Messages:
        self.note("eof")
        return None

    def draining(self) -> Messages:
        self.note("draining")
        return None

    def closed(self, reason: CloseReason) -> None:
        self.note(reason)


@define(eq=False)
class Served:
    """A server of one handler class, and what became of it."""

    server: Server
    nursery: trio.Nursery
    life: list[object]
    events: list[Event]
    clients: list[Client] = field(factory=list)

    def connect(self) -> Client:
        """A client in memory, without bounds."""
        ours, theirs = trio.testing.memory_stream_pair()
        self.nursery.start_soon(self.server.serve_stream, theirs)
        self.clients.append(ours)
        return ours

    async def connect_tcp(self) -> trio.SocketStream:
        """A client with real buffers."""
        address = self.server.addresses[0]
        stream = await trio.open_tcp_stream(address.host, address.port)
        self.clients.append(stream)
        return stream

    @property
    def reason(self) -> CloseReason:
        """Why the connection ended; that of the last one to end."""
        reason = self.life[-1]
        assert isinstance(reason, CloseReason)
        return reason

    @property
    def failures(self) -> list[ConnectionFailed]:
        """The reports of errors."""
        return [event for event in self.events if isinstance(event, ConnectionFailed)]

    async def ended(self) -> CloseReason:
        """Wait for all connections to end; why the last one did."""
        await eventually(lambda: not self.server.connections)
        return self.reason


@asynccontextmanager
async def serving(
    kind: Callable[[Connection, list[object]], object] = Handler, **sections: Any
) -> AsyncIterator[Served]:
    """Serve for the block, in memory and on TCP, with handlers that share one memory."""
    life: list[object] = []
    events: list[Event] = []

    def factory(connection: Connection) -> Any:
        return kind(connection, life)

    async with serving_by(factory, life, events, Config(**sections)) as served:
        yield served


@asynccontextmanager
async def serving_by(
    factory: ProtocolHandlerFactory, life: list[object], events: list[Event], config: Config
) -> AsyncIterator[Served]:
    """Serve for the block."""
    start = partial(serve, factory, "tcp://127.0.0.1:0", config=config, observer=events.append)
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(start)
        served = Served(server, nursery, life, events)
        try:
            with trio.fail_after(20):
                yield served
        finally:
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):  # closing by force doesn't wait
                for client in served.clients:
                    await trio.aclose_forcefully(client)


async def eventually(condition: Callable[[], object]) -> None:
    """Wait for what threads and sockets bring about."""
    with trio.fail_after(10):
        while not condition():  # noqa: ASYNC110  # threads ring no bell here
            await trio.sleep(0.001)


async def standstill(server: Server, connection: WireConnection) -> ServerStats:
    """Wait until replies are unsent, and no message has been executed for a tenth of a second."""
    stats = server.stats()
    while True:
        await trio.sleep(0.1)
        before, stats = stats, server.stats()
        if connection.unsent and before.executed == stats.executed:
            return stats


async def settled() -> None:
    """Let everything happen that can without the threads that a gate holds.

    The sentry of a busy crew never sleeps for long, so no cushion would ever be long enough.
    """
    for _ in range(20):
        await wait_all_tasks_blocked()


async def all_of(client: Client) -> bytes:
    """What a peer receives until the server's end, which it answers with its own."""
    received = bytearray()
    with trio.fail_after(10):
        while data := await client.receive_some():
            received += data
        await client.send_eof()
    return bytes(received)


async def exactly(client: trio.abc.ReceiveStream, size: int) -> bytes:
    """So many bytes."""
    received = bytearray()
    with trio.fail_after(10):
        while len(received) < size:
            data = await client.receive_some(size - len(received))
            assert data, f"the end after {bytes(received)!r}"
            received += data
    return bytes(received)


def reset(client: trio.SocketStream) -> None:
    """Close so that the server sees a reset."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.close()


# The story of a handler


async def test_life_of_a_handler() -> None:
    """Opened, bytes, eof, closed; all on the Trio thread, and every reply before the end."""
    async with serving() as served:
        client = served.connect()
        await client.send_all(b"abc")
        assert await exactly(client, 3) == b"abc"
        await client.send_all(b"de")
        await client.send_eof()
        assert await all_of(client) == b"de"
        await served.ended()

        assert served.life == ["opened", b"abc", b"de", "eof", CloseReason(Cause.EOF)]
        assert served.failures == []


async def test_greeting_comes_before_anything_is_read() -> None:
    """opened() may give messages."""

    class Greeter(Handler):
        def opened(self) -> Iterator[Message]:
            yield Say(b"hello ")
            yield SayAsync(b"there ")

    async with serving(Greeter) as served:
        client = served.connect()
        assert await exactly(client, 12) == b"hello there "
        await client.send_all(b"x")
        assert await exactly(client, 1) == b"x"


async def test_eof_and_draining_may_give_last_messages() -> None:
    """They are executed and answered before the end."""

    class Polite(Handler):
        def eof(self) -> Messages:
            return [Say(b"bye")]

        def draining(self) -> Messages:
            return [SayAsync(b"sorry")]

    async with serving(Polite) as served:
        client = served.connect()
        await client.send_all(b"x")
        await client.send_eof()
        assert await all_of(client) == b"xbye"

        other = served.connect()
        await other.send_all(b"y")
        assert await exactly(other, 1) == b"y"
        served.nursery.start_soon(served.server.drain)
        assert await exactly(other, 5) == b"sorry"


async def test_handle_gets_no_more_than_read_bytes() -> None:
    """However much the peer sends at once."""
    async with serving(limits=Limits(read_bytes=10)) as served:
        client = await served.connect_tcp()
        await client.send_all(bytes(100))
        await exactly(client, 100)

        chunks = [each for each in served.life if isinstance(each, bytes)]
        assert max(map(len, chunks)) <= 10
        assert b"".join(chunks) == bytes(100)


class Looks(trio.abc.Instrument):
    """Counts how often Trio has looked for what has come."""

    def __init__(self) -> None:
        self.count = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


async def read_at_once(peers: int, data: bytes) -> list[int]:
    """Peers say something short, then all send the data: what was read between Trio's looks."""
    looks = Looks()
    trio.lowlevel.add_instrument(looks)
    read: Counter[int] = Counter()

    class Counting(Handler):
        def handle(self, data: bytes) -> None:
            read[looks.count] += len(data)

    async with serving(Counting) as served:
        clients = [await served.connect_tcp() for _ in range(peers)]
        for client in clients:
            await client.send_all(b"hello")
        await eventually(lambda: read.total() == 5 * peers)
        await settled()
        read.clear()
        for client in clients:  # without a checkpoint: all of it is there when Trio looks
            with socket.fromfd(client.socket.fileno(), -1, -1) as copy:
                assert copy.send(data) == len(data)
        await eventually(lambda: read.total() == len(data) * peers)
    trio.lowlevel.remove_instrument(looks)
    return list(read.values())


async def test_many_that_send_much_take_turns() -> None:
    """Once each has shown that it does, Trio looks for others after eight full reads."""
    first, *others = await read_at_once(40, bytes(50_000))

    assert first <= 40 * 16_384
    assert max(others) <= 8 * 16_384


async def test_who_is_to_wait_waits_for_no_turn_that_is_over() -> None:
    """Trio may turn the turnstile before the task runs that is told to wait for that.

    Of nine with full reads one is told so, while nobody else will turn it. Whether the turn comes
    first is chance, one in two; so it is tried 30 times.
    """
    full, count = bytes(Limits().read_bytes), 9
    read: Counter[str] = Counter()

    class Counting(Handler):
        def handle(self, data: bytes) -> None:
            read["bytes"] += len(data)

    async with serving(Counting) as served:
        clients = [await served.connect_tcp() for _ in range(count)]
        await settled()
        for _ in range(30):
            read.clear()
            say_at_once(clients, full)
            await eventually(lambda: read["bytes"] == count * len(full))
            await settled()


async def test_many_that_send_little_do_not() -> None:
    """They are read as they come."""
    assert len(await read_at_once(40, bytes(1000))) <= 3


@pytest.mark.parametrize(
    "messages",
    [None, (), [Say(b"x")], (Say(b"x"),), iter([Say(b"x")]), {1: 2}.values()],
    ids=["none", "empty", "list", "tuple", "iterator", "view"],
)
async def test_messages_may_be_any_iterable(messages: Any) -> None:
    """Or None; what is in it must be messages, which {1: 2}.values() are not."""

    class Whatever(Handler):
        def handle(self, data: bytes) -> Messages:
            return messages  # type: ignore[no-any-return]  # whatever

    async with serving(Whatever) as served:
        client = served.connect()
        await client.send_all(b"?")
        await client.send_eof()
        received = await all_of(client)
        await served.ended()

        assert received == (b"x" if isinstance(messages, list | tuple) and messages else received)
        assert bool(served.failures) == (type(messages) is type({}.values()))


async def test_shared_handler() -> None:
    """It is opened and closed once for each connection; replies go where their bytes came from."""
    life: list[object] = []
    events: list[Event] = []
    one = Handler(connection=None, life=life)  # type: ignore[arg-type]  # it has none of its own
    async with serving_by(shared(one), life, events, Config()) as served:
        clients = [served.connect() for _ in range(3)]
        for number, client in enumerate(clients):
            await client.send_all(b"%d" % number)
            assert await exactly(client, 1) == b"%d" % number
            await client.send_eof()
            assert await all_of(client) == b""
        await served.ended()

    assert life.count("opened") == 3
    assert life.count(CloseReason(Cause.EOF)) == 3


async def test_encoder_is_asked_for_once() -> None:
    """And used for every reply, but not for what is written."""

    class Framed(Handler):
        def encoder(self) -> Callable[[bytes], bytes]:
            self.note("encoder")
            return lambda reply: b"<" + reply + b">"

        def handle(self, data: bytes) -> Messages:
            self.connection.write(b"raw")
            return super().handle(data)

    async with serving(Framed) as served:
        client = served.connect()
        await client.send_all(b"ab")
        assert await exactly(client, 9) == b"raw<a><b>"
        await client.send_all(b"c")
        assert await exactly(client, 6) == b"raw<c>"

        assert served.life.count("encoder") == 1


# Backpressure


async def test_generator_is_pulled_as_there_is_room(gate: Gate) -> None:
    """No more messages than the lane's limit wait; nothing more is read meanwhile."""
    pulled = 0

    class Lazy(Handler):
        def handle(self, data: bytes) -> Iterator[Message]:
            nonlocal pulled
            self.note(bytes(data))
            for _ in range(100):
                pulled += 1
                yield Say(b"x", gate.hold)

    async with serving(Lazy, limits=Limits(lane_messages=10)) as served:
        client = served.connect()
        await client.send_all(b"1")
        await gate.arrival()
        await client.send_all(b"2")
        await settled()
        assert pulled <= 11
        assert served.life == ["opened", b"1"]

        gate.open()
        assert await exactly(client, 200) == b"x" * 200
        assert served.life == ["opened", b"1", b"2"]


async def test_reading_stops_at_lane_bytes(gate: Gate) -> None:
    """Though the messages are few, no more than the bound and one read is taken in."""

    class Big(Handler):
        def handle(self, data: bytes) -> Messages:
            self.note(len(data))
            return [Say(b"x", gate.hold)]

    async with serving(Big, limits=Limits(lane_bytes=50, read_bytes=20)) as served:
        client = served.connect()
        for _ in range(20):
            await client.send_all(bytes(20))
        await gate.arrival()
        await settled()
        assert served.life == ["opened", 20, 20, 20]

        gate.open()
        assert await exactly(client, 20) == b"x" * 20


async def test_reading_stops_at_the_servers_messages(gate: Gate) -> None:
    """All lanes together have a bound, which leaves one message to those that have none."""
    pulled = 0

    class Lazy(Handler):
        def handle(self, data: bytes) -> Iterator[Message]:
            nonlocal pulled
            while True:
                pulled += 1
                yield Say(None, gate.hold)

    async with serving(Lazy, limits=Limits(messages=10)) as served:
        for _ in range(5):
            await served.connect().send_all(b"x")
        await gate.arrival()
        await settled()

        assert served.server.stats().waiting <= 15
        assert pulled <= 25


async def test_replies_of_failures_wait_for_a_slow_reader() -> None:
    """A peer that never reads has no more messages executed, though failed() makes the replies."""

    class Forgiving(Handler):
        def handle(self, data: bytes) -> Messages:
            return (Say(1) for _ in data)  # no bytes

        def failed(self, message: Message, error: BaseException) -> bytes:
            return b"sorry" * 200

    limits = Limits(unsent_high=10_000, lane_messages=100, read_bytes=1000)
    async with serving(Forgiving, limits=limits) as served:
        client = await served.connect_tcp()
        served.nursery.start_soon(client.send_all, bytes(100_000_000))
        await eventually(lambda: served.server.connections)
        (connection,) = served.server.connections
        assert isinstance(connection, WireConnection)
        stats = await standstill(served.server, connection)

        assert 0 < connection.unsent < 20_000
        assert stats.executed * 1000 - stats.sent < 20_000


# Room for more


class Pusher(Handler):
    """Pushes a million bytes in pieces, as there is room; notes when there is again."""

    left = 1_000_000
    writing = False

    def opened(self) -> None:
        self.push()

    def writable(self) -> None:
        assert not self.writing, "inside write()"
        self.note("writable")
        self.push()

    def push(self) -> None:
        """Fill the room."""
        self.writing = True
        while (room := self.connection.room) and self.left:
            size = min(room, self.left, 3000)
            assert self.connection.write(b"x" * size)
            self.left -= size
        self.writing = False
        if not self.left:
            self.connection.close()

    def closed(self, reason: CloseReason) -> None:
        assert self.connection.room >= 0
        super().closed(reason)


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("unsent_bytes", [4_000_000, 20_000])
async def test_writable_when_there_is_room(*, tcp: bool, unsent_bytes: int) -> None:
    """Who writes what there is room for, and goes on when told, sends all; no bound is met."""
    limits = Limits(unsent_high=50_000, unsent_bytes=unsent_bytes)
    async with serving(Pusher, limits=limits) as served:
        client: Client = await served.connect_tcp() if tcp else served.connect()
        assert await all_of(client) == b"x" * 1_000_000
        reason = await served.ended()

        assert reason == CloseReason(Cause.CLOSED)
        assert served.life.count("writable") in range(1, 100)


async def test_nothing_is_told_while_the_peer_does_not_read() -> None:
    """The room is 0 then, and stays so."""
    async with serving(Pusher) as served:
        ours, theirs = trio.testing.lockstep_stream_pair()
        served.nursery.start_soon(served.server.serve_stream, theirs)
        await wait_all_tasks_blocked()
        assert served.life == []
        (connection,) = served.server.connections
        assert connection.room == 0
        while "writable" not in served.life:
            await ours.receive_some(10_000)
            await wait_all_tasks_blocked()
        await ours.aclose()
        await served.ended()


@pytest.mark.parametrize(
    ("error", "cause"),
    [(ValueError("x"), Cause.HANDLER_ERROR), (ProtocolError("x"), Cause.PROTOCOL_ERROR)],
)
async def test_writable_that_raises(error: Exception, cause: Cause) -> None:
    """It ends its own connection, after what was written is sent, and is reported once."""

    class Failing(Handler):
        def opened(self) -> None:
            self.connection.write(b"x" * 70_000)

        def writable(self) -> None:
            raise error

    async with serving(Failing) as served:
        first = served.connect()
        assert await all_of(first) == b"x" * 70_000
        assert await served.ended() == CloseReason(cause, error)
        (failure,) = served.failures
        assert failure.reason == served.reason
        second = served.connect()
        assert await exactly(second, 1) == b"x"


async def test_not_writable_after_the_end() -> None:
    """closed() is the last thing that a handler hears."""
    async with serving(Pusher) as served:
        for _ in range(20):
            client = await served.connect_tcp()
            assert await client.receive_some(1000)
            reset(client)
        await served.ended()
        await settled()

        assert isinstance(served.life[-1], CloseReason)
        assert sum(isinstance(each, CloseReason) for each in served.life) == 20


# Errors


@pytest.mark.parametrize("cause", [Cause.HANDLER_ERROR, Cause.PROTOCOL_ERROR])
@pytest.mark.parametrize("callback", ["opened", "handle", "generator", "eof", "encoder"])
async def test_error_in_a_callback(callback: str, cause: Cause) -> None:
    """It ends the connection with its cause, is reported once, and closed() is still called."""
    error = ProtocolError("bad") if cause is Cause.PROTOCOL_ERROR else ValueError("bad")

    def fail(*_: object) -> Any:
        raise error

    def fail_late(*_: object) -> Iterator[Message]:
        yield Say(b"1")
        raise error

    name = "handle" if callback == "generator" else callback
    failing = type("Failing", (Handler,), {name: fail_late if callback == "generator" else fail})
    async with serving(failing) as served:
        client = served.connect()
        await client.send_all(b"x")
        await client.send_eof()
        received = await all_of(client)
        reason = await served.ended()

        assert reason == CloseReason(cause, error)
        assert [failure.reason for failure in served.failures] == [reason]
        assert served.life.count(reason) == 1
        assert received == {"generator": b"1", "eof": b"x"}.get(callback, b"")
        assert served.failures[0].connection == 1
        assert served.failures[0].message is None


@pytest.mark.parametrize("gives", [None, "handler", Handler, 3])
async def test_factory_that_gives_no_handler(gives: object) -> None:
    """The connection ends; the report says what was given."""
    async with serving(lambda *_: gives) as served:
        assert await all_of(served.connect()) == b""
        await eventually(lambda: served.failures)

        (failure,) = served.failures
        assert isinstance(failure.reason.error, HandlerError)
        assert type(gives).__name__ in str(failure.reason)
        assert served.life == []


async def test_factory_that_raises() -> None:
    """Refuses the connection; there is no handler to tell."""

    def refuse(*_: object) -> object:
        raise ValueError("not you")

    async with serving(refuse) as served:
        assert await all_of(served.connect()) == b""
        await eventually(lambda: not served.server.connections)

        (failure,) = served.failures
        assert failure.reason.cause is Cause.HANDLER_ERROR
        assert served.life == []


async def test_closed_that_raises_is_reported() -> None:
    """After everything else went well."""

    class Bad(Handler):
        def closed(self, reason: CloseReason) -> None:
            raise ValueError("in closed")

    async with serving(Bad) as served:
        client = served.connect()
        await client.send_eof()
        assert await all_of(client) == b""
        await eventually(lambda: served.failures)

        (failure,) = served.failures
        assert str(failure.reason.error) == "in closed"


@pytest.mark.parametrize("kind", [Say, SayAsync])
async def test_message_that_raises_ends_the_connection(kind: type[Say | SayAsync]) -> None:
    """Earlier replies are sent, later messages dropped; the report names the message."""
    error = ValueError("bad")

    def fail() -> None:
        raise error

    async def fail_async() -> None:
        raise error

    failing = Say(b"2", fail) if kind is Say else SayAsync(b"2", fail_async)

    class Three(Handler):
        def handle(self, data: bytes) -> Messages:
            return [kind(b"1"), failing, kind(b"3")]

    async with serving(Three) as served:
        client = served.connect()
        await client.send_all(b"x")
        assert await all_of(client) == b"1"
        reason = await served.ended()

        assert reason == CloseReason(Cause.HANDLER_ERROR, error)
        (failure,) = served.failures
        assert (failure.reason, failure.message) == (reason, failing)
        assert served.server.stats().dropped == 1


async def test_protocol_error_of_a_message_is_the_peers() -> None:
    """What a handler can't see, a message may."""

    def refuse() -> None:
        raise ProtocolError("not allowed")

    class Strict(Handler):
        def handle(self, data: bytes) -> Messages:
            return [Say(b"x", refuse)]

    async with serving(Strict) as served:
        client = served.connect()
        await client.send_all(b"x")
        assert await all_of(client) == b""

        assert (await served.ended()).cause is Cause.PROTOCOL_ERROR


@pytest.mark.parametrize("kind", [Say, SayAsync])
async def test_failed_may_give_a_reply(kind: type[Say | SayAsync]) -> None:
    """It is encoded as any other, keeps its place, and the connection goes on."""
    asked: list[object] = []

    class Forgiving(Handler):
        def handle(self, data: bytes) -> Messages:
            return [kind(b"1"), kind("text"), kind(b"3")]

        def failed(self, message: Message, error: BaseException) -> bytes:
            self.note("failed")
            asked.append((message, type(error)))
            return b"sorry"

        def encoder(self) -> Callable[[bytes], bytes]:
            return lambda reply: reply + b";"

    async with serving(Forgiving) as served:
        client = served.connect()
        for _ in range(2):
            await client.send_all(b"x")
            assert await exactly(client, 10) == b"1;sorry;3;"

        assert asked == [(kind("text"), HandlerError)] * 2
        assert served.failures == []


@pytest.mark.parametrize("gives", ["text", 3, bytearray(b"x"), True, ""])
async def test_failed_that_gives_no_bytes(gives: object) -> None:
    """Is a mistake as in execute()."""

    class Bad(Handler):
        def handle(self, data: bytes) -> Messages:
            return [Say(1)]

        def failed(self, message: Message, error: BaseException) -> Any:
            return gives

    async with serving(Bad) as served:
        client = served.connect()
        await client.send_all(b"x")
        assert await all_of(client) == b""

        assert isinstance((await served.ended()).error, HandlerError)
        assert len(served.failures) == 1


async def test_failed_that_raises() -> None:
    """Ends the connection with its own error."""

    class Bad(Handler):
        def handle(self, data: bytes) -> Messages:
            return [Say(1)]

        def failed(self, message: Message, error: BaseException) -> bytes:
            raise KeyError("failed failed")

    async with serving(Bad) as served:
        client = served.connect()
        await client.send_all(b"x")
        assert await all_of(client) == b""

        assert isinstance((await served.ended()).error, KeyError)


@pytest.mark.parametrize("given", ["text", Say, None, 3])
async def test_what_is_no_message(given: object) -> None:
    """Ends the connection, is named in the report and leaves the counts right."""

    class Bad(Handler):
        def handle(self, data: bytes) -> Messages:
            return [Say(b"1"), given, Say(b"3")]

    async with serving(Bad) as served:
        client = served.connect()
        await client.send_all(b"x")
        assert await all_of(client) == b"1"

        assert isinstance((await served.ended()).error, HandlerError)
        assert repr(given) in str(served.reason)
        assert served.server.stats().waiting == 0


@pytest.mark.parametrize("how", ["close", "drain"])
async def test_pending_messages_before_an_error_are_executed(how: str, gate: Gate) -> None:
    """Though the connection was to end when the generator, which waited for room, raised."""

    class Late(Handler):
        def handle(self, data: bytes) -> Iterator[Message]:
            for number in range(10):
                yield Say(b"%d" % number, gate.hold)
            raise ProtocolError("after all these")

    async with serving(Late, limits=Limits(lane_messages=2)) as served:
        client = served.connect()
        await client.send_all(b"x")
        await gate.arrival()
        if how == "close":
            served.server.connections[0].close()
        else:
            served.nursery.start_soon(served.server.drain)
        await wait_all_tasks_blocked()
        gate.open()

        assert await exactly(client, 10) == b"0123456789"


async def test_message_that_raises_after_the_end(gate: Gate) -> None:
    """The handler is not asked any more, and nothing is reported."""

    def fail() -> None:
        gate.hold()
        raise ValueError("too late")

    class Slow(Handler):
        def handle(self, data: bytes) -> Messages:
            return [Say(b"x", fail), Say(b"y")]

        def failed(self, message: Message, error: BaseException) -> None:
            self.note("failed")

    async with serving(Slow) as served:
        client = served.connect()
        await client.send_all(b"x")
        await gate.arrival()
        served.server.connections[0].abort()
        assert await all_of(client) == b""
        gate.open()

        assert await served.ended() == CloseReason(Cause.ABORTED)
        assert "failed" not in served.life
        assert served.failures == []


async def test_one_report_of_a_connection(gate: Gate) -> None:
    """However much goes wrong: the first error is it."""

    def fail() -> None:
        gate.hold()
        raise ValueError("second")

    class Bad(Handler):
        def handle(self, data: bytes) -> Iterator[Message]:
            yield Say(b"1", fail)
            raise ProtocolError("first")

    async with serving(Bad) as served:
        client = served.connect()
        await client.send_all(b"x")
        await gate.arrival()
        gate.open()
        assert await all_of(client) == b""
        await served.ended()

        assert [str(failure.reason.error) for failure in served.failures] == ["first"]


@pytest.mark.parametrize("where", ["opened", "handle", "failed", "closed", "message"])
async def test_interrupt_ends_the_program(where: str) -> None:
    """Control-C is the user's; no handler or message takes the blame for it."""

    def interrupt(*_: object) -> Any:
        raise KeyboardInterrupt

    async def interrupt_async() -> None:
        raise KeyboardInterrupt

    class Interrupted(Handler):
        def handle(self, data: bytes) -> Messages:
            return [Say(1) if where == "failed" else SayAsync(b"x", interrupt_async)]

    kind = Interrupted if where == "message" else type("Any", (Interrupted,), {where: interrupt})

    async def serve_one() -> None:
        async with serving(kind) as served:
            client = served.connect()
            await client.send_all(b"x")
            await client.send_eof()
            await trio.sleep_forever()

    with pytest.raises(BaseExceptionGroup) as group:
        await serve_one()
    assert group.value.subgroup(KeyboardInterrupt) is not None


# The ends


@pytest.mark.parametrize("where", ["opened", "handle", "message", "async message", "outside"])
async def test_close(where: str) -> None:
    """What was received is executed and answered, nothing more is read."""

    class Closing(Handler):
        def close_if(self, here: str) -> None:
            if here == where:
                self.connection.close()

        async def close_async(self) -> None:
            self.close_if("async message")

        def opened(self) -> Messages:
            self.close_if("opened")
            return [Say(b"hello ")]

        def handle(self, data: bytes) -> Messages:
            self.close_if("handle")
            return [Say(b"1", partial(self.close_if, "message")), SayAsync(b"2", self.close_async)]

        def closed(self, reason: CloseReason) -> None:
            assert not self.connection.write(b"too late")
            super().closed(reason)

    async with serving(Closing) as served:
        client = served.connect()
        await wait_all_tasks_blocked()
        await client.send_all(b"x")
        expected = b"hello " if where == "opened" else b"hello 12"
        assert await exactly(client, len(expected)) == expected
        if where == "outside":
            served.server.connections[0].close()
        assert await all_of(client) == b""
        await client.send_eof()

        assert await served.ended() == CloseReason(Cause.CLOSED)
        assert served.failures == []


@pytest.mark.parametrize("where", ["opened", "handle", "generator", "message", "outside"])
async def test_abort(where: str, gate: Gate) -> None:
    """What waits is dropped; nothing is sent any more."""

    class Aborting(Handler):
        def abort_if(self, here: str) -> None:
            if here == where:
                self.connection.abort()

        def first(self) -> None:
            self.abort_if("message")
            gate.hold()

        def opened(self) -> Messages:
            self.abort_if("opened")
            return None

        def handle(self, data: bytes) -> Messages:
            self.abort_if("handle")
            return self.messages()

        def messages(self) -> Iterator[Message]:
            yield Say(b"1", self.first)
            self.abort_if("generator")
            for _ in range(10):
                yield SayAsync(b"2")

    async with serving(Aborting) as served:
        client = served.connect()
        await client.send_all(b"x")
        if where in {"message", "outside"}:
            await gate.arrival()
        if where == "outside":
            served.server.connections[0].abort()
        assert await all_of(client) == b""
        gate.open()

        assert await served.ended() == CloseReason(Cause.ABORTED)
        assert served.failures == []
        stats = served.server.stats()
        assert (stats.sent, stats.waiting, stats.ready) == (0, 0, 0)
        assert stats.executed <= 1


async def test_abort_in_a_message_drops_the_next() -> None:
    """They are not executed, not even those of the same turn."""
    executed: list[int] = []

    class Aborting(Handler):
        def handle(self, data: bytes) -> Iterator[Message]:
            yield Say(b"", self.connection.abort)
            for number in range(100):
                yield Say(b"", partial(executed.append, number))

    async with serving(Aborting, workers=Workers(turn_seconds=10.0)) as served:
        client = served.connect()
        await client.send_all(b"x")
        await all_of(client)
        await served.ended()

        assert executed == []


async def test_close_then_abort() -> None:
    """Who wants to end in order may change their mind."""
    async with serving() as served:
        client = served.connect()
        await wait_all_tasks_blocked()
        (connection,) = served.server.connections
        connection.close()
        connection.abort()

        assert await all_of(client) == b""
        assert (await served.ended()).cause in (Cause.CLOSED, Cause.ABORTED)


async def test_closed_comes_after_the_last_message(gate: Gate) -> None:
    """None of its messages runs any more when a handler is told of the end."""

    class Slow(Handler):
        def handle(self, data: bytes) -> Messages:
            return [Say(b"x", gate.hold)]

    async with serving(Slow) as served:
        client = served.connect()
        await client.send_all(b"x")
        await gate.arrival()
        served.server.connections[0].abort()
        assert await all_of(client) == b""
        await settled()
        assert served.life == ["opened"]

        gate.open()
        assert await served.ended() == CloseReason(Cause.ABORTED)


async def test_async_message_is_cancelled_by_an_abort() -> None:
    """It sees trio.Cancelled, and may clean up."""
    cleaned = trio.Event()

    async def wait() -> None:
        try:
            await trio.sleep_forever()
        finally:
            cleaned.set()

    class Slow(Handler):
        def handle(self, data: bytes) -> Messages:
            return [SayAsync(b"x", wait), SayAsync(b"y"), SayAsync(b"z")]

    async with serving(Slow) as served:
        client = served.connect()
        await client.send_all(b"x")
        await wait_all_tasks_blocked()
        served.server.connections[0].abort()

        assert await all_of(client) == b""
        assert (await served.ended()).cause is Cause.ABORTED
        assert cleaned.is_set()


async def test_reset_peer_is_lost() -> None:
    """That is nobody's mistake: it isn't reported; a message that waits is cancelled."""

    class Slow(Handler):
        def handle(self, data: bytes) -> Messages:
            return [SayAsync(b"x", trio.sleep_forever)]

    async with serving(Slow) as served:
        client = await served.connect_tcp()
        await client.send_all(b"x")
        await eventually(lambda: served.server.stats().busy)
        reset(client)
        reason = await served.ended()

        assert reason.cause is Cause.LOST
        assert isinstance(reason.error, ConnectionLost)
        assert served.failures == []


async def test_reset_that_sending_was_told_of() -> None:
    """The system tells of a reset once, and not as an end of what can be read."""
    clients: list[trio.SocketStream] = []

    class Unlucky(Handler):
        def handle(self, data: bytes) -> Messages:
            reset(clients[0])
            self.connection.write(bytes(100_000))
            return None

    async with serving(Unlucky) as served:
        clients.append(await served.connect_tcp())
        await clients[0].send_all(b"x")

        assert (await served.ended()).cause is Cause.LOST
        assert served.failures == []


async def test_reset_that_only_sending_can_notice() -> None:
    """Nobody reads any more, and still the connection ends as lost."""
    clients: list[trio.SocketStream] = []

    async def reset_it() -> None:
        reset(clients[0])

    class Unlucky(Handler):
        def handle(self, data: bytes) -> Messages:
            self.connection.close()
            return [SayAsync(b"x", reset_it)]

    async with serving(Unlucky) as served:
        clients.append(await served.connect_tcp())
        await clients[0].send_all(b"x")

        assert (await served.ended()).cause is Cause.LOST
        assert served.failures == []


async def test_wire_that_has_nothing_after_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket may be called readable and then have nothing (select(2), BUGS)."""
    read, times = SocketWire.read, 0

    def sometimes(self: SocketWire, size: int) -> bytes | None:
        nonlocal times
        times += 1
        return None if times % 2 else read(self, size)

    monkeypatch.setattr(SocketWire, "read", sometimes)
    async with serving() as served:
        client = await served.connect_tcp()
        await client.send_all(b"abc")
        assert await exactly(client, 3) == b"abc"
        await client.send_eof()
        assert await all_of(client) == b""

        assert await served.ended() == CloseReason(Cause.EOF)


async def test_half_closed_peer_gets_its_replies(gate: Gate) -> None:
    """However long they take; then our end."""

    class Slow(Handler):
        def handle(self, data: bytes) -> Messages:
            return [Say(bytes([byte]), gate.hold) for byte in data]

    async with serving(Slow) as served:
        client = await served.connect_tcp()
        await client.send_all(b"abc")
        await client.send_eof()
        await gate.arrival()
        await settled()
        assert "eof" in served.life
        gate.open()

        assert await all_of(client) == b"abc"
        assert await served.ended() == CloseReason(Cause.EOF)


async def test_close_with_unread_input_sends_no_reset() -> None:
    """A peer that goes on sending still reads the last reply, and then the end."""

    class One(Handler):
        def handle(self, data: bytes) -> Messages:
            self.connection.close()
            return [Say(b"x" * 100_000)]

    async with serving(One, limits=Limits(read_bytes=10)) as served:
        client = await served.connect_tcp()
        await client.send_all(bytes(200_000))

        assert await all_of(client) == b"x" * 100_000
        await client.aclose()
        assert (await served.ended()).cause is Cause.CLOSED


async def test_end_is_told_before_the_linger() -> None:
    """The peer need not wait for it; its own end ends the lingering."""

    class One(Handler):
        def opened(self) -> Messages:
            self.connection.close()
            return [Say(b"bye")]

    async with serving(One, timeouts=Timeouts(linger=60.0)) as served:
        for client in (served.connect(), await served.connect_tcp()):
            with trio.fail_after(5):
                assert await exactly(client, 3) == b"bye"
                assert await client.receive_some() == b""
            before = len(served.server.connections)
            await client.send_eof()
            await eventually(lambda before=before: len(served.server.connections) < before)  # type: ignore[misc]  # binds it


@pytest.mark.parametrize(
    ("cause", "leaving"),
    [
        (Cause.DRAINED, True),
        (Cause.FIRST_MESSAGE, True),
        (Cause.IDLE, True),
        (Cause.LIFETIME, True),
        (Cause.CLOSED, False),
        (Cause.EOF, False),
        (Cause.HANDLER_ERROR, False),
    ],
)
async def test_wire_is_told_who_leaves(
    cause: Cause, *, leaving: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the end of the stream: whether this side goes of its own accord."""
    told: list[bool] = []

    async def send_eof(self: StreamWire, *, leaving: bool = False) -> None:
        told.append(leaving)

    class Ends(Handler):
        def handle(self, data: bytes) -> Messages:
            if cause is Cause.HANDLER_ERROR:
                raise ValueError
            self.connection.close()
            return None

    monkeypatch.setattr(StreamWire, "send_eof", send_eof)
    timeouts = {
        Cause.FIRST_MESSAGE: Timeouts(linger=0.0, first_message=0.01),
        Cause.IDLE: Timeouts(linger=0.0, idle=0.01),
        Cause.LIFETIME: Timeouts(linger=0.0, lifetime=0.01),
    }
    async with serving(Ends, timeouts=timeouts.get(cause, Timeouts(linger=0.0))) as served:
        client = served.connect()
        await settled()
        match cause:
            case Cause.DRAINED:
                served.nursery.start_soon(served.server.drain)
            case Cause.EOF:
                await client.send_eof()
            case Cause.CLOSED | Cause.HANDLER_ERROR:
                await client.send_all(b"x")
            case _:
                pass

        assert (await served.ended()).cause is cause
        assert told == [leaving]


async def test_linger_is_bounded() -> None:
    """A peer that never closes, or never stops sending, doesn't keep the connection."""

    class One(Handler):
        def opened(self) -> Messages:
            self.connection.close()
            return None

    async with serving(One, timeouts=Timeouts(linger=0.05)) as served:
        silent, noisy = await served.connect_tcp(), await served.connect_tcp()

        async def send() -> None:
            try:
                while True:
                    await noisy.send_all(bytes(1000))
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass

        served.nursery.start_soon(send)
        await eventually(lambda: served.server.stats().accepted == 2)
        with trio.fail_after(3):
            await served.ended()

        assert await silent.receive_some() == b""
        assert served.life.count(CloseReason(Cause.CLOSED)) == 2


async def test_peer_that_never_reads_is_aborted() -> None:
    """After timeouts.write without a byte taken."""

    class Much(Handler):
        def handle(self, data: bytes) -> Messages:
            return [Say(bytes(1_000_000)) for _ in range(20)]

    async with serving(Much, timeouts=Timeouts(write=0.2)) as served:
        client = await served.connect_tcp()
        await client.send_all(b"x")

        assert (await served.ended()).cause is Cause.WRITE_TIMEOUT
        assert served.server.stats().dropped > 0


async def test_pushing_too_much_is_an_overflow() -> None:
    """write() says so, and the connection ends."""
    refused = 0

    class Pusher(Handler):
        def handle(self, data: bytes) -> Messages:
            nonlocal refused
            while self.connection.write(bytes(10_000)):
                pass
            refused += 1
            return None

    limits = Limits(unsent_bytes=50_000, unsent_high=20_000)
    async with serving(Pusher, limits=limits) as served:
        client = await served.connect_tcp()
        await client.send_all(b"x")

        assert (await served.ended()).cause is Cause.OVERFLOW
        assert refused == 1


async def test_send_to_a_connection_that_ends() -> None:
    """Who waits for room in a message of another connection is told."""
    told = trio.Event()
    connections: list[Connection] = []

    async def push_for_ever() -> None:
        while True:
            await connections[0].send(bytes(100_000))

    async def push() -> None:
        with pytest.raises(ConnectionClosed):
            await push_for_ever()
        told.set()

    class Pusher(Handler):
        def opened(self) -> Messages:
            connections.append(self.connection)
            return None

        def handle(self, data: bytes) -> Messages:
            return [SayAsync(b"done", push)]

    async with serving(Pusher) as served:
        await served.connect_tcp()
        await eventually(lambda: connections)
        other = served.connect()
        await other.send_all(b"x")
        await settled()
        assert not told.is_set()
        connections[0].abort()

        assert await exactly(other, 4) == b"done"


async def test_numbers_are_never_used_again() -> None:
    """Every connection has its own."""
    numbers: list[int] = []

    class Numbered(Handler):
        def opened(self) -> Messages:
            numbers.append(self.connection.id)
            return None

    async with serving(Numbered) as served:
        for _ in range(5):
            client = served.connect()
            await client.send_eof()
            await all_of(client)

    assert numbers == [1, 2, 3, 4, 5]


# The drain


async def test_drain_says_goodbye_after_what_was_received(gate: Gate) -> None:
    """What is on its way is executed and answered, then draining(); once."""

    class Slow(Handler):
        def handle(self, data: bytes) -> Messages:
            self.note(bytes(data))
            return [Say(bytes([byte]), gate.hold) for byte in data]

        def draining(self) -> Messages:
            self.note("draining")
            return [Say(b"bye")]

    async with serving(Slow, limits=Limits(lane_messages=2, read_bytes=3)) as served:
        client = await served.connect_tcp()
        await client.send_all(b"abc")
        await gate.arrival()
        await client.send_all(b"defgh")
        await settled()
        served.nursery.start_soon(served.server.drain)
        await settled()
        gate.open()

        assert await all_of(client) == b"abcdefghbye"
        await client.aclose()
        await eventually(lambda: isinstance(served.life[-1], CloseReason))
        assert served.life == [
            "opened",
            b"abc",
            b"def",
            b"gh",
            "draining",
            CloseReason(Cause.DRAINED),
        ]


async def test_drain_of_a_connection_that_ends_already(gate: Gate) -> None:
    """Its handler has had its last word."""

    class Slow(Handler):
        def handle(self, data: bytes) -> Messages:
            return [Say(b"x", gate.hold)]

    async with serving(Slow) as served:
        client = served.connect()
        await client.send_all(b"x")
        await client.send_eof()
        await gate.arrival()
        served.nursery.start_soon(served.server.drain)
        await settled()
        gate.open()

        assert await all_of(client) == b"x"
        await eventually(lambda: isinstance(served.life[-1], CloseReason))
        assert served.life == ["opened", "eof", CloseReason(Cause.EOF)]


@pytest.mark.parametrize("late", [False, True])
async def test_error_in_draining(*, late: bool) -> None:
    """Is reported; what was received before has been answered."""

    class Bad(Handler):
        def draining(self) -> Messages:
            if not late:
                raise ValueError("no goodbye")
            return self._messages()

        def _messages(self) -> Iterator[Message]:
            yield Say(b"bye")
            raise ValueError("no goodbye")

    async with serving(Bad) as served:
        client = served.connect()
        await client.send_all(b"x")
        assert await exactly(client, 1) == b"x"
        served.nursery.start_soon(served.server.drain)

        assert await all_of(client) == (b"bye" if late else b"")
        await client.aclose()
        await eventually(lambda: isinstance(served.life[-1], CloseReason))
        assert served.reason.cause is Cause.HANDLER_ERROR
        assert len(served.failures) == 1


async def test_drain_reads_no_more_than_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the wire has can't always be known exactly."""
    unread = SocketWire.unread
    monkeypatch.setattr(SocketWire, "unread", lambda self: unread(self) + 100)
    async with serving() as served:
        client = await served.connect_tcp()
        await client.send_all(b"abc")
        assert await exactly(client, 3) == b"abc"
        served.nursery.start_soon(served.server.drain)

        assert await all_of(client) == b""
        await eventually(lambda: isinstance(served.life[-1], CloseReason))
        assert served.life == ["opened", b"abc", "draining", CloseReason(Cause.DRAINED)]


async def test_drain_lets_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between pieces of what was received; a handler is not bothered with empty ones."""
    others: list[bytes] = []

    async with serving() as served:
        client = await served.connect_tcp()
        await eventually(lambda: served.life)

        def arrived(wire: object, size: int) -> Iterator[bytes]:
            for piece in (b"a", b"", b"", b"b", b""):
                served.nursery.start_soon(ran, piece)
                yield piece
                ahead.append(len(others))

        async def ran(piece: bytes) -> None:
            others.append(piece)

        ahead: list[int] = []
        monkeypatch.setattr("speedo_trio.link.arrived", arrived)
        served.nursery.start_soon(served.server.drain)

        assert await all_of(client) == b"ab"
        assert len(ahead) == 5
        assert all(count >= number for number, count in enumerate(ahead))  # those of before
        await client.aclose()
        await eventually(lambda: isinstance(served.life[-1], CloseReason))
        assert served.life == ["opened", b"a", b"b", "draining", CloseReason(Cause.DRAINED)]


async def test_end_of_the_grace(gate: Gate) -> None:
    """Cuts off who has not finished, but not one that has sent all and only lingers."""

    class Slow(Handler):
        def handle(self, data: bytes) -> Messages:
            return [Say(b"1"), Say(b"2", gate.hold), Say(b"3")] if data == b"slow" else [Say(b"1")]

    async with serving(Slow, timeouts=Timeouts(linger=60.0)) as served:
        slow, quick = served.connect(), served.connect()
        await slow.send_all(b"slow")
        await quick.send_all(b"quick")
        await gate.arrival()
        assert await exactly(quick, 1) == b"1"
        reports: list[DrainReport] = []

        async def drain() -> None:
            reports.append(await served.server.drain(grace=0.05))

        served.nursery.start_soon(drain)
        assert await all_of(slow) == b"1"
        gate.open()
        await eventually(lambda: reports)

        assert reports[0].cut_connections == 1
        assert reports[0].dropped_messages == 1
        assert reports[0].abandoned_threads == 0
        reasons = {each.cause for each in served.life if isinstance(each, CloseReason)}
        assert reasons == {Cause.DRAINED, Cause.GRACE_OVER}


async def test_hard_stop_lets_async_messages_clean_up() -> None:
    """closed() comes after that, if it takes no longer than a stop may."""
    life: list[object] = []

    async def wait() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.05)
            life.append("cleaned up")

    class Slow(Handler):
        def handle(self, data: bytes) -> Messages:
            return [SayAsync(b"x", wait)]

    async with serving_by(lambda connection: Slow(connection, life), life, [], Config()) as served:
        client = served.connect()
        await client.send_all(b"x")
        await eventually(lambda: served.server.stats().busy)

    assert life[0:2] == ["opened", "cleaned up"]
    assert isinstance(life[2], CloseReason)


async def test_observer_that_raises_ends_no_connection(caplog: pytest.LogCaptureFixture) -> None:
    """The report of an error is lost to it, and is in the log."""

    def observe(event: Event) -> None:
        raise SystemExit("a bad observer")

    class Events(list[Event]):
        def append(self, event: Event) -> None:
            observe(event)

    life: list[object] = []

    def factory(connection: Connection) -> Handler:
        if connection.id == 1:
            raise ValueError("not the first")
        return Handler(connection, life)

    async with serving_by(factory, life, Events(), Config()) as served:
        assert await all_of(served.connect()) == b""
        client = served.connect()
        await client.send_all(b"x")
        assert await exactly(client, 1) == b"x"

    assert "not the first" in caplog.text
    assert "a bad observer" in caplog.text


# Idleness. Messages are async: with a thread at work a mock clock would jump.


class Idle(Handler):
    """Each byte waits for so many seconds; 0 is answered, others are not."""

    def handle(self, data: bytes) -> Iterator[Message]:
        for byte in data:
            if byte == ord("0"):
                yield SayAsync(b"0")
            else:
                yield SayAsync(None, partial(trio.sleep, 10 * (byte - ord("0"))))


async def end_of(served: Served) -> float:
    """Trio's time when the connection ended."""
    while served.server.connections:  # noqa: ASYNC110  # it rings no bell
        await trio.sleep(0.125)
    return trio.current_time()


async def test_silent_connection_is_closed(autojump_clock: MockClock) -> None:
    """After the idle timeout, a quarter of it late at most."""
    async with serving_idle() as served:
        served.connect()
        await wait_all_tasks_blocked()
        begun = trio.current_time()

        assert 100 <= await end_of(served) - begun <= 125.5
        assert served.reason == CloseReason(Cause.IDLE)


@pytest.mark.parametrize("moment", [1.0, 24.0, 26.0, 49.0, 60.0, 99.0])
async def test_reading_and_sending_is_not_idle(moment: float, autojump_clock: MockClock) -> None:
    """The time is counted from the last byte."""
    async with serving_idle() as served:
        client = served.connect()
        for _ in range(3):
            await trio.sleep(moment)
            await client.send_all(b"0")
            await exactly(client, 1)
        begun = trio.current_time()

        assert 100 <= await end_of(served) - begun <= 125.5
        assert served.reason.cause is Cause.IDLE


async def test_hearing_is_not_idle(autojump_clock: MockClock) -> None:
    """What a layer receives counts, though there be no data in it: questions to itself, here."""

    class Boxed(Handler):
        def __init__(self, connection: WireConnection, life: list[object]) -> None:
            connection.wire = Boxes(connection.wire)
            super().__init__(connection, life)

    async with serving_idle(Boxed) as served:
        client = served.connect()
        for _ in range(3):
            await trio.sleep(99.0)
            await client.send_all(box(b"?", b"alive"))
            assert await exactly(client, 8) == box(b"!", b"alive")
        begun = trio.current_time()

        assert 100 <= await end_of(served) - begun <= 125.5
        assert served.life == ["opened", CloseReason(Cause.IDLE)]


@pytest.mark.parametrize("tens", [1, 2, 3, 4, 5, 6, 7, 8, 9])
async def test_executing_is_not_idle(tens: int, autojump_clock: MockClock) -> None:
    """The time is counted from the end of the last message, though it replied nothing."""
    async with serving_idle() as served:
        client = served.connect()
        await wait_all_tasks_blocked()
        await client.send_all(b"%d" % tens)
        await trio.sleep(10 * tens)
        begun = trio.current_time()

        assert 100 <= await end_of(served) - begun <= 125.5


async def test_message_may_take_longer_than_the_timeout(autojump_clock: MockClock) -> None:
    """And another behind it."""
    async with serving_idle() as served:
        client = served.connect()
        await client.send_all(b"9999990")
        with trio.fail_after(600):
            assert await client.receive_some() == b"0"
        begun = trio.current_time()

        assert 100 <= await end_of(served) - begun <= 125.5


async def test_waiting_to_be_read_is_not_idle(autojump_clock: MockClock) -> None:
    """That is timeouts.write's to watch."""
    async with serving_idle() as served:
        ours, theirs = trio.testing.lockstep_stream_pair()
        served.nursery.start_soon(served.server.serve_stream, theirs)
        await ours.send_all(b"0")
        await trio.sleep(1000)
        assert len(served.server.connections) == 1
        assert await ours.receive_some() == b"0"
        begun = trio.current_time()

        assert 100 <= await end_of(served) - begun <= 125.5


async def test_connection_that_ends_is_not_idle(autojump_clock: MockClock) -> None:
    """It has ended for another reason; how long that takes has its own bounds."""
    async with serving_idle() as served:
        ours, theirs = trio.testing.lockstep_stream_pair()
        served.nursery.start_soon(served.server.serve_stream, theirs)
        await ours.send_all(b"0")
        await wait_all_tasks_blocked()
        served.server.connections[0].close()
        await trio.sleep(1000)
        assert len(served.server.connections) == 1
        assert await ours.receive_some() == b"0"
        await end_of(served)

        assert served.reason == CloseReason(Cause.CLOSED)


async def test_idle_end_is_orderly(autojump_clock: MockClock) -> None:
    """The peer reads the end, and nothing is reported."""
    async with serving_idle() as served:
        client = served.connect()
        with trio.fail_after(200):
            assert await client.receive_some() == b""
        await end_of(served)

        assert served.failures == []
        assert served.life == ["opened", CloseReason(Cause.IDLE)]


@asynccontextmanager
async def serving_idle(kind: type[Handler] = Idle) -> AsyncIterator[Served]:
    """Serve in memory only, without the deadlines that a mock clock would jump to."""
    life: list[object] = []
    events: list[Event] = []
    config = Config(
        timeouts=Timeouts(idle=100.0, linger=0.0, write=None),
        workers=Workers(patience=5.0),  # else a jump would be no more than 0.002
    )
    start = partial(
        serve, lambda connection: kind(connection, life), config=config, observer=events.append
    )
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(start)
        yield Served(server, nursery, life, events)
        nursery.cancel_scope.cancel()


# After the reads


def say_at_once(clients: list[Any], data: bytes) -> None:
    """Without a checkpoint in between: it is all there when Trio looks."""
    for client in clients:
        with socket.fromfd(client.socket.fileno(), -1, -1) as copy:
            assert copy.send(data) == len(data)


async def test_after_the_reads_of_all() -> None:
    """What handlers ask for is called when all have had what came for them."""
    done: list[str] = []

    class Later(Handler):
        def handle(self, data: bytes) -> Messages:
            done.append("read")
            self.connection.after_reads(lambda: done.append("after"))
            return None

    async with serving(Later) as served:
        clients = [await served.connect_tcp() for _ in range(3)]
        await settled()
        say_at_once(clients, b"x")
        await eventually(lambda: len(done) == 6)
    assert done == ["read"] * 3 + ["after"] * 3


async def test_after_the_reads_of_a_stream() -> None:
    """Those come one by one, so it is called at once."""
    done: list[str] = []

    class Later(Handler):
        def handle(self, data: bytes) -> Messages:
            self.connection.after_reads(lambda: done.append("after"))
            done.append("read")
            return None

    async with serving(Later) as served:
        await served.connect().send_all(b"x")
        await eventually(lambda: len(done) == 2)
    assert done == ["after", "read"]


async def test_an_error_after_the_reads() -> None:
    """It is the error of the handler that asked; another's call is made all the same."""
    done: list[int] = []

    class Fails(Handler):
        def handle(self, data: bytes) -> Messages:
            number = self.connection.id

            def call() -> None:
                if number == 1:
                    raise KeyError("wanted")
                done.append(number)

            self.connection.after_reads(call)
            return None

    async with serving(Fails) as served:
        clients = [await served.connect_tcp() for _ in range(2)]
        await settled()
        say_at_once(clients, b"x")
        await eventually(lambda: done == [2])
        await eventually(lambda: any(isinstance(each, ConnectionFailed) for each in served.events))
        (failed,) = [each for each in served.events if isinstance(each, ConnectionFailed)]
    assert failed.connection == 1
    assert isinstance(failed.reason.error, KeyError)
