"""What the machine needs of who runs it: a line to the client, its connection, and the broker.

Next: `speedo_trio.mqtt.state.asks`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from speedo_trio.mqtt.state.publication import MQTTPublication
    from speedo_trio.mqtt.state.session import Session
    from speedo_trio.mqtt.state.terms import MQTTTerms
    from speedo_trio.mqtt.wire.reason_codes import ReasonCode
    from speedo_trio.pubsub.publication import Publication


class Line(Protocol):
    """Where frames to one client leave, in order: a `speedo_trio.broker.mailbox.Mailbox`."""

    @property
    def congested(self) -> bool:
        """Whether frames wait for room. While they do, only QoS 0 messages and answers are given;
        when there is room again call `Client.pump`."""

    def put(self, frame: bytes) -> bool:
        """Send a message at the end of the turn; whether it was taken.

        What is put while the line is not congested must not be dropped, but with the connection.
        """

    def answer(self, frame: bytes) -> None:
        """Send what is never dropped."""


class Outside(Protocol):
    """One connection. Neither method may call back into the machine; later is fine."""

    def close(self, reason: ReasonCode, text: str) -> None:
        """Send what was written, and close. Called once, unless `Client.closed` came before.

        Args:
            reason: How it ended, whether the client can be told or not.
            text: What was seen and what is allowed, for the log.
        """

    def overflowed(self) -> None:
        """The queue of messages is full, and the capabilities say that this ends the connection:
        call `Client.fail` with QUOTA_EXCEEDED before the next packet, at the end of the turn say.
        May be called more than once until then."""


class Hub(Protocol):
    """The broker: what all sessions share. All of it is done at once, without waiting."""

    def publish(self, publication: MQTTPublication) -> int:
        """Deliver to all who are subscribed, and retain if that is wanted; how many took it.

        Raises:
            TopicError: The broker doesn't allow the topic; nobody got it.
            RetainedFull: Everybody got it, but it can't be retained.
        """

    def publish_will(self, session: Session, will: MQTTPublication) -> None:
        """Publish a will, if its client would be allowed to. Must not raise for the will's sake."""

    def subscribe(self, topic_filter: bytes, session: Session, terms: MQTTTerms) -> None:
        """Subscribe to a filter, or replace the terms of the subscription there is.

        Raises:
            TopicError: The broker doesn't allow the filter.
        """

    def unsubscribe(self, topic_filter: bytes, session: Session) -> None:
        """Take a subscription back. It is one that there is."""

    def retained(self, topic_filter: bytes, now: float) -> Iterator[Publication]:
        """What is retained that a filter matches; nothing for a shared subscription. Lazily."""

    def session_began(self, session: Session) -> None:
        """A session is there, and may be subscribed from now on."""

    def session_ended(self, session: Session) -> None:
        """A session is no more; its subscriptions are gone already."""
