"""What the machine needs of who runs it, beside a line: the connection, and the broker.

Next: `speedo_trio.mqtt.state.sessions`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from speedo_trio.mqtt.state.publication import MQTTPublication
    from speedo_trio.mqtt.state.publication_run import PublicationRun
    from speedo_trio.mqtt.state.session import Session
    from speedo_trio.mqtt.state.terms import MQTTTerms
    from speedo_trio.mqtt.wire.reason_codes import ReasonCode
    from speedo_trio.pubsub.publication import Publication


class Outside(Protocol):
    """One connection. Neither method may call back into the machine; later is fine."""

    def close(self, last: bytes, reason: ReasonCode, text: str) -> None:
        """Send nothing more but `last`, and close. Called once, unless `Client.closed` came before.

        Args:
            last: A DISCONNECT, or a CONNACK that refuses; or nothing. What still waits for room
                may be dropped, and so may this if it would come in the middle of another frame.
            reason: How it ended, whether the client can be told or not.
            text: What was seen and what is allowed, for the log; empty if there is no more to say.
        """

    def overflowed(self) -> None:
        """The backlog is full, and the capabilities say that this ends the connection.

        Call `Client.fail` with QUOTA_EXCEEDED, at the end of the turn say. This may be called more
        than once until then.
        """

    def eased(self) -> None:
        """What a held client waits for has come to pass: call `Client.proceed` soon.

        It may be called for nothing, also when the client is not held any more.
        """


class Hub(Protocol):
    """The broker: what all sessions share. All of it is done at once, without waiting."""

    def publish(self, publication: MQTTPublication) -> int:
        """Deliver to all who are subscribed, and retain if that is wanted; how many took it.

        Raises:
            TopicError: The broker doesn't allow the topic; nobody got it.
            RetainedFull: Everybody got it, but it can't be retained.
        """

    def publish_run(self, run: PublicationRun) -> int | None:
        """Deliver all of a run to all who are subscribed, if all of them take it right now.

        Returns:
            How many they were; None: nothing was done, so publish one by one. None too if it has
            QoS 1 or 2 and nobody is subscribed, so that `why_untaken` can be asked.
        """

    def why_untaken(self, publication: MQTTPublication) -> ReasonCode:
        """Why nobody took a publication, asked right after `publish`.

        NO_MATCHING_SUBSCRIBERS; QUOTA_EXCEEDED when it has QoS 1 or 2 and there was no room for it
        in the queue of one whose filter matches; SUCCESS when it was for another reason.
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

    def pass_on(self, topic_filter: bytes, publication: Publication) -> None:
        """Deliver to a member of a group, after one has gone that had it but didn't take it.

        Args:
            topic_filter: That of the shared subscription. It may have no members any more.
        """

    def session_began(self, session: Session) -> None:
        """A session is there, and may be subscribed from now on."""

    def session_ended(self, session: Session) -> None:
        """A session is no more; its subscriptions are gone already."""
