"""A pace: how fast one client may publish, and how far it is ahead of that.

Next: `speedo_trio.mqtt.state.machine`.
"""

from __future__ import annotations


class Pace:
    """A leaky bucket."""

    __slots__ = ("_burst", "_level", "_rate", "_when")

    def __init__(self, rate: float, burst: int, now: float) -> None:
        """Begin with nothing published.

        Args:
            rate: messages a second.
            burst: messages that may come at once beside that.
        """
        self._rate = rate
        self._burst = burst
        self._level = 0.0
        self._when = now

    def count(self, now: float) -> None:
        """A message has come."""
        self._level = max(0.0, self._level - (now - self._when) * self._rate) + 1
        self._when = now

    def ahead(self, now: float) -> float:
        """Seconds until the client is as far as it may be; 0: it isn't ahead."""
        return max(0.0, (self._level - self._burst) / self._rate - (now - self._when))
