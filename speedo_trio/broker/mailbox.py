"""A mailbox: what goes to one connected subscriber, who may read slowly.

While there is room on the connection, what is put leaves at the end of the turn, joined. When
there isn't, it waits in an outbox, within bounds, and leaves as the connection has room again: in
pieces, so that a frame of megabytes that goes to a thousand subscribers is never copied whole.

Next: `speedo_trio.broker.broker`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from speedo_trio.pubsub.outbox import Outbox, Put

if TYPE_CHECKING:
    from collections.abc import Callable

    from speedo_trio.pubsub.outbox import OutboxLimits

MOST_ANSWERS = 1000
"""Answers that may wait for a subscriber that asks on and on without reading them; of their bytes
as many may as of messages."""
LAST_BYTES = 65_536
"""Of a frame whose beginning was written, so much is still sent when a mailbox is closed."""


class Line(Protocol):
    """Where a mailbox's bytes leave: a `Connection`."""

    @property
    def room(self) -> int:
        """How many bytes may be written."""

    def write(self, data: bytes) -> bool:
        """Take bytes to be sent."""

    def send_nowait(self, data: bytes) -> bool:
        """The same, and send them at once."""


class Mailbox:
    """Frames on their way to one subscriber, in order, none torn apart by another."""

    __slots__ = (
        "_answer_bytes",
        "_answers",
        "_closed",
        "_counts",
        "_dirty",
        "_entered",
        "_fresh",
        "_limits",
        "_line",
        "_mailed",
        "_outbox",
        "_rest",
        "_stored",
        "_too_slow",
        "_torn",
        "_turn",
        "congested",
        "lost",
        "sent",
    )

    def __init__(
        self,
        line: Line,
        limits: OutboxLimits,
        dirty: list[Mailbox],
        too_slow: Callable[[str], None],
    ) -> None:
        """Begin empty.

        Args:
            line: Where the bytes leave.
            limits: How much may wait, and what happens to the rest.
            dirty: Where the mailbox enters itself when it is to be flushed at the end of the turn.
            too_slow: Called, once, when the limits say that the subscriber is to be ended, with
                what waits. It closes the mailbox.
        """
        self._line = line
        self._limits = limits
        self._dirty = dirty
        self._too_slow = too_slow
        self._entered = False  # among the dirty
        self._fresh: list[bytes] = []  # put in this turn
        # How many messages there are at a place in it where there isn't one: none in an answer.
        self._counts: dict[int, int] = {}
        # Of the turn in which the room ran out: frames, and how many messages they are.
        self._turn: deque[tuple[bytes, int]] = deque()
        self._rest: memoryview | None = None  # of a frame whose beginning was written
        self._torn = 0  # the messages in that frame
        self._outbox: Outbox[bytes] = Outbox(limits, len)
        self._answers: deque[tuple[int, bytes]] = deque()  # and after how many stored frames
        self._answer_bytes = 0
        self._stored = 0  # frames that were put in the outbox
        self._mailed = 0
        self._closed = False
        self.congested: bool = False
        """Whether frames wait for room."""
        self.lost: int = 0
        """Messages that still waited when the mailbox was closed."""
        self.sent: int = 0
        """Bytes that the connection has got."""

    @property
    def waiting(self) -> int:
        """Messages that wait for room; one of which a part was written is among them."""
        return self._torn + sum(messages for _, messages in self._turn) + len(self._outbox)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of the messages that wait for room."""
        rest = len(self._rest) if self._torn and self._rest else 0
        turn = sum(len(frame) for frame, messages in self._turn if messages)
        return rest + turn + self._outbox.bytes

    @property
    def dropped(self) -> int:
        """Messages that were dropped because there was no room for them."""
        return self._outbox.dropped

    @property
    def delivered(self) -> int:
        """Messages that were put and neither dropped nor lost, nor wait."""
        taken = self._mailed + self._stored - self._outbox.dropped_oldest
        return taken - self.waiting - self.lost

    def put(self, frame: bytes) -> bool:
        """Send a message's frame at the end of the turn, or when there is room.

        Returns:
            Whether it was taken; False when it was dropped, or the mailbox is closed.
        """
        if self.congested or self._closed:
            return self._store(frame)
        if not self._entered:
            self._enter()
        self._fresh.append(frame)
        self._mailed += 1
        return True

    def put_run(self, frames: bytes, number: int) -> None:
        """Send several messages at the end of the turn; only while it is not congested."""
        if self._closed:
            return
        if not self._entered:
            self._enter()
        self._counts[len(self._fresh)] = number
        self._fresh.append(frames)
        self._mailed += number

    def answer(self, frame: bytes) -> None:
        """The same for a frame that is no message, and so is never dropped."""
        if self._closed:
            return
        if not self.congested:
            if not self._entered:
                self._enter()
            self._counts[len(self._fresh)] = 0
            self._fresh.append(frame)
        elif self._answers and not self._may_wait(frame):
            self._too_slow(f"{len(self._answers)} answers wait")
        else:
            self._answers.append((self._stored, frame))
            self._answer_bytes += len(frame)
            self.pump()

    def flush(self) -> None:
        """The turn has ended: send what was put in it, as far as there is room."""
        self._entered = False
        if self._closed:
            return
        fresh = self._fresh
        if not fresh:
            if self.congested:
                self.pump()
            return
        self._fresh = []
        counts, self._counts = self._counts, {}
        size = len(fresh[0]) if len(fresh) == 1 else sum(map(len, fresh))
        if size <= self._line.room:
            self.sent += size
            self._line.send_nowait(fresh[0] if len(fresh) == 1 else b"".join(fresh))
        else:
            for place, frame in enumerate(fresh):
                self._turn.append((frame, counts.get(place, 1)))
            self.pump()

    def pump(self) -> None:
        """Send what waits, as far as there is room; to be called when there is room again."""
        if self._closed:
            return
        before = room = self._line.room
        batch: list[bytes | memoryview] = []
        while room > 0:
            frame = self._next()
            if frame is None:
                break
            if len(frame) > room:
                self._rest = memoryview(frame)[room:]
                frame = memoryview(frame)[:room]
            else:
                self._torn = 0
            batch.append(frame)
            room -= len(frame)
        if batch:
            self.sent += before - room
            self._line.write(b"".join(batch))  # when that fills the room, relief follows
        self.congested = bool(self._rest or self._turn or self._answers or self._outbox)

    def close(self, last: bytes = b"") -> bool:
        """Send nothing more but the rest of a frame that has begun, and `last`; what waits is lost.

        Returns:
            Whether that was sent; False when the rest is over `LAST_BYTES`, or the line closed.
        """
        if self._closed:
            return False
        self.flush()
        self._closed = True
        done = self._write_last(self._rest or b"", last)
        self.lost = self.waiting - self._torn * done
        self._turn.clear()
        self._outbox.clear()
        self._answers.clear()
        self._rest, self._torn = None, 0
        self.congested = False
        return done

    def _enter(self) -> None:
        """See to it that this is flushed at the end of the turn."""
        self._entered = True
        self._dirty.append(self)

    def _may_wait(self, answer: bytes) -> bool:
        """Whether one more answer may."""
        size = self._answer_bytes + len(answer)
        return len(self._answers) < MOST_ANSWERS and size <= self._limits.bytes

    def _write_last(self, rest: bytes | memoryview, last: bytes) -> bool:
        if len(rest) > LAST_BYTES:
            return False
        data = b"".join((rest, last))
        self.sent += len(data)
        return not data or self._line.send_nowait(data)

    def _store(self, frame: bytes) -> bool:
        if self._closed:
            return False
        put = self._outbox.put(frame)
        if put is Put.TAKEN:
            self._stored += 1
            if not self._entered:
                self._enter()  # by then there may be room
            return True
        if put is Put.DISCONNECT:
            self._too_slow(f"{self.waiting} messages wait")
        return False

    def _next(self) -> bytes | memoryview | None:
        """Take what is to be sent next."""
        rest = self._rest
        if rest is not None:
            self._rest = None
            return rest
        if self._turn:
            frame, self._torn = self._turn.popleft()
            return frame
        if self._answers and self._answers[0][0] <= self._stored - len(self._outbox):
            answer = self._answers.popleft()[1]
            self._answer_bytes -= len(answer)
            return answer
        self._torn = 1 if self._outbox else 0
        return self._outbox.take_one()
