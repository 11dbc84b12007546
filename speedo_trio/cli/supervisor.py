"""The supervisor: a process that serves nobody and looks after children that do.

It opens the listening sockets once, so the port is there as long as it is, whichever child dies.
The kernel gives each connection to one of the children that wait for it.

What can go wrong, and what becomes of it:

* a child dies: the others serve on, and it is started again, ever later if it dies again and again
* a child can't begin to serve when all begin: all end, with its exit status
* a child is stuck, and systemd's watchdog is on: it is ended and started again
* a child doesn't end in time: it is killed
* the supervisor dies: each child sees it by the end of its socket, and drains
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

import trio

from speedo_trio.cli.keeper import Keeper
from speedo_trio.cli.log import CommandLog
from speedo_trio.cli.notify import Notifier
from speedo_trio.cli.orders import Order, Orders, open_orders
from speedo_trio.cli.output import complain
from speedo_trio.cli.rolling import Rolling
from speedo_trio.cli.run import CANNOT_LISTEN, CLEAN, DROPPED, SLACK
from speedo_trio.cli.sockets import SharedSockets
from speedo_trio.cli.toll import Toll
from speedo_trio.cli.voice import OwnVoice
from speedo_trio.errors import BindError
from speedo_trio.events import Drained
from speedo_trio.logs.event_log import EventLog

if TYPE_CHECKING:
    from collections.abc import Iterable

    from speedo_trio.cli.process import ChildProcess
    from speedo_trio.cli.reading import Reread
    from speedo_trio.cli.settings import Settings

_TAKE_QUEUED = 0.05
"""Seconds for children to accept whom the kernel has queued when a drain begins."""

_STOP_SECONDS = 2.0
"""How long children that are stopped at once may take; half a second is what a server promises."""


def run_processes(settings: Settings, reread: Reread) -> int:
    """Serve with several processes until a signal; returns the exit status."""
    log = CommandLog.set_up(settings)
    voice = OwnVoice(settings, EventLog())
    notifier = Notifier.from_environment()
    rolling = Rolling(settings, reread, log, voice, notifier)
    return trio.run(Supervisor(settings, voice, notifier, rolling).run)


class Supervisor:
    """Several processes that serve."""

    def __init__(
        self, settings: Settings, voice: OwnVoice, notifier: Notifier, rolling: Rolling
    ) -> None:
        self._settings = settings
        self._voice = voice
        self._notifier = notifier
        self._rolling = rolling
        self._keepers: list[Keeper] = []
        self._sockets = SharedSockets()
        self._beginning = trio.CancelScope()
        self._began = False  # whether all have served
        self._reload_asked = trio.Event()
        self._reloading = trio.CancelScope()
        self._ending = trio.Event()
        self._stopping = False
        self._everything = trio.CancelScope()  # its deadline is when children are killed
        self._failed = CLEAN  # or why it could not begin to serve
        self._toll = Toll()
        self._drain_began = 0.0

    async def run(self) -> int:
        """From opening sockets to the exit status."""
        with open_orders() as orders:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._obey, orders)
                nursery.start_soon(self._notifier.keep, self._status)
                try:
                    with self._everything:
                        await self._serve()
                finally:
                    self._sockets.close()
                nursery.cancel_scope.cancel()
        self._tell_end()
        self._notifier.close()
        return self._failed or (CLEAN if self._toll.clean else DROPPED)

    async def _obey(self, orders: Orders) -> None:
        async for order in orders:
            match order:
                case Order.RELOAD:
                    self._reload_asked.set()
                case Order.DRAIN:
                    self._end()
                case Order.STOP:
                    self._stop()
                case _:
                    assert_never(order)

    async def _serve(self) -> None:
        async with trio.open_nursery() as nursery:
            with self._beginning:
                await self._begin(nursery)
            nursery.start_soon(self._reload_when_asked)
            await self._ending.wait()
            self._reloading.cancel()
            await self._drain()

    # The beginning

    async def _begin(self, nursery: trio.Nursery) -> None:
        settings = self._settings
        try:
            self._sockets = await SharedSockets.open(settings.bind, settings.limits.backlog)
        except BindError as error:
            complain(str(error))
            self._fail(CANNOT_LISTEN)
            return
        # One first, so that what is wrong with all of them is told once.
        await self._start(nursery, [1])
        await self._start(nursery, range(2, settings.processes + 1))
        self._announce()

    async def _start(self, nursery: trio.Nursery, numbers: Iterable[int]) -> None:
        """Start children; returns when all of them serve."""
        started = [
            Keeper(
                number,
                self._sockets,
                self._ending,
                self._fail,
                self._toll,
                self._notifier.watchdog,
            )
            for number in numbers
        ]
        self._keepers += started
        for keeper in started:
            nursery.start_soon(keeper.keep)
        for keeper in started:
            await keeper.serves.wait()

    def _fail(self, status: int) -> None:
        """It could not begin to serve."""
        self._failed = self._failed or status
        self._end()

    def _announce(self) -> None:
        self._began = True
        listening = self._keepers[0].listening
        assert listening is not None  # it serves
        self._voice.observe(listening)
        self._voice.tell(f"with {len(self._keepers)} processes")
        self._notifier.ready(self._status())

    # The life

    async def _reload_when_asked(self) -> None:
        with self._reloading:
            while True:
                await self._reload_asked.wait()
                self._reload_asked = trio.Event()
                await self._rolling.reload(self._keepers)

    def _children(self) -> list[ChildProcess]:
        return [keeper.child for keeper in self._keepers if keeper.child is not None]

    def _status(self) -> str:
        return f"{len(self._children())} of {len(self._keepers)} processes"

    # The end

    def _end(self) -> None:
        self._ending.set()
        self._beginning.cancel()

    def _stop(self) -> None:
        self._stopping = True
        self._bound(_STOP_SECONDS)
        for child in self._children():
            child.stop()

    def _bound(self, seconds: float) -> None:
        """Kill the children that are left so many seconds from now, if not sooner."""
        deadline = trio.current_time() + seconds
        self._everything.deadline = min(self._everything.deadline, deadline)

    async def _drain(self) -> None:
        """Ask all children to end; who waits in the kernel's queue is taken before."""
        timeouts = self._rolling.settings.timeouts
        most = timeouts.grace + timeouts.kill_after + SLACK
        self._bound(most)
        if self._began:
            self._drain_began = trio.current_time()
            self._notifier.stopping(most, f"draining {self._status()}")
            self._voice.draining(f"{len(self._keepers)} processes", timeouts.grace)
            self._sockets.hush()
            await trio.sleep(_TAKE_QUEUED)
        for child in self._children():
            child.drain()
        self._sockets.close()

    def _tell_end(self) -> None:
        if not self._began:
            return
        toll = self._toll
        if self._stopping:
            self._voice.stopped(toll.all_cut(), toll.all_dropped())
        else:
            seconds = trio.current_time() - self._drain_began
            self._voice.observe(Drained(report=toll.report(seconds)))
