"""The entrance: who may come in, and when; what the listeners ask."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import trio

from speedo_trio.events import Refusal
from speedo_trio.link import Link

if TYPE_CHECKING:
    from speedo_trio.events import Address, Event
    from speedo_trio.house import House
    from speedo_trio.io.door import Door
    from speedo_trio.io.listener import Listener
    from speedo_trio.io.wire import Wire


class Entrance:
    """A server's `speedo_trio.io.listener.Acceptor`."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.paused: bool = False
        self.closed: bool = False
        self.last_call: bool = False
        """Whether these are the last to come in: there is no rate to keep any more."""

    @property
    def full(self) -> bool:
        """Whether as many connections are open as may be."""
        return len(self._house.links) >= self._house.config.limits.connections

    def open(self) -> bool:
        if self.paused:
            return False
        if self._house.config.limits.when_full == "refuse":
            return True
        return not (self.full or self._too_soon())

    def _too_soon(self) -> bool:
        """Whether the rate of all allows nobody now."""
        return not self.last_call and self._house.guests.wait(trio.current_time()) > 0

    async def opened(self) -> None:
        while not (self.closed or self.open()):
            waits_for_others = self.paused or self.full
            wait = inf if waits_for_others else self._house.guests.wait(trio.current_time())
            with trio.move_on_after(wait):
                await self._house.stirred()

    def admit(self, peer: Address, door: Door | None) -> bool:
        refusal = self._refusal(peer, door)
        if refusal is not None:
            self._house.refuse(peer, refusal)
        return refusal is None

    def _refusal(self, peer: Address, door: Door | None) -> Refusal | None:
        if self.full:
            return Refusal.FULL
        if self._too_soon():
            return Refusal.RATE
        guests, now = self._house.guests, trio.current_time()
        refusal = None
        if not (door is not None and door.proxied):  # else it is the proxy's
            refusal = guests.enter(peer, now)
        # Last: who is refused for its address must not use up the rate of all.
        return refusal or (None if self.last_call else guests.arrive(now))

    def accepted(self, wire: Wire, listener: Listener) -> None:
        self._house.nursery.start_soon(Link(self._house, wire, listener).run)

    def observe(self, event: Event) -> None:
        self._house.observe(event)

    def close(self) -> None:
        """Take nobody in any more; those who wait for room are told."""
        self.closed = True
        self._house.stir()
