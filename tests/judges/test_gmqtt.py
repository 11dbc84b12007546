"""MQTT as gmqtt speaks it, with a codec of its own, on asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from attrs import define, field

from tests.judges.mqtt_broker import MQTTBroker
from tests.judges.program import PATIENCE
from tests.outside import need

need(modules=("gmqtt", "trustme", "wsproto"))

from gmqtt import Client, Message, Subscription  # noqa: E402  # it may be missing
from gmqtt.mqtt.constants import MQTTv50, MQTTv311  # noqa: E402  # the same


@define
class Came:
    """A message that has come."""

    topic: str
    payload: bytes
    qos: int
    properties: dict[str, Any]


@define
class Gmqtt:
    """A client, and what has come to it."""

    client: Any
    """gmqtt's, which has no types."""
    messages: asyncio.Queue[Came] = field(factory=asyncio.Queue)
    granted: asyncio.Queue[tuple[int, ...]] = field(factory=asyncio.Queue)
    present: bool = False
    told: dict[str, Any] = field(factory=dict)

    async def subscribe(self, topic_filter: str, **options: Any) -> tuple[int, ...]:
        """Subscribe, and give the reason codes."""
        identifier = options.pop("identifier", None)
        given = {} if identifier is None else {"subscription_identifier": identifier}
        self.client.subscribe(Subscription(topic_filter, **{"qos": 2, **options}), **given)
        return await self.granted.get()

    async def take(self, count: int) -> list[Came]:
        """The next messages."""
        return [await self.messages.get() for _ in range(count)]


@asynccontextmanager
async def connected(
    broker: MQTTBroker,
    client_id: str = "",
    version: int = MQTTv50,
    *,
    clean: bool = True,
    will: Any = None,
    **properties: Any,
) -> AsyncIterator[Gmqtt]:
    """A client for a block."""
    client = Client(client_id, clean_session=clean, will_message=will, **properties)
    client.set_config({"reconnect_retries": 0})
    own = Gmqtt(client)

    def on_connect(client: Any, flags: int, code: int, told: dict[str, Any]) -> None:
        own.present, own.told = bool(flags & 1), told

    async def on_message(
        client: Any, topic: str, payload: bytes, qos: int, properties: dict[str, Any]
    ) -> int:
        own.messages.put_nowait(Came(topic, payload, qos, properties))
        return 0

    def on_subscribe(client: Any, mid: int, qos: tuple[int, ...], properties: Any) -> None:
        own.granted.put_nowait(qos)

    client.on_connect, client.on_message = on_connect, on_message
    client.on_subscribe = on_subscribe
    await client.connect("localhost", broker.port(), version=version)
    try:
        yield own
    finally:
        await client.disconnect()


def run(talk: Coroutine[Any, Any, None]) -> None:
    """Have clients talk, in a loop of their own."""

    async def patiently() -> None:
        async with asyncio.timeout(PATIENCE):
            await talk

    asyncio.run(patiently())


@pytest.mark.parametrize("version", [MQTTv311, MQTTv50])
def test_every_qos(broker: MQTTBroker, topic: str, version: int) -> None:
    """Messages of all QoS go to the broker and come back, in their order."""

    async def talk() -> None:
        async with connected(broker, topic, version) as own:
            assert await own.subscribe(f"{topic}/#") == (2,)
            for qos in (0, 1, 2):
                own.client.publish(f"{topic}/{qos}", b"hello", qos=qos)
            came = [(each.topic, each.payload, each.qos) for each in await own.take(3)]
        assert came == [(f"{topic}/{qos}", b"hello", qos) for qos in (0, 1, 2)]

    run(talk())


def test_properties(broker: MQTTBroker, topic: str) -> None:
    """All properties of a message come as they were sent, user properties in their order."""

    async def talk() -> None:
        async with connected(broker) as own:
            await own.subscribe(topic, identifier=42)
            pairs = [("b", "1"), ("a", "2"), ("b", "1")]
            own.client.publish(
                topic,
                b"hello",
                qos=1,
                user_property=pairs,
                content_type="text/plain",
                correlation_data=b"\x00\xff",
                message_expiry_interval=100,
                payload_format_id=1,
                response_topic="elsewhere",
            )
            [came] = await own.take(1)
        assert came.properties["user_property"] == pairs
        assert came.properties["content_type"] == ["text/plain"]
        assert came.properties["correlation_data"] == [b"\x00\xff"]
        assert came.properties["message_expiry_interval"] == [100]
        assert came.properties["payload_format_id"] == [1]
        assert came.properties["response_topic"] == ["elsewhere"]
        assert came.properties["subscription_identifier"] == [42]

    run(talk())


def test_aliases(broker: MQTTBroker, topic: str) -> None:
    """Both ends use aliases at once, each its own, and every message has its topic."""

    async def talk() -> None:
        async with connected(broker, topic_alias_maximum=3) as own:
            await own.subscribe(f"{topic}/#")
            names = [f"{topic}/{name}" for name in "aabbcdea"]
            for name in names:
                own.client.publish(name, b"hello", qos=1, topic_alias=1 + ord(name[-1]) % 16)
            assert [each.topic for each in await own.take(8)] == names

    run(talk())


def test_the_receive_maximum(broker: MQTTBroker, topic: str) -> None:
    """A client that takes one message at a time gets all of them, in order."""

    async def talk() -> None:
        async with connected(broker, receive_maximum=1) as own, connected(broker) as other:
            await own.subscribe(topic)
            for number in range(100):
                other.client.publish(topic, b"%d" % number, qos=1 + number % 2)
            came = [each.payload for each in await own.take(100)]
        assert came == [b"%d" % number for number in range(100)]

    run(talk())


def test_a_megabyte(broker: MQTTBroker, topic: str) -> None:
    """A large message comes whole."""

    async def talk() -> None:
        async with connected(broker) as own:
            await own.subscribe(topic)
            own.client.publish(topic, b"x" * 1_000_000, qos=2)
            [came] = await own.take(1)
        assert came.payload == b"x" * 1_000_000

    run(talk())


def test_a_session_stays(broker: MQTTBroker, topic: str) -> None:
    """A client that comes back is told that its session is there, and gets what waits."""

    async def talk() -> None:
        async with connected(broker, topic, session_expiry_interval=1000) as own:
            assert not own.present
            await own.subscribe(topic, qos=1)
        async with connected(broker) as other:
            other.client.publish(topic, b"while away", qos=1)
        async with connected(broker, topic, clean=False) as own:
            assert own.present
            assert [each.payload for each in await own.take(1)] == [b"while away"]

    run(talk())


@pytest.mark.parametrize(("reason", "published"), [(0, b"after that"), (4, b"gone")])
def test_a_goodbye(broker: MQTTBroker, topic: str, reason: int, published: bytes) -> None:
    """A client that leaves has its will only if it asks for it."""

    async def talk() -> None:
        will = Message(topic, b"gone", qos=1)
        async with connected(broker) as heir:
            await heir.subscribe(topic)
            async with connected(broker, will=will) as own:
                await own.subscribe(f"{topic}/other")
                await own.client.disconnect(reason_code=reason)
            gone = partial(broker.until, lambda: broker.subscribed(f"{topic}/other") == 0, "gone")
            await asyncio.to_thread(gone)
            heir.client.publish(topic, b"after that")
            assert [each.payload for each in await heir.take(1)] == [published]

    run(talk())


def test_a_delayed_will(broker: MQTTBroker, topic: str) -> None:
    """A will waits for its delay, and is retained if that is wanted."""

    async def talk() -> None:
        will = Message(topic, b"gone", qos=1, retain=True, will_delay_interval=1)
        async with connected(broker) as heir:
            await heir.subscribe(topic)
            async with connected(broker, topic, will=will, session_expiry_interval=9) as own:
                await own.client.disconnect(reason_code=4)
            heir.client.publish(topic, b"meanwhile")
            assert [each.payload for each in await heir.take(2)] == [b"meanwhile", b"gone"]
        await asyncio.to_thread(broker.until_retained, topic, b"gone")
        async with connected(broker, topic):  # leave nothing
            pass

    run(talk())


def test_options_of_a_subscription(broker: MQTTBroker, topic: str) -> None:
    """Retained messages may be left out, and what is published may keep its mark."""

    async def talk() -> None:
        async with connected(broker) as own:
            own.client.publish(topic, b"kept", retain=True)
            options = {"retain_as_published": True, "retain_handling_options": 2}
            await own.subscribe(topic, **options)
            own.client.publish(topic, b"replaced", retain=True)
            own.client.publish(topic, b"passing")
            came = [(each.payload, each.properties["retain"]) for each in await own.take(2)]
        assert came == [(b"replaced", 1), (b"passing", 0)]

    run(talk())


def test_a_shared_subscription(broker: MQTTBroker, topic: str) -> None:
    """Members of a group share what is published, evenly."""

    async def talk() -> None:
        async with connected(broker) as one, connected(broker, version=MQTTv311) as two:
            for each in (one, two):
                await each.subscribe(f"$share/group/{topic}")
            for number in range(10):
                one.client.publish(topic, b"%d" % number, qos=1)
            came = await one.take(5) + await two.take(5)
        assert sorted(each.payload for each in came) == [b"%d" % number for number in range(10)]

    run(talk())
