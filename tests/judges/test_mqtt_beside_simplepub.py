"""MQTT and SimplePub on one broker: their clients meet on the same topics."""

from __future__ import annotations

import pytest
import trio

from speedo_trio.simplepub.client import connect
from tests.judges.conftest import Ends
from tests.judges.mosquitto import VERSIONS, Mosquitto, publish
from tests.judges.mqtt_broker import MQTTBroker
from tests.judges.program import PATIENCE
from tests.outside import need

need("mosquitto_sub", "mosquitto_pub", modules=("trustme", "wsproto"))


async def test_simplepub_subscribes(broker: MQTTBroker, topic: str) -> None:
    """What is published by MQTT reaches clients of SimplePub."""
    with trio.fail_after(PATIENCE):
        async with connect(broker.simplepub) as client:
            await client.subscribe(f"{topic}/#")
            await client.ping()
            how = ("-t", f"{topic}/a", "-m", "hello", "-V", "5", "-q", "2")
            await trio.to_thread.run_sync(lambda: publish(broker, *how))
            message = await anext(client)

    assert (message.topic, message.payload) == (f"{topic}/a", b"hello")


@pytest.mark.parametrize("version", VERSIONS)
async def test_simplepub_publishes(
    broker: MQTTBroker, ends: Ends, topic: str, version: str
) -> None:
    """What is published by SimplePub reaches clients of MQTT, what is retained too."""
    with trio.fail_after(PATIENCE):
        async with connect(broker.simplepub) as client:
            await client.publish(f"{topic}/a", b"kept", retain=True)
            await client.ping()
            how = ("-t", f"{topic}/#", "-C", "2", "-q", "1", "-V", version, "-F", "%t %q %r %p")
            subscriber = ends(Mosquitto(broker, "sub", *how))
            await trio.to_thread.run_sync(broker.until_subscribed, topic)
            await client.publish(f"{topic}/b", b"passing")
            lines = await trio.to_thread.run_sync(lambda: subscriber.lines)

    assert lines == [f"{topic}/a 0 1 kept", f"{topic}/b 0 0 passing"]


async def test_a_group_of_both(broker: MQTTBroker, ends: Ends, topic: str) -> None:
    """A shared subscription may have members of both protocols."""
    with trio.fail_after(PATIENCE):
        async with connect(broker.simplepub) as client:
            await client.subscribe(f"$share/group/{topic}")
            await client.ping()
            how = ("-t", f"$share/group/{topic}", "-C", "2")
            subscriber = ends(Mosquitto(broker, "sub", *how))
            await trio.to_thread.run_sync(broker.until_subscribed, topic, 2)
            for payload in (b"1", b"2", b"3", b"4"):
                await client.publish(topic, payload)
            came = [(await anext(client)).payload for _ in range(2)]
            lines = await trio.to_thread.run_sync(lambda: subscriber.lines)

    assert sorted([*came, *(line.encode() for line in lines)]) == [b"1", b"2", b"3", b"4"]
