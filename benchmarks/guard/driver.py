"""The driver: plays the clients, whenever the server has nothing left to do.

The clients are not tasks, so that Trio has only the server's. Time stands still, tasks run in the
same order each time, and Unix sockets deliver at once: so the server does exactly the same in each
run, however busy the machine is.
"""

from __future__ import annotations

import gc
import random
import select
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import trio
from trio.testing import MockClock

from speedo_trio import Server, serve

if TYPE_CHECKING:
    from collections.abc import Generator

    from benchmarks.guard.clients import Crowd
    from benchmarks.guard.counting import Counter
    from speedo_trio.protocol.handler import ProtocolHandlerFactory

Script: TypeAlias = "Generator[None, None, None]"
"""What the clients do. It yields where the server is to do something, and is resumed when the
server waits, or something has come from one of its threads: so it must look whether all has."""

PATIENCE_SECONDS = 120


class Driver(trio.abc.Instrument):
    """Resumes a script whenever Trio is about to wait."""

    def __init__(self, script: Script, crowd: Crowd, counter: Counter) -> None:
        self._script = script
        self._poller = crowd.poller
        self._epoll = _epoll_of_trio()
        self._poller.register(self._epoll, select.POLLIN)
        self._counter = counter
        self._token = trio.lowlevel.current_trio_token()
        self.over: trio.Event = trio.Event()

    def before_io_wait(self, timeout: float) -> None:
        """Let the clients act, uncounted, unless there is something to do yet."""
        if not timeout or self.over.is_set():
            return
        self._counter.pause()
        try:
            next(self._script)
            # Threads answer without Trio, which would not wake to let the clients look.
            while all(number != self._epoll for number, _ in self._poller.poll()):
                next(self._script)
        except StopIteration:
            # Not from here: Trio has looked already whether there is something to do.
            self._token.run_sync_soon(self.over.set)
        self._counter.go_on()


def drive(factory: ProtocolHandlerFactory, script: Script, crowd: Crowd, counter: Counter) -> None:
    """Serve the crowd until its script is over."""
    clock = MockClock()  # time stands still, so nothing is done because of it

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            server: Server = await nursery.start(serve, factory, f"unix:{crowd.path}")
            driver = Driver(script, crowd, counter)
            trio.lowlevel.add_instrument(driver)
            await driver.over.wait()
            trio.lowlevel.remove_instrument(driver)
            clock.rate = 1.0
            await server.drain()

    _stop_chance()
    signal.alarm(PATIENCE_SECONDS)  # a script that waits for ever ends the program
    try:
        with counter:
            trio.run(main, clock=clock, instruments=[counter])
    finally:
        signal.alarm(0)


def _epoll_of_trio() -> int:
    """What Trio waits with."""
    runner = trio._core._run.GLOBAL_RUN_CONTEXT.runner  # noqa: SLF001  # no other way
    return runner.io_manager._epoll.fileno()  # noqa: SLF001  # as above


def _stop_chance() -> None:
    """Let Trio run tasks that are ready in the same order each time, and collect no garbage."""
    random.seed(1)
    trio._core._run._r.seed(1)  # noqa: SLF001  # type: ignore[attr-defined]  # no other way
    gc.collect()
    gc.disable()


def socket_path() -> tempfile.TemporaryDirectory[str]:
    """A folder for the socket; its path is short, as such sockets need."""
    return tempfile.TemporaryDirectory(prefix="guard-", dir=Path(tempfile.gettempdir()))
