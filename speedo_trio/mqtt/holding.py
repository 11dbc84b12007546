"""A holding: a client that is held, and who makes it go on.

Mostly that is the caretaker, and a held client takes up no task. Where hooks are asked of what it
has sent, the message that asks them goes on, in the connection's lane.

Next: `speedo_trio.mqtt.stay`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from speedo_trio.mqtt.state.asks import HOLD

if TYPE_CHECKING:
    from collections.abc import Callable

    from speedo_trio.mqtt.caretaker import Caretaker
    from speedo_trio.mqtt.state.asks import Outcome
    from speedo_trio.mqtt.state.client import Client


class Holding:
    """That of one client, for as long as it is connected; the caretaker cares for it."""

    def __init__(
        self,
        client: Client,
        caretaker: Caretaker,
        clock: Callable[[], float],
        proceed: Callable[[], Outcome],
    ) -> None:
        """It is not held yet.

        Args:
            proceed: Makes the machine go on, for the caretaker.
        """
        self._client = client
        self._caretaker = caretaker
        self._clock = clock
        self._proceed = proceed
        self._apart = False  # the caretaker is to see to it
        self._watched = False  # the caretaker has been told when
        self._stirred: trio.Event | None = None  # somebody waits for what comes next

    def begin(self) -> None:
        """Have the caretaker go on with it. Nothing that it does may ask a hook."""
        self._apart = True
        self._watch()

    def eased(self) -> None:
        """It may have been held for long enough."""
        if self._apart:
            self._caretaker.later(self)
        else:
            self._stir()

    def end(self) -> None:
        """The connection has ended, and the client is held no more."""
        self._apart = False
        if self._watched:
            self._watched = False
            self._caretaker.leave(self)
        self._stir()

    async def over(self) -> None:
        """Wait until the machine should be asked whether it is over."""
        patience = self._client.held_until - self._clock()
        with trio.move_on_after(max(0.0, patience)):
            await self._wait()
        await trio.lowlevel.checkpoint()

    async def free(self) -> None:
        """Wait until no packets wait in the machine."""
        while self._client.busy:
            await self._wait()

    # What the caretaker does

    def look(self, now: float) -> float | None:
        """So much for the time."""
        self._watched = False
        if self._apart:
            self._caretaker.later(self)
        return None

    def proceed(self, now: float) -> bool:
        """Go on, if it is over; whether there is more to do."""
        if not self._apart:
            return False
        outcome = self._proceed()
        if outcome is HOLD:
            self._watch()
            return False
        if outcome is None:
            self.end()
        return outcome is not None

    # How

    def _watch(self) -> None:
        if not self._watched:
            self._watched = True
            self._caretaker.watch(self, self._client.held_until)

    def _stir(self) -> None:
        stirred, self._stirred = self._stirred, None
        if stirred is not None:
            stirred.set()

    async def _wait(self) -> None:
        if self._stirred is None:
            self._stirred = trio.Event()
        await self._stirred.wait()
