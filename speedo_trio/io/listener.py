"""A listener: accepts, backs off when the system has no room, waits while there may be no more.

Next: `speedo_trio.io.door`.
"""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Protocol

import trio
from attrs import evolve

from speedo_trio.events import AcceptFailed
from speedo_trio.io.sockets import remove_file, socket_file
from speedo_trio.io.wire import SocketWire, address_of

if TYPE_CHECKING:
    from speedo_trio.events import Address, Event
    from speedo_trio.io.door import Door
    from speedo_trio.io.wire import Wire

BACK_OFF = 0.1
"""Seconds until accepting is tried again when the system lacks descriptors or memory. Trio's own
listeners take the same: short enough that nobody notices, long enough not to burn a processor."""

_BURST = 32
"""Connections accepted before other tasks run: a storm of them must not delay those connected."""

_SERVED = 8
"""Of these, those that may be to be served. Their making, their tasks and their handlers take ten
times as long as an accept and a close, which is all that one refused costs."""

_LACKING = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
"""The system has no room now; the peer stays in the kernel's queue until there is."""

_CLOSED = {errno.EBADF, errno.EINVAL, errno.ENOTSOCK}
"""The listening socket itself is gone. Every other error is the peer's, and of that moment:
accept(2) passes on what is wrong with the new connection and says to treat it as a retry."""


class Acceptor(Protocol):
    """Who gets accepted connections. All on the Trio thread."""

    def open(self) -> bool:
        """Whether the next connection may be accepted now, to be served or refused."""

    async def opened(self) -> None:
        """Wait until it may."""

    def admit(self, peer: Address, door: Door | None) -> bool:
        """Whether to serve this peer; False: close its connection."""

    def accepted(self, wire: Wire, listener: Listener) -> None:
        """Serve a new connection that was admitted."""

    def observe(self, event: Event) -> None:
        """Tell of an event."""


class Listener:
    """One listening socket."""

    def __init__(
        self, listening: socket.socket, door: Door | None = None, *, outlives: bool = False
    ) -> None:
        """Args: the socket, the door behind it, whether the socket is somebody else's too."""
        self._socket = listening
        self._scope = trio.CancelScope()
        self._file = None if outlives else socket_file(listening)
        self._tcp = listening.family != socket.AF_UNIX
        self._emptied = False  # nobody was left in the kernel's queue at the last look
        self.door: Door | None = door
        self.outlives: bool = outlives
        """Whether others go on accepting here when this is closed: what the kernel has queued
        then is theirs."""
        self.address: Address = _address(listening, door)

    async def run(self, acceptor: Acceptor) -> None:
        """Accept until `close` is called."""
        with self._scope:
            while True:
                await acceptor.opened()
                if self._scope.cancel_called:  # and the socket closed
                    return
                await trio.lowlevel.wait_readable(self._socket)
                if self._socket.fileno() < 0:  # closed in the very tick of the wake-up
                    return
                lacking = self.accept(acceptor, _SERVED)
                if lacking is not None:
                    acceptor.observe(
                        AcceptFailed(address=self.address, error=lacking, retry_in=BACK_OFF)
                    )
                    await trio.sleep(BACK_OFF)

    def accept(self, acceptor: Acceptor, most: int) -> OSError | None:
        """Accept what the kernel has queued, as far as it may be.

        At most `most` connections to be served, and at most 32 in all, those refused included.

        Returns:
            What the system lacks, if accepting ended with that.
        """
        self._emptied = False
        for _ in range(_BURST):
            if not (most and acceptor.open()):
                return None
            try:
                connected, name = self._socket.accept()
            except BlockingIOError:
                self._emptied = True
                return None
            except OSError as error:
                if error.errno in _LACKING:
                    return error
                if error.errno in _CLOSED:
                    raise
                continue
            most -= self._take(acceptor, connected, name)
        return None

    async def accept_rest(self, acceptor: Acceptor) -> None:
        """Accept all that the kernel has queued, as far as they may be; it queues nobody new.

        It takes its time, so that it can be cancelled, and ends early when the system lacks
        something.
        """
        self.hush()
        while self.accept(acceptor, _SERVED) is None and acceptor.open() and not self._emptied:
            await trio.lowlevel.checkpoint()

    def hush(self) -> None:
        """Have the kernel queue nobody new; those queued can still be accepted.

        Who comes between the last accept and `close` would be reset. Now it is as if nobody
        answered, until nobody listens (one more may be queued, listen(2)).
        """
        self._socket.listen(0)

    def close(self) -> None:
        """Stop listening; a Unix socket's file goes too."""
        self._scope.cancel(reason="the listener is closed")
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()
            if self._file is not None:
                remove_file(self._file)

    def _take(self, acceptor: Acceptor, connected: socket.socket, name: object) -> bool:
        """Have it served, or close it; whether it is served."""
        if not acceptor.admit(address_of(name), self.door):
            connected.close()
            return False
        connected.setblocking(False)
        if self._tcp:
            try:
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError:  # reset already; the link will see it
                pass
        acceptor.accepted(SocketWire(connected, name, self.address), self)
        return True


def _address(listening: socket.socket, door: Door | None) -> Address:
    """Where the socket listens, as those who connect have to write it."""
    address = address_of(listening.getsockname())
    if door is None or address.scheme != "tcp":
        return address
    return evolve(address, scheme=door.scheme)
