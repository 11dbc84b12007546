"""A durable session's two sides: they write down what changes, and are as before after a crash.

QoS 1 goes out at once: should the server crash before it is written down, then its publisher has
no answer and sends it again, and a subscriber may get it twice. With QoS 2 nobody may, so it goes
out when it is written down with its packet identifier.

Next: `speedo_trio.mqtt.state.session`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from speedo_trio.mqtt.state.flights import Step
from speedo_trio.mqtt.state.incoming import Incoming
from speedo_trio.mqtt.state.outgoing import Outgoing
from speedo_trio.mqtt.state.publication import MQTTPublication
from speedo_trio.mqtt.state.shelf import Shelf
from speedo_trio.mqtt.wire.packet_types import PacketType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from speedo_trio.mqtt.state.capabilities import Capabilities
    from speedo_trio.mqtt.state.crowd import Pressure
    from speedo_trio.mqtt.state.flights import Message
    from speedo_trio.mqtt.state.journal import Journal, SafeLine
    from speedo_trio.mqtt.state.line import Line
    from speedo_trio.mqtt.state.outgoing import Receiver
    from speedo_trio.mqtt.state.publication_run import PublicationRun
    from speedo_trio.pubsub.publication import Publication
    from speedo_trio.pubsub.subscriber import Terms


class ColdPublication(MQTTPublication):
    """In the place of a publication that is in flight, and whose body is only in the store."""

    __slots__ = ()


class DurableOutgoing(Outgoing):
    """What goes to one client, written down."""

    __slots__ = ("_cold", "_hold", "_journal", "_shelf")

    # As `Outgoing` has it. It is set here too, and not all checkers of types look there.
    expired: int

    def __init__(self, client_id: str, capabilities: Capabilities, journal: Journal) -> None:
        self._journal = journal
        self._hold: Callable[[], None] | None = None
        self._cold = False  # what is in flight has no bodies here
        super().__init__(client_id, capabilities)

    def attach(
        self,
        line: Line,
        receiver: Receiver,
        overflowed: Callable[[], None],
        pressure: Pressure | None = None,
    ) -> None:
        super().attach(line, receiver, overflowed, pressure)
        self._hold = cast("SafeLine", line).hold

    def detach(self) -> None:
        super().detach()
        self._hold = None

    def restore(
        self, flights: Iterable[tuple[int, Message]], released: Mapping[int, int], last_id: int
    ) -> None:
        """What was in flight before the server stopped, in its order.

        Args:
            flights: Packet identifiers and messages; of their publications only the number is true.
            released: The rows of those whose PUBREC has come, by packet identifier.
            last_id: The packet identifier that was given last, as far as that is known.
        """
        self._published.update(flights)
        self._released.update(released)
        self._last_id = last_id
        self._cold = bool(self._published)

    @property
    def shelf(self) -> Shelf:
        """What waits."""
        return self._shelf

    @property
    def cold_numbers(self) -> list[int]:
        """The numbers of the publications that are in flight and only in the store."""
        publications = [message[0] for message in self._published.values()]
        return [each.number for each in publications if isinstance(each, ColdPublication)]

    def warmed(self, publications: Mapping[int, MQTTPublication]) -> None:
        """The publications that are in flight have been read, by their numbers.

        One that isn't there was acknowledged just before the end. With QoS 2 its identifier stays
        until PUBREL has been sent, to the next connection.
        """
        self._cold = False
        for packet_id, message in list(self._published.items()):
            publication = message[0]
            if isinstance(publication, ColdPublication):
                found = publications.get(publication.number)
                if found is None:
                    del self._published[packet_id]
                    self._lack(packet_id, message)
                else:
                    self._published[packet_id] = (found, *message[1:])

    def _lack(self, packet_id: int, message: Message) -> None:
        if message[1] == 2:
            self._released[packet_id] = self._journal.received(message, packet_id)
        else:
            self._journal.drop(message)

    def sweep(self, now: float) -> None:
        """Drop what has waited for too long; what is only in the store a little later."""
        self.expired += self._shelf.sweep(now)

    def swept(self, messages: int, size: int, soonest: float | None) -> None:
        """As of `Shelf.swept`."""
        self.expired += messages
        self._shelf.swept(messages, size, soonest)

    def pump(self, now: float) -> bool:
        if self._cold and self._line is not None:
            self._journal.warm()
            return False
        return super().pump(now)

    def acknowledge(self, kind: PacketType, packet_id: int, *, refused: bool) -> Step:
        message, row = self._published.get(packet_id), self._released.get(packet_id, 0)
        step = super().acknowledge(kind, packet_id, refused=refused)
        if message is None:
            if step is Step.DONE:
                self._journal.complete(row)
        elif step is Step.DONE:
            self._journal.drop(message)
        elif step is Step.RELEASE:
            self._released[packet_id] = self._journal.received(message, packet_id)
        return step

    def acknowledge_run(self, kind: PacketType, packet_ids: Sequence[int]) -> int:
        if kind is PacketType.PUBCOMP:
            rows = [self._released.get(packet_id, 0) for packet_id in packet_ids]
            number = super().acknowledge_run(kind, packet_ids)
            for row in rows[:number]:
                self._journal.complete(row)
            return number
        messages = [self._published.get(packet_id) for packet_id in packet_ids]
        number = super().acknowledge_run(kind, packet_ids)
        done = cast("list[Message]", messages[:number])  # what is not there is not expected
        if kind is PacketType.PUBACK:
            self._journal.drop_run(done)
        else:
            for packet_id, message in zip(packet_ids, done, strict=False):
                self._released[packet_id] = self._journal.received(message, packet_id)
        return number

    def takes_run(self, run: PublicationRun, terms: Terms) -> bool:
        return not self._cold and super().takes_run(run, terms)

    def clear(self) -> None:
        for message in self._published.values():
            cold = isinstance(message[0], ColdPublication)
            if cold and message[1] == 1 and message[4] is not None:  # as of `orphans`
                self._journal.give_back(message)
                self._journal.leave_rows(shared=True)
            else:
                self._journal.drop(message)
        for row in self._released.values():
            self._journal.complete(row)
        super().clear()

    @property
    def orphans(self) -> list[tuple[bytes, Publication]]:
        """As before; they are copies, which are written down anew."""
        return [
            (topic_filter, _copy(each))
            for topic_filter, each in super().orphans
            if isinstance(each, MQTTPublication) and not isinstance(each, ColdPublication)
        ]

    def _make_backlog(self, capabilities: Capabilities) -> Shelf:
        self._shelf = Shelf(capabilities.queue, self._journal)
        return self._shelf

    def _may_send_again(self) -> bool:
        return not self._cold and super()._may_send_again()

    def _begin_run(
        self, messages: Sequence[Message], packet_ids: Sequence[int]
    ) -> Sequence[Message]:
        if messages[0][1] == 2 and self._hold is not None:
            kept = self._journal.enqueue_run(messages, packet_ids)
            self._hold()
            return kept
        return self._journal.enqueue_run(messages, packet_ids)

    def _send_first(self, message: Message, publication: MQTTPublication, waited: int) -> bool:
        packet_id = self.free_id()
        if message[5]:
            self._journal.send(message, packet_id)
        else:
            row = self._journal.enqueue(message, packet_id)
            _, qos, retain, identifiers, group, _ = message
            message = (publication, qos, retain, identifiers, group, row)
        if message[1] == 2 and self._hold is not None:
            self._hold()
        if super()._send_first(message, publication, waited):
            return True
        self._journal.drop(message)
        return False

    def _send_again(self, packet_id: int, now: float) -> None:
        message = self._published.get(packet_id)
        super()._send_again(packet_id, now)
        if message is not None and packet_id not in self._published:
            self._journal.drop(message)

    def _send_late(self, message: Message, now: float) -> None:
        publication = message[0]
        if message[5] and isinstance(publication, MQTTPublication):
            allowed = self.may_receive is None or self.may_receive(publication.topic)
            if not allowed or publication.expired(now):
                self._journal.drop(message)
        super()._send_late(message, now)


class DurableIncoming(Incoming):
    """The identifiers of QoS 2 messages, written down."""

    __slots__ = ("_journal",)

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    def hold(self, packet_id: int) -> None:
        super().hold(packet_id)
        self._journal.hold(packet_id)

    def hold_run(self, packet_ids: Iterable[int]) -> None:
        for packet_id in packet_ids:
            self.hold(packet_id)

    def release(self, packet_id: int) -> bool:
        held = super().release(packet_id)
        if held:
            self._journal.release(packet_id)
        return held


def _copy(publication: MQTTPublication) -> MQTTPublication:
    return MQTTPublication(
        publication.topic,
        publication.payload,
        publication.qos,
        publication.retain,
        publication.properties,
        publication.origin,
        publication.received_at,
    )
