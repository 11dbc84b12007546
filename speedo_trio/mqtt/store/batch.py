"""A batch: changes that a store makes all together or not at all.

What is noted and taken back in the same batch leaves no trace, such as a message that its
subscriber acknowledged at once.

Next: `speedo_trio.mqtt.store.contract`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from speedo_trio.mqtt.state.publication import MQTTPublication
    from speedo_trio.mqtt.store.records import (
        MessageRecord,
        QueueRow,
        SessionRecord,
        SubscriptionRecord,
    )


class Batch:
    """Changes, by what they are of. The store applies them in the order of the attributes."""

    __slots__ = (
        "drift",
        "ended",
        "forgotten",
        "held",
        "inserted",
        "messages",
        "number",
        "released",
        "removed",
        "replaced",
        "retained",
        "sessions",
        "settled",
        "spilled",
        "subscriptions",
        "swept",
        "touched",
        "updated",
        "waiting",
        "weight",
    )

    def __init__(self, number: int) -> None:
        self.number: int = number
        """Batches are numbered from 1 on."""
        self.touched: bool = False
        """Whether anything was noted, even if it was taken back."""
        self.waiting: bool = False
        """Whether it has a message that no client is about to acknowledge: one that has not been
        sent, or one with QoS 2, which leaves when this is written."""
        self.weight: int = 0
        """The bytes that it takes, about."""
        self.drift: float = 0.0
        """What the wall's clock is ahead of the server's own, in which publications have times."""
        self.ended: list[int] = []
        """Numbers of sessions that are no more: with all that is theirs, after all else."""
        self.spilled: set[int] = set()
        """Of these, those that have rows in the store of which nobody here knows."""
        self.sessions: dict[int, SessionRecord] = {}
        """Sessions that are new or have changed, by their numbers."""
        self.subscriptions: dict[tuple[int, bytes], SubscriptionRecord | None] = {}
        """By session and filter; None: it is no more."""
        self.messages: dict[int, MQTTPublication] = {}
        """New ones, by their numbers. `message_record` makes records of them."""
        self.removed: list[int] = []
        """Keys of queue rows that are no more."""
        self.replaced: dict[int, int] = {}
        """Of these, keys of rows in whose place others are inserted, and their messages."""
        self.inserted: dict[int, QueueRow] = {}
        """Queue rows that are new, by their keys."""
        self.updated: dict[int, QueueRow] = {}
        """Queue rows that have changed, by their keys."""
        self.forgotten: list[int] = []
        """Numbers of messages that nobody waits for any more."""
        self.settled: bool = False
        """Whether these are all that earlier batches have given as orphans."""
        self.released: set[int] = set()
        """Keys of packet identifiers that are not held any more."""
        self.held: set[int] = set()
        """Keys of packet identifiers that are held."""
        self.retained: dict[bytes, MessageRecord | None] = {}
        """By topic; None: nothing is retained any more."""

        self.swept: dict[int, int] = {}
        """Rows, by the numbers of sessions: of what waits behind one that goes which has expired
        when the batch is written."""

    def relief(self, before: Iterable[Batch]) -> Batch:
        """What of it may be done before its turn, and then once more: what clients have done with.

        A row in whose place another is inserted may not go without it: its client would be left
        with an identifier of which nobody knows.

        Args:
            before: The batches that are not written yet.
        """
        kept = {number for each in (self, *before) for number in each.replaced.values()}
        relief = Batch(0)
        relief.removed = [key for key in self.removed if key not in self.replaced]
        relief.forgotten = [number for number in self.forgotten if number not in kept]
        # Once only: what is behind a row may be at hand soon.
        relief.swept, self.swept = self.swept, {}
        return relief

    @property
    def on_its_way(self) -> bool:
        """Whether clients may be about to acknowledge all messages that it has, and it has any."""
        return not self.waiting and bool(self.inserted or self.updated)

    @property
    def rows(self) -> set[int]:
        """Keys of queue rows that are new or have changed."""
        return {*self.inserted, *self.updated}

    @property
    def empty(self) -> bool:
        """Whether there is nothing to be written."""
        return not (
            self.inserted
            or self.removed
            or self.updated
            or self.messages
            or self.forgotten
            or self.settled
            or self.held
            or self.released
            or self.sessions
            or self.ended
            or self.subscriptions
            or self.retained
            or self.swept
        )
