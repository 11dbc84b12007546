"""What MQTT's sessions cost a message, without sockets: `python -m benchmarks.sessions`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from benchmarks.machine import this_machine
from benchmarks.table import table
from speedo_trio.broker.core import BrokerCore
from speedo_trio.broker.limits import BrokerLimits
from speedo_trio.mqtt.hub import BrokerHub, BrokerSession
from speedo_trio.mqtt.state.capabilities import Capabilities
from speedo_trio.mqtt.state.client import Client
from speedo_trio.mqtt.state.sessions import Sessions
from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.packets import Connect, Publish, Subscribe, SubscriptionOptions
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.publish import encode_answers
from speedo_trio.mqtt.wire.reader import PacketReader
from speedo_trio.mqtt.wire.versions import Version

if TYPE_CHECKING:
    from speedo_trio.mqtt.wire.reason_codes import ReasonCode

ROUNDS = 7
"""The best of so many is taken: the others were disturbed."""
MESSAGES = 20_000
WINDOW = 50
"""Messages that are read together, and acknowledged together."""


class Line:
    """Takes frames, as a mailbox does."""

    def __init__(self) -> None:
        self.congested = False
        self.sent = 0
        self.frames: list[bytes] = []
        self.answers: list[bytes] = []

    def put(self, frame: bytes) -> bool:
        self.frames.append(frame)
        return True

    def put_run(self, frames: bytes, number: int) -> None:
        self.frames.append(frames)

    def answer(self, frame: bytes) -> None:
        self.answers.append(frame)


class Outside:
    """A connection that is not to end."""

    def close(self, last: bytes, reason: ReasonCode, text: str) -> None:
        raise AssertionError(text)

    def overflowed(self) -> None:
        raise AssertionError("overflowed")

    def eased(self) -> None:
        raise AssertionError("nobody is held")


class Bench:
    """A publisher and subscribers, connected."""

    def __init__(
        self, qos: int, subscribers: int, version: Version, properties: Properties | None
    ) -> None:
        self.qos, self.version = qos, version
        capabilities = Capabilities()
        hub = BrokerHub(BrokerCore(BrokerLimits()))
        self.sessions = Sessions(capabilities, hub, make=BrokerSession.make)
        self.capabilities = capabilities
        self.publisher, _ = self._client("publisher")
        self.subscribers = [self._client(f"subscriber-{each}") for each in range(subscribers)]
        for client, line in self.subscribers:
            client.receive(Subscribe(1, [(b"bench/+", SubscriptionOptions(qos))]), 0)
            line.answers.clear()
        packets = (
            Publish(
                b"bench/topic",
                bytes(64),
                qos,
                packet_id=each + 1 if qos else 0,
                properties=properties,
            )
            for each in range(WINDOW)
        )
        self.data = b"".join(encode(each, version) for each in packets)
        self.pubrels = encode_answers(
            PacketType.PUBREL, [(each + 1).to_bytes(2) for each in range(WINDOW)]
        )

    def _client(self, client_id: str) -> tuple[Client, Line]:
        line = Line()
        client = Client(self.capabilities, self.sessions, line, Outside(), now=0)
        connect = Connect(client_id=client_id, version=self.version)
        client.receive_data(encode(connect, self.version), 0)
        return client, line

    def run(self) -> float:
        """Microseconds for each message."""
        spent = 0.0
        for _ in range(MESSAGES // WINDOW):
            began = time.perf_counter()
            self.publisher.receive_data(self.data, 1.0)
            if self.qos == 2:
                self.publisher.receive_data(self.pubrels, 1.0)
            spent += time.perf_counter() - began
            for client, line in self.subscribers:
                spent += self._acknowledge(client, line)
        return spent / MESSAGES * 1e6

    def _acknowledge(self, client: Client, line: Line) -> float:
        frames, line.frames = line.frames, []
        line.answers.clear()
        if not self.qos:
            return 0.0
        spent = 0.0
        for kind in (
            (PacketType.PUBACK,) if self.qos == 1 else (PacketType.PUBREC, PacketType.PUBCOMP)
        ):
            ids = [each.packet_id.to_bytes(2) for each in _publishes(frames, self.version)]
            data = encode_answers(kind, ids)
            began = time.perf_counter()
            client.receive_data(data, 1.0)
            spent += time.perf_counter() - began
            line.answers.clear()
        return spent


def _publishes(frames: list[bytes], version: Version) -> list[Any]:
    return [*PacketReader(version).feed(b"".join(frames))]


def main() -> None:
    """Measure and print."""
    print(f"{str(this_machine([])).rstrip(': ')}\nBest of {ROUNDS} rounds.\n")
    rows = []
    for version in (Version.MQTT_3_1_1, Version.MQTT_5_0):
        for qos in (0, 1, 2):
            for subscribers in (1, 20):
                bench = Bench(qos, subscribers, version, None)
                best = min(bench.run() for _ in range(ROUNDS))
                rows.append(
                    (version.name, str(qos), str(subscribers), f"{best:.2f}", f"{1e6 / best:,.0f}")
                )
    properties = Properties(
        content_type="text/plain", message_expiry_interval=60, user=(("a", "b"),)
    )
    bench = Bench(0, 1, Version.MQTT_5_0, properties)
    best = min(bench.run() for _ in range(ROUNDS))
    rows.append(("MQTT_5_0, properties", "0", "1", f"{best:.2f}", f"{1e6 / best:,.0f}"))
    print(table(("version", "QoS", "subscribers", "µs", "messages/s"), rows))


if __name__ == "__main__":
    main()
