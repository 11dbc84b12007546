"""A keeper: sees to it that there is a child of a number, until the end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from speedo_trio.cli.output import complain
from speedo_trio.cli.pauses import Pauses
from speedo_trio.cli.process import ChildProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from speedo_trio.cli.sockets import SharedSockets
    from speedo_trio.cli.toll import Toll
    from speedo_trio.events import Listening

CANNOT_START = 1

_EXPLAINED = (1, 2)
"""Statuses of a child that has told why it can't serve."""

_logger = logging.getLogger("speedo_trio")


@define(eq=False)
class Keeper:
    """Starts a child, and again when it has died."""

    number: int
    _sockets: SharedSockets
    _ending: trio.Event
    """Set when children are not to be started any more."""
    _fail: Callable[[int], None]
    """Called when the very first child ends before it serves, with the status to end with."""
    _toll: Toll
    _watchdog: float | None = None
    """Seconds after which a child is taken for stuck."""
    child: ChildProcess | None = None
    """The one that runs now."""
    serves: trio.Event = field(factory=trio.Event)
    """Set when the first child serves."""
    listening: Listening | None = None
    """Where it serves."""

    async def keep(self) -> None:
        """Have a child until the end. On cancel it is killed."""
        pauses = Pauses()
        while not self._ending.is_set():
            began = trio.current_time()
            how = await self._run()
            if not self._ending.is_set():
                lived = trio.current_time() - began
                pause = pauses.after(lived)
                _logger.error("%s after %.1f s; it is started again in %g s", how, lived, pause)
                with trio.move_on_after(pause):
                    await self._ending.wait()

    async def _run(self) -> str:
        """Run one child; how it ended."""
        try:
            child = await ChildProcess.start(
                self.number, self._sockets.binds, self._sockets.descriptors, self._watchdog
            )
        except OSError as error:
            how = f"process {self.number} could not be started: {error}"
            self._never_served(0, how)
            return how
        self.child = child
        if self._ending.is_set():
            child.drain()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._see_serving, child)
                await child.run()
        finally:
            self.child = None
            self._see_end(child)
        return f"{child} {child.end}"

    async def _see_serving(self, child: ChildProcess) -> None:
        await child.told.wait()
        if child.listening is not None:
            self.listening = child.listening
            self.serves.set()

    def _see_end(self, child: ChildProcess) -> None:
        if self._ending.is_set():
            if not self._toll.add(child):
                _logger.error("%s %s; what it had to do is lost", child, child.end)
        elif child.listening is None:
            self._never_served(child.process.returncode or 0, f"{child} {child.end}")

    def _never_served(self, status: int, how: str) -> None:
        """If it is the first child of this number, there is no point in starting another."""
        if self._ending.is_set() or self.serves.is_set():
            return
        if status not in _EXPLAINED:
            complain(f"{how} before it served")
        self._fail(status if status > 0 else CANNOT_START)
