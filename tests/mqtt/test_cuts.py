"""A client that is cut off at any byte of a QoS 2 exchange, through a whole server.

It has a session, comes back, and goes on as the standard says: there is one copy of the message.
`tests.mqtt.state.test_loss` is the same in packets, with more of them at a time.
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Final

import pytest
import trio
import trio.testing

from speedo_trio.mqtt.embedding import MQTTServer, serve_mqtt
from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packets import (
    ConnAck,
    Connect,
    Packet,
    PingReq,
    PingResp,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
)
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reader import PacketReader
from speedo_trio.mqtt.wire.versions import Version
from tests.mqtt.wired import PATIENCE, subscribe

NEVER = 1_000_000
"""Bytes that no exchange has."""
RESET = struct.pack("ii", 1, 0)
"""What makes a close of a socket a reset."""


class Cut(Exception):
    """The connection is lost."""


class Thin:
    """A client's end of a stream, by which only so many bytes pass, either way."""

    def __init__(self, stream: trio.abc.Stream, up: int, down: int) -> None:
        self.stream: Final = stream
        self.up = up
        self.down = down

    async def send(self, data: bytes) -> None:
        """Send what passes."""
        if not self.down:  # it has got the last byte, and does no more
            raise Cut
        await self.stream.send_all(data[: self.up])
        self.up = max(0, self.up - len(data))
        if not self.up:
            raise Cut

    async def receive(self) -> bytes:
        """Receive what passes."""
        if not self.down:
            raise Cut
        data = bytes(await self.stream.receive_some(min(self.down, 65_536)))
        assert data, "the server has ended the connection"
        self.down -= len(data)
        return data


class Device:
    """A client that keeps its session, and its half of what is not at its end."""

    def __init__(self, client_id: str, version: Version, *, early: bool) -> None:
        self.client_id = client_id
        self.version = version
        self.early = early
        """Whether a message is taken when PUBLISH comes, and not when PUBREL does; both will do."""
        self.got: list[bytes] = []
        self.arriving: dict[int, bytes] = {}
        self.sending: dict[int, Publish | PubRel] = {}
        self.tried: set[int] = set()
        self._line: Thin | None = None
        self._packets: deque[Packet] = deque()
        self._reader = PacketReader(version)

    async def connect(self, line: Thin) -> bool:
        """Connect; whether the session was there, which 3.1 doesn't tell."""
        self._line, self._reader = line, PacketReader(self.version)
        self._packets.clear()
        stays = Properties(session_expiry_interval=600) if self.version == 5 else None
        await self.send(
            Connect(
                client_id=self.client_id,
                version=self.version,
                clean_start=False,
                properties=stays,
            )
        )
        packet = await self.receive()
        assert isinstance(packet, ConnAck)
        return packet.session_present or self.version is Version.MQTT_3_1

    async def settle(self) -> None:
        """Go on with what was begun, until nothing is left and nothing more comes."""
        for packet_id, packet in sorted(self.sending.items()):
            if isinstance(packet, Publish):
                packet.dup = packet_id in self.tried
                self.tried.add(packet_id)
            await self.send(packet)
        busy = True
        while busy:
            busy = False
            await self.send(PingReq())
            while not isinstance(come := await self.receive(), PingResp):
                busy = True
                await self.send(self.take(come))

    def take(self, packet: Packet) -> Packet | None:
        """Do what a packet asks for; give the answer."""
        match packet:
            case Publish(qos=2, packet_id=packet_id, payload=payload):
                if self.early and packet_id not in self.arriving:
                    self.got.append(payload)
                self.arriving[packet_id] = payload
                return PubRec(packet_id)
            case PubRel(packet_id=packet_id):
                payload = self.arriving.pop(packet_id, b"")
                if payload and not self.early:
                    self.got.append(payload)
                return PubComp(packet_id)
            case PubRec(packet_id=packet_id):
                release = self.sending[packet_id] = PubRel(packet_id)
                return release
            case PubComp(packet_id=packet_id):
                del self.sending[packet_id]
                return None
        raise AssertionError(packet)

    async def send(self, packet: Packet | None) -> None:
        """Send it, if there is one."""
        assert self._line is not None
        if packet is not None:
            await self._line.send(encode(packet, self.version))

    async def receive(self) -> Packet:
        """The next packet."""
        assert self._line is not None
        while not self._packets:
            self._packets.extend(self._reader.feed(await self._line.receive()))
        return self._packets.popleft()


class World:
    """A server, and ways to lose a connection to it."""

    def __init__(self, mqtt: MQTTServer, nursery: trio.Nursery, way: str) -> None:
        self.mqtt = mqtt
        self.way = way
        self._nursery = nursery
        self._ids = count(1)
        self._left: list[trio.abc.Stream] = []

    async def line(self, up: int = NEVER, down: int = NEVER) -> Thin:
        """A connection that is cut after so many bytes."""
        if self.way == "reset":
            stream = await trio.open_tcp_stream("127.0.0.1", self.mqtt.port)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            return Thin(stream, up, down)
        client, peer = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self.mqtt.server.serve_stream, peer)
        return Thin(client, up, down)

    async def lose(self, line: Thin) -> None:
        """Cut it. The server learns of that, or not before the client is back."""
        if self.way == "unnoticed":
            self._left.append(line.stream)
        else:
            await line.stream.aclose()

    async def device(self, version: Version, *, early: bool) -> Device:
        """A device that has a session, in which it is subscribed, and is away."""
        device = Device(f"device{next(self._ids)}", version, early=early)
        line = await self.line()
        await device.connect(line)
        await device.send(subscribe(f"down/{device.client_id}"))
        assert isinstance(await device.receive(), SubAck)
        await self.lose(line)
        return device

    async def exchange(self, device: Device, *cuts: tuple[int, int]) -> None:
        """Have a device connect, and be cut off, until nothing is left to do."""
        done = 0
        for cut in (*cuts, (NEVER, NEVER)):
            line = await self.line(*cut)
            try:
                assert await device.connect(line), "the session is gone"
                await device.settle()
            except Cut:
                await self.lose(line)
                done += 1
            else:
                await self.lose(line)
                break
        assert done, "it was not cut off"

    def check(self) -> None:
        """Nothing is left under way."""
        for session in self.mqtt.mqtt._service.sessions:
            left = (session.outgoing.inflight, session.outgoing.waiting, session.incoming.held)
            assert (0, 0, set()) == left, session.client_id


@asynccontextmanager
async def served(way: str) -> AsyncIterator[World]:
    """A server that has no client."""
    async with trio.open_nursery() as nursery:
        mqtt = await nursery.start(serve_mqtt, "tcp://127.0.0.1:0")
        with trio.fail_after(PATIENCE):
            yield World(mqtt, nursery, way)
        nursery.cancel_scope.cancel()


async def places(world: World, device: Device) -> list[tuple[int, int]]:
    """Where an exchange can be cut: after each byte in either direction."""
    line = await world.line()
    assert await device.connect(line)
    await device.settle()
    await world.lose(line)
    up, down = NEVER - line.up, NEVER - line.down
    return [(at, NEVER) for at in range(1, up)] + [(NEVER, at) for at in range(1, down)]


WAYS = pytest.mark.parametrize("way", ["closed", "reset", "unnoticed"])
VERSIONS = pytest.mark.parametrize("version", Version)
TIMES = pytest.mark.parametrize("times", [1, 2])


@WAYS
@VERSIONS
@TIMES
async def test_a_message_to_a_client(way: str, version: Version, times: int) -> None:
    """[MQTT-4.3.3-1] [MQTT-4.3.3-5] [MQTT-4.4.0-1] The client gets it once, wherever it is cut."""
    async with served(way) as world:

        async def waiting(*, early: bool) -> Device:
            device = await world.device(version, early=early)
            assert 1 == world.mqtt.publish(f"down/{device.client_id}", b"x", qos=2)
            return device

        for number, place in enumerate(await places(world, await waiting(early=True))):
            device = await waiting(early=number % 2 == 0)
            await world.exchange(device, *[place] * times)
            assert [b"x"] == device.got, place
        world.check()


@WAYS
@VERSIONS
@TIMES
async def test_a_message_of_a_client(way: str, version: Version, times: int) -> None:
    """[MQTT-4.3.3-8] [MQTT-4.3.3-10] [MQTT-4.3.3-12] It is published once, wherever it is cut."""
    async with served(way) as world, world.mqtt.subscribe("up", "end") as messages:

        async def publishing() -> Device:
            device = await world.device(version, early=True)
            payload = device.client_id.encode()
            device.sending[7] = Publish(b"up", payload, 2, packet_id=7)
            return device

        expected = ["device1"]
        for place in await places(world, await publishing()):
            device = await publishing()
            await world.exchange(device, *[place] * times)
            expected.append(device.client_id)
        world.check()
        world.mqtt.publish("end", b"")
        got = []
        while (message := await anext(messages)).topic != "end":
            got.append(message.payload.decode())

    assert expected == got
