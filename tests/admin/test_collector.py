"""A server's numbers for a registry of the application's own."""

from __future__ import annotations

import sys
import threading

import pytest
import trio
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from speedo_trio.admin.collector import ServerCollector
from speedo_trio.echo import EchoProtocol
from speedo_trio.meter import Meter
from speedo_trio.stats import ServerStats
from speedo_trio.testing.memory import MemoryServer, serve_in_memory
from tests.admin.conftest import talk


async def test_it_can_be_registered(echo: MemoryServer) -> None:
    """In a registry that describes itself, as the default one does."""
    registry = CollectorRegistry(auto_describe=True)
    registry.register(ServerCollector(echo.server))
    await talk(echo, 3)

    assert registry.get_sample_value("speedo_trio_messages_executed_total") == 3


async def test_two_servers_are_a_mistake(echo: MemoryServer) -> None:
    """Their metrics would have the same names."""
    registry = CollectorRegistry(auto_describe=True)
    registry.register(ServerCollector(echo.server))
    with pytest.raises(ValueError, match="Duplicate"):
        registry.register(ServerCollector(echo.server))


async def test_it_may_be_asked_in_another_thread(
    echo: MemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As prometheus_client's own HTTP server does; the numbers are read on the Trio thread."""
    registry = CollectorRegistry()
    registry.register(ServerCollector(echo.server, Meter()))
    await talk(echo, 2)
    threads: list[threading.Thread] = []
    real = echo.server.stats

    def stats() -> ServerStats:
        threads.append(threading.current_thread())
        return real()

    monkeypatch.setattr(echo.server, "stats", stats)
    text = await trio.to_thread.run_sync(generate_latest, registry)
    values = {
        family.name: family.samples[0].value
        for family in text_string_to_metric_families(text.decode())
    }

    assert values["speedo_trio_messages_executed"] == 2
    assert "speedo_trio_turn_seconds" in values
    assert threads == [threading.current_thread()]


def test_it_may_be_asked_after_the_end() -> None:
    """Trio runs no more; the last numbers are told."""
    registry = CollectorRegistry()

    async def main() -> None:
        async with serve_in_memory(EchoProtocol) as echo:
            registry.register(ServerCollector(echo.server))
            await talk(echo, 2)

    trio.run(main)

    assert registry.get_sample_value("speedo_trio_messages_executed_total") == 2


async def test_without_prometheus(echo: MemoryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error tells what to install."""
    for name in [*sys.modules]:
        if name.startswith(("prometheus_client", "speedo_trio.admin.families")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ImportError, match=r"speedo_trio\[metrics\]"):
        ServerCollector(echo.server)
