"""Families: which metrics there are, what they are called and what they mean.

docs/admin.md has them in a table.

Next: `speedo_trio.admin.metrics`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.utils import floatToGoString

from speedo_trio.admin.status import cause_name, installed_version, limit_name
from speedo_trio.events import Cause, Pause, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.metrics_core import Metric

    from speedo_trio.config import Config
    from speedo_trio.meter import HistogramSnapshot, MeterSnapshot
    from speedo_trio.protocol.report import Figure
    from speedo_trio.stats import ServerStats


def families(
    stats: ServerStats, config: Config, measured: MeterSnapshot | None
) -> Iterator[Metric]:
    """All metrics of a server.

    Args:
        stats: what the server tells.
        config: its settings, for the limits.
        measured: what its meter has measured, if it has one.
    """
    yield InfoMetricFamily("speedo_trio", "What runs.", {"version": installed_version()})
    yield from _connections(stats, config)
    yield from _messages(stats, config)
    yield from _workers(stats, config)
    yield _gauge("draining", "Whether the server drains, 1 or 0.", stats.draining)
    yield _gauge("paused", "Whether the server accepts no connections for now.", stats.paused)
    if measured is not None:
        yield from _durations(measured)


def reported(figures: Iterable[Figure]) -> Iterator[Metric]:
    """The metrics of what protocols report."""
    for figure in figures:
        make = CounterMetricFamily if figure.total else GaugeMetricFamily
        name, value = f"speedo_trio_{figure.name}", figure.value
        if not isinstance(value, Mapping):
            yield make(name, figure.text, value)
            continue
        family = make(name, figure.text, labels=[figure.label or "kind"])
        for key, number in value.items():
            family.add_metric([key], number)
        yield family


def _connections(stats: ServerStats, config: Config) -> Iterator[Metric]:
    limit = config.limits.connections
    yield _gauge("connections", "Connections open now.", stats.connections)
    yield _gauge("connections_limit", "Connections that may be open at once.", limit)
    yield _counter("connections_accepted", "Connections accepted.", stats.accepted)
    yield _counters(
        "connections_refused",
        "Connections closed unserved, by the limit that was reached.",
        "limit",
        {limit_name(why): stats.refusals.get(why, 0) for why in Refusal},
    )
    yield _counters(
        "connections_closed",
        "Connections that have ended, by the cause.",
        "cause",
        {cause_name(cause): stats.closed.get(cause, 0) for cause in Cause},
    )
    yield _counters(
        "connections_held_up",
        "How often a connection had to wait for room, by the limit that was reached.",
        "limit",
        {limit_name(pause): stats.pauses.get(pause, 0) for pause in Pause},
    )
    yield _counter("received_bytes", "Bytes received, as protocols got them.", stats.received)
    yield _counter("sent_bytes", "Bytes sent, as protocols gave them.", stats.sent)


def _messages(stats: ServerStats, config: Config) -> Iterator[Metric]:
    limit = config.limits.messages
    yield _counter("messages_executed", "Messages executed, failed ones too.", stats.executed)
    yield _counter("messages_failed", "Messages that raised.", stats.failed)
    yield _counter("messages_dropped", "Messages received but not executed.", stats.dropped)
    yield _gauge("messages_waiting", "Messages that wait in all lanes.", stats.waiting)
    yield _gauge("messages_waiting_limit", "Messages that may wait in all lanes.", limit)


def _workers(stats: ServerStats, config: Config) -> Iterator[Metric]:
    limit = config.workers.count
    yield _gauge("lanes_ready", "Connections whose messages wait for a worker.", stats.ready)
    yield _gauge("workers_busy", "Worker threads and tasks that execute.", stats.busy)
    yield _gauge("worker_threads", "Worker threads, idle ones too.", stats.threads)
    yield _gauge("worker_threads_limit", "Worker threads that there may be.", limit)


def _durations(measured: MeterSnapshot) -> Iterator[Metric]:
    yield _histogram(
        "turn_wait_seconds",
        "From when a connection was queued for a worker until its turn began.",
        measured.waited,
    )
    yield _histogram("message_seconds", "The execution of messages.", measured.executed)
    yield _histogram(
        "turn_seconds", "Turns: what a worker executes of one connection at once.", measured.turns
    )


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"speedo_trio_{name}", text, value)


def _counters(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    """One for each value of a label; those of none are there too, for a rate needs a first one."""
    family = CounterMetricFamily(f"speedo_trio_{name}", text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"speedo_trio_{name}", text, value)


def _histogram(name: str, text: str, histogram: HistogramSnapshot) -> Metric:
    bounds = [*map(floatToGoString, histogram.bounds), "+Inf"]
    cumulated = accumulate(histogram.counts)
    return HistogramMetricFamily(
        f"speedo_trio_{name}", text, list(zip(bounds, cumulated, strict=True)), histogram.sum
    )
