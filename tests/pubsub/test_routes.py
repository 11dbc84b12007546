"""Routes: what is remembered, what a change makes forget, and what it may take."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.errors import ConfigError, TopicError
from speedo_trio.pubsub.routes import MATCH_BYTES, MERGED_BYTES, NAME_BYTES, Once, Routes
from speedo_trio.pubsub.topics import TopicBounds, matches
from speedo_trio.pubsub.tree import SubscriptionTree
from tests.pubsub.strategies import filters, names

Change = tuple[bool, bytes, str, int]


class CountingTree(SubscriptionTree[str, int]):
    """A tree that tells which names it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[bytes] = []

    def match(self, name: bytes) -> list[tuple[str, int]]:
        self.asked.append(name)
        return super().match(name)


def remembering(routes: Routes[str, int], names: Iterable[bytes]) -> None:
    """Look names up until they are remembered."""
    for name in names:
        for _ in range(2):
            assert routes[name] is not None


def check(routes: Routes[str, int]) -> None:
    """See that the parts of `routes` agree with one another."""
    assert sorted(routes) == sorted(routes._names)
    sizes = [NAME_BYTES + len(name) + MATCH_BYTES * len(route) for name, route in routes.items()]
    assert sum(sizes) == routes.held <= routes._most


@pytest.fixture
def tree() -> CountingTree:
    """An empty tree."""
    return CountingTree()


@pytest.fixture
def routes(tree: CountingTree) -> Routes[str, int]:
    """Routes of that tree."""
    return Routes(tree)


def test_a_name_is_remembered_from_its_second_use(
    tree: CountingTree, routes: Routes[str, int]
) -> None:
    """One that is used once, as names for one reply are, takes no place."""
    assert [(), (), (), ()] == [routes[b"a"] for _ in range(4)]
    assert [b"a", b"a"] == tree.asked
    check(routes)


names_and_filters = [
    (b"a/b", {b"a/b"}),
    (b"a/c", set()),
    (b"a/+", {b"a/b"}),
    (b"a/#", {b"a", b"a/b", b"a/b/c"}),
    (b"+/b", {b"a/b", b"b/b"}),
    (b"#", {b"a", b"a/b", b"a/b/c", b"b/b", b"/"}),
    (b"$SYS/#", {b"$SYS/x"}),
    (b"+/x/+", set()),
]


@pytest.mark.parametrize("change", [Routes.subscribe, Routes.unsubscribe])
@pytest.mark.parametrize(("topic_filter", "changed"), names_and_filters)
def test_a_change_forgets_what_it_changes_only(
    tree: CountingTree,
    routes: Routes[str, int],
    topic_filter: bytes,
    changed: set[bytes],
    change: Callable[..., object],
) -> None:
    """With wildcards and without; the other routes stay remembered."""
    every = [b"a", b"a/b", b"a/b/c", b"b/b", b"/", b"$SYS/x"]
    if change is Routes.unsubscribe:
        routes.subscribe(topic_filter, "x", 1)
    remembering(routes, every)
    change(routes, topic_filter, "x", *([1] if change is Routes.subscribe else []))
    tree.asked.clear()
    for name in every:
        assert tree.match(name) == list(routes[name])

    assert changed == {name for name in every if tree.asked.count(name) == 2}
    check(routes)


def test_a_change_of_nothing_forgets_nothing(tree: CountingTree, routes: Routes[str, int]) -> None:
    """Who takes a subscription back that it hasn't costs the others nothing."""
    remembering(routes, [b"a", b"b"])

    assert routes.unsubscribe(b"#", "x") is None
    assert [b"a", b"b"] == list(routes)


def test_a_value_is_replaced(routes: Routes[str, int]) -> None:
    """The route has the new value from then on."""
    assert routes.subscribe(b"a/+", "x", 1) is None
    remembering(routes, [b"a/b"])

    assert routes.subscribe(b"a/+", "x", 2) == 1
    assert routes[b"a/b"] == (("x", 2),)
    assert routes.unsubscribe(b"a/+", "x") == 2
    assert not routes[b"a/b"]


def test_a_route_never_changes(routes: Routes[str, int]) -> None:
    """Who goes through one doesn't see changes that are made meanwhile."""
    for subscriber in "xy":
        routes.subscribe(b"a", subscriber, 1)
    seen = []
    for subscriber, _ in routes[b"a"]:
        routes.unsubscribe(b"a", "y")
        routes.subscribe(b"#", "z", 1)
        seen.append(subscriber)

    assert ["x", "y"] == seen
    assert sorted(routes[b"a"]) == [("x", 1), ("z", 1)]


def test_routes_share_their_pairs(routes: Routes[str, int]) -> None:
    """A match takes a reference, not a pair for each name."""
    routes.subscribe(b"#", "x", 1)

    assert routes[b"a"][0] is routes[b"b"][0]


def test_merging(tree: CountingTree) -> None:
    """A subscriber with several filters that match is there once, with one value of them all."""
    calls: list[list[int]] = []

    def merge(values: list[int]) -> int:
        calls.append(sorted(values))
        return sum(values)

    routes: Routes[str, int] = Routes(tree, merge=merge)
    for topic_filter, subscriber, value in [(b"a/b", "x", 1), (b"a/+", "y", 2), (b"#", "x", 4)]:
        routes.subscribe(topic_filter, subscriber, value)

    for _ in range(3):
        assert [("x", 5), ("y", 2)] == sorted(routes[b"a/b"])
    assert [("x", 4), ("y", 2)] == sorted(routes[b"a/c"])
    assert (("x", 4),) == routes[b"b"]
    assert [[1, 4], [1, 4]] == calls
    assert routes.held == NAME_BYTES + len(b"a/b") + 2 * MERGED_BYTES
    routes.unsubscribe(b"#", "x")
    assert [("x", 1), ("y", 2)] == sorted(routes[b"a/b"])


def test_the_oldest_routes_go_when_there_is_no_room(tree: CountingTree) -> None:
    """What is remembered stays within its bound, and the latest are there."""
    routes: Routes[str, int] = Routes(tree, most_bytes=10 * NAME_BYTES)
    every = [b"%d" % number for number in range(100)]
    for name in every:
        remembering(routes, [name])
        check(routes)

    assert every[-len(routes) :] == list(routes)
    assert len(routes) > 5


def test_names_that_are_used_once_push_nothing_out(tree: CountingTree) -> None:
    """A flood of them leaves what is remembered as it was, although there is no room for both."""
    routes: Routes[str, int] = Routes(tree, most_bytes=100 * (NAME_BYTES + 6))
    often = [b"hot/%d" % number for number in range(60)]
    remembering(routes, often)
    for number in range(200):
        routes[b"once/%d" % number]

    assert all(name in routes for name in often)


def test_a_route_too_large_is_not_remembered(tree: CountingTree) -> None:
    """A name or matches that would push out too much are found each time."""
    routes: Routes[str, int] = Routes(tree, most_bytes=10_000)
    long, wide = b"x" * 1000, b"wide"
    for subscriber in range(200):
        routes.subscribe(wide, str(subscriber), 1)
    remembering(routes, [b"a", long, wide])

    assert [b"a"] == list(routes)
    assert len(routes[wide]) == 200


@pytest.mark.parametrize("most_bytes", [1, 100, NAME_BYTES])
def test_without_room(tree: CountingTree, most_bytes: int) -> None:
    """Nothing is remembered, and all is found."""
    routes: Routes[str, int] = Routes(tree, most_bytes=most_bytes)
    routes.subscribe(b"#", "x", 1)
    remembering(routes, [b"a", b"a"])

    assert routes[b"a"] == (("x", 1),)
    assert not routes


def test_a_bound_must_be_one() -> None:
    """The error says what is allowed."""
    with pytest.raises(ConfigError, match="most_bytes is 0"):
        Routes(SubscriptionTree(), most_bytes=0)


def test_what_is_no_name_has_no_route(tree: CountingTree) -> None:
    """It is refused each time, by the bounds that were given, and never remembered."""
    routes: Routes[str, int] = Routes(tree, bounds=TopicBounds(levels=2))
    for name in (b"", b"a/+", b"a/b/c", b"\xff"):
        for _ in range(3):
            with pytest.raises(TopicError):
                routes[name]

    assert [] == tree.asked
    assert not routes


def test_a_change_costs_no_more_than_the_routes_that_it_drops(routes: Routes[str, int]) -> None:
    """The second of two changes that drop all has nothing left to drop, and looks at nothing."""
    remembering(routes, [b"a/%d" % number for number in range(1000)])
    routes.subscribe(b"#", "x", 1)

    assert not routes
    assert [] == list(routes._names)


@given(
    changes=st.lists(st.tuples(st.booleans(), filters, st.sampled_from("xy"), st.integers(1, 2))),
    looked_up=st.lists(names, min_size=1),
)
def test_a_route_is_what_the_tree_finds(changes: list[Change], looked_up: list[bytes]) -> None:
    """Whatever is looked up and changed in whatever order, with room for a few routes."""
    subscriptions: dict[tuple[bytes, str], int] = {}
    routes: Routes[str, int] = Routes(SubscriptionTree(), most_bytes=5 * NAME_BYTES)
    for subscribes, topic_filter, subscriber, value in changes:
        if subscribes:
            routes.subscribe(topic_filter, subscriber, value)
            subscriptions[topic_filter, subscriber] = value
        else:
            routes.unsubscribe(topic_filter, subscriber)
            subscriptions.pop((topic_filter, subscriber), None)
        for name in looked_up * 2:
            expected = [
                (who, value)
                for (topic_filter, who), value in subscriptions.items()
                if matches(topic_filter, name)
            ]
            assert sorted(expected) == sorted(routes[name])
        check(routes)


class TestOnce:
    """The doorkeeper."""

    def test_what_was_seen(self) -> None:
        """The second time it says so."""
        once = Once(100)

        assert [False, True, True] == [once.seen(b"a") for _ in range(3)]

    def test_it_begins_anew(self) -> None:
        """What it holds is bounded; when it's full it forgets all."""
        once = Once(10)
        size = sys.getsizeof(once._marks)
        fresh = [once.seen(b"%d" % number) for number in range(10_000)].count(False)

        assert size == sys.getsizeof(once._marks)
        assert fresh > 1000
        assert once._count <= 10

    def test_it_knows_most_of_what_it_has_not_seen(self) -> None:
        """It takes few names for seen that were not: those that share a byte with another."""
        once = Once(1000)

        assert [once.seen(b"%d" % number) for number in range(1000)].count(True) < 150
