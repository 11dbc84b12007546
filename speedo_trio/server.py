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
    import socket
    from collections.abc import Callable

    from speedo_trio.events import Event, Observer
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
    ) -> None:
        border = Border()
        idle = config.timeouts.idle
        self._house = House(
            config=config,
            factory=factory,
            observer=observer,
            nursery=nursery,
            border=border,
            crew=Crew(config.workers, border, nursery),
            tally=Tally(config.limits.messages),
            idle_watch=None if idle is None else IdleWatch(idle / IDLE_LOOKS),
        )
        self._listeners: list[Listener] = []
        self._paused = False
        self._resumed = trio.Event()
        self._refused = 0
        self._drain_asked = trio.Event()
        self._drained = trio.Event()
        self._deadline = trio.CancelScope()  # moves with every drain() that wants it sooner
        self._kill_after = config.timeouts.kill_after
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
            refused=self._refused,
            waiting=house.tally.waiting,
            executed=totals.executed,
            dropped=house.ended.dropped_messages,
            received=totals.received,
            sent=totals.sent,
            ready=house.crew.ready,
            busy=house.crew.busy,
            threads=house.crew.threads,
            paused=self._paused,
            draining=self._drain_asked.is_set(),
        )

    def pause(self) -> None:
        """Accept no new connections for now; those open are served, new ones wait in the kernel."""
        if not self._paused:
            self._paused = True
            self._resumed = trio.Event()

    def resume(self) -> None:
        """Accept again."""
        self._paused = False
        self._resumed.set()

    async def drain(
        self, grace: float | None = None, kill_after: float | None = None
    ) -> DrainReport:
        """End the server in good order; returns when it has ended.

        Connections that the kernel has queued are accepted, then none. Handlers say goodbye, what
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
        self._deadline.deadline = min(self._deadline.deadline, trio.current_time() + grace)
        self._kill_after = min(self._kill_after, kill_after)
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
        try:
            while not self.has_room() and not self._drain_asked.is_set():
                await self._house.departure()
            if self._drain_asked.is_set() or self._drained.is_set():
                raise ServerClosed("the server takes no new connection: it drains")
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

    # What the listeners ask (`speedo_trio.io.listener.Acceptor`)

    def has_room(self) -> bool:
        return not self._paused and len(self._house.links) < self._house.config.limits.connections

    def refusing(self) -> int | None:
        limits = self._house.config.limits
        if limits.when_full == "refuse" and len(self._house.links) >= limits.connections:
            return limits.connections
        return None

    async def room(self) -> None:
        while self._paused or (not self.has_room() and self.refusing() is None):
            if self._paused:
                await self._resumed.wait()
            else:
                await self._house.departure()

    def accepted(self, wire: Wire) -> None:
        link = Link(self._house, wire)
        self._house.nursery.start_soon(link.run)

    def observe(self, event: Event) -> None:
        if isinstance(event, ConnectionRefused):
            self._refused += 1
        self._house.observe(event)

    # The life

    async def run(
        self, sockets: list[socket.socket], task_status: trio.TaskStatus[Server]
    ) -> None:
        """From listening to the end of a drain; then cancels the nursery."""
        house = self._house
        house.crew.start()
        house.nursery.start_soon(house.border.guard)
        if house.idle_watch is not None:
            house.nursery.start_soon(house.idle_watch.keep)
        try:
            self._listeners = [Listener(listening, self) for listening in sockets]
            for listener in self._listeners:
                house.nursery.start_soon(listener.run)
            house.observe(Listening(addresses=self.addresses))
            task_status.started(self)
            await self._drain_asked.wait()
            await self._drain()
        finally:
            for listener in self._listeners:
                listener.close()
            house.crew.stop()
        house.nursery.cancel_scope.cancel()

    async def _drain(self) -> None:
        """Finish what was begun, within the grace; cut and abandon what is left."""
        house = self._house
        began, before = trio.current_time(), self._totals()
        grace = max(0.0, self._deadline.deadline - began)
        house.observe(DrainStarted(connections=len(house.links), grace=grace))
        self._stop_accepting()
        connections = len(house.links)
        for link in tuple(house.links):
            link.drain()
        with self._deadline:
            await self._all_gone()
        for link in tuple(house.links):
            link.cut_off()
        with trio.move_on_after(self._kill_after):
            await self._all_gone()
        self._after_drain = partial(
            self._finish_report, began, before, connections, house.crew.busy_threads
        )

    def _finish_report(
        self, began: float, before: Totals, connections: int, abandoned: int
    ) -> DrainReport:
        """What the drain did, once the nursery is closed and every link has left."""
        now = self._totals()
        return DrainReport(
            connections=connections,
            executed=now.executed - before.executed,
            dropped_messages=now.dropped_messages - before.dropped_messages,
            dropped_bytes=now.dropped_bytes - before.dropped_bytes,
            cut_connections=now.cut - before.cut,
            abandoned_threads=abandoned,
            seconds=trio.current_time() - began,
        )

    def _stop_accepting(self) -> None:
        """Take what the kernel has queued, for closing would reset it, then close."""
        self.resume()
        for listener in self._listeners:
            listener.accept(self._house.config.limits.backlog)
            listener.close()

    async def _all_gone(self) -> None:
        while self._house.links:
            await self._house.departure()

    def _totals(self) -> Totals:
        totals = evolve(self._house.ended)
        for link in self._house.links:
            totals.add(link)
        return totals

    def end(self) -> DrainReport | None:
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
        task_status: given by `trio.Nursery.start`; gets the `Server`.

    Returns:
        What the drain did. `Server.drain` starts it.

    Raises:
        BindError: an address cannot be listened on; then nothing was started.

    On cancel: the hard stop. Connections are closed at once, threads inside a message are
    abandoned; every handler's ``closed`` is still called. That takes half a second at most.
    """
    sockets = await _open(binds, config)
    server: Server | None = None
    try:
        async with trio.open_nursery() as nursery:
            server = Server(factory, config, observer, nursery)
            await server.run(sockets, task_status)
    finally:
        for listening in sockets:
            listening.close()
        report = None if server is None else server.end()
    assert report is not None
    return report


async def _open(binds: tuple[str, ...], config: Config) -> list[socket.socket]:
    parsed = [parse_bind(text) for text in binds]
    sockets: list[socket.socket] = []
    try:
        for bind in parsed:
            sockets += await open_sockets(bind, config.limits.backlog)
    except BaseException:
        for listening in sockets:
            listening.close()
        raise
    return sockets
