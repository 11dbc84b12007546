"""Serving in the foreground: what is printed, what signals do, and the exit status at the end.

The first SIGINT or SIGTERM drains, the second ends the server at once. Further ones change
nothing; the end is at most half a second away then.
"""

from __future__ import annotations

import gc
import logging
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING

import trio

from speedo_trio.cli.admin import admin_url, start_admin
from speedo_trio.cli.mistakes import Mistake
from speedo_trio.cli.output import complain, say
from speedo_trio.errors import BindError
from speedo_trio.events import Drained, DrainStarted, Listening, counted
from speedo_trio.logs.event_log import EventLog
from speedo_trio.meter import Meter
from speedo_trio.server import serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from speedo_trio.cli.admin import AdminPlan
    from speedo_trio.cli.settings import Settings
    from speedo_trio.events import Event
    from speedo_trio.protocol.handler import ProtocolHandlerFactory
    from speedo_trio.server import Server

SIGNALS = (signal.SIGINT, signal.SIGTERM)

CLEAN, CANNOT_LISTEN, MISTAKE, DROPPED = 0, 1, 2, 3
"""The exit statuses of ``serve``; a mistake in its arguments is 2, as everywhere."""


def run_server(
    settings: Settings, factory: ProtocolHandlerFactory, admin: AdminPlan | None = None
) -> int:
    """Serve until a signal; returns the exit status."""
    # After the protocol was imported: what its module has configured stays.
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    _tune_collector()
    return trio.run(_Run(settings, factory, admin).run)


def _tune_collector() -> None:
    """Have the garbage collector look less often, as suits a process that only serves.

    By default it looks after every 700 objects more, and messages that wait are such objects: 50
    clients with 64 lines under way make it look several times in each round of the event loop, in
    vain, which cost async messages a fifth of their speed. Memory is freed as before; only cycles
    wait longer, for some megabytes of objects at most. What was imported is never looked at.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


class _Run:
    """One server, from its first socket to its exit status."""

    def __init__(
        self, settings: Settings, factory: ProtocolHandlerFactory, admin: AdminPlan | None = None
    ) -> None:
        self._settings = settings
        self._factory = factory
        self._admin_plan = admin
        self._admin: Server | None = None
        self._log = EventLog()
        self._server: Server | None = None
        self._starting = trio.CancelScope()
        self._drain_asked = trio.Event()
        self._everything = trio.CancelScope()
        self._cut = 0  # connections open when the second signal came
        self._dropped_before = 0

    async def run(self) -> int:
        status = CLEAN
        for number in SIGNALS:  # the receiver restores this: once the status stands, it stays
            signal.signal(number, signal.SIG_IGN)
        with trio.open_signal_receiver(*SIGNALS) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._obey, signals)
                with self._everything:
                    status = await self._serve()
                if self._everything.cancelled_caught:
                    status = self._tell_hard_stop()
                nursery.cancel_scope.cancel()
        return status

    async def _obey(self, signals: AsyncIterator[int]) -> None:
        await anext(signals)
        self._drain_asked.set()
        self._starting.cancel()
        async for _ in signals:
            if not self._everything.cancel_called and self._server is not None:
                self._cut = len(self._server.connections)
            self._everything.cancel()

    async def _serve(self) -> int:
        settings = self._settings
        meter = None if self._admin_plan is None else Meter()
        start = partial(
            serve,
            self._factory,
            *settings.bind,
            config=settings.config,
            observer=self._observe,
            meter=meter,
        )
        async with trio.open_nursery() as nursery:
            try:
                with self._starting:
                    self._server = await nursery.start(start)
                    if self._admin_plan is not None:
                        self._admin = await start_admin(
                            nursery, self._admin_plan, self._server, meter
                        )
            except (BindError, Mistake) as error:
                complain(str(error))
                nursery.cancel_scope.cancel()  # the admin endpoint failed, and the server listens
                return CANNOT_LISTEN if isinstance(error, BindError) else MISTAKE
            if self._server is None:
                return CLEAN  # a signal came before it listened
            self._announce(self._server)
            await self._drain_asked.wait()
            status = await self._drain(self._server)
            nursery.cancel_scope.cancel()  # the admin endpoint, which told of the drain
            return status

    def _announce(self, server: Server) -> None:
        for address in server.addresses:
            say(f"serving {self._settings.protocol} on {address}")
        for address in () if self._admin is None else self._admin.addresses:
            say(f"admin on {admin_url(address)}")
        if sys.stdout is not None and sys.stdout.isatty():
            say("Ctrl-C to drain, twice to stop at once")

    async def _drain(self, server: Server) -> int:
        self._dropped_before = server.stats().dropped
        grace = self._settings.timeouts.grace
        count = len(server.connections)
        say(f"draining {counted(count, 'connection')}, up to {grace:g} s; again to stop at once")
        report = await server.drain()
        say(str(report))
        return CLEAN if report.clean else DROPPED

    def _tell_hard_stop(self) -> int:
        server = self._server
        dropped = 0 if server is None else server.stats().dropped - self._dropped_before
        cut = counted(self._cut, "connection")
        say(f"stopped at once: cut {cut}, dropped {counted(dropped, 'message')}")
        return DROPPED if self._cut or dropped else CLEAN

    def _observe(self, event: Event) -> None:
        """Log what goes wrong; of the rest the command prints lines of its own."""
        if not isinstance(event, Listening | DrainStarted | Drained):
            self._log(event)
