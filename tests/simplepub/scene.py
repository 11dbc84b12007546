"""What the tests of the client share: a server that a test plays by hand."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager

import trio
import trio.testing
from attrs import define, field

from speedo_trio.simplepub.client import Client, connect_stream
from speedo_trio.simplepub.frames import FrameReader, encode_pub


class Half(trio.abc.Stream):
    """A client's end whose faults a test chooses."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self.reset = False
        """Whether the end of the server's stream is a reset."""
        self.held: trio.Event | None = None
        """While it is there and not set, half of each call's bytes are sent, and the rest waits."""
        self.sends: list[int] = []
        """The bytes of each call."""
        self.reads = 0
        self.closed = trio.Event()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self.sends.append(len(data))
        if self.held is not None:
            await self._stream.send_all(data[: len(data) // 2])
            await self.held.wait()
            data = data[len(data) // 2 :]
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        self.reads += 1
        data = await self._stream.receive_some(max_bytes)
        if not data and self.reset:
            raise trio.BrokenResourceError from ConnectionResetError(104, "reset by the test")
        return data

    async def aclose(self) -> None:
        self.closed.set()
        await self._stream.aclose()


@define
class Peer:
    """The server's end, and the client's stream."""

    stream: trio.StapledStream[trio.abc.SendStream, trio.abc.ReceiveStream]
    half: Half
    _reader: FrameReader = field(factory=FrameReader)
    _frames: deque[bytes] = field(factory=deque)

    async def frame(self) -> bytes:
        """The next frame that the client sends; b"" when it has ended its stream."""
        while not self._frames:
            data = await self.stream.receive_some(65_536)
            if not data:
                return b""
            self._frames += self._reader.feed(bytes(data))
        return self._frames.popleft()

    async def send(self, *frames: bytes) -> None:
        await self.stream.send_all(b"".join(frames))

    async def answer(self) -> bytes:
        """Answer the next frame with itself; gives it."""
        frame = await self.frame()
        await self.send(frame)
        return frame

    async def close(self) -> None:
        await self.stream.send_stream.aclose()

    async def serve(self) -> None:
        """Do nothing but answer, and close after a DISCONNECT."""
        while (frame := await self.frame()) and frame[0] != 4:
            if frame[0] != 1:
                await self.send(frame)
        await self.close()


def pair(*, lockstep: bool = False) -> Peer:
    """A new connection in memory. In lockstep each send waits for its receive."""
    if lockstep:
        ours, theirs = trio.testing.lockstep_stream_pair()
        return Peer(theirs, Half(ours))
    client, server = trio.testing.memory_stream_pair()
    return Peer(trio.StapledStream(server.send_stream, server.receive_stream), Half(client))


@asynccontextmanager
async def connected(
    *, lockstep: bool = False, buffer: int = 1000
) -> AsyncGenerator[tuple[Client, Peer]]:
    """A client and its server. At the end the server closes, if the test has not done it."""
    peer = pair(lockstep=lockstep)
    async with connect_stream(peer.half, buffer=buffer) as client:
        yield client, peer
        await peer.close()


def messages(count: int, size: int = 1) -> Iterator[bytes]:
    """PUB frames whose bodies count."""
    return (encode_pub(b"t", str(number).encode().zfill(size)) for number in range(count))
