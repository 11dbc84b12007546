"""The ledger: what is noted and taken back in one batch leaves no trace, and bodies are counted."""

from __future__ import annotations

import pytest

from speedo_trio.mqtt.state.flights import Message
from speedo_trio.mqtt.state.publication import MQTTPublication
from speedo_trio.mqtt.store.ledger import Ledger, SessionJournal
from speedo_trio.mqtt.store.records import IDENTIFIERS, ROWS
from speedo_trio.pubsub.publication import Publication


class Reader:
    """Reads nothing."""

    def fetch(self, journal: SessionJournal, after: int, messages: int, size: int) -> None:
        pass

    def inherit(self, journal: SessionJournal) -> None: ...

    def warm(self, journal: SessionJournal) -> None:
        pass


@pytest.fixture
def ledger() -> Ledger:
    """An empty one."""
    return Ledger(Reader(), lambda: 0.0)


def enqueued(journal: SessionJournal, publication: MQTTPublication, packet_id: int = 0) -> Message:
    """A message that the journal has noted."""
    message: Message = (publication, 1, False, (), None, 0)
    return (*message[:5], journal.enqueue(message, packet_id))


def test_a_message_that_is_done_in_its_batch_leaves_no_trace(ledger: Ledger) -> None:
    """The batch is empty, and its bytes are."""
    journal = ledger.begin("c")
    journal.drop(enqueued(journal, MQTTPublication(b"a", b"x", 1), 1))

    assert ledger.batch.empty
    assert ledger.batch.touched
    assert ledger.batch.weight == 0


def test_a_message_that_is_done_later_is_removed(ledger: Ledger) -> None:
    """Row and body."""
    journal = ledger.begin("c")
    message = enqueued(journal, MQTTPublication(b"a", b"x", 1))
    first = ledger.turn_the_page()
    journal.send(message, 7)
    assert list(ledger.batch.updated) == [ROWS + 1]
    journal.drop(message)

    assert (list(first.inserted), list(first.messages)) == ([ROWS + 1], [1])
    assert (ledger.batch.removed, ledger.batch.forgotten) == ([ROWS + 1], [1])
    assert ledger.batch.updated == {}


def test_a_body_is_there_once(ledger: Ledger) -> None:
    """It is forgotten with its last row, and can be enqueued anew."""
    one, two = ledger.begin("1"), ledger.begin("2")
    publication = MQTTPublication(b"a", b"x", 1)
    messages = [(each, enqueued(each, publication)) for each in (one, two, one)]
    assert list(ledger.turn_the_page().messages) == [1]
    for journal, message in messages:
        assert ledger.batch.forgotten == []
        journal.drop(message)
    assert ledger.batch.forgotten == [1]
    enqueued(one, publication)

    assert list(ledger.batch.messages) == [2]


def test_what_was_received_has_a_row_without_a_body(ledger: Ledger) -> None:
    """Behind all others, so that PUBRELs keep the order of PUBRECs."""
    journal = ledger.begin("c")
    message = enqueued(journal, MQTTPublication(b"a", b"x", 2), 5)
    ledger.turn_the_page()
    row = journal.received(message, 5)

    assert row == 2
    assert ledger.batch.forgotten == [1]
    assert [each[:3] for each in ledger.batch.inserted.values()] == [(ROWS + 2, 0, 5)]


def test_identifiers_that_are_held(ledger: Ledger) -> None:
    """Held and released in one batch is nothing; and the other way round too."""
    journal = ledger.begin("c")
    journal.hold(1)
    journal.hold(2)
    journal.release(1)
    first = ledger.turn_the_page()
    journal.release(2)
    journal.hold(2)

    assert (first.held, first.released) == ({IDENTIFIERS + 2}, set())
    assert ledger.batch.empty


def test_what_answers_speak_of_is_counted(ledger: Ledger) -> None:
    """That a message is done is not: nobody is told of it."""
    journal = ledger.begin("c")
    message = enqueued(journal, MQTTPublication(b"a", b"x", 1))
    before = ledger.changes
    journal.drop(message)
    assert ledger.changes == before
    journal.unsubscribe(b"a")
    assert ledger.changes > before


def test_what_is_retained(ledger: Ledger) -> None:
    """By topic; nothing of the server's own; a message of any protocol."""
    ledger.retain(Publication(b"a", b"1", retain=True))
    ledger.retain(Publication(b"a", b"2", retain=True))
    ledger.retain(Publication(b"b", b"", retain=True))
    ledger.retain(Publication(b"$SYS/x", b"1", retain=True))
    kept = {topic: each and each.payload for topic, each in ledger.batch.retained.items()}

    assert kept == {b"a": b"2", b"b": None}


def test_the_latest_batch(ledger: Ledger) -> None:
    """The open one if anything was noted in it, else the one before."""
    assert ledger.latest == 0
    ledger.retain(Publication(b"a", b"1", retain=True))
    assert ledger.latest == 1
    ledger.turn_the_page()
    assert ledger.latest == 1


def test_numbers_of_sessions_go_round(ledger: Ledger) -> None:
    """One that is in use is left out."""
    ledger.restore(1, "first")
    ledger.restore((1 << 24) - 1, "last")

    assert ledger.begin("next").number == 2


def test_what_may_go_before_its_turn(ledger: Ledger) -> None:
    """What is done with; not a row in whose place another comes, nor the message that it has."""
    journal, other = ledger.begin("c"), ledger.begin("d")
    done, common = MQTTPublication(b"a", b"x", 2), MQTTPublication(b"a", b"y", 2)
    messages = [enqueued(journal, done, 1), enqueued(journal, common, 2)]
    theirs = enqueued(other, common, 1)
    ledger.turn_the_page()
    journal.received(messages[1], 2)
    pending = ledger.turn_the_page()
    journal.drop(messages[0])
    other.drop(theirs)
    relief = ledger.batch.relief([pending])

    assert pending.relief([]).empty
    assert (relief.removed, relief.forgotten) == ([ROWS + 1, 2 * ROWS + 1], [1])
    assert ledger.batch.forgotten == [1, 2]


def test_a_run_is_noted_as_its_messages_are(ledger: Ledger) -> None:
    """One that another session has too, and new ones: the same rows, bodies and references."""
    other = Ledger(Reader(), lambda: 0.0)
    for each, together in ((ledger, True), (other, False)):
        one, two = each.begin("one"), each.begin("two")
        publications = [MQTTPublication(b"a", b"x" * number, 1) for number in range(3)]
        enqueued(one, publications[1], 9)
        run: list[Message] = [(publication, 1, False, (), None, 0) for publication in publications]
        if together:
            kept = two.enqueue_run(run, [4, 5, 6])
            assert [1, 2, 3] == [message[5] for message in kept]
        else:
            for message, packet_id in zip(run, (4, 5, 6), strict=True):
                two.enqueue(message, packet_id)

    def noted(found: Ledger) -> list[object]:
        batch = found.batch
        sizes = {number: len(each.payload) for number, each in batch.messages.items()}
        return [batch.inserted, sizes, batch.weight, batch.touched, found.references]

    assert noted(other) == noted(ledger)
    assert other.last_message == ledger.last_message
    assert ledger.changes
    assert 4 == ledger.journals[2].enqueue((publications[0], 1, False, (), None, 0), 7)


def test_a_run_is_dropped_as_its_messages_are(ledger: Ledger) -> None:
    """What is written already, what another session has too, and what leaves no trace."""
    other = Ledger(Reader(), lambda: 0.0)
    for each, together in ((ledger, True), (other, False)):
        one, two = each.begin("one"), each.begin("two")
        publications = [MQTTPublication(b"a", b"x" * number, 1) for number in range(4)]
        messages = [enqueued(two, publications[0], 1)]
        each.turn_the_page()
        messages += [enqueued(two, publication, 2) for publication in publications[1:]]
        enqueued(one, publications[3], 2)
        if together:
            two.drop_run(messages)
        else:
            for message in messages:
                two.drop(message)
        assert [0, 0, 0] == [publication.number for publication in publications[:3]]

    def noted(found: Ledger) -> list[object]:
        batch = found.batch
        changes = [batch.inserted, [*batch.messages], batch.removed, batch.forgotten, batch.updated]
        return [*changes, batch.weight, batch.touched, found.references]

    assert noted(other) == noted(ledger)
