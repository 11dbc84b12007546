"""The HTTP request that opens a WebSocket (RFC 6455, 4.2), and the answers to it.

Next: `speedo_trio.io.websocket`, which sends them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from http import HTTPStatus
from urllib.parse import urlsplit

import h11

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""What the key is joined with to prove that the server knows WebSocket (RFC 6455, 1.3)."""

_VERSION = "13"


class BadRequest(Exception):
    """A request that opens no WebSocket; `response` is what tells the client so."""

    def __init__(self, status: HTTPStatus, text: str, **headers: str) -> None:
        """Args: what to answer; a header's name has underscores for hyphens."""
        super().__init__(text)
        body = f"{text}\n".encode()
        lines = [
            f"HTTP/1.1 {status.value} {status.phrase}",
            *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
            "Content-Type: text/plain; charset=utf-8",
            f"Content-Length: {len(body)}",
        ]
        if "Connection" not in headers:
            lines.append("Connection: close")
        self.response: bytes = "\r\n".join((*lines, "", "")).encode() + body


class UpgradeRequest:
    """A request that comes in pieces. After `feed` gave True, it is one that opens a WebSocket."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.SERVER)
        self._key = ""
        self.target: str = ""
        """As the client sent it, its query included."""
        self.path: str = ""
        """The target's path."""
        self.headers: tuple[tuple[str, str], ...] = ()
        """In their order, names in lower case."""
        self.subprotocols: tuple[str, ...] = ()
        """Those that the client offers, the one that it likes best first."""
        self.origins: tuple[str, ...] = ()
        """The origin of the page that asks, in lower case (RFC 6454, 7); empty: no browser asks.
        Who sends several is no browser."""

    @property
    def rest(self) -> bytes:
        """What came behind the request: the first frames of a client that could not wait."""
        return self._http.trailing_data[0]

    def feed(self, data: bytes) -> bool:
        """Take some more; whether the request is complete.

        Raises:
            BadRequest: it is no HTTP, is longer than 16 KiB (h11's bound for an incomplete head),
                or opens no WebSocket.
        """
        self._http.receive_data(data)
        try:
            event = self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise BadRequest(HTTPStatus(error.error_status_hint), f"not HTTP: {error}") from error
        if not isinstance(event, h11.Request):
            return False
        self.headers = tuple(
            (name.decode("ascii"), value.decode("latin-1")) for name, value in event.headers
        )
        self.target = event.target.decode("ascii")
        self._check(event.method, event.http_version)
        self.path = _path(self.target)
        self._key = self._checked_key()
        self.subprotocols = tuple(self._items("sec-websocket-protocol"))
        self.origins = tuple(origin.lower() for origin in self._values("origin"))
        return True

    def accept(self, subprotocol: str | None) -> bytes:
        """The response that opens the WebSocket, with one of the subprotocols or None."""
        digest = hashlib.sha1(self._key.encode() + _GUID, usedforsecurity=False).digest()
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}",
        ]
        if subprotocol is not None:
            lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
        return "\r\n".join((*lines, "", "")).encode("ascii")

    def _check(self, method: bytes, version: bytes) -> None:
        if method != b"GET":
            text = f"{method.decode('ascii')} opens no WebSocket; allowed is GET"
            raise BadRequest(HTTPStatus.METHOD_NOT_ALLOWED, text, Allow="GET")
        if version < b"1.1":
            text = f"HTTP/{version.decode()} opens no WebSocket; allowed is HTTP/1.1"
            raise BadRequest(HTTPStatus.BAD_REQUEST, text)
        if not (self._names("connection", "upgrade") and self._names("upgrade", "websocket")):
            raise BadRequest(
                HTTPStatus.UPGRADE_REQUIRED,
                "this is a WebSocket: ask for it with Connection: Upgrade and Upgrade: websocket",
                Upgrade="websocket",
                Connection="Upgrade, close",
            )
        if self._values("sec-websocket-version") != [_VERSION]:
            raise BadRequest(
                HTTPStatus.UPGRADE_REQUIRED,
                f"allowed is Sec-WebSocket-Version: {_VERSION}, once",
                Upgrade="websocket",
                Connection="Upgrade, close",
                Sec_WebSocket_Version=_VERSION,
            )
        if self._values("transfer-encoding") or set(self._values("content-length")) - {"0"}:
            raise BadRequest(HTTPStatus.BAD_REQUEST, "a request for a WebSocket has no body")

    def _checked_key(self) -> str:
        keys = self._values("sec-websocket-key")
        try:
            (key,) = keys
            if len(base64.b64decode(key, validate=True)) == 16:
                return key
        except (ValueError, binascii.Error):
            pass
        raise BadRequest(
            HTTPStatus.BAD_REQUEST, "allowed is one Sec-WebSocket-Key, of 16 bytes in base64"
        )

    def _values(self, wanted: str) -> list[str]:
        return [value for name, value in self.headers if name == wanted]

    def _items(self, wanted: str) -> list[str]:
        """What a header lists, in one or several lines."""
        items = (item.strip() for value in self._values(wanted) for item in value.split(","))
        return [item for item in items if item]

    def _names(self, wanted: str, item: str) -> bool:
        return item in map(str.lower, self._items(wanted))


def _path(target: str) -> str:
    """The path of a request's target, in either form that a client may send (RFC 9112, 3.2)."""
    if target.startswith("/"):
        return target.partition("?")[0]
    try:
        return urlsplit(target).path or "/"
    except ValueError as error:
        raise BadRequest(HTTPStatus.BAD_REQUEST, f"no target of a request: {target}") from error
