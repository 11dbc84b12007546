"""A gate: what a client is promised waits here until it is written down; the rest goes through.

Next: `speedo_trio.mqtt.store.writer`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from speedo_trio.broker.mailbox import Line, Mailbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from speedo_trio.mqtt.store.ledger import Ledger
    from speedo_trio.pubsub.outbox import OutboxLimits


class Way(Line, Protocol):
    """What is behind a gate: a `Connection`."""

    def close(self) -> None:
        """Send nothing more, and close."""


class Gate:
    """Stands between a mailbox and its connection. In order: nothing passes what waits."""

    __slots__ = ("_closing", "_connection", "_gates", "_parts", "_relieved", "_waiting")

    def __init__(
        self, connection: Way, gates: dict[Gate, None], relieved: Callable[[], None]
    ) -> None:
        """Open.

        Args:
            gates: Where it enters itself while it waits for a batch.
            relieved: Called when less waits than before.
        """
        self._connection = connection
        self._gates = gates
        self._relieved = relieved
        self._parts: deque[tuple[int, list[bytes]]] = deque()  # by the batch that they wait for
        self._waiting = 0  # bytes
        self._closing = False

    @property
    def shut(self) -> bool:
        """Whether it waits for a batch."""
        return bool(self._parts)

    @property
    def room(self) -> int:
        """How many bytes may be written: as many as the connection will take."""
        return max(0, self._connection.room - self._waiting)

    def write(self, data: bytes) -> bool:
        """Take bytes to be sent."""
        if not self._parts:
            return self._connection.write(data)
        self._parts[-1][1].append(data)
        self._waiting += len(data)
        return True

    def send_nowait(self, data: bytes) -> bool:
        """Take bytes, and send them at once if nothing waits."""
        if not self._parts:
            return self._connection.send_nowait(data)
        return self.write(data)

    def hold(self, batch: int) -> None:
        """What comes from now on waits until a batch is written."""
        if not self._parts:
            self._gates[self] = None
        elif self._parts[-1][0] >= batch:
            return
        self._parts.append((batch, []))

    def open(self, batch: int) -> bool:
        """So many batches are written: send what waited for them; whether nothing waits now."""
        parts, ready = self._parts, []
        while parts and parts[0][0] <= batch:
            ready += parts.popleft()[1]
        if ready:
            data = ready[0] if len(ready) == 1 else b"".join(ready)
            self._waiting -= len(data)
            self._connection.send_nowait(data)
        if self._closing and not parts:
            self._connection.close()
        else:
            self._relieved()
        return not parts

    def close(self) -> None:
        """Close the connection, when what waits has left."""
        if self._parts:
            self._closing = True
        else:
            self._connection.close()

    def abandon(self) -> None:
        """The connection has closed: what waits goes nowhere."""
        self._parts.clear()
        self._waiting = 0
        self._closing = False
        self._gates.pop(self, None)


class GatedMailbox(Mailbox):
    """A mailbox whose answers wait for what was noted in the turn that they are of."""

    __slots__ = ("_ledger", "_mark", "gate")

    def __init__(
        self,
        gate: Gate,
        limits: OutboxLimits,
        dirty: list[Mailbox],
        too_slow: Callable[[str], None],
        ledger: Ledger,
    ) -> None:
        super().__init__(gate, limits, dirty, too_slow)
        self.gate: Gate = gate
        """What it stands behind."""
        self._ledger = ledger
        self._mark = ledger.changes

    def begin_turn(self) -> None:
        """What was noted before is of others."""
        self._mark = self._ledger.changes

    def answer(self, frame: bytes) -> None:
        if self._ledger.changes != self._mark:
            self.flush()
            self.hold()
        super().answer(frame)

    def hold(self) -> None:
        """Let what is put from now on wait for all that was noted so far."""
        ledger = self._ledger
        if ledger.latest > ledger.written:
            self.gate.hold(ledger.latest)
