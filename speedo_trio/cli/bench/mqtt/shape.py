"""Shapes: who publishes and who subscribes, to what.

Next: `speedo_trio.cli.bench.mqtt.stamp`.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

VERSIONS: Final = {"5": 5, "3.1.1": 4}
"""The protocol levels, by the names of versions."""

_TOPICS: Final = {
    "pairs": ("{run}/{number}/x", "{run}/{number}/x"),
    "fanout": ("{run}/all", "{run}/all"),
    "fanin": ("{run}/in/{number}", "{run}/in/+"),
    "wild": ("{run}/{number}/a/b/c", "{run}/{number}/+/b/#"),
    "shared": ("{run}/shared/{number}", "$share/bench/{run}/shared/+"),
}
"""Of each shape: what its publishers publish to, what its subscribers subscribe to."""

SHAPES: Final = tuple(_TOPICS)


@frozen
class Shape:
    """So many clients that exchange messages, apart from those of any other `run`."""

    name: str
    clients: int
    run: str

    @property
    def publishers(self) -> int:
        """How many."""
        return 1 if self.name == "fanout" else self.clients

    @property
    def subscribers(self) -> int:
        """How many."""
        return 1 if self.name == "fanin" else self.clients

    @property
    def copies(self) -> int:
        """Deliveries of each message."""
        return self.clients if self.name == "fanout" else 1

    @property
    def shared(self) -> bool:
        """Whether each message may come to any subscriber."""
        return self.name == "shared"

    def topic(self, number: int) -> bytes:
        """What publisher `number` publishes to."""
        return _TOPICS[self.name][0].format(run=self.run, number=number).encode()

    def topic_filter(self, number: int) -> bytes:
        """What subscriber `number` subscribes to."""
        return _TOPICS[self.name][1].format(run=self.run, number=number).encode()
