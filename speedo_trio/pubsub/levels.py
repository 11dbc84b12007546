"""Topics in a tree of their levels: names that a filter matches, or filters that match a name.

A node is a dictionary from the next level to what goes on with it: another node, or a topic that
shares no further level with any other, and so stands there itself. None is the step after the last
level. So most topics take one place in one dictionary, however many levels they have; each level
that topics share takes a node. Nothing here calls itself, so that 65,536 levels overflow no stack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from speedo_trio.pubsub.topics import ALL_LEVELS, HIDDEN, ONE_LEVEL, SEPARATOR, levels_match

if TYPE_CHECKING:
    from collections.abc import Iterator

_Step: TypeAlias = bytes | None
_Node: TypeAlias = "dict[_Step, _Place]"
_Place: TypeAlias = "_Node | bytes"


class LevelTree:
    """A set of topic names, or one of filters, checked by `speedo_trio.pubsub.topics`.

    Topics that begin with the same levels are together, otherwise they keep the order in which they
    were added. Iterators bear it that the set changes meanwhile: what is there all the time comes
    once, what is added or removed comes once or not at all.
    """

    __slots__ = ("_hidden", "_seen")

    def __init__(self) -> None:
        self._seen: _Node = {}
        self._hidden: _Node = {}
        """Topics that begin with $. With roots of their own, no filter that begins with a wildcard
        is where such a name looks, nor the reverse [MQTT-4.7.2-1]."""

    def __iter__(self) -> Iterator[bytes]:
        for root in (self._seen, self._hidden):
            yield from _topics(root)

    def add(self, topic: bytes) -> None:
        """Add a topic, if it is not there."""
        node = self._root(topic)
        for depth, step in enumerate(_steps(topic)):
            place = node.get(step)
            if isinstance(place, dict):
                node = place
                continue
            if place != topic:
                node[step] = topic if place is None else _part(place, topic, depth)
            return

    def discard(self, topic: bytes) -> None:
        """Remove a topic, if it is there."""
        steps = _steps(topic)
        way, place = _way(self._root(topic), steps)
        if place == topic:
            _cut(way, steps)

    # Filters, asked by name

    def matching(self, name: bytes) -> list[bytes]:
        """The filters that match a name. Takes time for each node that the name leads to."""
        found: list[bytes] = []
        levels = name.split(SEPARATOR)
        nodes = [self._root(name)]
        for depth, level in enumerate(levels, 1):
            on: list[_Node] = []
            for node in nodes:
                place = node.get(ALL_LEVELS)
                if isinstance(place, bytes):
                    found.append(place)
                for place in (node.get(ONE_LEVEL), node.get(level)):
                    if isinstance(place, dict):
                        on.append(place)
                    elif place is not None and levels_match(place.split(SEPARATOR), levels, depth):
                        found.append(place)
            if not on:
                return found
            nodes = on
        ends = [node.get(step) for node in nodes for step in (None, ALL_LEVELS)]
        return found + [place for place in ends if isinstance(place, bytes)]

    # Names, asked by filter

    def matched(self, topic_filter: bytes) -> Iterator[bytes]:
        """The names that a filter matches.

        Takes time for each node that the filter leads to, and memory for what the nodes on the way
        have.
        """
        for place, _ in self._matched(topic_filter):
            yield from _topics(place)

    def take(self, topic_filter: bytes) -> list[bytes]:
        """Remove the names that a filter matches; these names."""
        taken: list[bytes] = []
        for place, depth in self._matched(topic_filter):
            names = [*_topics(place)]
            steps = _steps(names[0])
            _cut(_way(self._root(names[0]), steps)[0][:depth], steps)
            taken += names
        return taken

    def _matched(self, topic_filter: bytes) -> Iterator[tuple[_Place, int]]:
        """Places of which a filter matches all names, and how many steps lead there."""
        levels = topic_filter.split(SEPARATOR)
        if levels == [ALL_LEVELS]:
            levels = [ONE_LEVEL, ALL_LEVELS]  # the same, as each name has a level
        whole = len(levels) - 1 if levels[-1] == ALL_LEVELS else None
        stack: list[tuple[_Place, int]] = [(self._root(topic_filter), 0)]
        while stack:
            place, depth = stack.pop()
            if isinstance(place, bytes):
                if levels_match(levels, place.split(SEPARATOR), depth):
                    yield place, depth
            elif depth == whole:
                yield place, depth
            else:
                stack += reversed([(on, depth + 1) for on in _next(place, levels, depth)])

    def _root(self, topic: bytes) -> _Node:
        return self._hidden if topic.startswith(HIDDEN) else self._seen


def _steps(topic: bytes) -> list[_Step]:
    return [*topic.split(SEPARATOR), None]


def _way(root: _Node, steps: list[_Step]) -> tuple[list[_Node], bytes | None]:
    """The nodes that lead to a topic, and the topic that the last one has where it goes on.

    That may be another topic.
    """
    way = [root]
    for step in steps:
        place = way[-1].get(step)
        if not isinstance(place, dict):
            return way, place
        way.append(place)
    raise AssertionError("the last step led to a node")


def _next(node: _Node, levels: list[bytes], depth: int) -> list[_Place]:
    """Where a filter that is at a node goes on."""
    level = levels[depth] if depth < len(levels) else None
    if level != ONE_LEVEL:
        place = node.get(level)
        return [] if place is None else [place]
    return [on for step, on in node.items() if step is not None]


def _topics(place: _Place) -> Iterator[bytes]:
    """All topics from a place on."""
    stack = [place]
    while stack:
        place = stack.pop()
        if isinstance(place, dict):
            stack += [*place.values()][::-1]
        else:
            yield place


def _part(other: bytes, topic: bytes, depth: int) -> _Node:
    """A node for two topics whose steps are the same up to `depth`, that one included."""
    steps, other_steps = _steps(topic), _steps(other)
    top: _Node = {}
    node = top
    while steps[depth := depth + 1] == other_steps[depth]:
        below: _Node = {}
        node[steps[depth]] = below
        node = below
    node[other_steps[depth]] = other
    node[steps[depth]] = topic
    return top


def _cut(way: list[_Node], steps: list[_Step]) -> None:
    """Remove what the last node has where a topic goes on, and nodes that nothing needs then."""
    del way[-1][steps[len(way) - 1]]
    for depth in range(len(way) - 1, 0, -1):
        node, above = way[depth], way[depth - 1]
        if len(node) > 1:
            break
        if not node:
            del above[steps[depth - 1]]
            continue
        (sole,) = node.values()
        if isinstance(sole, dict):
            break
        above[steps[depth - 1]] = sole
