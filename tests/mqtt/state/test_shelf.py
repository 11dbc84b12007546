"""A shelf: the oldest messages at hand, the rest in a store, in one order and within bounds."""

from __future__ import annotations

import pytest

from speedo_trio.mqtt.state import shelf as room
from speedo_trio.mqtt.state.flights import Message
from speedo_trio.mqtt.state.publication import MQTTPublication
from speedo_trio.mqtt.state.shelf import Shelf
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.pubsub.outbox import OutboxLimits, Overflow, Put
from tests.mqtt.store.journals import Notes


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four are at hand, two are fetched at once."""
    monkeypatch.setattr(room, "AT_HAND", 4)
    monkeypatch.setattr(room, "PORTION", 2)


@pytest.fixture
def notes() -> Notes:
    """A journal."""
    return Notes()


def message(number: int, row: int = 0) -> Message:
    """One of two bytes."""
    return MQTTPublication(b"a", b"%d" % number, 1), 1, False, (), None, row


def expiring(number: int, seconds: int) -> Message:
    """One whose time is over then."""
    properties = Properties(message_expiry_interval=seconds)
    publication = MQTTPublication(b"a", b"%d" % number, 1, properties=properties)
    return publication, 1, False, (), None, 0


def number_of(taken: Message | None) -> int | None:
    """Which it was."""
    return None if taken is None else int(taken[0].payload)


def test_few_are_at_hand(notes: Notes) -> None:
    """All have rows, and come as they were put."""
    shelf = Shelf(OutboxLimits(), notes)
    for number in (1, 2, 3):
        assert shelf.put(message(number), away=True) is Put.TAKEN
    taken = [shelf.take() for _ in range(4)]

    assert [number_of(each) for each in taken] == [1, 2, 3, None]
    assert [each[5] for each in taken if each is not None] == [1, 2, 3]
    assert (notes.fetches, shelf.bytes, len(shelf)) == ([], 0, 0)


def test_what_is_behind_is_fetched(notes: Notes) -> None:
    """In portions, each behind the one before, while what comes meanwhile is behind them all."""
    shelf = Shelf(OutboxLimits(), notes)
    for number in range(1, 8):
        shelf.put(message(number), away=True)
    assert (len(shelf), shelf.stored, shelf.bytes) == (7, 3, 14)
    assert [number_of(shelf.take()) for _ in range(5)] == [1, 2, 3, 4, None]
    assert notes.fetches == [4]
    assert not shelf.ready
    shelf.fetched([message(5, 5), message(6, 6)])
    shelf.put(message(8), away=True)
    assert [number_of(shelf.take()) for _ in range(3)] == [5, 6, None]
    assert notes.fetches == [4, 6]
    shelf.fetched([message(7, 7), message(8, 8)])
    shelf.put(message(9), away=True)

    assert [number_of(shelf.take()) for _ in range(4)] == [7, 8, 9, None]
    assert (notes.fetches, shelf.bytes, len(shelf)) == ([4, 6], 0, 0)


def test_it_is_restored_as_a_number(notes: Notes) -> None:
    """What waits is asked for when it is taken, once."""
    shelf = Shelf(OutboxLimits(), notes)
    shelf.restore(2, 4, None)
    assert (len(shelf), shelf.bytes, shelf.ready) == (2, 4, False)
    assert shelf.take() is None
    assert shelf.take() is None
    assert notes.fetches == [0]
    shelf.fetched([message(1, 11), message(2, 12)])

    assert [number_of(shelf.take()) for _ in range(3)] == [1, 2, None]
    assert (len(shelf), shelf.bytes) == (0, 0)


def test_what_could_not_be_read_is_asked_for_again(notes: Notes) -> None:
    """Nothing is forgotten by that."""
    shelf = Shelf(OutboxLimits(), notes)
    shelf.restore(2, 4, None)
    shelf.take()
    shelf.not_fetched()
    shelf.take()

    assert (notes.fetches, len(shelf)) == ([0, 0], 2)


def test_what_is_not_there_is_forgotten(notes: Notes) -> None:
    """A store that has less than it should doesn't hold up what comes later."""
    shelf = Shelf(OutboxLimits(), notes)
    shelf.restore(2, 4, None)
    shelf.take()
    shelf.fetched([])
    shelf.put(message(1), away=True)

    assert number_of(shelf.take()) == 1
    assert (len(shelf), shelf.bytes) == (0, 0)


def test_the_newest_is_dropped_before_it_has_a_row(notes: Notes) -> None:
    """The bounds are those of any backlog."""
    shelf = Shelf(OutboxLimits(messages=1), notes)
    shelf.put(message(1), away=True)

    assert shelf.put(message(2), away=True) is Put.DROPPED
    assert notes.take() == [("enqueue", 1, 0)]


def test_the_oldest_is_dropped_with_its_row(notes: Notes) -> None:
    """When it is at hand, at once; else when it has been fetched."""
    shelf = Shelf(OutboxLimits(messages=2, overflow=Overflow.DROP_OLDEST), notes)
    for number in (1, 2, 3):
        shelf.put(message(number), away=True)
    assert ("drop", 1) in notes.take()
    shelf = Shelf(OutboxLimits(messages=2, overflow=Overflow.DROP_OLDEST), notes)
    shelf.restore(2, 4, None)
    shelf.put(message(3), away=True)
    assert (notes.fetches, len(shelf)) == ([0], 3)
    shelf.fetched([message(1, 11), message(2, 12)])

    assert ("drop", 11) in notes.take()
    assert (len(shelf), shelf.dropped) == (2, 1)


def test_the_end_drops_all(notes: Notes) -> None:
    """Rows that are known one by one, others by a word; what comes late is of no account."""
    shelf = Shelf(OutboxLimits(), notes)
    for number in range(1, 7):
        shelf.put(message(number), away=True)
    for _ in range(4):
        shelf.take()
    notes.take()
    shelf.clear()
    shelf.fetched([message(5, 5)])

    assert notes.take() == [("leave",)]
    assert (len(shelf), shelf.bytes) == (0, 0)


def test_what_has_expired_is_dropped(notes: Notes) -> None:
    """At hand at once; in the store when that tells, and nothing is fetched meanwhile."""
    shelf = Shelf(OutboxLimits(), notes)
    for number, seconds in ((1, 10), (2, 5), (3, 20), (4, 5), (5, 6), (6, 30)):
        shelf.put(expiring(number, seconds), away=True)
    assert (shelf.soonest, shelf.stored) == (5, 2)
    notes.take()
    assert shelf.sweep(7.0) == 2
    assert notes.take() == [("drop", 2), ("drop", 4), ("sweep", 4)]
    assert (len(shelf), shelf.bytes) == (4, 8)
    assert [number_of(shelf.take()) for _ in range(3)] == [1, 3, None]
    assert notes.fetches == []
    shelf.swept(1, 2, 30.0)
    assert (len(shelf), shelf.stored, shelf.bytes, shelf.soonest) == (1, 1, 2, 10)
    assert shelf.take() is None
    assert notes.fetches == [4]
    shelf.fetched([message(6, 6)])

    assert number_of(shelf.take()) == 6
    assert (len(shelf), shelf.bytes) == (0, 0)


def test_what_is_being_fetched_is_not_swept(notes: Notes) -> None:
    """It is looked at the next time."""
    shelf = Shelf(OutboxLimits(), notes)
    shelf.restore(2, 4, 3.0)
    assert shelf.take() is None
    assert shelf.sweep(4.0) == 0
    shelf.fetched([message(1, 1), message(2, 2)])

    assert notes.take() == []
    assert (len(shelf), shelf.soonest) == (2, 3.0)


def test_a_session_that_ended_while_it_was_swept(notes: Notes) -> None:
    """What the store tells of it is of the one before."""
    shelf = Shelf(OutboxLimits(), notes)
    shelf.restore(2, 4, 3.0)
    shelf.sweep(4.0)
    shelf.clear()
    shelf.swept(2, 4, None)

    assert (len(shelf), shelf.bytes, shelf.soonest) == (0, 0, None)
