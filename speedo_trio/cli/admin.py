"""The admin endpoint of a process: its sockets, and the server that answers there."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from attrs import define, field

from speedo_trio.admin.endpoint import ADMIN_CONFIG, Admin
from speedo_trio.admin.guard import is_loopback
from speedo_trio.cli.admin_plan import admin_bind
from speedo_trio.events import Cause, CloseReason, ConnectionFailed, MessageFailed
from speedo_trio.io.binds import TCPSource, parse_bind
from speedo_trio.io.door import Door
from speedo_trio.io.sockets import open_sockets, outlives_us, remove_file, socket_file
from speedo_trio.io.wire import address_of
from speedo_trio.logs.event_log import EventLog
from speedo_trio.meter import Meter
from speedo_trio.protocol.report import Reporter
from speedo_trio.server import serve

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    import trio

    from speedo_trio.cli.admin_plan import AdminPlan
    from speedo_trio.events import Address, Event
    from speedo_trio.io.binds import Bind
    from speedo_trio.server import Server

_logger = logging.getLogger("speedo_trio.admin")


@define(eq=False)
class AdminEndpoint:
    """Carries out a plan: `open` before the server, `start` when it serves, `close` at the end."""

    _plan: AdminPlan
    _child: int = 1
    """The number of this process among several."""
    meter: Meter = field(factory=Meter)
    """What the server is to be measured with."""
    _sockets: list[socket.socket] = field(factory=list)
    _files: list[tuple[str, int, int]] = field(factory=list)

    async def open(self) -> None:
        """Open its sockets, so that nobody was served yet when that fails.

        Raises:
            BindError: an address can't be listened on, or a certificate can't be used.
            Mistake: others can reach it, and there is no token.
        """
        bind = self._bind
        if bind.layered:
            Door(bind)  # it loads the certificates
        self._sockets = await open_sockets(bind, ADMIN_CONFIG.limits.backlog)
        if not outlives_us(bind):
            self._files = [file for each in self._sockets if (file := socket_file(each))]
        if not all(_is_local(address_of(each.getsockname())) for each in self._sockets):
            self._plan.require_token()

    async def start(
        self, nursery: trio.Nursery, server: Server, factories: Iterable[object] = ()
    ) -> tuple[str, ...]:
        """Tell of `server`, until `nursery` is cancelled.

        Args:
            factories: of the protocols that are served; those that are reporters are asked too.

        Returns:
            Where it can be asked, as browsers and curl want it.

        Raises:
            BindError: a certificate can't be used.
        """
        source = self._bind.source
        hosts = (source.host,) if isinstance(source, TCPSource) and source.host else ()
        reporters = [each for each in factories if isinstance(each, Reporter)]
        admin = Admin(
            server, token=self._plan.token, meter=self.meter, hosts=hosts, reporters=reporters
        )
        binds = [str(self._bind.inherited(each.detach())) for each in self._sockets]
        start = partial(serve, admin, *binds, config=ADMIN_CONFIG, observer=_observe)
        started: Server = await nursery.start(start)
        return tuple(map(admin_url, started.addresses))

    def close(self) -> None:
        """Leave no socket and no file behind. Does nothing the second time."""
        for each in self._sockets:
            each.close()  # those that were handed on are closed by whom they were handed to
        for file in self._files:
            remove_file(file)
        self._files.clear()

    @property
    def _bind(self) -> Bind:
        return parse_bind(admin_bind(self._plan, self._child))


def _is_local(address: Address) -> bool:
    return address.scheme == "unix" or is_loopback(address.host)


def admin_url(address: Address) -> str:
    """The address as browsers and curl want it."""
    text = str(address)
    if address.scheme == "unix":
        return text
    scheme = "https" if address.scheme == "tls" else "http"
    return f"{scheme}{text.removeprefix(address.scheme)}/"


_log = EventLog(_logger)


def _observe(event: Event) -> None:
    """Log our own mistakes as such, and the rest only for those who debug: it isn't the service."""
    match event:
        case MessageFailed() | ConnectionFailed(reason=CloseReason(cause=Cause.HANDLER_ERROR)):
            _log(event)
        case _:
            _logger.debug("%r", event)
