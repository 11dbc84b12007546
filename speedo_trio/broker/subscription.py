"""A subscription of the program itself: an async iterator over what is published.

Next: `speedo_trio.broker.broker`, which makes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import trio

from speedo_trio.broker.core import Drops
from speedo_trio.broker.message import TopicMessage
from speedo_trio.broker.stats import SubscriberStats
from speedo_trio.errors import SubscriberTooSlow
from speedo_trio.pubsub.outbox import Outbox, Put
from speedo_trio.pubsub.subscriber import NO_TERMS
from speedo_trio.pubsub.topics import SHARED, matches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from speedo_trio.broker.core import BrokerCore
    from speedo_trio.pubsub.outbox import OutboxLimits
    from speedo_trio.pubsub.publication import Publication
    from speedo_trio.pubsub.subscriber import Terms


class Subscription:
    """Messages of some filters, for an ``async for`` in an ``async with``.

    Several tasks may iterate at once; each message goes to one of them. When the block is left the
    subscription ends, and so does every iteration.
    """

    def __init__(
        self, broker: BrokerCore, filters: tuple[bytes, ...], limits: OutboxLimits, name: str
    ) -> None:
        self._broker = broker
        self._filters = filters
        self._limits = limits
        self._name = name
        self._outbox: Outbox[Publication] = Outbox(limits, _size)
        self._retained: Iterator[Publication] = iter(())
        self._waiters = trio.lowlevel.ParkingLot()
        self._used = False
        self._active = False
        self._delivered = 0
        self._drops = Drops()

    async def __aenter__(self) -> Self:
        """Subscribe; what is published from now on comes, after what is retained.

        Raises:
            TopicError: a filter that is not allowed; nothing is subscribed to then.
            RuntimeError: the block was entered before.
        """
        await trio.lowlevel.checkpoint()
        if self._used:
            raise RuntimeError("this subscription was used before; subscribe() makes another")
        broker = self._broker
        broker.check(self._filters)
        self._used = self._active = True
        broker.enter(self)
        for topic_filter in self._filters:
            broker.exchange.subscribe(topic_filter, self, NO_TERMS)
        self._retained = _once(self._filters, [*map(broker.retained_for, self._filters)])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._end()
        self._retained = iter(())
        self._broker.leave(self, lost=self._outbox.clear())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TopicMessage:
        """Wait for the next message. A cancel loses none.

        Raises:
            SubscriberTooSlow: the messages were taken too slowly, and `overflow` is "disconnect".
        """
        await trio.lowlevel.checkpoint()
        while self._active or self._outbox.full:
            message = self.take_nowait()
            if message is not None:
                return message
            if self._outbox.full:
                raise SubscriberTooSlow(
                    f"{self._name} took its messages too slowly; allowed are "
                    f"{self._limits.messages} that wait, and {self._limits.bytes} bytes"
                )
            await self._waiters.park()
        raise StopAsyncIteration

    def take_nowait(self) -> TopicMessage | None:
        """The next message if there is one now, else None."""
        kept = next(self._retained, None)
        if kept is not None:
            return self._message(kept, retain=True)
        waited = self._outbox.take_one()
        if waited is None:
            return None
        self._delivered += 1
        return self._message(waited, retain=False)

    @property
    def dropped(self) -> int:
        """Messages that were dropped because they were not taken in time."""
        return self._outbox.dropped

    def deliver(self, publication: Publication, terms: Terms) -> bool:
        """Let it wait for the iteration; what the broker calls."""
        put = self._outbox.put(publication)
        if self._drops.worth_telling(self.dropped):
            self._broker.dropping(self._name, self.dropped)
        if put is Put.DISCONNECT:
            self._end()
            return False
        self._waiters.unpark()
        return put is Put.TAKEN

    def stats(self) -> SubscriberStats:
        """A snapshot."""
        return SubscriberStats(
            name=self._name,
            filters=tuple(each.decode() for each in self._filters) if self._active else (),
            delivered=self._delivered,
            dropped=self.dropped,
            waiting=len(self._outbox),
            waiting_bytes=self._outbox.bytes,
        )

    def _message(self, publication: Publication, *, retain: bool) -> TopicMessage:
        """What the iteration gives for a publication; a protocol may make more of it."""
        return TopicMessage(publication.topic.decode(), publication.payload, retain=retain)

    def _end(self) -> None:
        """Get nothing more; what waits may still be taken, if the iteration goes on."""
        if self._active:
            self._active = False
            self._broker.exchange.remove(self, self._filters)
        self._waiters.unpark_all()


def _once(
    filters: tuple[bytes, ...], retained: list[Iterator[Publication]]
) -> Iterator[Publication]:
    """What is retained for each of the filters, without what came for one before."""
    for number, found in enumerate(retained):
        earlier = [each for each in filters[:number] if not each.startswith(SHARED)]
        for publication in found:
            if not any(matches(each, publication.topic) for each in earlier):
                yield publication


def _size(publication: Publication) -> int:
    return publication.size
