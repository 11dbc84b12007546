"""A journal: where what changes in one session is written down, to outlast the server.

The machine knows only this. A session that ends with its connection has none.

Next: `speedo_trio.mqtt.state.shelf`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from speedo_trio.mqtt.state.line import Line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from speedo_trio.mqtt.state.flights import Message
    from speedo_trio.mqtt.state.terms import MQTTTerms
    from speedo_trio.mqtt.wire.packets import Will


class SafeLine(Line, Protocol):
    """A line whose answers leave when what they promise is written down."""

    def hold(self) -> None:
        """Let what is put from now on leave only when all that was noted so far is written down."""


class Notable(Protocol):
    """What is noted of a session: a `speedo_trio.mqtt.state.session.Session`."""

    client_id: str
    expiry: int
    will: Will | None
    will_at: float | None
    ends_at: float | None
    passport: str | None

    @property
    def connected(self) -> bool:
        """Whether its client is there."""


class Journal(Protocol):
    """Of one session. Nothing waits: what is noted is written down later, all in its order.

    Each message that goes to the client has a row, a number that grows in the order of sending; it
    is the last item of a `Message`.
    """

    def save(self, session: Notable) -> None:
        """Note expiry, will and deadlines, who the client is, and whether it is there."""

    def leave_rows(self, *, shared: bool) -> None:
        """The session is about to end, and has rows that are not in memory.

        Args:
            shared: Whether there may be some that others of its groups can be given.
        """

    def end(self) -> None:
        """The session is no more. All rows that are in memory were dropped before."""

    def subscribe(self, topic_filter: bytes, terms: MQTTTerms) -> None:
        """A subscription is new, or has other terms."""

    def unsubscribe(self, topic_filter: bytes) -> None:
        """A subscription was taken back."""

    def hold(self, packet_id: int) -> None:
        """A QoS 2 message of the client was published; PUBREL will follow."""

    def release(self, packet_id: int) -> None:
        """PUBREL has come for one."""

    def enqueue(self, message: Message, packet_id: int) -> int:
        """A message is new: in flight with a packet identifier, or waiting with 0; gives its row.

        That its message has another row already is of no account.
        """

    def enqueue_run(
        self, messages: Sequence[Message], packet_ids: Sequence[int]
    ) -> Sequence[Message]:
        """Several messages are new, and in flight; gives them with their rows."""

    def send(self, message: Message, packet_id: int) -> None:
        """A message that waited is in flight."""

    def received(self, message: Message, packet_id: int) -> int:
        """PUBREC has come: forget the message, remember the identifier; gives the new row."""

    def give_back(self, message: Message) -> None:
        """A message that is in flight waits again: the session is about to end."""

    def drop(self, message: Message) -> None:
        """The way of a message has ended, or the message was dropped."""

    def drop_run(self, messages: Iterable[Message]) -> None:
        """`drop` for several."""

    def complete(self, row: int) -> None:
        """PUBCOMP has come for what `received` gave this row."""

    def fetch(self, after: int, messages: int, size: int) -> None:
        """Have the next messages read that wait behind a row; `Shelf.fetched` gets them.

        Args:
            messages: So many at most.
            size: When they have so many bytes no more are read.
        """

    def sweep(self, after: int) -> None:
        """Have those removed that wait behind a row for too long; `Shelf.swept` is told."""

    def warm(self) -> None:
        """Have the messages read that are in flight; `DurableOutgoing.warmed` gets them."""


class Keeping(Protocol):
    """What gives durable sessions their journals."""

    def begin(self, client_id: str) -> Journal:
        """The journal of a session that is new."""
