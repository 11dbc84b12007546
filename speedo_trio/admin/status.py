"""The status: what a server is doing, as what JSON can say.

Next: `speedo_trio.admin.peers`.
"""

from __future__ import annotations

import math
import os
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, TypeAlias

from attrs import asdict

if TYPE_CHECKING:
    from speedo_trio.events import Cause, Pause, Refusal
    from speedo_trio.meter import HistogramSnapshot, Meter
    from speedo_trio.server import Server
    from speedo_trio.stats import ServerStats

JSONObject: TypeAlias = dict[str, object]


def installed_version() -> str:
    """The version of speedo_trio; ``unknown`` when it runs without being installed."""
    try:
        return version("speedo_trio")
    except PackageNotFoundError:
        return "unknown"


def cause_name(cause: Cause) -> str:
    """Why connections ended, as a word: ``eof``, ``protocol_error``."""
    return cause.name.lower()


def limit_name(limit: Pause | Refusal) -> str:
    """The limit that was reached, as its setting is called: ``connections``, ``lane_bytes``."""
    setting: str = limit.value
    return setting.removeprefix("limits.")


def state_of(server: Server) -> str:
    """``serving``, ``paused``, ``draining`` or ``ended``. On the Trio thread."""
    if server.ended:
        return "ended"
    return "draining" if server.draining else "paused" if server.paused else "serving"


def server_status(server: Server, meter: Meter | None, uptime: float) -> JSONObject:
    """What the server is doing and has done, and its settings. On the Trio thread."""
    stats = server.stats()
    return {
        "version": installed_version(),
        "pid": os.getpid(),
        "uptime": round(uptime, 3),
        "state": state_of(server),
        "draining": stats.draining,
        "paused": stats.paused,
        "addresses": [str(address) for address in server.addresses],
        **_numbers(stats),
        "timings": None if meter is None else _timings(meter),
        "config": asdict(server.config),
    }


def _numbers(stats: ServerStats) -> JSONObject:
    return {
        "connections": {
            "open": stats.connections,
            "accepted": stats.accepted,
            "refused": {limit_name(why): count for why, count in stats.refusals.items()},
            "closed": {cause_name(cause): count for cause, count in stats.closed.items()},
            "held_up": {limit_name(pause): count for pause, count in stats.pauses.items()},
        },
        "messages": {
            "executed": stats.executed,
            "failed": stats.failed,
            "dropped": stats.dropped,
            "waiting": stats.waiting,
        },
        "bytes": {"received": stats.received, "sent": stats.sent},
        "lanes": {"ready": stats.ready},
        "workers": {"busy": stats.busy, "threads": stats.threads},
    }


def _timings(meter: Meter) -> JSONObject:
    snapshot = meter.snapshot()
    return {
        "waited": _timing(snapshot.waited),
        "executed": _timing(snapshot.executed),
        "turns": _timing(snapshot.turns),
    }


def _timing(histogram: HistogramSnapshot) -> JSONObject:
    """Seconds; null while there is none."""
    p50, p99 = histogram.quantile(0.5), histogram.quantile(0.99)
    return {
        "count": histogram.count,
        "p50": None if math.isnan(p50) else p50,
        "p99": None if math.isnan(p99) else p99,
    }
