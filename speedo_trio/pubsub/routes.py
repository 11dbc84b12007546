"""Routes: who gets what is published under a name, remembered until a subscription changes it.

A route that is remembered costs a look into a dictionary. Finding one takes microseconds, and more
the more filters match. So a change of a subscription drops only the routes that it changes: with a
filter without wildcards the one of that name, else those of the names that the filter matches,
which are found in a tree of the names that are remembered. Each route that is dropped was found by
a publication, so changes never cost more than publications did.

Next: `speedo_trio.pubsub.exchange`, which publishes along the routes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from speedo_trio.pubsub.bounds import checked
from speedo_trio.pubsub.levels import LevelTree
from speedo_trio.pubsub.topics import STANDARD, TopicBounds, check_name, has_wildcard

if TYPE_CHECKING:
    from collections.abc import Callable

    from speedo_trio.pubsub.audience import Pair
    from speedo_trio.pubsub.tree import SubscriptionTree

S = TypeVar("S")
V = TypeVar("V")

Route: TypeAlias = "tuple[Pair[S, V], ...]"
"""The subscribers whose filters match a name, with the values of their subscriptions. It never
changes: who goes through it sees those who were subscribed when it was looked up."""

Merge: TypeAlias = "Callable[[list[V]], V]"
"""Makes one value of those of a subscriber that has several filters which match a name."""

MOST_BYTES = 2**26
"""64 MiB: some 200,000 names with short routes."""

NAME_BYTES = 300
"""What a name takes that is remembered, beside its characters and matches. As measured: from 180,
where many names differ in one level only, to 370, where they part at each level."""
MATCH_BYTES = 8
"""What a match takes in a route: a reference to a pair that the tree has anyway."""
MERGED_BYTES = 64
"""What it may take where values are merged: a pair of its own. The value is the protocol's."""

_PARTS = 256
"""One of so many parts is cleared when there is no room: a millisecond's work, and seldom."""
_MOST_ONCE = 2**20
"""Names used once that are known as such: 8 MiB for them."""
_LEAST_PART = 1024
"""Bytes that a part has at least, for who has little room in all."""


class Routes(dict[bytes, "tuple[Pair[S, V], ...]"], Generic[S, V]):
    """`routes[name]` is the route of a name: remembered, or else found by the tree.

    For looking up only; the methods here make the changes. A route is remembered when it is looked
    up for the second time, so that names that are used once, such as those for one reply, cost
    little and push nothing out. When there is no room the oldest routes go: to know which of them
    are used would cost each look. A name that is remembered has been checked.
    """

    __slots__ = (
        "_bounds",
        "_match_bytes",
        "_merge",
        "_most",
        "_names",
        "_once",
        "_part",
        "_tree",
        "held",
    )

    def __init__(
        self,
        tree: SubscriptionTree[S, V],
        *,
        most_bytes: int = MOST_BYTES,
        bounds: TopicBounds = STANDARD,
        merge: Merge[V] | None = None,
    ) -> None:
        """Begin with nothing remembered.

        Args:
            most_bytes: What all that is remembered may take, about. A route that takes more than
                a 256th of it (or 1 KiB) is never remembered; then it has many matches, so that
                delivering costs far more than finding it.
            merge: With it a subscriber is in a route once, without it once for each of its filters.
                It is called when a route is found, not for each publication.
        """
        super().__init__()
        self._tree = tree
        self._most = checked("most_bytes", most_bytes)
        self._part = min(most_bytes, max(most_bytes // _PARTS, _LEAST_PART))
        self._bounds = bounds
        self._merge = merge
        self._match_bytes = MATCH_BYTES if merge is None else MERGED_BYTES
        self._names = LevelTree()
        self._once = Once(min(most_bytes // NAME_BYTES, _MOST_ONCE))
        self.held: int = 0
        """Bytes taken by what is remembered, about."""

    def subscribe(self, topic_filter: bytes, subscriber: S, value: V) -> V | None:
        """`SubscriptionTree.subscribe`, and forget the routes that it changes."""
        replaced = self._tree.subscribe(topic_filter, subscriber, value)
        self._forget(topic_filter)
        return replaced

    def unsubscribe(self, topic_filter: bytes, subscriber: S) -> V | None:
        """`SubscriptionTree.unsubscribe`, and forget the routes that it changes."""
        before = len(self._tree)
        value = self._tree.unsubscribe(topic_filter, subscriber)
        if len(self._tree) < before:
            self._forget(topic_filter)
        return value

    def __missing__(self, name: bytes) -> Route[S, V]:
        """Find a route.

        Raises:
            TopicError: `name` is no topic name, or is over the bounds.
        """
        check_name(name, self._bounds)
        route = tuple(self._tree.match(name))
        if self._merge is not None and len(route) > 1:
            route = _merged(route, self._merge)
        if self._once.seen(name):
            self._remember(name, route)
        return route

    def _remember(self, name: bytes, route: Route[S, V]) -> None:
        size = self._size(name, route)
        if size > self._part:
            return
        if self.held + size > self._most:
            self._clear(self._part)
        self[name] = route
        self._names.add(name)
        self.held += size

    def _forget(self, topic_filter: bytes) -> None:
        if has_wildcard(topic_filter):
            self._drop(self._names.take(topic_filter))
        elif topic_filter in self:
            self._names.discard(topic_filter)
            self._drop([topic_filter])

    def _clear(self, size: int) -> None:
        """Drop the routes remembered for longest that take `size` bytes together."""
        names = []
        for name, route in self.items():
            names.append(name)
            size -= self._size(name, route)
            if size <= 0:
                break
        for name in names:
            self._names.discard(name)
        self._drop(names)

    def _drop(self, names: list[bytes]) -> None:
        for name in names:
            self.held -= self._size(name, self.pop(name))

    def _size(self, name: bytes, route: Route[S, V]) -> int:
        return NAME_BYTES + len(name) + self._match_bytes * len(route)


class Once:
    """Tells whether a name was seen before, roughly: some that were not are taken for seen."""

    __slots__ = ("_count", "_marks", "_most")

    def __init__(self, most: int) -> None:
        """For `most` names, with eight bytes for each; when there are more it begins anew."""
        self._most = max(most, 1)
        self._marks = bytearray(8 * self._most)
        self._count = 0

    def seen(self, name: bytes) -> bool:
        """Whether the name was seen before; it now is."""
        place = hash(name) % len(self._marks)
        if self._marks[place]:
            return True
        if self._count == self._most:
            self._marks = bytearray(len(self._marks))
            self._count = 0
        self._marks[place] = 1
        self._count += 1
        return False


def _merged(route: Route[S, V], merge: Merge[V]) -> Route[S, V]:
    together: dict[S, list[Pair[S, V]]] = {}
    for pair in route:
        together.setdefault(pair[0], []).append(pair)
    if len(together) == len(route):
        return route
    return tuple(
        pairs[0] if len(pairs) == 1 else (subscriber, merge([value for _, value in pairs]))
        for subscriber, pairs in together.items()
    )
