"""The server side of SimplePub: `docs/simplepub.md`, clause by clause, and what may go wrong."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest
import trio
import trio.testing
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked
from websockets.sync.client import connect as connect_websocket

from speedo_trio.broker.broker import Broker
from speedo_trio.broker.limits import BrokerLimits
from speedo_trio.config import Limits, Timeouts
from speedo_trio.errors import ConfigError, ProtocolError
from speedo_trio.events import Cause
from speedo_trio.protocol.handler import Connection, ProtocolHandler
from speedo_trio.pubsub.retained import Retained
from speedo_trio.server import serve
from speedo_trio.simplepub.frames import (
    MAX_PAYLOAD,
    FrameReader,
    FrameType,
    decode_reason,
    encode_disconnect,
    encode_pub,
    encode_sub,
    encode_unsub,
)
from speedo_trio.simplepub.protocol import (
    RETAINED_NAMES,
    RETAINED_TURN,
    TURN,
    SimplePub,
)
from speedo_trio.simplepub.settings import SimplePubSettings
from speedo_trio.testing import Driver, FakeConnection, check_splits
from tests.simplepub.raw import (
    PING,
    QUICK,
    RawClient,
    decoded,
    number_of,
    numbered,
    serving,
    until,
)

SUB_ALL = encode_sub([b"#"])
UNSUB_ALL = encode_unsub([b"#"])
BYE = encode_disconnect()


def limited(broker: Broker | None = None, **asked: Any) -> SimplePub:
    """A server with other settings."""
    return SimplePub(broker, SimplePubSettings(**asked))


def fill(broker: Broker, count: int, size: int = 1) -> list[bytes]:
    """Retain messages; their topics."""
    topics = [f"kept/{number}" for number in range(count)]
    for topic in topics:
        broker.publish(topic, bytes(size), retain=True)
    return [topic.encode() for topic in topics]


def topics_of(frames: list[bytes]) -> list[bytes]:
    """The topics of messages that were retained."""
    messages = [decoded(frame) for frame in frames]
    assert all(retained for _, _, retained in messages)
    return [topic for topic, _, _ in messages]


# What is published


async def test_publish_and_subscribe() -> None:
    """A message goes to all with a filter that matches, the publisher too; its bytes stay."""
    async with serving() as scene:
        first, second = scene.connect(), await scene.connect_tcp()
        await first.subscribe(b"a/+", b"b")
        await second.subscribe(b"#")
        messages = [encode_pub(b"a/1", b"x"), encode_pub(b"c", b""), encode_pub(b"b", bytes(9))]
        await first.send(*messages)

        assert await second.frames(3) == messages
        assert await first.frames(2) == [messages[0], messages[2]]


async def test_a_retained_message_is_passed_on_without_the_bit() -> None:
    """Who subscribes later gets it with the bit; an empty one ends it, and is passed on."""
    async with serving() as scene:
        first, second = scene.connect(), scene.connect()
        await first.subscribe(b"a")
        await first.send(encode_pub(b"a", b"1", retain=True))
        assert await first.messages(1) == [(b"a", b"1", False)]
        await second.send(encode_sub([b"a"]))
        assert await second.frames(2) == [encode_sub([b"a"]), encode_pub(b"a", b"1", retain=True)]
        await first.send(encode_pub(b"a", b"", retain=True))
        assert await first.messages(1) == [(b"a", b"", False)]
        assert await second.messages(1) == [(b"a", b"", False)]
        await scene.connect().ask(encode_sub([b"a"]), PING)


async def test_the_program_shares_the_broker() -> None:
    """It publishes to clients, and gets what they publish."""
    async with serving() as scene:
        client, broker = scene.connect(), scene.protocol.broker
        await client.subscribe(b"a")
        async with broker.subscribe("b") as messages:
            assert broker.publish("a", b"1") == 1
            assert await client.messages(1) == [(b"a", b"1", False)]
            await client.send(encode_pub(b"b", b"2"))
            assert (await anext(messages)).payload == b"2"
        (stats,) = broker.subscribers()
        assert (stats.name, stats.filters, stats.delivered) == ("simplepub stream:", ("a",), 1)


async def test_overlapping_filters() -> None:
    """A message comes once; what is retained comes once for each filter."""
    async with serving() as scene:
        client = scene.connect()
        await client.subscribe(b"a/#", b"a/b", b"+/b")
        await client.send(encode_pub(b"a/b", b"1"), encode_pub(b"a/b", b"2", retain=True))
        assert [body for _, body, _ in await client.messages(2)] == [b"1", b"2"]
        await client.send(encode_sub([b"a/#", b"a/b"]))
        frames = await client.pinged()
        assert frames[0] == encode_sub([b"a/#", b"a/b"])
        assert topics_of(frames[1:]) == [b"a/b"] * 2


async def test_shared_subscriptions() -> None:
    """Each message goes to one of the group, and nothing that is retained."""
    async with serving() as scene:
        scene.protocol.broker.publish("a", b"kept", retain=True)
        clients = [scene.connect() for _ in range(3)]
        for client in clients:
            await client.ask(encode_sub([b"$share/g/a"]), PING)
        await clients[0].send(numbered(b"a", range(9)))
        got = [[number_of(frame) for frame in await client.frames(3)] for client in clients]
        assert sorted(chain(*got)) == list(range(9))


async def test_too_long_for_a_frame(caplog: pytest.LogCaptureFixture) -> None:
    """What another may publish costs nobody the connection, live or retained."""
    async with serving(SimplePub(Broker())) as scene:
        client, broker = scene.connect(), scene.protocol.broker
        await client.subscribe(b"a")
        assert broker.publish("a", bytes(MAX_PAYLOAD - 3), retain=True) == 0
        broker.publish("b", b"x", retain=True)
        await client.send(encode_sub([b"#"]))
        assert topics_of((await client.pinged())[1:]) == [b"b"]
        assert caplog.records == []


# Subscribing


async def test_sub_is_answered_then_retained() -> None:
    """The same payload, then what is retained for its filters in their order, then the next."""
    async with serving() as scene:
        fill(scene.protocol.broker, 3)
        client, sub = scene.connect(), encode_sub([b"kept/2", b"none", b"kept/+"])
        await client.send(sub, PING)
        assert await client.frame() == sub
        assert topics_of(await client.frames(4)) == [b"kept/2", b"kept/0", b"kept/1", b"kept/2"]
        assert await client.frame() == PING


async def test_subscribing_again() -> None:
    """It brings what is retained again, and messages still once."""
    async with serving() as scene:
        client = scene.connect()
        topics = fill(scene.protocol.broker, 2)
        for _ in range(2):
            await client.send(SUB_ALL)
            assert await client.frame() == SUB_ALL
            assert topics_of(await client.frames(2)) == topics
        await client.ask(encode_pub(b"a", b"1"), PING)


async def test_unsub() -> None:
    """After its answer nothing comes; one that was not there is no error."""
    async with serving() as scene:
        client = scene.connect()
        await client.subscribe(b"a", b"b")
        await client.send(encode_pub(b"a", b"1"), encode_unsub([b"x", b"a"]), encode_pub(b"a", b""))
        await client.send(encode_pub(b"b", b"2"))
        assert await client.frames(3) == [
            encode_pub(b"a", b"1"),
            encode_unsub([b"x", b"a"]),
            encode_pub(b"b", b"2"),
        ]
        await client.ask(encode_unsub([]), encode_unsub([b"b", b"b"]), PING)
        assert scene.protocol.broker.subscribers() == ()


@pytest.mark.parametrize("count", [1, 1000])
async def test_pings(count: int) -> None:
    """A SUB of nothing is answered when all before it was done, as often as one asks."""
    async with serving() as scene:
        client = scene.connect()
        await client.ask(*[SUB_ALL, encode_pub(b"a", b"1"), PING] * count)


async def test_a_sub_as_long_as_a_frame() -> None:
    """Its answer is longer than the room of a connection, and comes all the same."""
    async with serving(limited(subscriptions=100)) as scene:
        for client in scene.connect(), await scene.connect_tcp(), scene.connect_lockstep():
            sub = encode_sub([b"%d/" % number + b"x" * 65_000 for number in range(100)])
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.send, sub)
                assert await client.frame() == sub
            await client.ask(PING)


@pytest.mark.parametrize("room", [70_000, 65_536, 65_540, 1])
async def test_an_answer_that_does_not_fit(room: int) -> None:
    """Wherever the room for it ends, it comes, and so does all that follows."""
    async with serving() as scene:
        client = scene.connect_lockstep()
        await client.subscribe(b"a")
        scene.protocol.broker.publish("a", bytes(room))  # and nobody reads
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send, PING * 3, encode_pub(b"a", b"1"), PING)
            ((topic, body, _),) = await client.messages(1)
            assert (topic, len(body)) == (b"a", room)
            assert await client.frames(5) == [PING] * 3 + [encode_pub(b"a", b"1"), PING]


# What is retained, when it is much


async def test_what_is_published_during_a_replay_comes_once() -> None:
    """As it is published; not again as what was there before, nor what it has replaced."""
    async with serving() as scene:
        broker = scene.protocol.broker
        topics = fill(broker, 500, 1000)
        client = scene.connect_lockstep()
        await client.send(SUB_ALL)
        assert await client.frame() == SUB_ALL
        broker.publish("kept/499", b"new", retain=True)
        broker.publish("kept/498", b"", retain=True)
        broker.publish("new", b"new", retain=True)
        broker.publish("kept/0", b"new", retain=True)
        frames = await client.pinged()

        live = [decoded(frame)[:2] for frame in frames if not decoded(frame)[2]]
        assert live == [
            (b"kept/499", b"new"),
            (b"kept/498", b""),
            (b"new", b"new"),
            (b"kept/0", b"new"),
        ]
        replayed = [decoded(frame)[0] for frame in frames if decoded(frame)[2]]
        while len(replayed) < 498:
            replayed += topics_of(await client.frames(1))
        assert replayed == topics[:498]
        await client.ask(PING)


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
async def test_unsub_stops_a_replay(*, busy: bool) -> None:
    """Also of a client whose long read made the SUB wait for its turn."""
    async with serving() as scene:
        fill(scene.protocol.broker, 5000, 1000)
        client = scene.connect_lockstep()
        before = numbered(b"x", range(3 * TURN)) if busy else b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send, before, SUB_ALL, encode_pub(b"end", b""))
            assert await client.frame() == SUB_ALL
            first = await client.frames(10)
            nursery.start_soon(client.send, UNSUB_ALL)
            got = len(first)
            while await client.frame() != UNSUB_ALL:
                got += 1
        assert got < 1000
        await client.ask(PING)


async def test_a_replay_goes_as_its_reader_reads() -> None:
    """All of it comes, in order, nothing of it is dropped, and little of it waits."""
    async with serving(limited(waiting_messages=1)) as scene:
        topics = fill(scene.protocol.broker, 3000, 1000)
        client = scene.connect_lockstep()
        await client.send(SUB_ALL)
        assert await client.frame() == SUB_ALL
        await wait_all_tasks_blocked()
        (stats,) = scene.protocol.broker.subscribers()
        assert stats.waiting <= RETAINED_TURN
        assert topics_of(await client.frames(3000)) == topics
        await client.ask(PING)
        assert scene.counts == (3000, 0, 0, 0)


async def test_a_reader_who_stops_in_a_replay() -> None:
    """It ends with the connection, and holds nobody up."""
    async with serving() as scene:
        fill(scene.protocol.broker, 5000, 1000)
        stuck, quick = await scene.connect_tcp(receive_buffer=4096), await scene.connect_tcp()
        await stuck.send(SUB_ALL)
        assert await stuck.frame() == SUB_ALL
        await quick.send(SUB_ALL)
        assert len(await quick.frames(5001)) == 5001
        stuck.reset()
        await until(lambda: len(scene.server.connections) == 1)
        await quick.ask(PING)
        assert scene.protocol.broker.stats().subscribers == 1


async def test_a_hundred_thousand_retained_hold_nobody_up() -> None:
    """Other clients get answers between the turns of a replay, soon and often."""
    async with serving() as scene:
        count = 100_000
        fill(scene.protocol.broker, count)
        greedy, other = await scene.connect_tcp(), await scene.connect_tcp()
        await other.ask(PING)
        times: list[float] = []

        async def ping() -> None:
            with trio.CancelScope() as scope:
                scopes.append(scope)
                while True:
                    before = trio.current_time()
                    await other.ask(PING)
                    times.append(trio.current_time() - before)

        scopes: list[trio.CancelScope] = []
        async with trio.open_nursery() as nursery:
            await greedy.send(SUB_ALL)
            assert await greedy.frame() == SUB_ALL
            nursery.start_soon(ping)
            assert len(await greedy.frames(count)) == count
            scopes[0].cancel()
        assert len(times) > 50
        assert sorted(times)[len(times) // 2] < 0.05


async def test_filters_that_match_nothing_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is looked for in all that is retained; others have their turn between two of them."""
    async with serving() as scene:
        fill(scene.protocol.broker, 20 * RETAINED_NAMES)
        asking, other = scene.connect(), scene.connect()
        await other.ask(PING)
        sub = encode_sub([b"+/x%d" % number for number in range(100)])
        await asking.send(sub, sub, PING)
        assert await asking.frames(3) == [sub, sub, PING]
        looked = 0
        match = Retained.match

        def count(retained: Any, topic_filter: bytes, now: float) -> Iterator[Any]:
            nonlocal looked
            yield from match(retained, topic_filter, now)
            looked += 1

        monkeypatch.setattr(Retained, "match", count)
        await asking.send(sub)
        assert await asking.frame() == sub
        await other.ask(PING)
        assert looked < 50
        await until(lambda: looked == 100)


# Turns


async def test_a_long_read_takes_turns_and_keeps_the_order() -> None:
    """A read with many deliveries is done in parts; what comes after it waits for it."""
    async with serving(config=evolve(QUICK, limits=Limits(read_bytes=2**20))) as scene:
        subscribers = [scene.connect() for _ in range(20)]
        for client in subscribers:
            await client.subscribe(b"a")
        busy, other = scene.connect(), scene.connect()
        await other.ask(PING)
        core, seen = scene.protocol.broker.core, []

        async def watch() -> None:
            while core.published < 10_000:
                await other.ask(PING)
                seen.append(core.published)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await busy.send(numbered(b"a", range(2000)))
            await busy.send(numbered(b"a", range(2000, 10_000)), PING)
            assert await busy.frame() == PING
        for client in subscribers:
            assert [number_of(frame) for frame in await client.frames(10_000)] == [*range(10_000)]
        assert len(seen) > 10


async def test_a_disconnect_in_a_long_read() -> None:
    """What came before it is done, and what after it is not."""
    async with serving() as scene:
        got, client = scene.connect(), scene.connect()
        await got.subscribe(b"a")
        await client.send(SUB_ALL, numbered(b"a", range(3 * TURN)), BYE, encode_pub(b"a", b"9999 "))
        assert await client.frame() == SUB_ALL
        assert [number_of(each) for each in await client.rest()] == [*range(3 * TURN)]
        assert [number_of(each) for each in await got.frames(3 * TURN)] == [*range(3 * TURN)]
        await got.ask(PING)


async def test_an_error_in_a_long_read() -> None:
    """The same; the client is told, and its subscriptions are over."""
    async with serving() as scene:
        got, client = scene.connect(), scene.connect()
        await got.subscribe(b"a")
        await client.send(SUB_ALL, numbered(b"a", range(3 * TURN)), b"\0")
        assert await client.frame() == SUB_ALL
        *messages, last = await client.rest()
        assert [number_of(each) for each in messages] == [*range(3 * TURN)]
        assert decode_reason(last).startswith("a frame of type 0")
        assert [number_of(each) for each in await got.frames(3 * TURN)] == [*range(3 * TURN)]
        await until(lambda: scene.causes == [Cause.PROTOCOL_ERROR])


# The end


async def test_disconnect_gets_what_waits() -> None:
    """What was sent before is done and what is under way to the client is sent; then it closes."""
    async with serving() as scene:
        client = scene.connect_lockstep()
        await client.subscribe(b"a")
        for number in range(300):
            scene.protocol.broker.publish("a", (b"%d " % number).ljust(1000))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send, encode_pub(b"a", b"300 "), BYE)
            await wait_all_tasks_blocked()
            scene.protocol.broker.publish("a", b"too late")
            assert [number_of(each) for each in await client.rest()] == [*range(301)]
        await client.stream.aclose()
        await scene.deserted()
        assert scene.counts == (301, 0, 0, 0)
        assert scene.causes == [Cause.CLOSED]


@pytest.mark.parametrize("count", [10, 3 * TURN])
async def test_half_close_gets_what_waits(count: int) -> None:
    """The same without the DISCONNECT, be it after a long read."""
    async with serving() as scene:
        client = await scene.connect_tcp()
        await client.send(SUB_ALL, numbered(b"a", range(count)))
        await client.end()
        assert await client.frame() == SUB_ALL
        assert [number_of(each) for each in await client.rest()] == [*range(count)]
        await scene.deserted()
        assert scene.causes == [Cause.EOF]


async def test_closing_between_frames_is_no_error() -> None:
    """Nor is a reset; nothing stays behind."""
    async with serving() as scene:
        for ending in (RawClient.reset, None):
            client = await scene.connect_tcp()
            await client.subscribe(b"a")
            if ending is None:
                await client.stream.aclose()
            else:
                ending(client)
            await scene.deserted()
        assert scene.failures == []
        assert scene.protocol.broker.stats().subscriptions == 0


async def test_a_client_that_never_reads_and_has_said_goodbye() -> None:
    """Is let go when the time to write is over."""
    config = evolve(QUICK, timeouts=Timeouts(write=0.2, linger=0.1))
    async with serving(config=config) as scene:
        client = scene.connect_lockstep()
        await client.subscribe(b"a")
        for _ in range(100):
            scene.protocol.broker.publish("a", bytes(1000))
        await client.send(BYE)
        await scene.deserted()
        assert scene.causes == [Cause.WRITE_TIMEOUT]
        delivered, dropped, lost, waiting = scene.counts
        assert (dropped, waiting, delivered + lost) == (0, 0, 100)


async def test_drain() -> None:
    """DISCONNECT with a reason, after what waits; replays end."""
    async with serving() as scene:
        fill(scene.protocol.broker, 5000, 1000)
        idle, slow = scene.connect(), scene.connect_lockstep()
        await idle.subscribe(b"a")
        await slow.send(encode_sub([b"a", b"kept/#"]))
        assert await slow.frame() == encode_sub([b"a", b"kept/#"])
        for number in range(100):
            scene.protocol.broker.publish("a", (b"%d " % number).ljust(1000))
        scene.nursery.start_soon(scene.server.drain)
        await wait_all_tasks_blocked()
        frames = await slow.rest()
        assert decode_reason(frames.pop()) == "the server is going away"
        live = [frame for frame in frames if not decoded(frame)[2]]
        assert [number_of(each) for each in live] == [*range(100)]
        assert len(frames) < 1000
        *live, last = await idle.rest()
        assert len(live) == 100
        assert decode_reason(last) == "the server is going away"
        assert set(scene.causes) <= {Cause.DRAINED}


async def test_drain_of_one_who_gets_more_and_more() -> None:
    """What waits when it begins is sent, then the end comes, though others publish on."""
    config = evolve(QUICK, timeouts=Timeouts(grace=10, linger=0.1))
    async with serving(limited(waiting_messages=100_000), config) as scene:
        client, broker = scene.connect_lockstep(), scene.protocol.broker
        await client.subscribe(b"a")
        for _ in range(200):
            broker.publish("a", bytes(1000))
        scene.nursery.start_soon(scene.server.drain)
        await wait_all_tasks_blocked()
        count = 0
        while (frame := await client.frame())[:1] == b"\x01":
            count += 1
            broker.publish("a", bytes(2000))
        assert decode_reason(frame) == "the server is going away"
        assert count < 300


async def test_drain_of_a_client_that_never_reads() -> None:
    """It is over with the grace."""
    config = evolve(QUICK, timeouts=Timeouts(grace=0.3, linger=0.1))
    async with serving(config=config) as scene:
        client = scene.connect_lockstep()
        await client.subscribe(b"a")
        for _ in range(200):
            scene.protocol.broker.publish("a", bytes(1000))
        scene.nursery.start_soon(scene.server.drain)
        await scene.deserted()
        assert scene.causes == [Cause.GRACE_OVER]


async def test_hard_stop() -> None:
    """Nothing of a client is left in the broker."""
    protocol = SimplePub()
    async with serving(protocol) as scene:
        for client in scene.connect(), scene.connect_lockstep():
            await client.subscribe(b"a")
        for _ in range(200):
            protocol.broker.publish("a", bytes(1000))
    stats = protocol.broker.stats()
    assert (stats.subscribers, stats.subscriptions, stats.waiting) == (0, 0, 0)
    assert stats.delivered + stats.dropped + stats.lost == 400


# Errors


def pub(flags: int = 0, length: int = 1, rest: bytes = b"a") -> bytes:
    """A PUB by hand."""
    payload = bytes([flags]) + length.to_bytes(2, "big") + rest
    return b"\x01" + len(payload).to_bytes(3, "big") + payload


ERRORS: dict[str, tuple[bytes, str]] = {
    "type 0": (b"\0", "a frame of type 0; allowed are 1 PUB, 2 SUB, 3 UNSUB, 4 DISCONNECT"),
    "type 5": (b"\x05", "a frame of type 5; allowed are 1 PUB, 2 SUB, 3 UNSUB, 4 DISCONNECT"),
    "too long": (
        b"\x01\x01\x11\x70",
        "a payload of 70000 bytes; allowed are at most 65536",
    ),
    "flags": (pub(2), "a PUB with flags 0x02; allowed are 0x00 and 0x01, retain"),
    "short PUB": (b"\x01\0\0\x02\0\0", "a PUB of 2 bytes; it has flags and a topic's length in 3"),
    "topic's length": (pub(0, 9), "a PUB with a topic of 9 bytes; 1 are there"),
    "filter's length": (b"\x02\0\0\x06\0\x09abcd", "a filter of 9 bytes; 4 are there"),
    "odd byte": (b"\x03\0\0\x01\0", "a list of filters with 1 byte left; a filter's length has 2"),
    "no topic": (pub(0, 0, b"a"), "the topic name is empty; allowed is one character or more"),
    "wildcard": (
        encode_pub(b"a/#", b""),
        "the topic name b'a/#' has a wildcard; allowed is a name without + and #",
    ),
    "no UTF-8": (
        encode_pub(b"\xff", b"", retain=True),
        r"the topic name b'\xff' is not UTF-8 at byte 0 (invalid start byte); allowed is UTF-8",
    ),
    "filter": (
        encode_sub([b"b", b"a#"]),
        "the topic filter b'a#' has # inside a level; allowed is # alone",
    ),
    "share": (
        encode_sub([b"$share/g"]),
        "the topic filter b'$share/g' ends after its group; allowed is /filter after it",
    ),
    "UNSUB's filter": (
        encode_unsub([b"a\0"]),
        r"the topic filter b'a\x00' has the character U+0000; allowed is any other",
    ),
    "$SYS": (
        encode_pub(b"$SYS/uptime", b"0"),
        "a message under b'$SYS/uptime'; $SYS is the server's own",
    ),
    "$SYS alone": (encode_pub(b"$SYS", b"0"), "a message under b'$SYS'; $SYS is the server's own"),
    "$SYS and no UTF-8": (
        encode_pub(b"$SYS/\xff", b"0"),
        r"a message under b'$SYS/\xff'; $SYS is the server's own",
    ),
    "filters": (
        encode_sub([b"b", b"c", b"d", b"e"]),
        "a subscription more than 4; allowed are 4",
    ),
    "no room": (
        encode_pub(b"x", b"1234", retain=True),
        "no room to retain a message of 4 bytes: 1 messages of 2 bytes are retained",
    ),
}


def narrow() -> SimplePub:
    """A server at whose bounds the errors are."""
    broker = Broker(BrokerLimits(retained_messages=1))
    return limited(broker, payload_bytes=65_536, subscriptions=4)


@pytest.mark.parametrize("tcp", [False, True], ids=["memory", "tcp"])
@pytest.mark.parametrize(("wrong", "reason"), ERRORS.values(), ids=ERRORS)
async def test_errors(wrong: bytes, reason: str, *, tcp: bool) -> None:
    """What came before is done, the client is told, and it closes; it ends only itself."""
    async with serving(narrow()) as scene:
        other = scene.connect()
        client = await scene.connect_tcp() if tcp else scene.connect()
        await other.subscribe(b"o")
        await client.send(encode_sub([b"a"]), encode_pub(b"k", b"1", retain=True))
        await client.send(encode_pub(b"a", b"1"), encode_pub(b"o", b"1") + wrong)
        assert await client.frames(2) == [encode_sub([b"a"]), encode_pub(b"a", b"1")]
        assert await client.reason() == reason
        await client.stream.aclose()
        assert await other.frame() == encode_pub(b"o", b"1")
        await until(lambda: scene.causes == [Cause.PROTOCOL_ERROR])
        assert scene.failures == [reason]
        await other.ask(PING)
        assert scene.protocol.broker.stats().subscriptions == 1


async def test_not_below_sys() -> None:
    """What only begins alike is a topic like others, and all may subscribe to it."""
    async with serving() as scene:
        client = scene.connect()
        await client.subscribe(b"$SYS/#", b"$SYSTEM", b"#")
        await client.ask(encode_pub(b"$SYSTEM", b"1"))
        scene.protocol.broker.publish("$SYS/uptime", b"1")
        assert await client.messages(1) == [(b"$SYS/uptime", b"1", False)]


async def test_as_much_as_is_allowed() -> None:
    """At the bounds nothing is wrong."""
    async with serving(narrow()) as scene:
        client = scene.connect()
        await client.subscribe(b"a", b"b", b"c", b"d")
        await client.subscribe(b"a", b"d")
        longest = encode_pub(b"a", bytes(65_536 - 4), retain=True)
        await client.send(longest)
        assert await client.messages(1) == [(b"a", bytes(65_532), False)]
        await client.ask(encode_unsub([b"a"]), encode_sub([b"e"]))


@pytest.mark.parametrize("cut", range(1, 12))
async def test_the_end_inside_a_frame(cut: int) -> None:
    """Is an error; nobody is told."""
    async with serving() as scene:
        client = await scene.connect_tcp()
        await client.send(SUB_ALL, encode_pub(b"abc", b"de")[:cut])
        assert await client.frame() == SUB_ALL
        await client.end()
        assert await client.rest() == []
        await client.stream.aclose()
        await scene.deserted()
        assert scene.failures == [
            f"the stream ended {cut} bytes into a frame; it may end only between frames"
        ]


async def test_a_reset_at_every_byte() -> None:
    """Costs nobody else anything, and leaves nothing behind."""
    stream = encode_sub([b"b", b"#"]) + encode_pub(b"a", b"12", retain=True) + UNSUB_ALL + BYE
    async with serving() as scene:
        other = await scene.connect_tcp()
        await other.subscribe(b"x")
        for cut in range(len(stream) + 1):
            client = await scene.connect_tcp()
            await client.send(stream[:cut])
            if cut % 2:
                await other.ask(PING)
            client.reset()
        await until(lambda: len(scene.server.connections) == 1)
        await other.ask(encode_pub(b"x", b"1"), PING)
        stats = scene.protocol.broker.stats()
        assert (stats.subscribers, stats.subscriptions) == (1, 1)
        assert not scene.failures


# Who reads too slowly


async def test_a_client_that_never_reads() -> None:
    """It loses what is over the bound, nobody else does, and the counts tell all of it."""
    async with serving(limited(waiting_messages=10)) as scene:
        stuck, good = scene.connect_lockstep(), scene.connect()
        await stuck.subscribe(b"a")
        await good.subscribe(b"a")
        for number in range(200):
            scene.protocol.broker.publish("a", (b"%d " % number).ljust(1000))
            assert number_of(await good.frame()) == number
        by_drops = sorted(scene.protocol.broker.subscribers(), key=lambda each: -each.dropped)
        first, second = by_drops
        assert (second.delivered, second.dropped, second.waiting) == (200, 0, 0)
        assert first.delivered + first.dropped + first.waiting == 200
        assert first.waiting in (10, 11)  # one of them may have begun
        assert 0 < first.delivered < 140

        got = [number_of(each) for each in await stuck.frames(first.delivered + first.waiting)]
        assert got == [*range(first.delivered + first.waiting)]
        await stuck.ask(PING)


async def test_too_slow_and_told() -> None:
    """Where that is to end it, it is told after what was sent, and no frame is torn."""
    async with serving(limited(waiting_messages=10, overflow="disconnect")) as scene:
        client = scene.connect_lockstep()
        await client.subscribe(b"a")
        for number in range(200):
            scene.protocol.broker.publish("a", (b"%d " % number).ljust(1000))
        assert scene.protocol.broker.stats().subscriptions == 0
        *messages, last = await client.rest()
        assert [number_of(each) for each in messages] == [*range(len(messages))]
        assert decode_reason(last) == "it reads too slowly: 11 messages wait"
        delivered, dropped, lost, waiting = scene.counts
        assert (delivered, dropped, lost, waiting) == (len(messages), 1, 10, 0)
        assert scene.causes in ([], [Cause.CLOSED])


async def test_too_slow_by_its_own_messages() -> None:
    """The frames after the one that did it are not done."""
    async with serving(limited(waiting_messages=1, overflow="disconnect")) as scene:
        client, other = scene.connect_lockstep(), scene.connect()
        await other.subscribe(b"b")
        await client.subscribe(b"a")
        flood = numbered(b"a", range(150), size=1000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send, flood, encode_pub(b"b", b"1"))
            *messages, last = await client.rest()
            nursery.cancel_scope.cancel()
        assert decode_reason(last).startswith("it reads too slowly: ")
        assert [number_of(each) for each in messages] == [*range(len(messages))]
        await other.ask(PING)


def test_nothing_is_done_after_the_end() -> None:
    """Neither in the read in which a client was found too slow, nor after its DISCONNECT."""
    protocol = limited(waiting_messages=1, overflow="disconnect")
    driver = Driver(protocol)
    driver.connection.room = 0
    driver.feed(SUB_ALL + numbered(b"a", range(5)))
    assert driver.connection.closing
    assert protocol.broker.stats().published == 2

    handler = SimplePub(protocol.broker)(FakeConnection())
    handler.opened()
    assert handler.handle(encode_pub(b"a", b"") + BYE + encode_pub(b"a", b""))
    assert not handler.handle(encode_pub(b"a", b""))
    assert protocol.broker.stats().published == 3


async def test_an_unsub_in_the_next_read_of_a_busy_client() -> None:
    """It is done before a replay begins, for which the reads before it have asked."""
    protocol = SimplePub()
    fill(protocol.broker, 5000)
    connection = FakeConnection()
    handler = protocol(connection)
    handler.opened()
    made = [
        *(handler.handle(SUB_ALL + numbered(b"a", range(2 * TURN))) or ()),
        *(handler.handle(UNSUB_ALL) or ()),
    ]
    for message in made:
        await message.execute()  # type: ignore[misc]  # they are async
    got = list(FrameReader().feed(bytes(connection.sent)))

    assert got[0] == SUB_ALL
    assert [number_of(each) for each in got[1:-1]] == [*range(2 * TURN)]
    assert got[-1] == UNSUB_ALL


async def test_asking_without_reading() -> None:
    """Answers are never dropped, but bounded: by their number, and by their bytes."""
    async with serving(limited(waiting_bytes=100_000)) as scene:
        for question in (PING, encode_unsub([b"x" * 1000]), encode_sub([b"x" * 1000])):
            client = scene.connect_lockstep()
            await client.ask(PING)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.send, question * 100_000)
                await until(lambda: scene.protocol.broker.core.members == {})
                nursery.cancel_scope.cancel()
            *answers, last = await client.rest()
            assert set(answers) == {question}
            assert decode_reason(last).startswith("it reads too slowly: ")
            assert decode_reason(last).endswith(" answers wait")
        assert scene.failures == []


# Any split


STORY = b"".join(
    (
        encode_sub([b"a/#", b"b"]),
        encode_pub(b"a/1", b"x"),
        encode_pub(b"a/2", b"y", retain=True),
        encode_pub(b"a/3", b""),
        encode_sub([b"a/+"]),
        PING,
        encode_unsub([b"a/#", b"b"]),
        encode_pub(b"a/1", b"z"),
        encode_pub(b"b", b"z"),
    )
)


def fresh(connection: Connection) -> ProtocolHandler:
    """A client of a broker of its own."""
    return SimplePub()(connection)


@pytest.mark.parametrize("end", [b"", b"\x09", encode_pub(b"+", b""), encode_pub(b"a", b"")[:6]])
def test_split_anywhere(end: bytes) -> None:
    """The same bytes get the same answers and the same end."""
    sent = check_splits(fresh, STORY + end)
    answered = Driver(SimplePub()).feed(STORY)

    assert sent.startswith(answered)


FRAMES = st.one_of(
    st.builds(
        encode_pub,
        st.sampled_from([b"a", b"b", b"a/b", b"$SYS", b"+"]),
        st.binary(max_size=5),
        retain=st.booleans(),
    ),
    st.lists(st.sampled_from([b"a", b"#", b"a/+", b"$share/g/a", b"a#"]), max_size=3).map(
        encode_sub
    ),
    st.lists(st.sampled_from([b"a", b"#", b"x"]), max_size=3).map(encode_unsub),
    st.binary(min_size=1, max_size=8).filter(lambda data: data[0] != FrameType.DISCONNECT),
)


@settings(deadline=None)
@given(st.lists(FRAMES, max_size=12).map(b"".join), st.lists(st.integers(1, 30), max_size=8))
def test_any_bytes_any_split(stream: bytes, sizes: list[int]) -> None:
    """Whatever comes: the same however it is split, and never an error of ours."""
    chunks, at = [], 0
    for size in sizes:
        chunks.append(stream[at : at + size])
        at += size
    chunks.append(stream[at:])
    check_splits(fresh, stream, [chunks])
    driver = Driver(SimplePub())
    driver.feed(stream)
    assert driver.error is None or isinstance(driver.error, ProtocolError)


# WebSocket


@pytest.mark.parametrize("offered", [["mqtt", "simplepub"], ["other"]])
async def test_websocket(offered: list[str]) -> None:
    """The subprotocol is chosen if it is offered; frames may be split over its messages."""
    async with trio.open_nursery() as nursery:
        with trio.fail_after(10):
            server = await nursery.start(serve, SimplePub(), "ws://127.0.0.1:0")
            chosen, got = await trio.to_thread.run_sync(
                talk, f"ws://127.0.0.1:{server.addresses[0].port}/", offered
            )
        nursery.cancel_scope.cancel()
    assert chosen == ("simplepub" if "simplepub" in offered else None)
    assert got == SUB_ALL + encode_pub(b"a", b"1")


def talk(url: str, offered: list[str]) -> tuple[str | None, bytes]:
    """What a client over WebSocket is told and sent."""
    with connect_websocket(url, subprotocols=offered) as client:  # type: ignore[arg-type]
        message = SUB_ALL + encode_pub(b"a", b"1")
        client.send(message[:3])
        client.send(message[3:])
        got = b""
        while len(got) < len(message):
            part = client.recv(5)
            assert isinstance(part, bytes)
            got += part
        return client.subprotocol, got


# The defects of the original


@pytest.mark.parametrize("length", [0, 0x3F_FFFF + 1])
async def test_the_type_is_the_first_byte(length: int) -> None:
    """And no bits of the length (it was read with a shift by 6 in place of 24)."""
    body = bytes(max(0, length - 4))
    async with serving() as scene:
        client = await scene.connect_tcp()
        await client.subscribe(b"a")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send, encode_pub(b"a", body))
            assert await client.messages(1) == [(b"a", body, False)]


async def test_what_is_queued_is_sent() -> None:
    """All of it, without anything further having to happen (nobody drained the queue)."""
    async with serving() as scene:
        client = await scene.connect_tcp(receive_buffer=4096)
        await client.subscribe(b"a")
        for number in range(5000):
            scene.protocol.broker.publish("a", (b"%d " % number).ljust(2000))
        await trio.sleep(0.05)
        assert scene.counts[3] > 0
        assert [number_of(each) for each in await client.frames(5000)] == [*range(5000)]
        assert scene.counts == (5000, 0, 0, 0)


# The settings


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"payload_bytes": 2}, "payload_bytes is 2; allowed is a whole number from 3 to 16777215"),
        ({"subscriptions": 0}, "subscriptions is 0"),
        ({"waiting_messages": 0}, "waiting_messages is 0"),
        ({"waiting_bytes": True}, "waiting_bytes is True"),
        ({"overflow": "drop"}, "overflow is 'drop'; allowed is 'drop-newest' or 'drop-oldest' or"),
    ],
)
def test_settings_that_are_not_allowed(asked: dict[str, Any], text: str) -> None:
    """The name, what was given and what is allowed are told."""
    with pytest.raises(ConfigError, match=text):
        SimplePubSettings(**asked)
