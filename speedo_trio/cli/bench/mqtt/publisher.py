"""A publisher of the load: it keeps its window full.

Next: `speedo_trio.cli.bench.mqtt.subscriber`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from speedo_trio.cli.bench.mqtt.peer import Peer
from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packets import PubAck, PubComp, Publish, PubRec, PubRel
from speedo_trio.mqtt.wire.reason_codes import ReasonCode

if TYPE_CHECKING:
    from speedo_trio.cli.bench.mqtt.bout import Bout
    from speedo_trio.mqtt.wire.packets import ConnAck, Packet

_MOST_IDS = 65_535


class Publisher(Peer):
    """Publishes the next message when all copies of one have come."""

    def __init__(self, number: int, bout: Bout) -> None:
        """Args: which publisher of the load it is, from 0; what it shares with the others."""
        super().__init__(f"{bout.shape.run}-p-{number}", bout)
        self._number = number
        self._topic = bout.shape.topic(number)
        self._copies = bout.shape.copies
        self._quota = _MOST_IDS  # what the broker takes before it has acknowledged
        self._taken: set[int] = set()  # packet identifiers that are on their way
        self._last_id = 0
        self.published: int = 0
        """Messages; the last one has this number."""
        self.delivered: int = 0
        """Copies that have come, none of them twice."""

    @property
    def owed(self) -> int:
        """Copies that have not come."""
        return self.published * self._copies - self.delivered

    @property
    def pending(self) -> int:
        """Messages that are not acknowledged."""
        return len(self._taken)

    async def greet(self, accepted: ConnAck) -> None:
        if accepted.properties is not None and accepted.properties.receive_maximum is not None:
            self._quota = accepted.properties.receive_maximum

    def fill(self) -> None:
        """Publish what the window has room for."""
        if self.bout.course.ending or self.sending:
            return
        on_their_way = -(-self.owed // self._copies)
        room = self.bout.plan.window - on_their_way
        if self.bout.qos:
            room = min(room, self._quota - len(self._taken))
        if room > 0:
            self.bout.tally.volume.requests += room
            self.send(b"".join([self._message(self.bout.now()) for _ in range(room)]))

    def room(self) -> None:
        self.fill()

    def take(self, packets: list[Packet], now: int) -> None:
        answers = b""
        for packet in packets:
            match packet:
                case PubAck() if self.bout.qos == 1 and packet.packet_id in self._taken:
                    self._settle(packet)
                case PubRec() if self.bout.qos == 2 and packet.packet_id in self._taken:
                    answers += encode(PubRel(packet.packet_id), self.bout.version)
                    self._check(packet)
                case PubComp() if self.bout.qos == 2 and packet.packet_id in self._taken:
                    self._settle(packet)
                case _:
                    self.unexpected(packet)
                    return
        if answers:
            self.send(answers)
        self.fill()

    def _settle(self, packet: PubAck | PubComp) -> None:
        self._taken.discard(packet.packet_id)
        self._check(packet)

    def _check(self, packet: PubAck | PubRec | PubComp) -> None:
        if packet.reason >= ReasonCode.UNSPECIFIED_ERROR:
            self.unexpected(packet)

    def _message(self, now: int) -> bytes:
        self.published += 1
        payload = self.bout.payloads.make(now, self._number, self.published)
        packet_id = self._next_id() if self.bout.qos else 0
        message = Publish(self._topic, payload, qos=self.bout.qos, packet_id=packet_id)
        return encode(message, self.bout.version)

    def _next_id(self) -> int:
        """One that isn't on its way."""
        while True:
            self._last_id = self._last_id % _MOST_IDS + 1
            if self._last_id not in self._taken:
                self._taken.add(self._last_id)
                return self._last_id
