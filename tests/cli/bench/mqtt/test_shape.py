"""Shapes: how many clients each has, and that what is published is what is subscribed to."""

from __future__ import annotations

import pytest

from speedo_trio.cli.bench.mqtt.shape import SHAPES, Shape
from speedo_trio.pubsub.tree import SubscriptionTree

COUNTS = {
    "pairs": (5, 5, 1),
    "fanout": (1, 5, 5),
    "fanin": (5, 1, 1),
    "wild": (5, 5, 1),
    "shared": (5, 5, 1),
}
"""Publishers, subscribers, copies of a message."""


def test_every_shape_is_counted_here() -> None:
    """So that none is forgotten below."""
    assert set(SHAPES) == COUNTS.keys()


@pytest.mark.parametrize("name", COUNTS)
def test_a_shape_has_so_many_clients(name: str) -> None:
    """Of five clients, as many publish and subscribe as its name says."""
    shape = Shape(name, 5, "run")

    assert COUNTS[name] == (shape.publishers, shape.subscribers, shape.copies)


@pytest.mark.parametrize("name", sorted(COUNTS.keys() - {"shared"}))
def test_each_message_has_as_many_matches_as_copies(name: str) -> None:
    """A topic matches the filters of those who are to have it, and no other."""
    shape = Shape(name, 5, "run")
    tree: SubscriptionTree[int, int] = SubscriptionTree()
    for number in range(shape.subscribers):
        tree.subscribe(shape.topic_filter(number), number, 0)

    for number in range(shape.publishers):
        assert shape.copies == len(tree.match(shape.topic(number)))
