"""What is told of a server."""

from __future__ import annotations

import json
import os
from importlib.metadata import PackageNotFoundError

import pytest
import trio

from speedo_trio.admin import status as module
from speedo_trio.admin.status import (
    cause_name,
    installed_version,
    limit_name,
    server_status,
    state_of,
)
from speedo_trio.config import Config, Limits
from speedo_trio.echo import EchoProtocol
from speedo_trio.events import Cause, Refusal
from speedo_trio.meter import Meter
from speedo_trio.server import serve
from speedo_trio.testing.memory import MemoryServer, serve_in_memory
from tests.admin.conftest import talk


async def test_numbers_are_those_of_the_traffic(echo: MemoryServer) -> None:
    """Connections, messages and bytes, of those open and of those that have ended."""
    await talk(echo, 3)
    gone = await talk(echo, 2)
    await gone.aclose()
    await trio.testing.wait_all_tasks_blocked()
    status = server_status(echo.server, None, 12.3456)

    assert status["connections"] == {
        "open": 1,
        "accepted": 2,
        "refused": {},
        "closed": {"eof": 1},
        "held_up": {},
    }
    assert status["messages"] == {"executed": 5, "failed": 0, "dropped": 0, "waiting": 0}
    assert status["bytes"] == {"received": 10, "sent": 10}
    assert status["lanes"] == {"ready": 0}
    assert (status["uptime"], status["pid"]) == (12.346, os.getpid())
    assert (status["state"], status["draining"], status["paused"]) == ("serving", False, False)
    assert status["timings"] is None


async def test_settings_and_addresses_are_there() -> None:
    """All settings, by section and name."""
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, EchoProtocol, "tcp://127.0.0.1:0")
        status = server_status(server, None, 0)
        nursery.cancel_scope.cancel()

    assert status["addresses"] == [str(address) for address in server.addresses]
    config = status["config"]
    assert isinstance(config, dict)
    assert config["limits"]["connections"] == Config().limits.connections
    assert config["timeouts"]["idle"] is None
    assert config["workers"]["count"] == Config().workers.count


async def test_it_is_json(echo: MemoryServer) -> None:
    """With a meter that has measured nothing yet, too."""
    status = server_status(echo.server, Meter(), 0)

    assert json.loads(json.dumps(status, allow_nan=False)) == status


async def test_timings_are_those_of_the_meter() -> None:
    """Seconds, about."""
    meter = Meter()
    meter.add_turn(waited=0.0002, seconds=0.02, messages=2, lap=0.02, last=0.02)
    async with serve_in_memory(EchoProtocol) as echo:
        timings = server_status(echo.server, meter, 0)["timings"]

    assert isinstance(timings, dict)
    assert [timings[name]["count"] for name in ("waited", "executed", "turns")] == [1, 2, 1]
    assert timings["waited"]["p50"] == pytest.approx(0.0002, rel=0.5)
    assert timings["executed"]["p99"] == pytest.approx(0.02, rel=0.5)


async def test_states() -> None:
    """From serving to the end."""
    seen = []
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, EchoProtocol)
        seen.append(state_of(server))
        server.pause()
        seen.append(state_of(server))
        server.resume()
        client = trio.testing.memory_stream_pair()
        nursery.start_soon(server.serve_stream, client[1])
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(server.drain)
        await trio.testing.wait_all_tasks_blocked()
        seen.append(state_of(server))
    seen.append(state_of(server))

    assert seen == ["serving", "paused", "draining", "ended"]


async def test_a_server_that_was_cancelled_has_ended() -> None:
    """It never drained."""
    async with serve_in_memory(EchoProtocol) as echo:
        pass

    assert state_of(echo.server) == "ended"


async def test_refusals_are_told_by_limit() -> None:
    """The names are those of the settings."""
    config = Config(limits=Limits(connections=1, when_full="refuse"))
    async with trio.open_nursery() as nursery:
        server = await nursery.start(
            lambda task_status: serve(
                EchoProtocol, "tcp://127.0.0.1:0", config=config, task_status=task_status
            )
        )
        port = server.addresses[0].port
        async with await trio.open_tcp_stream("127.0.0.1", port) as first:
            await first.send_all(b"x\n")
            await first.receive_some()
            async with await trio.open_tcp_stream("127.0.0.1", port) as second:
                assert await second.receive_some() == b""
            status = server_status(server, None, 0)
        nursery.cancel_scope.cancel()

    connections = status["connections"]
    assert isinstance(connections, dict)
    assert connections["refused"] == {"connections": 1}


def test_names() -> None:
    """Words of their own, each another."""
    assert cause_name(Cause.PROTOCOL_ERROR) == "protocol_error"
    assert limit_name(Refusal.ADDRESS_FULL) == "connections_per_address"
    assert len({limit_name(refusal) for refusal in Refusal}) == len(Refusal)


def test_the_version_of_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows it."""

    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(module, "version", version)

    assert installed_version() == "unknown"
