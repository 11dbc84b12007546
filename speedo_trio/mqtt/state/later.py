"""Later: packets of a client that wait for their turn, for room or for a verdict.

Next: `speedo_trio.mqtt.state.outgoing`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Self

from speedo_trio.mqtt.wire.packets import Disconnect, Publish, Subscribe, Unsubscribe
from speedo_trio.mqtt.wire.properties import size_of
from speedo_trio.mqtt.wire.reason_codes import ReasonCode

if TYPE_CHECKING:
    from speedo_trio.mqtt.wire.packets import Packet

MOST_PACKETS: Final = 2000
"""Twice what a client of 5.0 may have on its way by the default receive maximum."""
MOST_BYTES: Final = 1_048_576
"""Bytes of topics, payloads, filters and properties; what was read together may be on top."""
_FILTER_BYTES: Final = 100
"""What a filter takes beside its bytes."""


class Later:
    """Packets in order, taken by iterating. More may come when an iteration has ended."""

    __slots__ = ("_bytes", "_packets")

    def __init__(self) -> None:
        self._packets: deque[Packet] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._packets)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Packet:
        if not self._packets:
            raise StopIteration
        packet = self._packets.popleft()
        self._bytes -= _size(packet)
        return packet

    @property
    def full(self) -> bool:
        """Whether no more should be read."""
        return len(self._packets) >= MOST_PACKETS or self._bytes >= MOST_BYTES

    @property
    def ends_well(self) -> bool:
        """Whether the client has said that its will is not to be published."""
        last = self._packets[-1] if self._packets else None
        return isinstance(last, Disconnect) and last.reason is ReasonCode.NORMAL_DISCONNECTION

    def put(self, packet: Packet) -> None:
        """Let a packet wait."""
        self._packets.append(packet)
        self._bytes += _size(packet)


def _size(packet: Packet) -> int:
    size = size_of(getattr(packet, "properties", None))
    match packet:
        case Publish():
            return size + len(packet.topic) + len(packet.payload)
        case Subscribe():
            return size + sum(_FILTER_BYTES + len(each) for each, _ in packet.subscriptions)
        case Unsubscribe():
            return size + sum(_FILTER_BYTES + len(each) for each in packet.filters)
    return size
