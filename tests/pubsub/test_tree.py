"""The tree of subscriptions against a plain dictionary and the plain matcher."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.pubsub.topics import matches
from speedo_trio.pubsub.tree import SubscriptionTree
from tests.pubsub.strategies import filters, names

Change = tuple[bool, bytes, str, int]

subscribers = st.sampled_from("xyz")
changes = st.lists(st.tuples(st.booleans(), filters, subscribers, st.integers(1, 3)))


@given(changes=changes, name=names)
def test_it_is_as_a_dictionary(changes: list[Change], name: bytes) -> None:
    """Each change gives the value that was there; a match, each subscription that matches."""
    tree: SubscriptionTree[str, int] = SubscriptionTree()
    expected: dict[tuple[bytes, str], int] = {}
    for subscribes, topic_filter, subscriber, value in changes:
        key = (topic_filter, subscriber)
        if subscribes:
            assert expected.get(key) == tree.subscribe(topic_filter, subscriber, value)
            expected[key] = value
        else:
            assert expected.pop(key, None) == tree.unsubscribe(topic_filter, subscriber)
    matched = [
        (who, value)
        for (topic_filter, who), value in expected.items()
        if matches(topic_filter, name)
    ]

    assert sorted(matched) == sorted(tree.match(name))
    assert len(expected) == len(tree)
    assert {topic_filter for topic_filter, _ in expected} == set(tree.filters())


@given(changes=changes)
def test_nothing_is_left(changes: list[Change]) -> None:
    """When all have gone nothing is kept of them."""
    tree: SubscriptionTree[str, int] = SubscriptionTree()
    for _, topic_filter, subscriber, value in changes:
        tree.subscribe(topic_filter, subscriber, value)
    for subscriber in "xyz":
        theirs = {topic_filter for _, topic_filter, who, _ in changes if who == subscriber}
        assert len(theirs) == tree.remove(subscriber, theirs)

    assert [] == list(tree.filters())
    assert len(tree) == 0
    assert [] == list(tree._wild)


def test_overlapping_filters_of_one_subscriber() -> None:
    """It comes once for each of its filters; the layers above may merge."""
    tree: SubscriptionTree[str, int] = SubscriptionTree()
    for value, topic_filter in enumerate([b"a/b", b"a/+", b"+/b", b"a/#", b"#"]):
        tree.subscribe(topic_filter, "x", value)

    assert [("x", value) for value in range(5)] == sorted(tree.match(b"a/b"))


def test_a_subscription_is_replaced() -> None:
    """A subscriber has one subscription for each filter: the last."""
    tree: SubscriptionTree[str, int] = SubscriptionTree()

    assert [None, 1, 2] == [tree.subscribe(b"a/+", "x", value) for value in (1, 2, 3)]
    assert [("x", 3)] == tree.match(b"a/b")
    assert len(tree) == 1


def test_who_is_subscribed_to_a_filter() -> None:
    """To that very filter, whatever else would match."""
    tree: SubscriptionTree[str, int] = SubscriptionTree()
    for topic_filter, subscriber in [(b"a/+", "x"), (b"a/+", "y"), (b"#", "z"), (b"a", "x")]:
        tree.subscribe(topic_filter, subscriber, 1)

    assert [("x", 1), ("y", 1)] == tree.subscribers(b"a/+")
    assert [] == tree.subscribers(b"a/b")


@pytest.mark.parametrize("topic_filter", [b"a/b", b"a/+", b"#"])
def test_very_many_subscribers_of_one_filter(topic_filter: bytes) -> None:
    """Each costs the same: joining and leaving doesn't get slower by those that are there."""
    tree: SubscriptionTree[int, None] = SubscriptionTree()
    for subscriber in range(20_000):
        tree.subscribe(topic_filter, subscriber, None)

    assert sorted(tree.match(b"a/b")) == [(subscriber, None) for subscriber in range(20_000)]
    for subscriber in range(20_000):
        tree.unsubscribe(topic_filter, subscriber)
    assert tree.match(b"a/b") == []
