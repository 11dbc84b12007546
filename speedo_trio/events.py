"""What happens, as frozen facts: addresses, the reasons of an end, and the events observers get.

An observer is any callable that takes an `Event`. It is called synchronously on the Trio thread.
What it raises is logged and otherwise ignored, so that a failing observer harms nobody.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping


@frozen
class Address:
    """One end of a connection, or where a server listens.

    ``str()`` gives it as a bind URL would: ``tcp://127.0.0.1:9292``, ``tcp://[::1]:9292``,
    ``unix:/run/speedo.sock``. A Unix client has no path of its own: ``unix:``. A stream that
    the application brought is ``stream:``. Where a server listens, the scheme may also be
    ``tls``, ``ws`` or ``wss``.
    """

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.scheme not in ("tcp", "tls", "ws", "wss"):
            return f"{self.scheme}:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@frozen(kw_only=True)
class TLSInfo:
    """What a TLS handshake agreed on."""

    version: str
    cipher: str
    alpn: str | None = None
    certificate: Mapping[str, object] | None = None
    """The peer's certificate as `ssl.SSLSocket.getpeercert` gives it; None without one."""


@frozen(kw_only=True)
class WebSocketInfo:
    """What a WebSocket handshake (RFC 6455, 4) asked for and agreed on."""

    path: str
    """The request's target, its query included, as the peer sent it."""
    subprotocol: str | None
    """The one that the handler's factory chose; None for none."""
    headers: tuple[tuple[str, str], ...]
    """The request's headers in their order, names in lower case: ``origin``, ``cookie`` …"""


@frozen(kw_only=True)
class ProxyInfo:
    """What a PROXY header told beside the client's address."""

    proxy: Address
    """Who sent the header: the other end of the socket."""
    version: int
    """1 or 2."""
    tlvs: tuple[tuple[int, bytes], ...] = ()
    """Version 2's type-length-value fields in their order, as they came: 0x01 ALPN, 0x02 the name
    that the client asked for, 0x05 a unique id, 0x20 what TLS agreed on at the proxy …"""


class Cause(enum.Enum):
    """Why a connection ended."""

    EOF = "the peer ended its stream"
    CLOSED = "closed by this side"
    ABORTED = "aborted by this side"
    LOST = "the connection was lost"
    HANDSHAKE = "the handshake failed"
    PROTOCOL_ERROR = "the peer broke the protocol"
    HANDLER_ERROR = "the handler or a message raised"
    FIRST_MESSAGE = "no message came in time"
    IDLE = "nothing was received for too long"
    LIFETIME = "the connection was open for its whole lifetime"
    WRITE_TIMEOUT = "the peer read too slowly"
    OVERFLOW = "too many bytes waited to be sent"
    DRAINED = "the server drained"
    GRACE_OVER = "the drain's grace was over"
    STOPPED = "the server was stopped"
    REFUSED = "refused at a limit"


class Refusal(enum.Enum):
    """Why a connection was not served; the value is the setting."""

    FULL = "limits.connections"
    ADDRESS_FULL = "limits.connections_per_address"
    RATE = "limits.rate"
    ADDRESS_RATE = "limits.rate_per_address"


class Pause(enum.Enum):
    """Why a connection was held up until there was room; the value is the setting."""

    LANE_MESSAGES = "limits.lane_messages"
    LANE_BYTES = "limits.lane_bytes"
    MESSAGES = "limits.messages"
    BYTES = "limits.bytes"
    UNSENT = "limits.unsent_high"


@frozen
class CloseReason:
    """Why a connection ended, and the error behind it if there was one."""

    cause: Cause
    error: BaseException | None = None

    def __str__(self) -> str:
        if self.error is None:
            return self.cause.value
        return f"{self.cause.value}: {type(self.error).__name__}: {self.error}"


def counted(count: int, noun: str) -> str:
    """``1 message``, ``2 messages``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


@frozen(kw_only=True)
class DrainReport:
    """What a drain did. Durations in seconds."""

    connections: int
    """Connections that were open when the drain began, or were accepted by it."""
    executed: int
    """Messages executed during the drain."""
    dropped_messages: int
    """Messages received but not executed to their end when the grace was over."""
    dropped_bytes: int
    """Bytes of replies that their peers had not taken when the grace was over."""
    cut_connections: int
    """Connections that did not end by themselves within the grace."""
    abandoned_threads: int
    """Worker threads still inside a message after ``kill_after``."""
    seconds: float

    @property
    def clean(self) -> bool:
        """Whether nothing was dropped, cut or abandoned."""
        return not (
            self.dropped_messages
            or self.dropped_bytes
            or self.cut_connections
            or self.abandoned_threads
        )

    def __str__(self) -> str:
        text = (
            f"drained {counted(self.connections, 'connection')} in {self.seconds:.2f} s, "
            f"{counted(self.executed, 'message')} executed"
        )
        if self.clean:
            return f"{text}, nothing dropped"
        return (
            f"{text}; dropped {counted(self.dropped_messages, 'message')} and "
            f"{counted(self.dropped_bytes, 'byte')} of replies, "
            f"cut {counted(self.cut_connections, 'connection')}, "
            f"abandoned {counted(self.abandoned_threads, 'thread')}"
        )


@frozen(kw_only=True)
class Listening:
    """The server listens; `addresses` are the ones that it really has, ports filled in."""

    addresses: tuple[Address, ...]


@frozen(kw_only=True)
class AcceptFailed:
    """Accepting failed for want of something, such as file descriptors; it is tried again."""

    address: Address
    error: OSError
    retry_in: float
    """Seconds until accepting is tried again."""


@frozen(kw_only=True)
class ConnectionRefused:
    """A connection was closed unserved because a limit was reached."""

    peer: Address
    why: Refusal
    limit: float
    """The limit's value: connections, or new connections a second."""


@frozen(kw_only=True)
class ConnectionOpened:
    """A connection is served from now on: its handshake, if it has one, is over."""

    connection: int
    peer: Address
    local: Address
    tls: TLSInfo | None = None
    websocket: WebSocketInfo | None = None
    proxy: ProxyInfo | None = None


@frozen(kw_only=True)
class ConnectionEnded:
    """A connection has ended; comes once for each that was accepted and not refused."""

    connection: int
    peer: Address
    reason: CloseReason
    received: int
    """Bytes, as the protocol got them."""
    sent: int
    """Bytes, as the protocol gave them."""
    messages: int
    """Messages executed, failed ones included."""
    seconds: float
    """From accepting to closing."""


@frozen(kw_only=True)
class ConnectionFailed:
    """A connection ended, or ends soon, because of an error: the one report of it.

    A peer that breaks the protocol and a bug in the handler are both here; `reason` tells
    which. Peers that merely vanish are not.
    """

    connection: int
    peer: Address
    reason: CloseReason
    message: object = field(default=None)
    """The message that raised; None when it was not a message."""


@frozen(kw_only=True)
class MessageFailed:
    """A message raised, and the handler answered for it: the connection goes on."""

    connection: int
    peer: Address
    message: object
    error: BaseException


@frozen(kw_only=True)
class DrainStarted:
    """The server drains from now on."""

    connections: int
    grace: float


@frozen(kw_only=True)
class GraceOver:
    """The drain's grace is over: what has not ended is cut off now."""

    connections: int
    messages: int
    """Messages that wait in all lanes."""


@frozen(kw_only=True)
class Drained:
    """The drain is over."""

    report: DrainReport


@frozen(kw_only=True)
class Reconfigured:
    """The server has new settings, certificates or a new factory, for new connections."""

    changed: tuple[str, ...]
    """What changed, such as ``limits.connections``, ``certificates`` or ``factory``."""
    needs_restart: tuple[str, ...] = ()
    """What was to change but can't while the server runs, such as ``workers.count``."""


@frozen(kw_only=True)
class MessageDropped:
    """A broker dropped a message for a subscriber that reads too slowly.

    Comes for a subscriber's first such message, its tenth, hundredth and so on.
    """

    subscriber: str
    """Its protocol and its peer's address, or what the program called it."""
    dropped: int
    """Messages that were dropped for it so far."""


@frozen(kw_only=True)
class StoreFailed:
    """A store can't write: nothing that it was to keep is acknowledged until `StoreRecovered`.

    Or it can't read what waits for a client. Both are tried again.
    """

    store: str
    error: Exception


@frozen(kw_only=True)
class StoreRecovered:
    """A store that failed has written all that waited."""

    store: str


Event: TypeAlias = (
    Listening
    | AcceptFailed
    | ConnectionRefused
    | ConnectionOpened
    | ConnectionEnded
    | ConnectionFailed
    | MessageFailed
    | DrainStarted
    | GraceOver
    | Drained
    | Reconfigured
    | MessageDropped
    | StoreFailed
    | StoreRecovered
)
"""What an observer gets."""

Observer: TypeAlias = Callable[[Event], None]
"""Called with each event as it happens."""
