"""Clients that keep their side of a session, however the server is lost, as the standard asks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

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
)
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reader import PacketReader
from speedo_trio.mqtt.wire.versions import Version

V5 = Version.MQTT_5_0
STAYS = 100_000
"""Seconds that the sessions stay."""
WINDOW = 20
"""Messages of a publisher that are not at their end."""


class Careful:
    """A client whose session outlasts connections."""

    def __init__(self, client_id: str) -> None:
        self.client_id = client_id
        self.connections = 0
        self._stream: trio.abc.Stream | None = None

    @asynccontextmanager
    async def connected(self, port: int) -> AsyncIterator[list[Packet]]:
        """Connect; gives what came behind CONNACK. The session must be there but the first time."""
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            self._stream, self._reader = stream, PacketReader(V5)
            properties = Properties(session_expiry_interval=STAYS)
            await self.send(
                Connect(client_id=self.client_id, clean_start=False, properties=properties)
            )
            packets: list[Packet] = []
            while not packets:
                packets = await self._read()
            connack = packets.pop(0)
            assert isinstance(connack, ConnAck)
            assert connack.reason == 0, connack
            # The first CONNACK may be lost with a server that has written the session down.
            assert connack.session_present or not self.connections
            self.connections += 1
            yield packets

    async def run(self, port: int) -> None:
        """Connect, and go on until the server is gone."""
        try:
            async with self.connected(port) as first:
                await self.begin()
                packets = first
                while True:
                    for packet in packets:
                        await self.take(packet)
                    await self.go_on()
                    packets = await self._read()
        except (OSError, trio.BrokenResourceError):
            pass

    async def begin(self) -> None:
        """Send again what is to be sent again."""

    async def go_on(self) -> None:
        """All that came has been taken."""

    async def take(self, packet: Packet) -> None:
        """A packet has come."""
        raise NotImplementedError

    async def send(self, *packets: Packet) -> None:
        assert self._stream is not None
        await self._stream.send_all(b"".join(encode(each, V5) for each in packets))

    async def _read(self) -> list[Packet]:
        assert self._stream is not None
        data = await self._stream.receive_some()
        if not data:
            raise trio.BrokenResourceError
        return list(self._reader.feed(bytes(data)))


class Publisher(Careful):
    """Publishes 1, 2, 3 and so on, with one QoS."""

    def __init__(self, topic: str, qos: int, client_id: str = "", *, retain: bool = False) -> None:
        super().__init__(client_id or f"publisher of {topic}")
        self.topic = topic.encode()
        self.qos = qos
        self.retain = retain
        self.published = 0
        """The last number that was sent, at least once."""
        self.acknowledged: set[int] = set()
        """Numbers that the server has taken over."""
        self.most: int | None = None
        """The last number to be published; None: there is none."""
        self._flights: dict[int, int | None] = {}  # by packet id; None: released
        self._last_id = 0

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way."""
        return not self._flights

    async def begin(self) -> None:
        again: list[Packet] = []
        for packet_id, number in self._flights.items():
            if number is None:
                again.append(PubRel(packet_id))
            else:
                again.append(self._publish(packet_id, number, dup=True))
        if again:
            await self.send(*again)

    async def go_on(self) -> None:
        fresh: list[Packet] = []
        while len(self._flights) < WINDOW and self.published != self.most:
            self.published += 1
            self._last_id = self._last_id % 65_535 + 1
            self._flights[self._last_id] = self.published
            fresh.append(self._publish(self._last_id, self.published, dup=False))
        if fresh:
            await self.send(*fresh)

    async def take(self, packet: Packet) -> None:
        match packet:
            case PubAck(packet_id=packet_id):
                number = self._flights.pop(packet_id)
                assert number is not None
                self.acknowledged.add(number)
            case PubRec(packet_id=packet_id):
                number = self._flights.pop(packet_id)
                self._flights[packet_id] = None
                if number is not None:
                    self.acknowledged.add(number)
                await self.send(PubRel(packet_id))
            case PubComp(packet_id=packet_id):
                assert packet.reason in {0, 0x92}, packet  # not found: "during recovery, no error"
                assert self._flights.pop(packet_id) is None
            case _:
                raise AssertionError(packet)

    def _publish(self, packet_id: int, number: int, *, dup: bool) -> Publish:
        return Publish(
            self.topic, b"%d" % number, self.qos, self.retain, dup=dup, packet_id=packet_id
        )


class Subscriber(Careful):
    """Subscribes once, and keeps what comes: with QoS 2 what comes once, by the standard."""

    def __init__(self, topic_filter: str, client_id: str = "subscriber", qos: int = 2) -> None:
        super().__init__(client_id)
        self.topic_filter = topic_filter.encode()
        self.qos = qos
        self.received: dict[bytes, list[int]] = {}
        """The numbers, by topic."""
        self._held: set[int] = set()
        self.subscribed = False

    @property
    def idle(self) -> bool:
        """Whether nothing with QoS 2 is on its way."""
        return not self._held

    async def begin(self) -> None:
        if not self.subscribed:
            await self.send(Subscribe(1, [(self.topic_filter, SubscriptionOptions(self.qos))]))

    async def take(self, packet: Packet) -> None:
        match packet:
            case SubAck():
                self.subscribed = True
            case Publish(qos=1):
                self._keep(packet)
                await self.send(PubAck(packet.packet_id))
            case Publish(qos=2):
                if packet.packet_id not in self._held:
                    self._held.add(packet.packet_id)
                    self._keep(packet)
                await self.send(PubRec(packet.packet_id))
            case PubRel():
                self._held.discard(packet.packet_id)
                await self.send(PubComp(packet.packet_id))
            case _:
                raise AssertionError(packet)

    def _keep(self, packet: Publish) -> None:
        self.received.setdefault(packet.topic, []).append(int(packet.payload))


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nothing tells of: it is in another process or thread."""
    while not condition():  # noqa: ASYNC110  # there is no event for it
        await trio.sleep(0.01)


def check(publisher: Publisher, subscriber: Subscriber) -> None:
    """Nothing acknowledged is lost, the order is kept, with QoS 2 nothing came twice."""
    received = subscriber.received.get(publisher.topic, [])
    first = list(dict.fromkeys(received))

    lost = publisher.acknowledged - set(received)
    assert not lost, f"{publisher.client_id}: lost {sorted(lost)[:10]} of {len(received)}"
    assert first == sorted(first), f"{publisher.client_id}: not in order"
    if publisher.qos == 2:
        assert len(received) == len(first), f"{publisher.client_id}: {len(received)} {len(first)}"
        assert first == list(range(1, len(first) + 1))
