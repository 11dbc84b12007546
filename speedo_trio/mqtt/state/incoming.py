"""The incoming side of a session: what its client has published and not brought to its end.

Next: `speedo_trio.mqtt.state.session`.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from speedo_trio.errors import MQTTError
from speedo_trio.mqtt.state.aliases import AliasesIn
from speedo_trio.mqtt.wire.reason_codes import ReasonCode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Arrival(Enum):
    """What a PUBLISH with QoS 1 or 2 is."""

    NEW = auto()
    """A message: publish it, then `Incoming.hold` it if it has QoS 2, and answer."""
    HELD = auto()
    """One that was published already: only answer it again [MQTT-4.3.3-10]."""
    IN_USE = auto()
    """It has the identifier of another exchange that is not at its end."""


class Incoming:
    """The identifiers of QoS 2 messages, from PUBLISH to PUBREL, also across connections.

    They are the client's; those that the server gives are a space of their own [MQTT-2.2.1-4].
    There are 65,535 at most. QoS 1 needs no memory: it is answered before the next packet is
    looked at.
    """

    __slots__ = ("_most", "_unfinished", "aliases", "held")

    def __init__(self) -> None:
        self.held: set[int] = set()
        """Identifiers of messages that were published, and whose PUBREL has not come."""
        self._unfinished: set[int] = set()  # those whose PUBLISH came by this connection
        self._most = 0
        self.aliases: AliasesIn = AliasesIn(0)
        """Those of this connection."""

    def attach(self, receive_maximum: int, topic_alias_maximum: int) -> None:
        """A connection has come, whose client was told these."""
        self._unfinished.clear()
        self._most = receive_maximum
        self.aliases = AliasesIn(topic_alias_maximum)

    def detach(self) -> None:
        """The connection has gone."""
        self.attach(0, 0)

    def arrive(self, packet_id: int, qos: int) -> Arrival:
        """Take note of a PUBLISH with QoS 1 or 2.

        Raises:
            MQTTError: More are not at their end than the client was told that it may have.
        """
        held = packet_id in self.held
        if qos == 1 and held:
            return Arrival.IN_USE  # [MQTT-2.2.1-3]
        if packet_id not in self._unfinished:
            if len(self._unfinished) >= self._most:  # [MQTT-3.3.4-7]
                raise MQTTError(
                    f"PUBLISH while {len(self._unfinished)} are not at their end; allowed are "
                    f"{self._most}",
                    ReasonCode.RECEIVE_MAXIMUM_EXCEEDED,
                )
            if held:
                self._unfinished.add(packet_id)
        return Arrival.HELD if held else Arrival.NEW  # of QoS 1 each is new [MQTT-4.3.2-5]

    def hold(self, packet_id: int) -> None:
        """A QoS 2 message was published: its identifier is held until PUBREL [MQTT-4.3.3-10]."""
        self.held.add(packet_id)
        self._unfinished.add(packet_id)

    def takes_run(self, packet_ids: Sequence[int], qos: int) -> bool:
        """Whether `arrive` would call each of several new ones NEW, one held after the other."""
        if not self.held.isdisjoint(packet_ids):
            return False
        if qos == 1:
            return len(self._unfinished) < self._most
        several = len(packet_ids)
        return len(self._unfinished) + several <= self._most and len({*packet_ids}) == several

    def hold_run(self, packet_ids: Iterable[int]) -> None:
        """`hold` for several."""
        self.held.update(packet_ids)
        self._unfinished.update(packet_ids)

    def release_run(self, packet_ids: Iterable[int]) -> int:
        """`release` for the first ones that are held; how many those were."""
        number = 0
        for packet_id in packet_ids:
            if not self.release(packet_id):
                break
            number += 1
        return number

    def release(self, packet_id: int) -> bool:
        """PUBREL has come [MQTT-4.3.3-12]; whether the identifier was held."""
        if packet_id not in self.held:
            return False
        self.held.discard(packet_id)
        self._unfinished.discard(packet_id)
        return True
