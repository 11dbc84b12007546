"""A session: what a server knows of a client as long as it may come back.

Next: `speedo_trio.mqtt.state.outside`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

from attrs import define

from speedo_trio.mqtt.state.durable import DurableIncoming, DurableOutgoing
from speedo_trio.mqtt.state.incoming import Incoming
from speedo_trio.mqtt.state.outgoing import Outgoing

if TYPE_CHECKING:
    from collections.abc import Callable

    from speedo_trio.mqtt.state.capabilities import Capabilities
    from speedo_trio.mqtt.state.journal import Journal
    from speedo_trio.mqtt.state.rights import SessionRights
    from speedo_trio.mqtt.state.terms import MQTTTerms
    from speedo_trio.mqtt.wire.packets import Will
    from speedo_trio.pubsub.publication import Publication
    from speedo_trio.pubsub.subscriber import Terms


class Connected(Protocol):
    """Whom a session has while it is connected: a `speedo_trio.mqtt.state.client.Client`."""

    def taken_over(self, now: float) -> None:
        """Another connection takes the session: end, and call `Sessions.disconnected`."""

    def lose_session(self, now: float) -> None:
        """The session ends by the server's will: end."""


@define(eq=False)
class Session:
    """One client's. It is the subscriber that the client's subscriptions are of."""

    client_id: str
    """What it is found by [MQTT-3.1.3-2]."""
    outgoing: Outgoing
    """What goes to the client."""
    deliver: Callable[[Publication, Terms], bool]
    """`Outgoing.deliver` of its own, here at hand: a call less for each message."""
    incoming: Incoming
    """What comes from it."""
    subscriptions: dict[bytes, MQTTTerms]
    """Its filters, and what was granted for each."""
    journal: Journal | None = None
    """Where its changes are written down; None: nowhere."""
    client: Connected | None = None
    """The connection; None while the client is away."""
    expiry: int = 0
    """Seconds that the session stays without one; `NEVER` for ever."""
    will: Will | None = None
    """What is to be published when the client is gone [MQTT-3.1.2-7]."""
    will_at: float | None = None
    """When, while the client is away; None: there is none, or the client is there."""
    ends_at: float | None = None
    """When the session ends, while the client is away; None: never, or the client is there."""

    rights: SessionRights | None = None
    """What its client may do; None: everything. `restrict` sets them."""
    passport: str | None = None
    """Who its client is, for a store to keep; None: nobody wants to know, or it can't be told."""
    watch: int = 0
    """The entry of `Sessions` among its deadlines that counts."""

    @classmethod
    def make(
        cls, client_id: str, capabilities: Capabilities, journal: Journal | None = None
    ) -> Self:
        """Begin with nothing; with a journal, the session is a durable one."""
        if journal is None:
            outgoing = Outgoing(client_id, capabilities)
            return cls(client_id, outgoing, outgoing.deliver, Incoming(), {})
        outgoing = DurableOutgoing(client_id, capabilities, journal)
        incoming = DurableIncoming(journal)
        return cls(client_id, outgoing, outgoing.deliver, incoming, {}, journal)

    def save(self) -> None:
        """Have its journal note expiry, will and deadlines, if it has one."""
        if self.journal is not None:
            self.journal.save(self)

    @property
    def connected(self) -> bool:
        """Whether its client is there."""
        return self.client is not None

    def restrict(self, rights: SessionRights | None) -> None:
        """Let its client do only this from now on; None: everything.

        What waits for it is dropped when its turn comes, if the client may not get it any more.
        """
        self.rights = rights
        outgoing = self.outgoing
        if rights is None:
            outgoing.may_receive = None
            self.deliver = outgoing.deliver
            return
        may_receive = outgoing.may_receive = rights.may_receive
        deliver = outgoing.deliver

        def deliver_if_allowed(publication: Publication, terms: Terms) -> bool:
            return may_receive(publication.topic) and deliver(publication, terms)

        self.deliver = deliver_if_allowed

    @property
    def crowded(self) -> bool:
        """Whether a group that it is a member of should give its messages to others."""
        return self.outgoing.crowded

    @property
    def deadline(self) -> float | None:
        """When something is to be done about it while the client is away."""
        if self.will_at is None or self.ends_at is None:
            return self.ends_at if self.will_at is None else self.will_at
        return min(self.will_at, self.ends_at)
