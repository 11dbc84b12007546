"""Retained messages: the last one of each name, kept for those who subscribe later.

Next: `speedo_trio.pubsub.exchange`, which joins all this.
"""

from __future__ import annotations

import enum
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Generic, TypeVar

from attrs import field, frozen

from speedo_trio.pubsub.bounds import bound
from speedo_trio.pubsub.levels import LevelTree
from speedo_trio.pubsub.topics import has_wildcard

if TYPE_CHECKING:
    from collections.abc import Iterator

M = TypeVar("M")

PURGE = 100
"""Expired messages that are dropped in one go, unless more are asked for: 0.2 ms or so."""


@frozen(kw_only=True)
class RetainedLimits:
    """How much may be retained."""

    messages: int = field(default=100_000, validator=bound())
    """Names that have a message."""
    bytes: int = field(default=67_108_864, validator=bound())
    """Bytes of all messages, as they are told when they are set, and of their names. Beside that
    each takes some 500 bytes."""


class Retention(enum.Enum):
    """What became of a message that was to be retained."""

    ADDED = enum.auto()
    REPLACED = enum.auto()
    TOO_MANY = enum.auto()
    """Nothing changed: there are as many messages as may be."""
    TOO_LARGE = enum.auto()
    """Nothing changed: the messages have as many bytes as may be."""


class _Kept(Generic[M]):
    """A message that is retained."""

    __slots__ = ("expires", "look", "message", "size")

    def __init__(self, message: M, size: int, expires: float | None) -> None:
        self.message = message
        self.size = size
        self.expires = expires
        self.look: float | None = None  # when to look whether it has expired


class Retained(Generic[M]):
    """The last message of each name, within bounds, until it expires.

    Names must have passed `speedo_trio.pubsub.topics.check_name`, filters `check_filter`. Times
    are seconds of a clock of the caller's, the same for all calls. A message that has expired is
    never given out; it is counted until a call comes across it, or `purge` does.
    """

    __slots__ = ("_kept", "_limits", "_looks", "_names", "bytes")

    def __init__(self, limits: RetainedLimits | None = None) -> None:
        self._limits = RetainedLimits() if limits is None else limits
        self._kept: dict[bytes, _Kept[M]] = {}
        self._names = LevelTree()
        self._looks: list[tuple[float, bytes]] = []
        """A heap: when to look at which name. Some are void, as the message is gone. A message that
        is replaced by one that expires later keeps its look, so that there is one for each name
        however often it is set."""
        self.bytes: int = 0
        """The bytes of all messages and of their names."""

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[bytes]:
        """All names, those of messages too that have expired, in the order of `match`."""
        return iter(self._names)

    def set(
        self, name: bytes, message: M, *, size: int, now: float, expires: float | None = None
    ) -> Retention:
        """Keep a message in place of the one that the name has.

        At a bound, messages that have expired make room. When that isn't enough nothing changes:
        the name keeps the message that it has, which the caller may want to `delete`.

        Args:
            size: The message's bytes, for the bound.
            expires: When it does; None for never.
        """
        size += len(name)
        while (refusal := self._refusal(name, size)) and self._due(now):
            self.purge(now)
        if refusal is not None:
            return refusal
        replaced = self._kept.get(name)
        kept = self._kept[name] = _Kept(message, size, expires)
        self.bytes += size
        if replaced is None:
            self._names.add(name)
        else:
            self.bytes -= replaced.size
            kept.look = replaced.look
        self._watch(name, kept)
        return Retention.ADDED if replaced is None else Retention.REPLACED

    def delete(self, name: bytes) -> M | None:
        """Keep no message for a name any more.

        Returns:
            The one that it had, expired or not; None when there was none.
        """
        kept = self._kept.pop(name, None)
        if kept is None:
            return None
        self._names.discard(name)
        self.bytes -= kept.size
        self._tidy()
        return kept.message

    def get(self, name: bytes, now: float) -> M | None:
        """The message of a name; None when there is none."""
        kept = self._kept.get(name)
        if kept is None:
            return None
        if kept.expires is not None and kept.expires <= now:
            self.delete(name)
            return None
        return kept.message

    def match(self, topic_filter: bytes, now: float) -> Iterator[tuple[bytes, M]]:
        """The messages of the names that a filter matches, each with its name.

        Names that begin with the same levels come together; otherwise they come in the order in
        which they first had a message. Messages may be set and deleted while this goes on: what
        is there all the time comes once, what comes or goes meanwhile comes once or not at all.
        """
        names = self._names.matched(topic_filter) if has_wildcard(topic_filter) else [topic_filter]
        for name in names:
            message = self.get(name, now)
            if message is not None:
                yield name, message

    def purge(self, now: float, most: int = PURGE) -> int:
        """Drop messages that have expired; how many were dropped.

        Args:
            most: So many are looked at. When `deadline` still is not after `now`, there are more.
        """
        before = len(self._kept)
        for _ in range(most):
            if not self._due(now):
                break
            look, name = heappop(self._looks)
            kept = self._kept.get(name)
            if kept is not None and kept.look == look:
                kept.look = None
                if kept.expires is not None and kept.expires <= now:
                    self.delete(name)
                else:
                    self._watch(name, kept)
        return before - len(self._kept)

    @property
    def deadline(self) -> float | None:
        """When `purge` is next worth a call; None when nothing expires."""
        return self._looks[0][0] if self._looks else None

    def _refusal(self, name: bytes, size: int) -> Retention | None:
        replaced = self._kept.get(name)
        if replaced is None and len(self._kept) >= self._limits.messages:
            return Retention.TOO_MANY
        freed = 0 if replaced is None else replaced.size
        return Retention.TOO_LARGE if self.bytes + size - freed > self._limits.bytes else None

    def _due(self, now: float) -> bool:
        return bool(self._looks) and self._looks[0][0] <= now

    def _watch(self, name: bytes, kept: _Kept[M]) -> None:
        """See that there is a look at a message when it expires, or earlier."""
        if kept.expires is not None and (kept.look is None or kept.expires < kept.look):
            kept.look = kept.expires
            heappush(self._looks, (kept.look, name))
            self._tidy()

    def _tidy(self) -> None:
        """Drop the void looks when they are most of all, and so were paid for by many calls."""
        if len(self._looks) > 2 * len(self._kept) + PURGE:
            looks = [(kept.look, name) for name, kept in self._kept.items()]
            self._looks = [(look, name) for look, name in looks if look is not None]
            heapify(self._looks)
