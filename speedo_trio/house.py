"""The house: what all links of a server share, and what they add up to.

Next: `speedo_trio.link`.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Protocol

import trio
from attrs import define, evolve, field

from speedo_trio.events import ConnectionRefused
from speedo_trio.io.poller import Poller
from speedo_trio.io.turnstile import Turnstile
from speedo_trio.isolation import own_error

if TYPE_CHECKING:
    from speedo_trio.config import Config
    from speedo_trio.events import Address, Cause, Event, Observer, Pause, Refusal
    from speedo_trio.io.border import Border
    from speedo_trio.io.connection import WireConnection
    from speedo_trio.io.guests import Guests
    from speedo_trio.io.watch import Watch
    from speedo_trio.protocol.handler import ProtocolHandlerFactory
    from speedo_trio.protocol.message import Message
    from speedo_trio.queue.lane import Lane, Tally
    from speedo_trio.worker.crew import Crew

_LOUD_BYTES = 131_072
"""Bytes of those who send much that are read and parsed before all others get their turn: eight
full reads, three milliseconds with short lines."""

_logger = logging.getLogger("speedo_trio")


class Resident(Protocol):
    """A link, as the house sees it."""

    connection: WireConnection
    lane: Lane[Message]
    received: int
    cut: bool
    began: float
    counted: bool

    @property
    def draining(self) -> bool:
        """Whether it has been asked to finish."""

    @property
    def at_door(self) -> bool:
        """Whether its handshake is not over: nothing may be sent on its wire."""

    @property
    def fresh(self) -> bool:
        """Whether to wait with a drain for the first message."""

    @property
    def held(self) -> int:
        """Bytes received whose messages have not all been executed."""

    @property
    def dropped_messages(self) -> int:
        """Messages received but not executed to their end, once the link has ended."""

    @property
    def dropped_bytes(self) -> int:
        """Bytes of replies not sent, once the link has ended."""

    def look(self, now: float) -> float | None:
        """See `speedo_trio.io.watch.Watched`."""

    def drain(self) -> None:
        """Finish."""

    def cut_off(self) -> None:
        """The drain's grace is over."""


@define(eq=False)
class Totals:
    """Sums over links."""

    received: int = 0
    sent: int = 0
    executed: int = 0
    dropped_messages: int = 0
    dropped_bytes: int = 0
    cut: int = 0

    def add(self, link: Resident) -> None:
        self.received += link.received
        self.sent += link.connection.sent
        self.executed += link.lane.executed
        self.dropped_messages += link.dropped_messages
        self.dropped_bytes += link.dropped_bytes
        self.cut += link.cut


@define(eq=False)
class House:
    """What all links of a server share. All on the Trio thread."""

    config: Config
    """For links that begin from now on."""
    factory: ProtocolHandlerFactory
    observer: Observer | None
    nursery: trio.Nursery
    border: Border
    crew: Crew
    tally: Tally
    watch: Watch
    guests: Guests
    turnstile: Turnstile = field(init=False, factory=lambda: Turnstile(_LOUD_BYTES))
    """What a link goes through before it reads again from a peer that has just filled a read."""
    poller: Poller = field(init=False, factory=Poller)
    """Reads what the peers send."""
    links: dict[int, Resident] = field(factory=dict)
    connections: int = 0
    """Connections so far."""
    refused: Counter[Refusal] = field(factory=Counter)
    closed: Counter[Cause] = field(factory=Counter)
    pauses: Counter[Pause] = field(factory=Counter)
    """How often links were held up, by the limit that they had reached."""
    failed: int = 0
    """Messages that raised."""
    held: int = 0
    """At least the bytes of all links that were read and whose messages have not all been
    executed: it only grows, until `full` counts anew."""
    most_held: int = field(init=False)
    """``limits.bytes``, which holds for all links at once."""
    ended: Totals = field(factory=Totals)
    """The sums over the links that have ended."""
    _full_for: int = 0
    _waiting: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot)

    def __attrs_post_init__(self) -> None:
        self.most_held = self.config.limits.bytes

    def number(self) -> int:
        """The number of the next connection."""
        self.connections += 1
        return self.connections

    def enter(self, link: Resident) -> None:
        """A link begins."""
        self.links[link.connection.id] = link
        when = link.look(link.began)
        if when is not None:
            self.watch.add(link, when)

    def leave(self, link: Resident, cause: Cause) -> None:
        """A link has ended."""
        del self.links[link.connection.id]
        self.closed[cause] += 1
        self.watch.discard(link)
        if link.counted:
            self.guests.leave(link.connection.peer)
        self.ended.add(link)
        self.stir()

    def admit(self, peer: Address) -> bool:
        """Whether a peer whose proxy has just told its address may stay."""
        why = self.guests.enter(peer, trio.current_time())
        if why is not None:
            self.refuse(peer, why)
        return why is None

    def refuse(self, peer: Address, why: Refusal) -> None:
        """A peer is not served; count and tell it."""
        self.refused[why] += 1
        if self.observer is not None:
            limit = getattr(self.config.limits, why.value.removeprefix("limits."))
            self.observe(ConnectionRefused(peer=peer, why=why, limit=limit))

    def reconfigure(self, config: Config) -> None:
        """Have other settings from now on, as far as they can change."""
        limits = evolve(config.limits, backlog=self.config.limits.backlog)
        self.config = evolve(config, limits=limits, workers=self.config.workers)
        self.tally.limit = limits.messages
        self.most_held = limits.bytes
        self.guests.limits = limits
        self.stir()

    def full(self) -> bool:
        """Whether the bytes of all links have reached ``limits.bytes``; ask when `held` has.

        Counting takes time for each link, so that one count serves as many questions as there
        are links.
        """
        if self._full_for:
            self._full_for -= 1
            return True
        self.held = sum(link.held for link in self.links.values())
        full = self.held >= self.most_held
        self._full_for = len(self.links) if full else 0
        return full

    def stir(self) -> None:
        """Have those look again who wait for room or for the end of all links."""
        self._waiting.unpark_all()

    async def stirred(self) -> None:
        """Wait for a link to end, or for `stir`."""
        await self._waiting.park()

    def observe(self, event: Event) -> None:
        """Tell the observer, if there is one; what it raises harms nobody."""
        if self.observer is None:
            return
        try:
            self.observer(event)
        except BaseException as error:
            if own_error(error) is None:
                raise
            _logger.exception("the observer raised on %r", event)
