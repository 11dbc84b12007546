"""The contract of a protocol: bytes in, messages out, no I/O.

A handler's life is this story. Every callback is synchronous and runs on the Trio thread, so
none of them may block; what takes time belongs into a `Message`.

1. A peer connects. The `ProtocolHandlerFactory` makes the handler, then `ProtocolHandler.opened`
   is called, once.
2. Bytes arrive: `ProtocolHandler.handle` with each chunk, split wherever the network split it.
3. Both may give messages, as a list or as a generator. A generator is pulled as the connection's
   lane has room, and nothing more is read until it is exhausted: that is the backpressure.
   A handler that pushes bytes of its own accord is told of room for more by
   `ProtocolHandler.writable`.
4. Workers execute the messages and send the replies. When one raises, `ProtocolHandler.failed`
   may turn the error into a reply.
5. The peer ends its side: `ProtocolHandler.eof`. The server drains:
   `ProtocolHandler.draining`, once, after all that was received has been handled. Both may give
   last messages. Not every connection gets here: peers also vanish.
6. All messages have finished or been dropped and the connection is closed:
   `ProtocolHandler.closed`, exactly once for every handler that was made, on every path.

Next: `speedo_trio.protocol.framed`, for protocols whose messages are frames.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol, TypeAlias

from speedo_trio.protocol.message import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from speedo_trio.events import Address, CloseReason, ProxyInfo, TLSInfo, WebSocketInfo

Messages: TypeAlias = Iterable[Message] | None
"""What a callback gives: messages in the order of their execution, or None for none."""


class Connection(Protocol):
    """What a handler and its messages see of one peer's connection."""

    @property
    def id(self) -> int:
        """A number that no other connection of this server has had."""

    @property
    def peer(self) -> Address:
        """The other end's address; behind a trusted proxy, the one that the proxy tells."""

    @property
    def local(self) -> Address:
        """This end's address; behind a trusted proxy, the one that the client connected to."""

    @property
    def tls(self) -> TLSInfo | None:
        """What the TLS handshake agreed on; None without TLS."""

    @property
    def websocket(self) -> WebSocketInfo | None:
        """What the WebSocket handshake agreed on; None without WebSocket."""

    @property
    def proxy(self) -> ProxyInfo | None:
        """What a proxy told of the peer, with a PROXY header; None without one."""

    @property
    def room(self) -> int:
        """How many bytes may be written until ``limits.unsent_high`` of them wait to be sent.

        0 while a peer that reads slowly has more than half of that to take; when it is again
        more, `ProtocolHandler.writable` is called. On the Trio thread.
        """

    def write(self, data: bytes) -> bool:
        """Send `data` as it is, after all that was written before. Never blocks.

        May be called on the Trio thread and in any worker thread. Inside a message of this
        connection it leaves after the replies of earlier messages.

        Returns:
            True when the bytes were taken. False when the connection is closed, or when the
            bytes exceed what may wait unsent (``limits.unsent_bytes``): a peer that slow is
            aborted.
        """

    def send_nowait(self, data: bytes) -> bool:
        """`write`, and hand over to the kernel at once what it takes. On the Trio thread.

        For what goes to other connections than the one whose bytes are being handled: what `write`
        takes leaves a little later, together with what else was written until then.
        """

    def after_reads(self, call: Callable[[], object]) -> None:
        """Call it when the reads at hand have been handled, of all connections. On the Trio thread.

        Many connections may have something to be read at the same time. What their handlers make
        others do is done once for all of them then: what many peers say to one is sent at once.
        Outside of `ProtocolHandler.handle`, and where reads come one by one, it is called at once.
        An exception in it ends this connection, as in any callback.
        """

    async def send(self, data: bytes) -> None:
        """Wait until few enough bytes are unsent, then `write`.

        On the Trio thread only. A cancel while it waits sends nothing of `data`.

        Raises:
            ConnectionClosed: the connection closed before there was room.
        """

    def close(self) -> None:
        """Read no more, execute what was received, flush, then close. From any thread."""

    def abort(self) -> None:
        """Close at once: drop what waits to be executed and to be sent. From any thread."""


class ProtocolHandler(ABC):
    """One connection's protocol. The module's docstring tells its life.

    An exception in any callback ends this connection and is reported with the peer's address;
    it never reaches the server or another connection. A `ProtocolError` says that the peer
    erred, any other exception that the handler did.
    """

    connection: Connection

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    @classmethod
    def choose_subprotocol(cls, offered: tuple[str, ...]) -> str | None:
        """Choose among the WebSocket subprotocols that a peer offers, in its order.

        For binds with WebSocket only; called before the handler is made.

        Returns:
            The one to speak, which must be among those offered; None, the default, for none.

        Raises:
            ProtocolError: the peer offers none that will do; it is refused with this as the text.
        """
        return None

    def opened(self) -> Messages:
        """The connection is open; the first messages, such as a greeting, if any."""
        return None

    @abstractmethod
    def handle(self, data: bytes) -> Messages:
        """Give the messages that `data` completes.

        Args:
            data: between 1 byte and ``limits.read_bytes`` bytes, split anywhere.

        Raises:
            ProtocolError: the peer broke the protocol. Messages given before are still
                executed and their replies sent, then the connection closes.
        """

    def eof(self) -> Messages:
        """The peer sends no more; it may still read. After the last reply we close."""
        return None

    def draining(self) -> Messages:
        """The server drains; the last messages, such as a goodbye, if any."""
        return None

    def writable(self) -> None:
        """`Connection.room` was 0 and is not any more.

        For handlers that push more than a peer may read: they write as much as there is room for,
        keep the rest, within a bound of their own, and go on when this is called.
        """
        return

    def failed(self, message: Message, error: BaseException) -> bytes | None:
        """`message` raised `error`.

        Returns:
            The reply to send in place of the message's own, encoded as any reply, after which
            the connection goes on; or None, the default, to end the connection.
        """
        return None

    def closed(self, reason: CloseReason) -> None:
        """The connection is gone and none of its messages runs any more.

        After a hard stop (`serve` cancelled, or a thread that outlived a drain's
        ``kill_after``) a message may still be running in an abandoned thread.
        """

    def encoder(self) -> Callable[[bytes], bytes] | None:
        """The function that turns a reply into bytes on the wire; None sends it as it is.

        Asked for once. The function is called by whichever worker ran the message, so it must
        not touch changing state.
        """
        return None


class ProtocolHandlerFactory(Protocol):
    """Makes the handler for a new connection. Any callable will do; a class is its own factory.

    A factory that has a method ``choose_subprotocol``, as `ProtocolHandler` classes do, is asked
    for the WebSocket subprotocol. So is the class inside a ``functools.partial``.

    A factory that has an async method ``attend`` gets it run as a task of the server, from before
    the first connection until the last has ended, when it is cancelled: for timers and other work
    of no single connection. What it raises ends the server.
    """

    def __call__(self, connection: Connection, /) -> ProtocolHandler:
        """Make the handler; raising refuses the connection and is reported."""


def shared(handler: ProtocolHandler) -> ProtocolHandlerFactory:
    """A factory that gives every connection the same `handler`.

    For protocols without state per connection. The handler's callbacks are called for each
    connection (`ProtocolHandler.closed` once for each), its messages' replies go to the
    connection that their bytes came from.
    """

    def factory(connection: Connection, /) -> ProtocolHandler:
        return handler

    factory.choose_subprotocol = handler.choose_subprotocol  # type: ignore[attr-defined]  # of a function
    return factory
