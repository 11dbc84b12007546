"""A wire that a test holds at both ends, and a layer whose bytes can be read by eye."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator

import trio

from speedo_trio.errors import ConnectionLost, MalformedFrame
from speedo_trio.events import Address
from speedo_trio.io.connection import WireConnection
from speedo_trio.io.layer import Layer
from speedo_trio.io.wire import Data, Wire

MASK = bytes.maketrans(bytes(range(256)), bytes(byte ^ 0x55 for byte in range(256)))


class ScriptedWire:
    """Takes as many bytes as the test lets it, gives what the test has arrive.

    `takes` says how many each send takes, if there is room; when it is exhausted, all.
    """

    peer = Address("tcp", host="192.0.2.1", port=40_000)
    local = Address("tcp", host="192.0.2.2", port=9292)

    def __init__(self, *, room: int = 2**60, takes: Iterable[int] = ()) -> None:
        self.room = room
        self.sent = bytearray()
        self.sends = 0
        self.eofs = 0
        self.closed = False
        self.only_pushes = False
        self._takes = iter(takes)
        self._arrived: deque[bytes] = deque()
        self._ended = False
        self._lost = False
        self._stirred = trio.Event()
        self._sending = threading.Lock()

    # What the test does

    def let(self, count: int) -> None:
        """Allow `count` bytes more to be sent."""
        self.room += count
        self.stir()

    def lose(self) -> None:
        """Break."""
        self._lost = True
        self.stir()

    def arrive(self, *pieces: bytes) -> None:
        """Have the pieces come, one for each read that asks for as much."""
        self._arrived += filter(None, pieces)
        self.stir()

    def end(self) -> None:
        """Have the peer end its stream."""
        self._ended = True
        self.stir()

    def stir(self) -> None:
        """Have those look again who wait."""
        self._stirred.set()
        self._stirred = trio.Event()

    # The wire

    async def readable(self) -> None:
        await trio.lowlevel.checkpoint()
        while not (self._arrived or self._ended or self._lost):
            await self._stirred.wait()

    def read(self, size: int) -> bytes | None:
        if self._lost:
            raise ConnectionLost("lost by the test")
        if not self._arrived:
            return b"" if self._ended else None
        piece = self._arrived.popleft()
        if len(piece) > size:
            self._arrived.appendleft(piece[size:])
        return piece[:size]

    def unread(self) -> int:
        return sum(map(len, self._arrived))

    def send_nowait(self, data: Data) -> int:
        return 0 if self.only_pushes else self._send(data)

    async def push(self, data: Data) -> int:
        assert len(data) > 0
        await trio.lowlevel.checkpoint()
        while not (sent := self._send(data)):
            if not self.room:
                await self._stirred.wait()
        return sent

    async def send_eof(self, *, leaving: bool = False) -> None:
        self.eofs += 1

    async def close(self) -> None:
        self.closed = True
        self.lose()

    def _send(self, data: Data) -> int:
        assert self._sending.acquire(blocking=False), "two send at once"
        try:
            self.sends += 1
            if self._lost:
                raise ConnectionLost("lost by the test")
            sent = min(self.room, len(data), next(self._takes, 2**60))
            self.sent += data[:sent]
            self.room -= sent
            return sent
        finally:
            self._sending.release()


class Boxes(Layer):
    """Each step is a box: its kind, its length in two bytes, and its bytes, masked.

    ``D`` is data. To a question ``?`` the layer gives the answer ``!`` with the same bytes. ``E``
    is the end, ``X`` breaks the protocol, ``L`` is a damage. ``F`` is the farewell.
    """

    __slots__ = ("_busy", "_raw", "farewells")

    def __init__(self, below: Wire) -> None:
        super().__init__(below)
        self._raw = bytearray()
        self._busy = threading.Lock()
        self.farewells = 0

    def _encode(self, data: Data) -> bytes:
        assert self._busy.acquire(blocking=False), "two use the codec at once"
        try:
            return box(b"D", bytes(data))
        finally:
            self._busy.release()

    def _decode(self, raw: bytes) -> bytes:
        assert self._busy.acquire(blocking=False), "two use the codec at once"
        try:
            self._raw += raw
            data = bytearray()
            for kind, content in unbox(self._raw):
                match kind:
                    case b"D":
                        data += content
                    case b"?":
                        self._answer(box(b"!", content))
                    case b"E":
                        self._end()
                    case b"X":
                        self._end(MalformedFrame("an X"))
                    case _:
                        self._end(ConnectionLost(f"a box {kind!r}"))
            return bytes(data)
        finally:
            self._busy.release()

    def _farewell(self) -> bytes:
        self.farewells += 1
        return box(b"F", b"")


def box(kind: bytes, content: bytes) -> bytes:
    """As `Boxes` tells."""
    return kind + len(content).to_bytes(2, "big") + content.translate(MASK)


def unbox(raw: bytearray) -> Iterator[tuple[bytes, bytes]]:
    """Take the complete boxes out of `raw`."""
    while len(raw) >= 3 and len(raw) >= (end := 3 + int.from_bytes(raw[1:3], "big")):
        found = bytes(raw[:1]), bytes(raw[3:end].translate(MASK))
        del raw[:end]
        yield found


def boxes(raw: bytes | bytearray) -> list[tuple[bytes, bytes]]:
    """The complete boxes in `raw`."""
    return list(unbox(bytearray(raw)))


def data_in(raw: bytes | bytearray) -> bytes:
    """The data of the complete boxes in `raw`."""
    return b"".join(content for kind, content in boxes(raw) if kind == b"D")


class WriterOwner:
    """Runs the writer task of a connection, as a link does."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.outcomes: list[bool] = []

    def write_blocked(self) -> None:
        self._nursery.start_soon(self._write_out)

    async def _write_out(self) -> None:
        self.outcomes.append(await self.connection.write_out(None))

    def _told(self, *_: object) -> None:
        pass

    congested = aborting = write_lost = overflowed = ungated = progressed = _told
    close_asked = abort_asked = relieved = after_reads = _told

    connection: WireConnection
