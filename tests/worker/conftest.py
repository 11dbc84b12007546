"""What tests of workers need: a clock that stands until it is moved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


class Clock:
    """Takes the place of `time.perf_counter` in the rooms of the workers."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@contextmanager
def stopped_clock(now: float = 0.0) -> Iterator[Clock]:
    """A clock that the workers look at for the block."""
    clock = Clock(now)
    with pytest.MonkeyPatch.context() as patch:
        for module in ("crew", "laps", "turn"):
            patch.setattr(f"speedo_trio.worker.{module}.perf_counter", clock)
        yield clock


@pytest.fixture
def clock() -> Iterator[Clock]:
    """Such a clock for a whole test; it says 1000."""
    with stopped_clock(1000.0) as clock:
        yield clock
