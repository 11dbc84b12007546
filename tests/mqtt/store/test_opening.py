"""A store that takes long to open holds up nobody else, and nobody is served without it."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

import pytest
import trio

from speedo_trio import StoreError
from speedo_trio.mqtt import MQTT, MQTTServer, SQLiteStore, serve_mqtt
from speedo_trio.mqtt.store.contract import Image
from speedo_trio.mqtt.wire.packets import ConnAck, Publish
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.testing import serve_in_memory
from tests.mqtt.peers import PATIENCE, connected
from tests.mqtt.store.scene import serving
from tests.mqtt.wired import Wired, connect


class SlowStore(SQLiteStore):
    """One that opens when a test lets it."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.asked = trio.Event()
        self.go = threading.Event()
        self._token = trio.lowlevel.current_trio_token()

    def open(self) -> Image:
        self._token.run_sync_soon(self.asked.set)
        assert self.go.wait(PATIENCE)
        return super().open()


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where there is nothing yet."""
    return str(tmp_path / "mqtt.db")


async def test_other_tasks_go_on(path: str, nursery: trio.Nursery) -> None:
    """While a program's server opens its store; it is served then."""
    store = SlowStore(path)
    began: list[MQTTServer] = []

    async def start() -> None:
        serve = partial(serve_mqtt, "tcp://127.0.0.1:0", store=store, observer=None)
        began.append(await nursery.start(serve))

    async with trio.open_nursery() as starting:
        starting.start_soon(start)
        await store.asked.wait()
        assert began == []
        store.go.set()
    await began[0].drain(1)


async def test_a_cancel_while_it_is_opened(path: str) -> None:
    """It is waited for, and then the store is free for the next."""
    store = SlowStore(path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(serve_mqtt, "tcp://127.0.0.1:0", store=store, observer=None))
        await store.asked.wait()
        nursery.cancel_scope.cancel()
        store.go.set()
    SQLiteStore(path).open()


async def test_who_comes_before_it_is_open_waits(path: str) -> None:
    """Where a server is given the factory; the client then finds its session."""
    stays = Properties(session_expiry_interval=100)
    async with (
        serving(SQLiteStore(path)) as server,
        connected(server.port, "s", stays=100) as peer,
    ):
        await peer.subscribe("a", qos=1)
    store = SlowStore(path)
    mqtt = MQTT(store=store, sys_interval=0)
    with trio.fail_after(PATIENCE):
        async with serve_in_memory(mqtt, observer=None) as server_in_memory:
            client = Wired(server_in_memory.connect())
            await store.asked.wait()
            await client.send(connect("s", clean_start=False, properties=stays))
            with trio.move_on_after(0.3) as waiting:
                await client.packet()
            assert waiting.cancelled_caught
            store.go.set()
            assert (await client.get(ConnAck)).session_present
            mqtt.publish("a", b"1", qos=1)
            assert (await client.get(Publish)).payload == b"1"


async def test_one_that_cannot_be_opened_ends_the_server(path: str) -> None:
    """With its own error, also where that is found out late."""
    await trio.Path(path).write_text("notes")
    with pytest.RaisesGroup(StoreError, flatten_subgroups=True):
        async with serve_in_memory(MQTT(store=SQLiteStore(path)), observer=None):
            await trio.sleep(PATIENCE)
