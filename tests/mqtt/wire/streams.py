"""Streams of packets for tests: whole ones, and ways to cut them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from speedo_trio.errors import MQTTError
from speedo_trio.mqtt.wire.fields import write_variable
from speedo_trio.mqtt.wire.packets import Packet
from speedo_trio.mqtt.wire.reader import PacketReader


class Outcome(NamedTuple):
    """What feeding some chunks to a reader comes to."""

    packets: list[Packet]
    error: tuple[type[MQTTError], str, int] | None
    buffered: int


def outcome(reader: PacketReader, chunks: Iterable[bytes]) -> Outcome:
    """Feed the chunks up to the first error."""
    packets: list[Packet] = []
    for chunk in chunks:
        try:
            # Not extend(list(...)), which would lose the packets before an error.
            packets.extend(packet for packet in reader.feed(chunk))
        except MQTTError as error:
            return Outcome(packets, (type(error), str(error), error.reason), reader.buffered)
    return Outcome(packets, None, reader.buffered)


def each_byte(data: bytes) -> list[bytes]:
    """Cut data into single bytes."""
    return [bytes([byte]) for byte in data]


def cut(data: bytes, places: Iterable[int]) -> Iterator[bytes]:
    """Cut data at the places."""
    start = 0
    for place in sorted(min(place, len(data)) for place in places):
        yield data[start:place]
        start = place
    yield data[start:]


def with_length(head: int, body: bytes) -> bytes:
    """A packet of its first byte and body."""
    return bytes((head,)) + write_variable(len(body)) + body


def whole(data: bytes) -> tuple[int, bytes]:
    """A packet's first byte and body; its length must be right."""
    start = next(end for end in range(2, 6) if data[end - 1] < 0x80)
    head, body = data[0], data[start:]
    assert data == with_length(head, body)
    return head, body
