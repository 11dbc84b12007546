"""The hub: a broker as the session machine sees it.

Next: `speedo_trio.mqtt.caretaker`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define

from speedo_trio.broker.stats import SubscriberStats
from speedo_trio.errors import RetainedFull, TopicError
from speedo_trio.mqtt.state.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from speedo_trio.broker.core import BrokerCore
    from speedo_trio.mqtt.state.publication import MQTTPublication
    from speedo_trio.mqtt.state.terms import MQTTTerms
    from speedo_trio.pubsub.publication import Publication

_OWN: Final = b"$SYS"
"""The topics under it are the server's own."""


@define(eq=False)
class BrokerSession(Session):
    """A session that a broker knows of."""

    def stats(self) -> SubscriberStats:
        """A snapshot."""
        outgoing = self.outgoing
        return SubscriberStats(
            name=f"mqtt {self.client_id}",
            filters=tuple(each.decode() for each in self.subscriptions),
            delivered=0,
            dropped=outgoing.dropped,
            waiting=outgoing.waiting,
            waiting_bytes=outgoing.waiting_bytes,
        )


class BrokerHub:
    """Publishes and subscribes at a broker, for the sessions of MQTT."""

    def __init__(self, core: BrokerCore) -> None:
        self._core = core
        self._exchange = core.exchange

    def publish(self, publication: MQTTPublication) -> int:
        """Deliver to all who are subscribed, and retain if that is wanted; how many took it."""
        if publication.retain:
            return self._core.route(publication)
        self._core.published += 1
        return self._exchange.publish(publication)

    def publish_will(self, session: Session, will: MQTTPublication) -> None:
        """Publish a will, unless it is for a topic that no PUBLISH of a client may have."""
        if will.topic == _OWN or will.topic.startswith(_OWN + b"/"):
            return
        try:
            self.publish(will)
        except (TopicError, RetainedFull):  # nobody is left to be told
            pass

    def subscribe(self, topic_filter: bytes, session: Session, terms: MQTTTerms) -> None:
        """Subscribe to a filter, or replace the terms of the subscription there is."""
        self._exchange.subscribe(topic_filter, session, terms)

    def unsubscribe(self, topic_filter: bytes, session: Session) -> None:
        """Take a subscription back."""
        self._exchange.unsubscribe(topic_filter, session)

    def retained(self, topic_filter: bytes, now: float) -> Iterator[Publication]:
        """What is retained that a filter matches; nothing for a shared subscription."""
        return self._exchange.retained_for(topic_filter, now)

    def session_began(self, session: Session) -> None:
        """A session is there."""
        assert isinstance(session, BrokerSession)
        self._core.enter(session)

    def session_ended(self, session: Session) -> None:
        """A session is no more."""
        assert isinstance(session, BrokerSession)
        self._core.leave(session, lost=0)
