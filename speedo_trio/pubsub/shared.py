"""Shared subscriptions: groups of subscribers, where each publication goes to one member.

MQTT 5.0, section 4.8.2. To the routes a group is one subscriber, which hands on what it gets.

Next: `speedo_trio.pubsub.retained`, for those who subscribe later.
"""

from __future__ import annotations

from collections import OrderedDict
from heapq import heapify, heappop
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from speedo_trio.pubsub.publication import Publication

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from speedo_trio.pubsub.audience import Pair
    from speedo_trio.pubsub.routes import Routes
    from speedo_trio.pubsub.subscriber import Failed, Subscriber
    from speedo_trio.pubsub.topics import SharedFilter

P = TypeVar("P", bound=Publication)
V = TypeVar("V")

CanTake: TypeAlias = "Callable[[Subscriber[P, V]], bool]"
"""Whether a member can take a publication now."""
Load: TypeAlias = "Callable[[Subscriber[P, V]], float]"
"""How much a member has to do, in any unit."""


class SharedGroup(Generic[P, V]):
    """The members of one shared subscription, and whose turn it is.

    Members that can't take more are skipped while others can. Of the others the one is chosen that
    has the least load, and among equals, or when loads are not asked, the one that was chosen
    longest ago. To ask the loads takes time for each member, taking turns only for those that are
    skipped.
    """

    __slots__ = ("_can_take", "_failed", "_load", "_members")

    def __init__(
        self,
        failed: Failed[P, V],
        *,
        can_take: CanTake[P, V] | None = None,
        load: Load[P, V] | None = None,
    ) -> None:
        self._failed = failed
        self._can_take = can_take
        self._load = load
        self._members: OrderedDict[Subscriber[P, V], Pair[Subscriber[P, V], V]] = OrderedDict()
        """Those that were chosen longest ago come first."""

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Pair[Subscriber[P, V], V]]:
        """The members and their values, those first whose turn is next."""
        return iter(self._members.values())

    def join(self, subscriber: Subscriber[P, V], value: V) -> V | None:
        """Add a member, behind the others, or give one another value.

        Returns:
            The value that was replaced; None when the member is new.
        """
        replaced = self._members.get(subscriber)
        self._members[subscriber] = (subscriber, value)
        return None if replaced is None else replaced[1]

    def leave(self, subscriber: Subscriber[P, V]) -> V | None:
        """Remove a member; its value, None when it was none."""
        removed = self._members.pop(subscriber, None)
        return None if removed is None else removed[1]

    def choose(self) -> Pair[Subscriber[P, V], V] | None:
        """The member whose turn it is, and its value; None when none can take more."""
        return next(self._candidates(), None)

    def deliver(self, publication: P, value: object) -> bool:
        """Deliver to one member: the one whose turn it is, or the next that takes it.

        When none can take more, those are asked all the same, and may take it or not. What a member
        raises is reported, and costs that member its turn only.
        """
        if self._offer(self._candidates(), publication):
            return True
        can_take = self._can_take
        if can_take is None:
            return False
        skipped = [pair for pair in self if not can_take(pair[0])]
        return self._offer(skipped, publication)

    def _offer(self, pairs: Iterable[Pair[Subscriber[P, V], V]], publication: P) -> bool:
        """Deliver to the first member that takes it; whether one did. That had its turn."""
        for member, own in pairs:
            try:
                if member.deliver(publication, own):
                    if member in self._members:
                        self._members.move_to_end(member)
                    return True
            except Exception as error:  # noqa: BLE001  # of whatever a subscriber is
                self._failed(member, publication, error)
        return False

    def _candidates(self) -> Iterator[Pair[Subscriber[P, V], V]]:
        """Members that can take more, in the order of choice. Who is given has had its turn."""
        return self._by_turn() if self._load is None else self._by_load(self._load)

    def _by_turn(self) -> Iterator[Pair[Subscriber[P, V], V]]:
        members = self._members
        for _ in range(len(members)):
            pair = next(iter(members.values()), None)
            if pair is None:  # they have left meanwhile
                break
            members.move_to_end(pair[0])
            if self._can_take is None or self._can_take(pair[0]):
                yield pair

    def _by_load(self, load: Load[P, V]) -> Iterator[Pair[Subscriber[P, V], V]]:
        pairs = [pair for pair in self if self._can_take is None or self._can_take(pair[0])]
        loads = [(load(pair[0]), turn) for turn, pair in enumerate(pairs)]
        heapify(loads)
        while loads:
            pair = pairs[heappop(loads)[1]]
            if pair[0] in self._members:
                self._members.move_to_end(pair[0])
                yield pair


class SharedGroups(Generic[P, V]):
    """The groups, each under its name and filter, and on the routes while it has members."""

    __slots__ = ("_can_take", "_failed", "_groups", "_load", "_routes")

    def __init__(
        self,
        routes: Routes[Subscriber[P, V], V],
        failed: Failed[P, V],
        *,
        can_take: CanTake[P, V] | None = None,
        load: Load[P, V] | None = None,
    ) -> None:
        self._routes = routes
        self._failed = failed
        self._can_take = can_take
        self._load = load
        self._groups: dict[SharedFilter, SharedGroup[P, V]] = {}

    def __len__(self) -> int:
        return len(self._groups)

    def __iter__(self) -> Iterator[tuple[SharedFilter, SharedGroup[P, V]]]:
        """The groups, the oldest first. They must not change meanwhile."""
        return iter(self._groups.items())

    def join(self, shared: SharedFilter, subscriber: Subscriber[P, V], value: V) -> V | None:
        """`SharedGroup.join`, of a group that is made when it is needed."""
        group = self._groups.get(shared)
        if group is None:
            group = SharedGroup(self._failed, can_take=self._can_take, load=self._load)
            self._groups[shared] = group
            self._routes.subscribe(shared.topic_filter, group, value)  # the group ignores it
        return group.join(subscriber, value)

    def pass_on(self, shared: SharedFilter, publication: P) -> bool:
        """Deliver to a member of one group only; whether one took it. False: there is no group."""
        group = self._groups.get(shared)
        return group is not None and group.deliver(publication, None)

    def leave(self, shared: SharedFilter, subscriber: Subscriber[P, V]) -> V | None:
        """`SharedGroup.leave`, and the end of the group with its last member."""
        group = self._groups.get(shared)
        if group is None:
            return None
        value = group.leave(subscriber)
        if not group:
            del self._groups[shared]
            self._routes.unsubscribe(shared.topic_filter, group)
        return value
