"""What a broker reports of itself: each figure moves, and nothing secret is told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from prometheus_client.parser import text_string_to_metric_families

from speedo_trio.admin.endpoint import Admin
from speedo_trio.mqtt import MQTT, Capabilities, SQLiteStore
from speedo_trio.mqtt.wire.packets import Publish, Will
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.versions import Version
from speedo_trio.protocol.report import Reporter
from speedo_trio.testing import MemoryServer, serve_in_memory
from speedo_trio.testing.driver import Driver
from tests.admin.client import get
from tests.mqtt.wired import PATIENCE, Wired, publish
from tests.promises.scene import until

LASTS = Properties(session_expiry_interval=100)


class Scene:
    """A broker, and who asks it."""

    def __init__(self, server: MemoryServer, mqtt: MQTT) -> None:
        self.server = server
        self.mqtt = mqtt
        self.driver = Driver(Admin(server.server, reporters=[mqtt]))

    async def client(
        self, client_id: str, version: Version = Version.MQTT_5_0, **given: Any
    ) -> Wired:
        client = Wired(self.server.connect(), version)
        await client.connect(client_id, **given)
        return client

    async def figures(self) -> dict[str, Any]:
        """By name; those with a label as dicts."""
        return {each.name.removeprefix("mqtt_"): each.value for each in await self.mqtt.report()}


@asynccontextmanager
async def scene(store: SQLiteStore | None = None, **capabilities: Any) -> AsyncIterator[Scene]:
    """In memory."""
    mqtt = MQTT(capabilities=Capabilities(**capabilities), sys_interval=0, store=store)
    with trio.fail_after(PATIENCE):
        async with serve_in_memory(mqtt, observer=None) as server:
            yield Scene(server, mqtt)


async def test_who_is_there() -> None:
    """By version, and who is away."""
    async with scene() as on:
        five = await on.client("five", properties=LASTS, clean_start=False)
        await on.client("three", Version.MQTT_3_1_1)
        await five.subscribe("a", "b")
        first = await on.figures()
        await five.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        second = await on.figures()

    assert {"3.1": 0, "3.1.1": 1, "5.0": 1} == first["clients"]
    assert [{"connected": 2, "away": 0}, {"connected": 1, "away": 1}] == [
        each["sessions"] for each in (first, second)
    ]
    assert (2, 2) == (first["subscriptions"], first["connects"])
    assert 1 == second["clients"]["3.1.1"]


async def test_what_waits() -> None:
    """Queues, what is in flight, what is retained, and what was dropped."""
    async with scene(maximum_inflight=2, queue_messages=3, stall_timeout=0) as on:
        slow = await on.client("slow", properties=LASTS)
        await slow.subscribe("a", qos=1)
        for number in range(7):
            on.mqtt.publish("a", b"%d" % number, qos=1)
        on.mqtt.publish("r", b"123", retain=True)
        found = await on.figures()

    assert (3, 6, 2) == (
        found["queued_messages"],
        found["queued_bytes"],
        found["inflight_messages"],
    )
    assert {"queue": 2, "slow": 0, "expired": 0, "too_large": 0} == found["dropped"]
    assert (1, 4) == (found["retained_messages"], found["retained_bytes"])


async def test_traffic() -> None:
    """Messages, packets and bytes in both directions; totals never go back."""
    async with scene(maximum_subscriptions=1) as on:
        client = await on.client("c")
        await client.subscribe("a", qos=2)
        await client.subscribe("b", qos=2)
        await client.send(publish("a", qos=2, packet_id=1))
        await client.get(Publish)
        first = await on.figures()
        await client.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        second = await on.figures()

    assert (1, 1, 1) == (first["published"], first["delivered"], first["held_identifiers"])
    assert first["packets"]["received"] >= 4
    assert first["bytes"]["received"] > 20
    assert first["bytes"]["sent"] > 20
    assert 1 == first["limits_reached"]["maximum_subscriptions"]
    for name in ("published", "delivered", "connects"):
        assert second[name] >= first[name]
    assert second["bytes"]["received"] >= first["bytes"]["received"]


async def test_a_session_that_ends_takes_no_total_along() -> None:
    """What it dropped stays counted."""
    async with scene() as on:
        client = await on.client("c", properties=Properties(maximum_packet_size=30))
        await client.subscribe("a", qos=1)
        on.mqtt.publish("a", bytes(100), qos=1)
        first = await on.figures()
        await client.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        second = await on.figures()

    assert [1, 1] == [each["dropped"]["too_large"] for each in (first, second)]
    assert {"connected": 0, "away": 0} == second["sessions"]


async def test_a_store(tmp_path: Path) -> None:
    """What is written, and whether it fails."""
    async with scene(SQLiteStore(str(tmp_path / "mqtt.db"))) as on:
        client = await on.client("c", properties=LASTS, clean_start=False)
        await client.subscribe("a", qos=1)
        await until(lambda: on.mqtt._service.keeper.ledger.written > 0)  # type: ignore[union-attr]  # there is one
        found = await on.figures()

    assert found["store_commits"] >= 1
    assert (0, False) == (found["store_pending_bytes"], bool(found["store_failing"]))


async def test_prometheus() -> None:
    """All of it has a name, a type and a text that Prometheus reads."""
    async with scene() as on:
        await on.client("c")
        text = get(on.driver, "/metrics").body.decode()
        named = {each.name for each in await on.mqtt.report()}
    families = {each.name: each for each in text_string_to_metric_families(text)}

    assert {f"speedo_trio_{name}" for name in named} <= families.keys()
    assert "counter" == families["speedo_trio_mqtt_published"].type
    assert "gauge" == families["speedo_trio_mqtt_sessions"].type
    assert all(each.documentation for each in families.values())
    samples = families["speedo_trio_mqtt_clients"].samples
    assert {"3.1": 0, "3.1.1": 0, "5.0": 1} == {
        each.labels["version"]: each.value for each in samples
    }


async def test_clients_are_listed() -> None:
    """Those first for whom most waits, and no more than is asked for."""
    async with scene(maximum_inflight=1) as on:
        for name, count in (("idle", 1), ("busy", 5), ("some", 3)):
            client = await on.client(name)
            await client.subscribe(name, qos=1)
            for _ in range(count):
                on.mqtt.publish(name, b"x", qos=1)
        listed = await on.mqtt.report_clients(2)
        status = json.loads(get(on.driver, "/status").body)

    assert [("busy", 4), ("some", 2)] == [(each["id"], each["queued"]) for each in listed]
    (report,) = status["reports"]
    assert ["busy", "some", "idle"] == [each["id"] for each in report["clients"]]
    assert 3 == report["figures"]["mqtt_sessions"]["connected"]


async def test_a_clients_page() -> None:
    """Subscriptions with their options, will and keep alive; no payload, no password."""
    async with scene() as on:
        client = await on.client(
            "a/b c?",
            keep_alive=60,
            properties=LASTS,
            will=Will(b"gone", b"secret"),
            user_name="u",
            password=b"secret",
        )
        await client.subscribe("a/+", qos=1)
        on.mqtt.publish("a/x", b"secret", qos=1)
        answer = get(on.driver, "/status/clients/a%2Fb%20c%3F")
        missing = [
            get(on.driver, f"/status/clients/{name}").status for name in ("nobody", "", "%ff")
        ]

    found = json.loads(answer.body)
    assert ("a/b c?", True, "5.0", 1) == (
        found["id"],
        found["connected"],
        found["version"],
        found["inflight"],
    )
    assert {"a/+": "QoS 1"} == found["filters"]
    assert (60, 100, "gone") == (
        found["keep_alive"],
        found["session_expiry"],
        found["will_topic"],
    )
    assert "secret" not in answer.body.decode()
    assert [404, 404, 404] == missing


async def test_many_sessions_let_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list and the figures are made in portions."""
    monkeypatch.setattr("speedo_trio.mqtt.reporting._TURN", 2)
    async with scene() as on:
        for number in range(5):
            await on.client(f"c{number}")
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                await trio.lowlevel.checkpoint()
                turns += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(count)
            await on.figures()
            await on.mqtt.report_clients(10)
            nursery.cancel_scope.cancel()

    assert turns >= 2  # none without portions


def test_an_mqtt_is_a_reporter() -> None:
    """The command finds it by that."""
    assert isinstance(MQTT(), Reporter)
    assert not isinstance(Mapping, Reporter)
