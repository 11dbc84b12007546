"""The sockets that binds stand for: opened, taken over, and their files removed at the end.

Next: `speedo_trio.io.listener`.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import TYPE_CHECKING, TypeAlias, assert_never

import trio

from speedo_trio.errors import BindError
from speedo_trio.io.activation import passed_descriptors
from speedo_trio.io.binds import FdSource, SystemdSource, TCPSource, UnixSource

if TYPE_CHECKING:
    from collections.abc import Iterable

    from speedo_trio.io.binds import Bind

_PORT_TRIES = 20
"""How often a free port is looked for that is free for all addresses."""

_Name: TypeAlias = tuple[socket.AddressFamily, tuple[str | int, ...]]
"""A family, and a socket's name in it without the port: the host, for IPv6 its scope too."""


async def open_sockets(bind: Bind, backlog: int) -> list[socket.socket]:
    """Open, bind and listen, or take over: a socket for each address that the bind stands for.

    Raises:
        BindError: the address is in use, not this machine's, not permitted, or unknown; what was
            passed is no listening socket, or nothing was.
    """
    source = bind.source
    try:
        match source:
            case UnixSource():
                return [_open_unix(bind, source, backlog)]
            case TCPSource():
                return _open_tcp(await _resolve(source), source, backlog)
            case FdSource():
                return [_take_over(source.number)]
            case SystemdSource():
                return _take_over_all(passed_descriptors(source.name))
            case _:
                assert_never(source)
    except (OSError, ValueError) as error:  # the latter: names that no encoding can express
        if isinstance(error, BindError) and str(bind) in str(error):
            raise
        text = getattr(error, "strerror", None) or error
        raise BindError(f"cannot listen on {bind}: {text}") from error


def check_descriptors(binds: Iterable[Bind]) -> None:
    """See that no descriptor is to be taken over twice.

    Raises:
        BindError: one is.
    """
    seen: set[FdSource] = set()
    for bind in binds:
        if isinstance(bind.source, FdSource):
            if bind.source in seen:
                raise BindError(f"cannot listen on {bind}: another bind has that descriptor")
            seen.add(bind.source)


def outlives_us(bind: Bind) -> bool:
    """Whether the socket is somebody else's too, and goes on listening when we have closed it."""
    return isinstance(bind.source, FdSource | SystemdSource)


def _take_over_all(descriptors: list[int]) -> list[socket.socket]:
    taken: list[socket.socket] = []
    try:
        taken.extend(map(_take_over, descriptors))
    except BaseException:
        for each in taken:
            each.close()
        raise
    return taken


def _take_over(descriptor: int) -> socket.socket:
    """The socket at a descriptor that the process was started with; ours to close from now on."""
    try:
        taken = socket.socket(fileno=descriptor)
    except OSError as error:
        why = {errno.EBADF: "is not open", errno.ENOTSOCK: "is no socket"}
        text = why.get(error.errno or 0, error.strerror)
        raise BindError(f"descriptor {descriptor} {text}") from error
    listens = taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    families = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
    # A stream: what is served here is ordered and loses nothing, as MQTT too asks [MQTT-4.2.0-1].
    if not listens or taken.type != socket.SOCK_STREAM or taken.family not in families:
        taken.detach()  # as it was
        raise BindError(
            f"descriptor {descriptor} is no listening stream socket; "
            "in a .socket unit, allowed are ListenStream= and Accept=no"
        )
    taken.set_inheritable(False)
    taken.setblocking(False)
    return taken


async def _resolve(source: TCPSource) -> list[_Name]:
    if source.host.lower() == "localhost":
        return [(socket.AF_INET, ("127.0.0.1",)), (socket.AF_INET6, ("::1",))]
    if not source.host:
        return [(socket.AF_INET, ("0.0.0.0",)), (socket.AF_INET6, ("::",))]  # noqa: S104  # asked for
    found = await trio.socket.getaddrinfo(
        source.host, source.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    names = {(family, (name[0], *name[2:])): None for family, _, _, _, name in found}
    return list(names)


def _open_tcp(addresses: list[_Name], source: TCPSource, backlog: int) -> list[socket.socket]:
    for tries_left in reversed(range(1 if source.port else _PORT_TRIES)):
        try:
            return _open_all(addresses, source, backlog)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not tries_left:
                raise
    raise AssertionError("the last try returns or raises")


def _open_all(addresses: list[_Name], source: TCPSource, backlog: int) -> list[socket.socket]:
    """A socket for each address, all on one port; a family that the machine lacks is left out."""
    sockets: list[socket.socket] = []
    port = source.port
    missing: OSError | None = None
    try:
        for family, name in addresses:
            try:
                opened = _bound(family, name, port, reuseport=source.reuseport)
                sockets.append(opened)
                opened.listen(backlog)
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


def _bound(
    family: socket.AddressFamily, name: tuple[str | int, ...], port: int, *, reuseport: bool
) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Those accepted inherit it (Linux, BSD): who has vanished without a word, and has nothing
        # to be sent, is found by the kernel, if only after hours (tcp(7), tcp_keepalive_time).
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if reuseport:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind((name[0], port, *name[1:]))
    except BaseException:
        opened.close()
        raise
    return opened


def _open_unix(bind: Bind, source: UnixSource, backlog: int) -> socket.socket:
    _remove_stale(bind, source.path)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.setblocking(False)
        opened.bind(source.path)
        os.chmod(source.path, source.mode)  # nobody can connect before listen()
        opened.listen(backlog)
    except BaseException:
        opened.close()
        raise
    return opened


def _remove_stale(bind: Bind, path: str) -> None:
    """Remove the socket file of a server that is gone.

    Raises:
        BindError: there is something else, or a server answers there.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise BindError(f"cannot listen on {bind}: there is a file that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a live server with a full backlog gives EAGAIN
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
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
