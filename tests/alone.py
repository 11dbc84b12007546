"""Turns on the machine: many tests at a time, one in each process, or one that is alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_SH, LOCK_UN, flock
from pathlib import Path

# What is locked is there anyway, so that nothing has to be made or removed, and the kernel unlocks
# what a process had that died (flock(2)).
_room = os.open(Path(__file__), os.O_RDONLY | os.O_CLOEXEC)
_door = os.open(Path(__file__).parent, os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def turn(*, alone: bool) -> Iterator[None]:
    """Wait until the machine is free, then have it: alone, or beside others that are not.

    Who waits to be alone stands in the door until the room is empty: else others would come and go
    and there might never be nobody.
    """
    flock(_door, LOCK_EX)
    try:
        flock(_room, LOCK_EX if alone else LOCK_SH)
    finally:
        flock(_door, LOCK_UN)
    try:
        yield
    finally:
        flock(_room, LOCK_UN)
