"""Peers: what the connections of a server are doing, as what JSON can say.

What peers have sent is shown shortened, and of their headers only those that are no secrets.

Next: `speedo_trio.admin.collector`.
"""

from __future__ import annotations

from heapq import nlargest
from operator import attrgetter
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from speedo_trio.admin.status import JSONObject
    from speedo_trio.events import ProxyInfo, TLSInfo, WebSocketInfo
    from speedo_trio.protocol.handler import Connection
    from speedo_trio.server import Server
    from speedo_trio.stats import ConnectionStats

LISTED = 100
"""How many connections are listed at most; more would be slow to show, and nobody reads them."""

ORDERS = ("id", "seconds", "received", "sent", "executed", "waiting", "unsent")
"""What the connections with most of it can be asked for."""

_AT_ONCE = 256
"""How many are looked at before others have their turn: less than a millisecond."""

_TEXT = 500
"""The most characters of what a peer sent that are shown."""

_HEADERS = 100

_SHOWN = frozenset(
    ("connection", "forwarded", "host", "origin", "upgrade", "user-agent", "via", "x-forwarded-for")
)
"""WebSocket headers whose values are shown. Others may be secrets of the client: cookies, keys."""


async def listed(server: Server, order: str = "id") -> list[JSONObject]:
    """The connections with most of something, most first; the newest for ``id``. Short."""
    if order == "id":
        newest = server.connections[: -LISTED - 1 : -1]
        return [_short(stats) for stats in _stats(server, newest)]
    most: list[ConnectionStats] = []
    connections = server.connections
    for start in range(0, len(connections), _AT_ONCE):
        if start:
            await trio.lowlevel.checkpoint()
        some = _stats(server, connections[start : start + _AT_ONCE])
        most = nlargest(LISTED, [*most, *some], key=attrgetter(order))
    return [_short(stats) for stats in most]


def _stats(server: Server, connections: Iterable[Connection]) -> Iterator[ConnectionStats]:
    """Of those that are still open."""
    for connection in connections:
        try:
            yield server.connection_stats(connection.id)
        except LookupError:
            pass  # it has ended since the list was made


def _short(stats: ConnectionStats) -> JSONObject:
    return {
        "id": stats.id,
        "peer": _text(stats.peer),
        "seconds": round(stats.seconds, 3),
        "received": stats.received,
        "sent": stats.sent,
        "executed": stats.executed,
        "waiting": stats.waiting,
        "unsent": stats.unsent,
    }


def details(stats: ConnectionStats) -> JSONObject:
    """All about one connection."""
    return {
        **_short(stats),
        "local": _text(stats.local),
        "tls": None if stats.tls is None else _tls(stats.tls),
        "websocket": None if stats.websocket is None else _websocket(stats.websocket),
        "proxy": None if stats.proxy is None else _proxy(stats.proxy),
    }


def _tls(tls: TLSInfo) -> JSONObject:
    certificate = tls.certificate
    return {
        "version": _text(tls.version),
        "cipher": _text(tls.cipher),
        "alpn": None if tls.alpn is None else _text(tls.alpn),
        "subject": None if certificate is None else _subject(certificate),
    }


def _subject(certificate: Mapping[str, object]) -> str:
    """Whom the certificate is about: ``commonName=…, organizationName=…``."""
    names = certificate.get("subject", ())
    try:
        pairs = [f"{key}={value}" for part in names for key, value in part]  # type: ignore[attr-defined]  # tuples, says ssl
    except (TypeError, ValueError):  # an application's own stream has another form
        return _text(names)
    return _text(", ".join(pairs))


def _websocket(websocket: WebSocketInfo) -> JSONObject:
    path, query, _ = websocket.path.partition("?")
    return {
        "path": _text(path) + ("?…" if query else ""),  # a query may hold a secret
        "subprotocol": None if websocket.subprotocol is None else _text(websocket.subprotocol),
        "headers": [
            [_text(name), _text(value) if name in _SHOWN else None]
            for name, value in websocket.headers[:_HEADERS]
        ],
    }


def _proxy(proxy: ProxyInfo) -> JSONObject:
    return {
        "proxy": _text(proxy.proxy),
        "version": proxy.version,
        "tlvs": [[f"0x{kind:02x}", _text(value.hex())] for kind, value in proxy.tlvs[:_HEADERS]],
    }


def _text(value: object) -> str:
    text = str(value)
    return text if len(text) <= _TEXT else f"{text[:_TEXT]}…"
