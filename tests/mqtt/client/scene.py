"""What the tests of the client share: a server that a test plays by hand, in packets."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import trio
import trio.testing

from speedo_trio.mqtt.client.client import MQTTClient, connect_stream
from speedo_trio.mqtt.client.login import Login
from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packets import ConnAck, Connect, Packet
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reader import PacketReader
from speedo_trio.mqtt.wire.versions import Version

P = TypeVar("P", bound=Packet)
V5, V311, V31 = Version.MQTT_5_0, Version.MQTT_3_1_1, Version.MQTT_3_1
PATIENCE = 20.0
"""Seconds after which a test has failed."""


class Desk:
    """The server's end."""

    def __init__(self, stream: trio.abc.Stream, version: Version = V5) -> None:
        self.stream = stream
        self.version = version
        self._reader = PacketReader()
        self._packets: deque[Packet] = deque()

    async def packet(self) -> Packet | None:
        """The next packet of the client; None at the end of its stream."""
        while not self._packets:
            data = await self.stream.receive_some()
            if not data:
                return None
            self._packets.extend(self._reader.feed(bytes(data)))
        return self._packets.popleft()

    async def get(self, kind: type[P]) -> P:
        """The next packet, which is of this kind."""
        packet = await self.packet()
        assert isinstance(packet, kind), packet
        return packet

    async def send(self, *packets: Packet) -> None:
        await self.stream.send_all(b"".join(encode(each, self.version) for each in packets))

    async def welcome(
        self, *, present: bool = False, properties: Properties | None = None
    ) -> Connect:
        """Accept the client."""
        connect = await self.get(Connect)
        self.version = connect.version
        await self.send(ConnAck(session_present=present, properties=properties))
        return connect

    async def hang_up(self) -> None:
        """End the stream."""
        await self.stream.aclose()


@asynccontextmanager
async def connected(
    login: Login | None = None,
    *,
    present: bool = False,
    properties: Properties | None = None,
    lockstep: bool = False,
    **given: Any,  # Any: what `connect_stream` takes
) -> AsyncGenerator[tuple[MQTTClient, Desk]]:
    """A client that was accepted, and its server. At the end the server hangs up."""
    make = trio.testing.lockstep_stream_pair if lockstep else trio.testing.memory_stream_pair
    ours, theirs = make()
    desk = Desk(theirs)
    async with trio.open_nursery() as nursery:

        async def welcome() -> None:
            await desk.welcome(present=present, properties=properties)

        nursery.start_soon(welcome)
        with trio.fail_after(PATIENCE):
            async with connect_stream(ours, login or Login(client_id="c"), **given) as client:
                yield client, desk
                await desk.hang_up()
