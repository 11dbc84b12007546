"""Threads of their own for what is shown by those who come in, and bounded waiting before them.

So a crowd that logs in leaves the others alone.

Next: `speedo_trio.mqtt.security.password_file`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, TypeVar

import trio

from speedo_trio.errors import ConfigError
from speedo_trio.mqtt.verdicts import Refused
from speedo_trio.mqtt.wire.reason_codes import ReasonCode

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

THREADS: Final = max(1, min(4, (os.cpu_count() or 1) - 1))
"""A processor less than there are: the loop, which serves all others, needs one."""
BUSY: Final = Refused(ReasonCode.SERVER_BUSY, "too many are logging in; try again later")
_WAITING: Final = 200
"""Logins that may wait for each thread: what a thread does in a hook's deadline of 10 s."""


class Threads:
    """So many at the same time, and so many who wait."""

    def __init__(self, number: int = THREADS) -> None:
        """Begin with nobody.

        Raises:
            ConfigError: the number is not allowed.
        """
        if type(number) is not int or number < 1:
            raise ConfigError(f"threads is {number!r}; allowed is a whole number from 1")
        self._limiter = trio.CapacityLimiter(number)
        self._most_waiting = number * _WAITING
        self._waiting = 0

    @property
    def full(self) -> bool:
        """Whether nobody else may wait."""
        return self._waiting >= self._most_waiting

    async def look(self, check: Callable[[], T]) -> T:
        """Call it in a thread. On cancel the thread is left to itself."""
        self._waiting += 1
        try:
            return await trio.to_thread.run_sync(
                check, limiter=self._limiter, abandon_on_cancel=True
            )
        finally:
            self._waiting -= 1
