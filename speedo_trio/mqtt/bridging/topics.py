"""The topics of a bridge: what a topic here is called there, and the other way.

Next: `speedo_trio.mqtt.bridging.translator`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from speedo_trio.pubsub.topics import matches

if TYPE_CHECKING:
    from collections.abc import Iterable

    from speedo_trio.mqtt.bridging.settings import BridgeTopic


@frozen
class _Way:
    """One direction of one rule."""

    topic_filter: bytes
    before: bytes
    """What a topic begins with where it comes from."""
    after: bytes
    """And where it goes to."""
    qos: int

    def renamed(self, topic: bytes) -> bytes | None:
        """The topic where it goes to; None: the rule is not for it."""
        if not topic.startswith(self.before) or not matches(self.topic_filter, topic):
            return None
        return self.after + topic[len(self.before) :] or None  # none has no characters


class TopicMap:
    """The rules of a bridge, both ways. Of several that match the first holds."""

    def __init__(self, topics: Iterable[BridgeTopic]) -> None:
        self._out: list[_Way] = []
        self._in: list[_Way] = []
        for topic in topics:
            here, there = topic.local_prefix.encode(), topic.remote_prefix.encode()
            pattern = topic.filter.encode()
            if topic.direction != "in":
                self._out.append(_Way(here + pattern, here, there, topic.qos))
            if topic.direction != "out":
                self._in.append(_Way(there + pattern, there, here, topic.qos))

    def outward(self, topic: bytes) -> bytes | None:
        """What a topic here is called there; None: it doesn't go out."""
        return _first(self._out, topic)

    def inward(self, topic: bytes) -> bytes | None:
        """What a topic there is called here; None: it doesn't come in."""
        return _first(self._in, topic)

    @property
    def local_filters(self) -> dict[bytes, int]:
        """What to subscribe to here, with which QoS."""
        return _filters(self._out)

    @property
    def remote_filters(self) -> dict[bytes, int]:
        """What to subscribe to there, with which QoS."""
        return _filters(self._in)

    @property
    def growth(self) -> int:
        """The bytes that a topic gets longer by at most, when it goes out."""
        return max((len(each.after) - len(each.before) for each in self._out), default=0)


def _first(ways: list[_Way], topic: bytes) -> bytes | None:
    for way in ways:
        renamed = way.renamed(topic)
        if renamed is not None:
            return renamed
    return None


def _filters(ways: list[_Way]) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    for way in ways:
        found[way.topic_filter] = max(way.qos, found.get(way.topic_filter, 0))
    return found
