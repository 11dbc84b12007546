"""A listener: accepts, backs off when the system has no room, waits or refuses at the limit."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Protocol

import trio

from speedo_trio.events import AcceptFailed, ConnectionRefused
from speedo_trio.io.binds import remove_file, socket_file
from speedo_trio.io.wire import SocketWire, address_of

if TYPE_CHECKING:
    from speedo_trio.events import Address, Event
    from speedo_trio.io.wire import Wire

BACK_OFF = 0.1
"""Seconds until accepting is tried again when the system lacks descriptors or memory. Trio's own
listeners take the same: short enough that nobody notices, long enough not to burn a processor."""

_BURST = 64
"""Connections accepted before other tasks run: a storm of them must not delay those connected."""

_LACKING = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
"""The system has no room now; the peer stays in the kernel's queue until there is."""

_CLOSED = {errno.EBADF, errno.EINVAL, errno.ENOTSOCK}
"""The listening socket itself is gone. Every other error is the peer's, and of that moment:
accept(2) passes on what is wrong with the new connection and says to treat it as a retry."""


class Acceptor(Protocol):
    """Who gets accepted connections. All on the Trio thread."""

    def has_room(self) -> bool:
        """Whether one more connection may be open."""

    def refusing(self) -> int | None:
        """The limit, when it is reached and peers are to be refused; None lets them wait."""

    async def room(self) -> None:
        """Wait until there is room and accepting is not paused."""

    def accepted(self, wire: Wire) -> None:
        """Serve a new connection."""

    def observe(self, event: Event) -> None:
        """Tell of an event."""


class Listener:
    """One listening socket."""

    def __init__(self, listening: socket.socket) -> None:
        self._socket = listening
        self._scope = trio.CancelScope()
        self._file = socket_file(listening)
        self._tcp = listening.family != socket.AF_UNIX
        self.address: Address = address_of(listening.getsockname())

    async def run(self, acceptor: Acceptor) -> None:
        """Accept until `close` is called."""
        with self._scope:
            while True:
                await acceptor.room()
                if self._scope.cancel_called:  # and the socket closed
                    return
                await trio.lowlevel.wait_readable(self._socket)
                if self._socket.fileno() < 0:  # closed in the very tick of the wake-up
                    return
                lacking = self.accept(acceptor, _BURST)
                if lacking is not None:
                    acceptor.observe(
                        AcceptFailed(address=self.address, error=lacking, retry_in=BACK_OFF)
                    )
                    await trio.sleep(BACK_OFF)

    def accept(self, acceptor: Acceptor, most: int) -> OSError | None:
        """Accept what the kernel has queued, `most` connections at most, while there is room.

        Returns:
            What the system lacks, if accepting ended with that.
        """
        for _ in range(most):
            if not acceptor.has_room() and acceptor.refusing() is None:
                return None
            try:
                connected, name = self._socket.accept()
            except BlockingIOError:
                return None
            except OSError as error:
                if error.errno in _LACKING:
                    return error
                if error.errno in _CLOSED:
                    raise
                continue
            self._take(acceptor, connected, name)
        return None

    def close(self) -> None:
        """Stop listening; a Unix socket's file goes too."""
        self._scope.cancel(reason="the listener is closed")
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()
            if self._file is not None:
                remove_file(self._file)

    def _take(self, acceptor: Acceptor, connected: socket.socket, name: object) -> None:
        limit = acceptor.refusing()
        if limit is not None:
            connected.close()
            peer = address_of(name)
            acceptor.observe(ConnectionRefused(peer=peer, limit=limit))
            return
        connected.setblocking(False)
        if self._tcp:
            try:
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError:  # reset already; the link will see it
                pass
        acceptor.accepted(SocketWire(connected, name, self.address))
