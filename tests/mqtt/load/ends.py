"""Clients that publish, subscribe, or stall: each has a thread and a socket that blocks."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packets import (
    ConnAck,
    Packet,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
)
from speedo_trio.mqtt.wire.reader import PacketReader
from speedo_trio.mqtt.wire.versions import Version
from tests.mqtt.peers import connect_packet, subscribe_packet

V5 = Version.MQTT_5_0
LOOK = 0.05
"""Seconds after which a thread that waits for its socket sees whether it is to stop."""


class End:
    """A client with a thread, for a ``with``; what ends the thread too early is raised there."""

    def __init__(self, port: int, client_id: str, receive_buffer: int | None = None) -> None:
        self._socket = socket.socket()
        if receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(10)
        self._socket.connect(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = PacketReader(V5)
        self._packets: deque[Packet] = deque()
        self._error: BaseException | None = None
        self.stopped = threading.Event()
        self._thread = threading.Thread(target=self._guarded, daemon=True)
        self.send(connect_packet(client_id, None, 0, V5))
        assert isinstance(self._answer(), ConnAck)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._socket.close()

    def stop(self) -> None:
        """Let the thread end, and wait for that."""
        self.stopped.set()
        self._thread.join(20)
        if self._error is not None:
            raise self._error
        assert not self._thread.is_alive()

    def send(self, *packets: Packet) -> None:
        """Send packets, all at once."""
        self._socket.sendall(b"".join(encode(each, V5) for each in packets))

    def subscribe(self, topic: str, qos: int) -> None:
        """Subscribe; before the thread starts."""
        self.send(subscribe_packet((topic,), qos))
        assert isinstance(self._answer(), SubAck)

    def run(self) -> None:
        """What the thread does."""

    def arrived(self) -> list[Packet]:
        """The packets that have come by now, or soon do."""
        self._socket.settimeout(LOOK)
        try:
            data = self._socket.recv(65_536)
        except TimeoutError:
            return []
        finally:
            self._socket.settimeout(10)
        if not data:
            raise ConnectionError("the broker has ended the connection")
        return [*self._reader.feed(data)]

    def _answer(self) -> Packet:
        while not self._packets:
            self._packets.extend(self._reader.feed(self._socket.recv(65_536)))
        return self._packets.popleft()

    def _guarded(self) -> None:
        try:
            self.run()
        except BaseException as error:  # noqa: BLE001  # for who waits for the thread
            self._error = error


class Subscriber(End):
    """Takes what comes, no faster than it may, and counts it."""

    def __init__(
        self, port: int, client_id: str, topic: str, qos: int, *, most_a_second: float = 1e9
    ) -> None:
        super().__init__(port, client_id)
        self._rate = most_a_second
        self.delivered = 0
        self.out_of_order = 0
        self.latencies: list[float] = []
        """Seconds from the publishing to the delivery of each message."""
        self.subscribe(topic, qos)

    def run(self) -> None:
        begun = time.perf_counter()
        last = -1
        while not self.stopped.is_set():
            for packet in self.arrived():
                if isinstance(packet, Publish):
                    number, sent = packet.payload.split(b" ")[:2]
                    self.latencies.append(time.perf_counter() - float(sent))
                    self.out_of_order += int(number) <= last
                    last = int(number)
                    self._take(packet)
                    early = begun + self.delivered / self._rate - time.perf_counter()
                    if early > 0.002:
                        time.sleep(early)
                else:
                    assert isinstance(packet, PubRel), packet
                    self.send(PubComp(packet.packet_id))

    def _take(self, packet: Publish) -> None:
        self.delivered += 1
        if packet.qos == 1:
            self.send(PubAck(packet.packet_id))
        elif packet.qos == 2:
            self.send(PubRec(packet.packet_id))


class Publisher(End):
    """Publishes numbered messages, with so many on their way at most, no faster than it may."""

    def __init__(
        self,
        port: int,
        client_id: str,
        topic: str,
        qos: int,
        *,
        size: int = 64,
        window: int = 100,
        rate: float = 1e9,
    ) -> None:
        super().__init__(port, client_id)
        self._topic, self._qos = topic.encode(), qos
        self._size, self._window, self._rate = size, window, rate
        self._unfinished: set[int] = set()
        self.sent = 0
        self.acknowledged = 0
        """Messages of which the broker has said that it has them."""
        self.refused = 0
        self.waits: list[float] = []
        """Seconds from publishing to that, of each."""
        self._sent_at: dict[int, float] = {}

    def run(self) -> None:
        begun = time.perf_counter()
        while not self.stopped.is_set():
            due = int((time.perf_counter() - begun) * self._rate) + 1 - self.sent
            free = self._window - len(self._unfinished)
            batch = [self._message() for _ in range(min(due, free, 50))]
            if batch:
                self.send(*batch)
            if self._qos:
                self._hear()
            elif not batch:
                time.sleep(0.0005)
        ends = time.perf_counter() + 20
        while self._unfinished and time.perf_counter() < ends:
            self._hear()

    def _message(self) -> Publish:
        now = time.perf_counter()
        payload = b"%d %f " % (self.sent, now)
        packet_id = self.sent % 65_535 + 1 if self._qos else 0
        self.sent += 1
        if self._qos:
            self._unfinished.add(packet_id)
            self._sent_at[packet_id] = now
        return Publish(self._topic, payload.ljust(self._size, b"x"), self._qos, packet_id=packet_id)

    def _hear(self) -> None:
        for packet in self.arrived():
            match packet:
                case PubAck() | PubRec():
                    now = time.perf_counter()
                    self.waits.append(now - self._sent_at.pop(packet.packet_id))
                    refused = packet.reason >= 0x80
                    self.refused += refused
                    self.acknowledged += not refused
                    if isinstance(packet, PubRec) and not refused:
                        self.send(PubRel(packet.packet_id))
                    else:
                        self._unfinished.discard(packet.packet_id)
                case PubComp():
                    self._unfinished.discard(packet.packet_id)
                case _:
                    raise AssertionError(packet)


@contextmanager
def stalled(port: int, count: int, topic: str, qos: int) -> Iterator[None]:
    """So many clients that subscribe and then read nothing, for the block."""
    ends: list[End] = []
    try:
        for number in range(count):
            ends.append(End(port, f"stalled-{number}", 4096))
            ends[-1].subscribe(topic, qos)
        yield
    finally:
        for end in ends:
            end._socket.close()  # its thread never began


def sampled(seconds: float, look: Callable[[], object]) -> None:
    """Look again and again for so long."""
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends:
        look()
        time.sleep(LOOK)
