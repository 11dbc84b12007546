"""A shelf: a backlog whose messages are in a store too, and those far behind only there.

Next: `speedo_trio.mqtt.state.durable`.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING, Final

from speedo_trio.mqtt.state.backlog import Backlog, size_of
from speedo_trio.mqtt.state.publication import MQTTPublication
from speedo_trio.pubsub.outbox import Overflow, Put

if TYPE_CHECKING:
    from collections.abc import Sequence

    from speedo_trio.mqtt.state.flights import Message
    from speedo_trio.mqtt.state.journal import Journal
    from speedo_trio.pubsub.outbox import OutboxLimits

AT_HAND: Final = 1000
"""Messages of one client that are in memory while they wait: all that may, unless the capabilities
allow more."""
AT_HAND_BYTES: Final = 1_048_576
"""The bytes of their topics and payloads."""
PORTION: Final = 200
"""Messages that are fetched at once. When half of them are left, the next are fetched."""
PORTION_BYTES: Final = 262_144
"""Bytes after which no more are fetched at once."""


class Shelf(Backlog):
    """What waits: the oldest at hand, the rest in the store."""

    __slots__ = (
        "_asked",
        "_cursor",
        "_journal",
        "_sweeping",
        "shared",
        "soonest",
        "stored",
        "stored_bytes",
    )

    # As `Backlog` has them. They are set here too, and not all checkers of types look there.
    bytes: int
    dropped: int

    def __init__(self, limits: OutboxLimits, journal: Journal) -> None:
        super().__init__(limits)
        self._journal = journal
        self._cursor = 0  # what is only in the store has rows behind this
        self._asked = 0  # what was stored when more was asked for; 0: nothing was
        self._sweeping = False  # what has expired is being removed from the store
        self.stored: int = 0
        """Messages that are only in the store."""
        self.stored_bytes: int = 0
        """The bytes of their topics and payloads."""
        self.shared: bool = False
        """Whether messages that are only in the store may have come by shared subscriptions."""
        self.soonest: float | None = None
        """When the time of a message may be over, at the earliest; None: of none is."""

    def __len__(self) -> int:
        return super().__len__() + self.stored

    def restore(
        self, messages: int, size: int, soonest: float | None, *, shared: bool = False
    ) -> None:
        """So many messages, of so many bytes, were found in the store.

        Args:
            soonest: When the time of the first may be over; None: of none is.
            shared: Whether some came by shared subscriptions.
        """
        self.soonest, self.shared = soonest, shared
        self.stored = messages
        self.stored_bytes = self.bytes = size

    def take(self) -> Message | None:
        """Take the oldest message; None when none is at hand. Then more may be on their way."""
        message = super().take()
        if self.stored and super().__len__() < PORTION // 2:
            self._fetch()
        return message

    def fetched(self, messages: Sequence[Message]) -> None:
        """What was asked of the journal has come, in its order."""
        asked, self._asked = self._asked, 0
        if not asked:
            return  # the session was cleared meanwhile
        for message in messages:
            size = size_of(message)
            self._lay(message)
            self.stored -= 1
            self.stored_bytes -= size
            self._cursor = message[5]
        if not messages:  # it has less than it should
            self._forget(asked)
        if self._limits.overflow is Overflow.DROP_OLDEST:
            self._trim()

    def not_fetched(self) -> None:
        """What was asked of the journal could not be read. It is asked again when it is wanted."""
        self._asked = 0

    def sweep(self, now: float) -> int:
        """Drop what has waited for too long; how many were at hand.

        Those that are only in the store are dropped soon, and `swept` is told. Nothing is fetched
        meanwhile; when something is being fetched, they are left for the next time.
        """
        kept: deque[Message] = deque()
        for message in self:
            if _expires(message) > now:
                kept.append(message)
            else:
                self.bytes -= size_of(message)
                self._journal.drop(message)
        dropped = super().__len__() - len(kept)
        self._waiting = kept or None
        if self.stored and self._asked:
            return dropped
        soonest = min(map(_expires, kept), default=inf)
        self.soonest = None if soonest == inf else soonest
        if self.stored and not self._sweeping:
            self._sweeping = True
            self._journal.sweep(self._cursor)
        return dropped

    def swept(self, messages: int, size: int, soonest: float | None) -> None:
        """So many messages, of so many bytes, were removed from the store.

        Args:
            soonest: When the time of another may be over; None: of none is.
        """
        if not self._sweeping:
            return  # the session was cleared meanwhile
        self._sweeping = False
        self.stored -= messages
        self.stored_bytes -= size
        self.bytes -= size
        self._notice(soonest)

    def clear(self) -> None:
        for message in self:
            self._journal.drop(message)
        if self.stored:
            self._journal.leave_rows(shared=self.shared)
        super().clear()
        self.stored = self.stored_bytes = self._asked = 0
        self._sweeping = False
        self.soonest = None

    def put(self, message: Message, *, away: bool) -> Put:
        size = size_of(message)
        if self.lacks_room(size):
            refusal = self._refuse(size, away=away)
            if refusal is not None:
                return refusal
        row = self._journal.enqueue(message, 0)
        at_hand = self.bytes - self.stored_bytes
        if self.stored or super().__len__() >= AT_HAND or at_hand + size > AT_HAND_BYTES:
            if not self.stored:
                self._cursor = row - 1
            self.stored += 1
            self.stored_bytes += size
            if message[4] is not None:
                self.shared = True
        else:
            publication, qos, retain, identifiers, group, _ = message
            self._lay((publication, qos, retain, identifiers, group, row))
        self.bytes += size
        publication = message[0]
        if isinstance(publication, MQTTPublication) and publication.expiry is not None:
            self._notice(publication.expires_at)
        return Put.TAKEN

    def _notice(self, expires: float | None) -> None:
        if expires is not None and (self.soonest is None or expires < self.soonest):
            self.soonest = expires

    def _lay(self, message: Message) -> None:
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(message)

    def _make_room(self, size: int) -> None:
        """Drop the oldest. When they are not at hand, that is done once they are."""
        while self.lacks_room(size) and self._drop_oldest():
            pass

    def _trim(self) -> None:
        limits = self._limits
        while len(self) > limits.messages or self.bytes > limits.bytes:
            if not self._drop_oldest():
                break

    def _drop_oldest(self) -> bool:
        message = super().take()
        if message is None:
            self._fetch()
            return False
        self._journal.drop(message)
        self.dropped += 1
        return True

    def _fetch(self) -> None:
        if self.stored and not self._asked and not self._sweeping:
            self._asked = self.stored
            self._journal.fetch(self._cursor, PORTION, PORTION_BYTES)

    def _forget(self, missing: int) -> None:
        self.stored -= missing
        self.bytes -= self.stored_bytes
        self.stored_bytes = 0


def _expires(message: Message) -> float:
    """When the time of a message is over."""
    publication = message[0]
    expires = publication.expires_at if isinstance(publication, MQTTPublication) else None
    return inf if expires is None else expires
