"""A collector: a server's numbers for a Prometheus registry, read whenever it is asked.

Next: `speedo_trio.admin.families`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.metrics_core import Metric

    from speedo_trio.config import Config
    from speedo_trio.meter import Meter
    from speedo_trio.server import Server
    from speedo_trio.stats import ServerStats


class ServerCollector:
    """A collector of ``prometheus_client`` for one server.

    For applications that have a registry of their own::

        prometheus_client.REGISTRY.register(ServerCollector(server, meter))

    The registry may be asked in any thread. Asked in another than Trio's, it waits for the Trio
    thread; so don't ask there while that one waits for you. A registry takes one such collector,
    since the names of two would be the same.
    """

    def __init__(self, server: Server, meter: Meter | None = None) -> None:
        """To be made on the Trio thread.

        Args:
            server: whose numbers are told.
            meter: what was given to `serve`; without one there are no histograms.

        Raises:
            ImportError: prometheus_client is not installed.
        """
        try:
            from speedo_trio.admin.families import families  # noqa: PLC0415  # it is an extra
        except ModuleNotFoundError as error:
            raise ImportError(
                f"metrics need {error.name}: pip install 'speedo_trio[metrics]'"
            ) from error
        self._families = families
        self._server = server
        self._meter = meter
        self._trio = trio.lowlevel.current_trio_token()

    def collect(self) -> Iterable[Metric]:
        """All metrics, as they are now."""
        stats, config = self._ask()
        measured = None if self._meter is None else self._meter.snapshot()
        return self._families(stats, config, measured)

    def _ask(self) -> tuple[ServerStats, Config]:
        """Ask the server, on its thread."""
        if trio.lowlevel.in_trio_run() and trio.lowlevel.current_trio_token() is self._trio:
            return self._read()
        try:
            return trio.from_thread.run_sync(self._read, trio_token=self._trio)
        except trio.RunFinishedError:
            return self._read()  # nothing changes any more

    def _read(self) -> tuple[ServerStats, Config]:
        return self._server.stats(), self._server.config
