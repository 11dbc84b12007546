"""A stay: a client's time in, when what it has shown is good for a while only.

Next: `speedo_trio.mqtt.handler`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from speedo_trio.mqtt.wire.reason_codes import ReasonCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from speedo_trio.mqtt.caretaker import Caretaker
    from speedo_trio.mqtt.state.client import Client

LONGEST_LOOK: Final = 60.0
"""Seconds between two looks at the wall's clock, which may be set."""


class Stay:
    """Ends a connection; the caretaker sees to it."""

    def __init__(self, client: Client, caretaker: Caretaker, clock: Callable[[], float]) -> None:
        """It is for ever.

        Args:
            clock: the caretaker's.
        """
        self._client = client
        self._caretaker = caretaker
        self._clock = clock
        self._until: float | None = None

    def until(self, moment: float | None) -> None:
        """End it then, in seconds of `time.time`; None: never."""
        self._until = moment
        if moment is None:
            self._caretaker.leave(self)
        else:
            self._caretaker.watch(self, self._next(moment, self._clock()))

    def look(self, now: float) -> float | None:
        """See whether it is over."""
        until = self._until
        if until is None:
            return None
        if time.time() < until:
            return self._next(until, now)
        text = "what it has shown when it came in has expired"
        self._client.fail(ReasonCode.MAXIMUM_CONNECT_TIME, now, text)
        return None

    def proceed(self, now: float) -> bool:
        """There is nothing else to do."""
        return False

    @staticmethod
    def _next(until: float, now: float) -> float:
        return now + min(max(0.0, until - time.time()), LONGEST_LOOK)
