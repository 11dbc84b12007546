"""The exchange: where publications come in and go out to those who have subscribed.

It knows no protocol. A protocol brings the subscribers, whose `deliver` encodes and sends, and
publishes what its clients publish. Everything here is for one thread, and nothing waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from speedo_trio.pubsub.publication import Publication
from speedo_trio.pubsub.retained import Retained, RetainedLimits, Retention
from speedo_trio.pubsub.routes import MOST_BYTES, Merge, Routes
from speedo_trio.pubsub.shared import CanTake, Load, SharedGroups
from speedo_trio.pubsub.topics import STANDARD, TopicBounds, check_filter, check_name, parse_shared
from speedo_trio.pubsub.tree import SubscriptionTree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from speedo_trio.pubsub.subscriber import Failed, Subscriber

P = TypeVar("P", bound=Publication)
V = TypeVar("V")


class Exchange(Generic[P, V]):
    """Subscriptions, routes, groups and retained publications, put together."""

    def __init__(
        self,
        failed: Failed[P, V],
        *,
        bounds: TopicBounds = STANDARD,
        route_bytes: int = MOST_BYTES,
        retained: RetainedLimits | None = None,
        merge: Merge[V] | None = None,
        can_take: CanTake[P, V] | None = None,
        load: Load[P, V] | None = None,
    ) -> None:
        """Begin with nobody and nothing.

        Args:
            failed: Told of each subscriber that raised. It should not raise itself: if it does, the
                others still get their publication, and then `publish` raises it.
            route_bytes: What routes that are remembered may take, about.
            merge: Makes one value of those of a subscriber that has several filters which match, so
                that it gets a publication once; without it, once for each filter. Groups and their
                members are apart from that.
            can_take: Whether a member of a group can take more; without it all can.
            load: How much a member of a group has to do; without it members take turns.
        """
        self._bounds = bounds
        self._failed = failed
        self.subscriptions: SubscriptionTree[Subscriber[P, V], V] = SubscriptionTree()
        """Who is subscribed to what, to look at. A group is one subscriber."""
        self.routes: Routes[Subscriber[P, V], V] = Routes(
            self.subscriptions, most_bytes=route_bytes, bounds=bounds, merge=merge
        )
        """To look at, and to look up."""
        self.groups: SharedGroups[P, V] = SharedGroups(
            self.routes, failed, can_take=can_take, load=load
        )
        """To look at."""
        self._retentions = 0
        self.retained: Retained[P] = Retained(retained)
        """To look at, to purge, and to fill with what was kept elsewhere."""

    def subscribe(self, topic_filter: bytes, subscriber: Subscriber[P, V], value: V) -> V | None:
        """Subscribe to a filter; with `$share/group/filter`, join the group.

        What is retained is not delivered: see `retained_for`.

        Returns:
            The value that the subscriber had for this very filter; None when it had none.

        Raises:
            TopicError: It is no filter, or is over the bounds.
        """
        shared = parse_shared(topic_filter, self._bounds)
        if shared is not None:
            return self.groups.join(shared, subscriber, value)
        check_filter(topic_filter, self._bounds)
        return self.routes.subscribe(topic_filter, subscriber, value)

    def unsubscribe(self, topic_filter: bytes, subscriber: Subscriber[P, V]) -> V | None:
        """Take a subscription back.

        Returns:
            Its value; None when there was none.

        Raises:
            TopicError: It is no filter, or is over the bounds.
        """
        shared = parse_shared(topic_filter, self._bounds)
        if shared is not None:
            return self.groups.leave(shared, subscriber)
        check_filter(topic_filter, self._bounds)
        return self.routes.unsubscribe(topic_filter, subscriber)

    def remove(self, subscriber: Subscriber[P, V], topic_filters: Iterable[bytes]) -> None:
        """Take all of a subscriber's subscriptions back: it knows its filters."""
        for topic_filter in topic_filters:
            self.unsubscribe(topic_filter, subscriber)

    def publish(self, publication: P) -> int:
        """Deliver a publication to all whose filters match its topic.

        Who subscribes or unsubscribes meanwhile changes nothing for this publication. What a
        subscriber raises is reported, and costs that subscriber this publication only.

        Returns:
            How many times it was taken; by a group once.

        Raises:
            TopicError: Its topic is no name, or is over the bounds; nobody got it.
        """
        taken = 0
        trouble: Exception | None = None
        route = iter(self.routes[publication.topic])
        while True:
            try:
                for subscriber, value in route:
                    if subscriber.deliver(publication, value):
                        taken += 1
                break
            except Exception as error:  # noqa: BLE001  # of whatever a subscriber is
                trouble = self._report(subscriber, publication, error) or trouble
        if trouble is not None:
            raise trouble
        return taken

    def pass_on(self, topic_filter: bytes, publication: P) -> bool:
        """Deliver to a member of the group `$share/group/filter`, in place of one that has gone.

        Returns:
            Whether one took it.

        Raises:
            TopicError: It is no filter, or is over the bounds.
        """
        shared = parse_shared(topic_filter, self._bounds)
        return shared is not None and self.groups.pass_on(shared, publication)

    def retain(
        self, publication: P, *, now: float, expires: float | None = None
    ) -> Retention | None:
        """Keep a publication for those who subscribe later, in place of the one before.

        One with an empty payload is not kept, and ends the one before [MQTT-3.3.1-6]. Publish it
        first: what is retained shares its forms no longer.

        Args:
            now: The time, in seconds of any clock.
            expires: When it is of no use any more; None for never.

        Returns:
            What became of it; None when its payload is empty.

        Raises:
            TopicError: Its topic is no name, or is over the bounds.
        """
        topic, payload = publication.topic, publication.payload
        check_name(topic, self._bounds)
        if not payload:  # [MQTT-3.3.1-7]
            self.retained.delete(topic)
            return None
        self._retentions += 1
        publication.settle(self._retentions)
        size = publication.size - len(topic)  # which `Retained` counts itself
        return self.retained.set(topic, publication, size=size, now=now, expires=expires)

    def retained_for(self, topic_filter: bytes, now: float) -> Iterator[P]:
        """What is retained that a filter matches; nothing for `$share/group/filter`.

        Lazily: `Retained.match` tells what may change meanwhile, and the order. What is retained
        after this call is left out: who has subscribed before gets it as it is published.

        Raises:
            TopicError: It is no filter, or is over the bounds.
        """
        if parse_shared(topic_filter, self._bounds) is not None:
            return iter(())
        check_filter(topic_filter, self._bounds)
        until, found = self._retentions, self.retained.match(topic_filter, now)
        return (publication for _, publication in found if publication.settled <= until)

    def _report(
        self, subscriber: Subscriber[P, V], publication: P, error: Exception
    ) -> Exception | None:
        """Tell what a subscriber raised; what that raised."""
        try:
            self._failed(subscriber, publication, error)
        except Exception as trouble:  # noqa: BLE001  # publish raises it, after its work
            return trouble
        return None
