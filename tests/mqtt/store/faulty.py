"""A store that fails, or is slow, as a test wants."""

from __future__ import annotations

import threading

from speedo_trio.errors import StoreError
from speedo_trio.mqtt.store.batch import Batch
from speedo_trio.mqtt.store.contract import Removed
from speedo_trio.mqtt.store.sqlite import SQLiteStore


class FaultyStore(SQLiteStore):
    """As the real one, but a commit may wait or fail."""

    fails = False
    """Whether commits fail from now on."""

    def __init__(self, path: str, *, pending_bytes: int = 1 << 24) -> None:
        super().__init__(path, pending_bytes=pending_bytes)
        self._go = threading.Event()
        self._go.set()
        self.commits = 0
        """Commits that were tried."""

    def stall(self) -> None:
        """Commits wait from now on."""
        self._go.clear()

    def go_on(self) -> None:
        """They don't any more."""
        self._go.set()

    def commit(self, batch: Batch) -> Removed:
        self._go.wait()
        self.commits += 1
        if self.fails:
            raise StoreError("no space left, says the test")
        return super().commit(batch)
