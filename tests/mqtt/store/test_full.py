"""A store that is full acknowledges nothing, and goes on by itself when there is room."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from speedo_trio.events import Event, StoreFailed, StoreRecovered
from speedo_trio.mqtt import Capabilities, SQLiteStore
from speedo_trio.mqtt.wire.packets import PubAck, Publish
from speedo_trio.mqtt.wire.properties import Properties
from tests.mqtt.peers import Peer, connected
from tests.mqtt.store.careful import check, until
from tests.mqtt.store.scene import serving
from tests.mqtt.store.serving import Served
from tests.mqtt.store.test_kill import Load

ALL = Capabilities(queue_messages=10_000, queue_bytes=1 << 30)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small disk needs the right to mount one")
    yield folder
    for served in Served.running.copy():
        served.kill()
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def fill(peer: Peer, properties: Properties | None = None) -> int:
    """Publish until nothing is acknowledged any more; how many were."""
    for number in range(1, 2000):
        packet = Publish(b"a", b"%05d" % number * 1000, 1, packet_id=number, properties=properties)
        await peer.send(packet)
        with trio.move_on_after(1) as scope:
            assert isinstance(await peer.receive(), PubAck)
        if scope.cancelled_caught:
            return number - 1
    raise AssertionError("it is never full")


def told(events: list[Event], kind: type[Event]) -> bool:
    """Whether there was such an event."""
    return any(isinstance(each, kind) for each in events)


async def test_it_goes_on_when_messages_have_expired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though no client is there any more, and they are only in the store."""
    monkeypatch.setattr("speedo_trio.mqtt.store.keeper._PAUSES", (0.1, 0.2))
    monkeypatch.setattr("speedo_trio.mqtt.state.shelf.AT_HAND", 0)
    monkeypatch.setattr("speedo_trio.mqtt.store.keeper._PURGE", 0.3)
    store = SQLiteStore(tmp_path / "mqtt.db", maximum_bytes=1_048_576)
    events: list[Event] = []
    async with serving(store, ALL, events) as server:
        async with connected(server.port, "s", stays=100) as peer:
            await peer.subscribe("a", qos=1)
        async with connected(server.port, "p", stays=100) as peer:
            assert await fill(peer, Properties(message_expiry_interval=3)) > 50
        assert told(events, StoreFailed)
        with trio.fail_after(30):
            await until(lambda: told(events, StoreRecovered))
        async with connected(server.port, "p", stays=100) as peer:
            assert await fill(peer) > 50


async def test_a_disk_that_is_full(disk: Path) -> None:
    """When somebody makes room it goes on; all that was acknowledged is delivered, in order."""
    rest = disk / "something else"
    rest.write_bytes(bytes(1_000_000))
    events: list[Event] = []
    async with serving(SQLiteStore(disk / "mqtt.db"), ALL, events) as server:
        async with connected(server.port, "s", stays=100) as peer:
            await peer.subscribe("a", qos=1)
        async with connected(server.port, "p", stays=100) as peer:
            count = await fill(peer)
        assert count > 50
        assert told(events, StoreFailed)
        rest.unlink()
        with trio.fail_after(30):
            await until(lambda: told(events, StoreRecovered))
        async with connected(server.port, "s", stays=100) as peer:
            for number in range(1, count + 1):
                assert (await peer.message()).payload[:5] == b"%05d" % number


async def test_kills_while_the_disk_is_full(disk: Path, tmp_path: Path) -> None:
    """What was acknowledged before is there, and with QoS 2 nothing comes twice."""
    options = ("--mqtt.queue-messages", "1000000", "--mqtt.queue-bytes", "1000000000")
    load = Load()
    served = await Served.start(disk / "mqtt.db", *options)
    await load.subscribe(served.port)
    for _ in range(4):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: load.run(served.port, sometimes=False))  # noqa: B023  # it ends before the next
            await trio.sleep(1.0)
            served.kill()
        served = await Served.start(disk / "mqtt.db", *options)
    served.kill()
    assert shutil.disk_usage(disk).free < 100_000
    shutil.copytree(disk, tmp_path / "larger")
    served = await Served.start(tmp_path / "larger" / "mqtt.db", *options)
    with trio.fail_after(60):
        await load.finish(served.port)
    assert await served.stop() == 0

    for publisher in load.publishers:
        assert publisher.acknowledged
        for subscriber in load.subscribers:
            check(publisher, subscriber)
