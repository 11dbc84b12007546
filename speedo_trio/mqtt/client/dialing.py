"""Dialing: a stream to the server that a target stands for.

Next: `speedo_trio.mqtt.client.websocket`.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from typing import TYPE_CHECKING, Final

import trio

from speedo_trio.errors import ConfigError, ConnectionLost
from speedo_trio.mqtt.client.target import UNIX

if TYPE_CHECKING:
    from speedo_trio.mqtt.client.target import Target

_OPENSSL: Final = re.compile(r"^\[[^]]*\] | \(_ssl\.c:\d+\)$")
"""What Python puts around a text of OpenSSL: ``[SSL: WRONG_VERSION_NUMBER] `` and where it was."""


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
    if target.scheme == UNIX:
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
