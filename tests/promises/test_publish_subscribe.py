"""Publish and subscribe: what arrives, in which order, and what a slow subscriber costs others."""

from __future__ import annotations

import re
import tracemalloc
from collections import defaultdict
from typing import get_args

import pytest
import trio

from speedo_trio import Broker, SubscriberStats
from speedo_trio.pubsub.outbox import OverflowPolicy
from speedo_trio.simplepub import SimplePub, SimplePubSettings
from speedo_trio.simplepub.frames import decode_reason, encode_pub
from tests.simplepub.raw import PING, RawClient, Scene, decoded, number_of, numbered, serving, until

TOPIC = b"news"
BODY = 4000
"""Bytes of a message that is to fill the kernel's buffers soon."""
TURN = 6
"""Such messages in one read, which may wait beyond the bound, and one that has begun."""


async def connected(scene: Scene, count: int, topic_filter: bytes | None = None) -> list[RawClient]:
    """So many clients, subscribed if there is a filter."""
    clients: list[RawClient] = []

    async def connect() -> None:
        client = await scene.connect_tcp()
        if topic_filter is not None:
            await client.subscribe(topic_filter)
        clients.append(client)

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(connect)
    return clients


async def test_one_to_a_thousand() -> None:
    """Every message reaches every subscriber once, in order, and nothing else does."""
    async with serving() as scene:
        subscribers = await connected(scene, 1000, TOPIC)
        (publisher,) = await connected(scene, 1)
        got: list[list[int]] = []

        async def read(client: RawClient) -> None:
            got.append([number_of(frame) for frame in await client.frames(50)])
            await client.ask(PING)

        async with trio.open_nursery() as nursery:
            for client in subscribers:
                nursery.start_soon(read, client)
            await publisher.send(numbered(TOPIC, range(50)))
        assert got == [[*range(50)]] * 1000
        assert scene.counts == (50_000, 0, 0, 0)


@pytest.mark.parametrize("size", [0, 300])
async def test_a_thousand_to_one(size: int) -> None:
    """All of what a thousand send at once arrives, once, each one's messages in their order."""
    async with serving() as scene:
        (subscriber,) = await connected(scene, 1, b"from/+")
        publishers = await connected(scene, 1000)
        got: dict[bytes, list[int]] = defaultdict(list)
        async with trio.open_nursery() as nursery:
            for number, client in enumerate(publishers):
                messages = numbered(b"from/%d" % number, range(50), size=size)
                nursery.start_soon(client.send, messages)
            for _ in range(50_000):
                frame = await subscriber.frame()
                got[decoded(frame)[0]].append(number_of(frame))
        await subscriber.ask(PING)
        assert got == {b"from/%d" % number: [*range(50)] for number in range(1000)}
        assert scene.counts == (50_000, 0, 0, 0)


async def test_a_program_to_a_thousand_and_back() -> None:
    """What the program publishes reaches all, and what all publish reaches the program."""
    async with serving() as scene:
        broker = scene.protocol.broker
        clients = await connected(scene, 1000, TOPIC)
        async with broker.subscribe("back/#", waiting_messages=20_000) as messages:
            for number in range(20):
                assert broker.publish("news", b"%d " % number) == 1000

            async def reply(client: RawClient) -> None:
                for number in range(20):
                    frame = await client.frame()
                    assert number_of(frame) == number
                    await client.send(encode_pub(b"back/%d" % number, b""))

            async with trio.open_nursery() as nursery:
                for client in clients:
                    nursery.start_soon(reply, client)
                counted: dict[str, int] = defaultdict(int)
                for _ in range(20_000):
                    counted[(await anext(messages)).topic] += 1
            assert counted == {f"back/{number}": 1000 for number in range(20)}


class Flood:
    """Messages to several who read and to one who doesn't, at the readers' pace."""

    batch = 20

    def __init__(self, scene: Scene, good: list[RawClient], publisher: RawClient) -> None:
        self.scene = scene
        self.good = good
        self.publisher = publisher
        self.published = 0

    async def go_on(self) -> None:
        """Publish some, and see that those who read get all of them in order."""
        numbers = range(self.published, self.published + self.batch)
        self.published += self.batch
        await self.publisher.send(numbered(TOPIC, numbers, size=BODY))
        for client in self.good:
            assert [number_of(each) for each in await client.frames(self.batch)] == [*numbers]

    def stalled(self) -> SubscriberStats | None:
        """The one who lost something; None when it has left, or has lost nothing."""
        found = [each for each in self.scene.protocol.broker.subscribers() if each.dropped]
        return found[0] if found else None

    async def until_dropped(self, count: int) -> SubscriberStats:
        """Go on until one has lost so many."""
        while (stats := self.stalled()) is None or stats.dropped < count:
            await self.go_on()
        return stats


def protocol_with(overflow: OverflowPolicy) -> SimplePub:
    """For subscribers for whom fifty messages may wait."""
    settings = SimplePubSettings(waiting_messages=50, overflow=overflow)
    return SimplePub(Broker(observer=None), settings)


async def flooding(scene: Scene) -> tuple[RawClient, Flood]:
    """One who doesn't read, and the flood."""
    stalled = await scene.connect_tcp(receive_buffer=4096)
    await stalled.subscribe(TOPIC)
    good = await connected(scene, 5, TOPIC)
    (publisher,) = await connected(scene, 1)
    return stalled, Flood(scene, good, publisher)


@pytest.mark.parametrize("overflow", ["drop-newest", "drop-oldest"])
async def test_who_does_not_read_loses_only_its_own(overflow: OverflowPolicy) -> None:
    """The others get all; what it lost is counted to the message, and what it gets is in order."""
    async with serving(protocol_with(overflow)) as scene:
        stalled, flood = await flooding(scene)
        stats = await flood.until_dropped(100)
        assert stats.delivered + stats.dropped + stats.waiting == flood.published
        assert stats.waiting in range(50, 50 + TURN)

        left = flood.published - stats.dropped
        got = [number_of(each) for each in await stalled.frames(left)]
        if overflow == "drop-newest":
            assert got == [*range(left)]
        else:
            begun = left - 50
            assert got == [*range(begun), *range(flood.published - 50, flood.published)]
        await stalled.ask(PING)
        await flood.go_on()
        assert [number_of(each) for each in await stalled.frames(flood.batch)] == [
            *range(flood.published - flood.batch, flood.published)
        ]
        delivered, dropped, lost, waiting = scene.counts
        assert (dropped, lost, waiting) == (stats.dropped, 0, 0)
        assert delivered + dropped == 6 * flood.published


async def test_who_does_not_read_may_be_ended() -> None:
    """It gets what was sent, whole, then the reason; the counts have the rest."""
    async with serving(protocol_with("disconnect")) as scene:
        stalled, flood = await flooding(scene)
        while not scene.counts[1]:
            await flood.go_on()
        assert len(scene.protocol.broker.subscribers()) == 5
        *messages, last = await stalled.rest()
        assert [number_of(each) for each in messages] == [*range(len(messages))]
        told = re.fullmatch(r"it reads too slowly: (\d+) messages wait", decode_reason(last))
        assert told
        await flood.go_on()

        delivered, dropped, lost, waiting = scene.counts
        assert delivered == 5 * flood.published + len(messages)
        assert (dropped, waiting) == (1, 0)
        assert int(told[1]) - 1 <= lost <= int(told[1])  # one that had begun was sent
        assert int(told[1]) in range(50, 50 + TURN)


@pytest.mark.parametrize("overflow", get_args(OverflowPolicy))
async def test_who_does_not_read_and_vanishes(overflow: OverflowPolicy) -> None:
    """What waited for it is lost, and counted."""
    async with serving(protocol_with(overflow)) as scene:
        stalled, flood = await flooding(scene)
        while not scene.counts[1]:
            await flood.go_on()
        at_drop = flood.published
        stalled.reset()
        await until(lambda: len(scene.server.connections) == 6)
        await flood.go_on()

        delivered, dropped, lost, waiting = scene.counts
        assert waiting == 0
        assert 0 < lost < 50 + TURN
        to_stalled = delivered - 5 * flood.published + dropped + lost
        if overflow == "disconnect":
            assert at_drop - flood.batch < to_stalled <= at_drop
        else:
            assert to_stalled == at_drop


async def test_memory_of_those_who_do_not_read() -> None:
    """What waits for each is bounded, and what waits for several is there once."""
    settings = SimplePubSettings(waiting_bytes=1_000_000)
    async with serving(SimplePub(Broker(observer=None), settings)) as scene:
        broker = scene.protocol.broker
        clients = [await scene.connect_tcp(receive_buffer=4096) for _ in range(20)]
        for client in clients:
            await client.subscribe(TOPIC)
        tracemalloc.start()
        for _ in range(1000):
            for number in range(10):
                broker.publish("news", (b"%d " % number).ljust(10_000))
            await trio.lowlevel.checkpoint()
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        for stats in broker.subscribers():
            assert stats.waiting_bytes <= 1_000_000 + 10_007
            assert stats.dropped > 1000
            assert stats.delivered + stats.dropped + stats.waiting == 10_000
        assert taken < 20 * (1_000_000 + 2 * 65_536) // 2
