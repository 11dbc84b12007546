"""Crowds: `mqttcrowd.c` on a broker, stage by stage, and the broker's memory in between."""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
from typing import TYPE_CHECKING, Any

from attrs import frozen

from benchmarks.compiled import LoadError, check_status
from benchmarks.mqtt.loads import load_figures, run_mqttload
from benchmarks.mqtt.shapes import Shape
from benchmarks.results import Figures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.mqtt.tools import Tools
    from benchmarks.servers import Server

STAGE_SECONDS = 300  # a million subscriptions may take a slow broker minutes
AT_ONCE = 100
MESSAGES = 20_000  # that mqttcrowd publishes among subscriptions


@frozen
class Crowd:
    """A running mqttcrowd; `crowd()` gives it and ends it."""

    process: subprocess.Popen[str]

    def stage(self) -> dict[str, Any]:
        """Wait for the end of the stage that runs; what it printed.

        Raises:
            LoadError: The crowd complained, or the stage takes too long.
        """
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], STAGE_SECONDS)
        if not readable:
            raise LoadError(f"a stage took more than {STAGE_SECONDS} s")
        line = self.process.stdout.readline()
        if not line:
            _, errors = self.process.communicate()
            check_status(self.process.returncode or 1, errors)
        read: dict[str, Any] = json.loads(line)
        return read

    def go_on(self) -> dict[str, Any]:
        """Begin the next stage, and wait for its end."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.stage()


@contextlib.contextmanager
def crowd(tools: Tools, server: Server, shape: Shape, rate: float | None = None) -> Iterator[Crowd]:
    """A crowd in its first stage. It goes when the block is left."""
    numbers = [shape.many, shape.each, shape.version, *([] if rate is None else [rate])]
    command = [str(tools.mqttcrowd), str(server.port), shape.kind, *map(str, numbers)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Crowd(process)
        finally:
            process.kill()


def measure_storm(tools: Tools, server: Server, shape: Shape) -> Figures:
    """Clients that connect and go."""
    with crowd(tools, server, shape) as visitors:
        read = visitors.stage()
    return _figures(read, "connects_per_s", shape.many, {"MiB": server.settled_bytes() / 2**20})


def measure_beside(tools: Tools, server: Server, shape: Shape) -> Figures:
    """One pair, while others connect and go at a rate."""
    a_second = shape.many / 60
    storm = Shape("storm", max(1, round(a_second * tools.seconds)), AT_ONCE, 0, shape.version)
    pair = Shape("pairs", 1, shape.each, 0, shape.version)
    with crowd(tools, server, storm, a_second) as visitors:
        read = run_mqttload(tools, server.port, pair, tools.seconds)
        connects = visitors.stage()
    return load_figures(
        read,
        server,
        {"connects/s": connects["connects_per_s"], "connect p99 µs": connects["p99_us"]},
    )


def measure_idle(tools: Tools, server: Server, shape: Shape) -> Figures:
    """Connections that say nothing, and then subscriptions."""
    empty = server.settled_bytes()
    with crowd(tools, server, shape) as connections:
        read = connections.stage()
        idle = server.settled_bytes()
        connections.go_on()
        subscribed = server.settled_bytes()
    more = {
        "KiB a client": (idle - empty) / shape.many / 1024,
        "KiB with subscriptions": (subscribed - empty) / shape.many / 1024,
    }
    return _figures(read, "connects_per_s", shape.many, more)


def measure_subscriptions(tools: Tools, server: Server, shape: Shape) -> Figures:
    """Messages, each to one of many subscribers with many subscriptions."""
    with crowd(tools, server, shape) as clients:
        clients.stage()
        before = server.settled_bytes()
        subscribing = clients.go_on()
        after = server.settled_bytes()
        read = clients.go_on()
    more = {
        "subscribe/s": subscribing["subscribe_per_s"],
        "bytes a subscription": (after - before) / (shape.many * shape.each),
    }
    return _figures(read, "delivered_per_s", MESSAGES, more)


def measure_retained(tools: Tools, server: Server, shape: Shape) -> Figures:
    """Messages that are retained, and replayed to who subscribes."""
    with crowd(tools, server, shape) as clients:
        clients.stage()
        before = server.settled_bytes()
        retaining = clients.go_on()
        after = server.settled_bytes()
        read = clients.go_on()
    more = {
        "retain/s": retaining["retain_per_s"],
        "bytes a message": (after - before) / shape.many,
    }
    return _figures(read, "replayed_per_s", shape.many * shape.each, more)


def _figures(read: dict[str, Any], rate: str, answered: int, more: dict[str, float]) -> Figures:
    return Figures(
        rate=read[rate],
        p50_us=read["p50_us"],
        p99_us=read["p99_us"],
        answered=answered,
        more=more,
    )
