"""The connector: makes connections to the target, each ready for its first request."""

from __future__ import annotations

import errno
import socket
import time
from typing import TYPE_CHECKING, TypeAlias

import trio
from attrs import define, field, frozen

from speedo_trio.cli.bench.failure import Failure, Kind, failure_of
from speedo_trio.cli.mistakes import Mistake
from speedo_trio.cli.trust import client_context
from speedo_trio.events import Address
from speedo_trio.io.wire import SocketWire, StreamWire

if TYPE_CHECKING:
    import ssl

    from speedo_trio.cli.bench.plan import Plan
    from speedo_trio.cli.bench.target import Target
    from speedo_trio.io.wire import Wire

READ_BYTES = 65_536
"""The most that one read takes."""
_FULL_BACKLOG_SECONDS = 0.01
"""A Unix socket's connect doesn't wait while the server's queue is full (EAGAIN), and nothing tells
when it isn't; so it is tried again after this time."""

_Name: TypeAlias = "tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes] | str"


@frozen
class _Endpoint:
    """Where a socket connects to."""

    family: int
    name: _Name


@frozen
class Opened:
    """A connection that can be used."""

    wire: Wire
    socket: socket.socket | None
    """What the wire reads from, unless something is in between."""
    took: int
    """Nanoseconds from its first step until it could be used, without looking up names."""


@define(eq=False)
class Connector:
    """Makes connections to one target. The first one finds out which of its addresses answers."""

    _target: Target
    _timeout: float
    _tls: ssl.SSLContext | None
    _endpoint: _Endpoint | None = field(default=None, init=False)

    async def open_first(self) -> Opened:
        """Look the target up, and connect to the first of its addresses that lets us.

        Raises:
            Failure: none does; the failure of the last.
        """
        failure = Failure(Kind.OTHER, "it has no address")
        for endpoint in await self._look_up():
            self._endpoint = endpoint
            try:
                return await self.open()
            except Failure as failed:
                failure = failed
        raise failure

    async def open(self) -> Opened:
        """Connect to the address that `open_first` has found, handshakes included.

        Raises:
            Failure: it could not, in time or at all. Nothing stays open then.
        """
        assert self._endpoint is not None
        began = time.perf_counter_ns()
        with trio.move_on_after(self._timeout):
            try:
                connected = await _connect(self._endpoint)
                if not self._target.secure and not self._target.websocket:
                    wire = SocketWire(connected, self._target.path, Address("client"))
                    return Opened(wire, connected, time.perf_counter_ns() - began)
                stream = await self._shake_hands(connected)
            except (OSError, trio.BrokenResourceError) as error:
                raise failure_of(error) from error
            return Opened(StreamWire(stream, READ_BYTES), None, time.perf_counter_ns() - began)
        raise Failure(Kind.TIMEOUT, f"no connection within {self._timeout:g} s")

    async def _look_up(self) -> list[_Endpoint]:
        target = self._target
        if target.unix:
            return [_Endpoint(socket.AF_UNIX, target.path)]
        try:
            found = await trio.socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # the latter: no name for the DNS
            raise failure_of(error) from error
        return [_Endpoint(family, name) for family, _, _, _, name in found]

    async def _shake_hands(self, connected: socket.socket) -> trio.abc.Stream:
        stream: trio.abc.Stream = trio.SocketStream(trio.socket.from_stdlib_socket(connected))
        try:
            if self._tls is not None:
                stream = await self._secure(stream, self._tls)
            if self._target.websocket:
                stream = await self._upgrade(stream)
        except BaseException:
            connected.close()
            raise
        return stream

    async def _secure(self, stream: trio.abc.Stream, context: ssl.SSLContext) -> trio.abc.Stream:
        # https_compatible: a server that closes without a close_notify is EOF, not an error.
        secure = trio.SSLStream(
            stream, context, server_hostname=self._target.host, https_compatible=True
        )
        await secure.do_handshake()
        return secure

    async def _upgrade(self, stream: trio.abc.Stream) -> trio.abc.Stream:
        from speedo_trio.cli.bench.websocket import WebSocketStream  # noqa: PLC0415  # an extra

        upgraded = WebSocketStream(stream)
        await upgraded.open(self._target.authority, self._target.path)
        return upgraded


async def _connect(endpoint: _Endpoint) -> socket.socket:
    """A connected socket that does not block."""
    connecting = socket.socket(endpoint.family, socket.SOCK_STREAM)
    try:
        connecting.setblocking(False)
        if endpoint.family == socket.AF_UNIX:
            await _connect_unix(connecting, endpoint.name)
        else:
            connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await _connect_tcp(connecting, endpoint.name)
    except BaseException:
        connecting.close()
        raise
    return connecting


async def _connect_unix(connecting: socket.socket, name: _Name) -> None:
    while (error := connecting.connect_ex(name)) == errno.EAGAIN:  # noqa: ASYNC110  # no event
        await trio.sleep(_FULL_BACKLOG_SECONDS)
    if error:
        raise OSError(error, "")


async def _connect_tcp(connecting: socket.socket, name: _Name) -> None:
    error = connecting.connect_ex(name)
    if error == errno.EINPROGRESS:
        await trio.lowlevel.wait_writable(connecting)
        error = connecting.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, "")


def make_connector(plan: Plan) -> Connector:
    """The connector for a plan's target.

    Raises:
        Mistake: a certificate cannot be read, or a package is missing.
    """
    target = plan.target
    if target.websocket:
        _require_wsproto(target)
    return Connector(target, plan.timeout, client_context(plan) if target.secure else None)


def _require_wsproto(target: Target) -> None:
    try:
        import wsproto  # noqa: F401, PLC0415  # an extra: only who needs it has it
    except ImportError as error:
        needs = f'{target} needs wsproto; install it with pip install "speedo_trio[ws]"'
        raise Mistake(needs) from error
