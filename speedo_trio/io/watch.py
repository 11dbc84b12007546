"""Watching many for what time brings, with one task and nothing to do per read.

A cancel scope for every read would cost more than the read. Here each of those watched says when
it wants to be looked at next, looks for itself when that time comes, and says it again.
"""

from __future__ import annotations

from heapq import heappop, heappush
from math import inf
from typing import NoReturn, Protocol

import trio


class Watched(Protocol):
    """Something that time may change."""

    def look(self, now: float) -> float | None:
        """Act on what time has brought by `now`, on Trio's clock.

        Returns:
            When to look again; None for never.
        """


class Watch:
    """Looks at each when its time comes."""

    def __init__(self) -> None:
        self._times: dict[Watched, float] = {}
        self._queue: list[tuple[float, int, Watched]] = []  # with those that were discarded since
        self._number = 0  # so that two of one time are never compared
        self._sleep = trio.CancelScope()

    def add(self, watched: Watched, when: float) -> None:
        """Look at it at `when`, and whenever it then says."""
        self._times[watched] = when
        self._number += 1
        heappush(self._queue, (when, self._number, watched))
        self._sleep.deadline = min(self._sleep.deadline, when)

    def discard(self, watched: Watched) -> None:
        """Look at it no more."""
        self._times.pop(watched, None)
        if len(self._queue) > 2 * len(self._times) + 64:  # most of it is about those gone
            self._queue = [entry for entry in self._queue if self._times.get(entry[2]) == entry[0]]
            self._queue.sort()  # a sorted list is a heap

    async def keep(self) -> NoReturn:
        """Look at them as their times come; the one task."""
        while True:
            with self._sleep:
                await trio.sleep_forever()
            self._look_at_those_due(trio.current_time())
            self._sleep = trio.CancelScope(deadline=self._queue[0][0] if self._queue else inf)

    def _look_at_those_due(self, now: float) -> None:
        queue = self._queue
        while queue and queue[0][0] <= now:
            when, _, watched = heappop(queue)
            if self._times.get(watched) != when:
                continue  # discarded, or to be looked at at another time
            again = watched.look(now)
            if watched not in self._times:
                pass  # the look has discarded it
            elif again is None:
                self.discard(watched)
            else:
                self.add(watched, max(again, now + _SOONEST))
            queue = self._queue  # discarding may have made another


_SOONEST = 0.001
"""Seconds until anything is looked at again: whoever says "at once" must not stop all others."""
