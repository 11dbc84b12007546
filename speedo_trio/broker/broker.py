"""The broker: topics, who is subscribed to them, and what is published, in one program.

Protocols bring their clients to it (`speedo_trio.simplepub`), and the program may publish and
subscribe itself. It has no task and no socket of its own, and all of it is for the Trio thread.

Next: `speedo_trio.simplepub.protocol`, which serves it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from speedo_trio.broker.core import BrokerCore
from speedo_trio.broker.limits import BrokerLimits
from speedo_trio.broker.message import TopicMessage
from speedo_trio.broker.subscription import Subscription
from speedo_trio.errors import ConfigError
from speedo_trio.logs.event_log import EventLog
from speedo_trio.pubsub.outbox import OutboxLimits, Overflow, OverflowPolicy, check_overflow
from speedo_trio.pubsub.publication import Publication
from speedo_trio.server import DEFAULT_OBSERVER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from speedo_trio.broker.stats import BrokerStats, SubscriberStats
    from speedo_trio.events import Observer


class Broker:
    """Publish, subscribe, and see who is subscribed.

    ::

        broker = Broker()
        server = await nursery.start(serve, SimplePub(broker), "tcp://localhost:9292")
        async with broker.subscribe("sensors/#") as messages:
            async for message in messages:
                print(message.topic, message.payload)
    """

    def __init__(
        self,
        limits: BrokerLimits | None = None,
        *,
        observer: Observer | None = DEFAULT_OBSERVER,
    ) -> None:
        """Begin with nobody and nothing; needs no running Trio.

        Args:
            limits: how much it keeps.
            observer: gets `MessageDropped`; an `EventLog` unless given, None for nobody.
        """
        limits = BrokerLimits() if limits is None else limits
        observer = EventLog() if observer is DEFAULT_OBSERVER else observer
        self._core = BrokerCore(limits, observer)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        """Send a message to all whose filters match the topic. Doesn't wait.

        From a worker thread: ``trio.from_thread.run_sync(broker.publish, topic, payload)``.

        Args:
            retain: keep it as the last message of its topic, for those who subscribe later; an
                empty payload ends that.

        Returns:
            How many subscribers took it; a group with shared subscriptions counts as one.

        Raises:
            TopicError: the topic is not allowed; nobody got the message.
            RetainedFull: everybody got it, but there is no room to retain it.
        """
        core = self._core
        try:
            return core.route(Publication(encoded(topic), payload, retain=retain))
        finally:
            core.flush()

    def subscribe(
        self,
        *filters: str,
        waiting_messages: int = 1000,
        waiting_bytes: int = 33_554_432,
        overflow: OverflowPolicy = "drop-newest",
        name: str = "application",
    ) -> Subscription:
        """Subscribe for a block: ``async with broker.subscribe("a/#", "b") as messages``.

        What is retained comes first. A message that several of the filters match comes once.

        Args:
            waiting_messages: how many may wait to be taken.
            waiting_bytes: how many bytes of topics, payloads and properties may.
            overflow: what happens to more.
            name: who this is, in `subscribers`.

        Raises:
            ConfigError: a bound or policy that is not allowed, or no filter at all.
        """
        limits = subscription_limits(filters, waiting_messages, waiting_bytes, overflow)
        return Subscription(self._core, tuple(map(encoded, filters)), limits, name)

    def subscribers(self, topic: str | None = None) -> tuple[SubscriberStats, ...]:
        """Who is subscribed; with a topic, who would get what is published under it.

        Of a group with shared subscriptions one member would, and all are given. Takes time for
        each subscriber.

        Raises:
            TopicError: the topic is not allowed.
        """
        members = self._core.members if topic is None else self._core.audience(encoded(topic))
        return tuple(each for each in (member.stats() for member in members) if each.filters)

    def retained(self, topic_filter: str) -> Iterator[TopicMessage]:
        """The retained messages of the topics that a filter matches.

        Lazily: what is replaced meanwhile is left out.

        Raises:
            TopicError: the filter is not allowed.
        """
        found = self._core.retained_for(encoded(topic_filter))
        return (TopicMessage(kept.topic.decode(), kept.payload, retain=True) for kept in found)

    def stats(self) -> BrokerStats:
        """A snapshot. Takes time for each subscriber."""
        return self._core.stats()

    @property
    def core(self) -> BrokerCore:
        """What protocols need; it may change with those that are shipped."""
        return self._core


def encoded(topic: str) -> bytes:
    """Its UTF-8; of surrogates, which have none, bytes that are not allowed and so are refused."""
    return topic.encode("utf-8", "surrogatepass")


def subscription_limits(
    filters: tuple[str, ...], messages: int, size: int, overflow: str
) -> OutboxLimits:
    """How much may wait for a subscription of the program.

    Raises:
        ConfigError: a bound or policy that is not allowed, or no filter at all.
    """
    if not filters:
        raise ConfigError("subscribe() without a filter; allowed are one or more")
    return outbox_limits(messages, size, overflow)


def outbox_limits(messages: int, size: int, overflow: str) -> OutboxLimits:
    """How much may wait for a subscriber.

    Raises:
        ConfigError: a bound or policy that is not allowed.
    """
    check_overflow(None, None, overflow)
    return OutboxLimits(messages=messages, bytes=size, overflow=Overflow(overflow))
