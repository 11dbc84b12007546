"""Pauses: how long to wait before what died is started again."""

from __future__ import annotations

from attrs import define

_FIRST, _LONGEST = 0.1, 30.0
"""Seconds. The first is too short for anybody to notice; the longest keeps a machine free that
starts something in vain, and is short enough to try again soon when the reason is gone."""

_RECOVERED = 60.0
"""Seconds of life after which the next death is a new misfortune, and not the same again."""


@define
class Pauses:
    """Doubles from death to death."""

    _next: float = _FIRST

    def after(self, lived: float) -> float:
        """The pause in seconds, after a life of `lived` seconds."""
        pause = _FIRST if lived >= _RECOVERED else self._next
        self._next = min(2 * pause, _LONGEST)
        return pause
