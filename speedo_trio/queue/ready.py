"""The ready lanes that worker threads take from, those with little to do first.

A lane with many messages comes from a peer that sends much at once; such a peer does not notice a
few milliseconds, while one that sends a single line waits for each. So short lanes go first, but
never for ever: after some of them it is a long one's turn.
"""

from __future__ import annotations

import threading
from collections import deque
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from speedo_trio.queue.lane import Lane

M = TypeVar("M")

SHORT = 32
"""The most messages that a short lane has: what takes a quarter of a thread's turn at most."""

_SHORT_RUN = 16
"""Short lanes taken in a row while long ones wait."""


class ReadyLanes(Generic[M]):
    """Lanes for worker threads, in two ranks. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._short: deque[Lane[M]] = deque()
        self._long: deque[Lane[M]] = deque()
        self._run = 0  # short lanes taken in a row; a lost update does no harm
        self._lingering = threading.Lock()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._closed = False
        self.idle: bool = False
        """Whether a thread waits in `linger`."""

    def __len__(self) -> int:
        return len(self._short) + len(self._long)

    @property
    def short(self) -> bool:
        """Whether short lanes wait."""
        return bool(self._short)

    def put(self, lane: Lane[M]) -> None:
        """Add a lane that became ready."""
        self._append(self._short if len(lane.messages) <= SHORT else self._long, lane)

    def put_again(self, lane: Lane[M]) -> None:
        """Add a lane that has just had a turn, and so goes behind those that wait for one."""
        self._append(self._long, lane)

    def _append(self, rank: deque[Lane[M]], lane: Lane[M]) -> None:
        """Add the lane, and wake the thread that lingers, if one does."""
        rank.append(lane)
        if self.idle:
            self.idle = False
            self._wake.put(None)

    def take(self) -> Lane[M] | None:
        """The next lane; None when there is none."""
        try:
            if self._short and (self._run < _SHORT_RUN or not self._long):
                self._run += 1
                return self._short.popleft()
            self._run = 0
            return self._long.popleft()
        except IndexError:  # none, or another thread was quicker
            return self.take() if len(self) else None

    def linger(self, seconds: float) -> Lane[M] | None:
        """Wait for a lane; None after `seconds`, and at once when another thread lingers."""
        if not self._lingering.acquire(blocking=False):
            return None
        try:
            self.idle = True
            lane = self.take()  # after idle is set: whoever puts one later sees it
            while lane is None and not self._closed:
                self._wake.get(timeout=seconds)
                self.idle = True
                lane = self.take()
        except Empty:
            return None
        else:
            return lane
        finally:
            self.idle = False
            self._lingering.release()

    def close(self) -> None:
        """Let nobody linger any more."""
        self._closed = True
        self._wake.put(None)
