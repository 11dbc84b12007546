"""A broker that does as little as it can, and does it wrong when it is told to."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence
from functools import partial

import pytest
import trio
from attrs import define, evolve, field

from speedo_trio.cli.bench.connector import make_connector
from speedo_trio.cli.bench.course import Course
from speedo_trio.cli.bench.mqtt.load import MQTTLoad
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
)
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reader import PacketReader
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.versions import Version
from tests.cli.bench.conftest import PATIENCE, make_plan

Fault = Callable[[int, Packet], Sequence[Packet | bytes]]
"""What goes out instead of a packet; the number counts those of its type, from 1."""

NONSENSE = b"\x00\x00"
"""No packet of any type."""
END = b"end"
RESET = b"reset"
"""Instead of a packet: the connection is closed, or reset."""


def right(number: int, packet: Packet) -> Sequence[Packet | bytes]:
    """No fault."""
    return [packet]


@define(eq=False)
class FakeBroker:
    """Knows topics without wildcards, and nothing of sessions."""

    fault: Fault = right
    receive_maximum: int | None = None
    subscribers: dict[bytes, list[trio.SocketStream]] = field(factory=dict)
    most_pending: int = 0
    """Messages of one publisher that were not acknowledged."""
    _sent: dict[type[Packet], int] = field(factory=dict)

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection."""
        reader = PacketReader()
        try:
            async for data in stream:
                packets = list(reader.feed(bytes(data)))
                pending = sum(isinstance(packet, Publish) for packet in packets)
                self.most_pending = max(self.most_pending, pending)
                for packet in packets:
                    await self._take(packet, stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async def _take(self, packet: Packet, stream: trio.SocketStream) -> None:
        match packet:
            case Connect():
                properties = Properties(receive_maximum=self.receive_maximum)
                await self._send(stream, ConnAck(properties=properties))
            case Subscribe():
                for topic, _ in packet.subscriptions:
                    self.subscribers.setdefault(topic, []).append(stream)
                reasons = [ReasonCode(options.qos) for _, options in packet.subscriptions]
                await self._send(stream, SubAck(packet.packet_id, reasons))
            case Publish():
                copy = evolve(packet, raw=None)
                for subscriber in self.subscribers.get(packet.topic, []):
                    await self._send(subscriber, copy)
                if packet.qos:
                    answer = PubAck if packet.qos == 1 else PubRec
                    await self._send(stream, answer(packet.packet_id))
            case PubRec():
                await self._send(stream, PubRel(packet.packet_id))
            case PubRel():
                await self._send(stream, PubComp(packet.packet_id))
            case _:
                pass

    async def _send(self, stream: trio.SocketStream, packet: Packet) -> None:
        number = self._sent[type(packet)] = self._sent.get(type(packet), 0) + 1
        for each in self.fault(number, packet):
            if isinstance(each, bytes) and each in {END, RESET}:
                if each == RESET:  # close(2) with nothing to linger for sends RST
                    linger = struct.pack("ii", 1, 0)
                    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                await stream.aclose()
                return
            data = each if isinstance(each, bytes) else encode(each, Version.MQTT_5_0)
            await stream.send_all(data)


@pytest.fixture
def broker() -> FakeBroker:
    """Serve it with `serve_broker`."""
    return FakeBroker()


async def serve_broker(nursery: trio.Nursery, broker: FakeBroker) -> str:
    """Serve on a free port; the URL."""
    start = partial(trio.serve_tcp, broker.serve, 0, host="127.0.0.1")
    listeners = await nursery.start(start)
    return f"mqtt://127.0.0.1:{listeners[0].socket.getsockname()[1]}"


async def run_load(url: str, **settings: object) -> Course:
    """A short load of two clients, from its first connection to its end."""
    given = {"seconds": 0.1, "warm_up": 0.0, "timeout": 0.5, **settings}
    plan = make_plan(url, **given)
    load = MQTTLoad(plan, make_connector(plan))
    with trio.fail_after(PATIENCE):
        await load.run()
    return load.course
