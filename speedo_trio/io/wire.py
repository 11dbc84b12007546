"""A wire: the bytes of one peer, as a socket or as any Trio stream.

A wire does single steps and translates their errors: what breaks it is a `ConnectionLost`, from
its cause. Order, bounds and closing are the connection's.

Next: `speedo_trio.io.poller`.
"""

from __future__ import annotations

import array
import fcntl
import socket
import termios
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeAlias

import trio

from speedo_trio.errors import ConnectionLost
from speedo_trio.events import Address
from speedo_trio.isolation import own_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

Data: TypeAlias = bytes | memoryview

_PUSH_BYTES = 16_384
"""The most that a stream is given at once: it tells of progress only when all of it went, and a
peer that reads slowly must not look like one that doesn't read."""


class Wire(Protocol):
    """One peer's bytes, both ways."""

    @property
    def peer(self) -> Address:
        """The other end's address."""

    @property
    def local(self) -> Address:
        """This end's address."""

    def readable(self) -> Awaitable[None]:
        """Wait until `read` has something to tell. A cancel loses nothing."""

    def read(self, size: int) -> bytes | None:
        """Between 1 and `size` bytes; ``b""`` when the peer has ended its stream; None: wait."""

    def unread(self) -> int:
        """How many bytes `read` would give without waiting, as far as that can be known."""

    def send_nowait(self, data: Data) -> int:
        """Send what can be sent without waiting; how many bytes that was. From any thread.

        After a call that sent less than all, the next call, of this or `push`, must begin with the
        rest: a layer may have encoded some of it.
        """

    async def push(self, data: Data) -> int:
        """Wait until at least one byte of `data` could be sent; how many were.

        After a call that sent less than all, the next call, of this or `send_nowait`, must begin
        with the rest. After a cancel over a stream it is not known what was sent: the wire is
        good for nothing more. A socket has sent nothing then.
        """

    async def send_eof(self, *, leaving: bool = False) -> None:
        """Tell the peer that no more comes, if the wire can.

        With `leaving`, also that this side goes of its own accord, not because all is said; few
        wires have words for that.
        """

    async def close(self) -> None:
        """Let go of the wire at once, without waiting for the peer. Calls that wait end."""


class SocketWire:
    """A connected, non-blocking stream socket.

    It works on the socket itself, not on a `trio.SocketStream`: that saves half of the memory of
    an idle connection and lets a worker thread send its reply without a way back to Trio first.
    """

    __slots__ = ("_listener", "_name", "_socket")

    def __init__(self, connected: socket.socket, name: object, listener: Address) -> None:
        """Args: the socket, its peer's name as `socket.accept` gave it, who accepted it."""
        self._socket = connected
        self._name = name
        self._listener = listener

    @property
    def socket(self) -> socket.socket:
        """To wait for."""
        return self._socket

    @property
    def peer(self) -> Address:
        return address_of(self._name)

    @property
    def local(self) -> Address:
        try:
            return address_of(self._socket.getsockname())
        except OSError:  # closed by now
            return self._listener

    def readable(self) -> Awaitable[None]:
        return trio.lowlevel.wait_readable(self._socket)  # noqa: ASYNC105  # the caller awaits

    def read(self, size: int) -> bytes | None:
        try:
            return self._socket.recv(size)
        except BlockingIOError:
            return None
        except OSError as error:
            raise ConnectionLost(str(error)) from error

    def unread(self) -> int:
        count = array.array("i", [0])
        try:
            fcntl.ioctl(self._socket, termios.FIONREAD, count)
        except (OSError, ValueError):  # gone or closed; `read` will tell
            return 0
        return count[0]

    def send_nowait(self, data: Data) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise ConnectionLost(str(error)) from error

    async def push(self, data: Data) -> int:
        while True:
            try:
                await trio.lowlevel.wait_writable(self._socket)
            except (OSError, ValueError, trio.ClosedResourceError) as error:
                raise ConnectionLost(str(error)) from error
            if sent := self.send_nowait(data):
                return sent

    async def send_eof(self, *, leaving: bool = False) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise ConnectionLost(str(error)) from error

    async def close(self) -> None:
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()


class StreamWire:
    """Any Trio stream; only the Trio thread can send on it.

    The application brought it, so whatever it raises is its connection's loss and no more.
    """

    __slots__ = ("_ended", "_read", "_size", "_stream")

    peer: Address = Address("stream")
    local: Address = Address("stream")

    def __init__(self, stream: trio.abc.Stream, size: int) -> None:
        """Args: the stream, and the most that one `read` will ask for."""
        self._stream = stream
        self._size = size
        self._read = b""
        self._ended = False

    async def readable(self) -> None:
        if not self._read:
            with _losses():
                self._read = bytes(await self._stream.receive_some(self._size))
            self._ended = not self._read

    def read(self, size: int) -> bytes | None:
        data, self._read = self._read[:size], self._read[size:]
        return data if data or self._ended else None

    def unread(self) -> int:
        return len(self._read)  # what the stream itself holds, it does not tell

    def send_nowait(self, data: Data) -> int:
        return 0

    async def push(self, data: Data) -> int:
        data = data[:_PUSH_BYTES]
        with _losses():
            await self._stream.send_all(data)
        return len(data)

    async def send_eof(self, *, leaving: bool = False) -> None:
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            with _losses():
                await self._stream.send_eof()

    async def close(self) -> None:
        with _losses():
            await trio.aclose_forcefully(self._stream)


@contextmanager
def _losses() -> Iterator[None]:
    """Whatever the application's stream raises is the loss of its connection."""
    try:
        yield
    except BaseException as error:
        if own_error(error) is None:
            raise
        raise ConnectionLost(str(error.__cause__ or error) or type(error).__name__) from error


def address_of(name: object) -> Address:
    """The address that a socket's name, as the socket module gives it, stands for."""
    if isinstance(name, tuple):
        return Address("tcp", host=name[0].partition("%")[0], port=name[1])
    return Address("unix", path=name.decode() if isinstance(name, bytes) else str(name))
