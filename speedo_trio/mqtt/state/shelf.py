"""A shelf: a backlog whose messages are in a store too, and those far behind only there.

Next: `speedo_trio.mqtt.state.durable`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from speedo_trio.mqtt.state.backlog import Backlog, size_of
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

    __slots__ = ("_asked", "_cursor", "_journal", "stored", "stored_bytes")

    # As `Backlog` has them. They are set here too, and not all checkers of types look there.
    bytes: int
    dropped: int

    def __init__(self, limits: OutboxLimits, journal: Journal) -> None:
        super().__init__(limits)
        self._journal = journal
        self._cursor = 0  # what is only in the store has rows behind this
        self._asked = 0  # what was stored when more was asked for; 0: nothing was
        self.stored: int = 0
        """Messages that are only in the store."""
        self.stored_bytes: int = 0
        """The bytes of their topics and payloads."""

    def __len__(self) -> int:
        return super().__len__() + self.stored

    def restore(self, messages: int, size: int) -> None:
        """So many messages, of so many bytes, were found in the store."""
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

    def clear(self) -> None:
        for message in self:
            self._journal.drop(message)
        if self.stored:
            self._journal.leave_rows()
        super().clear()
        self.stored = self.stored_bytes = self._asked = 0

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
        else:
            publication, qos, retain, identifiers, group, _ = message
            self._lay((publication, qos, retain, identifiers, group, row))
        self.bytes += size
        return Put.TAKEN

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
        if not self._asked and self.stored:
            self._asked = self.stored
            self._journal.fetch(self._cursor, PORTION, PORTION_BYTES)

    def _forget(self, missing: int) -> None:
        self.stored -= missing
        self.bytes -= self.stored_bytes
        self.stored_bytes = 0
