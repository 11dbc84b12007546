"""The laps of a turn: how long its messages took, from a look at the clock that is taken anyway.

After each message a turn looks whether its time is over. A metered turn is given an earlier time
to look for: 0.1 ms after its lap began. So messages that are quicker cost nothing more; when that
time has passed, the message that has just ended began before it and all others of the lap ended
before it. These took no longer than the lap, and so belong into the first bucket of the histogram.
Of the one that has just ended it is known how long it went on after that time, and when it is
alone in its lap, how long it took.
"""

from __future__ import annotations

from math import inf
from time import perf_counter
from typing import TYPE_CHECKING

from speedo_trio.meter import BOUNDS

if TYPE_CHECKING:
    from speedo_trio.config import Workers
    from speedo_trio.meter import Meter
    from speedo_trio.protocol.message import Message
    from speedo_trio.queue.lane import Lane

LAP_SECONDS = BOUNDS[0]
"""As long as the first bucket: what ended within a lap belongs there without further looks."""


class Laps:
    """Measures the turns of one worker, one after another.

    A turn calls `begin`, then `lap` whenever the time that it was given has passed, and at last
    `done` or `cut` in place of those of its lane.
    """

    __slots__ = (
        "_began",
        "_check",
        "_counted",
        "_end",
        "_first",
        "_lane",
        "_lap",
        "_meter",
        "_most",
        "_seconds",
    )

    _lane: Lane[Message]  # only while a turn goes on, so that an idle worker keeps no lane alive

    def __init__(self, meter: Meter, caps: Workers) -> None:
        self._meter = meter
        self._most = caps.turn_messages
        self._seconds = caps.turn_seconds
        self._first = min(LAP_SECONDS, caps.turn_seconds)
        self._began = 0.0
        self._end = 0.0
        self._lap = 0.0  # when the lap began
        self._check = 0.0  # when `lap` is to be called
        self._counted = 0  # messages before the lap

    def begin(self, lane: Lane[Message], began: float) -> float:
        """Begin a turn; returns the time from which on `lap` is to be called."""
        self._lane = lane
        self._began = self._lap = began
        self._end = began + self._seconds
        self._counted = 0
        self._check = check = began + self._first
        return check

    def lap(self, left: int) -> float:
        """A message has ended late: count the lap, and begin another.

        Args:
            left: how many messages the turn may still execute.

        Returns:
            The time from which on this is to be called again; infinity when the turn's time is
            over.
        """
        now, count = perf_counter(), self._most - left
        messages, seconds = count - self._counted, now - self._lap
        last = seconds if messages == 1 else now - self._check
        self._meter.add_lap(messages, seconds, last)
        self._counted, self._lap = count, now
        self._check = min(self._end, now + LAP_SECONDS)
        return inf if now >= self._end else self._check

    def done(self, count: int) -> None:
        """The turn is over, and each of its messages came to its end."""
        now = perf_counter()
        messages, seconds = count - self._counted, now - self._lap
        last = seconds if messages == 1 else now - self._check
        lane = self._lane
        del self._lane
        began = self._began
        self._meter.add_turn(began - lane.ready_at, now - began, messages, seconds, last)
        lane.done(count)

    def cut(self, count: int) -> None:
        """The turn is over because its last message was cut off, which is not measured."""
        now = perf_counter()
        messages, seconds = count - self._counted - 1, min(now, self._check) - self._lap
        lane = self._lane
        del self._lane
        began = self._began
        self._meter.add_turn(began - lane.ready_at, now - began, messages, seconds, 0.0)
        lane.cut(count)
