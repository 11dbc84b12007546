"""The target: the MQTT server that a client connects to, as a URL tells it.

Next: `speedo_trio.mqtt.client.dialing`.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Final

from attrs import frozen

from speedo_trio.errors import ConfigError

UNIX: Final = "mqtt+unix"
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
    if scheme == UNIX:
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
