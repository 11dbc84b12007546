"""Requests: what a hook is asked, and who asks. Topics and filters are `str` here.

Next: `speedo_trio.mqtt.verdicts`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    from speedo_trio.events import Address, ProxyInfo, TLSInfo, WebSocketInfo
    from speedo_trio.mqtt.wire.versions import Version


@frozen(kw_only=True)
class ClientInfo:
    """A client that is connected, or wants to be."""

    client_id: str
    """The one that it gave, or that was assigned to it."""
    user_name: str | None
    """As it says. Without a hook that authenticates, nobody has seen to that."""
    identity: object = None
    """What `Accepted` said; None without."""
    until: float | None = None
    """The same, of when its connection ends."""
    version: Version
    connection: int
    """The number of its connection, which no other of this server has had."""
    peer: Address
    """The client's address; behind a trusted proxy, the one that the proxy tells."""
    local: Address
    """Where it connected to."""
    tls: TLSInfo | None
    """What TLS agreed on, the client's certificate with it; None without TLS."""
    websocket: WebSocketInfo | None
    """Path and headers of the WebSocket handshake; None without WebSocket."""
    proxy: ProxyInfo | None
    """What a proxy told with a PROXY header; None without one."""


@frozen(kw_only=True)
class ConnectRequest:
    """A client wants to connect."""

    client: ClientInfo
    password: bytes | None = field(repr=False)
    clean_start: bool
    """Whether it wants to begin anew; else to go on with the session that it may have."""
    keep_alive: int
    """Seconds; 0 for none."""
    will_topic: str | None
    """The topic of its will. When that is published, a hook that authorises it is asked."""
    user_properties: tuple[tuple[str, str], ...]

    @property
    def user_name(self) -> str | None:
        """That of the client."""
        return self.client.user_name


@frozen(kw_only=True)
class AuthenticationRequest:
    """A client wants to authenticate in steps, by the method that it names (section 4.12)."""

    client: ClientInfo
    method: str
    again: bool
    """Whether it is connected already, and shows anew who it is (section 4.12.1)."""


@frozen(kw_only=True)
class PublishRequest:
    """A client wants to publish this."""

    client: ClientInfo
    topic: str
    payload: bytes = field(repr=False)
    qos: int
    retain: bool
    will: bool
    """Whether it is the client's will: its connection has ended, or the session."""
    payload_format_indicator: int | None = None
    """1: it is UTF-8, as the client says."""
    message_expiry_interval: int | None = None
    """Seconds, from when it came."""
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    user_properties: tuple[tuple[str, str], ...] = ()


@frozen(kw_only=True)
class SubscribeRequest:
    """A client wants to subscribe to a filter. Each filter of a SUBSCRIBE is a request."""

    client: ClientInfo
    topic_filter: str
    """Without ``$share/group/`` before it."""
    group: str | None
    """The group whose members share the subscription; None: it is not shared."""
    qos: int
    """The QoS that it asks for."""
    no_local: bool
    retain_as_published: bool
    retain_handling: int
    """0: what is retained is sent; 1: if the subscription is new; 2: it isn't."""
    user_properties: tuple[tuple[str, str], ...]
