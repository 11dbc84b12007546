"""Traffic: what clients have sent and received, counted where it costs nothing, summed up here.

Next: `speedo_trio.mqtt.load`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import trio
from attrs import define, evolve

if TYPE_CHECKING:
    from speedo_trio.broker.mailbox import Mailbox

_TURN: Final = 500
"""Connections that are summed up before it is others' turn: half a millisecond."""


class Carrier(Protocol):
    """A connection, as the traffic sees it."""

    received: int
    """Bytes."""

    @property
    def packets_received(self) -> int:
        """Packets of any type."""

    @property
    def packets_sent(self) -> int:
        """Packets of any type but PUBLISH."""

    @property
    def mailbox(self) -> Mailbox:
        """What goes to its client."""


@define(eq=False)
class Totals:
    """Sums over connections."""

    received: int = 0
    """Bytes."""
    sent: int = 0
    """Bytes."""
    packets_received: int = 0
    packets_sent: int = 0
    delivered: int = 0
    """Messages that connections took."""
    dropped: int = 0
    """Messages that clients were too slow for."""

    def add(self, carrier: Carrier) -> None:
        """Add what a connection has counted."""
        mailbox = carrier.mailbox
        self.received += carrier.received
        self.sent += mailbox.sent
        self.packets_received += carrier.packets_received
        self.packets_sent += carrier.packets_sent + mailbox.delivered
        self.delivered += mailbox.delivered
        self.dropped += mailbox.dropped


class Traffic:
    """Of all the connections of a service, those that have ended too."""

    def __init__(self) -> None:
        self.connections: int = 0
        """Connections so far."""
        self._live: dict[Carrier, None] = {}
        self._ended = Totals()
        self._quiet = trio.Event()

    def enter(self, carrier: Carrier) -> None:
        """A connection has been opened."""
        self._live[carrier] = None
        self.connections += 1

    def leave(self, carrier: Carrier) -> None:
        """A connection has closed. It may never have been opened."""
        if carrier in self._live:
            del self._live[carrier]
            self._ended.add(carrier)
            if not self._live:
                self._quiet.set()
                self._quiet = trio.Event()

    async def quiet(self) -> None:
        """Wait until there are no connections."""
        if self._live:
            await self._quiet.wait()

    async def totals(self) -> Totals:
        """The sums. With many connections others get their turn in between.

        What ends meanwhile may be missing; it is there the next time.
        """
        totals = evolve(self._ended)
        for index, carrier in enumerate(list(self._live), 1):
            if carrier in self._live:
                totals.add(carrier)
            if not index % _TURN:
                await trio.lowlevel.checkpoint()
        return totals
