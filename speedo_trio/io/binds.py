"""Where a server listens: the grammar of binds, and the sockets they stand for.

==============================  =============================================================
``tcp://localhost:9292``        both loopback addresses, IPv4 and IPv6 (RFC 6761, 6.3)
``tcp://0.0.0.0:9292``          one address, or a name and all its addresses
``tcp://:9292``                 every address of the machine, IPv4 and IPv6
``tcp://localhost:0``           a free port, the same one for all addresses
``unix:/run/speedo.sock``       a Unix socket; ``?mode=660`` sets its permissions, 600 if not
==============================  =============================================================

Next: `speedo_trio.io.listener`.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from typing import TypeAlias
from urllib.parse import parse_qsl

import trio
from attrs import frozen

from speedo_trio.errors import BindError

_PORT_TRIES = 20
"""How often a free port is looked for that is free for all addresses."""

_UNIX_PATH_BYTES = 107
"""The longest path of a Unix socket: sockaddr_un has 108 bytes, the last one is zero (unix(7))."""

_TCP = re.compile(
    r"tcp://(\[(?P<six>[0-9a-fA-F.]*:[0-9a-fA-F:.]*(%[^\]]+)?)\]|(?P<host>[^:\[\]/?#@\0]*))"
    r":(?P<port>[0-9]{1,5})/?"
)
_UNIX = re.compile(r"unix:(?P<path>/[^?#\0]*)(\?(?P<query>[^#]*))?")


@frozen
class TCPBind:
    """A host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return (
            f"tcp://[{self.host}]:{self.port}"
            if ":" in self.host
            else f"tcp://{self.host}:{self.port}"
        )


@frozen
class UnixBind:
    """A path and the permissions of the socket there."""

    path: str
    mode: int = 0o600

    def __str__(self) -> str:
        return f"unix:{self.path}"


Bind: TypeAlias = TCPBind | UnixBind

_Name: TypeAlias = tuple[socket.AddressFamily, tuple[str | int, ...]]
"""A family, and a socket's name in it without the port: the host, for IPv6 its scope too."""


def parse_bind(text: str) -> Bind:
    """Read a bind as the module's docstring gives them.

    Raises:
        BindError: it is none of them.
    """
    if match := _TCP.fullmatch(text):
        port = int(match["port"])
        if port > 65_535:
            raise BindError(f"{text}: port {port} is over 65535")
        return TCPBind(match["six"] or match["host"] or "", port)
    if match := _UNIX.fullmatch(text):
        return _unix_bind(text, match["path"], match["query"] or "")
    raise BindError(f"{text!r} is no address to listen on; {ALLOWED}")


ALLOWED = "allowed are tcp://host:port, tcp://[v6]:port, tcp://:port and unix:/path?mode=660"


def _unix_bind(text: str, path: str, query: str) -> UnixBind:
    mode = 0o600
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name != "mode" or not re.fullmatch("0?[0-7]{3}", value):
            raise BindError(f"{text}: {name}={value} is not allowed; allowed is mode=NNN, in octal")
        mode = int(value, 8)
    size = len(path.encode("utf-8", "surrogatepass"))
    if size > _UNIX_PATH_BYTES:
        raise BindError(f"{text}: the path is {size} bytes, allowed are {_UNIX_PATH_BYTES}")
    return UnixBind(path, mode)


async def open_sockets(bind: Bind, backlog: int) -> list[socket.socket]:
    """Open, bind and listen: a socket for each address that the bind stands for.

    Raises:
        BindError: the address is in use, not this machine's, not permitted, or unknown.
    """
    try:
        if isinstance(bind, UnixBind):
            return [_open_unix(bind, backlog)]
        return _open_tcp(await _resolve(bind), bind.port, backlog)
    except (OSError, ValueError) as error:  # the latter: names that no encoding can express
        if isinstance(error, BindError):
            raise
        text = getattr(error, "strerror", None) or error
        raise BindError(f"cannot listen on {bind}: {text}") from error


async def _resolve(bind: TCPBind) -> list[_Name]:
    if bind.host.lower() == "localhost":
        return [(socket.AF_INET, ("127.0.0.1",)), (socket.AF_INET6, ("::1",))]
    if not bind.host:
        return [(socket.AF_INET, ("0.0.0.0",)), (socket.AF_INET6, ("::",))]  # noqa: S104  # asked for
    found = await trio.socket.getaddrinfo(
        bind.host, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    names = {(family, (name[0], *name[2:])): None for family, _, _, _, name in found}
    return list(names)


def _open_tcp(addresses: list[_Name], port: int, backlog: int) -> list[socket.socket]:
    for tries_left in reversed(range(_PORT_TRIES if port == 0 else 1)):
        try:
            return _open_all(addresses, port, backlog)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not tries_left:
                raise
    raise AssertionError("the last try returns or raises")


def _open_all(addresses: list[_Name], port: int, backlog: int) -> list[socket.socket]:
    """A socket for each address, all on one port; a family that the machine lacks is left out."""
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, name in addresses:
            try:
                sockets.append(_open_one(family, name, port, backlog))
            except OSError as error:
                if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                    raise
                missing = error
            else:
                port = sockets[0].getsockname()[1]
        if not sockets and missing is not None:
            raise missing
    except OSError:
        for opened in sockets:
            opened.close()
        raise
    return sockets


def _open_one(
    family: socket.AddressFamily, name: tuple[str | int, ...], port: int, backlog: int
) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind((name[0], port, *name[1:]))
        opened.listen(backlog)
    except BaseException:
        opened.close()
        raise
    return opened


def _open_unix(bind: UnixBind, backlog: int) -> socket.socket:
    _remove_stale(bind)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.setblocking(False)
        opened.bind(bind.path)
        os.chmod(bind.path, bind.mode)  # nobody can connect before listen()
        opened.listen(backlog)
    except BaseException:
        opened.close()
        raise
    return opened


def _remove_stale(bind: UnixBind) -> None:
    """Remove the socket file of a server that is gone.

    Raises:
        BindError: there is something else, or a server answers there.
    """
    try:
        mode = os.lstat(bind.path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise BindError(f"cannot listen on {bind}: there is a file that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a live server with a full backlog gives EAGAIN
        try:
            probe.connect(bind.path)
        except ConnectionRefusedError:
            os.unlink(bind.path)
            return
        except BlockingIOError:
            pass
    raise BindError(f"cannot listen on {bind}: another server listens there")


def socket_file(opened: socket.socket) -> tuple[str, int, int] | None:
    """A Unix socket's path, device and inode, by which `remove_file` knows it; None for others."""
    if opened.family != socket.AF_UNIX:
        return None
    path = opened.getsockname()
    found = os.lstat(path)
    return path, found.st_dev, found.st_ino


def remove_file(file: tuple[str, int, int]) -> None:
    """Unlink the socket file, unless another server has put its own there."""
    path, device, inode = file
    try:
        found = os.lstat(path)
        if (found.st_dev, found.st_ino) == (device, inode):
            os.unlink(path)
    except OSError:
        pass  # gone, or no longer ours to remove: nothing is left to do about it
