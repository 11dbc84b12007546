"""Tuning: what suits a process that only serves. An application decides such things for itself."""

from __future__ import annotations

import gc
import sys

_SWITCH_SECONDS = 0.0005
"""How long a thread may hold the interpreter's lock when another wants it; Python's own is ten
times that. After each system call the Trio thread has to get the lock back from worker threads that
have much to do, and it makes many: beside a flood of requests a quiet client waited up to 640 ms at
the 99th percentile, and 44 with this. A switch costs some microseconds."""


def tune() -> None:
    """Tune this process; before it serves, after all is imported."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    _tune_collector()


def _tune_collector() -> None:
    """Have the garbage collector look less often, as suits a process that only serves.

    By default it looks after every 700 objects more, and messages that wait are such objects: 50
    clients with 64 lines under way make it look several times in each round of the event loop, in
    vain, which cost async messages a fifth of their speed. Memory is freed as before; only cycles
    wait longer, for some megabytes of objects at most. What was imported is never looked at.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)
