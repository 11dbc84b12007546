"""The ledger: notes what changes in durable sessions, in batches, one of which is open.

Next: `speedo_trio.mqtt.store.gate`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from speedo_trio.mqtt.state.backlog import size_of
from speedo_trio.mqtt.state.publication import MQTTPublication
from speedo_trio.mqtt.store.batch import Batch
from speedo_trio.mqtt.store.convert import message_record, subscription_record, will_record
from speedo_trio.mqtt.store.records import (
    ESTATE,
    IDENTIFIERS,
    RELEASED,
    RETAIN,
    ROWS,
    QueueRow,
    SessionRecord,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from speedo_trio.mqtt.state.flights import Message
    from speedo_trio.mqtt.state.journal import Notable
    from speedo_trio.mqtt.state.terms import MQTTTerms
    from speedo_trio.pubsub.publication import Publication

MOST_SESSIONS: Final = (1 << 24) - 1
"""Numbers of sessions go from 1 to this, and round again."""
_MESSAGE: Final = 300  # what a message and its row take, beside its bytes
_OWN: Final = b"$SYS/"


class Reader(Protocol):
    """Who reads what waits, for a session."""

    def fetch(self, journal: SessionJournal, after: int, messages: int, size: int) -> None:
        """Read rows; the session's shelf gets them."""

    def warm(self, journal: SessionJournal) -> None:
        """Read what is in flight."""

    def inherit(self, journal: SessionJournal) -> None:
        """The session has ended: give what waits to others of its groups, soon."""


class Ledger:
    """What is noted for all sessions, and how often a message is."""

    def __init__(self, reader: Reader, clocks: Callable[[], float]) -> None:
        """Begin with nothing.

        Args:
            reader: Reads for journals.
            clocks: Tells what the wall's clock is ahead of the server's own now.
        """
        self.reader: Final = reader
        self.drift: Final = clocks
        self.batch: Batch = Batch(1)
        """The one that is open."""
        self.written: int = 0
        """The batch that was written last."""
        self.changes: int = 0
        """How many changes were noted that answers speak of."""
        self.references: dict[int, int] = {}
        """How many rows have a message, of those that more than one has."""
        self.journals: dict[int, SessionJournal] = {}
        """By the numbers of their sessions."""
        self.last_message: int = 0
        """The number of a message that was given last."""
        self._last_session = 0

    @property
    def latest(self) -> int:
        """The batch with which all that was noted so far is written."""
        return self.batch.number if self.batch.touched else self.batch.number - 1

    def turn_the_page(self) -> Batch:
        """Open the next batch, and give the one that was."""
        batch, self.batch = self.batch, Batch(self.batch.number + 1)
        batch.drift = self.drift()
        return batch

    def begin(self, client_id: str) -> SessionJournal:
        """The journal of a session that is new."""
        number = self._last_session
        while True:
            number = number % MOST_SESSIONS + 1
            if number not in self.journals:
                break
        return self.restore(number, client_id)

    def restore(self, number: int, client_id: str, last_row: int = 0) -> SessionJournal:
        """The journal of a session that the store has."""
        self._last_session = number
        journal = self.journals[number] = SessionJournal(self, number, client_id, last_row)
        return journal

    def retain(self, publication: Publication) -> None:
        """A message was retained in place of the one before, or with no payload ends it."""
        topic = publication.topic
        if topic.startswith(_OWN):
            return
        batch = self.batch
        batch.retained[topic] = (
            message_record(publication, self.drift()) if publication.payload else None
        )
        batch.touched = True
        self.changes += 1

    def forget_all(self, numbers: Sequence[int]) -> None:
        """One row less has each of these: rows of a session of which only the store knew."""
        if numbers:
            for number in numbers:
                self.forget(number)
            self.batch.settled = self.batch.touched = True

    def forget(self, number: int, publication: Publication | None = None) -> None:
        """One row less has a message."""
        references = self.references
        count = references.get(number)
        if count is None:
            batch = self.batch
            message = batch.messages.pop(number, None)
            if message is None:
                batch.forgotten.append(number)
                batch.touched = True
            else:
                batch.weight -= _weight(message)
            if isinstance(publication, MQTTPublication):
                publication.number = 0
        elif count == 2:
            del references[number]
        else:
            references[number] = count - 1


class SessionJournal:
    """One session's `speedo_trio.mqtt.state.journal.Journal`."""

    __slots__ = (
        "_ended",
        "_identifiers",
        "_ledger",
        "_rows",
        "_shared",
        "_spilled",
        "client_id",
        "last_row",
        "number",
    )

    def __init__(self, ledger: Ledger, number: int, client_id: str, last_row: int) -> None:
        self.number: Final = number
        self.client_id: Final = client_id
        self.last_row: int = last_row
        """The row that was given last."""
        self._ledger = ledger
        self._rows = number * ROWS
        self._identifiers = number * IDENTIFIERS
        self._ended = False
        self._spilled = False
        self._shared = False

    def save(self, session: Notable) -> None:
        if self._ended:
            return
        batch, drift = self._open(), self._ledger.drift()
        ends_at, will_at = session.ends_at, session.will_at
        batch.sessions[self.number] = SessionRecord(
            self.number,
            session.client_id,
            session.expiry,
            session.connected,
            None if ends_at is None else ends_at + drift,
            None if will_at is None else will_at + drift,
            None if session.will is None else will_record(session.will),
            session.passport,
        )

    def leave_rows(self, *, shared: bool) -> None:
        self._spilled = True
        self._shared = self._shared or shared

    def end(self) -> None:
        self._ended = True
        if self._shared:
            name = f"{ESTATE}{self.number}"
            self._open().sessions[self.number] = SessionRecord(
                *(self.number, name, 0, False), *(None, None, None, None)
            )
            self.pass_on()
        else:
            self.close()

    def pass_on(self) -> None:
        """The session has ended: have what is left given to others of its groups."""
        self._ended = self._shared = True
        self._ledger.batch.swept.pop(self.number, None)
        self._ledger.reader.inherit(self)

    def inherited(self, row: int, message: int) -> None:
        """A message of a session that has ended was passed on, or is nobody else's."""
        self.complete(row)
        self._ledger.forget(message)

    def close(self) -> None:
        """Nothing is left of a session that has ended."""
        batch = self._open()
        batch.sessions.pop(self.number, None)
        batch.ended.append(self.number)
        if self._spilled and not self._shared:
            batch.spilled.add(self.number)
        self._ledger.journals.pop(self.number, None)

    def subscribe(self, topic_filter: bytes, terms: MQTTTerms) -> None:
        record = subscription_record(self.number, topic_filter, terms)
        self._open().subscriptions[self.number, topic_filter] = record

    def unsubscribe(self, topic_filter: bytes) -> None:
        self._open().subscriptions[self.number, topic_filter] = None

    def hold(self, packet_id: int) -> None:
        batch, key = self._open(), self._identifiers + packet_id
        if key in batch.released:
            batch.released.discard(key)
        else:
            batch.held.add(key)

    def release(self, packet_id: int) -> None:
        batch, key = self._open(), self._identifiers + packet_id
        if key in batch.held:
            batch.held.discard(key)
        else:
            batch.released.add(key)

    def enqueue(self, message: Message, packet_id: int) -> int:  # for each message: few calls
        publication, qos, retain, identifiers, group, _ = message
        assert isinstance(publication, MQTTPublication)  # it has a QoS
        ledger = self._ledger
        ledger.changes += 1
        batch = ledger.batch
        batch.touched = True
        if not packet_id or qos == 2:
            batch.waiting = True
        size = size_of(message)
        number = publication.number
        if number:
            ledger.references[number] = ledger.references.get(number, 1) + 1
        else:
            number = publication.number = ledger.last_message = ledger.last_message + 1
            batch.messages[number] = publication
            batch.weight += size + _MESSAGE
        row = self.last_row = self.last_row + 1
        key = self._rows + row
        names = _names(identifiers) if identifiers else None
        flags = qos | RETAIN if retain else qos
        batch.inserted[key] = (key, number, packet_id, flags, size, names, group)
        return row

    def enqueue_run(
        self, messages: Sequence[Message], packet_ids: Sequence[int]
    ) -> Sequence[Message]:
        ledger = self._ledger
        batch, references = ledger.batch, ledger.references
        batch.touched = True
        ledger.changes += 1
        if messages[0][1] == 2:
            batch.waiting = True
        first, last = self.last_row + 1, ledger.last_message
        inserted, new, rows = batch.inserted, batch.messages, self._rows
        kept: list[Message] = []
        for row, (message, packet_id) in enumerate(zip(messages, packet_ids, strict=True), first):
            publication, qos, retain, identifiers, group, _ = message
            assert isinstance(publication, MQTTPublication)  # it has a QoS
            size = len(publication.topic) + len(publication.payload)
            number = publication.number
            if number:
                references[number] = references.get(number, 1) + 1
            else:
                number = publication.number = last = last + 1
                new[number] = publication
                batch.weight += size + _MESSAGE
            key = rows + row
            inserted[key] = (key, number, packet_id, qos, size, None, None)
            kept.append((publication, qos, retain, identifiers, group, row))
        ledger.last_message = last
        self.last_row += len(messages)
        return kept

    def send(self, message: Message, packet_id: int) -> None:
        batch, key = self._ledger.batch, self._rows + message[5]
        batch.touched = True
        if message[1] == 2:
            batch.waiting = True
        self._ledger.changes += 1
        publication = message[0]
        assert isinstance(publication, MQTTPublication)
        row = _queue_row(key, message, publication.number, packet_id)
        if key in batch.inserted:
            batch.inserted[key] = row
        else:
            batch.updated[key] = row

    def give_back(self, message: Message) -> None:
        batch, key = self._open(), self._rows + message[5]
        publication = message[0]
        assert isinstance(publication, MQTTPublication)
        row = _queue_row(key, message, publication.number, 0)
        (batch.inserted if key in batch.inserted else batch.updated)[key] = row

    def received(self, message: Message, packet_id: int) -> int:
        publication = message[0]
        assert isinstance(publication, MQTTPublication)
        batch = self._open()
        batch.replaced[self._rows + message[5]] = publication.number
        self.drop(message)
        row = self.last_row = self.last_row + 1
        key = self._rows + row
        batch.inserted[key] = (key, 0, packet_id, RELEASED | 2, 0, None, None)
        return row

    def drop(self, message: Message) -> None:
        self.complete(message[5])
        publication = message[0]
        assert isinstance(publication, MQTTPublication)
        self._ledger.forget(publication.number, publication)

    def drop_run(self, messages: Iterable[Message]) -> None:
        ledger = self._ledger
        batch, references = ledger.batch, ledger.references
        inserted, new, rows = batch.inserted, batch.messages, self._rows
        batch.touched = True
        for message in messages:
            publication, key = message[0], rows + message[5]
            assert isinstance(publication, MQTTPublication)
            number = publication.number
            if key in inserted and number in new and number not in references:
                del inserted[key], new[number]
                batch.weight -= _weight(publication)
                publication.number = 0
            else:
                self.drop(message)

    def complete(self, row: int) -> None:
        batch, key = self._ledger.batch, self._rows + row
        batch.touched = True
        if batch.inserted.pop(key, None) is None:
            batch.updated.pop(key, None)
            batch.removed.append(key)

    def fetch(self, after: int, messages: int, size: int) -> None:
        self._ledger.reader.fetch(self, after, messages, size)

    def sweep(self, after: int) -> None:
        batch = self._ledger.batch
        batch.touched = True
        batch.swept[self.number] = after

    def warm(self) -> None:
        self._ledger.reader.warm(self)

    def _open(self) -> Batch:
        """The open batch, for a change that an answer speaks of."""
        ledger = self._ledger
        ledger.changes += 1
        batch = ledger.batch
        batch.touched = True
        return batch


def _queue_row(key: int, message: Message, number: int, packet_id: int) -> QueueRow:
    _, qos, retain, identifiers, group, _ = message
    return (
        key,
        number,
        packet_id,
        qos | RETAIN if retain else qos,
        size_of(message),
        _names(identifiers) if identifiers else None,
        group,
    )


def _names(identifiers: tuple[int, ...]) -> str:
    return " ".join(map(str, identifiers))


def _weight(publication: Publication) -> int:
    return publication.size + _MESSAGE
