"""The target: the server that the load is for, as a URL tells it."""

from __future__ import annotations

import re
from typing import Final

from attrs import frozen

from speedo_trio.errors import ConfigError

_DEFAULT_PORTS: Final = {"ws": 80, "wss": 443, "mqtt": 1883, "mqtts": 8883}  # RFC 6455, 3; IANA
_SCHEMES: Final = ("tcp", "tls", "ws", "wss", "mqtt", "mqtts")
_UNIX: Final = ("unix", "mqtt+unix")
_PARTS = re.compile(r"(?P<authority>[^/?#]*)(?P<path>.*)", re.DOTALL)
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]@\s]+\]|[^\[\]@:\s]+)(?::(?P<port>[0-9]+))?", re.ASCII)
_ALLOWED = (
    "allowed are tcp://host:port, tls://host:port, unix:/path, ws://host:port/path, "
    "wss://host:port/path, mqtt://host:port, mqtts://host:port and mqtt+unix:/path"
)


@frozen(kw_only=True)
class Target:
    """A server to connect to; ``str()`` gives its URL.

    A Unix socket has a path and no host; for ws and wss the path is the request's target, its query
    included.
    """

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def secure(self) -> bool:
        """Whether TLS comes first."""
        return self.scheme in ("tls", "wss", "mqtts")

    @property
    def websocket(self) -> bool:
        """Whether what is said goes in WebSocket messages."""
        return self.scheme in ("ws", "wss")

    @property
    def unix(self) -> bool:
        """Whether it is a Unix socket."""
        return self.scheme in _UNIX

    @property
    def mqtt(self) -> bool:
        """Whether it is a broker of MQTT."""
        return self.scheme.startswith("mqtt")

    @property
    def authority(self) -> str:
        """Host and port as a URL has them, without the port that the scheme implies."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if _DEFAULT_PORTS.get(self.scheme) == self.port else f"{host}:{self.port}"

    def __str__(self) -> str:
        if self.unix:
            return f"{self.scheme}:{self.path}"
        return f"{self.scheme}://{self.authority}{self.path}"


def parse_target(url: str) -> Target:
    """The target that a URL stands for.

    Raises:
        ConfigError: it stands for none; the text says what was seen and what is allowed.
    """
    scheme, colon, rest = url.partition(":")
    if colon and scheme in _UNIX:
        return _unix(url, scheme, rest)
    if scheme not in _SCHEMES or not rest.startswith("//"):
        raise _mistake(url, "is no server to load")
    authority, path = _PARTS.fullmatch(rest[2:]).groups()  # type: ignore[union-attr]  # it matches
    if path and scheme not in ("ws", "wss"):
        raise _mistake(url, f"has a path, which {scheme} does not")
    return _with_host(url, scheme, authority, path)


def _unix(url: str, scheme: str, path: str) -> Target:
    if not path:
        raise _mistake(url, "has no path")
    if "?" in path:  # it looks like a bind, whose ?mode= says how to make a socket
        raise _mistake(url, "has a query, which is for who listens")
    return Target(scheme=scheme, path=path)


def _with_host(url: str, scheme: str, authority: str, path: str) -> Target:
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        raise _mistake(url, "has no host and port that can be read")
    port = int(found["port"]) if found["port"] else _DEFAULT_PORTS.get(scheme)
    if port is None:
        raise _mistake(url, "has no port")
    if not 1 <= port <= 65_535:
        raise ConfigError(f"{url!r} has port {port}; allowed is 1 to 65535")
    if scheme in ("ws", "wss"):
        path = _request_target(url, path)
    return Target(scheme=scheme, host=found["host"].strip("[]"), port=port, path=path)


def _request_target(url: str, path: str) -> str:
    """What a WebSocket request asks for: RFC 6455, 3 allows no fragment, HTTP no blanks."""
    if "#" in path or not (path.isascii() and path.isprintable()) or " " in path:
        raise _mistake(url, "has a fragment, a blank or another character that a path may not have")
    return path if path.startswith("/") else f"/{path}"


def _mistake(url: str, what: str) -> ConfigError:
    return ConfigError(f"{url!r} {what}; {_ALLOWED}")
