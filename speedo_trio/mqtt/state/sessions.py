"""The sessions of a server: who takes up which, and when they and their wills are due.

Next: `speedo_trio.mqtt.state.asks`.
"""

from __future__ import annotations

import secrets
from collections import Counter
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Final

from attrs import evolve

from speedo_trio.mqtt.state.capabilities import NEVER
from speedo_trio.mqtt.state.crowd import Pressure
from speedo_trio.mqtt.state.publication import MQTTPublication
from speedo_trio.mqtt.state.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from speedo_trio.mqtt.state.capabilities import Capabilities
    from speedo_trio.mqtt.state.journal import Journal, Keeping
    from speedo_trio.mqtt.state.outside import Hub
    from speedo_trio.mqtt.state.session import Connected
    from speedo_trio.mqtt.wire.packets import Will

DUE: Final = 100
"""Sessions that are seen to in one go, unless more are asked for."""
_SPARE: Final = 100
"""Void deadlines that are not worth tidying."""


def new_client_id() -> str:
    """A client identifier that can't be guessed, of 120 bits [MQTT-3.2.2-16]."""
    return f"auto-{secrets.token_urlsafe(15)}"


class Sessions:
    """All sessions, by their client identifiers.

    The host calls `due` when `deadline` is over. `connect` and `disconnected` are for clients.
    """

    def __init__(
        self,
        capabilities: Capabilities,
        hub: Hub,
        *,
        make: Callable[[str, Capabilities, Journal | None], Session] = Session.make,
        new_client_id: Callable[[], str] = new_client_id,
    ) -> None:
        """Begin with none.

        Args:
            capabilities: What holds for sessions, whichever listener their clients come by.
            make: Makes a session, for one of a class of one's own.
            new_client_id: Makes an identifier for a client that has none.
        """
        self.hub: Final = hub
        """The broker."""
        stall_timeout = capabilities.stall_timeout
        self.pressure: Final = Pressure(stall_timeout) if stall_timeout else None
        """Who knows which subscribers hold up a publisher; None: none ever does."""
        self.keeping: Keeping | None = None
        """Who writes down what happens to sessions that may outlast their connections."""
        self._capabilities = capabilities
        self._make = make
        self._new_client_id = new_client_id
        self._sessions: dict[str, Session] = {}
        self._away: dict[Session, None] = {}  # those without a client, as they went
        self._seen_to: Session | None = None  # its connection ends, and this goes on with it
        self._deadlines: list[tuple[float, int, Session]] = []  # a heap; some are void
        self._count = count(1)
        self.subscriptions: int = 0
        """Filters that all of them are subscribed to."""
        self.hits: Counter[str] = Counter()
        """How often a limit was reached, by its setting."""

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        """All of them, the oldest first. They must not change meanwhile."""
        return iter(self._sessions.values())

    @property
    def has_room_for_subscription(self) -> bool:
        """Whether there may be one more."""
        return self.subscriptions < self._capabilities.all_subscriptions

    def hit(self, limit: str) -> None:
        """A limit was reached."""
        self.hits[limit] += 1

    def get(self, client_id: str) -> Session | None:
        """The session of a client identifier; None when there is none."""
        return self._sessions.get(client_id)

    @property
    def offline(self) -> int:
        """Sessions whose clients are away."""
        return len(self._away)

    @property
    def deadline(self) -> float | None:
        """When `due` is next worth a call; None: at no time that is known."""
        heap = self._deadlines
        while heap and not _holds(heap[0]):
            heappop(heap)
        return heap[0][0] if heap else None

    def due(self, now: float, most: int = DUE) -> int:
        """Publish the wills and end the sessions whose time has come; how many it was.

        Args:
            most: So many are seen to. When `deadline` still is not after `now`, there are more.
        """
        done = 0
        while done < most and (deadline := self.deadline) is not None and deadline <= now:
            session = heappop(self._deadlines)[2]
            done += 1
            if session.ends_at is not None and session.ends_at <= now:  # [MQTT-4.1.0-2]
                self.end(session, now)
            else:
                self._publish_will(session, now)
                session.save()
                self._watch(session)
        return done

    def end(self, session: Session, now: float) -> None:
        """End a session, and its connection if there is one. A will that is delayed is published.

        What is retained stays [MQTT3-3.1.2-7]. Afterwards nothing of it is left.
        """
        if self._sessions.get(session.client_id) is not session:
            return
        if session.client is not None:
            self._part(session, session.client.lose_session, now)
            if self._sessions.get(session.client_id) is not session:
                return
        del self._sessions[session.client_id]
        self._away.pop(session, None)
        session.ends_at = None
        for topic_filter in session.subscriptions:
            self.hub.unsubscribe(topic_filter, session)
        self.subscriptions -= len(session.subscriptions)
        session.subscriptions.clear()
        orphans = session.outgoing.orphans
        session.outgoing.clear()
        session.incoming.held.clear()
        if session.journal is not None:
            session.journal.end()
        self.hub.session_ended(session)
        for topic_filter, publication in orphans:  # section 4.8.2
            self.hub.pass_on(topic_filter, publication)
        self._publish_will(session, now)

    # What a client tells

    def assign(self) -> str:
        """Choose a client identifier that no session has [MQTT-3.1.3-6] [MQTT-3.2.2-16]."""
        while (client_id := self._new_client_id()) in self._sessions:
            pass
        return client_id

    def connect(
        self,
        client: Connected,
        client_id: str,
        *,
        clean_start: bool,
        expiry: int,
        will: Will | None,
        now: float,
    ) -> tuple[Session, bool]:
        """A client was accepted [MQTT-3.1.4-3]: give it its session, and whether it was there.

        An earlier connection of that identifier ends, and its will is published unless it is
        delayed and the session goes on [MQTT-3.1.3-9].
        """
        session = self._sessions.get(client_id)
        if session is not None and session.client is not None:
            self._part(session, session.client.taken_over, now)
            session = self._sessions.get(client_id)  # it may have ended with its connection
        if session is not None and clean_start:  # [MQTT-3.1.2-4] [MQTT3-3.1.2-6]
            self.end(session, now)
            session = None
        present = session is not None  # [MQTT-3.1.2-5]
        if session is None:  # [MQTT-3.1.2-6]
            session = self._begin(client_id, expiry)
        self._away.pop(session, None)
        session.client = client
        session.expiry = expiry
        session.will = will  # [MQTT-3.1.2-7] [MQTT3-3.1.2-12]
        session.will_at = session.ends_at = None  # [MQTT-4.1.0-1]
        session.save()
        return session, present

    def disconnected(self, session: Session, now: float) -> None:
        """A session's connection has gone. Its will, if it still has one, is published in time.

        [MQTT-3.1.2-8]
        """
        session.client = None
        session.outgoing.detach()
        session.incoming.detach()
        if session.expiry == 0:
            self.end(session, now)
            return
        # [MQTT-3.1.2-23] [MQTT3-3.1.2-4]
        session.ends_at = None if session.expiry == NEVER else now + session.expiry
        delay = _delay(session.will)
        if delay:
            session.will_at = now + delay
        self._wait_for(session)
        if not delay:
            self._publish_will(session, now)
        session.save()
        self.trim(now)

    # What a store tells

    def restore(self, client_id: str, journal: Journal | None) -> Session:
        """Make a session that there was before. Fill it, then call `resume`."""
        session = self._make(client_id, self._capabilities, journal)
        self._sessions[client_id] = session
        self.hub.session_began(session)
        return session

    def resume(self, session: Session, now: float, *, crashed: bool) -> None:
        """All of a session is restored.

        Args:
            crashed: Its client was connected: it has gone now.
        """
        if crashed:
            self.disconnected(session, now)
        else:
            self._wait_for(session)

    def trim(self, now: float) -> None:
        """End sessions of clients that are away, as there are more than may be."""
        while len(self._away) > self._capabilities.maximum_offline_sessions:
            self.hit("maximum_offline_sessions")
            self.end(next(iter(self._away)), now)

    # How

    def _begin(self, client_id: str, expiry: int) -> Session:
        """Make a session. One that may outlast its connection is written down."""
        journal = None
        if expiry and self.keeping is not None:
            journal = self.keeping.begin(client_id)
        return self.restore(client_id, journal)

    def _wait_for(self, session: Session) -> None:
        """The client is away."""
        if session is not self._seen_to:
            self._away[session] = None
        self._watch(session)

    def _part(self, session: Session, leave: Callable[[float], None], now: float) -> None:
        """End the connection of a session that is taken up, or ended, right after.

        It is not away then, not even for a moment: no other session would have to end for it.
        """
        before, self._seen_to = self._seen_to, session
        try:
            leave(now)
        finally:
            self._seen_to = before

    def _publish_will(self, session: Session, now: float) -> None:
        """Publish the will, if there is one; afterwards there is none [MQTT-3.1.2-10]."""
        will, session.will, session.will_at = session.will, None, None
        if will is not None:
            self.hub.publish_will(session, _publication(will, session.client_id, now))

    def _watch(self, session: Session) -> None:
        """See that `due` looks at a session in time."""
        deadline = session.deadline
        if deadline is not None:
            session.watch = next(self._count)  # an earlier entry is void now
            heappush(self._deadlines, (deadline, session.watch, session))
            if len(self._deadlines) > 2 * len(self._away) + _SPARE:
                self._deadlines = [each for each in self._deadlines if _holds(each)]
                heapify(self._deadlines)


def _holds(entry: tuple[float, int, Session]) -> bool:
    """Whether an entry of the heap is still what its session waits for."""
    deadline, watch, session = entry
    return session.watch == watch and session.deadline == deadline


def _delay(will: Will | None) -> int:
    """Seconds between the end of the connection and the will."""
    if will is None or will.properties is None:
        return 0
    return will.properties.will_delay_interval or 0


def _publication(will: Will, client_id: str, now: float) -> MQTTPublication:
    """What is published as a will; its expiry counts from now.

    QoS, RETAIN [MQTT-3.1.2-14] [MQTT-3.1.2-15] and properties [MQTT-3.1.3-10] are as they were
    given.
    """
    properties = will.properties
    if properties is not None:
        properties = evolve(properties, will_delay_interval=None)
    return MQTTPublication(
        will.topic, will.payload, will.qos, will.retain, properties, client_id, now
    )
