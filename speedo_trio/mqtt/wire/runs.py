"""Runs: packets of one kind that came one right behind the other, for who can do them together.

What is the same for all of them is then done once: a run of a hundred costs a third of as many
packets. A run says the same as the packets that it gives when it is iterated.

Next: `speedo_trio.mqtt.wire.reader`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from attrs import define

from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.packets import PubAck, PubComp, Publish, PubRec, PubRel
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.versions import Version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from speedo_trio.mqtt.wire.packets import Packet

MOST_RUN: Final = 256
"""Packets of a run: enough to be quick, and a millisecond at most for a few subscribers."""

ANSWERS: Final[dict[PacketType, Callable[[int, ReasonCode, None], Packet]]] = {
    PacketType.PUBACK: PubAck,
    PacketType.PUBREC: PubRec,
    PacketType.PUBREL: PubRel,
    PacketType.PUBCOMP: PubComp,
}


class PublishRun:
    """PUBLISHes to one topic with one QoS: no properties, not to be retained, none sent again.

    There are two at least, and `MOST_RUN` at most.
    """

    __slots__ = (
        "_data",
        "_ends",
        "_id_bytes",
        "_names",
        "_payloads",
        "_start",
        "qos",
        "topic",
        "version",
    )

    def __init__(
        self,
        topic: bytes,
        qos: int,
        version: Version,
        data: bytes,
        start: int,
        names: list[int],
        ends: list[int],
    ) -> None:
        """Packets that have been checked.

        Args:
            topic: A topic name that has been checked.
            qos: That of each.
            version: What they are encoded for.
            data: Bytes that hold the packets.
            start: Where in them the first packet begins.
            names: Where the topic name of each ends.
            ends: Where each packet ends, and the next one begins.
        """
        self.topic: Final = topic
        self.qos: Final = qos
        self.version: Final = version
        self._data = data
        self._start = start
        self._names = names
        self._ends = ends
        self._payloads: list[bytes] | None = None
        self._id_bytes: list[bytes] | None = None

    def __len__(self) -> int:
        return len(self._ends)

    def __iter__(self) -> Iterator[Publish]:
        raws: Sequence[bytes | None] = [None] * len(self)
        if not self.qos:
            starts = (self._start, *self._ends)
            raws = [self._data[at:end] for at, end in zip(starts, self._ends, strict=False)]
        packet_ids = self.packet_ids if self.qos else [0] * len(self)
        for packet_id, payload, raw in zip(packet_ids, self.payloads, raws, strict=True):
            yield Publish(self.topic, payload, self.qos, False, False, packet_id, None, raw)

    @property
    def raw(self) -> bytes:
        """The packets' own bytes."""
        return self._data[self._start : self._ends[-1]]

    @property
    def end(self) -> int:
        """Where the last one ends in the data."""
        return self._ends[-1]

    @property
    def size(self) -> int:
        """The bytes of all packets."""
        return self._ends[-1] - self._start

    @property
    def payloads(self) -> list[bytes]:
        """That of each."""
        payloads = self._payloads
        if payloads is None:
            data, skipped = self._data, 2 * bool(self.qos) + (self.version is Version.MQTT_5_0)
            places = zip(self._names, self._ends, strict=True)
            payloads = self._payloads = [data[at + skipped : end] for at, end in places]
        return payloads

    @property
    def id_bytes(self) -> list[bytes]:
        """The packet identifier of each, in two bytes; only with QoS 1 or 2."""
        id_bytes = self._id_bytes
        if id_bytes is None:
            data = self._data
            id_bytes = self._id_bytes = [data[at : at + 2] for at in self._names]
        return id_bytes

    @property
    def packet_ids(self) -> list[int]:
        """The packet identifier of each; only with QoS 1 or 2."""
        return [int.from_bytes(each) for each in self.id_bytes]


@define
class AnswerRun:
    """PUBACKs, PUBRECs, PUBRELs or PUBCOMPs that say success: two at least."""

    kind: PacketType
    packet_ids: Sequence[int]

    def __len__(self) -> int:
        return len(self.packet_ids)

    def __iter__(self) -> Iterator[Packet]:
        make = ANSWERS[self.kind]
        for packet_id in self.packet_ids:
            yield make(packet_id, ReasonCode.SUCCESS, None)

    def after(self, number: int) -> AnswerRun:
        """What is left without the first ones; it may be shorter than two."""
        return AnswerRun(self.kind, self.packet_ids[number:])


Run: TypeAlias = PublishRun | AnswerRun
