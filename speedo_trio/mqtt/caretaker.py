"""The caretaker: one task for what happens in time, and for what was left for later.

Keep alive, the first packet, wills and the end of sessions are deadlines. Sending what waits in a
session is done a portion at a time, each client's in turn.

Next: `speedo_trio.mqtt.holding`.
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import TYPE_CHECKING, NoReturn, Protocol

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from speedo_trio.mqtt.state.sessions import Sessions

_TURN = 100
"""Deadlines that are seen to before it is others' turn."""


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
        self._looks: list[tuple[float, int, Cared]] = []  # a heap
        self._count = count()
        self._later: dict[Cared, None] = {}
        self._stirred = trio.Event()
        self._one = trio.Lock()

    def watch(self, cared: Cared, deadline: float) -> None:
        """Look at a connection when its deadline is over."""
        heappush(self._looks, (deadline, next(self._count), cared))
        if self._looks[0][2] is cared:
            self._stirred.set()

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
            cared = heappop(looks)[2]
            again = cared.look(now)
            if again is not None:
                heappush(looks, (again, next(self._count), cared))

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
