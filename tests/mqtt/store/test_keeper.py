"""What is promised to clients waits for the store; and when the store fails, it waits on."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from speedo_trio.events import Event, StoreFailed, StoreRecovered
from speedo_trio.mqtt.state.capabilities import Capabilities
from speedo_trio.mqtt.store.archive import reading
from speedo_trio.mqtt.store.sqlite import SQLiteStore
from speedo_trio.mqtt.wire.packets import (
    Connect,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionOptions,
    Will,
)
from speedo_trio.mqtt.wire.properties import Properties
from tests.mqtt.peers import Peer, connected
from tests.mqtt.store.careful import until
from tests.mqtt.store.faulty import FaultyStore
from tests.mqtt.store.scene import serving

SHORT = 0.3
"""Seconds in which nothing must come that must not come."""


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where there is nothing yet."""
    return str(tmp_path / "mqtt.db")


@pytest.fixture
def store(path: str) -> FaultyStore:
    """A store that does as it is told."""
    return FaultyStore(path)


def publish(number: int, qos: int = 1, topic: bytes = b"a", **given: object) -> Publish:
    """A message with its number as packet identifier and payload."""
    return Publish(topic, b"%d" % number, qos, packet_id=number, **given)  # type: ignore[arg-type]  # a test's


async def silent(peer: Peer) -> bool:
    """Whether nothing comes for a while."""
    with trio.move_on_after(SHORT):
        await peer.receive()
        return False
    return True


async def test_sessions_come_back(path: str) -> None:
    """Subscriptions with their options, and what waits with its properties, in its order."""
    properties = Properties(
        user=(("a", "b"), ("a", "c")), content_type="text/plain", correlation_data=b"\0\1"
    )
    async with serving(SQLiteStore(path)) as server:
        async with connected(server.port, "s", stays=100) as peer:
            options = SubscriptionOptions(2, retain_as_published=True)
            await peer.send(
                Subscribe(1, [(b"a/+", options)], Properties(subscription_identifiers=(7,)))
            )
            assert isinstance(await peer.receive(), SubAck)
        async with connected(server.port, "p") as peer:
            for number in (1, 2):
                sent = publish(number, number, b"a/%d" % number, retain=True, properties=properties)
                await peer.send(sent)
                assert isinstance(await peer.receive(), PubAck | PubRec)
    async with serving(SQLiteStore(path)) as server, connected(server.port, "s", stays=9) as peer:
        for number in (1, 2):
            packet = await peer.receive()
            assert isinstance(packet, Publish)
            assert (packet.topic, packet.payload) == (b"a/%d" % number, b"%d" % number)
            assert (packet.qos, packet.retain, packet.dup) == (number, True, False)
            assert packet.properties is not None
            assert packet.properties.user == properties.user
            assert packet.properties.content_type == "text/plain"
            assert packet.properties.correlation_data == b"\0\1"
            assert packet.properties.subscription_identifiers == (7,)


async def test_what_is_retained_comes_back(path: str) -> None:
    """The last message of each topic; one that was deleted doesn't."""
    async with serving(SQLiteStore(path)) as server:
        for topic, payload in (("a", b"1"), ("b", b"1"), ("a", b"2"), ("b", b"")):
            server.publish(topic, payload, retain=True, qos=1)
    async with serving(SQLiteStore(path)) as server:
        kept = [(each.topic, each.payload) for each in server.broker.retained("#")]

        assert kept == [("a", b"2")]


async def test_what_is_in_flight_keeps_its_packet_identifiers(path: str) -> None:
    """After a restart it is sent again, with DUP, in the order of its first sending."""
    async with serving(SQLiteStore(path)) as server, connected(server.port, "s", stays=100) as peer:
        await peer.subscribe("a", qos=2)
        for number in range(1, 7):
            server.publish("a", b"%d" % number, qos=1 + number % 2)
        first = [await peer.receive() for _ in range(6)]
        await peer.send(PubRec(first[0].packet_id), PubAck(first[1].packet_id))  # type: ignore[union-attr]  # all are Publish
        assert await peer.receive() == PubRel(1)
    async with serving(SQLiteStore(path)) as server, connected(server.port, "s", stays=9) as peer:
        again = [await peer.receive() for _ in range(5)]

        assert again[0] == PubRel(1)
        assert [(each.packet_id, each.payload, each.dup) for each in again[1:]] == [  # type: ignore[union-attr]  # the same
            (number, b"%d" % number, True) for number in range(3, 7)
        ]
        await peer.send(PubComp(1))
        server.publish("a", b"7", qos=2)
        fresh = await peer.receive()
        assert isinstance(fresh, Publish)
        assert fresh.packet_id not in range(3, 7)


async def test_identifiers_that_are_held_come_back(path: str) -> None:
    """A QoS 2 message that is sent again after a restart is not published again."""
    async with serving(SQLiteStore(path)) as server, connected(server.port, "p", stays=100) as peer:
        await peer.send(publish(1, 2))
        assert isinstance(await peer.receive(), PubRec)
    async with (
        serving(SQLiteStore(path)) as server,
        connected(server.port, "p", stays=9) as peer,
        server.subscribe("a") as messages,
    ):
        await peer.send(publish(1, 2, dup=True))
        assert isinstance(await peer.receive(), PubRec)
        await peer.send(PubRel(1))
        assert await peer.receive() == PubComp(1)
        await peer.send(publish(1, 2))
        assert isinstance(await peer.receive(), PubRec)
        assert messages.take_nowait() is not None
        assert messages.take_nowait() is None


async def test_a_session_that_is_over_leaves_nothing(path: str) -> None:
    """Clean start, and a session without expiry."""
    async with serving(SQLiteStore(path)) as server:
        async with connected(server.port, "s", stays=100) as peer:
            await peer.subscribe("a", qos=1)
        server.publish("a", b"1", qos=1)
        await trio.testing.wait_all_tasks_blocked(0.05)
        async with connected(server.port, "s"):
            pass
    store = SQLiteStore(path)
    image = store.open()
    store.close()

    assert (image.sessions, image.subscriptions, image.waiting) == ([], [], {})
    assert image.last_message == 0


async def test_answers_wait_for_the_store(store: FaultyStore) -> None:
    """PUBACK, PUBREC, PUBCOMP, SUBACK and CONNACK leave when what they promise is written."""
    async with serving(store) as server:
        async with connected(server.port, "s", stays=100) as peer:
            await peer.subscribe("a", qos=1)
        async with connected(server.port, "p", stays=100) as peer:
            await peer.send(publish(9, 2))
            assert isinstance(await peer.receive(), PubRec)
            for packet in (
                publish(1),
                publish(2, 2),
                PubRel(9),
                Subscribe(1, [(b"x", SubscriptionOptions(1))]),
            ):
                store.stall()
                await peer.send(packet)
                assert await silent(peer)
                store.go_on()
                assert await peer.receive() is not None


async def test_a_connect_waits_for_the_store(store: FaultyStore) -> None:
    """The will and the session of a CONNACK are there after a crash."""
    async with serving(store) as server:
        store.stall()
        stream = await trio.open_tcp_stream("127.0.0.1", server.port)
        async with stream:
            given = Properties(session_expiry_interval=10)
            peer = Peer(stream, Connect(client_id="").version)
            await peer.send(Connect(client_id="c", properties=given))
            assert await silent(peer)
            store.go_on()
            assert await peer.receive() is not None


async def test_who_promises_nothing_does_not_wait(store: FaultyStore) -> None:
    """Clients with clean sessions are served while the store stalls."""
    async with (
        serving(store) as server,
        connected(server.port, "c") as peer,
        connected(server.port, "s") as other,
    ):
        await other.subscribe("clean", qos=1)
        store.stall()
        server.publish("kept", b"", retain=True)
        await peer.send(publish(1, 1, b"clean"), PingReq())
        assert await peer.receive() == PubAck(1)
        assert await peer.receive() == PingResp()
        assert (await other.message()).payload == b"1"
        store.go_on()


async def test_qos_1_does_not_wait_and_qos_2_does(store: FaultyStore) -> None:
    """A subscriber may get QoS 1 twice, and QoS 2 not."""
    async with serving(store) as server, connected(server.port, "s", stays=9) as peer:
        await peer.subscribe("a", qos=2)
        store.stall()
        server.publish("a", b"1", qos=1)
        assert (await peer.message()).payload == b"1"
        server.publish("a", b"2", qos=2)
        assert await silent(peer)
        store.go_on()
        assert (await peer.message()).payload == b"2"


async def test_what_is_taken_at_once_is_not_written(store: FaultyStore) -> None:
    """A message that its subscriber has acknowledged before it is written never is."""
    async with serving(store) as server, connected(server.port, "s", stays=9) as peer:
        await peer.subscribe("a", qos=1)
        store.stall()
        server.publish("b", b"", qos=1, retain=True)  # is being written
        for number in range(10):
            server.publish("a", b"%d" % number, qos=1)
            await peer.message()
        await peer.send(PingReq())
        with trio.fail_after(5):
            keeper = server.mqtt._service.keeper  # to see that it is so
            assert keeper is not None
            await until(lambda: not keeper.ledger.batch.messages)
        store.go_on()


async def test_what_is_taken_in_a_moment_is_not_written(
    store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is there anything to be written then: the publisher is answered at once."""
    monkeypatch.setattr("speedo_trio.mqtt.store.keeper.LINGER", 3600)
    async with (
        serving(store) as server,
        connected(server.port, "s", stays=100) as subscriber,
        connected(server.port, "p") as publisher,
    ):
        await subscriber.subscribe("a", qos=1)
        before = store.commits
        for number in (1, 2, 3):
            await publisher.send(publish(number))
            assert isinstance(await subscriber.receive(), Publish)
            await subscriber.send(PubAck(number))

            assert await publisher.receive() == PubAck(number)
        assert before == store.commits


async def test_what_waits_for_a_moment_is_written_at_the_end(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there after the next start."""
    monkeypatch.setattr("speedo_trio.mqtt.store.keeper.LINGER", 3600)
    async with serving(SQLiteStore(path)) as server, connected(server.port, "s", stays=9) as peer:
        await peer.subscribe("a", qos=1)
        server.publish("a", b"1", qos=1)
        assert isinstance(await peer.receive(), Publish)
    async with serving(SQLiteStore(path)) as server, connected(server.port, "s", stays=9) as peer:
        again = await peer.receive()

        assert isinstance(again, Publish)
        assert (b"1", True) == (again.payload, again.dup)


async def test_what_is_not_taken_in_a_moment_is_written(store: FaultyStore) -> None:
    """And the next ones then are at once, as waiting is of no use."""
    async with (
        serving(store) as server,
        connected(server.port, "s", stays=100) as subscriber,
        connected(server.port, "p") as publisher,
    ):
        await subscriber.subscribe("a", qos=1)
        keeper = server.mqtt._service.keeper
        assert keeper is not None
        for number in (1, 2, 3):
            await publisher.send(publish(number))
            assert await publisher.receive() == PubAck(number)
            assert keeper._hasty
        assert 3 == server.mqtt.sessions()[0].inflight


async def test_a_store_that_fails_is_told_of_once(store: FaultyStore) -> None:
    """Nothing is acknowledged until it has recovered; clients are kept."""
    events: list[Event] = []
    async with serving(store, events=events) as server:
        async with connected(server.port, "s", stays=100) as peer:
            await peer.subscribe("a", qos=1)
        async with connected(server.port, "p", stays=100) as peer:
            store.fails = True
            await peer.send(publish(1), publish(2))
            assert await silent(peer)
            store.fails = False
            assert await peer.receive() == PubAck(1)
            assert await peer.receive() == PubAck(2)
            told = [type(each) for each in events if isinstance(each, StoreFailed | StoreRecovered)]
            assert told == [StoreFailed, StoreRecovered]
            assert store.commits > 3


async def test_what_may_wait_to_be_written_is_bounded(path: str) -> None:
    """When the store stalls, a publisher is read no further than the bound and a bit."""
    store = FaultyStore(path, pending_bytes=100_000)
    limits = Capabilities(queue_messages=10_000, queue_bytes=1 << 30)
    async with serving(store, limits) as server:
        async with connected(server.port, "s", stays=100) as peer:
            await peer.subscribe("a", qos=1)
        async with connected(server.port, "p", stays=100) as peer:
            store.stall()
            for first in range(0, 900, 50):
                with trio.move_on_after(SHORT):
                    await peer.send(
                        *(
                            Publish(b"a", bytes(10_000), 1, packet_id=first + 1 + n)
                            for n in range(50)
                        )
                    )
            await trio.testing.wait_all_tasks_blocked(0.1)
            (session,) = (each for each in server.mqtt.sessions() if each.client_id == "s")
            assert session.waiting < 100
            store.go_on()
            acknowledged = 0
            with trio.fail_after(10):
                while acknowledged < 50:
                    acknowledged += isinstance(await peer.receive(), PubAck)


async def test_a_full_store_recovers_when_messages_are_taken(path: str) -> None:
    """The file has a bound: at it nothing is acknowledged, until subscribers have taken some."""
    store = SQLiteStore(path, maximum_bytes=1_048_576)
    events: list[Event] = []
    limits = Capabilities(queue_messages=10_000, queue_bytes=1 << 30, maximum_inflight=200)
    async with serving(store, limits, events) as server:
        async with connected(server.port, "s", stays=100) as taker:
            await taker.subscribe("a", qos=1)
            async with connected(server.port, "p", stays=100) as peer:
                acknowledged = await fill(peer, 5000)
                assert any(isinstance(each, StoreFailed) for each in events)
                for _ in range(150):
                    await taker.message()
                with trio.fail_after(20):
                    assert isinstance(await peer.receive(), PubAck)
                    await until(lambda: any(isinstance(each, StoreRecovered) for each in events))
        assert acknowledged > 100


async def fill(peer: Peer, size: int) -> int:
    """Publish until nothing is acknowledged any more; how many were."""
    for number in range(1, 900):
        await peer.send(Publish(b"a", bytes(size), 1, packet_id=number))
        with trio.move_on_after(1) as scope:
            assert isinstance(await peer.receive(), PubAck)
        if scope.cancelled_caught:
            return number - 1
    raise AssertionError("it is never full")


async def test_a_will_waits_in_the_store(path: str) -> None:
    """A client that was connected when the server ended has gone; its will is published."""
    will = Will(b"gone", b"1", 1, properties=Properties(will_delay_interval=1))
    async with serving(SQLiteStore(path)) as server:
        async with connected(server.port, "s", stays=100) as peer:
            await peer.subscribe("gone", qos=1)
        async with connected(server.port, "w", stays=100, will=will) as peer:
            pass
    async with serving(SQLiteStore(path)) as server, connected(server.port, "s", stays=9) as peer:
        assert (await peer.message()).payload == b"1"


async def test_deadlines_are_of_the_wall(path: str) -> None:
    """A session whose time is over while the server is down is not there any more."""
    async with serving(SQLiteStore(path)) as server:
        for name, stays in (("short", 1), ("long", 100)):
            async with connected(server.port, name, stays=stays) as peer:
                await peer.send(Disconnect())
                assert await peer.receive() is None
    await trio.sleep(1.1)
    async with serving(SQLiteStore(path)) as server:
        with trio.fail_after(5):
            await until(lambda: len(server.mqtt.sessions()) == 1)

        assert [each.client_id for each in server.mqtt.sessions()] == ["long"]


async def test_what_is_far_behind_is_only_in_the_store(path: str) -> None:
    """More messages wait than are in memory; they come in order, and then all is forgotten."""
    count = 3000
    limits = Capabilities(queue_messages=10_000, queue_bytes=1 << 30)
    async with serving(SQLiteStore(path), limits) as server:
        async with connected(server.port, "s", stays=100) as peer:
            await peer.subscribe("a", qos=1)
        for number in range(count):
            server.publish("a", b"%d" % number, qos=1)
        (session,) = server.mqtt.sessions()
        assert session.waiting + session.inflight == count
    async with serving(SQLiteStore(path), limits) as server:
        server.publish("a", b"%d" % count, qos=1)
        async with connected(server.port, "s", stays=100) as peer:
            for number in range(count + 1):
                assert (await peer.message()).payload == b"%d" % number
            await peer.send(PingReq())
            assert await peer.receive() == PingResp()
    store = SQLiteStore(path)
    image = store.open()
    store.close()

    assert (image.waiting, image.flights, image.last_message) == ({}, [], 0)


async def test_what_expires_is_removed_while_the_server_runs(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In memory and in the store, though nobody comes to take it; the rest stays."""
    monkeypatch.setattr("speedo_trio.mqtt.store.keeper._PURGE", 0.3)
    limits = Capabilities(queue_messages=10_000, queue_bytes=1 << 30)
    short = Properties(message_expiry_interval=1)
    async with serving(SQLiteStore(path), limits) as server:
        for name in ("s", "t"):
            async with connected(server.port, name, stays=100) as peer:
                await peer.subscribe("a", qos=1)
        await until(lambda: not any(each.connected for each in server.mqtt.sessions()))
        for number in range(3000):
            properties = None if number % 1000 == 7 else short
            server.publish("a", b"%d" % number, qos=1, properties=properties)
        assert [each.waiting for each in server.mqtt.sessions()] == [3000, 3000]
        with trio.fail_after(20):
            await until(lambda: [each.waiting for each in server.mqtt.sessions()] == [3, 3])
            await until(lambda: rows(path) == (6, 3))
        async with connected(server.port, "s", stays=100) as peer:
            for number in (7, 1007, 2007):
                assert (await peer.message()).payload == b"%d" % number


def rows(path: str) -> tuple[int, int]:
    """Rows of the queue, and messages."""
    with reading(path) as database:
        query = "SELECT (SELECT count(*) FROM queue), (SELECT count(*) FROM message)"
        queued, messages = database.execute(query).fetchone()
        return queued, messages
