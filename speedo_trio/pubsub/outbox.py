"""An outbox: what waits to be sent to one subscriber, within bounds, and what became of the rest.

Next: `speedo_trio.pubsub.shared`, for subscribers that share the work.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias, TypeVar, get_args

from attrs import field, frozen

from speedo_trio.errors import ConfigError
from speedo_trio.pubsub.bounds import bound

if TYPE_CHECKING:
    from collections.abc import Callable

M = TypeVar("M")


class Overflow(enum.Enum):
    """What happens to a message for which there is no room."""

    DROP_NEWEST = "drop-newest"
    """It is dropped."""
    DROP_OLDEST = "drop-oldest"
    """Those that wait for longest are dropped, until there is room."""
    DISCONNECT = "disconnect"
    """It is dropped, and so is all that would come after it; the subscriber is to be ended."""


OverflowPolicy: TypeAlias = Literal["drop-newest", "drop-oldest", "disconnect"]
"""What happens to a message for a subscriber that reads too slowly: it is dropped, the one that has
waited for longest is, or the subscriber is ended."""


def check_overflow(owner: object, attribute: object, value: object) -> None:
    """Validate an attrs field that is an `OverflowPolicy`.

    Raises:
        ConfigError: it is none.
    """
    if value not in get_args(OverflowPolicy):
        allowed = " or ".join(map(repr, get_args(OverflowPolicy)))
        raise ConfigError(f"overflow is {value!r}; allowed is {allowed}")


class Put(enum.Enum):
    """What became of a message that was put."""

    TAKEN = enum.auto()
    DROPPED = enum.auto()
    DISCONNECT = enum.auto()
    """It was dropped, and its subscriber is to be ended."""


@frozen(kw_only=True)
class OutboxLimits:
    """How much may wait in an outbox. One object serves all the outboxes that it is for."""

    messages: int = field(default=1000, validator=bound())
    """What mosquitto allows too, by default."""
    bytes: int = field(default=1_048_576, validator=bound())
    """As much as a subscriber gets in a second over a slow line, 8 Mbit/s."""
    overflow: Overflow = Overflow.DROP_NEWEST


class Outbox(Generic[M]):
    """Messages that wait, the oldest first. An empty one takes little memory."""

    __slots__ = (
        "_limits",
        "_measure",
        "_waiting",
        "bytes",
        "dropped_newest",
        "dropped_oldest",
        "full",
    )

    def __init__(self, limits: OutboxLimits, measure: Callable[[M], int]) -> None:
        """Begin empty.

        Args:
            measure: The bytes that a message takes; for the same message always the same.
        """
        self._limits = limits
        self._measure = measure
        self._waiting: deque[M] | None = None  # an empty deque would take 600 bytes
        self.bytes: int = 0
        """The bytes that wait."""
        self.dropped_newest: int = 0
        """Messages that were dropped when they came."""
        self.dropped_oldest: int = 0
        """Messages that were dropped after they had waited."""
        self.full: bool = False
        """Whether it overflowed and its subscriber is to be ended; nothing more is taken."""

    def __len__(self) -> int:
        return 0 if self._waiting is None else len(self._waiting)

    @property
    def dropped(self) -> int:
        """Messages that were dropped, when they came or later."""
        return self.dropped_newest + self.dropped_oldest

    def put(self, message: M) -> Put:
        """Let a message wait, or do what the limits say."""
        size = self._measure(message)
        if self._lacks_room(size) and not self._make_room(size):
            self.dropped_newest += 1
            return Put.DISCONNECT if self.full else Put.DROPPED
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(message)
        self.bytes += size
        return Put.TAKEN

    def take(self, most: int | None = None, most_bytes: int | None = None) -> list[M]:
        """Take what waits, the oldest first.

        Args:
            most: How many messages at most.
            most_bytes: How many bytes at most; but one message is taken, whatever its size.
        """
        waiting = self._waiting
        if waiting is None:
            return []
        if most is None and most_bytes is None:
            self.clear()
            return list(waiting)
        taken: list[M] = []
        size = 0
        while waiting and len(taken) != most:
            size += self._measure(waiting[0])
            if taken and most_bytes is not None and size > most_bytes:
                break
            taken.append(self._take_oldest(waiting))
        return taken

    def take_one(self) -> M | None:
        """Take the oldest message; None when none waits."""
        return None if self._waiting is None else self._take_oldest(self._waiting)

    def clear(self) -> int:
        """Drop what waits; how many messages that were. They are counted nowhere."""
        count = len(self)
        self._waiting = None
        self.bytes = 0
        return count

    def _lacks_room(self, size: int) -> bool:
        limits = self._limits
        return self.full or len(self) >= limits.messages or self.bytes + size > limits.bytes

    def _make_room(self, size: int) -> bool:
        """Do what the limits say for a message for which there is none; whether there is now."""
        limits = self._limits
        if self.full or limits.overflow is Overflow.DISCONNECT:
            self.full = True
            return False
        if limits.overflow is Overflow.DROP_NEWEST or size > limits.bytes:
            return False
        while self._lacks_room(size):
            assert self._waiting is not None  # the message alone would have room
            self._take_oldest(self._waiting)
            self.dropped_oldest += 1
        return True

    def _take_oldest(self, waiting: deque[M]) -> M:
        message = waiting.popleft()
        self.bytes -= self._measure(message)
        if not waiting:
            self._waiting = None
        return message
