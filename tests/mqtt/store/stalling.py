"""The command with a store whose writer stalls: ``python -m tests.mqtt.store.stalling``."""

from __future__ import annotations

import random
import sys
import time

from speedo_trio.cli.app import run
from speedo_trio.mqtt.store.batch import Batch
from speedo_trio.mqtt.store.contract import Removed
from speedo_trio.mqtt.store.sqlite import SQLiteStore

_MOMENTS = (0.0, 0.0, 0.05, 0.4, 1.5)
"""Seconds that a commit takes longer, before or afterwards."""

_commit = SQLiteStore.commit


def commit(store: SQLiteStore, batch: Batch) -> Removed:
    """Commit after a while, and tell of it after another."""
    time.sleep(random.choice(_MOMENTS))
    removed = _commit(store, batch)
    time.sleep(random.choice(_MOMENTS))
    return removed


if __name__ == "__main__":
    setattr(SQLiteStore, "commit", commit)  # noqa: B010  # that is the stall
    sys.exit(run(sys.argv[1:]))
