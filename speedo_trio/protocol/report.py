"""A report: what a protocol tells of itself beside what its server knows, such as a broker.

The admin endpoint shows it. A protocol's factory that has the methods of a `Reporter` is one.

Next: `speedo_trio.protocol.handler`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@frozen(kw_only=True)
class Figure:
    """One number, or one for each value of a label."""

    name: str
    """As Prometheus wants it, in base units, without ``speedo_trio_`` and ``_total``:
    ``mqtt_sessions``."""
    text: str
    """What it is, in a sentence."""
    value: float | Mapping[str, float]
    """With a label, by its values. There should be few, and always the same: no clients' names."""
    label: str | None = None
    total: bool = False
    """Whether it only grows, as long as the process runs."""


@runtime_checkable
class Reporter(Protocol):
    """Tells of itself. All of it is called on the Trio thread, and lets others have their turn."""

    async def report(self) -> Sequence[Figure]:
        """Its figures as they are now."""

    async def report_clients(self, most: int) -> Sequence[Mapping[str, object]]:
        """Its clients, as what JSON can say, those first for whom most waits.

        Args:
            most: so many at most.
        """

    def report_client(self, client_id: str) -> Mapping[str, object] | None:
        """All about one; None: there is none of that name."""
