"""Packets of MQTT from bytes and to bytes: `python -m benchmarks.mqtt_codec`."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from benchmarks.machine import this_machine
from benchmarks.table import table
from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.packets import PingReq, PubAck, Publish, Subscribe, SubscriptionOptions
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.publish import encode_answer, encode_publish, share_publish
from speedo_trio.mqtt.wire.reader import PacketReader
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.versions import Version

if TYPE_CHECKING:
    from collections.abc import Callable

    from speedo_trio.mqtt.wire.packets import Packet

CHUNK = 65_536
"""What a broker reads at most at a time."""
TIMES = 20_000
ROUNDS = 30
"""The best of so many is taken: the others were disturbed."""
TOPIC = b"site/7/line/12/heat"
PAYLOAD = bytes(64)
MANY_TOPICS = 1000

V4, V5 = Version.MQTT_3_1_1, Version.MQTT_5_0

EXPIRY = Properties(message_expiry_interval=60, content_type="text/plain", user=(("a", "b"),))
READ: dict[str, tuple[Version, list[Packet]]] = {
    "PUBLISH QoS 0, 3.1.1": (V4, [Publish(TOPIC, PAYLOAD)]),
    "PUBLISH QoS 0, 5.0": (V5, [Publish(TOPIC, PAYLOAD)]),
    "the same, 1 KiB": (V5, [Publish(TOPIC, bytes(1024))]),
    "the same, 1000 topics in turn": (
        V5,
        [Publish(b"%s/%d" % (TOPIC, number), PAYLOAD) for number in range(MANY_TOPICS)],
    ),
    "the same, 300 bytes of topic": (V5, [Publish(b"t" * 300, PAYLOAD)]),
    "the same, three properties": (V5, [Publish(TOPIC, PAYLOAD, properties=EXPIRY)]),
    "PUBLISH QoS 1, 3.1.1": (V4, [Publish(TOPIC, PAYLOAD, 1, packet_id=7)]),
    "PUBLISH QoS 1, 5.0": (V5, [Publish(TOPIC, PAYLOAD, 1, packet_id=7)]),
    "PUBACK": (V5, [PubAck(7)]),
    "PUBACK, a reason": (V5, [PubAck(7, ReasonCode.NO_MATCHING_SUBSCRIBERS)]),
    "SUBSCRIBE": (V5, [Subscribe(7, [(b"site/+/line/#", SubscriptionOptions(1))])]),
    "PINGREQ": (V5, [PingReq()]),
}
SHARED = share_publish(TOPIC, PAYLOAD)
WRITE: dict[str, Callable[[], bytes]] = {
    "PUBLISH QoS 0, 3.1.1": lambda: encode_publish(TOPIC, PAYLOAD, version=V4),
    "PUBLISH QoS 0, 5.0": lambda: encode_publish(TOPIC, PAYLOAD),
    "PUBLISH QoS 1, 5.0": lambda: encode_publish(TOPIC, PAYLOAD, 1, packet_id=7),
    "the same, shared by many": lambda: SHARED.packet(7, 1),
    "PUBACK": lambda: encode_answer(PacketType.PUBACK, 7),
    "PUBLISH as a packet": lambda: encode(Publish(TOPIC, PAYLOAD), V5),
    "the same, three properties": lambda: encode(Publish(TOPIC, PAYLOAD, properties=EXPIRY), V5),
    "PUBACK as a packet": lambda: encode(PubAck(7), V5),
}


def main() -> int:
    """Measure and print."""
    argparse.ArgumentParser(
        prog="python -m benchmarks.mqtt_codec", description=__doc__
    ).parse_args()
    print(f"{str(this_machine([])).rstrip(': ')}\nBest of {ROUNDS} rounds, one thread.\n")
    read = [(name, f"{decoded(*READ[name]):,.0f}") for name in READ]
    print(table((f"read, in chunks of {CHUNK // 1024} KiB", "packets/s"), read), end="\n\n")
    write = [(name, f"{encoded(WRITE[name]):,.0f}") for name in WRITE]
    print(table(("written", "packets/s"), write))
    return 0


def decoded(version: Version, packets: list[Packet]) -> float:
    """The packets that a reader makes of chunks full of them, a second."""
    one = b"".join(encode(packet, version) for packet in packets)
    times = max(1, CHUNK // len(one))
    count = times * len(packets)
    chunk = one * times
    reader = PacketReader(version, limit=1 << 20)
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        read = reader.feed(chunk)
        best = min(best, time.perf_counter() - began)
        assert len(list(read)) == count
    return count / best


def encoded(write: Callable[[], bytes]) -> float:
    """The packets that are made bytes, a second."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(TIMES):
            write()
        best = min(best, time.perf_counter() - began)
    return TIMES / best


if __name__ == "__main__":
    raise SystemExit(main())
