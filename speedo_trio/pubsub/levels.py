"""Topics in a tree of their levels: names that a filter matches, or filters that match a name.

A node stands only where topics part: it has a place for each of the next levels, and in it another
node, or a topic that shares no further level with any other. So there are fewer nodes than topics,
however many levels those have, and most topics take one place in one dictionary. Nothing here
calls itself, so that 65,536 levels overflow no stack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from speedo_trio.pubsub.topics import (
    ALL_LEVELS,
    HIDDEN,
    MOST_LEVELS,
    ONE_LEVEL,
    SEPARATOR,
    levels_match,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_Step: TypeAlias = bytes | None
"""A level; None is the step after the last one."""


class _Node:
    """Where topics part whose steps are the same up to `depth`."""

    __slots__ = ("depth", "places", "skip")

    def __init__(self, depth: int, skip: bytes | None, places: dict[_Step, _Place]) -> None:
        self.depth = depth
        self.skip = skip
        """The levels that they share since the node above parted from others; None for no level.
        A node keeps its own, as iterators may hold it: where that changes another takes its place.
        """
        self.places = places

    def is_on(self, steps: list[_Step], depth: int) -> bool:
        """Whether a topic leads here whose steps are the same up to `depth`."""
        return self.skip is None or steps[depth : self.depth] == self.skip.split(SEPARATOR)


_Place: TypeAlias = _Node | bytes


class LevelTree:
    """A set of topic names, or one of filters, checked by `speedo_trio.pubsub.topics`.

    Topics that begin with the same levels are together, otherwise they keep the order in which they
    were added. Iterators bear it that the set changes meanwhile: what is there all the time comes
    once, what is added or removed comes once or not at all.
    """

    __slots__ = ("_hidden", "_seen")

    def __init__(self) -> None:
        self._seen = _Node(0, None, {})
        self._hidden = _Node(0, None, {})
        """Topics that begin with $. With a root of their own, no filter that begins with a wildcard
        is where such a name looks, nor the reverse [MQTT-4.7.2-1]."""

    def __iter__(self) -> Iterator[bytes]:
        for root in (self._seen, self._hidden):
            yield from _topics(root)

    def add(self, topic: bytes) -> None:
        """Add a topic, if it is not there."""
        steps = _steps(topic)
        way, place = _way(self._root(topic), steps)
        if place != topic:
            node = way[-1]
            new = topic if place is None else _part(place, topic, steps, node.depth + 1)
            node.places[steps[node.depth]] = new

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
        while nodes:
            node = nodes.pop()
            places, depth = node.places, node.depth
            place = places.get(ALL_LEVELS)
            if isinstance(place, bytes):
                found.append(place)
            if depth == len(levels):
                place = places.get(None)
                if isinstance(place, bytes):
                    found.append(place)
                continue
            level = levels[depth]
            depth += 1
            for place in (places.get(ONE_LEVEL), places.get(level)):
                if place is None:
                    pass
                elif isinstance(place, bytes):
                    if levels_match(place.split(SEPARATOR), levels, depth):
                        found.append(place)
                elif place.skip is None or levels_match(
                    place.skip.split(SEPARATOR), levels[depth : place.depth], 0
                ):
                    nodes.append(place)
        return found

    # Names, asked by filter

    def matched(self, topic_filter: bytes) -> Iterator[bytes]:
        """The names that a filter matches.

        Takes time for each node that the filter leads to, and memory for the places that the nodes
        on the way have.
        """
        for place in self._matched(topic_filter):
            yield from _topics(place)

    def take(self, topic_filter: bytes) -> list[bytes]:
        """Remove the names that a filter matches; these names."""
        taken: list[bytes] = []
        for place in self._matched(topic_filter):
            names = [*_topics(place)]
            steps = _steps(names[0])
            way, _ = _way(self._root(topic_filter), steps)
            if isinstance(place, _Node):
                way = [node for node in way if node.depth < place.depth]
            _cut(way, steps)
            taken += names
        return taken

    def _matched(self, topic_filter: bytes) -> Iterator[_Place]:
        """Places that have only names that a filter matches, and together have all of them."""
        levels = topic_filter.split(SEPARATOR)
        if levels == [ALL_LEVELS]:
            levels = [ONE_LEVEL, ALL_LEVELS]  # the same, as each name has a level
        whole = len(levels) - 1 if levels[-1] == ALL_LEVELS else MOST_LEVELS
        stack: list[_Place] = [self._root(topic_filter)]
        while stack:
            place = stack.pop()
            if isinstance(place, bytes) or place.depth >= whole:
                yield place
            else:
                stack += reversed(_next(place, levels))

    def _root(self, topic: bytes) -> _Node:
        return self._hidden if topic.startswith(HIDDEN) else self._seen


def _steps(topic: bytes) -> list[_Step]:
    return [*topic.split(SEPARATOR), None]


def _joined(steps: list[_Step]) -> bytes | None:
    return SEPARATOR.join(step for step in steps if step is not None) if steps else None


def _way(root: _Node, steps: list[_Step]) -> tuple[list[_Node], _Place | None]:
    """The nodes that lead to a topic, and what the last one has where the topic goes on.

    That may be the topic, another one, or a node that the topic doesn't lead to.
    """
    way = [root]
    while True:
        node = way[-1]
        place = node.places.get(steps[node.depth])
        if not isinstance(place, _Node) or not place.is_on(steps, node.depth + 1):
            return way, place
        way.append(place)


def _next(node: _Node, levels: list[bytes]) -> list[_Place]:
    """Where a filter goes on that has led to a node."""
    depth = node.depth
    level = levels[depth] if depth < len(levels) else None
    if level == ONE_LEVEL:
        places = [place for step, place in node.places.items() if step is not None]
    else:
        places = [place for place in (node.places.get(level),) if place is not None]
    return [place for place in places if _goes_on(levels, place, depth + 1)]


def _goes_on(wanted: list[bytes], place: _Place, depth: int) -> bool:
    """Whether a filter matches a name, or leads to a node, when all matches up to `depth`."""
    if isinstance(place, bytes):
        return levels_match(wanted, place.split(SEPARATOR), depth)
    if place.skip is None:
        return True
    return levels_match(wanted[depth : place.depth], place.skip.split(SEPARATOR), 0)


def _topics(place: _Place) -> Iterator[bytes]:
    """All topics from a place on."""
    stack = [place]
    while stack:
        place = stack.pop()
        if isinstance(place, _Node):
            stack += [*place.places.values()][::-1]
        else:
            yield place


def _part(place: _Place, topic: bytes, steps: list[_Step], depth: int) -> _Node:
    """A node where a topic parts from what is in its place, with which it shares `depth` steps."""
    if isinstance(place, bytes):
        other = _steps(place)[depth:]
    else:
        assert place.skip is not None  # else the topic would lead there
        other = [*place.skip.split(SEPARATOR)]
    shared = 0
    while steps[depth + shared] == other[shared]:
        shared += 1
    if isinstance(place, _Node):
        place = _Node(place.depth, _joined(other[shared + 1 :]), place.places)
    places = {other[shared]: place, steps[depth + shared]: topic}
    return _Node(depth + shared, _joined(other[:shared]), places)


def _cut(way: list[_Node], steps: list[_Step]) -> None:
    """Remove what the last node has where a topic goes on, and the node if it isn't needed then."""
    node = way[-1]
    del node.places[steps[node.depth]]
    if len(way) == 1 or len(node.places) > 1:
        return
    ((step, sole),) = node.places.items()
    if isinstance(sole, _Node):
        below = [] if sole.skip is None else [sole.skip]
        here = [] if node.skip is None else [node.skip]
        sole = _Node(sole.depth, _joined([*here, step, *below]), sole.places)
    above = way[-2]
    above.places[steps[above.depth]] = sole
