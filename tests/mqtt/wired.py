"""Clients that speak in packets to a server in memory; its own codec is theirs too."""

from __future__ import annotations

from collections import deque
from typing import Any, TypeVar

import trio

from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packets import (
    ConnAck,
    Connect,
    Packet,
    PingReq,
    PingResp,
    Publish,
    SubAck,
    Subscribe,
    SubscriptionOptions,
)
from speedo_trio.mqtt.wire.reader import PacketReader
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.versions import Version

P = TypeVar("P", bound=Packet)
V5, V311 = Version.MQTT_5_0, Version.MQTT_3_1_1
PATIENCE = 20.0
"""Seconds after which a test has failed; where time is mocked, none that pass."""


class Wired:
    """A client's end of a stream."""

    def __init__(self, stream: trio.abc.Stream, version: Version = V5) -> None:
        self.stream = stream
        self.version = version
        self._reader = PacketReader(version)
        self._packets: deque[Packet] = deque()

    async def send(self, *packets: Packet) -> None:
        await self.stream.send_all(b"".join(encode(each, self.version) for each in packets))

    async def eof(self) -> None:
        """Send no more, and go on receiving."""
        assert isinstance(self.stream, trio.StapledStream)
        await self.stream.send_stream.aclose()

    async def packet(self) -> Packet | None:
        """The next packet; None at the end of the stream."""
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

    async def rest(self) -> list[Packet]:
        """All packets until the server ends the stream."""
        packets = []
        while (packet := await self.packet()) is not None:
            packets.append(packet)
        return packets

    async def connect(self, client_id: str = "c", **given: Any) -> ConnAck:
        await self.send(connect(client_id, self.version, **given))
        return await self.get(ConnAck)

    async def subscribe(self, *filters: str, qos: int = 2) -> list[ReasonCode]:
        await self.send(subscribe(*filters, qos=qos))
        return (await self.get(SubAck)).reasons

    async def settled(self) -> None:
        """All that was sent before has been done."""
        await self.send(PingReq())
        await self.get(PingResp)


def connect(client_id: str = "c", version: Version = V5, **given: Any) -> Connect:
    """A CONNECT."""
    return Connect(client_id=client_id, version=version, **given)


def subscribe(*filters: str, qos: int = 2, packet_id: int = 1) -> Subscribe:
    """A SUBSCRIBE."""
    options = SubscriptionOptions(qos)
    return Subscribe(packet_id, [(each.encode(), options) for each in filters])


def publish(topic: str, payload: bytes = b"x", packet_id: int = 0, **given: Any) -> Publish:
    """A PUBLISH, with QoS 1 if it has a packet identifier and no other is said."""
    qos = 1 if packet_id else 0
    return Publish(topic.encode(), payload, given.pop("qos", qos), packet_id=packet_id, **given)
