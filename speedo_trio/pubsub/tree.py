"""The tree of subscriptions: which subscribers' filters match a name.

The audience of each filter is in one dictionary. A filter without wildcards matches the one name
that it spells, so it is found there; those with wildcards are found by the levels of the name.

Next: `speedo_trio.pubsub.routes`, which remembers what was found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from speedo_trio.pubsub.audience import Audience, Pair, find, join, leave, pairs
from speedo_trio.pubsub.levels import LevelTree
from speedo_trio.pubsub.topics import has_wildcard

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

S = TypeVar("S")
V = TypeVar("V")


class SubscriptionTree(Generic[S, V]):
    """Subscriptions: filter, subscriber and value. A subscriber has at most one for each filter.

    Subscribers are told apart by `==` and `hash`; by default objects are by identity. Filters must
    have passed `speedo_trio.pubsub.topics.check_filter`, names `check_name`. For one thread.
    """

    __slots__ = ("_audiences", "_count", "_wild")

    def __init__(self) -> None:
        self._audiences: dict[bytes, Audience[S, V]] = {}
        self._wild = LevelTree()
        """The filters that have wildcards."""
        self._count = 0

    def __len__(self) -> int:
        """How many subscriptions there are."""
        return self._count

    def subscribe(self, topic_filter: bytes, subscriber: S, value: V) -> V | None:
        """Add a subscription, or give the one that there is another value.

        Returns:
            The value that was replaced; None when the subscription is new.
        """
        audience = self._audiences.get(topic_filter)
        before = find(audience, subscriber)
        self._audiences[topic_filter] = join(audience, subscriber, value)
        if audience is None and has_wildcard(topic_filter):
            self._wild.add(topic_filter)
        if before is None:
            self._count += 1
            return None
        return before[1]

    def unsubscribe(self, topic_filter: bytes, subscriber: S) -> V | None:
        """Remove a subscription.

        Returns:
            Its value; None when there was no such subscription.
        """
        audience = self._audiences.get(topic_filter)
        before = find(audience, subscriber)
        if audience is None or before is None:
            return None
        left = leave(audience, subscriber)
        if left is not None:
            self._audiences[topic_filter] = left
        else:
            del self._audiences[topic_filter]
            self._wild.discard(topic_filter)
        self._count -= 1
        return before[1]

    def remove(self, subscriber: S, topic_filters: Iterable[bytes]) -> int:
        """Remove a subscriber's subscriptions to these filters; how many there were.

        The tree doesn't know a subscriber's filters: the subscriber does anyway, for its protocol.
        """
        before = self._count
        for topic_filter in topic_filters:
            self.unsubscribe(topic_filter, subscriber)
        return before - self._count

    def match(self, name: bytes) -> list[Pair[S, V]]:
        """The subscribers whose filters match a name, once for each such filter, in no order."""
        found: list[Pair[S, V]] = []
        audiences = self._audiences
        topic_filters = self._wild.matching(name)
        if name in audiences:
            topic_filters.append(name)
        for topic_filter in topic_filters:
            audience = audiences[topic_filter]
            if isinstance(audience, tuple):
                found.append(audience)
            else:
                found += pairs(audience)
        return found

    def filters(self) -> Iterator[bytes]:
        """The filters that somebody is subscribed to, in no order. Nothing may change meanwhile."""
        return iter(self._audiences)

    def subscribers(self, topic_filter: bytes) -> list[Pair[S, V]]:
        """Who is subscribed to this very filter, in no order."""
        return pairs(self._audiences.get(topic_filter))
