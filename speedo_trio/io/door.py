"""A door: what a new peer goes through before its protocol begins, as its bind says.

First a PROXY header, then TLS, then WebSocket; a bind without any of them has no door.

Next: `speedo_trio.link`, which leads its peer through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field, frozen

from speedo_trio.errors import BindError, ConfigError, HandshakeError
from speedo_trio.events import ProxyInfo, TLSInfo, WebSocketInfo
from speedo_trio.io.proxy import receive_header
from speedo_trio.io.tls import Turns, accept_tls, server_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from speedo_trio.events import Address
    from speedo_trio.io.binds import Bind
    from speedo_trio.io.networks import TrustedNetworks
    from speedo_trio.io.wire import Wire


@frozen(kw_only=True)
class Introduction:
    """Who a peer is, where its wire doesn't tell."""

    peer: Address | None = None
    """The client's address, if a proxy told it."""
    local: Address | None = None
    """The address that the client connected to, if a proxy told it."""
    proxy: ProxyInfo | None = None
    tls: TLSInfo | None = None
    websocket: WebSocketInfo | None = None


@define
class Door:
    """The door of one bind."""

    bind: Bind
    context: ssl.SSLContext | None = field(default=None, init=False)
    """The certificates in use."""
    _turns: Turns = field(factory=Turns, init=False)

    def __attrs_post_init__(self) -> None:
        if self.bind.websocket is not None:
            # When it is needed, not before: wsproto is an extra, and takes 20 ms of every start.
            from speedo_trio.io.websocket import require_wsproto  # noqa: PLC0415

            require_wsproto()
        self.context = self.load()

    @property
    def proxied(self) -> bool:
        """Whether a PROXY header tells who the peer is."""
        return self.bind.proxy is not None

    @property
    def scheme(self) -> str:
        """The scheme of a URL for those who connect over TCP."""
        if self.bind.websocket is None:
            return "tcp" if self.bind.tls is None else "tls"
        return "ws" if self.bind.tls is None else "wss"

    def load(self) -> ssl.SSLContext | None:
        """Load the certificates anew, without using them yet; None without TLS.

        Raises:
            BindError: they can't be used; the text names the bind, the file and the cause.
        """
        if self.bind.tls is None:
            return None
        try:
            return server_context(self.bind.tls)
        except ConfigError as error:
            raise BindError(f"{self.bind}: {error}") from error

    async def header(self, wire: Wire) -> Introduction:
        """Read the PROXY header, if one comes first here.

        Raises:
            HandshakeError: the peer may not send one, or it is not allowed.
            ConnectionLost: the peer is gone.
        """
        trusted = self.bind.proxy
        if trusted is None:
            return Introduction()
        return await _introduced(wire, trusted)

    async def enter(
        self, wire: Wire, choose: Callable[[tuple[str, ...]], str | None]
    ) -> tuple[Wire, TLSInfo | None, WebSocketInfo | None]:
        """Shake hands for TLS and WebSocket, as far as the bind has them.

        Args:
            choose: chooses among the WebSocket subprotocols that the peer offers; what it raises
                refuses the peer.

        Returns:
            The wire that carries the protocol, and what was agreed on.

        Raises:
            HandshakeError: the peer does it wrong.
            ConnectionLost: the peer is gone.
        """
        tls = websocket = None
        if self.context is not None:
            secured = await accept_tls(wire, self.context, self._turns)
            wire, tls = secured, secured.info
        if self.bind.websocket is not None:
            from speedo_trio.io.websocket import accept_websocket  # noqa: PLC0415  # as above

            framed = await accept_websocket(
                wire,
                path=self.bind.websocket or None,
                choose=choose,
                origins=self.bind.origins,
            )
            wire, websocket = framed, framed.info
        return wire, tls, websocket


async def _introduced(wire: Wire, trusted: TrustedNetworks) -> Introduction:
    sender = wire.peer
    if sender not in trusted:
        raise HandshakeError(f"{sender} is not trusted to be a proxy; trusted are {trusted}")
    header = await receive_header(wire)
    return Introduction(
        peer=header.source,
        local=header.destination,
        proxy=ProxyInfo(proxy=sender, version=header.version, tlvs=header.tlvs),
    )
