"""The hub: a broker as the session machine sees it.

Next: `speedo_trio.mqtt.caretaker`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from attrs import define

from speedo_trio.broker.stats import SubscriberStats
from speedo_trio.errors import RetainedFull, TopicError
from speedo_trio.mqtt.events import SessionEnded, Subscribed, Unsubscribed
from speedo_trio.mqtt.state.session import Session
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.pubsub.shared import SharedGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from speedo_trio.broker.core import BrokerCore
    from speedo_trio.mqtt.events import MQTTEvent
    from speedo_trio.mqtt.requests import ClientInfo
    from speedo_trio.mqtt.state.publication import MQTTPublication
    from speedo_trio.mqtt.state.publication_run import PublicationRun
    from speedo_trio.mqtt.state.terms import MQTTTerms
    from speedo_trio.pubsub.publication import Publication

_logger = logging.getLogger("speedo_trio.mqtt")

_OWN: Final = (b"$SYS", b"$SYS/")
"""A topic that is this, or begins with that, is the server's own."""

MOST_AT_ONCE: Final = 2000
"""Deliveries of a run that are made before it is others' turn: a millisecond or so."""


@define(eq=False)
class BrokerSession(Session):
    """A session that a broker knows of."""

    who: ClientInfo | None = None
    """Whose it is, as far as hooks want to know."""

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

    def __init__(self, core: BrokerCore, tell: Callable[[MQTTEvent], None] | None = None) -> None:
        """Args: the broker, and who is told of events, if anybody."""
        self._core = core
        self._exchange = core.exchange
        self._tell = tell
        self.judge_will: Callable[[ClientInfo, MQTTPublication], None] | None = None
        """Publishes a will if hooks allow it; None: there is no such hook."""
        self.asks_rights: bool = False
        """Whether a hook says what clients may do, so that who is not known may do nothing."""
        self.dropped: int = 0
        """Messages for which there was no room in the queues of sessions that have ended."""
        self.expired: int = 0
        """Messages of these that had waited for too long."""
        self.too_large: int = 0
        """Messages of these that were larger than their clients take."""

    def publish(self, publication: MQTTPublication) -> int:
        """Deliver to all who are subscribed, and retain if that is wanted; how many took it."""
        if publication.retain:
            return self._core.route(publication)
        self._core.published += 1
        return self._exchange.publish(publication)

    def publish_run(self, run: PublicationRun) -> int | None:
        """Deliver all of a run to all who are subscribed, if all of them take it right now."""
        try:
            route = self._exchange.routes[run.topic]
        except TopicError:  # which publishing them one by one tells
            return None
        if len(route) * len(run) > MOST_AT_ONCE or (run.qos and not route):
            return None
        takers = []
        for subscriber, terms in route:
            if not (isinstance(subscriber, Session) and subscriber.outgoing.takes_run(run, terms)):
                return None
            takers.append((subscriber.outgoing, terms))
        for outgoing, terms in takers:
            outgoing.deliver_run(run, terms)
        self._core.published += len(run)
        return len(route)

    def why_untaken(self, publication: MQTTPublication) -> ReasonCode:
        """Why nobody took a publication, asked right after `publish`."""
        audience = list(self._audience(publication.topic))
        if not audience:
            return ReasonCode.NO_MATCHING_SUBSCRIBERS
        for member in audience if publication.qos else ():
            if isinstance(member, Session) and member.outgoing.lacks_room(publication):
                return ReasonCode.QUOTA_EXCEEDED
        return ReasonCode.SUCCESS

    def _audience(self, topic: bytes) -> Iterator[object]:
        """Who is subscribed to a topic and may get it, members of groups too."""
        known = self._core.members  # who only looks on, for tests, is none of them
        for subscriber, _ in self._exchange.routes[topic]:
            if isinstance(subscriber, SharedGroup):
                yield from (member for member, _ in subscriber if _may_receive(member, topic))
            elif subscriber in known and _may_receive(subscriber, topic):
                yield subscriber

    def publish_will(self, session: Session, will: MQTTPublication) -> None:
        """Publish a will, if that is allowed. `$SYS` is the server's own."""
        assert isinstance(session, BrokerSession)
        if will.topic == _OWN[0] or will.topic.startswith(_OWN[1]):
            return
        if session.rights is not None and not session.rights.may_publish(will.topic):
            return
        if session.who is not None and self.judge_will is not None:
            self.judge_will(session.who, will)
        elif self.judge_will is None and (session.who is not None or not self.asks_rights):
            self.publish_judged(will)
        else:  # it has come back from a store, which could not keep its identity
            _logger.warning("the will of client %r is not published", session.client_id)

    def publish_judged(self, will: MQTTPublication) -> None:
        """Publish a will that is allowed."""
        try:
            self.publish(will)
        except (TopicError, RetainedFull):  # nobody is left to be told
            pass

    def subscribe(self, topic_filter: bytes, session: Session, terms: MQTTTerms) -> None:
        """Subscribe to a filter, or replace the terms of the subscription there is."""
        self._exchange.subscribe(topic_filter, session, terms)
        if self._tell is not None and (who := _who(session)) is not None:
            self._tell(Subscribed(client=who, topic_filter=topic_filter.decode(), qos=terms.qos))

    def unsubscribe(self, topic_filter: bytes, session: Session) -> None:
        """Take a subscription back."""
        self._exchange.unsubscribe(topic_filter, session)
        # A session that ends has no client any more.
        if self._tell is not None and session.client is not None:
            who = _who(session)
            if who is not None:
                self._tell(Unsubscribed(client=who, topic_filter=topic_filter.decode()))

    def retained(self, topic_filter: bytes, now: float) -> Iterator[Publication]:
        """What is retained that a filter matches; nothing for a shared subscription."""
        return self._exchange.retained_for(topic_filter, now)

    def pass_on(self, topic_filter: bytes, publication: Publication) -> None:
        """Deliver to a member of a group, after one has gone that had it but didn't take it."""
        self._exchange.pass_on(topic_filter, publication)

    def session_began(self, session: Session) -> None:
        """A session is there."""
        assert isinstance(session, BrokerSession)
        self._core.enter(session)

    def session_ended(self, session: Session) -> None:
        """A session is no more."""
        assert isinstance(session, BrokerSession)
        self._core.leave(session, lost=0)
        self.dropped += session.outgoing.dropped
        self.expired += session.outgoing.expired
        self.too_large += session.outgoing.too_large
        if self._tell is not None:
            self._tell(SessionEnded(client_id=session.client_id))


def _may_receive(member: object, topic: bytes) -> bool:
    rights = member.rights if isinstance(member, Session) else None
    return rights is None or rights.may_receive(topic)


def _who(session: Session) -> ClientInfo | None:
    assert isinstance(session, BrokerSession)
    return session.who
