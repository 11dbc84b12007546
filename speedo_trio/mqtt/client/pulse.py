"""The pulse: when a client shows that it is there, and when it takes the server for gone.

Next: `speedo_trio.mqtt.client.message`.
"""

from __future__ import annotations

from math import inf

from speedo_trio.errors import ConnectionLost


class Pulse:
    """Keep alive, from the client's side (section 3.1.2.10)."""

    def __init__(self, keep_alive: int, now: float) -> None:
        """Begin.

        Args:
            keep_alive: seconds; 0: never ask, and wait for ever.
            now: when the connection began.
        """
        self._seconds = keep_alive or inf
        self._sent = self._heard = now
        self._asked: float | None = None

    @property
    def deadline(self) -> float:
        """When to `look`."""
        if self._asked is not None:
            return self._asked + self._seconds
        # Also when only the server is silent: who sends all the time wants to know that, too.
        return min(self._sent, self._heard) + self._seconds

    def sent(self, now: float) -> None:
        """A packet has left."""
        self._sent = now

    def heard(self, now: float) -> None:
        """A packet has come, or could have, but was not read by the client's own choice."""
        self._heard = now
        self._asked = None

    def look(self, now: float) -> bool:
        """Whether to send PINGREQ now.

        Raises:
            ConnectionLost: one was sent, and nothing has come since.
        """
        if now < self.deadline:
            return False
        if self._asked is not None:
            raise ConnectionLost(f"the server has not answered PINGREQ in {self._seconds:g} s")
        self._asked = now
        return True
