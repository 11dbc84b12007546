"""Metrics: what ``/metrics`` shows, in the formats that Prometheus reads.

Next: `speedo_trio.admin.page`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector, exposition
from prometheus_client.openmetrics import exposition as openmetrics

from speedo_trio.admin.collector import ServerCollector
from speedo_trio.admin.families import reported
from speedo_trio.admin.response import Response

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prometheus_client.metrics_core import Metric

    from speedo_trio.meter import Meter
    from speedo_trio.protocol.report import Figure
    from speedo_trio.server import Server

_PLAIN = "text/plain; version=0.0.4; charset=utf-8"


class _Reports:
    """A collector of what protocols have reported."""

    def __init__(self) -> None:
        self.figures: Sequence[Figure] = ()

    def collect(self) -> Iterable[Metric]:
        return reported(self.figures)


class Metrics:
    """The metrics of a server, of its protocols and of the process that it runs in."""

    def __init__(self, server: Server, meter: Meter | None) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(ServerCollector(server, meter))
        self._reports = _Reports()
        self._registry.register(self._reports)
        ProcessCollector(registry=self._registry)

    def response(self, accept: str, figures: Sequence[Figure] = ()) -> Response:
        """All metrics as they are now, as OpenMetrics if the client accepts that.

        Args:
            figures: what protocols have reported.
        """
        self._reports.figures = figures
        if "application/openmetrics-text" in accept:
            body = openmetrics.generate_latest(self._registry)  # type: ignore[no-untyped-call]  # theirs
            return Response(body=body, content_type=openmetrics.CONTENT_TYPE_LATEST)
        return Response(body=exposition.generate_latest(self._registry), content_type=_PLAIN)
