"""MQTT as the program sees it: publish and subscribe with a QoS, who is there, and ending them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from speedo_trio.broker.broker import Broker
from speedo_trio.broker.limits import BrokerLimits
from speedo_trio.broker.message import TopicMessage
from speedo_trio.errors import ConfigError, RetainedFull, TopicError, UnsendablePacket
from speedo_trio.mqtt.message import MQTTMessage
from speedo_trio.mqtt.service import MQTT
from speedo_trio.mqtt.stats import SessionStats
from speedo_trio.mqtt.wire.packets import Disconnect, Publish, Will
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.versions import Version
from speedo_trio.server import serve
from tests.mqtt.peers import connected


@asynccontextmanager
async def served(mqtt: MQTT) -> AsyncIterator[int]:
    """The port that it is served on."""
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, mqtt, "tcp://127.0.0.1:0")
        yield server.addresses[0].port
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("granted", [0, 1, 2])
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_a_message_has_the_lower_qos(qos: int, granted: int) -> None:
    """[MQTT-3.8.4-8] Of its publishing and of the subscription, as if a client had published it."""
    mqtt = MQTT()
    async with served(mqtt) as port, connected(port) as peer:
        await peer.subscribe("a", qos=granted)
        assert mqtt.publish("a", b"1", qos=qos) == 1
        assert (await peer.message()).qos == min(qos, granted)
        assert mqtt.publish("a", b"2", qos=qos) == 1
        assert (await peer.message()).payload == b"2"


async def test_what_the_broker_publishes_has_qos_0() -> None:
    """It knows of no QoS."""
    mqtt = MQTT()
    async with served(mqtt) as port, connected(port) as peer:
        await peer.subscribe("a", qos=2)
        assert mqtt.broker.publish("a", b"1") == 1
        assert await peer.receive() == Publish(b"a", b"1")


async def test_a_client_that_is_away_gets_it_later() -> None:
    """With QoS 1, not with QoS 0."""
    mqtt = MQTT()
    async with served(mqtt) as port:
        async with connected(port, stays=60) as peer:
            await peer.subscribe("a", qos=1)
        await wait_all_tasks_blocked(0.01)
        assert mqtt.publish("a", b"0") == 0
        assert mqtt.publish("a", b"1", qos=1) == 1
        async with connected(port, stays=60) as peer:
            assert (await peer.message()).payload == b"1"


async def test_properties_go_with_it() -> None:
    """To clients of 5.0; others get it without."""
    mqtt = MQTT()
    properties = Properties(
        content_type="text/plain",
        response_topic="answers",
        correlation_data=b"7",
        message_expiry_interval=60,
        user=(("a", "1"), ("a", "2")),
    )
    async with (
        served(mqtt) as port,
        connected(port) as five,
        connected(port, "old", version=Version.MQTT_3_1_1) as old,
    ):
        for peer in five, old:
            await peer.subscribe("a", qos=1)
        mqtt.publish("a", b"1", qos=1, properties=properties)
        got = await five.message()
        assert (await old.message()).properties is None

    assert got.properties == properties


async def test_what_is_retained_keeps_qos_and_properties() -> None:
    """For clients that subscribe later."""
    mqtt = MQTT()
    mqtt.publish("a", b"1", qos=2, retain=True, properties=Properties(content_type="x"))
    async with served(mqtt) as port, connected(port) as peer:
        await peer.subscribe("a", qos=2)
        got = await peer.message()

    assert (got.qos, got.retain, got.properties) == (2, True, Properties(content_type="x"))
    assert list(mqtt.broker.retained("#")) == [TopicMessage("a", b"1", retain=True)]


@pytest.mark.parametrize(
    ("arguments", "options", "error"),
    [
        (("a/#", b""), {}, TopicError),
        (("", b""), {"qos": 1}, TopicError),
        (("a", b""), {"qos": 3}, ConfigError),
        (("a", b""), {"qos": -1}, ConfigError),
        (("a", b""), {"qos": True}, ConfigError),
        (("a", "text"), {}, TypeError),
        (("a", b""), {"properties": Properties(server_keep_alive=1)}, UnsendablePacket),
        (("a", b""), {"properties": Properties(user=(("\0", ""),))}, UnsendablePacket),
    ],
)
async def test_what_is_not_allowed_is_refused(
    arguments: tuple[Any, ...], options: dict[str, Any], error: type[Exception]
) -> None:
    """Nobody gets it, and it isn't counted."""
    mqtt = MQTT()
    async with mqtt.subscribe("#"):
        with pytest.raises(error):
            mqtt.publish(*arguments, **options)
        assert (mqtt.broker.stats().published, mqtt.broker.stats().waiting) == (0, 0)


async def test_no_room_to_retain() -> None:
    """Those who are subscribed have it all the same."""
    mqtt = MQTT(Broker(BrokerLimits(retained_messages=1)))
    mqtt.publish("a", b"1", retain=True)
    async with mqtt.subscribe("b") as messages:
        with pytest.raises(RetainedFull):
            mqtt.publish("b", b"1", retain=True)
        assert (await anext(messages)).payload == b"1"


# Subscribing


async def test_a_message_tells_how_it_was_published() -> None:
    """By a client, by the program over MQTT, and by the broker."""
    mqtt = MQTT()
    properties = Properties(content_type="x")
    async with served(mqtt) as port, mqtt.subscribe("a") as messages:
        async with connected(port, "c1") as peer:
            await peer.send(Publish(b"a", b"1", qos=1, packet_id=1, properties=properties))
            expected = MQTTMessage("a", b"1", qos=1, client_id="c1", properties=properties)
            assert await anext(messages) == expected
        mqtt.publish("a", b"2", qos=2, retain=True)
        assert await anext(messages) == MQTTMessage("a", b"2", qos=2, to_retain=True)
        mqtt.broker.publish("a", b"3", retain=True)
        assert await anext(messages) == MQTTMessage("a", b"3", to_retain=True)


async def test_what_is_retained_comes_first() -> None:
    """And says so."""
    mqtt = MQTT()
    mqtt.publish("a", b"1", qos=1, retain=True)
    async with mqtt.subscribe("#") as messages:
        expected = MQTTMessage("a", b"1", retain=True, qos=1, to_retain=True)
        assert await anext(messages) == expected


async def test_a_cancel_loses_no_message() -> None:
    """As of any subscription."""
    mqtt = MQTT()
    async with mqtt.subscribe("a", name="me") as messages:
        with trio.move_on_after(0):
            await anext(messages)
        mqtt.publish("a", b"1")
        with trio.move_on_after(0):
            await anext(messages)
        assert [each.name for each in mqtt.broker.subscribers()] == ["me"]
        assert (await anext(messages)).payload == b"1"


def test_bad_subscriptions() -> None:
    """As the broker refuses them."""
    with pytest.raises(ConfigError):
        MQTT().subscribe()
    with pytest.raises(ConfigError):
        MQTT().subscribe("a", waiting_messages=0)


# Who is there


async def test_sessions() -> None:
    """Of those who are there, and of those who are away."""
    mqtt = MQTT()
    assert mqtt.sessions() == ()
    async with served(mqtt) as port:
        async with connected(port, "away", stays=60) as peer:
            await peer.subscribe("a", "b/#", qos=1)
        await wait_all_tasks_blocked(0.01)
        mqtt.publish("a", b"1", qos=1)
        async with connected(port, "there"):
            away, there = mqtt.sessions()

    counts = {"waiting": 1, "inflight": 0, "dropped": 0}
    assert away == SessionStats(client_id="away", connected=False, filters=("a", "b/#"), **counts)
    assert there == SessionStats(
        client_id="there", connected=True, filters=(), waiting=0, inflight=0, dropped=0
    )


@pytest.mark.parametrize("reason", [ReasonCode.ADMINISTRATIVE_ACTION, ReasonCode.SERVER_MOVED])
async def test_disconnect_tells_the_client(reason: ReasonCode) -> None:
    """Its session stays and its will is published."""
    mqtt = MQTT()
    will = Will(b"will", b"gone")
    async with served(mqtt) as port, mqtt.subscribe("will") as wills:
        async with connected(port, "c1", stays=60, will=will) as peer:
            assert mqtt.disconnect("c1", reason)
            assert await peer.receive() == Disconnect(reason)
            assert await peer.receive() is None
            assert (await anext(wills)).payload == b"gone"
            assert [each.connected for each in mqtt.sessions()] == [False]
            assert not mqtt.disconnect("c1")
        assert not mqtt.disconnect("nobody")


async def test_disconnect_as_if_the_network_had() -> None:
    """Without a DISCONNECT, and the will is published."""
    mqtt = MQTT()
    async with (
        served(mqtt) as port,
        mqtt.subscribe("will") as wills,
        connected(port, "c1", will=Will(b"will")) as peer,
    ):
        assert mqtt.disconnect("c1", None)
        assert await peer.receive() is None
        assert (await anext(wills)).client_id == "c1"
    assert mqtt.sessions() == ()
