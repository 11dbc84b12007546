"""The server: one nursery that owns listeners, connections and workers, from start to end.

What lives in the nursery: a task for each listener, one for each connection (`speedo_trio.link`),
the crew (`speedo_trio.worker.crew`), a writer for each connection whose peer reads slowly, and
two caretakers. Everything ends with it, so nothing outlives `serve`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio
from attrs import evolve, frozen

from speedo_trio.config import Config
from speedo_trio.errors import ServerClosed
from speedo_trio.events import (
    Address,
    ConnectionRefused,
    Drained,
    DrainReport,
    DrainStarted,
    Listening,
    log_event,
)
from speedo_trio.io.binds import open_sockets, parse_bind
from speedo_trio.io.border import Border
from speedo_trio.io.idle import IdleWatch
from speedo_trio.io.listener import Listener
from speedo_trio.io.wire import StreamWire, Wire
from speedo_trio.link import IDLE_LOOKS, House, Link, Totals
from speedo_trio.queue.lane import Tally
from speedo_trio.worker.crew import Crew

if TYPE_CHECKING:
    from collections.abc import Callable

    from speedo_trio.events import Event, Observer
    from speedo_trio.meter import Meter
    from speedo_trio.protocol.handler import Connection, ProtocolHandlerFactory


DEFAULT_CONFIG = Config()


@frozen(kw_only=True)
class ServerStats:
    """What a server is doing and has done, at one moment."""

    connections: int
    """Connections open now."""
    accepted: int
    """Connections served so far, those open now included."""
    refused: int
    """Connections closed unserved at the limit."""
    waiting: int
    """Messages that wait in all lanes."""
    executed: int
    """Messages executed so far, failed ones included."""
    dropped: int
    """Messages received but not executed to their end, of connections that have ended."""
    received: int
    """Bytes received so far."""
    sent: int
    """Bytes sent so far."""
    ready: int
    """Lanes that are ready and wait for a worker."""
    busy: int
    """Workers that execute a turn, threads and tasks."""
    threads: int
    """Worker threads, those that linger for the next message included."""
    paused: bool
    draining: bool


class _Entrance:
    """Who may come in, and when: what the listeners ask (`speedo_trio.io.listener.Acceptor`)."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._limits = house.config.limits
        self.refused = 0
        self.paused = False
        self.closed = False

    @property
    def _full(self) -> bool:
        return len(self._house.links) >= self._limits.connections

    def has_room(self) -> bool:
        return not (self.paused or self._full)

    def refusing(self) -> int | None:
        if self._full and not self.paused and self._limits.when_full == "refuse":
            return self._limits.connections
        return None

    async def room(self) -> None:
        while not (self.closed or self.has_room() or self.refusing() is not None):
            await self._house.stirred()

    def accepted(self, wire: Wire) -> None:
        self._house.nursery.start_soon(Link(self._house, wire).run)

    def observe(self, event: Event) -> None:
        self.refused += isinstance(event, ConnectionRefused)
        self._house.observe(event)

    def close(self) -> None:
        """Take nobody in any more; those who wait for room are told."""
        self.closed = True
        self._house.stir()


class Server:
    """A running server; `serve` makes it and gives it to `trio.Nursery.start`.

    All methods are for the Trio thread.
    """

    def __init__(
        self,
        factory: ProtocolHandlerFactory,
        config: Config,
        observer: Observer,
        nursery: trio.Nursery,
        meter: Meter | None = None,
    ) -> None:
        border = Border()
        idle = config.timeouts.idle
        self._house = House(
            config=config,
            factory=factory,
            observer=observer,
            nursery=nursery,
            border=border,
            crew=Crew(config.workers, border, nursery, meter),
            tally=Tally(config.limits.messages),
            idle_watch=None if idle is None else IdleWatch(idle / IDLE_LOOKS),
        )
        self._entrance = _Entrance(self._house)
        self._listeners: list[Listener] = []
        self._drain_asked = trio.Event()
        self._drained = trio.Event()
        self._grace = trio.CancelScope()  # the deadlines of both move with every drain() that
        self._kill = trio.CancelScope()  # wants them sooner
        self._after_drain: Callable[[], DrainReport] | None = None
        self._report: DrainReport | None = None

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where the server listens, with the ports that it really has."""
        return tuple(listener.address for listener in self._listeners)

    @property
    def connections(self) -> tuple[Connection, ...]:
        """The connections that are open now."""
        return tuple(link.connection for link in self._house.links)

    def stats(self) -> ServerStats:
        """A snapshot of what the server is doing. Takes time for each open connection."""
        house, totals = self._house, self._totals()
        return ServerStats(
            connections=len(house.links),
            accepted=house.connections,
            refused=self._entrance.refused,
            waiting=house.tally.waiting,
            executed=totals.executed,
            dropped=house.ended.dropped_messages,
            received=totals.received,
            sent=totals.sent,
            ready=house.crew.ready,
            busy=house.crew.busy,
            threads=house.crew.threads,
            paused=self._entrance.paused,
            draining=self._drain_asked.is_set(),
        )

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

        Connections that the kernel has queued are accepted, as far as ``limits.connections`` has
        room; the others are reset, and none comes after. Handlers say goodbye, what
        was received is executed and answered, connections are closed. What is left after `grace`
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

    async def serve_stream(self, stream: trio.abc.Stream) -> None:
        """Serve one peer over any Trio stream; returns when the connection has ended.

        The server closes the stream. It counts as a connection: at ``limits.connections`` this
        waits for room. A cancel aborts the connection.

        Raises:
            ServerClosed: the server drains or has ended; the stream is closed.
        """
        entrance = self._entrance
        try:
            while not (entrance.closed or entrance.has_room()):
                await self._house.stirred()
            if entrance.closed:
                raise ServerClosed("the server drains or has ended; it takes no new connection")
            link = Link(self._house, StreamWire(stream, self._house.config.limits.read_bytes))
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
        if house.idle_watch is not None:
            house.nursery.start_soon(house.idle_watch.keep)
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

    async def _drain(self) -> None:
        """Finish what was begun, within the grace; cut and abandon what is left."""
        house = self._house
        began, before = trio.current_time(), self._totals().executed
        grace = max(0.0, self._grace.deadline - began)
        house.observe(DrainStarted(connections=len(house.links), grace=grace))
        self._stop_accepting()
        connections = len(house.links)
        for link in tuple(house.links):
            link.drain()
        ended = evolve(house.ended)
        with self._grace:
            await self._all_gone()
        for link in tuple(house.links):
            link.cut_off()
        with self._kill:
            await self._all_gone()
        self._after_drain = partial(
            self._finish_report,
            began,
            executed=before,
            ended=ended,
            connections=connections,
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

    def _stop_accepting(self) -> None:
        """Take what the kernel has queued, for closing would reset it, then close."""
        self._entrance.paused = False
        for listener in self._listeners:
            listener.accept(self._entrance, 2 * self._house.config.limits.backlog)
            listener.close()
        self._entrance.close()

    async def _all_gone(self) -> None:
        while self._house.links:
            await self._house.stirred()

    def _totals(self) -> Totals:
        totals = evolve(self._house.ended)
        for link in self._house.links:
            totals.add(link)
        return totals

    def _end(self) -> DrainReport | None:
        """Tell those who wait for the drain, once the nursery is closed; its report, if any."""
        if self._after_drain is not None:
            self._report = self._after_drain()
            self._house.observe(Drained(report=self._report))
        self._drained.set()
        return self._report


async def serve(
    factory: ProtocolHandlerFactory,
    *binds: str,
    config: Config = DEFAULT_CONFIG,
    observer: Observer = log_event,
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
        observer: gets every event; the default logs to the logger ``speedo_trio``.
        meter: measures how long messages wait and take; without one nothing is measured.
        task_status: given by `trio.Nursery.start`; gets the `Server`.

    Returns:
        What the drain did. `Server.drain` starts it.

    Raises:
        BindError: an address cannot be listened on; then nothing was started.

    On cancel: the hard stop. Connections are closed at once, threads inside a message are
    abandoned; every handler's ``closed`` is still called. That takes half a second at most.
    """
    listeners = await _open(binds, config)
    server: Server | None = None
    try:
        async with trio.open_nursery() as nursery:
            server = Server(factory, config, observer, nursery, meter)
            await server._run(listeners, task_status.started)  # noqa: SLF001  # its other half
    finally:
        for listener in listeners:
            listener.close()
        report = None if server is None else server._end()  # noqa: SLF001  # as above
    assert report is not None
    return report


async def _open(binds: tuple[str, ...], config: Config) -> list[Listener]:
    parsed = [parse_bind(text) for text in binds]
    listeners: list[Listener] = []
    try:
        for bind in parsed:
            opened = await open_sockets(bind, config.limits.backlog)
            listeners += map(Listener, opened)
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners
