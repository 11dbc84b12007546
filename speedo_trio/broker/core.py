"""A broker as its protocols see it: topics are bytes, and subscribers come and go.

Next: `speedo_trio.broker.subscription`.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final, Protocol

from speedo_trio.broker.stats import BrokerStats, SubscriberStats
from speedo_trio.errors import RetainedFull
from speedo_trio.events import MessageDropped
from speedo_trio.pubsub.exchange import Exchange
from speedo_trio.pubsub.publication import Publication
from speedo_trio.pubsub.retained import RetainedLimits, Retention
from speedo_trio.pubsub.shared import SharedGroup
from speedo_trio.pubsub.subscriber import Subscriber, Terms, merge
from speedo_trio.pubsub.topics import TopicBounds, check_filter, parse_shared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from speedo_trio.broker.limits import BrokerLimits
    from speedo_trio.broker.mailbox import Mailbox
    from speedo_trio.events import Event, Observer
    from speedo_trio.protocol.handler import Connection

MOST_UNFLUSHED: Final = 65_536
"""Bytes that are read before what came of them is sent, be there more to read or not."""

_logger = logging.getLogger("speedo_trio.broker")


class Member(Subscriber[Publication, Terms], Protocol):
    """A subscriber that a broker knows of."""

    def stats(self) -> SubscriberStats:
        """A snapshot."""


class Keeper(Protocol):
    """Who writes down what is to outlast the process."""

    def retained(self, publication: Publication) -> None:
        """A message was retained, or with an empty payload the one before is not any more."""

    def turn_over(self) -> None:
        """A turn has ended, and what was put into mailboxes was sent."""


class Drops:
    """When to tell that a subscriber's messages are dropped: of the first, the tenth and so on."""

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next = 1

    def worth_telling(self, dropped: int) -> bool:
        """Whether so many dropped messages are to be told of; then these have been."""
        if dropped < self._next:
            return False
        while self._next <= dropped:
            self._next *= 10
        return True


class BrokerCore:
    """Who is subscribed, what is retained, and the counts."""

    def __init__(
        self,
        limits: BrokerLimits,
        observer: Observer | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args: the limits, who is told of events, what tells the seconds for what expires."""
        self._observer = observer
        self._bounds = TopicBounds(bytes=limits.topic_bytes, levels=limits.topic_levels)
        self.clock: Callable[[], float] = clock
        """Tells the seconds."""
        self.exchange: Exchange[Publication, Terms] = Exchange(
            _failed,
            bounds=self._bounds,
            route_bytes=limits.route_bytes,
            retained=RetainedLimits(messages=limits.retained_messages, bytes=limits.retained_bytes),
            merge=merge,
            can_take=_eager,
        )
        self.keeper: Keeper | None = None
        """Who writes down what is retained; None: nobody does."""
        self.dirty: list[Mailbox] = []
        """Mailboxes that are to be flushed at the end of the turn."""
        self.members: dict[Member, None] = {}
        """Who has come, in that order."""
        self.published: int = 0
        """For `route` and for protocols that go to the exchange themselves."""
        self._unflushed = 0  # bytes of reads whose turns wait for `flush`
        self._delivered = 0  # to those who have left
        self._dropped = 0
        self._lost = 0

    def check(self, filters: tuple[bytes, ...]) -> None:
        """See that these are filters, of shared subscriptions too.

        Raises:
            TopicError: one isn't.
        """
        for topic_filter in filters:
            if parse_shared(topic_filter, self._bounds) is None:
                check_filter(topic_filter, self._bounds)

    def enter(self, member: Member) -> None:
        """A subscriber has come."""
        self.members[member] = None

    def leave(self, member: Member, lost: int) -> None:
        """A subscriber has gone, after it was removed from the exchange.

        Args:
            lost: Messages that still waited for it.
        """
        if member in self.members:
            del self.members[member]
            last = member.stats()
            self._delivered += last.delivered
            self._dropped += last.dropped
            self._lost += lost

    def route(self, publication: Publication) -> int:
        """Publish, and retain if that is wanted; how many took it.

        The caller calls `flush` at the end of its turn.

        Raises:
            TopicError: its topic is no name, or is over the bounds; nobody got it.
            RetainedFull: everybody got it, but there is no room to retain it.
        """
        taken = self.exchange.publish(publication)
        self.published += 1
        if publication.retain:
            self._retain(publication)
        return taken

    def dropping(self, subscriber: str, dropped: int) -> None:
        """Tell the observer, if there is one, of messages that were dropped."""
        self.tell(MessageDropped(subscriber=subscriber, dropped=dropped))

    def tell(self, event: Event) -> None:
        """Tell the observer, if there is one."""
        if self._observer is None:
            return
        try:
            self._observer(event)
        except Exception:
            _logger.exception("the observer raised on %r", event)

    def flush_after_reads(self, connection: Connection, size: int) -> None:
        """A handler's turn has ended: flush with those of others that read now.

        Args:
            connection: The handler's.
            size: Bytes that were read from it.
        """
        first = not self._unflushed
        self._unflushed += size
        if first:
            connection.after_reads(self.flush)
        elif self._unflushed >= MOST_UNFLUSHED:
            self.flush()

    def flush(self) -> None:
        """The turn has ended: send what was put into mailboxes."""
        self._unflushed = 0
        dirty = self.dirty
        if dirty:
            for mailbox in dirty:
                mailbox.flush()
            dirty.clear()
        if self.keeper is not None:
            self.keeper.turn_over()

    def retained_for(self, topic_filter: bytes) -> Iterator[Publication]:
        """What is retained now that a filter matches; nothing for a shared subscription.

        Lazily: what is replaced or deleted before its turn comes is left out.

        Raises:
            TopicError: it is no filter, or is over the bounds.
        """
        return self.exchange.retained_for(topic_filter, self.clock())

    def audience(self, topic: bytes) -> list[Member]:
        """Who gets what is published under a topic, each once.

        Raises:
            TopicError: it is no name, or is over the bounds.
        """
        found: dict[object, None] = {}
        for subscriber, _ in self.exchange.routes[topic]:
            if isinstance(subscriber, SharedGroup):
                found.update((member, None) for member, _ in subscriber)
            else:
                found[subscriber] = None
        return [member for member in self.members if member in found]

    def stats(self) -> BrokerStats:
        """A snapshot."""
        members = [member.stats() for member in self.members]
        return BrokerStats(
            published=self.published,
            delivered=self._delivered + sum(each.delivered for each in members),
            dropped=self._dropped + sum(each.dropped for each in members),
            lost=self._lost,
            waiting=sum(each.waiting for each in members),
            subscribers=sum(1 for each in members if each.filters),
            subscriptions=len(self.exchange.subscriptions),
            retained=len(self.exchange.retained),
            retained_bytes=self.exchange.retained.bytes,
        )

    def _retain(self, publication: Publication) -> None:
        retention = self.exchange.retain(
            publication, now=self.clock(), expires=publication.expires_at
        )
        if retention in (Retention.TOO_MANY, Retention.TOO_LARGE):
            retained = self.exchange.retained
            raise RetainedFull(
                f"no room to retain a message of {len(publication.payload)} bytes: "
                f"{len(retained)} messages of {retained.bytes} bytes are retained"
            )
        if self.keeper is not None:
            self.keeper.retained(publication)


def _eager(subscriber: object) -> bool:
    """Whether a member of a group should get more while others could: much waits for some."""
    return not getattr(subscriber, "crowded", False)


def _failed(subscriber: object, publication: Publication, error: Exception) -> None:
    """A subscriber raised, which is a bug; the others get their message all the same."""
    _logger.error(
        "%s failed on a message of topic %r",
        type(subscriber).__name__,
        publication.topic,
        exc_info=error,
    )
