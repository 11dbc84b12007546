"""Clients of MQTT that speak with the codec, over real sockets: one on Trio, one that blocks."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import trio

from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packets import (
    ConnAck,
    Connect,
    Packet,
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
from speedo_trio.mqtt.wire.reader import PacketReader
from speedo_trio.mqtt.wire.versions import Version

PATIENCE = 10
"""Seconds after which a test has failed; a machine may be busy."""


def connect_packet(client_id: str, will: Will | None, stays: int, version: Version) -> Connect:
    """CONNECT, of a client whose session stays for so many seconds."""
    properties = Properties(session_expiry_interval=stays) if stays else None
    return Connect(
        client_id=client_id,
        version=version,
        clean_start=not stays,
        will=will,
        properties=properties,
    )


def subscribe_packet(filters: tuple[str, ...], qos: int) -> Subscribe:
    """SUBSCRIBE to all of them."""
    return Subscribe(1, [(each.encode(), SubscriptionOptions(qos)) for each in filters])


class Peer:
    """A client on Trio."""

    def __init__(self, stream: trio.abc.Stream, version: Version) -> None:
        self.stream = stream
        self._version = version
        self._reader = PacketReader(version)
        self._packets: deque[Packet] = deque()

    async def send(self, *packets: Packet) -> None:
        """Send packets, all at once."""
        await self.stream.send_all(b"".join(encode(each, self._version) for each in packets))

    async def receive(self) -> Packet | None:
        """The next packet; None at the end of the stream."""
        with trio.fail_after(PATIENCE):
            while not self._packets:
                data = await self.stream.receive_some()
                if not data:
                    return None
                self._packets.extend(self._reader.feed(bytes(data)))
        return self._packets.popleft()

    async def subscribe(self, *filters: str, qos: int = 0) -> None:
        """Subscribe, and see that it is granted."""
        await self.send(subscribe_packet(filters, qos))
        assert isinstance(await self.receive(), SubAck)

    async def message(self) -> Publish:
        """The next message, which is answered with all that its QoS asks for."""
        packet = await self.receive()
        assert isinstance(packet, Publish), packet
        if packet.qos == 1:
            await self.send(PubAck(packet.packet_id))
        elif packet.qos == 2:
            await self.send(PubRec(packet.packet_id))
            assert isinstance(await self.receive(), PubRel)
            await self.send(PubComp(packet.packet_id))
        return packet


@asynccontextmanager
async def connected(
    port: int,
    client_id: str = "peer",
    *,
    will: Will | None = None,
    stays: int = 0,
    version: Version = Version.MQTT_5_0,
) -> AsyncIterator[Peer]:
    """A client that the server has accepted."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        peer = Peer(stream, version)
        await peer.send(connect_packet(client_id, will, stays, version))
        assert isinstance(await peer.receive(), ConnAck)
        yield peer


class BlockingPeer:
    """A client without an event loop, which speaks 5.0."""

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self._reader = PacketReader(Version.MQTT_5_0)
        self._packets: deque[Packet] = deque()

    def send(self, *packets: Packet) -> None:
        """Send packets, all at once."""
        self.stream.sendall(b"".join(encode(each, Version.MQTT_5_0) for each in packets))

    def receive(self) -> Packet | None:
        """The next packet; None at the end of the stream."""
        while not self._packets:
            data = self.stream.recv(65_536)
            if not data:
                return None
            self._packets.extend(self._reader.feed(data))
        return self._packets.popleft()

    def subscribe(self, *filters: str, qos: int = 0) -> None:
        """Subscribe, and see that it is granted."""
        self.send(subscribe_packet(filters, qos))
        assert isinstance(self.receive(), SubAck)


@contextmanager
def blocking(
    port: int, client_id: str = "peer", *, will: Will | None = None, stays: int = 0
) -> Iterator[BlockingPeer]:
    """A client that the server has accepted."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as stream:
        peer = BlockingPeer(stream)
        peer.send(connect_packet(client_id, will, stays, Version.MQTT_5_0))
        assert isinstance(peer.receive(), ConnAck)
        yield peer
