"""The scene of these tests: a server, peers on real sockets, and a record of what happened."""

from __future__ import annotations

import socket
import struct
import threading
import time
import traceback
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NoReturn, TypeAlias, TypeVar

import pytest
import trio
from attrs import define, field

from speedo_trio import (
    Address,
    CloseReason,
    Config,
    Connection,
    ConnectionFailed,
    DrainReport,
    Event,
    LineProtocol,
    Message,
    Observer,
    ProtocolHandlerFactory,
    Reply,
    Server,
    Timeouts,
    serve,
)
from speedo_trio.events import Cause
from speedo_trio.io.wire import address_of

PATIENCE = 15.0
"""Seconds after which a test has failed; a machine may be busy, a hang is for ever."""

DOZE = 0.2
"""Seconds after which a server with nothing to do has gone to rest: what its caretakers would
notice by chance, because something else had just kept them awake, they must then notice anyway."""

QUIET = 0.2
"""Seconds without progress that pass for none: for a peer that sends or a server that executes as
long as it is let."""

QUICK = Config(timeouts=Timeouts(linger=0.3, grace=2.0, kill_after=0.5))
"""The defaults, with ends that don't make the tests wait."""

E = TypeVar("E")

Script: TypeAlias = Callable[[Connection, bytes], Message | None]


class Run(Message):
    """Runs a function in a worker thread."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[], Reply]) -> None:
        self.function = function

    def execute(self) -> Reply:
        return self.function()


class Await(Message):
    """Awaits a function in a Trio task."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[], Awaitable[Reply]]) -> None:
        self.function = function

    async def execute(self) -> Reply:
        return await self.function()


def echo(connection: Connection, line: bytes) -> Message:
    """The script of an echo in threads."""
    return Run(lambda: line)


def echo_async(connection: Connection, line: bytes) -> Message:
    """The script of an echo in tasks."""

    async def reply() -> bytes:
        return line

    return Await(reply)


@define(eq=False)
class Record:
    """What happened: the observer's events, and each handler's making and ending."""

    events: list[Event] = field(factory=list)
    made: list[int] = field(factory=list)
    """The connections whose handlers were made."""
    endings: list[tuple[int, CloseReason]] = field(factory=list)
    """Each call of `ProtocolHandler.closed`."""

    def events_of(self, *kinds: type[E]) -> list[E]:
        """The events of some kinds, in order."""
        return [event for event in self.events if isinstance(event, kinds)]

    @property
    def failures(self) -> list[ConnectionFailed]:
        return self.events_of(ConnectionFailed)

    @property
    def causes(self) -> list[Cause]:
        return [reason.cause for _, reason in self.endings]

    def ends(self, connection: int) -> list[CloseReason]:
        """How often, and why, this connection was told that it is closed."""
        return [reason for number, reason in self.endings if number == connection]


class Scripted(LineProtocol):
    """Makes each line the message that a script gives for it; its life is recorded."""

    limit = 2**20

    def __init__(self, connection: Connection, script: Script, record: Record) -> None:
        super().__init__(connection)
        self.script = script
        self.record = record
        record.made.append(connection.id)

    def frame(self, line: bytes) -> Message | None:
        return self.script(self.connection, line)

    def closed(self, reason: CloseReason) -> None:
        self.record.endings.append((self.connection.id, reason))


class Blocker:
    """What a message does that blocks its thread until it is let go, by the test's end at last."""

    def __init__(self) -> None:
        self.inside = 0
        """How many calls have begun."""
        self.done = 0
        """How many calls have ended."""
        self._lock = threading.Lock()
        self._free = threading.Event()

    def __call__(self) -> bytes:
        with self._lock:
            self.inside += 1
        self._free.wait(60)
        with self._lock:
            self.done += 1
        return b"free"

    def free(self) -> None:
        """Let all go, and all that come."""
        self._free.set()

    async def reached(self, times: int = 1) -> None:
        """Wait until so many threads are inside."""
        await until(lambda: self.inside >= times)


class Peer:
    """A client on a real socket."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._lines: deque[bytes] = deque()
        self._part = b""

    @property
    def name(self) -> Address:
        """Its address, as the server sees it."""
        return address_of(self.stream.socket.getsockname())

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    def send_nowait(self, data: bytes) -> None:
        """Send at once, so that what several peers send arrives together."""
        with socket.fromfd(self.stream.socket.fileno(), -1, -1) as copy:
            assert copy.send(data) == len(data)

    async def flood(self, data: bytes, most: int) -> int:
        """Send the data over and over, until the server takes no more; how many bytes that was.

        A server that takes more and more is let off after `most` bytes.
        """
        sent = 0
        while sent < most:
            with trio.move_on_after(QUIET) as scope:
                sent += await self.stream.socket.send(data[sent % len(data) :])
            if scope.cancelled_caught:
                break
        return sent

    async def pour(self, data: bytes) -> NoReturn:
        """Send it over and over, until the connection breaks."""
        while True:
            await self.send(data)

    async def line(self) -> bytes:
        """The next line, without its end."""
        (line,) = await self.lines(1)
        return line

    async def lines(self, count: int) -> list[bytes]:
        """The next lines, without their ends."""
        while len(self._lines) < count:
            data = await self.stream.receive_some(2**18)
            assert data, f"the server ended the stream after {len(self._lines)} of {count} lines"
            *whole, self._part = (self._part + data).split(b"\n")
            self._lines += whole
        return [self._lines.popleft() for _ in range(count)]

    async def rest(self) -> bytes:
        """All that still comes until the server ends the stream."""
        parts = [b"".join(line + b"\n" for line in self._lines), self._part]
        while data := await self.stream.receive_some(2**18):
            parts.append(data)
        return b"".join(parts)

    async def ended(self) -> bool:
        """Whether the server ends the connection, be it with a reset, and sends nothing before."""
        try:
            return not await self.rest()
        except trio.BrokenResourceError:
            return True

    async def end(self) -> None:
        """Send no more; go on reading."""
        await self.stream.send_eof()

    def reset(self) -> None:
        """Vanish with a reset."""
        linger = struct.pack("ii", 1, 0)
        self.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.stream.socket.close()

    def close(self) -> None:
        self.stream.socket.close()


async def connect(
    address: tuple[str, int], receive_buffer: int | None = None, source: str | None = None
) -> Peer:
    """A new peer; a small buffer makes one that takes little when it doesn't read.

    Args:
        source: the address that it comes from; all that begin with 127 are ours.
    """
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    connecting = trio.socket.socket(family)
    try:
        if receive_buffer is not None:
            connecting.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source is not None:
            await connecting.bind((source, 0))
        await connecting.connect(address)
    except BaseException:
        connecting.close()
        raise
    return Peer(trio.SocketStream(connecting))


@define(eq=False)
class Stage:
    """A running server and those who talk to it."""

    record: Record
    start: Callable[..., Awaitable[DrainReport]]
    nursery: trio.Nursery = field(init=False)
    """For tasks that end with the test."""
    server: Server = field(init=False)
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    """Around the server: cancelling it is the hard stop."""
    stopped: trio.Event = field(factory=trio.Event)
    report: DrainReport | None = None
    """What `serve` returned."""
    peers: list[Peer] = field(factory=list)

    async def serve(self, task_status: trio.TaskStatus[Server]) -> None:
        try:
            with self.scope:
                self.report = await self.start(task_status=task_status)
        finally:
            self.stopped.set()

    async def peer(
        self,
        *,
        receive_buffer: int | None = None,
        accepted: bool = True,
        source: str | None = None,
    ) -> Peer:
        """A new connection; without `accepted` it may wait in the kernel, or be refused."""
        before = self.server.stats().accepted
        address = self.server.addresses[0]
        peer = await connect((address.host, address.port), receive_buffer, source)
        self.peers.append(peer)
        if accepted:
            await until(lambda: self.server.stats().accepted > before)
        return peer

    async def peers_of(self, count: int) -> list[Peer]:
        return [await self.peer() for _ in range(count)]

    def connection(self, number: int) -> Connection:
        """The open connection of this number; they count from 1."""
        (found,) = [open_ for open_ in self.server.connections if open_.id == number]
        return found

    async def works(self) -> None:
        """See that the server serves a new peer."""
        peer = await self.peer()
        await peer.send(b"still there?\n")
        assert await peer.line() == b"still there?"
        peer.close()


@asynccontextmanager
async def serving(
    script: Script = echo,
    *,
    kind: type[Scripted] = Scripted,
    factory: ProtocolHandlerFactory | None = None,
    config: Config = QUICK,
    observer: Observer | None = None,
    unobserved: bool = False,
    patience: float = PATIENCE,
    bind: str = "tcp://127.0.0.1:0",
) -> AsyncIterator[Stage]:
    """Run a server for the block, then stop it hard if it still runs.

    Args:
        script: what the lines mean.
        kind: the handler's class.
        factory: takes the place of both.
        observer: takes the place of the record's.
        unobserved: whether there is no observer at all.
        patience: seconds after which the test fails.
    """
    record = Record()
    made = factory or partial(kind, script=script, record=record)
    told = None if unobserved else observer or record.events.append
    start = partial(serve, made, bind, config=config, observer=told)
    stage = Stage(record, start)
    waiting = " the server's end"
    try:
        with trio.move_on_after(patience) as deadline:
            async with trio.open_nursery() as nursery:
                stage.nursery = nursery
                try:
                    stage.server = await nursery.start(stage.serve)
                    yield stage
                except trio.Cancelled as cancelled:
                    waiting = _place(cancelled)
                    raise
                nursery.cancel_scope.cancel()
    finally:
        for peer in stage.peers:
            peer.close()
    if deadline.cancelled_caught:
        pytest.fail(f"after {patience:g} s it still waited at{waiting}", pytrace=False)


def _place(error: BaseException) -> str:
    """Where in the tests it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    return "".join(
        f"\n{frame.filename}:{frame.lineno}: {frame.line}"
        for frame in frames
        if frame.filename.startswith(str(Path(__file__).parent))
    )


def after(seconds: float, reply: Reply) -> Reply:
    """Block the thread for a while, then reply."""
    time.sleep(seconds)
    return reply


def descriptors() -> int:
    """How many file descriptors this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that comes true in another thread or another process's kernel."""
    while not condition():  # noqa: ASYNC110  # no event crosses those borders
        await trio.sleep(0.001)


async def at_rest() -> None:
    """See that this process, and so a server with nothing to do in it, uses no processor."""
    await trio.sleep(DOZE)
    before = time.process_time()
    await trio.sleep(DOZE)
    assert time.process_time() - before < DOZE / 2
