"""Loads: `mqttload.c` on a broker, every message compared."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from benchmarks.compiled import run_load
from benchmarks.results import Figures

if TYPE_CHECKING:
    from benchmarks.mqtt.shapes import Shape
    from benchmarks.mqtt.tools import Tools
    from benchmarks.servers import Server

# Beyond its own seconds, mqttload connects, and waits up to 5 s for what is on its way.
SPARE_SECONDS = 30


def measure_load(tools: Tools, server: Server, shape: Shape) -> Figures:
    """Load a broker, and see what that cost it.

    Raises:
        LoadError: Something was lost, came twice, in another order or wrong: there is no figure.
    """
    before = server.cpu_seconds()
    read = run_mqttload(tools, server.port, shape, tools.seconds)
    cpu = server.cpu_seconds() - before
    return load_figures(read, server, {"CPU µs each": cpu / max(read["delivered"], 1) * 1e6})


def load_figures(read: dict[str, Any], server: Server, more: dict[str, float]) -> Figures:
    """What mqttload printed, and what else was seen."""
    return Figures(
        rate=read["delivered_per_s"],
        p50_us=read["p50_us"],
        p99_us=read["p99_us"],
        answered=read["delivered"],
        more={"p99.9 µs": read["p999_us"], "MiB": server.resident_bytes() / 2**20, **more},
    )


def run_mqttload(tools: Tools, port: int, shape: Shape, seconds: float) -> dict[str, Any]:
    """Run mqttload to its end; its JSON. Its usage is explained at the top of `mqttload.c`."""
    numbers = [shape.many, shape.each, shape.size, shape.qos, seconds, shape.version]
    command = [str(tools.mqttload), str(port), shape.kind, *map(str, numbers)]
    read: dict[str, Any] = json.loads(run_load(command, seconds + SPARE_SECONDS))
    return read
