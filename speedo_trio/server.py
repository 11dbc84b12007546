"""The server: one nursery that owns listeners, connections and workers, from start to end.

What lives in the nursery: a task for each listener, one for each connection (`speedo_trio.link`),
the crew (`speedo_trio.worker.crew`), a writer for each connection whose peer reads slowly, and
two caretakers. Everything ends with it, so nothing outlives `serve`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio
from attrs import evolve

from speedo_trio.accounts import statistics
from speedo_trio.config import Config, changes
from speedo_trio.entrance import Entrance
from speedo_trio.errors import ServerClosed
from speedo_trio.events import (
    Drained,
    DrainReport,
    DrainStarted,
    GraceOver,
    Listening,
    Reconfigured,
)
from speedo_trio.house import House, Totals
from speedo_trio.io.binds import parse_bind
from speedo_trio.io.border import Border
from speedo_trio.io.door import Door, Introduction
from speedo_trio.io.guests import Guests
from speedo_trio.io.listener import Listener
from speedo_trio.io.sockets import check_descriptors, open_sockets, outlives_us
from speedo_trio.io.watch import Watch
from speedo_trio.io.wire import StreamWire
from speedo_trio.link import Link
from speedo_trio.logs.event_log import EventLog
from speedo_trio.queue.lane import Tally
from speedo_trio.stats import ConnectionStats, ServerStats
from speedo_trio.worker.crew import Crew

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from speedo_trio.events import Address, Observer, TLSInfo
    from speedo_trio.meter import Meter
    from speedo_trio.protocol.handler import Connection, ProtocolHandlerFactory


DEFAULT_CONFIG = Config()

DEFAULT_OBSERVER = EventLog()
"""Stands for an `EventLog` of the server's own: what one withholds is not another's to tell."""


_FRESH_SECONDS = 1.0
"""How long a drain waits for the first message of those who have just come, where others accept
too. Their request is a round trip away, unless they have nothing to say."""

_FRESH_LOOK = 0.01
"""Seconds between two looks at them."""

_DRAINED_AT_ONCE = 16
"""Links that are told to finish before other tasks run. Each then handles what the kernel has
received for it, and thousands at once would go on long after the grace is over."""


class Server:
    """A running server; `serve` makes it and gives it to `trio.Nursery.start`.

    All methods are for the Trio thread.
    """

    def __init__(
        self,
        factory: ProtocolHandlerFactory,
        config: Config,
        observer: Observer | None,
        nursery: trio.Nursery,
        meter: Meter | None = None,
    ) -> None:
        border = Border()
        self._house = House(
            config=config,
            factory=factory,
            observer=observer,
            nursery=nursery,
            border=border,
            crew=Crew(config.workers, border, nursery, meter),
            tally=Tally(config.limits.messages),
            watch=Watch(),
            guests=Guests(config.limits, trio.current_time()),
        )
        self._entrance = Entrance(self._house)
        self._listeners: list[Listener] = []
        self._drain_asked = trio.Event()
        self._drained = trio.Event()
        self._grace = trio.CancelScope()  # the deadlines of both move with every drain() that
        self._kill = trio.CancelScope()  # wants them sooner
        self._after_drain: Callable[[], DrainReport] | None = None
        self._report: DrainReport | None = None
        self._attended: list[ProtocolHandlerFactory] = []

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where the server listens, with the ports that it really has."""
        return tuple(listener.address for listener in self._listeners)

    @property
    def connections(self) -> tuple[Connection, ...]:
        """The connections that are open now, without those whose handshake is not over."""
        links = self._house.links.values()
        return tuple(link.connection for link in links if not link.at_door)

    @property
    def config(self) -> Config:
        """The settings that apply to new connections."""
        return self._house.config

    @property
    def paused(self) -> bool:
        """Whether it accepts no new connections for now; see `pause`."""
        return self._entrance.paused

    @property
    def draining(self) -> bool:
        """Whether a drain has begun; stays so when it is over."""
        return self._drain_asked.is_set()

    @property
    def ended(self) -> bool:
        """Whether the server has ended, by a drain or because `serve` was cancelled."""
        return self._drained.is_set()

    def stats(self) -> ServerStats:
        """A snapshot of what the server is doing. Takes time for each open connection."""
        house, totals = self._house, self._totals()
        return ServerStats(
            connections=len(house.links),
            accepted=house.connections,
            refused=house.refused.total(),
            refusals=dict(house.refused),
            closed=dict(house.closed),
            pauses=dict(house.pauses),
            waiting=house.tally.waiting,
            executed=totals.executed,
            failed=house.failed,
            dropped=house.ended.dropped_messages,
            received=totals.received,
            sent=totals.sent,
            ready=house.crew.ready,
            busy=house.crew.busy,
            threads=house.crew.threads,
            paused=self._entrance.paused,
            draining=self._drain_asked.is_set(),
        )

    def connection_stats(self, number: int) -> ConnectionStats:
        """A snapshot of one open connection, by its `Connection.id`.

        Raises:
            LookupError: no connection of that number is open.
        """
        return statistics(self._house.links[number])

    def reconfigure(
        self, *, config: Config | None = None, factory: ProtocolHandlerFactory | None = None
    ) -> Reconfigured:
        """Change settings or protocol for new connections, and load certificates anew.

        Open connections go on as they began. What can't change while the server runs is left as
        it is and told: ``workers`` and ``limits.backlog``.

        Args:
            config: the new settings; None keeps the old ones.
            factory: makes the handlers of new connections; None keeps the old one.

        Returns:
            What was changed, and what needs a restart; observers get it too.

        Raises:
            BindError: a certificate can't be used. Then nothing was changed.
        """
        house, doors = self._house, {id(each.door): each.door for each in self._listeners}
        contexts = [(door, door.load()) for door in doors.values() if door is not None]
        changed, needs_restart = changes(house.config, config or house.config)
        if any(context is not None for _, context in contexts):
            changed.append("certificates")
        if factory is not None and factory is not house.factory:
            changed.append("factory")
            house.factory = factory
            self._attend(factory)
        for door, context in contexts:
            door.context = context
        if config is not None:
            house.reconfigure(config)
        event = Reconfigured(changed=tuple(changed), needs_restart=tuple(needs_restart))
        house.observe(event)
        return event

    def pause(self) -> None:
        """Accept no new connections for now; those open are served, new ones wait in the kernel."""
        self._entrance.paused = True

    def resume(self) -> None:
        """Accept again."""
        self._entrance.paused = False
        self._house.stir()

    async def drain(
        self, grace: float | None = None, kill_after: float | None = None
    ) -> DrainReport:
        """End the server in good order; returns when it has ended.

        Connections that the kernel has queued are accepted, as far as there is room, whatever
        ``limits.rate`` says; the others are reset, and none comes after. On sockets that were
        passed to the process they are left to those who accept there next, and who has just been
        accepted gets up to a second for its first message. Handlers say goodbye, what was
        received is executed and answered, connections are closed. What is left after `grace`
        seconds is cancelled and counted, threads still inside a message `kill_after` seconds
        later are abandoned. That takes at most grace + kill_after + 0.5 seconds, unless an async
        message shields itself from being cancelled.

        A second call while the first goes on may shorten it, never lengthen it, and returns the
        same report. A cancel ends the waiting, not the drain.

        Args:
            grace: in seconds; None takes ``timeouts.grace``.
            kill_after: in seconds; None takes ``timeouts.kill_after``.

        Raises:
            ServerClosed: `serve` was cancelled before the drain was over.
        """
        timeouts = self._house.config.timeouts
        grace = timeouts.grace if grace is None else grace
        kill_after = timeouts.kill_after if kill_after is None else kill_after
        grace_over = min(self._grace.deadline, trio.current_time() + grace)
        self._grace.deadline = grace_over
        self._kill.deadline = min(self._kill.deadline, grace_over + kill_after)
        self._drain_asked.set()
        await self._drained.wait()
        if self._report is None:
            raise ServerClosed("the server was stopped before it had drained")
        return self._report

    async def serve_stream(
        self,
        stream: trio.abc.Stream,
        *,
        peer: Address | None = None,
        local: Address | None = None,
        tls: TLSInfo | None = None,
    ) -> None:
        """Serve one peer over any Trio stream; returns when the connection has ended.

        The server closes the stream. It counts as a connection: at ``limits.connections`` this
        waits for room; limits by address and rate are not applied. A cancel aborts the
        connection.

        Args:
            stream: what carries the bytes.
            peer: what `Connection.peer` shall be; ``stream:`` if not given.
            local: what `Connection.local` shall be; ``stream:`` if not given.
            tls: what `Connection.tls` shall be.

        Raises:
            ServerClosed: the server drains or has ended; the stream is closed.
        """
        entrance = self._entrance
        try:
            while (entrance.paused or entrance.full) and not entrance.closed:
                await self._house.stirred()
            if entrance.closed:
                raise ServerClosed("the server drains or has ended; it takes no new connection")
            wire = StreamWire(stream, self._house.config.limits.read_bytes)
            introduction = Introduction(peer=peer, local=local, tls=tls)
            link = Link(self._house, wire, introduction=introduction)
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        ended = trio.Event()
        self._house.nursery.start_soon(self._run_link, link, ended)
        try:
            await ended.wait()
        except trio.Cancelled:
            link.abort_asked()
            raise

    async def _run_link(self, link: Link, ended: trio.Event) -> None:
        try:
            await link.run()
        finally:
            ended.set()

    # The life

    async def _run(self, listeners: list[Listener], started: Callable[[Server], None]) -> None:
        """From listening to the end of a drain; then cancels the nursery."""
        house = self._house
        self._listeners = listeners
        house.crew.start()
        house.nursery.start_soon(house.border.guard)
        house.nursery.start_soon(house.poller.run)
        house.nursery.start_soon(house.watch.keep)
        self._attend(house.factory)
        try:
            for listener in listeners:
                house.nursery.start_soon(listener.run, self._entrance)
            house.observe(Listening(addresses=self.addresses))
            started(self)
            await self._drain_asked.wait()
            await self._drain()
        finally:
            self._entrance.close()
            house.crew.stop()
        house.nursery.cancel_scope.cancel()

    def _attend(self, factory: ProtocolHandlerFactory) -> None:
        """Run the task that a factory has, if it has one and it doesn't run yet."""
        attend: Callable[[], Awaitable[object]] | None = getattr(factory, "attend", None)
        if attend is not None and not any(factory is each for each in self._attended):
            self._attended.append(factory)
            self._house.nursery.start_soon(attend)

    async def _drain(self) -> None:
        """Finish what was begun, within the grace; cut and abandon what is left."""
        house = self._house
        began, before = trio.current_time(), self._totals().executed
        grace = max(0.0, self._grace.deadline - began)
        house.observe(DrainStarted(connections=len(house.links), grace=grace))
        ended, gone = evolve(house.ended), house.connections - len(house.links)
        with self._grace:
            await self._stop_accepting(began + grace / 2)
            await self._drain_links()
            await self._all_gone()
        if house.links:
            house.observe(GraceOver(connections=len(house.links), messages=house.tally.waiting))
        for link in tuple(house.links.values()):
            link.cut_off()
        with self._kill:
            await self._all_gone()
        self._after_drain = partial(
            self._finish_report,
            began,
            executed=before,
            ended=ended,
            connections=house.connections - gone,
            abandoned=house.crew.busy_threads,
        )

    def _finish_report(
        self, began: float, *, executed: int, ended: Totals, connections: int, abandoned: int
    ) -> DrainReport:
        """What the drain did, once the nursery is closed and every link has left."""
        now = self._house.ended
        return DrainReport(
            connections=connections,
            executed=now.executed - executed,
            dropped_messages=now.dropped_messages - ended.dropped_messages,
            dropped_bytes=now.dropped_bytes - ended.dropped_bytes,
            cut_connections=now.cut - ended.cut,
            abandoned_threads=abandoned,
            seconds=trio.current_time() - began,
        )

    async def _drain_links(self) -> None:
        """Have every link finish; those that only just came get time for their first message.

        Half of the grace at most: they finish in what is left.
        """
        links, began = self._house.links, trio.current_time()
        for number, link in enumerate(tuple(links.values()), 1):
            if not link.fresh:
                link.drain()
            if number % _DRAINED_AT_ONCE == 0:
                await trio.lowlevel.checkpoint()  # which is where the grace may be over
        while fresh := [link for link in links.values() if not link.draining]:
            patience = min(_FRESH_SECONDS, (self._grace.deadline - began) / 2)
            over = trio.current_time() >= began + patience
            for link in fresh:
                if over or not link.fresh:
                    link.drain()
            await trio.sleep(_FRESH_LOOK)

    async def _stop_accepting(self, deadline: float) -> None:
        """Close; what the kernel has queued is taken first, if closing would reset it.

        That ends at the deadline: a flood may have filled the queue.
        """
        self._entrance.paused = False
        self._entrance.last_call = True
        try:
            with trio.move_on_at(deadline):
                for listener in self._listeners:
                    if not listener.outlives:
                        await listener.accept_rest(self._entrance)
        finally:
            for listener in self._listeners:
                listener.close()
            self._entrance.close()

    async def _all_gone(self) -> None:
        while self._house.links:
            await self._house.stirred()

    def _totals(self) -> Totals:
        totals = evolve(self._house.ended)
        for link in self._house.links.values():
            totals.add(link)
        return totals

    def _end(self) -> DrainReport | None:
        """Tell those who wait for the drain, once the nursery is closed; its report, if any."""
        self._house.poller.close()
        if self._after_drain is not None:
            self._report = self._after_drain()
            self._house.observe(Drained(report=self._report))
        self._drained.set()
        return self._report


async def serve(
    factory: ProtocolHandlerFactory,
    *binds: str,
    config: Config = DEFAULT_CONFIG,
    observer: Observer | None = DEFAULT_OBSERVER,
    meter: Meter | None = None,
    task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
) -> DrainReport:
    """Serve a protocol on some addresses until the server is drained.

    Use it as ``trio.run(serve, EchoProtocol, "tcp://localhost:9292")``, or in an application as
    ``server = await nursery.start(serve, EchoProtocol, "tcp://localhost:0")``: when that returns,
    the server listens. It installs no signal handlers and configures no logging.

    Args:
        factory: makes the handler of each connection; a `ProtocolHandler` class is its own.
        binds: where to listen, see `speedo_trio.io.binds`. None at all is allowed: then peers
            come by `Server.serve_stream` only.
        config: limits, timeouts and workers.
        observer: gets every event; the default is a new `EventLog` for each server, None gives
            them to nobody.
        meter: measures how long messages wait and take; without one nothing is measured.
        task_status: given by `trio.Nursery.start`; gets the `Server`.

    Returns:
        What the drain did. `Server.drain` starts it.

    Raises:
        BindError: an address cannot be listened on, or a certificate can't be used; then nothing
            was started.

    On cancel: the hard stop. Connections are closed at once, threads inside a message are
    abandoned; every handler's ``closed`` is still called. That takes half a second at most.
    """
    listeners = await _open(binds, config)
    server: Server | None = None
    try:
        async with trio.open_nursery() as nursery:
            server = Server(factory, config, _own(observer), nursery, meter)
            await server._run(listeners, task_status.started)  # noqa: SLF001  # its other half
    finally:
        for listener in listeners:
            listener.close()
        report = None if server is None else server._end()  # noqa: SLF001  # as above
    assert report is not None
    return report


def _own(observer: Observer | None) -> Observer | None:
    return EventLog() if observer is DEFAULT_OBSERVER else observer


async def _open(binds: tuple[str, ...], config: Config) -> list[Listener]:
    parsed = [parse_bind(bind) for bind in binds]
    check_descriptors(parsed)
    doors = [(bind, Door(bind) if bind.layered else None) for bind in parsed]
    listeners: list[Listener] = []
    try:
        for bind, door in doors:
            opened = await open_sockets(bind, config.limits.backlog)
            outlives = outlives_us(bind)
            listeners += [Listener(each, door, outlives=outlives) for each in opened]
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners
