"""Statistics: frozen snapshots of what a server and its connections are doing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from speedo_trio.events import Address, Cause, Pause, ProxyInfo, Refusal, TLSInfo, WebSocketInfo


@frozen(kw_only=True)
class ServerStats:
    """What a server is doing and has done, at one moment."""

    connections: int
    """Connections open now."""
    accepted: int
    """Connections accepted so far, without those refused at once, with those open now."""
    refused: int
    """Connections closed unserved because a limit was reached."""
    refusals: Mapping[Refusal, int]
    """The same by the limit that they met; limits met by none are absent."""
    closed: Mapping[Cause, int]
    """Connections that have ended, by the cause; causes of none are absent."""
    pauses: Mapping[Pause, int]
    """How often a connection was held up because something that waits had reached its bound, by
    that limit; limits that held up none are absent."""
    waiting: int
    """Messages that wait in all lanes."""
    executed: int
    """Messages executed so far, failed ones included."""
    failed: int
    """Messages that raised, so far."""
    dropped: int
    """Messages received but not executed to their end, of connections that have ended."""
    received: int
    """Bytes received so far."""
    sent: int
    """Bytes sent so far."""
    ready: int
    """Lanes that are ready and wait for a worker."""
    busy: int
    """Workers that execute a turn, threads and tasks."""
    threads: int
    """Worker threads, those that linger for the next message included."""
    paused: bool
    draining: bool


@frozen(kw_only=True)
class ConnectionStats:
    """What one open connection is doing and has done, at one moment."""

    id: int
    peer: Address
    local: Address
    tls: TLSInfo | None
    websocket: WebSocketInfo | None
    proxy: ProxyInfo | None
    seconds: float
    """For how long it has been open."""
    received: int
    """Bytes received so far, as the protocol got them."""
    sent: int
    """Bytes sent so far, as the protocol gave them."""
    executed: int
    """Messages executed so far, failed ones included."""
    waiting: int
    """Messages that wait in its lane."""
    unsent: int
    """Bytes that wait to be sent."""
