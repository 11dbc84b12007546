"""Retained messages: bounds, expiry, order; against a plain dictionary."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.errors import ConfigError
from speedo_trio.pubsub.retained import PURGE, Retained, RetainedLimits, Retention
from speedo_trio.pubsub.topics import matches
from tests.pubsub.strategies import filters, names


def retained_of(topics: Iterable[bytes]) -> Retained[str]:
    """What has a message for each of these names."""
    retained: Retained[str] = Retained()
    for name in topics:
        retained.set(name, name.decode(), size=1, now=0)
    return retained


def test_the_last_message_is_kept() -> None:
    """Setting replaces, deleting ends it; each tells what was there."""
    retained: Retained[str] = Retained()

    assert retained.set(b"a", "1", size=10, now=0) is Retention.ADDED
    assert retained.set(b"a", "2", size=20, now=0) is Retention.REPLACED
    assert (1, 21) == (len(retained), retained.bytes)
    assert retained.get(b"a", 0) == "2"
    assert retained.get(b"b", 0) is None
    assert retained.delete(b"a") == "2"
    assert retained.delete(b"a") is None
    assert (0, 0) == (len(retained), retained.bytes)


def test_the_order() -> None:
    """Names that begin alike are together, otherwise it's the order of the first message."""
    retained = retained_of([b"b/2", b"a", b"b/1", b"$a", b"b/2"])

    assert [b"b/2", b"b/1", b"a"] == [name for name, _ in retained.match(b"#", 0)]
    assert [b"b/2", b"b/1", b"a", b"$a"] == list(retained)


@given(topics=st.lists(names), topic_filter=filters)
def test_match(topics: list[bytes], topic_filter: bytes) -> None:
    """The messages whose names a filter matches, each once."""
    expected = {(name, name.decode()) for name in topics if matches(topic_filter, name)}

    assert sorted(expected) == sorted(retained_of(topics).match(topic_filter, 0))


def test_a_match_looks_only_where_the_filter_leads() -> None:
    """What a filter doesn't lead to costs nothing: no look, and no time that grows with it."""

    class Counting(Retained[str]):
        looked: list[bytes] = []  # noqa: RUF012  # of one test

        def get(self, name: bytes, now: float) -> str | None:
            self.looked.append(name)
            return super().get(name, now)

    retained = Counting()
    for number in range(1000):
        retained.set(b"%d/state" % number, "on", size=1, now=0)

    assert [(b"7/state", "on")] == list(retained.match(b"7/+", 0))
    assert [(b"8/state", "on")] == list(retained.match(b"8/state", 0))
    assert [b"7/state", b"8/state"] == retained.looked


def test_messages_may_change_while_they_are_matched() -> None:
    """A subscriber may take its time: what is gone isn't given, what is new may be."""
    retained = retained_of([b"a", b"b", b"c"])
    matched = retained.match(b"#", 0)

    assert next(matched) == (b"a", "a")
    retained.delete(b"b")
    retained.set(b"c", "new", size=1, now=0)
    retained.set(b"c/d", "d", size=1, now=0)
    assert (b"c", "new") in list(matched)


def test_too_many() -> None:
    """At the bound a new name is refused; the names that are there go on."""
    retained: Retained[str] = Retained(RetainedLimits(messages=2))
    for name in (b"a", b"b"):
        retained.set(name, "1", size=1, now=0)

    assert retained.set(b"c", "1", size=1, now=0) is Retention.TOO_MANY
    assert retained.get(b"c", 0) is None
    assert retained.set(b"b", "2", size=1, now=0) is Retention.REPLACED
    retained.delete(b"a")
    assert retained.set(b"c", "1", size=1, now=0) is Retention.ADDED


def test_too_large() -> None:
    """At the bound the name keeps the message that it has."""
    retained: Retained[str] = Retained(RetainedLimits(bytes=10))

    assert retained.set(b"a", "1", size=9, now=0) is Retention.ADDED
    assert retained.set(b"a", "2", size=10, now=0) is Retention.TOO_LARGE
    assert retained.set(b"b", "1", size=0, now=0) is Retention.TOO_LARGE
    assert [(b"a", "1")] == list(retained.match(b"#", 0))
    assert retained.set(b"a", "3", size=8, now=0) is Retention.REPLACED
    assert retained.set(b"b", "1", size=0, now=0) is Retention.ADDED
    assert retained.bytes == 10


def test_limits_that_are_not_allowed() -> None:
    """There is room for something."""
    with pytest.raises(ConfigError, match="messages is 0"):
        RetainedLimits(messages=0)


def test_expiry() -> None:
    """An expired message is never given, whether it's asked for by name or by filter."""
    retained: Retained[str] = Retained()
    for name, expires in [(b"a", 1.0), (b"b", 2.0), (b"c", None)]:
        retained.set(name, "on", size=1, now=0, expires=expires)

    assert [b"a", b"b", b"c"] == [name for name, _ in retained.match(b"#", 0.9)]
    assert [b"b", b"c"] == [name for name, _ in retained.match(b"#", 1.0)]
    assert len(retained) == 2
    assert retained.get(b"b", 2.0) is None
    assert (1, 2) == (len(retained), retained.bytes)


def test_purge() -> None:
    """It drops what has expired, as much as it is asked for, and tells when to come again."""
    retained: Retained[str] = Retained()
    for number in range(10):
        retained.set(b"%d" % number, "on", size=1, now=0, expires=number)

    assert (0, 10) == (retained.deadline, len(retained))
    assert retained.purge(4.5, 3) == 3
    assert (3, 7) == (retained.deadline, len(retained))
    assert retained.purge(4.5) == 2
    assert (5, 5) == (retained.deadline, len(retained))
    assert retained.purge(4.5) == 0
    assert retained.purge(100) == 5
    assert (None, 0) == (retained.deadline, len(retained))


def test_a_replaced_message_expires_as_the_last_says() -> None:
    """Later, earlier, or never."""
    retained: Retained[str] = Retained()
    for name, expires in [(b"later", 1), (b"later", 9), (b"earlier", 9), (b"earlier", 1)]:
        retained.set(name, "on", size=1, now=0, expires=expires)
    retained.set(b"never", "on", size=1, now=0, expires=1)
    retained.set(b"never", "on", size=1, now=0)
    retained.set(b"again", "on", size=1, now=0, expires=1)
    retained.delete(b"again")
    retained.set(b"again", "on", size=1, now=0, expires=5)

    assert retained.purge(2) == 1
    assert [b"later", b"never", b"again"] == [name for name, _ in retained.match(b"#", 0)]
    assert retained.purge(5) == 1
    assert retained.purge(9) == 1
    assert [b"never"] == list(retained)
    assert retained.deadline is None


def test_a_name_has_one_deadline() -> None:
    """However often it is set, unless the message before expires later; purging keeps it so."""
    retained: Retained[str] = Retained()
    for expires in range(10, 20):
        retained.set(b"a", "on", size=1, now=0, expires=expires)
    assert [(10, b"a")] == retained._looks

    retained.set(b"a", "on", size=1, now=0, expires=1)
    retained.set(b"a", "on", size=1, now=0, expires=30)
    assert retained.purge(10) == 0
    assert [(30, b"a")] == retained._looks


@pytest.mark.parametrize("deletes", [True, False])
def test_deadlines_of_messages_that_are_gone_do_not_pile_up(*, deletes: bool) -> None:
    """However often a name is set, whether it expires later or earlier each time."""
    retained: Retained[str] = Retained()
    for number in range(2000):
        retained.set(b"a", "on", size=1, now=0, expires=10_000 + number)
        retained.set(b"b", "on", size=1, now=0, expires=10_000 - number)
        if deletes:
            retained.delete(b"a")
            retained.delete(b"b")

    assert len(retained._looks) <= 2 * len(retained) + PURGE


def test_expired_messages_make_room() -> None:
    """Before one is refused, more of them than one purge drops if need be."""
    count = 3 * PURGE
    retained: Retained[str] = Retained(RetainedLimits(messages=count, bytes=1_000_000))
    for number in range(count):
        retained.set(b"%03d" % number, "on", size=1, now=0, expires=1)

    assert retained.set(b"new", "on", size=1, now=0.5) is Retention.TOO_MANY
    assert retained.set(b"new", "on", size=999_990 - 3 * PURGE, now=1) is Retention.ADDED
    assert retained.set(b"large", "on", size=1_000_000, now=1) is Retention.TOO_LARGE
    assert list(retained) == [b"new"]


set_or_delete = st.tuples(
    names, st.none() | st.tuples(st.integers(0, 5), st.none() | st.integers(0, 20))
)


@given(changes=st.lists(set_or_delete))
def test_it_is_as_a_dictionary(
    changes: list[tuple[bytes, tuple[int, int | None] | None]],
) -> None:
    """Whatever is set, deleted and expires while time passes; the bounds hold."""
    retained: Retained[int] = Retained(RetainedLimits(messages=4, bytes=40))
    expected: dict[bytes, tuple[int, int | None]] = {}
    for now, (name, change) in enumerate(changes):
        expected = {
            each: (size, expires)
            for each, (size, expires) in expected.items()
            if expires is None or expires > now
        }
        if change is None:
            retained.get(name, now)  # drops it if it has expired
            assert (expected.pop(name, (None,))[0]) == retained.delete(name)
        else:
            size, expires = change
            outcome = retained.set(name, size, size=size, now=now, expires=expires)
            others = {each: what for each, what in expected.items() if each != name}
            taken = sum(len(each) + what[0] for each, what in others.items()) + len(name) + size
            if len(others) == 4:
                assert outcome is Retention.TOO_MANY
            elif taken > 40:
                assert outcome is Retention.TOO_LARGE
            else:
                assert outcome in (Retention.ADDED, Retention.REPLACED)
                expected = {**others, name: change}
        found = {(name, size) for name, size in retained.match(b"#", now)}
        found |= {(name, size) for name, size in retained.match(b"$a/#", now)}
        alive = {
            (name, size)
            for name, (size, expires) in expected.items()
            if expires is None or expires > now
        }
        assert alive == found
        assert retained.bytes == sum(kept.size for kept in retained._kept.values())
        assert len(retained._looks) <= 2 * len(retained) + PURGE
