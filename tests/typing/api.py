"""A user's program: every way of using the public names, checked by mypy and never run."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from functools import partial

import trio
import trio.testing
from attrs import define, evolve, frozen
from prometheus_client import REGISTRY

from speedo_trio import (
    CloseReason,
    Config,
    Connection,
    ConnectionClosed,
    ConnectionFailed,
    DrainReport,
    EchoProtocol,
    Event,
    EventLog,
    FramedProtocol,
    Framer,
    Histogram,
    HistogramSnapshot,
    LengthPrefixFramer,
    Limits,
    LineProtocol,
    Listening,
    Message,
    Meter,
    MeterSnapshot,
    ProtocolError,
    ProtocolHandler,
    ProtocolHandlerFactory,
    Reply,
    Server,
    ServerClosed,
    ServerStats,
    Timeouts,
    TopicMessage,
    Workers,
    serve,
    shared,
)
from speedo_trio.admin import ADMIN_CONFIG, Admin, ServerCollector
from speedo_trio.simplepub import Client, connect, connect_stream

# Messages: in a thread, in a task, without a reply


@define
class Shout(Message):
    """Executed in a worker thread."""

    line: bytes

    def execute(self) -> bytes:
        return self.line.upper()


@define
class Later(Message):
    """Executed in a Trio task."""

    seconds: float

    async def execute(self) -> bytes:
        await trio.sleep(self.seconds)
        return b"done"


@frozen
class Push(Message):
    """Writes by itself and has no reply."""

    connection: Connection
    data: bytes

    async def execute(self) -> None:
        await self.connection.send(self.data)
        taken: bool = self.connection.write(self.data)
        if not taken:
            self.connection.abort()


class Maybe(Message):
    """Has a reply or none, and no attrs."""

    def execute(self) -> Reply:
        return None


# Protocols: of lines, of frames, of bytes


class ShoutProtocol(LineProtocol):
    """The smallest."""

    limit = 1024

    def frame(self, payload: bytes) -> Message | None:
        match payload:
            case b"":
                return None
            case b"later":
                return Later(1.5)
            case b"push":
                return Push(self.connection, b"pushed\n")
            case b"bad":
                raise ProtocolError("what was seen; what is allowed")
        return Shout(payload)


class PacketProtocol(FramedProtocol):
    """With a framer of its choice."""

    def make_framer(self) -> Framer:
        return LengthPrefixFramer(2, "little", limit=4096)

    def frame(self, payload: bytes) -> Shout:
        return Shout(payload)


class RawProtocol(ProtocolHandler):
    """With every callback, its messages as list, tuple, generator or none."""

    def __init__(self, connection: Connection, greeting: bytes = b"hello") -> None:
        super().__init__(connection)
        self.greeting = greeting

    def opened(self) -> list[Message]:
        return [Shout(self.greeting)]

    def handle(self, data: bytes) -> Iterator[Message]:
        for byte in data:
            yield Shout(bytes([byte]))

    def eof(self) -> tuple[Message, ...]:
        return (Maybe(), Later(0))

    def draining(self) -> None:
        self.connection.close()

    def failed(self, message: Message, error: BaseException) -> bytes | None:
        return f"{message}: {error}".encode()

    def closed(self, reason: CloseReason) -> None:
        self.told = (self.connection.id, str(self.connection.peer), reason.cause, reason.error)

    def encoder(self) -> Callable[[bytes], bytes]:
        return RawProtocol.chunked

    @staticmethod
    def chunked(reply: bytes) -> bytes:
        """What goes onto the wire for a reply."""
        return b"%x\r\n%b\r\n" % (len(reply), reply)


# Factories


def make_raw(connection: Connection) -> ProtocolHandler:
    """A function is a factory."""
    return RawProtocol(connection, b"welcome")


class Greeter:
    """An object with `__call__` is a factory."""

    def __init__(self, greeting: bytes) -> None:
        self.greeting = greeting

    def __call__(self, connection: Connection) -> RawProtocol:
        return RawProtocol(connection, self.greeting)


def factories(connection: Connection) -> list[ProtocolHandlerFactory]:
    """All kinds of factories; a class is its own."""
    return [
        EchoProtocol,
        ShoutProtocol,
        RawProtocol,
        make_raw,
        Greeter(b"hello"),
        partial(RawProtocol, greeting=b"hi"),
        lambda connection: RawProtocol(connection, b"hey"),
        shared(RawProtocol(connection)),
    ]


# Settings and observers

CONFIG = Config(
    limits=Limits(connections=100, when_full="refuse"),
    timeouts=Timeouts(idle=60.0, write=None, grace=5),
    workers=Workers(count=4),
)
STRICTER = evolve(CONFIG, timeouts=evolve(CONFIG.timeouts, idle=1.0))


class Failures:
    """An observer that keeps something and passes the rest on."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self._log = EventLog()

    def __call__(self, event: Event) -> None:
        match event:
            case ConnectionFailed(peer=peer, reason=reason):
                self.messages.append(f"{peer.host}: {reason}")
            case Listening(addresses=addresses):
                ports: list[int] = [address.port for address in addresses]
                assert all(ports)
            case _:
                self._log(event)


# Measuring


def report(meter: Meter) -> dict[str, float]:
    """What a metrics page would show."""
    snapshot: MeterSnapshot = meter.snapshot()
    waited: HistogramSnapshot = snapshot.waited
    bounds: tuple[float, ...] = waited.bounds
    counts: tuple[int, ...] = waited.counts
    assert len(counts) == len(bounds) + 1
    return {
        "messages": snapshot.executed.count,
        "seconds": snapshot.executed.sum,
        "slow turns": snapshot.turns.quantile(0.99),
    }


def own_histogram() -> HistogramSnapshot:
    """Durations of the application's own."""
    histogram = Histogram()
    histogram.add(0.25)
    histogram.add(1, 3)
    return histogram.snapshot()


# Programs


def run_alone() -> DrainReport:
    """The whole program is the server."""
    return trio.run(serve, ShoutProtocol, "tcp://localhost:9292")


async def run_configured() -> DrainReport:
    """With settings, several addresses and an observer."""
    return await serve(
        make_raw, "tcp://:9292", "unix:/run/raw.sock", config=STRICTER, observer=Failures()
    )


async def run_measured() -> DrainReport:
    """With a meter."""
    return await serve(EchoProtocol, "tcp://localhost:9292", meter=Meter())


async def run_with_admin() -> None:
    """With an endpoint that tells of it, and a registry of the application's own."""
    meter = Meter()
    async with trio.open_nursery() as nursery:
        start = partial(serve, EchoProtocol, "tcp://localhost:9292", meter=meter)
        server: Server = await nursery.start(start)
        factory: ProtocolHandlerFactory = Admin(
            server, token="secret", meter=meter, hosts=["admin.example"]
        )
        config = evolve(ADMIN_CONFIG, timeouts=Timeouts(idle=5))
        await nursery.start(partial(serve, factory, "tcp://localhost:9293", config=config))
        REGISTRY.register(ServerCollector(server, meter))
        if server.paused or server.draining or server.ended:
            raise SystemExit("not serving")


async def embed() -> None:
    """Beside other tasks of an application."""
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve, EchoProtocol, "tcp://localhost:0")
        await talk(server)
        await supervise(server)


async def talk(server: Server) -> None:
    """Be a client, over a socket and in memory."""
    address = server.addresses[0]
    async with await trio.open_tcp_stream(address.host, address.port) as stream:
        await stream.send_all(b"hello\n")
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve_stream, theirs)
        await ours.send_all(b"hello\n")


async def supervise(server: Server) -> None:
    """Look at it, pause it, end it."""
    stats: ServerStats = server.stats()
    if stats.connections > 10 or stats.waiting:
        server.pause()
        server.resume()
    for connection in server.connections:
        connection.close()
    try:
        report = await server.drain(grace=1.0, kill_after=0.5)
    except ServerClosed as error:
        raise SystemExit(str(error)) from error
    if not report.clean:
        raise SystemExit(f"{report}: {report.abandoned_threads} of {stats.threads} threads")


# Clients


async def converse(client: Client) -> None:
    """Use each call of a SimplePub client."""
    await client.subscribe("a/#", "b")
    await client.publish("a/b", b"1", retain=True)
    await client.unsubscribe("b")
    await client.ping()
    first: TopicMessage = await anext(client)
    async for message in client:
        assert message.topic != first.topic or message.payload or message.retain


async def be_clients(stream: trio.abc.Stream) -> None:
    """Connect in each way."""
    try:
        async with connect("simplepub://localhost") as client:
            await converse(client)
        context = ssl.create_default_context()
        async with connect("simplepub+tls://localhost", ssl_context=context, buffer=10) as client:
            await converse(client)
        async with connect_stream(stream, buffer=10) as client:
            await converse(client)
    except ConnectionClosed as error:
        raise SystemExit(str(error)) from error
