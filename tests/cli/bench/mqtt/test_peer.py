"""A peer whose sending doesn't go well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from speedo_trio.cli.bench.connector import make_connector
from speedo_trio.cli.bench.course import Phase
from speedo_trio.cli.bench.failure import Kind
from speedo_trio.cli.bench.mqtt.load import MQTTLoad
from speedo_trio.errors import ConnectionLost
from speedo_trio.io.wire import SocketWire
from tests.cli.bench.conftest import PATIENCE, make_plan
from tests.cli.bench.mqtt.conftest import FakeBroker, serve_broker

Patch = Callable[[MQTTLoad, str, Callable[..., Any]], None]


@pytest.fixture
async def load(nursery: trio.Nursery, broker: FakeBroker) -> MQTTLoad:
    """A load of one pair, with a warm-up."""
    url = await serve_broker(nursery, broker)
    plan = make_plan(url, clients=1, window=8, qos=1, seconds=0.1, warm_up=0.05, timeout=0.5)
    return MQTTLoad(plan, make_connector(plan))


@pytest.fixture
def patch(monkeypatch: pytest.MonkeyPatch) -> Patch:
    """Has a wire do something else, from when the load is connected."""

    def patch(load: MQTTLoad, name: str, instead: Callable[..., Any]) -> None:
        real = getattr(SocketWire, name)

        def choose(wire: SocketWire, data: bytes) -> Any:
            connected = load.course.phase is not Phase.CONNECTING
            return (instead if connected else real)(wire, data)

        monkeypatch.setattr(SocketWire, name, choose)

    return patch


async def run(load: MQTTLoad) -> None:
    """From its first connection to its end."""
    with trio.fail_after(PATIENCE):
        await load.run()


def lose(wire: SocketWire, data: bytes) -> int:
    """The connection is lost."""
    raise ConnectionLost("gone")


async def lose_later(wire: SocketWire, data: bytes) -> int:
    """It is, but one has to wait for that."""
    await trio.lowlevel.checkpoint()
    raise ConnectionLost("gone")


async def test_a_warm_up_is_not_counted(load: MQTTLoad) -> None:
    """Messages of it are published, and compared."""
    await run(load)

    [publisher] = load._publishers
    assert load.course.tally.faultless
    assert 0 < load.course.tally.volume.requests < publisher.published


async def test_a_connection_lost_in_sending_ends_the_load(load: MQTTLoad, patch: Patch) -> None:
    """It is counted once."""
    patch(load, "send_nowait", lose)

    await run(load)

    assert {Kind.OTHER: 1} == {k: n for k, n in load.course.tally.failures.items() if k == "other"}
    assert "-p-0: gone" in load.course.tally.examples[Kind.OTHER]


async def test_so_does_one_that_is_lost_later(load: MQTTLoad, patch: Patch) -> None:
    """When the kernel took nothing at once."""
    patch(load, "send_nowait", lambda wire, data: 0)
    patch(load, "push", lose_later)

    await run(load)

    assert "-p-0: gone" in load.course.tally.examples[Kind.OTHER]


async def test_what_comes_while_something_waits_goes_behind_it(
    load: MQTTLoad, patch: Patch
) -> None:
    """A byte at a time: nothing overtakes."""
    real = SocketWire.push

    async def push_one(wire: SocketWire, data: bytes) -> int:
        await trio.lowlevel.checkpoint()
        return await real(wire, data[:40])

    sent = SocketWire.send_nowait
    patch(load, "send_nowait", lambda wire, data: sent(wire, data) if len(data) <= 40 else 0)
    patch(load, "push", push_one)

    await run(load)

    assert ({}, True) == (load.course.tally.examples, load.course.tally.faultless)
    assert load.course.tally.latencies.count > 0
