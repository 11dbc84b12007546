"""A passage: frames on their way from the local end of a bridge to the far side.

Where there is a store, what promises something waits here until that is written down.

Next: `speedo_trio.mqtt.bridging.local`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from speedo_trio.mqtt.store.keeper import Keeper

MOST_WAITING: Final = 262_144
"""Bytes that wait for the store, after which messages wait in the session instead."""


class Passage:
    """That of one local end. It is also the way behind its own gate."""

    def __init__(
        self, keeper: Keeper | None, go: Callable[[bytes], None], relieved: Callable[[], None]
    ) -> None:
        """Open.

        Args:
            keeper: who writes things down; None: nobody does, and nothing waits.
            go: gets the frames, in their order.
            relieved: called when less waits than before.
        """
        self._keeper = keeper
        self._go = go
        self._gate = None if keeper is None else keeper.gate(self, relieved)

    @property
    def full(self) -> bool:
        """Whether so much waits that only answers should be put."""
        return self._gate is not None and not self._gate.room

    def put(self, frame: bytes) -> None:
        """Let a frame go, behind what waits."""
        if self._gate is None:
            self._go(frame)
        else:
            self._gate.send_nowait(frame)

    def hold(self) -> None:
        """Let what is put from now on wait for all that was noted so far."""
        if self._keeper is not None and self._gate is not None:
            self._keeper.hold(self._gate)

    def abandon(self) -> None:
        """The far side is gone: what waits goes nowhere."""
        if self._gate is not None:
            self._gate.abandon()

    async def ready(self) -> None:
        """Wait while nothing should be taken: the store is not open, or can't keep up."""
        keeper, gate = self._keeper, self._gate
        if keeper is not None and gate is not None and keeper.delays(gate):
            await keeper.room()

    # What the gate calls

    @property
    def room(self) -> int:
        """How many bytes may wait."""
        return MOST_WAITING

    def write(self, data: bytes) -> bool:
        """Take bytes: whole frames."""
        self._go(data)
        return True

    def send_nowait(self, data: bytes) -> bool:
        """The same."""
        return self.write(data)

    def close(self) -> None:
        """A passage is closed by nobody."""
