"""What a session leaves that ends goes to others of its groups, though it is only in the store."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trio

from speedo_trio.mqtt import Capabilities, MQTTServer, SQLiteStore
from speedo_trio.mqtt.wire.packets import Publish
from speedo_trio.mqtt.wire.properties import Properties
from tests.mqtt.peers import Peer, connected
from tests.mqtt.store.careful import until
from tests.mqtt.store.scene import serving
from tests.mqtt.store.test_keeper import rows

COUNT = 700
MANY = Capabilities(queue_messages=10_000, queue_bytes=1 << 30)
SHARED = "$share/g/a"


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten messages of a session are in memory."""
    monkeypatch.setattr("speedo_trio.mqtt.state.shelf.AT_HAND", 10)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where there is nothing yet."""
    return str(tmp_path / "mqtt.db")


async def away(server: MQTTServer, client_id: str, *filters: str) -> None:
    """A client has subscribed, and is gone."""
    async with connected(server.port, client_id, stays=1000) as peer:
        await peer.subscribe(*filters, qos=1)
    await until(lambda: not any(each.connected for each in server.mqtt.sessions()))


async def end(server: MQTTServer, client_id: str) -> None:
    """A client's session ends: it begins anew, with one that doesn't stay."""
    async with connected(server.port, client_id):
        pass


async def come(peer: Peer, count: int) -> list[bytes]:
    """The payloads of the next messages."""
    with trio.fail_after(20):
        return [(await peer.message()).payload for _ in range(count)]


async def test_it_goes_to_another_member(path: str) -> None:
    """In its order; what had expired, and what was no group's, goes to nobody."""
    async with serving(SQLiteStore(path), MANY) as server:
        await away(server, "heir", "b")
        await away(server, "gone", SHARED, "own")
        for number in range(COUNT):
            server.publish("a", b"%d" % number, qos=1)
            server.publish("own", b"no", qos=1)
        short = Properties(message_expiry_interval=0)
        server.publish("a", b"late", qos=1, properties=short)
        async with connected(server.port, "heir", stays=1000) as peer:
            await peer.subscribe(SHARED, qos=1)
            await end(server, "gone")
            assert await come(peer, COUNT) == [b"%d" % number for number in range(COUNT)]
            await until(lambda: rows(path) == (0, 0))


async def test_what_is_in_flight_and_cold_goes_too(path: str) -> None:
    """Of QoS 1, and before what was not in flight yet."""
    async with (
        serving(SQLiteStore(path), MANY) as server,
        connected(server.port, "gone", stays=1000) as peer,
    ):
        await peer.subscribe(SHARED, qos=1)
        for number in range(COUNT):
            server.publish("a", b"%d" % number, qos=1)
        assert isinstance(await peer.receive(), Publish)
    async with (
        serving(SQLiteStore(path), MANY) as server,
        connected(server.port, "heir", stays=1000) as peer,
    ):
        await peer.subscribe(SHARED, qos=1)
        await end(server, "gone")
        assert await come(peer, COUNT) == [b"%d" % number for number in range(COUNT)]
        await until(lambda: rows(path) == (0, 0))


async def test_an_end_of_the_server_meanwhile(path: str) -> None:
    """The next one goes on."""
    async with serving(SQLiteStore(path), MANY) as server:
        await away(server, "heir", SHARED)
        await away(server, "gone", SHARED)
        for number in range(2 * COUNT):
            server.publish("a", b"%d" % number, qos=1)
        await end(server, "gone")
    async with (
        serving(SQLiteStore(path), MANY) as server,
        connected(server.port, "heir", stays=1000) as peer,
    ):
        assert sorted(map(int, await come(peer, 2 * COUNT))) == list(range(2 * COUNT))
        await until(lambda: rows(path) == (0, 0))
        assert [each.client_id for each in server.mqtt.sessions()] == ["heir"]


async def test_one_that_was_left_behind_is_found_again(path: str) -> None:
    """A store in which a session has ended, and nothing was passed on."""
    async with serving(SQLiteStore(path), MANY) as server:
        await away(server, "gone", SHARED)
        for number in range(COUNT):
            server.publish("a", b"%d" % number, qos=1)
        await away(server, "heir", SHARED)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE session SET client_id = char(0) || 1 WHERE client_id = 'gone'")
    async with (
        serving(SQLiteStore(path), MANY) as server,
        connected(server.port, "heir", stays=1000) as peer,
    ):
        assert await come(peer, COUNT) == [b"%d" % number for number in range(COUNT)]
        await until(lambda: rows(path) == (0, 0))
