"""A layer: a wire that transforms the bytes of another wire, the one below it.

Sending, the plaintext that a caller hands over is encoded in steps, and only what the wire below
has taken is told as sent. What it has not taken stays here, encoded, for the next call. Receiving,
what was decoded and not asked for yet stays here, too.

Next: `speedo_trio.io.tls` and `speedo_trio.io.websocket`, which say what the bytes become.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from time import thread_time
from typing import TYPE_CHECKING

import trio

from speedo_trio.errors import ConnectionLost
from speedo_trio.io.wire import StreamWire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

    from speedo_trio.errors import SpeedoError
    from speedo_trio.events import Address
    from speedo_trio.io.wire import Data, Wire

STEP_BYTES = 16_384
"""The most plaintext that is encoded at once: a TLS record holds no more (RFC 8446, 5.1), and other
threads wait for no more than this to be encoded and sent."""

ANSWER_BYTES = 65_536
"""The most that may wait here to be sent, a step's encoded bytes included: some five hundred of the
longest pongs. A peer that makes this side answer and does not read the answers is lost."""

_DECODE_SECONDS = 0.001
"""How long this processor should take to decode what one read took from the wire below; after more
than that the next read takes less. 16 KiB of pings or of key updates are ten milliseconds, in which
nobody else would be served."""

_LEAST_BYTES = 512
"""The least that a read takes then."""

_MOST_BYTES = 2**24
"""More than any read takes."""

_NOTHING = memoryview(b"")

_FAREWELL_SECONDS = 1.0
"""How long a peer that reads nothing is given to take the farewell. All data has left by then."""


class Layer(ABC):
    """A wire over the wire `below`, which belongs to it from now on.

    A subclass says in `_encode`, `_decode` and `_farewell` what the bytes become. Those run under
    a lock, so they may share an object that two threads must not use at once.

    A layer answers by itself what is the business of nobody above: pings, key updates, bad records.
    An answer leaves at once if the wire below takes it, else with the bytes that wait there; when
    none do, `readable` waits for it to leave before it waits for the peer.

    After a cancel over a `StreamWire` nobody knows what has left, so that ends all sending. Over a
    socket a cancel loses nothing.
    """

    __slots__ = (
        "_ahead",
        "_ahead_end",
        "_below",
        "_deaf",
        "_failure",
        "_heard",
        "_lock",
        "_over",
        "_pending",
        "_pushed",
        "_rest",
        "_stride",
        "_tears",
        "_torn",
    )

    def __init__(self, below: Wire) -> None:
        self._below = below
        self._lock = threading.Lock()
        self._tears = isinstance(below, StreamWire)  # a cancelled push leaves unknown what left
        self._pending: Data = b""  # encoded, and not yet taken by the wire below
        self._ahead = 0  # bytes at the front of the next data that are encoded already
        self._ahead_end = 0  # how much of what is pending must leave for those to be sent
        self._pushed: trio.Event | None = None  # while a push is under way, what it sets at its end
        self._torn = False  # a push was cancelled, and what is pending may have left or not
        self._stride = _MOST_BYTES  # the most that the next read takes from the wire below
        self._rest = _NOTHING  # decoded, and not yet asked for
        self._heard = 0  # bytes of the wire below that were decoded, be there data in them or not
        self._over = False  # nothing more is decoded
        self._failure: SpeedoError | None = None  # why; for the next read to raise
        self._deaf = False  # it was raised: what comes is thrown away

    @property
    def peer(self) -> Address:
        return self._below.peer

    @property
    def local(self) -> Address:
        return self._below.local

    @property
    def heard(self) -> int:
        """Grows with whatever the peer sends, though there be no data in it: pings, for one."""
        return self._heard + (self._below.heard if isinstance(self._below, Layer) else 0)

    # What a subclass says

    @abstractmethod
    def _encode(self, data: Data) -> bytes:
        """What `data`, 1 to `STEP_BYTES` bytes, becomes. Under the lock.

        Raises:
            ConnectionLost: nothing more can be sent.
        """

    @abstractmethod
    def _decode(self, raw: bytes) -> bytes:
        """All that can be decoded with the next `raw` bytes, few more than those. Under the lock.

        It calls `_answer` and `_end` where they are due.
        """

    @abstractmethod
    def _farewell(self) -> bytes:
        """What tells the peer that no more comes; nothing if it was told. Under the lock."""

    def _answer(self, answer: bytes) -> None:
        """Have `answer` leave behind what waits to leave. Under the lock."""
        self._pending = b"".join((self._pending, answer)) if self._pending else answer

    def _end(self, failure: SpeedoError | None = None) -> None:
        """Nothing more is to be decoded; after what was, `read` tells the end or raises."""
        if not self._over:
            self._over = True
            self._failure = failure

    # Receiving

    def readable(self) -> Awaitable[None]:
        if self._rest or (self._over and not self._deaf):
            return trio.lowlevel.checkpoint()  # noqa: ASYNC105  # the caller awaits
        if self._pending and not self._ahead:  # else whoever sends the data sends this, too
            return self._answered()
        return self._below.readable()

    def read(self, size: int) -> bytes | None:
        """Like `Wire.read`, taking at most `size` bytes from the wire below.

        Raises:
            ConnectionLost: the wire below broke, or this layer's bytes are damaged.
            ProtocolError: the peer sent what this layer does not allow. After that the wire can
                still send, and what it receives is thrown away.
        """
        if self._rest:
            return self._take(size)
        if self._over:
            return self._read_on(size)
        raw = self._below.read(min(size, self._stride))
        if not raw:
            if raw is not None:
                self._end()
            elif self._pending:
                self._send_answers()
            return raw
        data = self._receive(raw)
        if len(data) > size:
            self._rest = memoryview(data)
            return self._take(size)
        if data:
            return data
        return self._read_on(size) if self._over else None

    def unread(self) -> int:
        """An estimate: decoded bytes that are left, and the wire below's, which hold some less.

        Bytes of a unit that is not complete are not counted. `arrived` is exact.
        """
        return len(self._rest) + self._below.unread()

    def arrived(self, size: int) -> Iterator[bytes]:
        """What has come by now, as the function `arrived` gives it."""
        yield from self._pieces(size)
        for raw in arrived(self._below, size):
            if self._over:
                break
            if raw:
                self._rest = memoryview(self._receive(raw))
            yield self._take(size)
            yield from self._pieces(size)
        if self._failure is not None:
            self._read_on(size)

    def _receive(self, raw: bytes) -> bytes:
        self._heard += len(raw)
        with self._lock:
            began = thread_time()  # of the processor: waiting for other threads doesn't count
            data = self._decode(raw)
            took = thread_time() - began
        if took > _DECODE_SECONDS:
            self._stride = max(_LEAST_BYTES, len(raw) // 4)
        elif self._stride < _MOST_BYTES:
            self._stride *= 2
        if self._pending:
            self._send_answers()
        return data

    def _read_on(self, size: int) -> bytes | None:
        """Read when nothing more is decoded."""
        if self._failure is not None:
            failure, self._failure, self._deaf = self._failure, None, True
            raise failure
        if self._deaf:
            return None if self._below.read(size) else b""
        return b""

    def _take(self, size: int) -> bytes:
        data = self._rest[:size].tobytes()
        self._rest = self._rest[size:] or _NOTHING  # which lets go of what it was a view of
        return data

    def _pieces(self, size: int) -> Iterator[bytes]:
        while self._rest:
            yield self._take(size)

    # Answers

    def _send_answers(self) -> None:
        """Send what waits, as far as it goes now; what fails comes after what was received."""
        try:
            with self._lock:
                self._flush()
            if len(self._pending) > ANSWER_BYTES:
                raise ConnectionLost(
                    f"the peer does not read what it asked for: {len(self._pending)} bytes of "
                    f"answers wait, allowed are {ANSWER_BYTES}"
                )
        except ConnectionLost as lost:
            self._end(lost)

    async def _answered(self) -> None:
        """Wait for answers to leave, then for the next bytes."""
        while self._pending and not self._ahead:
            await self._push_pending()
        await self._below.readable()

    # Sending

    def send_nowait(self, data: Data) -> int:
        return self._send_steps(data, 0)

    async def push(self, data: Data) -> int:
        with self._lock:
            self._stage(data, 0)
        while not (sent := self._settle()):
            await self._push_pending()
        behind = len(self._pending)  # answers; those that come from now on are for the reader
        while behind > 0:
            behind -= await self._push_pending()
        return self._send_steps(data, sent)

    async def send_eof(self, *, leaving: bool = False) -> None:
        """Say farewell, and have the wire below do so.

        A peer that takes no bytes gets it within a second or not at all.
        """
        await self._say_farewell()
        await self._below.send_eof()

    async def close(self) -> None:
        await self._below.close()

    def _send_steps(self, data: Data, start: int) -> int:
        """Send from `start` on, as far as it goes; how much of `data` is sent then."""
        size = len(data)
        if size - start > STEP_BYTES:
            data = memoryview(data)
        while start < size:
            with self._lock:  # for a step and no more: the Trio thread may wait to read
                self._stage(data, start)
                self._flush()
                sent = self._settle()
            if not sent:
                break
            start += sent
        return start

    def _stage(self, data: Data, start: int) -> None:
        """Encode the next step of `data`, unless its front is encoded already. Under the lock."""
        if not self._ahead:
            step = data[start : start + STEP_BYTES]
            self._answer(self._encode(step))
            self._ahead = len(step)
            self._ahead_end = len(self._pending)

    def _flush(self) -> None:
        """Send what is pending, as far as it goes. Under the lock."""
        if self._pending and self._pushed is None:
            self._check()
            self._forget(self._below.send_nowait(self._pending))

    def _settle(self) -> int:
        """How many bytes at the front of the data have left and were not told as sent."""
        if self._ahead_end > 0:
            return 0
        sent, self._ahead = self._ahead, 0
        return sent

    def _forget(self, sent: int) -> None:
        """The first `sent` bytes of what is pending have left. Under the lock."""
        self._ahead_end -= sent
        if sent == len(self._pending):
            self._pending = b""
        else:
            self._pending = memoryview(self._pending)[sent:]

    def _check(self) -> None:
        if self._torn:
            raise ConnectionLost("sending ended halfway; what the peer got is not known")

    async def _push_pending(self) -> int:
        """Wait until some of what is pending has left; one task at a time. How much has left."""
        while self._pushed is not None:
            await self._pushed.wait()
        with self._lock:
            self._check()
            self._pushed = pushed = trio.Event()
            self._torn = self._tears  # until it is known what has left
            pending = self._pending
        try:
            sent = await self._below.push(pending) if pending else 0
            with self._lock:
                self._torn = False
                self._forget(sent)
        finally:
            self._pushed = None
            pushed.set()
        return sent

    async def _say(self, words: bytes) -> None:
        """Send, and wait until it has left."""
        with self._lock:
            self._answer(words)
            self._flush()
        while self._pending:
            await self._push_pending()

    async def _say_farewell(self) -> None:
        with self._lock:
            farewell = self._farewell()
        with trio.move_on_after(_FAREWELL_SECONDS):
            await self._say(farewell)


def arrived(wire: Wire, size: int) -> Iterator[bytes]:
    """What `wire` has received by now, in pieces of at most `size` bytes, without waiting.

    A piece is empty where a layer had something to do and nothing came of it. What comes while
    the pieces are taken is left to be read: a peer that goes on sending cannot make it longer.

    Raises:
        ConnectionLost: the wire broke.
        ProtocolError: the peer sent what a layer does not allow.
    """
    if isinstance(wire, Layer):
        yield from wire.arrived(size)
        return
    left = wire.unread()
    while left > 0 and (data := wire.read(min(left, size))):
        left -= len(data)
        yield data


async def more(wire: Wire, where: str) -> bytes:
    """Wait for the next bytes, of a handshake as a rule.

    Raises:
        ConnectionLost: the wire broke or ended; `where` it did, the text tells.
    """
    raw: bytes | None = None
    while raw is None:
        await wire.readable()
        raw = wire.read(STEP_BYTES)
    if not raw:
        raise ConnectionLost(f"the peer ended its stream inside {where}")
    return raw


async def part(wire: Wire, words: bytes, seconds: float = _FAREWELL_SECONDS) -> None:
    """Send the last words to a peer that is refused, and read on until it has heard them.

    Closing with unread input makes the kernel send a reset, which would destroy them. Takes no
    longer than `seconds`; a wire that breaks is no matter any more. The wire is left to be closed.
    """
    rest = memoryview(words)
    with trio.move_on_after(seconds):
        try:
            while rest:
                rest = rest[await wire.push(rest) :]
            await wire.send_eof()
            while wire.read(STEP_BYTES) != b"":
                await wire.readable()
        except ConnectionLost:
            pass
