"""The caretaker: one task for what happens in time, and for what was left for later.

Keep alive, the first packet, wills and the end of sessions are deadlines. Sending what waits in a
session is done a portion at a time, each client's in turn.

Next: `speedo_trio.mqtt.holding`.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import count
from math import inf
from typing import TYPE_CHECKING, NoReturn, Protocol

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from speedo_trio.mqtt.state.sessions import Sessions

_TURN = 100
"""Deadlines that are seen to before it is others' turn."""
_SPARE = 100
"""Void looks that are not worth tidying."""


class Cared(Protocol):
    """A connection, as the caretaker sees it."""

    def look(self, now: float) -> float | None:
        """See whether its time is over; when to look again, None: never."""

    def proceed(self, now: float) -> bool:
        """Do a portion of what was left for later; whether there is more."""


class Caretaker:
    """What is to be done later, by one task that is run by the server."""

    def __init__(
        self, sessions: Sessions, clock: Callable[[], float], flush: Callable[[], None]
    ) -> None:
        """Nothing is to be done yet.

        Args:
            clock: Tells the seconds, of all deadlines.
            flush: Ends a turn: sends what it has put into mailboxes.
        """
        self._sessions = sessions
        self._clock = clock
        self._flush = flush
        self._looks: list[tuple[float, int, Cared]] = []  # a heap; some are void
        self._watched: dict[Cared, int] = {}  # the number of the look that counts
        self._count = count()
        self._later: dict[Cared, None] = {}
        self._stirred = trio.Event()
        self._one = trio.Lock()

    def watch(self, cared: Cared, deadline: float) -> None:
        """Look at a connection when its deadline is over; an earlier one is void now."""
        self._put(cared, deadline)
        self._tidy()
        if self._looks[0][2] is cared:
            self._stirred.set()

    def leave(self, cared: Cared) -> None:
        """A connection has closed, and need not be looked at. It may never have been watched.

        Its look could be a day away, and would hold it for so long.
        """
        self._watched.pop(cared, None)
        self._tidy()

    def later(self, cared: Cared) -> None:
        """Let a connection proceed, when others have had their turn."""
        self._later[cared] = None
        self._stirred.set()

    def stir(self) -> None:
        """A session's deadline may have changed."""
        self._stirred.set()

    async def run(self) -> NoReturn:
        """See to all of it until cancelled. A second task waits until the first has ended."""
        async with self._one:
            while True:
                self._stirred = trio.Event()
                now = self._clock()
                self._look(now)
                self._sessions.due(now)
                self._proceed(now)
                self._flush()
                if self._later:
                    await trio.lowlevel.checkpoint()
                else:
                    with trio.move_on_after(max(0.0, self._deadline() - self._clock())):
                        await self._stirred.wait()

    def _look(self, now: float) -> None:
        looks = self._looks
        for _ in range(_TURN):
            if not looks or looks[0][0] > now:
                break
            _, number, cared = heappop(looks)
            if self._watched.get(cared) != number:
                continue
            again = cared.look(now)
            if again is not None:
                self._put(cared, again)
            else:
                self._watched.pop(cared, None)  # the look may have closed it

    def _put(self, cared: Cared, deadline: float) -> None:
        number = self._watched[cared] = next(self._count)
        heappush(self._looks, (deadline, number, cared))

    def _tidy(self) -> None:
        """Drop the void looks when they are most of all, and so were paid for by many calls."""
        looks = self._looks
        if len(looks) > 2 * len(self._watched) + _SPARE:
            looks[:] = [each for each in looks if self._watched.get(each[2]) == each[1]]
            heapify(looks)

    def _proceed(self, now: float) -> None:
        """Give each that was left for later one portion."""
        later, self._later = self._later, {}
        for cared in later:
            if cared.proceed(now):
                self._later[cared] = None

    def _deadline(self) -> float:
        sessions = self._sessions.deadline
        looks = self._looks[0][0] if self._looks else inf
        return looks if sessions is None else min(sessions, looks)
