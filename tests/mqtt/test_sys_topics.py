"""`$SYS/broker/...`: what it tells, when, and to whom it belongs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from speedo_trio import Broker, ConfigError
from speedo_trio.mqtt import MQTT, Capabilities, ReasonCode
from speedo_trio.mqtt.load import Load
from speedo_trio.mqtt.wire.packets import Disconnect, PubAck, Publish
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.testing import MemoryServer, serve_in_memory
from tests.mqtt.wired import PATIENCE, Wired, publish, subscribe


class Clock:
    """Seconds that a test tells, for what the broker measures."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Scene:
    """A server, its broker and clock; `look` has the figures told anew."""

    def __init__(self, server: MemoryServer, mqtt: MQTT, clock: Clock) -> None:
        self.server = server
        self.mqtt = mqtt
        self.clock = clock

    async def connected(self, client_id: str, **given: Any) -> Wired:
        client = Wired(self.server.connect())
        assert (await client.connect(client_id, **given)).reason is ReasonCode.SUCCESS
        return client

    async def look(self, seconds: float = 0.0) -> dict[str, str]:
        self.clock.now += seconds
        await self.mqtt._service.sys_topics.look()
        found = self.mqtt.broker.retained("$SYS/broker/#")
        return {each.topic.removeprefix("$SYS/broker/"): each.payload.decode() for each in found}


@asynccontextmanager
async def scene(capabilities: Capabilities | None = None) -> AsyncIterator[Scene]:
    """A server that doesn't look of its own accord."""
    clock, broker = Clock(), Broker()
    broker.core.clock = clock
    mqtt = MQTT(broker, capabilities, sys_interval=0)
    with trio.fail_after(PATIENCE):
        async with serve_in_memory(mqtt, observer=None) as server:
            yield Scene(server, mqtt, clock)


def chosen(told: dict[str, str], under: str) -> dict[str, str]:
    """What is told under a topic, without it."""
    return {name.removeprefix(under): text for name, text in told.items() if name.startswith(under)}


async def test_the_server_tells_what_it_is() -> None:
    """Its version, and how long it has been there."""
    async with scene() as it:
        told = await it.look(75.5)

        assert told["version"].startswith("speedo_trio version ")
        assert told["uptime"] == "75 seconds"


async def test_clients_are_counted() -> None:
    """Those who are there, who are away and will come back, and who stayed away for too long."""
    async with scene() as it:
        for client in [await it.connected("1"), await it.connected("2")]:
            await client.send(Disconnect())
            assert await client.rest() == []
        told = chosen(await it.look(), "clients/")

        assert told == {
            "total": "0",
            "connected": "0",
            "disconnected": "0",
            "maximum": "2",
            "expired": "0",
        }


async def test_sessions_that_stay_are_counted_until_they_expire() -> None:
    """They are disconnected, then expired."""
    async with scene() as it:
        await it.connected("here")
        away = await it.connected("away", properties=Properties(session_expiry_interval=60))
        await away.send(Disconnect())
        assert await away.rest() == []
        told = chosen(await it.look(), "clients/")
        assert ("2", "1", "1", "0") == tuple(
            told[name] for name in ("total", "connected", "disconnected", "expired")
        )

        it.clock.now += 61
        it.mqtt._service.caretaker.stir()
        await trio.testing.wait_all_tasks_blocked()
        told = chosen(await it.look(), "clients/")
        assert ("1", "1", "0", "1") == tuple(
            told[name] for name in ("total", "connected", "disconnected", "expired")
        )


async def test_messages_and_bytes_are_counted() -> None:
    """Of connections that have ended, too."""
    async with scene() as it:
        hears, says = await it.connected("hears"), await it.connected("says")
        await hears.subscribe("a/#", "b")
        for _ in range(3):
            await says.send(publish("a/b", b"12345"))
        await says.settled()
        before = await it.look()
        for client in (hears, says):
            await client.send(Disconnect())
            await client.rest()
            await client.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        after = await it.look()

        assert ("3", "3", "0") == tuple(
            before[f"publish/messages/{each}"] for each in ("received", "sent", "dropped")
        )
        # 2 CONNECT, SUBSCRIBE, 3 PUBLISH, PINGREQ; what answers them and 3 PUBLISH
        assert ("7", "7") == (before["messages/received"], before["messages/sent"])
        assert "2" == before["subscriptions/count"]
        assert ("9", "7") == (after["messages/received"], after["messages/sent"])
        assert "0" == after["subscriptions/count"]
        plain = 3 * len(b"\x30\x0b\x00\x03a/b\x0012345")
        assert plain < int(before["bytes/received"]) < int(after["bytes/received"])
        assert plain < int(before["bytes/sent"]) == int(after["bytes/sent"])


async def test_bytes_are_what_went_over_the_wire() -> None:
    """As the server counts them."""
    async with scene() as it:
        client = await it.connected("c")
        await client.subscribe("a")
        await client.send(publish("a", b"x" * 1000))
        await client.get(Publish)
        await client.settled()
        told, stats = await it.look(), it.server.server.stats()

        assert (stats.received, stats.sent) == (
            int(told["bytes/received"]),
            int(told["bytes/sent"]),
        )


async def overflow(it: Scene) -> None:
    """Publish three messages to a session whose client is away, and whose queue takes two."""
    away = await it.connected("away", properties=Properties(session_expiry_interval=60))
    await away.subscribe("a")
    await away.send(Disconnect())
    await away.rest()
    says = await it.connected("says")
    for packet_id in (1, 2, 3):
        await says.send(publish("a", packet_id=packet_id))
        await says.get(PubAck)


async def test_dropped_and_stored_messages_are_counted() -> None:
    """Those that wait for clients are stored beside those that are retained."""
    async with scene(Capabilities(queue_messages=2)) as it:
        await overflow(it)
        first = await it.look()
        told = await it.look()

        assert "1" == told["publish/messages/dropped"]
        retained = int(told["retained messages/count"])
        assert len(first) == retained
        assert retained + 2 == int(told["messages/stored"])


async def test_messages_that_were_dropped_stay_counted() -> None:
    """Their session ends before anybody has looked."""
    async with scene(Capabilities(queue_messages=2)) as it:
        await overflow(it)
        sessions = it.mqtt._service.sessions
        away = sessions.get("away")
        assert away is not None
        sessions.end(away, it.clock.now)

        assert "1" == (await it.look())["publish/messages/dropped"]


async def test_loads_are_rates_a_minute() -> None:
    """After a minute of one message a second, and one without."""
    async with scene() as it:
        says = await it.connected("says")
        await it.look(1)
        for _ in range(60):
            await says.send(publish("a"))
        await says.settled()
        busy = chosen(await it.look(60), "load/publish/received/")
        quiet = chosen(await it.look(60), "load/publish/received/")

        assert busy == {"1min": "37.93", "5min": "10.88", "15min": "3.87"}
        assert quiet == {"1min": "13.95", "5min": "8.90", "15min": "3.62"}


def test_a_load_is_steady_when_the_rate_is() -> None:
    """It comes near the rate, however often it is told."""
    load = Load()
    for count in range(0, 100_000, 10):
        load.update(count, 10)

    assert load.rates == pytest.approx(dict.fromkeys(load.rates, 60.0), rel=1e-3)


async def test_only_what_has_changed_is_told() -> None:
    """Nobody gets anything when nothing happens, and no message counts as published."""
    async with scene() as it:
        await it.look()
        async with it.mqtt.broker.subscribe("$SYS/broker/+") as messages:
            assert {"version", "uptime"} == {
                (await anext(messages)).topic.removeprefix("$SYS/broker/") for _ in range(2)
            }
            await it.look()
            await it.look(1)

            assert (await anext(messages)).payload == b"1 seconds"
            assert messages.stats().waiting == 0
        assert it.mqtt.broker.stats().published == 0


async def test_it_is_looked_every_so_many_seconds(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """From the beginning on."""
    clock, broker = Clock(), Broker()
    broker.core.clock = clock
    with trio.fail_after(60):
        async with serve_in_memory(MQTT(broker, sys_interval=30), observer=None) as server:
            client = Wired(server.connect())
            await client.connect()
            await client.send(subscribe("$SYS/broker/uptime"))
            told = [await client.packet(), await client.packet()]
            clock.now += 30
            began = trio.current_time()

            assert b"0 seconds" == getattr(told[1], "payload", None)
            assert b"30 seconds" == (await client.get(Publish)).payload
            assert 0 < trio.current_time() - began <= 30


async def test_sys_is_hidden_and_the_servers_own() -> None:
    """`#` doesn't match it, and clients can't publish there."""
    async with scene() as it:
        client = await it.connected("c")
        await client.subscribe("#")
        await it.look()
        await client.send(publish("$SYS/broker/uptime", packet_id=1))

        assert (await client.get(PubAck)).reason is ReasonCode.NOT_AUTHORIZED
        await client.settled()


@pytest.mark.parametrize("seconds", [-1, "10", float("inf"), None])
def test_an_interval_that_is_none(seconds: Any) -> None:
    """It is told when the factory is made."""
    with pytest.raises(ConfigError, match="sys_interval"):
        MQTT(sys_interval=seconds)


async def test_another_interval(autojump_clock: trio.testing.MockClock) -> None:
    """It holds at once; 0 stops the looks."""
    mqtt = MQTT(sys_interval=0)
    async with serve_in_memory(mqtt, observer=None):
        await trio.sleep(100)
        assert list(mqtt.broker.retained("$SYS/#")) == []
        mqtt.sys_interval = 5
        await trio.sleep(1)
        before = list(mqtt.broker.retained("$SYS/#"))
        mqtt.sys_interval = 0
        await trio.sleep(100)

    assert before
    assert list(mqtt.broker.retained("$SYS/#")) == before
    assert mqtt.sys_interval == 0
    with pytest.raises(ConfigError, match="sys_interval is -1"):
        mqtt.sys_interval = -1
