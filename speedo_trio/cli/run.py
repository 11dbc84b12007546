"""Serving in the foreground: one server, from its first socket to its exit status.

`speedo_trio.cli.orders` tells what signals do, `speedo_trio.cli.voice` what is said. Several
processes are `speedo_trio.cli.supervisor`; each of them runs what is here.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio

from speedo_trio.cli.brokers import stores_of
from speedo_trio.cli.log import CommandLog
from speedo_trio.cli.mistakes import Mistake
from speedo_trio.cli.notify import Notifier
from speedo_trio.cli.orders import Order, Orders, open_orders
from speedo_trio.cli.others import Other, Others
from speedo_trio.cli.output import complain
from speedo_trio.cli.reload import Reloader
from speedo_trio.cli.settings import also_binds
from speedo_trio.cli.tuning import tune
from speedo_trio.cli.voice import OwnVoice
from speedo_trio.errors import BindError, StoreError
from speedo_trio.events import counted
from speedo_trio.logs.event_log import EventLog
from speedo_trio.server import serve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from speedo_trio.cli.admin import AdminEndpoint
    from speedo_trio.cli.admin_plan import AdminPlan
    from speedo_trio.cli.child import Child
    from speedo_trio.cli.reading import Reread
    from speedo_trio.cli.settings import Settings
    from speedo_trio.cli.voice import Voice
    from speedo_trio.protocol.handler import ProtocolHandlerFactory
    from speedo_trio.server import Server

CLEAN, CANNOT_LISTEN, MISTAKE, DROPPED = 0, 1, 2, 3
"""The exit statuses of ``serve``; a mistake in its arguments is 2, as everywhere."""

SLACK = 1.0
"""Seconds that an end may take beside ``timeouts.grace`` and ``timeouts.kill_after``."""


def run_server(
    settings: Settings,
    factories: Sequence[ProtocolHandlerFactory],
    reread: Reread,
    child: Child | None = None,
    admin: AdminPlan | None = None,
) -> int:
    """Serve until a signal, or as one process of several; returns the exit status.

    Args:
        settings: what to serve and where.
        factories: one for each of ``settings.protocols``.
        reread: reads the settings again.
        child: this process, if it is one of several.
        admin: the admin endpoint, if there is to be one.
    """
    log = CommandLog.set_up(settings, None if child is None else child.number)
    events = EventLog()
    voice = OwnVoice(settings, events) if child is None else child.voice(events)
    notifier = Notifier.from_environment()
    factory, *more = factories
    others = Others(
        Other(name, binds, each, OwnVoice(settings, events, name).observe)
        for (name, binds), each in zip(also_binds(settings.also).items(), more, strict=True)
    )
    reloader = Reloader(settings, factory, reread, log, voice, notifier, others)
    tune()
    endpoint = _admin_endpoint(admin, child)
    run = Run(settings, factory, voice, notifier, reloader, child, endpoint, others)
    try:
        with stores_of(factories):
            return trio.run(run.run)
    except StoreError as error:
        complain(str(error))
        return CANNOT_LISTEN


def _admin_endpoint(plan: AdminPlan | None, child: Child | None) -> AdminEndpoint | None:
    if plan is None:
        return None
    from speedo_trio.cli.admin import AdminEndpoint  # noqa: PLC0415  # few ask for it

    return AdminEndpoint(plan, 1 if child is None else child.number)


class Run:
    """One server."""

    def __init__(
        self,
        settings: Settings,
        factory: ProtocolHandlerFactory,
        voice: Voice,
        notifier: Notifier,
        reloader: Reloader,
        child: Child | None = None,
        admin: AdminEndpoint | None = None,
        others: Others | None = None,
    ) -> None:
        self._config = settings.config
        self._binds = settings.bind if child is None else child.binds
        self._factory = factory
        self._voice = voice
        self._notifier = notifier
        self._reloader = reloader
        self._child = child
        self._admin = admin
        self._others = Others() if others is None else others
        self._server: Server | None = None
        self._starting = trio.CancelScope()
        self._reload_asked = trio.Event()
        self._reloading = trio.CancelScope()
        self._drain_asked = trio.Event()
        self._everything = trio.CancelScope()
        self._cut = 0  # connections open when the second signal came
        self._dropped_before = 0

    @property
    def _served(self) -> list[ProtocolHandlerFactory]:
        return [self._factory, *self._others.factories]

    async def run(self) -> int:
        """From opening sockets to the exit status."""
        status = CLEAN
        with open_orders() as orders:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._obey, orders)
                nursery.start_soon(self._notifier.keep, self._status)
                if self._child is not None:
                    nursery.start_soon(self._end_with_parent, self._child)
                    nursery.start_soon(self._child.show_life)
                with self._everything:
                    status = await self._serve()
                if self._everything.cancelled_caught:
                    status = self._tell_hard_stop()
                nursery.cancel_scope.cancel()
        if self._admin is not None:
            self._admin.close()
        self._notifier.close()
        return status

    async def _obey(self, orders: Orders) -> None:
        async for order in orders:
            match order:
                case Order.RELOAD:
                    self._reload_asked.set()
                case Order.DRAIN:
                    self._ask_drain()
                case Order.STOP:
                    self._stop()

    async def _end_with_parent(self, child: Child) -> None:
        """A parent that is gone can ask for nothing any more, so its end asks for a drain."""
        await child.orphaned()
        self._ask_drain()

    def _ask_drain(self) -> None:
        self._drain_asked.set()
        self._starting.cancel()

    def _stop(self) -> None:
        if not self._everything.cancel_called and self._server is not None:
            self._cut = self._connections
        self._everything.cancel()

    async def _serve(self) -> int:
        start = partial(
            serve,
            self._factory,
            *self._binds,
            config=self._config,
            observer=self._voice.observe,
            meter=None if self._admin is None else self._admin.meter,
        )
        async with trio.open_nursery() as nursery:
            try:
                with self._starting:
                    if self._admin is not None:
                        await self._admin.open()
                    self._server = await nursery.start(start)
                    await self._others.start(nursery, self._config)
                    if self._admin is not None:
                        self._voice.admin(
                            await self._admin.start(nursery, self._server, self._served)
                        )
            except (BindError, Mistake) as error:
                complain(str(error))
                nursery.cancel_scope.cancel()  # what the admin endpoint found too late
                return CANNOT_LISTEN if isinstance(error, BindError) else MISTAKE
            if self._server is None:
                nursery.cancel_scope.cancel()
                return CLEAN  # a signal came before it listened
            self._notifier.ready(self._status())
            nursery.start_soon(self._reload_when_asked, self._server)
            await self._drain_asked.wait()
            self._reloading.cancel()
            status = await self._drain(self._server)
            nursery.cancel_scope.cancel()  # the admin endpoint has told of it
            return status

    async def _reload_when_asked(self, server: Server) -> None:
        with self._reloading:
            while True:
                await self._reload_asked.wait()
                self._reload_asked = trio.Event()
                await self._reloader.reload(server)

    async def _drain(self, server: Server) -> int:
        self._dropped_before = self._dropped(server)
        timeouts = server.config.timeouts
        most = timeouts.grace + timeouts.kill_after + SLACK
        self._notifier.stopping(most, f"draining {self._status()}")
        reports = await self._others.drain(server)
        return CLEAN if all(report.clean for report in reports) else DROPPED

    def _dropped(self, server: Server) -> int:
        return server.stats().dropped + self._others.dropped

    def _tell_hard_stop(self) -> int:
        server = self._server
        dropped = 0 if server is None else self._dropped(server) - self._dropped_before
        self._voice.stopped(self._cut, dropped)
        return DROPPED if self._cut or dropped else CLEAN

    def _status(self) -> str:
        return "" if self._server is None else counted(self._connections, "connection")

    @property
    def _connections(self) -> int:
        first = 0 if self._server is None else len(self._server.connections)
        return first + self._others.connections
