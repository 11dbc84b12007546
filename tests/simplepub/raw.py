"""Clients that speak in frames, and a server for them; the server's own codec is theirs too."""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import trio
from attrs import define, field

from speedo_trio.config import Config, Timeouts
from speedo_trio.events import Cause, ConnectionEnded, ConnectionFailed, Event
from speedo_trio.server import Server, serve
from speedo_trio.simplepub.frames import (
    FrameReader,
    FrameType,
    Published,
    decode_pub,
    decode_reason,
    encode_pub,
    encode_sub,
)
from speedo_trio.simplepub.protocol import SimplePub
from speedo_trio.testing.memory import MemoryServer

QUICK = Config(timeouts=Timeouts(linger=0.3, grace=2.0, kill_after=0.5))
PING = encode_sub(())
PATIENCE = 20.0
"""Seconds after which a test has failed."""


class RawClient:
    """A client's end of a stream."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._reader = FrameReader()
        self._frames: deque[bytes] = deque()

    async def send(self, *frames: bytes) -> None:
        await self.stream.send_all(b"".join(frames))

    async def frame(self) -> bytes:
        """The next frame; empty at the end of the stream."""
        while not self._frames:
            data = await self.stream.receive_some(2**18)
            if not data:
                self._reader.eof()
                return b""
            self._frames.extend(self._reader.feed(bytes(data)))
        return self._frames.popleft()

    async def frames(self, count: int) -> list[bytes]:
        """The next frames."""
        return [await self.frame() for _ in range(count)]

    async def messages(self, count: int) -> list[Published]:
        """The next frames, which are messages."""
        return [decoded(each) for each in await self.frames(count)]

    async def rest(self) -> list[bytes]:
        """All frames until the server ends the stream."""
        frames = []
        while frame := await self.frame():
            frames.append(frame)
        return frames

    async def reason(self) -> str:
        """What the server says at the end, which comes next."""
        *before, last = await self.rest()
        assert before == []
        assert last[0] == FrameType.DISCONNECT
        return decode_reason(last)

    async def ask(self, *frames: bytes) -> None:
        """Send frames, and see that each is answered with itself, in order and nothing between."""
        await self.send(*frames)
        assert await self.frames(len(frames)) == list(frames)

    async def subscribe(self, *filters: bytes) -> None:
        """Subscribe where nothing is retained and nothing under way."""
        await self.ask(encode_sub(filters))

    async def pinged(self) -> list[bytes]:
        """Wait until all that was sent is done; what came meanwhile."""
        await self.send(PING)
        frames = []
        while (frame := await self.frame()) != PING:
            assert frame, "the server ended the stream"
            frames.append(frame)
        return frames

    async def end(self) -> None:
        """Send nothing more."""
        assert isinstance(self.stream, trio.abc.HalfCloseableStream)
        await self.stream.send_eof()

    def reset(self) -> None:
        """Vanish."""
        assert isinstance(self.stream, trio.SocketStream)
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.socket.close()


def decoded(frame: bytes) -> Published:
    """The message of a frame that is one."""
    assert frame[:1] == b"\x01", frame[:100]
    return decode_pub(frame)


def numbered(topic: bytes, numbers: range, *, size: int = 0) -> bytes:
    """Messages whose bodies begin with a number."""
    return b"".join(encode_pub(topic, (b"%d " % number).ljust(size)) for number in numbers)


def number_of(frame: bytes) -> int:
    """The number of such a message."""
    return int(decoded(frame)[1].split()[0])


@define(eq=False)
class Scene:
    """A server of SimplePub, in memory and on TCP."""

    protocol: SimplePub
    server: Server
    nursery: trio.Nursery
    events: list[Event]
    opened: list[trio.abc.Stream] = field(factory=list)

    def connect(self) -> RawClient:
        """In memory, without bounds: it never seems slow."""
        return self._keep(MemoryServer(self.server, self.nursery).connect())

    def connect_lockstep(self) -> RawClient:
        """In memory, without buffers: it is slow when it doesn't read."""
        return self._keep(MemoryServer(self.server, self.nursery).connect_lockstep())

    async def connect_tcp(self, *, receive_buffer: int | None = None) -> RawClient:
        """On a real socket; with a small buffer it takes little when it doesn't read."""
        address = self.server.addresses[0]
        connecting = trio.socket.socket()
        if receive_buffer is not None:
            connecting.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await connecting.connect((address.host, address.port))
        return self._keep(trio.SocketStream(connecting))

    def _keep(self, stream: trio.abc.Stream) -> RawClient:
        self.opened.append(stream)
        return RawClient(stream)

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Delivered, dropped, lost, waiting."""
        stats = self.protocol.broker.stats()
        return stats.delivered, stats.dropped, stats.lost, stats.waiting

    @property
    def causes(self) -> list[Cause]:
        """Why connections ended."""
        return [event.reason.cause for event in self.events if isinstance(event, ConnectionEnded)]

    @property
    def failures(self) -> list[str]:
        """What was reported of errors."""
        return [
            str(event.reason.error) for event in self.events if isinstance(event, ConnectionFailed)
        ]

    async def deserted(self) -> None:
        """Wait until nobody is connected."""
        await until(lambda: not self.server.connections)


async def until(condition: object) -> None:
    """Wait for what sockets bring about."""
    assert callable(condition)
    while not condition():  # noqa: ASYNC110  # no bell rings here
        await trio.sleep(0.001)


@asynccontextmanager
async def serving(
    protocol: SimplePub | None = None, config: Config = QUICK
) -> AsyncIterator[Scene]:
    """Serve for the block, then stop it hard."""
    protocol = SimplePub() if protocol is None else protocol
    events: list[Event] = []
    start = partial(serve, protocol, "tcp://127.0.0.1:0", config=config, observer=events.append)
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            server: Server = await nursery.start(start)
            scene = Scene(protocol, server, nursery, events)
            try:
                yield scene
            finally:
                nursery.cancel_scope.cancel()
                with trio.CancelScope(shield=True):  # closing by force doesn't wait
                    for stream in scene.opened:
                        await trio.aclose_forcefully(stream)
