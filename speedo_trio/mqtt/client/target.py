"""The target: the MQTT server that a client connects to, as a URL tells it.

Next: `speedo_trio.mqtt.client.websocket`.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from importlib.util import find_spec
from typing import Final

import trio
from attrs import frozen

from speedo_trio.errors import ConfigError, ConnectionLost

_UNIX: Final = "mqtt+unix"
_PORTS: Final = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
"""The schemes with a host, and their ports (IANA's registry; RFC 6455, 3)."""
_SECURE: Final = ("mqtts", "wss")
_WEBSOCKET: Final = ("ws", "wss")
_AUTHORITY: Final = re.compile(
    r"//(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\[\]@:/?#\s]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[^#\s]*)?",
    re.ASCII,
)
_ALLOWED: Final = (
    "allowed are mqtt://host:port, mqtts://host:port, mqtt+unix:/path, ws://host:port/path and "
    "wss://host:port/path"
)
_OPENSSL: Final = re.compile(r"^\[[^]]*\] | \(_ssl\.c:\d+\)$")
"""What Python puts around a text of OpenSSL: ``[SSL: WRONG_VERSION_NUMBER] `` and where it was."""


@frozen(kw_only=True)
class Target:
    """A server to connect to; a Unix socket has a path and no host."""

    url: str
    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    """Of the Unix socket, or what a WebSocket's request asks for."""

    @property
    def secure(self) -> bool:
        """Whether TLS comes first."""
        return self.scheme in _SECURE

    @property
    def websocket(self) -> bool:
        """Whether packets go in WebSocket messages."""
        return self.scheme in _WEBSOCKET

    @property
    def authority(self) -> str:
        """Host and port as a request names them, without the port that the scheme implies."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if _PORTS.get(self.scheme) == self.port else f"{host}:{self.port}"


def parse_target(url: str) -> Target:
    """The target that a URL stands for; without a port it is the scheme's own.

    Raises:
        ConfigError: it stands for none, or needs what is not installed; the text says what was
            seen and what is allowed.
    """
    scheme, _, rest = url.partition(":")
    if scheme == _UNIX:
        if not rest:
            raise ConfigError(f"{url!r} has no path; {_ALLOWED}")
        return Target(url=url, scheme=scheme, path=rest)
    if scheme not in _PORTS:
        raise ConfigError(f"{url!r} is no MQTT server; {_ALLOWED}")
    found = _AUTHORITY.fullmatch(rest)
    if found is None or (scheme not in _WEBSOCKET and found["path"] not in (None, "/")):
        raise ConfigError(f"{url!r} has no host and port that can be read; {_ALLOWED}")
    port = int(found["port"] or _PORTS[scheme])
    if not 1 <= port <= 65_535:
        raise ConfigError(f"{url!r} has port {port}; allowed is 1 to 65535")
    if scheme in _WEBSOCKET and find_spec("wsproto") is None:
        raise ConfigError(f"{url!r} needs wsproto: pip install 'speedo_trio[ws]'")
    path = (found["path"] or "/") if scheme in _WEBSOCKET else ""
    return Target(url=url, scheme=scheme, host=found["host"].strip("[]"), port=port, path=path)


async def open_stream(target: Target, ssl_context: ssl.SSLContext | None) -> trio.abc.Stream:
    """Connect to the target, with TLS and WebSocket if it asks for them.

    A cancel leaves nothing open.

    Args:
        target: the server.
        ssl_context: for TLS; None takes `ssl.create_default_context`.

    Raises:
        ConfigError: there is an `ssl_context`, and no TLS to use it for.
        ConnectionLost: nobody answers, or a handshake fails; from its cause.
    """
    if ssl_context is not None and not target.secure:
        raise ConfigError(f"ssl_context is for mqtts and wss, and the server is {target.url}")
    try:
        stream: trio.abc.Stream = await _connect(target)
        if target.secure:
            context = ssl_context or ssl.create_default_context()
            stream = await _secure(stream, context, target.host)
        if target.websocket:
            stream = await _upgrade(stream, target)
    except (OSError, UnicodeError, trio.BrokenResourceError) as error:
        # UnicodeError: no name for the DNS.
        raise ConnectionLost(f"cannot connect to {target.url}: {why(error)}") from error
    return stream


async def _connect(target: Target) -> trio.SocketStream:
    if target.scheme == _UNIX:
        return await trio.open_unix_socket(target.path)
    return await trio.open_tcp_stream(target.host, target.port)


async def _secure(stream: trio.abc.Stream, context: ssl.SSLContext, host: str) -> trio.abc.Stream:
    # Servers of MQTT mostly end TLS without its own goodbye; a packet tells that all is said.
    secure = trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
    try:
        await secure.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return secure


async def _upgrade(stream: trio.abc.Stream, target: Target) -> trio.abc.Stream:
    from speedo_trio.mqtt.client.websocket import WebSocketStream  # noqa: PLC0415  # an extra

    websocket = WebSocketStream(stream)
    try:
        await websocket.open(target.authority, target.path)
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return websocket


def why(error: BaseException) -> str:
    """What went wrong with a stream, told by what caused it, in a few words."""
    cause = error.__cause__
    if isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[-1]  # of several addresses; they mostly tell the same
    if cause is not None:
        return why(cause)
    if isinstance(error, ssl.SSLError):
        return _OPENSSL.sub("", str(error))
    if isinstance(error, OSError) and error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)  # Trio's own texts name the address once more
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
