"""The contract of a store: what it is asked, and what it must keep.

Next: `speedo_trio.mqtt.store.sqlite`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from speedo_trio.mqtt.store.batch import Batch
    from speedo_trio.mqtt.store.records import (
        Fetched,
        MessageRecord,
        QueueRow,
        SessionRecord,
        SubscriptionRecord,
        Waiting,
    )


@frozen(kw_only=True)
class Image:
    """What is in a store when it is opened, but for the bodies of messages that wait."""

    sessions: Sequence[SessionRecord] = ()
    subscriptions: Sequence[SubscriptionRecord] = ()
    flights: Sequence[QueueRow] = ()
    """Rows that have a packet identifier, by their keys."""
    waiting: Mapping[int, Waiting] = field(factory=dict)
    """By the numbers of sessions."""
    last_rows: Mapping[int, int] = field(factory=dict)
    """The last row of each session that has any."""
    held: Sequence[int] = ()
    """Keys of packet identifiers."""
    retained: Sequence[MessageRecord] = ()
    shared: Mapping[int, int] = field(factory=dict)
    """How many rows have a message, of those that more than one has."""
    last_message: int = 0
    """The highest number of a message."""
    soonest: float | None = None
    """When the first of all messages expires; None: none does."""


class Swept(NamedTuple):
    """What had expired of what waits for a session, and is no more."""

    messages: int
    size: int
    """The bytes of their topics and payloads."""


@frozen(kw_only=True)
class Removed:
    """What was removed by a batch that didn't name it."""

    messages: Sequence[int] = ()
    """The numbers of the messages that rows had, one for each row."""
    swept: Mapping[int, Swept] = field(factory=dict)
    """By the numbers of sessions."""
    soonest: float | None = None
    """When the next of all messages expires, if any was looked for; None: none does."""


class Store(Protocol):
    """Keeps what outlasts the process. Its methods may change with what is kept.

    Its methods block. They are called one at a time, `open` and `close` from any thread, the others
    from the thread that writes.
    """

    @property
    def pending_bytes(self) -> int:
        """What may wait to be written, about, until publishers wait."""

    def open(self) -> Image:
        """Take possession, so that nobody else has it, and give what is there.

        Raises:
            StoreError: it can't be used; nothing was changed.
        """

    def commit(self, batch: Batch) -> Removed:
        """Make all changes of a batch, and see that they stay as the store promises.

        Returns:
            What was removed for `Batch.spilled` and `Batch.swept`.

        Raises:
            StoreError: nothing of it was changed. The same batch comes again.
        """

    def fetch(self, session: int, after: int, messages: int, size: int) -> Sequence[Fetched]:
        """Some of what waits for a session, in order: the rows behind one.

        Args:
            messages: So many at most.
            size: The bytes after which no more are read.

        Raises:
            StoreError: it can't be read.
        """

    def bodies(self, numbers: Sequence[int]) -> Sequence[MessageRecord]:
        """Messages by their numbers; those that are not there are left out.

        Raises:
            StoreError: they can't be read.
        """

    def expire(self, now: float) -> int:
        """Remove retained messages whose time is over; how many.

        Args:
            now: The time of the wall.

        Raises:
            StoreError: nothing was changed.
        """

    def close(self) -> None:
        """Give it back. Closing twice does nothing. Must not raise."""
