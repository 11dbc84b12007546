"""Load: how much of something there was a minute of late, over several spans.

Next: `speedo_trio.mqtt.sys_topics`.
"""

from __future__ import annotations

from math import exp
from typing import Final

SPANS: Final = {"1min": 60.0, "5min": 300.0, "15min": 900.0}
"""The spans in seconds, by what they are called."""


class Load:
    """The rates of a counter, each a moving average that weighs the past less the longer ago."""

    def __init__(self) -> None:
        self._before = 0
        self.rates: dict[str, float] = dict.fromkeys(SPANS, 0.0)
        """A minute, by the span."""

    def update(self, count: int, seconds: float) -> None:
        """Tell what the counter is, and how long ago that was told before."""
        rate = (count - self._before) * 60 / seconds
        self._before = count
        for span, length in SPANS.items():
            weight = exp(-seconds / length)
            self.rates[span] = rate + weight * (self.rates[span] - rate)
