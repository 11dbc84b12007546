"""A connection: one ordered writer for replies and pushed bytes, whoever writes them.

Bytes wait in `WireConnection.replies`, a list that anyone may append to (one append is atomic)
and that only the holder of the connection's lock takes from. `WireConnection.flush` sends what
waits without blocking, from whichever thread asks; only what the kernel does not take is left to
a writer task, which then is the only one that sends until all is gone.

Next: `speedo_trio.link`, which owns the connection.
"""

from __future__ import annotations

import threading
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Protocol

import trio

from speedo_trio.errors import ConnectionClosed, ConnectionLost

if TYPE_CHECKING:
    from collections.abc import Callable

    from speedo_trio.config import Limits
    from speedo_trio.events import Address, ProxyInfo, TLSInfo, WebSocketInfo
    from speedo_trio.io.border import Border
    from speedo_trio.io.door import Introduction
    from speedo_trio.io.wire import Data, Wire


class ConnectionOwner(Protocol):
    """Who a connection tells what happens to it. On the Trio thread, but for the first two."""

    def congested(self) -> None:
        """More waits to be sent than should: let the connection's turn end. From any thread."""

    def aborting(self) -> None:
        """Let no further message execute; `abort_asked` follows. From any thread."""

    def write_blocked(self) -> None:
        """The kernel took no more: run `WireConnection.write_out` in a task."""

    def write_lost(self, error: ConnectionLost) -> None:
        """Sending found the connection broken."""

    def overflowed(self) -> None:
        """More was written than may wait."""

    def ungated(self) -> None:
        """There is room for replies again, after `WireConnection.gate` said that there is none."""

    def relieved(self) -> None:
        """`WireConnection.room` is no longer 0."""

    def progressed(self) -> None:
        """Bytes that waited were sent."""

    def after_reads(self, call: Callable[[], object]) -> None:
        """`WireConnection.after_reads` was called."""

    def close_asked(self) -> None:
        """`WireConnection.close` was called."""

    def abort_asked(self) -> None:
        """`WireConnection.abort` was called."""


class WireConnection:
    """What a handler sees as its `Connection`, over a wire."""

    __slots__ = (
        "_backlog",
        "_backlog_bytes",
        "_border",
        "_closed",
        "_flushing",
        "_full",
        "_gated",
        "_high",
        "_limits",
        "_lock",
        "_owed",
        "_owner",
        "_rest",
        "_room",
        "_writing",
        "_written",
        "broken",
        "encode",
        "id",
        "introduction",
        "replies",
        "sent",
        "wire",
    )

    def __init__(
        self,
        number: int,
        wire: Wire,
        owner: ConnectionOwner,
        border: Border,
        limits: Limits,
        introduction: Introduction | None = None,
    ) -> None:
        self.id: int = number
        self.introduction: Introduction | None = introduction
        """What the wire does not tell of the peer; set when it is known."""
        self.replies: list[bytes] = []
        self.encode: Callable[[bytes], bytes] | None = None
        self.sent: int = 0
        """Bytes that the kernel took."""
        self.wire: Wire = wire
        """What carries the bytes; another one once the peer has come through a door."""
        self._owner = owner
        self._border = border
        self._limits = limits
        self._high = min(limits.unsent_high, limits.unsent_bytes)
        self._lock = threading.Lock()
        self._rest: Data = b""  # being sent by the writer task
        self._backlog: list[bytes] = []  # taken from replies, to be sent after the rest
        self._backlog_bytes = 0
        self._written = 0  # bytes in replies that came by write()
        self._writing = False  # a writer task sends, nobody else
        self._flushing = False  # a flush is on its way to the Trio thread
        self._gated = False  # the lane waits for ungated()
        self._full = False  # no room until no more than half of what may wait does
        self._owed = False  # relieved() is to follow, as there was no room
        self._closed = False
        self.broken: bool = False
        """Whether sending found the connection lost."""
        self._room: trio.Event | None = None  # set when send() may go on

    @property
    def peer(self) -> Address:
        introduction = self.introduction
        return (introduction and introduction.peer) or self.wire.peer

    @property
    def local(self) -> Address:
        introduction = self.introduction
        return (introduction and introduction.local) or self.wire.local

    @property
    def tls(self) -> TLSInfo | None:
        return None if self.introduction is None else self.introduction.tls

    @property
    def websocket(self) -> WebSocketInfo | None:
        return None if self.introduction is None else self.introduction.websocket

    @property
    def proxy(self) -> ProxyInfo | None:
        return None if self.introduction is None else self.introduction.proxy

    @property
    def unsent(self) -> int:
        """Bytes that wait to be sent, without the replies of a turn that goes on."""
        return len(self._rest) + self._backlog_bytes + self._written

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be sent."""
        return not (self.replies or self._writing)

    def lost(self) -> bool:
        """Whether sending found the connection broken; also a send that goes on in another thread.

        The kernel tells a reset once: the reader of a socket whose sender was told sees the end of
        the stream.
        """
        with self._lock:
            return self.broken

    @property
    def blocked(self) -> bool:
        """Whether bytes wait for the peer to take some."""
        return self._writing

    @property
    def room(self) -> int:
        if self._full:
            return 0
        return max(0, self._high - self.unsent)

    def write(self, data: bytes) -> bool:
        if type(data) is not bytes:
            data = _bytes(data)
        with self._lock:
            if self._closed:
                return False
            unsent = self.unsent + len(data)
            if unsent > self._limits.unsent_bytes:
                self._border.soon(self._owner.overflowed)
                return False
            self.replies.append(data)
            self._written += len(data)
            full = unsent >= self._high
            if full:
                self._full = self._owed = True
            flush_soon = not (self._writing or self._flushing or full)
            self._flushing |= flush_soon
        if flush_soon:
            self._border.soon(self._flush_soon)
        elif full and not self.flush() and unsent > self._limits.unsent_high:
            self._owner.congested()
        return True

    def send_nowait(self, data: bytes) -> bool:
        taken = self._send_first(data) if type(data) is bytes else None
        if taken is None:  # in its order
            taken = self.write(data)
            self.flush()
        return taken

    def _send_first(self, data: bytes) -> bool | None:
        """Send what the kernel takes, if nothing waits before it; None: something does."""
        with self._lock:
            if self._closed:
                return False
            if self.replies or self._writing or len(data) > self._limits.unsent_bytes:
                return None
            blocked = self._hand_over(data)
            if blocked is None:
                return False
        if blocked:
            self._owner.write_blocked()
        return True

    def after_reads(self, call: Callable[[], object]) -> None:
        self._owner.after_reads(call)

    async def send(self, data: bytes) -> None:
        while self.unsent > self._limits.unsent_high and not self._closed:
            if self._room is None:
                self._room = trio.Event()
            room = self._room
            if self.unsent > self._limits.unsent_high:  # still, after who makes room could see it
                await room.wait()
        if not self.write(data):
            raise ConnectionClosed(f"connection {self.id} is closed; {len(data)} bytes not sent")
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        self._border.now(self._owner.close_asked)

    def abort(self) -> None:
        self._owner.aborting()
        self._border.now(self._owner.abort_asked)

    def flush(self) -> bool:
        """Send what waits, as far as it goes without waiting. From any thread.

        Returns:
            Whether nothing is left.
        """
        replies = self.replies
        if not replies:
            return not self._writing
        with self._lock:
            count = len(replies)  # a worker may append meanwhile
            data = replies[0] if count == 1 else b"".join(replies[:count])
            del replies[:count]
            self._written = 0
            if self._closed:
                return False
            if self._writing:
                self._backlog.append(data)
                self._backlog_bytes += len(data)
                self._note_fullness()
                return False
            blocked = self._hand_over(data)
            if blocked is None:
                return False
            if not blocked:
                self._full = False
        if blocked:
            self._border.now(self._owner.write_blocked)
        elif self._owed or self._room is not None:
            self._border.soon(self._open_gates)  # not now: a handler may be in the middle of write
        return not blocked

    def gate(self) -> bool:
        """Whether too much waits for more replies to be made now.

        After True the owner's `ungated` is called once, when there is room again.
        """
        with self._lock:
            self._gated = (
                self._writing and not self._closed and self.unsent > self._limits.unsent_high
            )
            return self._gated

    async def write_out(self, patience: float | None) -> bool:
        """Send until nothing waits; the writer task.

        Returns:
            False when the peer took no byte for `patience` seconds; None waits for ever.

        Raises:
            ConnectionLost: the connection broke.
        """
        while True:
            with self._lock:
                if self._closed:
                    return True
                if not self._rest:
                    self._rest = b"".join((*self._backlog, self._take()))
                    self._backlog.clear()
                    self._backlog_bytes = 0
                    self._writing = bool(self._rest)
                    self._note_fullness()
                    if not self._writing:
                        return True
            with trio.move_on_after(inf if patience is None else patience) as scope:
                sent = await self.wire.push(self._rest)
            if scope.cancelled_caught:
                return False
            with self._lock:
                self.sent += sent
                self._rest = memoryview(self._rest)[sent:] if sent < len(self._rest) else b""
            self._open_gates()

    async def send_eof(self, *, leaving: bool = False) -> None:
        """Tell the peer that no more comes, as `Wire.send_eof` does."""
        await self.wire.send_eof(leaving=leaving)

    def shut(self) -> int:
        """Send nothing more; after this nobody but the writer task uses the wire.

        Returns:
            How many bytes were left unsent.
        """
        with self._lock:  # no worker thread is inside send() now, none will be
            self._closed = True
            left = self._drop()
        self._open_gates()
        return left

    def _hand_over(self, data: bytes) -> bool | None:
        """Give the kernel what it takes; the rest is for the writer task. Under the lock.

        Returns:
            Whether there is a rest; None when the connection is lost, of which the owner is told.
        """
        try:
            sent = self.wire.send_nowait(data)
        except ConnectionLost as lost:
            self._closed = self.broken = True
            self._border.soon(partial(self._owner.write_lost, lost))
            return None
        self.sent += sent
        blocked = sent < len(data)
        if blocked:
            self._rest = memoryview(data)[sent:]
            self._writing = True
            self._note_fullness()
        return blocked

    def _note_fullness(self) -> None:
        """See whether there is room after bytes were added to what waits. Under the lock."""
        if self.unsent >= self._high:
            self._full = self._owed = True

    def _flush_soon(self) -> None:
        self._flushing = False
        self.flush()
        self._owner.progressed()

    def _take(self) -> bytes:
        """Take what is in `replies`. Under the lock, though a worker may append meanwhile."""
        count = len(self.replies)
        data = b"".join(self.replies[:count])
        del self.replies[:count]
        self._written = 0
        return data

    def _drop(self) -> int:
        """Forget what waits; how many bytes that was. Under the lock."""
        left = len(self._rest) + self._backlog_bytes + len(self._take())
        self._rest = b""
        self._backlog.clear()
        self._backlog_bytes = 0
        return left

    def _open_gates(self) -> None:
        """Let those go on who wait for room. On the Trio thread, without the lock."""
        with self._lock:
            if self.unsent > self._high // 2:
                return
            gated, self._gated = self._gated, False
            relieved = self._owed and not self._closed
            self._full = self._owed = False
        if self._room is not None:
            self._room.set()
            self._room = None
        if gated:
            self._owner.ungated()
        if relieved:
            self._owner.relieved()
        self._owner.progressed()


def _bytes(data: object) -> bytes:
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    raise TypeError(f"write() takes bytes, not {type(data).__name__}")
