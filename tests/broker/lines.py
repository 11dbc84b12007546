"""A line that takes what the test lets it, and what a mailbox does with it."""

from __future__ import annotations

from speedo_trio.broker.mailbox import Mailbox
from speedo_trio.pubsub.outbox import OutboxLimits, Overflow


class ScriptedLine:
    """A connection with as much room as the test says."""

    def __init__(self, room: int = 0) -> None:
        self.room = room
        self.written: list[bytes] = []
        self.closed = False

    @property
    def sent(self) -> bytes:
        """All that was written."""
        return b"".join(self.written)

    def write(self, data: bytes) -> bool:
        """Take the bytes, be there room or not."""
        if self.closed:
            return False
        self.written.append(data)
        self.room = max(0, self.room - len(data))
        return True

    def send_nowait(self, data: bytes) -> bool:
        """The same."""
        return self.write(data)


class Desk:
    """A mailbox, its line, and the turns in which it is flushed."""

    def __init__(
        self,
        room: int = 0,
        *,
        messages: int = 1000,
        most_bytes: int = 1_000_000,
        overflow: Overflow = Overflow.DROP_NEWEST,
    ) -> None:
        self.line = ScriptedLine(room)
        self.dirty: list[Mailbox] = []
        self.too_slow: list[str] = []
        limits = OutboxLimits(messages=messages, bytes=most_bytes, overflow=overflow)
        self.mailbox = Mailbox(self.line, limits, self.dirty, self.end)
        self.last = b""
        """What is sent last when the limits end it."""
        self.closed: list[bool] = []

    def end(self, what: str) -> None:
        """Do what a handler does when it is told that its client reads too slowly."""
        self.too_slow.append(what)
        self.closed.append(self.mailbox.close(self.last))

    def put(self, *frames: bytes) -> list[bool]:
        """Put frames in one turn."""
        taken = [self.mailbox.put(frame) for frame in frames]
        self.turn()
        return taken

    def turn(self) -> None:
        """End the turn."""
        for mailbox in self.dirty:
            mailbox.flush()
        self.dirty.clear()

    def let(self, room: int) -> None:
        """Make room, and tell of it."""
        self.line.room = room
        self.mailbox.pump()

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Delivered, dropped, lost, waiting."""
        box = self.mailbox
        return box.delivered, box.dropped, box.lost, box.waiting
