"""Watching many for idleness, with one task and nothing to do per read.

A cancel scope for every read would cost more than the read. Here each is looked at once a period;
the looks stand in a dict in the order of their making, which is nearly that of their time.
"""

from __future__ import annotations

from itertools import takewhile
from typing import NoReturn, Protocol

import trio


class Idler(Protocol):
    """Something that may be idle for too long."""

    def look(self, now: float) -> float | None:
        """Act if it was idle for a period, at `now` on Trio's clock.

        Returns:
            When to look again, at most a period from now; None for never.
        """


class IdleWatch:
    """Looks at each of its idlers once a period, so that idleness is seen within two."""

    def __init__(self, period: float) -> None:
        """Args: the period, in seconds."""
        self._period = period
        self._looks: dict[Idler, float] = {}
        self._added = trio.Event()

    def add(self, idler: Idler) -> None:
        """Watch it from now on."""
        self._looks[idler] = trio.current_time() + self._period
        self._added.set()

    def discard(self, idler: Idler) -> None:
        """Watch it no more."""
        self._looks.pop(idler, None)

    async def keep(self) -> NoReturn:
        """Look at them as their times come; the one task."""
        while True:
            while not self._looks:
                self._added = trio.Event()
                await self._added.wait()
            await trio.sleep_until(next(iter(self._looks.values())))
            self._look_at_those_due(trio.current_time())

    def _look_at_those_due(self, now: float) -> None:
        for idler, _ in tuple(takewhile(lambda look: look[1] <= now, self._looks.items())):
            if self._looks.pop(idler, None) is None:
                continue  # an earlier look of this round has discarded it
            again = idler.look(now)
            if again is not None:
                self._looks[idler] = again
