"""Binds: where a server listens, and what stands between a socket and its protocol, as URLs.

==============================  =============================================================
``tcp://localhost:9292``        both loopback addresses, IPv4 and IPv6 (RFC 6761, 6.3)
``tcp://0.0.0.0:9292``          one address, or a name and all its addresses
``tcp://:9292``                 every address of the machine, IPv4 and IPv6
``tcp://localhost:0``           a free port, the same one for all addresses
``unix:/run/speedo.sock``       a Unix socket; ``?mode=660`` sets its permissions, 600 if not
``fd://3``                      a listening socket that the process was started with
``systemd:`` ``systemd:name``   those that systemd passed, all or by ``FileDescriptorName=``
``tls://host:port?cert=file``   TLS over TCP
``ws://host:port/path``         WebSocket over TCP; without a path, any
``wss://host:port?cert=file``   WebSocket over TLS over TCP
==============================  =============================================================

``+proxy``, ``+tls`` and ``+ws`` after a scheme add a layer to any of them, in whatever order they
are written: ``tls+proxy://…``, ``systemd+tls:name?cert=…``, ``unix+ws:/run/speedo.sock``. A PROXY
header is always read first, then TLS, then WebSocket.

==============  ===========  =================================================================
option          with
==============  ===========  =================================================================
``mode``        ``unix``     permissions of the socket's file, in octal
``reuseport``   TCP          other processes may listen there too (SO_REUSEPORT, socket(7))
``cert``        TLS          file with the certificate and those that it is signed by, PEM
``key``         TLS          file with its private key; the one of ``cert`` if not given
``ca``          TLS          file with certificates; who has none signed by them is refused
``alpn``        TLS          protocols to agree on (RFC 7301), by preference, commas between
``trust``       ``+proxy``   networks whose PROXY headers are believed, commas between;
                             loopback if not given
``path``        ``+ws``      the path, where the URL has no place for one
``origin``      WebSocket    origins whose pages may connect (RFC 6455, 10.2), as browsers send
                             them, commas between; any if not given
==============  ===========  =================================================================

Next: `speedo_trio.io.sockets`, which opens them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias, assert_never
from urllib.parse import parse_qsl, quote

from attrs import evolve, frozen

from speedo_trio.errors import BindError, ConfigError
from speedo_trio.io.networks import DEFAULT_TRUSTED, TrustedNetworks, parse_networks
from speedo_trio.io.tls import TLSFiles

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNIX_PATH_BYTES = 107
"""The longest path of a Unix socket: sockaddr_un has 108 bytes, the last one is zero (unix(7))."""

_MODE = 0o600
"""The permissions of a Unix socket that nobody set any for: nobody else may connect."""

_BIND = re.compile(
    r"(?P<scheme>tcp|tls|wss?|unix|fd|systemd)(?P<layers>(\+(proxy|tls|ws))*)"
    r":(?P<place>[^?#\0]*)(\?(?P<query>[^#\0]*))?"
)
_HOST = re.compile(
    r"//(\[(?P<six>[0-9a-fA-F.]*:[0-9a-fA-F:.]*(%[^\]]+)?)\]|(?P<host>[^:\[\]/@]*))"
    r":(?P<port>[0-9]{1,5})(?P<path>/[!-~]*)?"
)
_NAME = re.compile(r"[!-.0-9;-~]*")
"""What ``FileDescriptorName=`` may be (systemd.socket(5)): printable, no colon. No slash either,
though it could have one: ``systemd://web`` looks like a host."""

_OVER_TCP: dict[str, frozenset[str]] = {
    "tcp": frozenset(),
    "tls": frozenset({"tls"}),
    "ws": frozenset({"ws"}),
    "wss": frozenset({"tls", "ws"}),
}
"""The schemes that stand for TCP, and the layers that they have without being asked."""

_ORIGIN = r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?"
"""What a browser sends of a page's origin (RFC 6454, 6.2). The origin ``null`` can't be
allowed: every page can get it, by way of a sandbox."""

ALLOWED = (
    "allowed are tcp://host:port, tcp://[v6]:port, tcp://:port, unix:/path?mode=660, fd://3, "
    "systemd:, systemd:name, tls://host:port?cert=file, ws://host:port/path, "
    "wss://host:port?cert=file, and +proxy, +tls or +ws after a scheme"
)

_HINTS = {
    "mode": "mode=NNN, in octal",
    "reuseport": "reuseport",
    "cert": "cert=file",
    "key": "key=file",
    "ca": "ca=file",
    "alpn": "alpn=names",
    "trust": "trust=networks",
    "path": "path=/path",
    "origin": "origin=scheme://host:port, or several",
}


@frozen
class TCPSource:
    """A host and a port."""

    host: str
    port: int
    reuseport: bool = False


@frozen
class UnixSource:
    """A path and the permissions of the socket there."""

    path: str
    mode: int = _MODE


@frozen
class FdSource:
    """A descriptor that the process was started with."""

    number: int


@frozen
class SystemdSource:
    """The sockets that systemd passed under a name; all without one."""

    name: str = ""


Source: TypeAlias = TCPSource | UnixSource | FdSource | SystemdSource


@frozen
class Bind:
    """Where to listen, and the layers between what is accepted there and the protocol."""

    source: Source
    proxy: TrustedNetworks | None = None
    """Whose PROXY headers are believed; None: no header is expected."""
    tls: TLSFiles | None = None
    websocket: str | None = None
    """The path that is served, any when it is empty; None: no WebSocket."""
    origins: tuple[str, ...] = ()
    """Whose pages may open a WebSocket, in lower case; none: all."""

    def __str__(self) -> str:
        """The bind as a URL, which `parse_bind` reads back."""
        options = "&".join(self._options())
        return f"{self._scheme}:{self._place}" + (f"?{options}" if options else "")

    def inherited(self, number: int) -> Bind:
        """The same layers over a socket that a process is started with, at descriptor `number`."""
        return evolve(self, source=FdSource(number))

    @property
    def layered(self) -> bool:
        """Whether there is a handshake before the protocol begins."""
        return not (self.proxy is None and self.tls is None and self.websocket is None)

    @property
    def _scheme(self) -> str:
        layers = {"tls"} if self.tls is not None else set()
        if self.websocket is not None:
            layers.add("ws")
        proxy = "+proxy" if self.proxy is not None else ""
        match self.source:
            case TCPSource():
                return next(name for name, own in _OVER_TCP.items() if own == layers) + proxy
            case UnixSource():
                scheme = "unix"
            case FdSource():
                scheme = "fd"
            case SystemdSource():
                scheme = "systemd"
            case _:
                assert_never(self.source)
        return scheme + proxy + "".join(f"+{layer}" for layer in sorted(layers))

    @property
    def _place(self) -> str:
        match self.source:
            case TCPSource(host, port):
                path = self.websocket or ""
                return f"//[{host}]:{port}{path}" if ":" in host else f"//{host}:{port}{path}"
            case UnixSource(path):
                return path
            case FdSource(number):
                return f"//{number}"
            case SystemdSource(name):
                return name
            case _:
                assert_never(self.source)

    def _options(self) -> Iterator[str]:
        match self.source:
            case TCPSource(reuseport=True):
                yield "reuseport"
            case UnixSource(mode=mode) if mode != _MODE:
                yield f"mode={mode:03o}"
            case _:
                pass
        if self.tls is not None:
            files = (("cert", self.tls.cert), ("key", self.tls.key), ("ca", self.tls.ca))
            yield from (f"{name}={quote(file)}" for name, file in files if file is not None)
            if self.tls.alpn:
                yield f"alpn={quote(','.join(self.tls.alpn), safe=',/')}"
        if self.proxy is not None and self.proxy != DEFAULT_TRUSTED:
            yield f"trust={quote(str(self.proxy), safe=',/:')}"
        if self.websocket and not isinstance(self.source, TCPSource):
            yield f"path={quote(self.websocket)}"
        if self.origins:
            yield f"origin={quote(','.join(self.origins), safe=',/:[]')}"


def parse_bind(text: str) -> Bind:
    """Read a bind as the module's docstring gives them.

    Raises:
        BindError: it is none of them.
    """
    match = _BIND.fullmatch(text)
    if match is None:
        raise _no_bind(text)
    layers = _layers(text, match["scheme"], match["layers"])
    options = _Options(text, match["query"] or "")
    source, path = _source(text, match["scheme"], match["place"], options)
    proxy = _trusted(text, options) if "proxy" in layers else None
    files = _files(text, options) if "tls" in layers else None
    websocket, origins = None, ""
    if "ws" in layers:
        over_tcp = isinstance(source, TCPSource)
        websocket = path if over_tcp else options.take("path", "", like="/[!-~]+")
        origins = options.take("origin", "", like=f"(?i:{_ORIGIN}(,{_ORIGIN})*)").lower()
    elif path:
        raise _no_bind(text)
    options.finish()
    return Bind(source, proxy, files, websocket, tuple(filter(None, origins.split(","))))


def _no_bind(text: str) -> BindError:
    return BindError(f"{text!r} is no address to listen on; {ALLOWED}")


def _layers(text: str, scheme: str, added: str) -> set[str]:
    layers = [*_OVER_TCP.get(scheme, ()), *added.split("+")[1:]]
    if len(set(layers)) < len(layers):
        raise BindError(f"{text}: a layer is there twice; allowed is each once")
    return set(layers)


class _Options:
    """The query of a bind: each option is taken once, and none may be left."""

    def __init__(self, text: str, query: str) -> None:
        self._text = text
        self._left: dict[str, str] = {}
        self._known: list[str] = []
        for name, value in parse_qsl(query, keep_blank_values=True):
            if name in self._left:
                raise BindError(f"{text}: {name} is there twice; allowed is once")
            self._left[name] = value

    def take(self, name: str, default: str, like: str = ".+") -> str:
        """The option's value, which must match `like`."""
        self._known.append(name)
        if name not in self._left:
            return default
        value = self._left.pop(name)
        if not re.fullmatch(like, value, re.DOTALL):
            raise BindError(
                f"{self._text}: {name}={value} is not allowed; allowed is {_HINTS[name]}"
            )
        return value

    def flag(self, name: str) -> bool:
        """Whether the option is there; it has no value."""
        there = name in self._left
        self.take(name, "", like="")
        return there

    def finish(self) -> None:
        """See that all were taken."""
        for name, value in self._left.items():
            known = " and ".join(_HINTS[name] for name in self._known) or "no option"
            raise BindError(f"{self._text}: {name}={value} is not allowed; allowed is {known}")


def _source(text: str, scheme: str, place: str, options: _Options) -> tuple[Source, str]:
    """The source, and the path in a URL with a host."""
    if scheme in _OVER_TCP and (match := _HOST.fullmatch(place)):
        port = int(match["port"])
        if port > 65_535:
            raise BindError(f"{text}: port {port} is over 65535")
        host, path = match["six"] or match["host"] or "", match["path"] or ""
        return TCPSource(host, port, options.flag("reuseport")), "" if path == "/" else path
    if scheme == "unix" and place.startswith("/"):
        return _unix_source(text, place, options), ""
    if scheme == "fd" and (match := re.fullmatch("//([0-9]{1,9})", place)):
        return FdSource(int(match[1])), ""
    if scheme == "systemd" and _NAME.fullmatch(place):
        return SystemdSource(place), ""
    raise _no_bind(text)


def _unix_source(text: str, path: str, options: _Options) -> UnixSource:
    size = len(path.encode("utf-8", "surrogatepass"))
    if size > _UNIX_PATH_BYTES:
        raise BindError(f"{text}: the path is {size} bytes, allowed are {_UNIX_PATH_BYTES}")
    return UnixSource(path, int(options.take("mode", f"{_MODE:o}", like="0?[0-7]{3}"), 8))


def _trusted(text: str, options: _Options) -> TrustedNetworks:
    networks = options.take("trust", "")
    try:
        return parse_networks(networks) if networks else DEFAULT_TRUSTED
    except ConfigError as error:
        raise BindError(f"{text}: trust: {error}") from None


def _files(text: str, options: _Options) -> TLSFiles:
    cert = options.take("cert", "")
    if not cert:
        raise BindError(f"{text}: TLS needs a certificate; allowed is ?cert=file, and key=file")
    alpn = options.take("alpn", "", like=r"[!-+\-.-~]{1,255}(,[!-+\-.-~]{1,255})*")
    return TLSFiles(
        cert=cert,
        key=options.take("key", "") or None,
        ca=options.take("ca", "") or None,
        alpn=tuple(filter(None, alpn.split(","))),
    )
