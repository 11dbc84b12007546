"""Topics in a tree of their levels, against the plain matcher and a set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from speedo_trio.pubsub.levels import LevelTree, _Node
from speedo_trio.pubsub.topics import MOST_BYTES, matches
from tests.pubsub.strategies import filters, names

DEEP = MOST_BYTES // 2
"""The most levels that have something in them."""


def tree_of(topics: Iterable[bytes]) -> LevelTree:
    """A tree of these topics."""
    tree = LevelTree()
    for topic in topics:
        tree.add(topic)
    return tree


def shape(tree: LevelTree) -> Any:
    """The nodes of a tree, to compare with others; nodes that nothing needs are a failure."""
    return [structure(root, 0) for root in (tree._seen, tree._hidden)]


def structure(node: _Node, depth: int) -> Any:
    """What a node has, as plain data."""
    skipped = [] if node.skip is None else node.skip.split(b"/")
    assert depth + len(skipped) == node.depth
    assert node.depth == 0 or len(node.places) > 1
    places = {
        step: structure(place, node.depth + 1) if isinstance(place, _Node) else place
        for step, place in node.places.items()
    }
    return skipped, places


some_names = st.lists(names)
some_filters = st.lists(filters)
changes = st.lists(st.tuples(st.booleans(), names | filters))


@given(topics=some_filters, name=names)
def test_matching(topics: list[bytes], name: bytes) -> None:
    """The filters that match a name, each once."""
    expected = {topic for topic in topics if matches(topic, name)}
    found = tree_of(topics).matching(name)

    assert sorted(expected) == sorted(found)


@given(topics=some_names, topic_filter=filters)
def test_matched(topics: list[bytes], topic_filter: bytes) -> None:
    """The names that a filter matches, each once."""
    expected = {topic for topic in topics if matches(topic_filter, topic)}

    assert sorted(expected) == sorted(tree_of(topics).matched(topic_filter))


@given(topics=some_names, topic_filter=filters)
@example([b"a/a/a", b"a/a/b", b"a/b/a", b"a/b/b"], b"a/+/#")  # a node loses all its nodes
@example([b"a/a/a", b"a/a/b", b"a/b", b"b"], b"a/a/#")  # a node keeps a name only
@example([b"a/a/a", b"a/a/b", b"a/b/a", b"a/b/b"], b"a/a/#")  # and a node only
@example([b"a/a", b"a/b", b"b"], b"a/+")  # a name has moved when it is its turn
def test_take(topics: list[bytes], topic_filter: bytes) -> None:
    """What is taken is what was matched; the rest is there as if the others had never been."""
    tree = tree_of(topics)
    expected = list(tree.matched(topic_filter))
    rest = [topic for topic in topics if topic not in expected]

    assert expected == tree.take(topic_filter)
    assert shape(tree_of(rest)) == shape(tree)


@given(changes=changes)
def test_what_is_removed_leaves_nothing_behind(changes: list[tuple[bool, bytes]]) -> None:
    """The nodes are those that the topics need, whatever was there before."""
    tree = LevelTree()
    expected: dict[bytes, None] = {}
    for adds, topic in changes:
        if adds:
            tree.add(topic)
            expected[topic] = None
        else:
            tree.discard(topic)
            expected.pop(topic, None)

        assert sorted(expected) == sorted(tree)
        assert shape(tree_of(expected)) == shape(tree)


def test_the_order() -> None:
    """Names that begin alike are together; otherwise they come as they were added."""
    topics = [b"b/2", b"a", b"c/x/y", b"b/1", b"c", b"b/1/0", b"a/z", b"b/0", b"c/x"]
    ordered = [b"b/2", b"b/1", b"b/1/0", b"b/0", b"a", b"a/z", b"c/x/y", b"c/x", b"c"]
    tree = tree_of(topics)

    assert ordered == list(tree)
    assert ordered == list(tree.matched(b"#"))
    assert [b"b/2", b"b/1", b"b/0", b"a/z", b"c/x"] == list(tree.matched(b"+/+"))


@given(
    topics=some_names,
    topic_filter=filters,
    changes=st.lists(st.lists(st.tuples(st.booleans(), names), max_size=3)),
)
def test_changes_while_names_are_matched(
    topics: list[bytes], topic_filter: bytes, changes: list[list[tuple[bool, bytes]]]
) -> None:
    """What is there all the time comes once, what comes or goes at most once, nothing else."""
    tree = tree_of(topics)
    present = set(topics)
    throughout, ever = set(topics), set(topics)
    found = []
    later = iter(changes)
    for name in tree.matched(topic_filter):
        found.append(name)
        for adds, topic in next(later, []):
            (tree.add if adds else tree.discard)(topic)
            (present.add if adds else present.discard)(topic)
            throughout &= present
            ever |= present

    assert len(set(found)) == len(found)
    assert {name for name in throughout if matches(topic_filter, name)} <= set(found)
    assert set(found) <= {name for name in ever if matches(topic_filter, name)}


def test_nodes_that_go_while_names_are_matched() -> None:
    """A node that has one place left goes; an iterator that was to come there misses nothing."""
    tree = tree_of([b"a/1/1/1", b"b/x/1/1", b"b/y/m/1", b"b/y/m/2"])
    matched = tree.matched(b"+/+/+/+")

    assert next(matched) == b"a/1/1/1"
    tree.discard(b"b/x/1/1")
    assert [b"b/y/m/1", b"b/y/m/2"] == list(matched)


@pytest.mark.parametrize("level", [b"a", b""])
def test_as_many_levels_as_there_can_be(level: bytes) -> None:
    """Two topics that part at the last of all levels overflow no stack, nor does what matches."""
    trunk = (level + b"/") * (DEEP if level else MOST_BYTES - 1)
    tree = tree_of([trunk + b"x", trunk + b"y"])

    assert [trunk + b"x", trunk + b"y"] == list(tree.matched(b"#"))
    assert [trunk + b"y"] == list(tree.matched(trunk.replace(b"a", b"+") + b"y"))
    assert [trunk + b"x", trunk + b"y"] == list(tree.matched(trunk + b"+"))
    tree.discard(trunk + b"x")
    assert shape(tree_of([trunk + b"y"])) == shape(tree)


def test_shared_levels_take_no_nodes() -> None:
    """There are fewer nodes than topics, however many levels these share."""
    trunks = [b"%d/" % number + b"a/" * 1000 for number in range(10)]
    tree = tree_of(trunk + level for trunk in trunks for level in (b"x", b"y", b"z"))
    nodes = [place for place in tree._seen.places.values() if isinstance(place, _Node)]

    assert len(nodes) == 10
    assert all(isinstance(place, bytes) for node in nodes for place in node.places.values())


def test_filters_as_deep_as_can_be() -> None:
    """Filters that part at the last level, and a name that leads to all of them."""
    trunk = b"+/" * (DEEP - 1)
    tree = tree_of([trunk + b"#", trunk + b"+", trunk + b"a", trunk + b"b"])
    name = b"a/" * (DEEP - 1) + b"a"

    assert [trunk + b"#", trunk + b"+", trunk + b"a"] == sorted(tree.matching(name))
    for topic in list(tree):
        tree.discard(topic)
    assert shape(LevelTree()) == shape(tree)


@pytest.mark.parametrize("topic", [lambda i: b"%d" % i, lambda i: b"a/%d/b" % i])
def test_many_at_one_level(topic: Callable[[int], bytes]) -> None:
    """A node with very many places works as any other."""
    topics = [topic(i) for i in range(20_000)]
    tree = tree_of(topics)

    assert topics == list(tree.matched(b"#"))
    assert topics[7:8] == list(tree.matched(topics[7]))
    assert topics == tree.take(b"#")
    assert shape(LevelTree()) == shape(tree)
