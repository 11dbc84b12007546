"""A subscriber of the load: it compares all that comes.

Next: `speedo_trio.cli.bench.mqtt.load`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from speedo_trio.cli.bench.failure import Failure, Kind
from speedo_trio.cli.bench.mqtt.numbers import Arrival
from speedo_trio.cli.bench.mqtt.peer import Peer
from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packets import (
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionOptions,
)

if TYPE_CHECKING:
    from speedo_trio.cli.bench.mqtt.bout import Bout, Source
    from speedo_trio.cli.bench.mqtt.numbers import Numbers
    from speedo_trio.mqtt.wire.packets import ConnAck, Packet


class Subscriber(Peer):
    """Has one subscription."""

    def __init__(self, number: int, bout: Bout, numbers: list[Numbers]) -> None:
        """Make one.

        Args:
            number: which subscriber of the load it is, from 0.
            bout: what it shares with the others.
            numbers: what has come of each publisher; of all subscribers if they share.
        """
        super().__init__(f"{bout.shape.run}-s-{number}", bout)
        self._filter = bout.shape.topic_filter(number)
        self._numbers = numbers

    async def greet(self, accepted: ConnAck) -> None:
        subscribe = Subscribe(1, [(self._filter, SubscriptionOptions(self.bout.qos))])
        answer = await self._ask(encode(subscribe, self.bout.version))
        if not isinstance(answer, SubAck) or answer.reasons != [self.bout.qos]:
            raise Failure(Kind.REFUSED, f"SUBSCRIBE of {self.name} was answered with {answer}")

    def room(self) -> None:
        """It has nothing more to send."""

    def take(self, packets: list[Packet], now: int) -> None:
        answers: list[bytes] = []
        touched: dict[Source, None] = {}
        for packet in packets:
            match packet:
                case Publish():
                    self._compare(packet, now, touched)
                    if packet.qos:
                        answer = (PubAck if packet.qos == 1 else PubRec)(packet.packet_id)
                        answers.append(encode(answer, self.bout.version))
                case PubRel() if self.bout.qos == 2:
                    answers.append(encode(PubComp(packet.packet_id), self.bout.version))
                case _:
                    self.unexpected(packet)
                    return
        if answers:
            self.send(b"".join(answers))
        for publisher in touched:
            publisher.fill()

    def _compare(self, message: Publish, now: int, touched: dict[Source, None]) -> None:
        bout = self.bout
        stamp = bout.payloads.read(message.payload)
        publisher = None
        if stamp is not None and stamp.publisher < len(bout.publishers):
            publisher = bout.publishers[stamp.publisher]
        if stamp is None or publisher is None or not 0 < stamp.number <= publisher.published:
            bout.fault(Kind.WRONG, f"{self.name} was sent what nobody published")
            return
        bout.tally.latest = now
        bout.tally.volume.replies += 1
        bout.tally.latencies.record(now - stamp.sent)
        numbers = self._numbers[stamp.publisher]
        arrival = numbers.take(stamp.number)
        if arrival is Arrival.TWICE:
            bout.fault(Kind.TWICE, self._tell(stamp.number, stamp.publisher, "came twice"))
            return
        if arrival is Arrival.LATE and not bout.shape.shared:
            latest = f"came after {numbers.latest}"
            bout.fault(Kind.DISORDER, self._tell(stamp.number, stamp.publisher, latest))
        publisher.delivered += 1
        touched[publisher] = None

    def _tell(self, number: int, publisher: int, what: str) -> str:
        return f"message {number} of publisher {publisher} {what} to {self.name}"
