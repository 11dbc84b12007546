"""What a store costs MQTT: QoS 1 with sessions that stay, with a store and without.

    python -m benchmarks.durable

A server in a process of its own, a load of several publishers and subscribers in this one. Clients
speak MQTT 3.1.1 and don't clean their sessions. "there": each publisher has a subscriber that
acknowledges at once. "away": the subscribers are away, so that all of it is queued. "taken": they
come back, and take it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import trio
from attrs import define

from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packets import Connect, Subscribe, SubscriptionOptions
from speedo_trio.mqtt.wire.versions import Version

_V3 = Version.MQTT_3_1_1
_SETTINGS = ("none", "process", "power")


class Server:
    """A server in a process."""

    def __init__(self, durability: str, folder: str, queue: int) -> None:
        store = Path(folder, "mqtt.db")
        arguments = ["--bind", "tcp://127.0.0.1:0", "--mqtt.queue-messages", str(queue)]
        arguments += ["--mqtt.queue-bytes", str(1 << 30)]
        if durability != "none":
            arguments += ["--mqtt.store.path", str(store), "--mqtt.store.durability", durability]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "speedo_trio", "serve", "mqtt", *arguments],
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        found = re.search(rb":(\d+)\s*$", self._process.stdout.readline())
        assert found is not None
        self.port = int(found[1])

    def end(self) -> None:
        """Stop it."""
        self._process.terminate()
        self._process.wait()


@define(eq=False)
class Client:
    """One client, that sends and receives frames of one length."""

    stream: trio.SocketStream
    name: str
    rest: bytes = b""
    count: int = 0

    @classmethod
    async def connect(cls, port: int, name: str) -> Client:
        """Connect with a session that stays."""
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        connect = Connect(client_id=name, version=_V3, clean_start=False)
        await stream.send_all(encode(connect, _V3))
        client = cls(stream, name)
        await client.exactly(4)
        return client

    async def exactly(self, count: int) -> bytes:
        """So many bytes."""
        while len(self.rest) < count:
            data = await self.stream.receive_some(65_536)
            assert data, self.name
            self.rest += data
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken

    async def subscribe(self, topic: str) -> None:
        """Subscribe with QoS 1."""
        await self.stream.send_all(
            encode(Subscribe(1, [(topic.encode(), SubscriptionOptions(1))]), _V3)
        )
        await self.exactly(5)

    async def publish(self, topic: str, payload: int, messages: int, window: int) -> None:
        """Publish so many messages, a window of them unacknowledged."""
        body = len(topic).to_bytes(2) + topic.encode() + b"\0\0" + bytes(payload)
        frame = bytes((0x32, len(body))) + body
        at = 4 + len(topic)
        sent = acknowledged = 0
        while acknowledged < messages:
            fresh = min(window - (sent - acknowledged), messages - sent)
            if fresh:
                frames = bytearray(frame * fresh)
                ids = [(sent + index) % 65_535 + 1 for index in range(fresh)]
                frames[at :: len(frame)] = bytes(each >> 8 for each in ids)
                frames[at + 1 :: len(frame)] = bytes(each & 255 for each in ids)
                sent += fresh
                await self.stream.send_all(frames)
            data = self.rest + await self.stream.receive_some(65_536)
            whole = len(data) // 4
            acknowledged += whole
            self.rest = data[whole * 4 :]

    async def take(self, topic: str, payload: int, messages: int) -> None:
        """Take and acknowledge so many."""
        size, at = 6 + len(topic) + payload, 4 + len(topic)
        while self.count < messages:
            data = self.rest
            if len(data) < size:
                data += await self.stream.receive_some(65_536)
            whole = len(data) // size
            self.count += whole
            self.rest = data[whole * size :]
            if whole:
                data = data[: whole * size]
                answers = bytearray(b"\x40\x02\0\0" * whole)
                answers[2::4], answers[3::4] = data[at::size], data[at + 1 :: size]
                await self.stream.send_all(answers)


@define
class Load:
    """How much of what."""

    pairs: int
    messages: int
    payload: int
    window: int

    def topic(self, number: int) -> str:
        """The topic of a pair."""
        return f"load/{number}"

    async def connect(self, port: int, kind: str) -> list[Client]:
        """All clients of a kind."""
        return [await Client.connect(port, f"{kind} {each}") for each in range(self.pairs)]

    async def measure(self, port: int) -> dict[str, float]:
        """Messages a second, by what is done."""
        takers = await self.connect(port, "taker")
        for number, taker in enumerate(takers):
            await taker.subscribe(self.topic(number))
        publishers = await self.connect(port, "publisher")
        rates = {"there": await self.run(publishers, takers)}
        for taker in takers:
            await taker.stream.aclose()
        await trio.sleep(0.2)
        rates["away"] = await self.run(publishers, [])
        began = time.perf_counter()
        takers = await self.connect(port, "taker")
        rates["taken"] = await self.run([], takers, began)
        for each in (*takers, *publishers):
            await each.stream.aclose()
        return rates

    async def run(
        self, publishers: list[Client], takers: list[Client], began: float | None = None
    ) -> float:
        """Messages a second."""
        began = time.perf_counter() if began is None else began
        async with trio.open_nursery() as nursery:
            for number, each in enumerate(publishers):
                nursery.start_soon(
                    each.publish, self.topic(number), self.payload, self.messages, self.window
                )
            for number, each in enumerate(takers):
                nursery.start_soon(each.take, self.topic(number), self.payload, self.messages)
        return self.pairs * self.messages / (time.perf_counter() - began)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--payload", type=int, default=64)
    parser.add_argument("--window", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", default=None, help="where the store is, for its disk")
    parser.add_argument("--durability", choices=_SETTINGS, action="append")
    given = parser.parse_args()
    load = Load(given.pairs, given.messages, given.payload, given.window)
    print(f"{'store':8} {'there':>8} {'away':>8} {'taken':>8}   messages a second")
    for turn in range(given.rounds):
        for durability in given.durability or _SETTINGS:
            with tempfile.TemporaryDirectory(dir=given.folder) as folder:
                server = Server(durability, folder, given.messages + 1000)
                try:
                    rates = trio.run(load.measure, server.port)
                finally:
                    server.end()
            figures = " ".join(f"{rates[each]:8.0f}" for each in ("there", "away", "taken"))
            print(f"{durability:8} {figures}   round {turn + 1}", flush=True)


if __name__ == "__main__":
    main()
