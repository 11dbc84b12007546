"""The teller: brings events to the hook that observes, in order, while nobody waits for that.

Next: `speedo_trio.mqtt.register`.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Final, NoReturn

import trio

from speedo_trio.mqtt.calls import LAST_SECONDS, Threads, call_hook
from speedo_trio.mqtt.events import EventsMissed

if TYPE_CHECKING:
    from speedo_trio.mqtt.events import MQTTEvent
    from speedo_trio.mqtt.hooks import Hooks, Observe

_MOST: Final = 10_000
"""Events that may wait: as many clients may come at once, after a restart."""

_logger = logging.getLogger("speedo_trio.mqtt")


class Teller:
    """Calls the hook for one event after the other. What it raises, and what hangs, is logged."""

    def __init__(self, observe: Observe, hooks: Hooks) -> None:
        self._observe = observe
        self._deadline = hooks.deadline
        self._threads = Threads(1)
        self._events: deque[MQTTEvent] = deque()
        self._missed = 0
        self._stirred = trio.Event()

    def tell(self, event: MQTTEvent) -> None:
        """Tell of an event, soon. When too many wait it is counted instead."""
        if self._missed or len(self._events) >= _MOST:
            self._missed += 1
            return
        self._events.append(event)
        self._stirred.set()

    async def run(self) -> NoReturn:
        """Tell until cancelled. What waits then gets `LAST_SECONDS`, all together."""
        try:
            while True:
                self._stirred = trio.Event()
                await self._tell_all()
                await self._stirred.wait()
        finally:
            with trio.move_on_after(LAST_SECONDS, shield=True):
                await self._tell_all()

    async def _tell_all(self) -> None:
        while self._events:
            await self._call(self._events.popleft())
            if self._missed and len(self._events) <= _MOST // 2:
                missed, self._missed = self._missed, 0
                self._events.append(EventsMissed(count=missed))

    async def _call(self, event: MQTTEvent) -> None:
        try:
            with trio.move_on_after(self._deadline) as scope:
                await call_hook(self._observe, self._threads, event)
        except Exception:
            _logger.exception("the hook observe failed on %r", event)
        if scope.cancelled_caught:
            _logger.error("the hook observe took over %g s on %r", self._deadline, event)
