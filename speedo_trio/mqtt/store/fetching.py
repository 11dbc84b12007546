"""Fetching: what sessions need of what is only in the store is read, and handed to them.

Next: `speedo_trio.mqtt.store.keeper`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

from speedo_trio.events import StoreFailed
from speedo_trio.mqtt.state.durable import DurableOutgoing
from speedo_trio.mqtt.store.convert import message_of, publication_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from speedo_trio.broker.core import BrokerCore
    from speedo_trio.mqtt.state.session import Session
    from speedo_trio.mqtt.state.sessions import Sessions
    from speedo_trio.mqtt.store.contract import Removed, Store
    from speedo_trio.mqtt.store.ledger import SessionJournal
    from speedo_trio.mqtt.store.records import Fetched, MessageRecord
    from speedo_trio.mqtt.store.writer import Done, Job


class Fetching:
    """For all sessions, on the Trio thread."""

    def __init__(
        self,
        store: Store,
        core: BrokerCore,
        sessions: Sessions,
        read: Callable[[Job, Done], object],
        later: Callable[[Session], None],
        drift: Callable[[], float],
        inherit: Callable[[SessionJournal], None],
    ) -> None:
        """Nothing is read yet.

        Args:
            read: Has a job done after all that was noted so far is written.
            later: Sees to it that what waits for a session's client is sent soon.
            drift: Tells what the wall's clock is ahead of the server's own now.
            inherit: Gets sessions that have ended, with what is left for others.
        """
        self.inherit: Callable[[SessionJournal], None] = inherit
        """What a journal that has ended calls."""
        self._store = store
        self._core = core
        self._sessions = sessions
        self._read = read
        self._later = later
        self._drift = drift
        self._warming: set[SessionJournal] = set()
        self._unread: set[SessionJournal] = set()

    # What journals ask

    def fetch(self, journal: SessionJournal, after: int, messages: int, size: int) -> None:
        """Read rows for a session's shelf."""
        self._read(
            partial(self._store.fetch, journal.number, after, messages, size),
            partial(self._fetched, journal),
        )

    def warm(self, journal: SessionJournal) -> None:
        """Read what is in flight for a session."""
        if journal in self._warming:
            return
        outgoing = self._outgoing(journal)
        if outgoing is not None:
            self._warming.add(journal)
            self._read(
                partial(self._store.bodies, outgoing.cold_numbers),
                partial(self._warmed, journal),
            )

    # What the keeper tells

    def swept(self, journal: SessionJournal, removed: Removed) -> None:
        """What had expired of what waits for a session is no more in the store."""
        outgoing = self._outgoing(journal)
        if outgoing is not None:
            messages, size = removed.swept[journal.number]
            soonest = None if removed.soonest is None else removed.soonest - self._drift()
            outgoing.swept(messages, size, soonest)
            self._go_on(journal)

    def again(self) -> None:
        """Try again what could not be read."""
        unread, self._unread = self._unread, set()
        for journal in unread:
            self._warming.discard(journal)
            outgoing = self._outgoing(journal)
            if outgoing is not None:
                outgoing.shelf.not_fetched()
                self._go_on(journal)

    # How

    def _fetched(self, journal: SessionJournal, result: object, error: Exception | None) -> None:
        rows = cast("Sequence[Fetched]", result)
        outgoing = self._outgoing(journal)
        if outgoing is None:
            return
        if error is not None:
            self._not_read(journal, error)
            return
        drift = self._drift()
        messages = [message_of(row, publication_of(message, drift)) for row, message in rows]
        outgoing.shelf.fetched(messages)
        self._go_on(journal)

    def _warmed(self, journal: SessionJournal, result: object, error: Exception | None) -> None:
        if error is not None:
            self._not_read(journal, error)
            return
        self._warming.discard(journal)
        outgoing = self._outgoing(journal)
        if outgoing is None:
            return
        drift = self._drift()
        records = cast("Sequence[MessageRecord]", result)
        outgoing.warmed({each.number: publication_of(each, drift) for each in records})
        self._go_on(journal)

    def _not_read(self, journal: SessionJournal, error: Exception) -> None:
        """What a session needs can't be read; its client waits until that is tried again."""
        self._unread.add(journal)
        self._core.tell(StoreFailed(store=str(self._store), error=error))

    def _go_on(self, journal: SessionJournal) -> None:
        session = self._sessions.get(journal.client_id)
        if session is not None:
            self._later(session)

    def _outgoing(self, journal: SessionJournal) -> DurableOutgoing | None:
        """The outgoing side of a journal's session; None: it is no more."""
        session = self._sessions.get(journal.client_id)
        if session is None or session.journal is not journal:
            return None
        assert isinstance(session.outgoing, DurableOutgoing)
        return session.outgoing
