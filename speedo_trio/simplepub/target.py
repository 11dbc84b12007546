"""The target: the server that a client connects to, as a URL tells it.

Next: `speedo_trio.simplepub.session`.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from typing import Final

import trio
from attrs import frozen

from speedo_trio.errors import ConfigError, ConnectionLost

DEFAULT_PORT: Final = 9292

_PLAIN: Final = "simplepub"
_TLS: Final = "simplepub+tls"
_UNIX: Final = "simplepub+unix"
_AUTHORITY: Final = re.compile(
    r"//(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\[\]@:/?#\s]+)(?::(?P<port>[0-9]{1,5}))?/?", re.ASCII
)
_ALLOWED: Final = (
    "allowed are simplepub://host:port, simplepub+tls://host:port and simplepub+unix:/path"
)
_OPENSSL: Final = re.compile(r"^\[[^]]*\] | \(_ssl\.c:\d+\)$")
"""What Python puts around a text of OpenSSL: ``[SSL: WRONG_VERSION_NUMBER] `` and where it was."""


@frozen(kw_only=True)
class Target:
    """A server to connect to; a Unix socket has a path and no host."""

    url: str
    host: str = ""
    port: int = 0
    path: str = ""
    secure: bool = False
    """Whether TLS comes first."""


def parse_target(url: str) -> Target:
    """The target that a URL stands for; without a port it is 9292.

    Raises:
        ConfigError: it stands for none; the text says what was seen and what is allowed.
    """
    scheme, _, rest = url.partition(":")
    if scheme == _UNIX:
        if not rest:
            raise ConfigError(f"{url!r} has no path; {_ALLOWED}")
        return Target(url=url, path=rest)
    if scheme not in {_PLAIN, _TLS}:
        raise ConfigError(f"{url!r} is no SimplePub server; {_ALLOWED}")
    found = _AUTHORITY.fullmatch(rest)
    if found is None:
        raise ConfigError(f"{url!r} has no host and port that can be read; {_ALLOWED}")
    port = int(found["port"] or DEFAULT_PORT)
    if not 1 <= port <= 65_535:
        raise ConfigError(f"{url!r} has port {port}; allowed is 1 to 65535")
    return Target(url=url, host=found["host"].strip("[]"), port=port, secure=scheme == _TLS)


async def open_stream(target: Target, ssl_context: ssl.SSLContext | None) -> trio.abc.Stream:
    """Connect to the target, with TLS if it asks for it. A cancel leaves nothing open.

    Args:
        target: the server.
        ssl_context: for TLS; None takes `ssl.create_default_context`.

    Raises:
        ConfigError: there is an `ssl_context`, and no TLS to use it for.
        ConnectionLost: nobody answers, or the TLS handshake fails; from its cause.
    """
    if ssl_context is not None and not target.secure:
        raise ConfigError(f"ssl_context is for {_TLS}, and the server is {target.url}")
    try:
        stream = await _connect(target)
        if not target.secure:
            return stream
        return await _secure(stream, ssl_context or ssl.create_default_context(), target.host)
    except (OSError, UnicodeError, trio.BrokenResourceError) as error:
        # UnicodeError: no name for the DNS.
        raise ConnectionLost(f"cannot connect to {target.url}: {why(error)}") from error


async def _connect(target: Target) -> trio.SocketStream:
    if target.path:
        return await trio.open_unix_socket(target.path)
    return await trio.open_tcp_stream(target.host, target.port)


async def _secure(stream: trio.abc.Stream, context: ssl.SSLContext, host: str) -> trio.abc.Stream:
    secure = trio.SSLStream(stream, context, server_hostname=host)
    try:
        await secure.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return secure


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
