"""The toll: what the end of several processes has cost, as one report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field, fields

from speedo_trio.events import DrainReport

if TYPE_CHECKING:
    from speedo_trio.cli.process import ChildProcess

_COUNTS = [count.name for count in fields(DrainReport) if count.name != "seconds"]


@define
class Toll:
    """Adds up what children tell at their end."""

    cut: int = 0
    """Connections of children that were stopped at once."""
    dropped: int = 0
    """Their messages."""
    silent: int = 0
    """Children that served and didn't tell how they ended: nobody knows what they dropped."""
    _counts: dict[str, int] = field(factory=lambda: dict.fromkeys(_COUNTS, 0))

    def add(self, child: ChildProcess) -> bool:
        """A child has ended; whether it is known what that has cost."""
        if child.drained is not None:
            for name in _COUNTS:
                self._counts[name] += getattr(child.drained, name)
        elif child.stopped is not None:
            self.cut += child.stopped.cut
            self.dropped += child.stopped.dropped
        elif child.listening is not None:
            self.silent += 1
            return False
        return True

    def report(self, seconds: float) -> DrainReport:
        """What the drains did, together."""
        return DrainReport(seconds=seconds, **self._counts)

    def all_cut(self) -> int:
        """Connections that were cut, by whatever end."""
        return self.cut + self._counts["cut_connections"]

    def all_dropped(self) -> int:
        """Messages that were dropped, by whatever end."""
        return self.dropped + self._counts["dropped_messages"]

    @property
    def clean(self) -> bool:
        """Whether nothing was dropped, cut or abandoned, as far as anybody knows."""
        return self.report(0.0).clean and not (self.cut or self.dropped or self.silent)
