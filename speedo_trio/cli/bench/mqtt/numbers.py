"""Numbers: which of one publisher's messages have come.

Next: `speedo_trio.cli.bench.mqtt.bout`.
"""

from __future__ import annotations

import enum


class Arrival(enum.Enum):
    """How a message comes."""

    NEXT = "in its place"
    """After all before it, or after some that are missing."""
    LATE = "late"
    """It was missing."""
    TWICE = "twice"


class Numbers:
    """Numbers from 1 on. What is missing is kept: never more than are on their way."""

    __slots__ = ("latest", "missing")

    def __init__(self) -> None:
        self.latest: int = 0
        """The highest that has come."""
        self.missing: set[int] = set()
        """Those below it that have not."""

    def take(self, number: int) -> Arrival:
        """One comes."""
        latest = self.latest
        if number > latest:
            if number > latest + 1:
                self.missing.update(range(latest + 1, number))
            self.latest = number
            return Arrival.NEXT
        if number in self.missing:
            self.missing.remove(number)
            return Arrival.LATE
        return Arrival.TWICE
