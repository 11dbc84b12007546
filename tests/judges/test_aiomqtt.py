"""MQTT as aiomqtt speaks it: Paho's codec, with many clients at once in one loop of asyncio."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine
from typing import Any

import pytest

from tests.judges.authority import Authority
from tests.judges.mqtt_broker import MQTTBroker
from tests.judges.program import PATIENCE
from tests.outside import need

need(modules=("aiomqtt", "trustme", "wsproto"))

from aiomqtt import Client, Message, MqttError, ProtocolVersion, Will  # noqa: E402  # maybe missing

VERSIONS = [ProtocolVersion.V31, ProtocolVersion.V311, ProtocolVersion.V5]


def run(talk: Coroutine[Any, Any, None]) -> None:
    """Have clients talk, in a loop of their own."""

    async def patiently() -> None:
        async with asyncio.timeout(PATIENCE):
            await talk

    asyncio.run(patiently())


def client(broker: MQTTBroker, by: str = "tcp", **options: Any) -> Client:
    """A client of the broker."""
    if path := broker.path(by):
        return Client(path, transport="unix", **options)
    if by.startswith("ws"):
        options |= {"transport": "websockets", "websocket_path": "/mqtt"}
    return Client("localhost", broker.port(by), **options)


async def take(client: Client, count: int) -> list[Message]:
    """The next messages."""
    return [await anext(client.messages) for _ in range(count)]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_qos(broker: MQTTBroker, topic: str, version: ProtocolVersion) -> None:
    """Messages of all QoS go to the broker and come back, in their order."""

    async def talk() -> None:
        async with client(broker, identifier=topic, protocol=version) as own:
            await own.subscribe(f"{topic}/#", qos=2)
            for qos in (0, 1, 2):
                await own.publish(f"{topic}/{qos}", f"hello {qos}", qos=qos)
            came = [(str(each.topic), each.payload, each.qos) for each in await take(own, 3)]
        assert came == [(f"{topic}/{qos}", b"hello %d" % qos, qos) for qos in (0, 1, 2)]

    run(talk())


@pytest.mark.parametrize("by", ["tls", "unix", "ws", "wss"])
def test_other_ways(broker: MQTTBroker, topic: str, by: str, authority: Authority) -> None:
    """What is published in one way reaches those who came in another."""
    context = ssl.create_default_context(cafile=authority.file) if by in {"tls", "wss"} else None

    async def talk() -> None:
        async with client(broker) as one, client(broker, by, tls_context=context) as other:
            for this, that in ((one, other), (other, one)):
                await this.subscribe(topic, qos=1)
                await that.publish(topic, "hello", qos=1)
                assert [each.payload for each in await take(this, 1)] == [b"hello"]
                await this.unsubscribe(topic)

    run(talk())


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_many_publishers(broker: MQTTBroker, topic: str, qos: int) -> None:
    """Twenty publish at once: one gets everything, with the order of each publisher."""

    async def publish(number: int) -> None:
        async with client(broker, max_inflight_messages=50) as own:
            for count in range(20):
                await own.publish(f"{topic}/{number}", str(count), qos=qos)

    async def talk() -> None:
        async with client(broker) as own:
            await own.subscribe(f"{topic}/+", qos=qos)
            async with asyncio.TaskGroup() as group:
                for number in range(20):
                    group.create_task(publish(number))
                came = await take(own, 400)
        for number in range(20):
            payloads = [each.payload for each in came if str(each.topic) == f"{topic}/{number}"]
            assert payloads == [b"%d" % count for count in range(20)]

    run(talk())


def test_many_subscribers(broker: MQTTBroker, topic: str) -> None:
    """Thirty are subscribed, and each gets everything in order."""

    async def subscribe(ready: asyncio.Barrier) -> None:
        async with client(broker) as own:
            await own.subscribe(topic, qos=1)
            await ready.wait()
            came = await take(own, 20)
        assert [each.payload for each in came] == [b"%d" % count for count in range(20)]

    async def talk() -> None:
        ready = asyncio.Barrier(31)
        async with asyncio.TaskGroup() as group, client(broker) as own:
            for _ in range(30):
                group.create_task(subscribe(ready))
            await ready.wait()
            for count in range(20):
                await own.publish(topic, str(count), qos=1)

    run(talk())


def test_a_session_stays(broker: MQTTBroker, topic: str) -> None:
    """What comes while a client is away is there when it is back."""

    async def talk() -> None:
        async with client(broker, identifier=topic, clean_session=False) as own:
            await own.subscribe(topic, qos=1)
        async with client(broker) as other:
            await other.publish(topic, "while away", qos=1)
        async with client(broker, identifier=topic, clean_session=False) as own:
            assert [each.payload for each in await take(own, 1)] == [b"while away"]
        async with client(broker, identifier=topic, clean_session=True):  # leave nothing
            pass

    run(talk())


def test_a_takeover_with_a_will(broker: MQTTBroker, topic: str) -> None:
    """Who is taken over learns it as an error, and its will is published."""

    async def be_taken_over() -> None:
        will = Will(f"{topic}/will", "gone", qos=1)
        first, second = (
            client(broker, identifier=topic, will=will),
            client(broker, identifier=topic),
        )
        async with first, second:
            await anext(first.messages)

    async def talk() -> None:
        async with client(broker) as heir:
            await heir.subscribe(f"{topic}/will", qos=1)
            with pytest.raises(MqttError):
                await be_taken_over()
            assert [each.payload for each in await take(heir, 1)] == [b"gone"]

    run(talk())


def test_retained(broker: MQTTBroker, topic: str) -> None:
    """What is retained under many topics comes to a wildcard, once for each."""

    async def talk() -> None:
        async with client(broker) as own:
            for number in range(200):
                await own.publish(f"{topic}/{number}", "kept", qos=1, retain=True)
            await own.subscribe(f"{topic}/+", qos=1)
            came = await take(own, 200)
        assert {str(each.topic) for each in came} == {f"{topic}/{each}" for each in range(200)}
        assert all(each.retain for each in came)

    run(talk())
