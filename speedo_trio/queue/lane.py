"""A lane: the messages of one connection that wait, in order.

A lane is executed by one worker at a time. Who holds its *claim* may take messages; the Trio
thread alone puts them. The claim is a lock that is only ever tried, never waited for: taking it
says "this lane is now in the queue of ready lanes, or being executed", and so a lane is in that
queue at most once and its order is kept whatever the number of workers.

Next: `speedo_trio.worker.turn`, which executes a lane.
"""

from __future__ import annotations

import threading
from collections import deque
from itertools import islice
from operator import length_hint
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

M = TypeVar("M")


class Outlet(Protocol):
    """Where a lane's replies leave: its connection. From any thread."""

    @property
    def replies(self) -> list[bytes]:
        """Where the holder of the claim appends replies, encoded, in order."""

    @property
    def encode(self) -> Callable[[bytes], bytes] | None:
        """Turns a reply into bytes on the wire; None leaves it as it is."""

    def flush(self) -> bool:
        """Send the replies so far; whether all of them went."""

    def gate(self) -> bool:
        """Whether the peer reads too slowly for more replies now.

        If so the claim passes to the outlet's side, and the lane is dispatched again when there
        is room.
        """


class LaneOwner(Protocol):
    """Who is told of a lane: the connection's link. On the Trio thread."""

    def message_failed(self, message: object, error: BaseException) -> None:
        """`message` raised. The claim passes to the owner."""

    def progressed(self) -> None:
        """Something that the owner watches for may have come true."""


class Tally:
    """How many messages wait in all lanes together, and how many may."""

    __slots__ = ("_removed", "_waiting", "limit")

    def __init__(self, limit: int) -> None:
        self.limit: int = limit
        self._waiting = 0
        self._removed: deque[int] = deque()  # what workers took off, without a lock

    @property
    def waiting(self) -> int:
        """Messages that wait in all lanes. On the Trio thread."""
        removed = self._removed
        while removed:
            self._waiting -= removed.popleft()
        return self._waiting

    def add(self, count: int) -> None:
        """Count `count` messages as waiting. On the Trio thread."""
        self._waiting += count

    def remove(self, count: int) -> None:
        """Count `count` messages as waiting no longer. From any thread."""
        self._removed.append(count)


class Lane(Generic[M]):
    """The waiting messages of one connection, at most `limit` of them."""

    __slots__ = (
        "_claim",
        "_cursor",
        "_late",
        "dropped",
        "executed",
        "halt",
        "limit",
        "messages",
        "outlet",
        "owner",
        "ready_at",
        "shut",
        "tally",
        "watched",
    )

    def __init__(self, owner: LaneOwner, outlet: Outlet, limit: int, tally: Tally) -> None:
        self.owner: LaneOwner = owner
        self.outlet: Outlet = outlet
        self.limit: int = limit
        self.tally: Tally = tally
        self.messages: list[M] = []
        """What waits, and what was executed in a turn that goes on. A list and no deque, which
        would take 700 bytes of every idle connection."""
        self.executed: int = 0
        """Messages executed so far, failed ones included. Written by who holds the claim."""
        self.dropped: int = 0
        """Messages dropped, or cut off in the middle."""
        self.shut: bool = False
        """No message is executed any more."""
        self.halt: bool = False
        """The turn that goes on is to end after the message that runs. Set by any thread."""
        self.watched: bool = False
        """Whether the owner waits for progress and must be told of it."""
        self.ready_at: float = 0.0
        """When it was last queued for a worker, on the clock of `time.perf_counter`; 0 unless that
        is measured."""
        self._claim = threading.Lock()
        self._cursor: Iterator[M] | None = None
        self._late = 0  # messages that came after the end

    @property
    def room(self) -> int:
        """How many messages may be put now. On the Trio thread.

        An empty lane always has room for one, so that lanes of peers that don't read their
        replies can use up the tally without starving the others.
        """
        waiting = len(self.messages)
        own = self.limit - waiting
        shared = self.tally.limit - self.tally.waiting
        if shared >= own:
            return own
        return max(shared, 0 if waiting else 1)

    @property
    def waiting(self) -> int:
        """How many messages wait, without the one that is being executed."""
        cursor = self._cursor
        return len(self.messages) if cursor is None else length_hint(cursor)

    @property
    def unexecuted(self) -> int:
        """How many messages have not been executed to their end."""
        return self.waiting + (self._cursor is not None) + self._late

    @property
    def claimed(self) -> bool:
        """Whether the lane is ready, being executed or gated; False: nothing to do."""
        return self._claim.locked()

    def put(self, messages: Iterator[M]) -> bool:
        """Take as many messages from the iterator as there is room for. On the Trio thread.

        What the iterator raises passes through, after the messages before it were put.

        Returns:
            Whether the iterator may have more.
        """
        room = self.room
        batch: list[M] = []
        try:
            batch.extend(islice(messages, room))
        finally:
            if self.shut:  # meanwhile, by what the iterator did
                self._late += len(batch)
            elif batch:
                self.tally.add(len(batch))
                self.messages += batch
        return len(batch) >= room

    def claim(self) -> bool:
        """Take the claim if there are messages and nobody holds it.

        After True the caller must dispatch the lane.
        """
        return bool(self.messages) and self._claim.acquire(False)

    def release(self) -> bool:
        """Give the claim back, unless messages came meanwhile.

        Returns:
            Whether the caller holds the claim again, and so must execute or dispatch the lane.
        """
        self._claim.release()
        return self.claim()

    def begin(self) -> Iterator[M]:
        """Begin a turn: the messages that wait, and those that come meanwhile.

        For who holds the claim; `done` ends the turn.
        """
        self.halt = self.shut
        self._cursor = cursor = iter(self.messages)
        return cursor

    def done(self, count: int) -> None:
        """End a turn in which the first `count` messages were executed."""
        self._cursor = None
        del self.messages[:count]
        self.executed += count
        self.tally.remove(count)

    def cut(self, count: int) -> None:
        """End a turn in which the last of the first `count` messages was cut off: dropped."""
        self.done(count)
        self.executed -= 1
        self.dropped += 1

    def shut_down(self) -> None:
        """Let no further message execute; what waits is dropped by who holds the claim."""
        self.shut = self.halt = True
        if self._claim.acquire(False):
            self.clear()
            self._claim.release()

    def clear(self) -> None:
        """Drop what waits. For who holds the claim."""
        count = len(self.messages)
        self.messages.clear()
        self.dropped += count
        self.tally.remove(count)
