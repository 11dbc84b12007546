"""A backlog: messages with QoS 1 or 2 that wait for one client, within bounds, the oldest first.

Next: `speedo_trio.mqtt.state.aliases`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from speedo_trio.pubsub.outbox import Overflow, Put

if TYPE_CHECKING:
    from collections.abc import Iterator

    from speedo_trio.mqtt.state.flights import Message
    from speedo_trio.pubsub.outbox import OutboxLimits


class Backlog:
    """What waits. An empty one takes little memory, as most are.

    An `Outbox` differs: one that has overflowed takes nothing more for ever, and a session may go
    on with another connection.
    """

    __slots__ = ("_limits", "_waiting", "bytes", "dropped")

    def __init__(self, limits: OutboxLimits) -> None:
        self._limits = limits
        self._waiting: deque[Message] | None = None  # an empty deque would take 600 bytes
        self.bytes: int = 0
        """The bytes of the topics, payloads and properties that wait."""
        self.dropped: int = 0
        """Messages for which there was no room."""

    def __len__(self) -> int:
        return 0 if self._waiting is None else len(self._waiting)

    @property
    def ready(self) -> bool:
        """Whether `take` gives something."""
        return self._waiting is not None

    def __iter__(self) -> Iterator[Message]:
        """What waits. It must not change meanwhile."""
        return iter(self._waiting or ())

    def put(self, message: Message, *, away: bool) -> Put:
        """Let a message wait, or do what the limits say.

        Args:
            away: There is no connection that could be ended: the message is just dropped.
        """
        size = size_of(message)
        if self.lacks_room(size):
            refusal = self._refuse(size, away=away)
            if refusal is not None:
                return refusal
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(message)
        self.bytes += size
        return Put.TAKEN

    def take(self) -> Message | None:
        """Take the oldest message; None when none waits."""
        waiting = self._waiting
        if waiting is None:
            return None
        message = waiting.popleft()
        self.bytes -= size_of(message)
        if not waiting:
            self._waiting = None
        return message

    def clear(self) -> None:
        """Let go of everything."""
        self._waiting = None
        self.bytes = 0

    @property
    def crowded(self) -> bool:
        """Whether more than half of what may wait does."""
        return self._over(2)

    @property
    def eased(self) -> bool:
        """Whether a quarter of what may wait does at most."""
        return not self._over(4)

    def _over(self, share: int) -> bool:
        """Whether more than one part in so many is taken."""
        limits = self._limits
        return share * len(self) > limits.messages or share * self.bytes > limits.bytes

    def _refuse(self, size: int, *, away: bool) -> Put | None:
        """Do what the limits say for a message for which there is no room; None: there is now."""
        overflow = self._limits.overflow
        if overflow is not Overflow.DROP_OLDEST or size > self._limits.bytes:
            self.dropped += 1
            ends = overflow is Overflow.DISCONNECT and not away
            return Put.DISCONNECT if ends else Put.DROPPED
        self._make_room(size)
        return None

    def _make_room(self, size: int) -> None:
        """Drop the oldest until there is room for so many bytes."""
        while self.lacks_room(size):
            self.take()
            self.dropped += 1

    def has_room(self, messages: int, size: int) -> bool:
        """Whether several messages, of so many bytes together, find room."""
        limits = self._limits
        return len(self) + messages <= limits.messages and self.bytes + size <= limits.bytes

    def lacks_room(self, size: int) -> bool:
        """Whether a message of so many bytes would be too much."""
        limits = self._limits
        return len(self) >= limits.messages or self.bytes + size > limits.bytes


def size_of(message: Message) -> int:
    """The bytes of its topic, payload and properties."""
    publication = message[0]
    if publication.properties is None:  # as most have none, without a call
        return len(publication.topic) + len(publication.payload)
    return publication.size
