"""The memory of a client: what outlasts its connections, as long as the server keeps its session.

Next: `speedo_trio.mqtt.client.events`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import Factory, define

from speedo_trio.mqtt.client.login import MOST_IDS

if TYPE_CHECKING:
    from collections.abc import Container

    from speedo_trio.mqtt.wire.packets import Publish


@define(eq=False)
class Memory:
    """Messages with QoS 1 and 2 whose way has not ended (section 4.1), both ways."""

    published: dict[int, Publish] = Factory(dict)
    """Sent and not acknowledged, in the order of their first sending."""
    released: dict[int, None] = Factory(dict)
    """Of QoS 2: the server has them, and is to forget the identifiers; in that order."""
    held: set[int] = Factory(set)
    """Identifiers of the server's, of messages with QoS 2 that were dealt with."""
    last_id: int = 0

    @property
    def inflight(self) -> int:
        """Messages that were sent and whose way has not ended."""
        return len(self.published) + len(self.released)

    def free_id(self, others: Container[int]) -> int:
        """The next identifier in the circle that nothing has, of these nor of `others`.

        There must be one.
        """
        while True:
            self.last_id = self.last_id % MOST_IDS + 1
            number = self.last_id
            if not (number in self.published or number in self.released or number in others):
                return number

    def clear(self) -> None:
        """The server has no session any more: forget all (section 3.2.2.1.1)."""
        self.published.clear()
        self.released.clear()
        self.held.clear()
