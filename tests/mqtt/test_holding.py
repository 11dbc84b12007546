"""Publishers that are held, by a whole server: who goes on when, and how connections end then."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import trio

from speedo_trio.events import Cause, ConnectionFailed, Event, Observer
from speedo_trio.mqtt.handler import MQTTHandler
from speedo_trio.mqtt.holding import Holding
from speedo_trio.mqtt.hooks import Hooks
from speedo_trio.mqtt.requests import PublishRequest
from speedo_trio.mqtt.service import MQTT
from speedo_trio.mqtt.state.capabilities import Capabilities
from speedo_trio.mqtt.wire.packets import (
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    SubAck,
)
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.testing import MemoryServer, serve_in_memory
from tests.mqtt.wired import PATIENCE, Wired, publish, subscribe
from tests.promises.scene import until

STALL = 3600.0
"""A `stall_timeout` that never is over, unless a test lets it be."""


async def allow(_: PublishRequest) -> bool:
    """A hook."""
    return True


class House:
    """A server in memory, where the fifth message that waits for a client holds its publisher."""

    def __init__(self, mqtt: MQTT, server: MemoryServer, stack: AsyncExitStack) -> None:
        self.mqtt = mqtt
        self.server = server
        self._stack = stack

    async def client(self, client_id: str, *filters: str) -> Wired:
        """A client that is connected, and subscribed with QoS 1."""
        stream = self.server.connect()
        self._stack.push_async_callback(trio.aclose_forcefully, stream)
        wired = Wired(stream)
        await wired.connect(client_id, keep_alive=0)
        if filters:
            await wired.subscribe(*filters, qos=1)
        return wired

    def waiting(self, client_id: str) -> int:
        (stats,) = (each for each in self.mqtt.sessions() if each.client_id == client_id)
        return stats.waiting

    async def until_waiting(self, client_id: str, count: int) -> None:
        """Until so many messages wait for a client."""
        await until(lambda: self.waiting(client_id) == count)


@asynccontextmanager
async def house(
    hooks: Hooks | None = None, observer: Observer | None = None, **capabilities: Any
) -> AsyncIterator[House]:
    """One, for the block."""
    given = {"maximum_inflight": 2, "queue_messages": 8, "stall_timeout": STALL}
    mqtt = MQTT(
        capabilities=Capabilities(**(given | capabilities)), hooks=hooks or Hooks(), sys_interval=0
    )
    with trio.fail_after(PATIENCE):
        async with serve_in_memory(mqtt, observer=observer) as server, AsyncExitStack() as stack:
            yield House(mqtt, server, stack)


def messages(number: int, topic: str = "a") -> list[Publish]:
    """So many, with QoS 1, that are numbered."""
    return [publish(topic, b"%d" % each, each) for each in range(1, number + 1)]


async def take(wired: Wired, count: int) -> list[bytes]:
    """Take so many messages, each acknowledged at once; other packets are passed over."""
    got: list[bytes] = []
    while len(got) < count:
        packet = await wired.packet()
        if isinstance(packet, Publish):
            got.append(packet.payload)
            await wired.send(PubAck(packet.packet_id))
    return got


def numbers(count: int) -> list[bytes]:
    """The payloads of so many."""
    return [b"%d" % each for each in range(1, count + 1)]


HOOKS = pytest.mark.parametrize(
    "hooks", [Hooks(), Hooks(authorise_publish=allow)], ids=["none", "hooks"]
)
"""By the caretaker, and in the connection's lane."""


@HOOKS
async def test_a_publisher_goes_on_as_fast_as_its_subscriber(hooks: Hooks) -> None:
    """Nothing is lost, and it is acknowledged as room comes; others aren't held."""
    async with house(hooks) as home:
        slow, publisher = await home.client("slow", "a"), await home.client("publisher")
        other, healthy = await home.client("other"), await home.client("healthy", "b")
        await publisher.send(*messages(100))
        await home.until_waiting("slow", 5)
        await other.send(publish("b", b"x", 1))
        assert [b"x"] == await take(healthy, 1)
        assert [PubAck(each) for each in range(1, 8)] == [
            await publisher.packet() for _ in range(7)
        ]

        assert numbers(100) == await take(slow, 100)
        assert [PubAck(each) for each in range(8, 101)] == [
            await publisher.packet() for _ in range(93)
        ]


@HOOKS
async def test_what_need_not_wait_is_answered(hooks: Hooks) -> None:
    """PINGREQ is; SUBSCRIBE waits for the messages before it."""
    async with house(hooks) as home:
        slow, publisher = await home.client("slow", "a"), await home.client("publisher")
        await publisher.send(*messages(10))
        await home.until_waiting("slow", 5)
        for _ in range(7):
            await publisher.get(PubAck)
        await publisher.send(subscribe("b"), PingReq())
        await publisher.get(PingResp)
        await take(slow, 10)
        for _ in range(3):
            await publisher.get(PubAck)

        await publisher.get(SubAck)


@HOOKS
async def test_who_is_stalled_holds_nobody(hooks: Hooks) -> None:
    """For the time of the setting it does, and then what is too much is dropped."""
    async with house(hooks, stall_timeout=0.02) as home:
        await home.client("slow", "a")
        publisher = await home.client("publisher")
        await publisher.send(*messages(20))

        assert 20 == len([await publisher.get(PubAck) for _ in range(20)])
        assert 8 == home.waiting("slow")


@HOOKS
async def test_clients_that_publish_to_one_another(hooks: Hooks) -> None:
    """And to themselves: each gets all, and nothing is dropped."""
    async with house(hooks) as home:
        clients = [await home.client(name, "a") for name in ("one", "two", "three")]
        got: list[list[bytes]] = []

        async def both(wired: Wired) -> None:
            got.append(await take(wired, 300))

        async with trio.open_nursery() as nursery:
            for wired in clients:
                nursery.start_soon(both, wired)
                await wired.send(*messages(100))

        assert [sorted(numbers(100) * 3)] * 3 == [sorted(each) for each in got]


@HOOKS
async def test_what_was_sent_before_the_end_is_done(hooks: Hooks) -> None:
    """A client publishes and goes, in order: all is published before its connection ends."""
    async with house(hooks) as home:
        slow, publisher = await home.client("slow", "a"), await home.client("publisher")
        await publisher.send(*messages(20), Disconnect())
        await home.until_waiting("slow", 5)
        await publisher.eof()

        assert numbers(20) == await take(slow, 20)


@HOOKS
async def test_a_publisher_that_is_reset(hooks: Hooks) -> None:
    """What was not acknowledged is dropped, and nobody waits."""
    async with house(hooks) as home:
        slow, publisher = await home.client("slow", "a"), await home.client("publisher")
        await publisher.send(*messages(20))
        await home.until_waiting("slow", 5)
        home.mqtt.disconnect("publisher", None)
        await until(lambda: len(home.mqtt.sessions()) == 1)

        assert numbers(7) == await take(slow, 7)
        assert 0 == home.waiting("slow")


async def test_nobody_keeps_who_was_held_and_has_gone() -> None:
    """Though there was to be a look at it in an hour."""
    async with house() as home:
        await home.client("slow", "a")
        publisher = await home.client("publisher")
        await publisher.send(*messages(20))
        await home.until_waiting("slow", 5)
        home.mqtt.disconnect("publisher", None)
        await until(lambda: len(home.mqtt.sessions()) == 1)

        watched = home.mqtt._service.caretaker._watched
        assert [MQTTHandler] == [type(each) for each in watched]  # that of the subscriber


@HOOKS
async def test_a_subscriber_that_goes_frees_its_publishers(hooks: Hooks) -> None:
    """At once."""
    async with house(hooks) as home:
        slow, publisher = await home.client("slow", "a"), await home.client("publisher")
        await publisher.send(*messages(20))
        await home.until_waiting("slow", 5)
        await slow.stream.aclose()

        assert 20 == len([await publisher.get(PubAck) for _ in range(20)])


@HOOKS
async def test_what_is_wrong_is_observed_though_it_waited(hooks: Hooks) -> None:
    """A publisher is held, and behind its messages is one that is not allowed."""
    events: list[Event] = []
    async with house(hooks, observer=events.append) as home:
        slow, publisher = await home.client("slow", "a"), await home.client("publisher")
        await publisher.send(
            *messages(20), publish("a", b"x", properties=Properties(topic_alias=99))
        )
        await home.until_waiting("slow", 5)
        await take(slow, 20)
        *_, last = await publisher.rest()

    assert isinstance(last, Disconnect)
    assert last.reason is ReasonCode.TOPIC_ALIAS_INVALID
    assert [Cause.PROTOCOL_ERROR] == [
        event.reason.cause for event in events if isinstance(event, ConnectionFailed)
    ]


async def test_who_was_held_is_not_kept_in_mind() -> None:
    """The look that there would have been at it may be a whole `stall_timeout` away."""
    async with house() as home:
        watched = home.mqtt._service.caretaker._watched
        await home.client("slow", "a")
        publisher = await home.client("publisher")
        await publisher.send(*messages(20))
        await home.until_waiting("slow", 5)
        assert 1 == sum(isinstance(each, Holding) for each in watched)
        home.mqtt.disconnect("publisher", None)
        await until(lambda: len(home.mqtt.sessions()) == 1)

        assert 0 == sum(isinstance(each, Holding) for each in watched)


@HOOKS
async def test_a_drain_ends_who_is_held(hooks: Hooks) -> None:
    """Its subscriber is told goodbye, and so is it, behind its acknowledgements."""
    async with house(hooks) as home:
        slow, publisher = await home.client("slow", "a"), await home.client("publisher")
        await publisher.send(*messages(20))
        await home.until_waiting("slow", 5)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(home.server.server.drain)
            rest = await publisher.rest()
            await slow.rest()

        assert [PubAck] * 20 + [Disconnect] == [type(each) for each in rest]


@HOOKS
async def test_more_than_may_wait_is_not_read(hooks: Hooks) -> None:
    """Of a client that sends without an end, and all of it is done in the end."""
    async with house(hooks) as home:
        slow, publisher = await home.client("slow", "a"), await home.client("publisher")
        count = 3000
        await publisher.send(*messages(count))
        await home.until_waiting("slow", 5)

        assert numbers(count) == await take(slow, count)
        for _ in range(count):
            await publisher.get(PubAck)


async def test_a_group_spares_its_slow_members() -> None:
    """Its publishers are as fast as the others: the slow one gets no more than waits already."""
    async with house() as home:
        await home.client("slow", "$share/g/a")
        fast, publisher = await home.client("fast", "$share/g/a"), await home.client("publisher")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(take, fast, 93)
            for each in messages(100):
                await publisher.send(each)
                await publisher.get(PubAck)

        assert 5 == home.waiting("slow")


async def test_messages_that_are_dropped_for_all_are_refused() -> None:
    """Also in a group of a shared subscription; 0x10 is for those that nobody is subscribed to."""
    async with house(stall_timeout=0) as home:
        await home.client("alone", "a")
        await home.client("grouped", "$share/g/b")
        publisher = await home.client("publisher")

        for topic in ("a", "b"):
            await publisher.send(*messages(11, topic))
            reasons = [(await publisher.get(PubAck)).reason for _ in range(11)]
            assert [0] * 10 + [ReasonCode.QUOTA_EXCEEDED] == reasons
        await publisher.send(publish("c", b"x", 1))
        assert (await publisher.get(PubAck)).reason is ReasonCode.NO_MATCHING_SUBSCRIBERS
