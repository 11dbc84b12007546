"""What the tests of bridges share: a broker of ours, and another that a test plays by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from attrs import define, field

from speedo_trio import ConnectionLost
from speedo_trio.mqtt import MQTT, BridgeSettings, BridgeTopic, Capabilities, bridge
from speedo_trio.mqtt.wire.packets import SubAck, Subscribe
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.testing import MemoryServer, serve_in_memory
from tests.mqtt.client.scene import PATIENCE, Desk
from tests.mqtt.wired import Wired

BOTH = BridgeTopic(
    filter="#", direction="both", qos=2, local_prefix="here/", remote_prefix="there/"
)


@define
class Far:
    """The network to the other broker."""

    desks: trio.MemoryReceiveChannel[Desk]
    sending: trio.MemorySendChannel[Desk]
    down: bool = False
    attempts: list[float] = field(factory=list)

    async def open(self, *_: object) -> trio.abc.Stream:
        """What the bridge calls to connect."""
        await trio.lowlevel.checkpoint()
        self.attempts.append(trio.current_time())
        if self.down:
            raise ConnectionLost("cannot connect: it is down")
        ours, theirs = trio.testing.memory_stream_pair()
        self.sending.send_nowait(Desk(theirs))
        return ours


@define
class Scene:
    """A broker with a bridge."""

    mqtt: MQTT
    server: MemoryServer
    far: Far
    stop: trio.CancelScope

    async def desk(
        self, *, present: bool = False, properties: Properties | None = None, **given: Any
    ) -> Desk:
        """The other broker's end of the next connection, when the bridge is up."""
        desk = await self.far.desks.receive()
        await desk.welcome(present=present, properties=properties)
        await self.granted(desk, **given)
        return desk

    async def granted(self, desk: Desk, reason: int = 2) -> Subscribe:
        """Grant what the bridge subscribes to."""
        packet = await desk.packet()
        while not isinstance(packet, Subscribe):
            packet = await desk.packet()
        reasons = [reason] * len(packet.subscriptions)
        await desk.send(SubAck(packet.packet_id, reasons))  # type: ignore[arg-type]  # numbers do
        await trio.testing.wait_all_tasks_blocked()
        return packet

    async def client(self, client_id: str = "c") -> Wired:
        """A client of our broker."""
        client = Wired(self.server.connect())
        await client.connect(client_id)
        return client

    @property
    def state(self) -> bytes:
        """What is published of the bridge."""
        (message,) = self.mqtt.broker.retained("$SYS/broker/connection/b/state")
        return message.payload


@asynccontextmanager
async def bridged(
    monkeypatch: pytest.MonkeyPatch,
    *topics: BridgeTopic,
    capabilities: Capabilities | None = None,
    patience: float = PATIENCE,
    **given: Any,
) -> AsyncIterator[Scene]:
    """A broker with a bridge that is called b."""
    sending, receiving = trio.open_memory_channel[Desk](10)
    far = Far(receiving, sending)
    monkeypatch.setattr("speedo_trio.mqtt.bridging.bridge.open_stream", far.open)
    url = given.pop("url", "mqtt://there")
    settings = BridgeSettings(name="b", url=url, topics=topics or (BOTH,), client_id="id", **given)
    mqtt = MQTT(capabilities=capabilities, sys_interval=0)
    with trio.fail_after(patience):
        async with serve_in_memory(mqtt, observer=None) as server, trio.open_nursery() as nursery:
            nursery.start_soon(bridge, mqtt, settings)
            yield Scene(mqtt, server, far, nursery.cancel_scope)
            nursery.cancel_scope.cancel()
