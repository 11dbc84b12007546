"""Estates: what is only in the store when a session ends, and is for others of its groups.

[MQTT-4.8.2-4] asks for that; what is in memory is given to them at once. A portion is read, given
to the groups and removed, all in one batch, until nothing is left. So a server that ends meanwhile
goes on with the rest when it is started again.

Next: `speedo_trio.mqtt.store.keeper`.
"""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from speedo_trio.errors import TopicError
from speedo_trio.mqtt.store.convert import publication_of
from speedo_trio.mqtt.store.records import ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from speedo_trio.mqtt.state.publication import MQTTPublication
    from speedo_trio.mqtt.store.contract import Store
    from speedo_trio.mqtt.store.ledger import SessionJournal
    from speedo_trio.mqtt.store.records import Fetched
    from speedo_trio.mqtt.store.writer import Done, Job

PORTION: Final = 200
"""Messages that are passed on at once."""
PORTION_BYTES: Final = 262_144
"""Bytes after which no more are."""


class Estates:
    """For all sessions, on the Trio thread."""

    def __init__(
        self,
        store: Store,
        read: Callable[[Job, Done], bool],
        pass_on: Callable[[bytes, MQTTPublication], None],
        flush: Callable[[], None],
        drift: Callable[[], float],
    ) -> None:
        """There are none.

        Args:
            read: Has a job done after all that was noted so far is written, if that can be.
            pass_on: Gives a message to a group, by its filter.
            flush: Ends a turn.
            drift: Tells what the wall's clock is ahead of the server's own now.
        """
        self._store = store
        self._read = read
        self._pass_on = pass_on
        self._flush = flush
        self._drift = drift
        self.waiting: dict[SessionJournal, int] = {}
        """Those that are to be gone on with, behind a row."""

    def take(self, journal: SessionJournal) -> None:
        """A session has ended. Nothing is done before `go_on`."""
        self.waiting[journal] = 0

    def go_on(self) -> None:
        """Read the next portion of each, if that can be; not in the middle of a turn."""
        waiting, self.waiting = self.waiting, {}
        for journal, after in waiting.items():
            job = partial(self._store.fetch, journal.number, after, PORTION, PORTION_BYTES)
            if not self._read(job, partial(self._fetched, journal, after)):
                self.waiting[journal] = after

    def _fetched(
        self, journal: SessionJournal, after: int, result: object, error: Exception | None
    ) -> None:
        if error is not None:
            self.waiting[journal] = after
            return
        rows, drift = cast("Sequence[Fetched]", result), self._drift()
        for (key, number, _, _, _, _, group), record in rows:
            if group is not None and (record.expires is None or record.expires > time.time()):
                publication = publication_of(record, drift)
                publication.number = 0  # it is written down anew
                with suppress(TopicError):  # of a filter that is not allowed any more
                    self._pass_on(group, publication)
            journal.inherited(key % ROWS, number)
        if rows:
            self.waiting[journal] = rows[-1].row[0] % ROWS
        else:
            journal.close()
        self._flush()
