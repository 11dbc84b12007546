"""Wills that wait for hooks: their clients are gone, so that they need a task of their own.

Next: `speedo_trio.mqtt.teller`.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Final, NoReturn

import trio

from speedo_trio.mqtt.calls import LAST_SECONDS
from speedo_trio.mqtt.publishing import DROP, judge_publish
from speedo_trio.mqtt.state.asks import Allow, Refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from speedo_trio.mqtt.calls import Calls
    from speedo_trio.mqtt.requests import ClientInfo
    from speedo_trio.mqtt.state.publication import MQTTPublication

_AT_ONCE: Final = 100
"""Wills whose hooks are asked at the same time."""
_MOST: Final = 10_000
"""Wills that may wait: those of all clients of a house that has lost its network."""
_MOST_BYTES: Final = 67_108_864
"""Bytes of their topics, payloads and properties."""

_logger = logging.getLogger("speedo_trio.mqtt")


class Wills:
    """Asks the hooks for one will after the other, for many at the same time."""

    def __init__(self, calls: Calls, publish: Callable[[MQTTPublication], None]) -> None:
        """Args: the hooks, and what publishes."""
        self._calls = calls
        self._publish = publish
        self._waiting: deque[tuple[ClientInfo, MQTTPublication]] = deque()
        self._bytes = 0
        self._running = 0
        self._stirred = trio.Event()

    def put(self, client: ClientInfo, will: MQTTPublication) -> None:
        """Publish a will if that is allowed, soon. With too many others it is not published."""
        size = will.size
        if len(self._waiting) >= _MOST or self._bytes + size > _MOST_BYTES:
            _logger.error(
                "the will of client %r is not published: %d others wait for hooks",
                client.client_id,
                len(self._waiting),
            )
            return
        self._bytes += size
        self._waiting.append((client, will))
        self._stirred.set()

    async def run(self) -> NoReturn:
        """See to them until cancelled. Those that wait then get `LAST_SECONDS`, all together."""
        try:
            async with trio.open_nursery() as nursery:
                while True:
                    self._stirred = trio.Event()
                    while self._waiting and self._running < _AT_ONCE:
                        self._running += 1
                        nursery.start_soon(self._see_to, *self._waiting.popleft())
                    await self._stirred.wait()
        finally:
            with trio.move_on_after(LAST_SECONDS, shield=True):
                while self._waiting:
                    self._running += 1
                    await self._see_to(*self._waiting.popleft())
        raise AssertionError("unreachable")

    async def _see_to(self, client: ClientInfo, will: MQTTPublication) -> None:
        try:
            verdict = await judge_publish(self._calls, client, will, will=True)
        except trio.Cancelled:
            self._waiting.appendleft((client, will))
            raise
        finally:
            self._running -= 1
            self._stirred.set()
        self._bytes -= will.size
        if isinstance(verdict, Allow):
            self._publish(will)
        elif not isinstance(verdict, Refuse) and verdict is not DROP:
            self._publish(verdict)
