"""The outgoing side of a session: what goes to its client, with or without a connection.

QoS 0 goes out at once or not at all. QoS 1 and 2 go out as far as the client's quota and the line
allow; else they wait in the backlog, in one order. When a client is back, what was in flight is
sent again before anything new (section 4.4).

Next: `speedo_trio.mqtt.state.incoming`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from attrs import frozen

from speedo_trio.mqtt.state.aliases import AliasesOut
from speedo_trio.mqtt.state.backlog import Backlog
from speedo_trio.mqtt.state.crowd import Crowd, Pressure
from speedo_trio.mqtt.state.flights import STEPS, Message, Progress, Step
from speedo_trio.mqtt.state.publication import (
    FAMILIES,
    MQTTPublication,
    encode_3,
    encode_5,
    encode_message,
)
from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.publish import encode_answer
from speedo_trio.mqtt.wire.reader import MOST_PACKET_BYTES
from speedo_trio.mqtt.wire.versions import Version
from speedo_trio.pubsub.outbox import Put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from speedo_trio.mqtt.state.capabilities import Capabilities
    from speedo_trio.mqtt.state.line import Line
    from speedo_trio.mqtt.state.publication_run import PublicationRun
    from speedo_trio.mqtt.state.terms import MQTTTerms
    from speedo_trio.pubsub.publication import Publication
    from speedo_trio.pubsub.subscriber import Terms

MOST_IDS: Final = 65_535
"""Packet identifiers: 1 to this."""
RETAINED_TURN: Final = 100
"""Retained messages that are sent to one client before it is others' turn: 0.5 ms or so."""
RETAINED_BYTES: Final = 65_536
"""Their bytes; one more message may be on top."""


@frozen(kw_only=True)
class Receiver:
    """What a client is able to take, for as long as it is connected."""

    version: Version
    receive_maximum: int = MOST_IDS
    """Messages with QoS 1 or 2 that it takes before it has acknowledged some."""
    maximum_packet_size: int = MOST_PACKET_BYTES
    """Bytes of a packet."""
    topic_alias_maximum: int = 0
    """Topic aliases that it knows what to do with."""


class Outgoing:
    """What goes to one client. Its session is the subscriber, and `deliver` is called for it.

    Messages on a line that is not congested are put there to stay. Those that were put before the
    connection broke are in flight, and are sent again.
    """

    __slots__ = (
        "_again",
        "_aliases",
        "_backlog",
        "_client_id",
        "_crowd",
        "_encode",
        "_family",
        "_last_id",
        "_limit",
        "_line",
        "_overflowed",
        "_pressure",
        "_published",
        "_put",
        "_quota",
        "_released",
        "_retained",
        "_uncharged",
        "_version",
        "_window",
        "expired",
        "forbidden",
        "may_receive",
        "too_large",
    )

    def __init__(self, client_id: str, capabilities: Capabilities) -> None:
        self._client_id = client_id
        self._window = capabilities.maximum_inflight
        self._backlog = self._make_backlog(capabilities)
        self._published: dict[int, Message] = {}  # in the order of their first sending
        self._released: dict[int, int] = {}  # in the order of their PUBRECs; rows of the journal
        self._last_id = 0
        self._retained: dict[bytes, tuple[Iterator[Publication], MQTTTerms]] = {}
        # Of the connection
        self._line: Line | None = None
        self._put: Callable[[bytes], bool] | None = None
        self._overflowed: Callable[[], None] | None = None
        self._pressure: Pressure | None = None
        self._crowd: Crowd | None = None  # from the first message that has waited
        self._version = Version.MQTT_5_0
        self._family = 5
        self._encode: Callable[[Publication], bytes] = encode_5
        self._limit = MOST_PACKET_BYTES
        self._quota = 0
        self._aliases: AliasesOut | None = None
        # In flight, to be sent again; an empty deque would take 600 bytes.
        self._again: deque[int] | None = None
        self._uncharged: set[int] = set()  # in flight, and took nothing of this quota
        self.too_large: int = 0
        """Messages that were dropped because the client takes no packet as large."""
        self.expired: int = 0
        """Messages that were dropped because they had waited for too long."""
        self.may_receive: Callable[[bytes], bool] | None = None
        """Whether the client may get a topic, asked for what has waited; None: it may get all."""
        self.forbidden: int = 0
        """Messages that had waited, or were retained, and that the client may not get."""

    # What is there

    @property
    def waiting(self) -> int:
        """Messages that wait to be sent for the first time."""
        return len(self._backlog)

    @property
    def waiting_bytes(self) -> int:
        """The bytes of their topics, payloads and properties."""
        return self._backlog.bytes

    @property
    def crowded(self) -> bool:
        """Whether more than half of what may wait does."""
        return self._backlog.crowded

    @property
    def inflight(self) -> int:
        """Messages that were sent, and whose way has not ended."""
        return len(self._published) + len(self._released)

    @property
    def dropped(self) -> int:
        """Messages for which the backlog had no room."""
        return self._backlog.dropped

    @property
    def quota(self) -> int:
        """Messages with QoS 1 or 2 that may go out before one is acknowledged."""
        return self._quota

    @property
    def unfinished(self) -> bool:
        """Whether `pump` would send something right now."""
        if self._again:
            return self._may_send_again()
        ready = self._backlog.ready or (self._retained and not self._backlog)
        return bool(ready) and self._may_send()

    # The connection

    def attach(
        self,
        line: Line,
        receiver: Receiver,
        overflowed: Callable[[], None],
        pressure: Pressure | None = None,
    ) -> None:
        """A connection has come. Send CONNACK, then call `resume`, with nothing in between.

        Args:
            overflowed: Called when the backlog overflows and that is to end the connection.
            pressure: Told of publications when much waits already; None: nobody wants to know.
        """
        self._pressure = pressure
        self._line, self._put, self._overflowed = line, line.put, overflowed
        self._version = receiver.version
        self._family = FAMILIES[receiver.version]
        self._encode = encode_5 if receiver.version is Version.MQTT_5_0 else encode_3
        self._limit = receiver.maximum_packet_size
        # [MQTT-4.9.0-1] [MQTT-3.3.4-9]
        self._quota = min(receiver.receive_maximum, self._window)
        aliases = receiver.topic_alias_maximum
        self._aliases = AliasesOut(aliases) if aliases else None  # [MQTT-3.1.2-27]
        self._again = deque(self._published) if self._published else None  # [MQTT-4.6.0-1]
        self._uncharged = {*self._published, *self._released}

    def detach(self) -> None:
        """The connection has gone."""
        crowd, self._crowd, self._pressure = self._crowd, None, None
        if crowd is not None:
            crowd.close()
        self._line = self._put = self._overflowed = self._aliases = None
        self._again = None
        self._uncharged.clear()
        self._quota = 0

    def resume(self, now: float) -> bool:
        """Send again what was in flight [MQTT-4.4.0-1], then what waits; gives what `pump` does.

        The PUBRELs keep the order of the PUBRECs [MQTT-4.6.0-4], and take nothing of the quota
        [MQTT-3.3.4-10].
        """
        if self._line is not None and self._released:
            frames = (encode_answer(PacketType.PUBREL, each) for each in self._released)
            self._line.answer(b"".join(frames))  # [MQTT-4.3.3-6]
        return self.pump(now)

    def clear(self) -> None:
        """The session has ended: let go of everything."""
        self.detach()
        self._published.clear()
        self._released.clear()
        self._backlog.clear()
        self._retained.clear()

    # Messages

    def deliver(self, publication: Publication, terms: Terms) -> bool:
        """Send a publication, or let it wait; what an exchange calls.

        Returns:
            Whether it was taken.
        """
        own: MQTTTerms = terms  # type: ignore[assignment]  # a session subscribes with no others
        if own.no_local and publication.origin == self._client_id:  # [MQTT-3.8.3-3]
            return own.for_own is not None and self.deliver(publication, own.for_own)
        qos = own.qos
        if qos and isinstance(publication, MQTTPublication):  # others have QoS 0
            qos = min(qos, publication.qos)  # [MQTT-3.8.4-8]
            if qos:  # [MQTT-3.3.1-12] [MQTT-3.3.1-13]
                retain = own.retain_as_published and publication.retain
                message = (publication, qos, retain, own.identifiers, own.group, 0)
                return self._pass(message, publication)
        # Whatever the quota is [MQTT-4.9.0-3], but not to who is away [MQTT-4.5.0-1].
        if self._put is None:
            return False
        if own.plain and self._aliases is None:
            frame = publication.encoded(self._family, self._encode)
            if len(frame) <= self._limit:
                return self._put(frame)
            self.too_large += 1
            return False
        retain = own.retain_as_published and publication.retain
        return self._send_at_most_once((publication, 0, retain, own.identifiers, None, 0), 0)

    def takes_run(self, run: PublicationRun, terms: Terms) -> bool:
        """Whether `deliver_run` does what `deliver` would do with each message of a run.

        What has QoS 0 for the publisher may be dropped. Else all of it must be sent right now or,
        to a client that is away, find room.
        """
        own: MQTTTerms = terms  # type: ignore[assignment]  # as above
        line = self._line
        if (
            not own.plain
            or own.no_local
            or self._aliases is not None
            or run.size > self._limit
            or (self.may_receive is not None and not self.may_receive(run.topic))
        ):
            return False
        if not run.qos:
            return True
        if line is None:
            return own.qos > 0 and self._backlog.has_room(len(run), run.size)
        if not own.qos:
            return not line.congested
        inflight = len(self._published) + len(self._released)
        return (
            not line.congested
            and not self._backlog
            and not self._again
            and len(run) <= min(self._quota, self._window - inflight)
        )

    def deliver_run(self, run: PublicationRun, terms: Terms) -> None:
        """Send a run, or let it wait; only when `takes_run` has said so."""
        own: MQTTTerms = terms  # type: ignore[assignment]  # as above
        line, number, qos = self._line, len(run), min(own.qos, run.qos)
        if line is None:  # [MQTT-4.5.0-1]
            for message in run.messages(qos) if qos else ():
                self._backlog.put(message, away=True)
            return
        if not qos:
            if line.congested:
                for publication in run.publications:
                    line.put(publication.encoded(self._family, self._encode))
            else:
                line.put_run(run.frames(self._family, self._encode), number)
            return
        packet_ids = self._free_ids(number)
        messages = self._begin_run(run.messages(qos), packet_ids)
        self._published.update(zip(packet_ids, messages, strict=True))
        self._last_id = packet_ids[-1]
        self._quota -= number
        line.put_run(run.shared(self._version, qos).packets(packet_ids), number)

    def lacks_room(self, publication: Publication) -> bool:
        """Whether a publication that has to wait would find no room."""
        return self._backlog.lacks_room(publication.size)

    def send_retained(
        self, topic_filter: bytes, source: Iterator[Publication], terms: MQTTTerms
    ) -> None:
        """Have what is retained sent by `pump`, as there is quota and room.

        It is sent with RETAIN [MQTT3-3.3.1-8]. An earlier source of that filter is dropped.
        """
        self._retained[topic_filter] = source, terms

    def forget_retained(self, topic_filter: bytes) -> None:
        """Send no more of what is retained for a filter."""
        self._retained.pop(topic_filter, None)

    def pump(self, now: float) -> bool:
        """Send what waits: what is to be sent again, the backlog, what is retained.

        Returns:
            Whether more could be sent right now, when others have had their turn.
        """
        while self._again and self._may_send_again():
            self._send_again(self._again.popleft(), now)
        while self._may_send():
            message = self._backlog.take()
            if message is None:  # more may have to be fetched
                return not self._backlog and self._pump_retained(now)
            if self._crowd is not None:
                self._crowd.shrink()
            self._send_late(message, now)
        return False

    def acknowledge(self, kind: PacketType, packet_id: int, *, refused: bool) -> Step:
        """Take note of a PUBACK, PUBREC or PUBCOMP. Afterwards call `pump`: there may be quota.

        Args:
            refused: Whether its reason code is 0x80 or above.

        Returns:
            What was made of it; who calls sends the PUBREL that this asks for.
        """
        message = self._published.get(packet_id)
        if message is not None:
            progress = message[1]
        else:
            progress = Progress.RELEASED if packet_id in self._released else Progress.UNKNOWN
        step = STEPS[kind, refused][progress]
        if step is Step.DONE:
            if message is not None:
                del self._published[packet_id]
            else:
                del self._released[packet_id]
            self._discharge(packet_id)
        elif step is Step.RELEASE:
            del self._published[packet_id]
            self._released[packet_id] = 0
        return step

    def acknowledge_run(self, kind: PacketType, packet_ids: Sequence[int]) -> int:
        """The same for the first ones of several that say success and are what is expected.

        Returns:
            How many those were. For the others call `acknowledge`.
        """
        number, step = 0, STEPS[kind, False]
        published, released, uncharged = self._published, self._released, self._uncharged
        for packet_id in packet_ids:
            message = published.get(packet_id)
            if message is not None:
                progress = message[1]
            else:
                progress = Progress.RELEASED if packet_id in released else Progress.UNKNOWN
            made = step[progress]
            if made is Step.DONE and packet_id not in uncharged:
                if message is not None:
                    del published[packet_id]
                else:
                    del released[packet_id]
                self._quota += 1
            elif made is Step.RELEASE:
                del published[packet_id]
                released[packet_id] = 0
            else:
                break
            number += 1
        return number

    @property
    def orphans(self) -> list[tuple[bytes, Publication]]:
        """What others of its groups could be given when the session ends, and by which filter.

        Of QoS 1 what is in flight, and all that waits. What was begun with QoS 2 goes to nobody
        else [MQTT-4.8.2-4] [MQTT-4.8.2-5].
        """
        flights = [message for message in self._published.values() if message[1] == 1]
        messages = [*flights, *self._backlog]
        return [(each[4], each[0]) for each in messages if each[4] is not None]

    # How

    def _make_backlog(self, capabilities: Capabilities) -> Backlog:
        return Backlog(capabilities.queue)

    def _may_send_again(self) -> bool:
        """Whether one more PUBLISH with QoS 1 or 2 may go out [MQTT-4.9.0-2]."""
        line = self._line
        return line is not None and self._quota > 0 and not line.congested

    def _may_send(self) -> bool:
        """The same for a new one.

        The window counts also what took nothing of this connection's quota, so that what is in
        flight stays bounded over many connections.
        """
        line = self._line
        return (
            line is not None
            and self._quota > 0
            and not line.congested
            and len(self._published) + len(self._released) < self._window
        )

    def _pass(self, message: Message, publication: MQTTPublication) -> bool:
        """Send a message with QoS 1 or 2 that was published just now, or let it wait.

        Nothing passes what waits [MQTT-4.6.0-5] [MQTT-4.6.0-6].
        """
        if not self._backlog and not self._again and self._may_send():
            return self._send_first(message, publication, 0)
        # A group gives to those of whom much waits only when it has no others.
        first, alone = not self._backlog, message[4] is None or self._backlog.crowded
        # [MQTT-4.5.0-1] [MQTT3-3.1.2-5]
        put = self._backlog.put(message, away=self._line is None)
        crowd = self._crowd
        if crowd is None and self._pressure is not None and self._line is not None:
            crowd = self._crowd = Crowd(self._backlog, self._line, self._pressure)
            first = True
        if crowd is not None and (first or not crowd.stalled):
            crowd.grow(publication, first=first, alone=alone)
        if put is Put.DISCONNECT and self._overflowed is not None:
            self._overflowed()
        return put is Put.TAKEN

    def _begin_run(
        self, messages: Sequence[Message], packet_ids: Sequence[int]
    ) -> Sequence[Message]:
        """Messages of a run that are about to be sent for the first time, as they are kept."""
        return messages

    def _send_first(self, message: Message, publication: MQTTPublication, waited: int) -> bool:
        """Send a message with QoS 1 or 2 for the first time; whether the client can take it."""
        packet_id = self.free_id()  # [MQTT-4.3.2-1] [MQTT-4.3.3-1]
        # DUP is 0 [MQTT-4.3.2-2] [MQTT-4.3.3-2], whatever the publisher's was [MQTT-3.3.1-3]
        if not self._send(message, publication, packet_id, waited, dup=False):
            return False
        self._published[packet_id] = message
        self._last_id = packet_id
        return True

    def _send_again(self, packet_id: int, now: float) -> None:
        """Send a message that an earlier connection didn't see the end of."""
        message = self._published.get(packet_id)
        if message is None:
            return  # it was acknowledged meanwhile
        publication = message[0]
        assert isinstance(publication, MQTTPublication)  # with a QoS above 0
        # It never expires [MQTT-4.3.3-7] [MQTT-4.3.3-13], and has DUP [MQTT-3.3.1-1].
        self._uncharged.discard(packet_id)
        if not self._send(message, publication, packet_id, publication.waited(now), dup=True):
            del self._published[packet_id]

    def _send_late(self, message: Message, now: float) -> None:
        """Send a message that has waited."""
        publication = message[0]
        if self.may_receive is not None and not self.may_receive(publication.topic):
            self.forbidden += 1
        elif not isinstance(publication, MQTTPublication):
            self._send_at_most_once(message, 0)
        elif publication.expired(now):  # [MQTT-3.3.2-5]
            self.expired += 1
        elif message[1]:
            self._send_first(message, publication, publication.waited(now))
        else:
            self._send_at_most_once(message, publication.waited(now))

    def _send(
        self,
        message: Message,
        publication: MQTTPublication,
        packet_id: int,
        waited: int,
        *,
        dup: bool,
    ) -> bool:
        """Put a PUBLISH with QoS 1 or 2 on the line, which is not congested."""
        assert self._put is not None
        _, qos, retain, identifiers, _, _ = message
        if self._aliases is None:
            shared = publication.shared(self._version, waited, identifiers)
            alias = 0
        else:
            alias, named = self._alias(publication.topic)
            shared = publication.shared(self._version, waited, identifiers, alias, named=named)
        frame = shared.packet(packet_id, qos, retain, dup)
        if len(frame) > self._limit:  # [MQTT-3.1.2-24] [MQTT-3.1.2-25]
            self.too_large += 1
            return False
        self._quota -= 1
        if alias and self._aliases is not None:
            self._aliases.set(publication.topic, alias)
        self._put(frame)
        return True

    def _send_at_most_once(self, message: Message, waited: int) -> bool:
        """Put a PUBLISH with QoS 0 on the line [MQTT-4.3.1-1]."""
        assert self._put is not None
        publication, _, retain, identifiers, _, _ = message
        alias, named = self._alias(publication.topic)
        frame = encode_message(
            publication,
            self._version,
            retain=retain,
            waited=waited,
            identifiers=identifiers,
            alias=alias,
            named=named,
        )
        if len(frame) > self._limit:
            self.too_large += 1
            return False
        taken = self._put(frame)
        if taken and alias and self._aliases is not None:
            self._aliases.set(publication.topic, alias)
        return taken

    def _alias(self, topic: bytes) -> tuple[int, bool]:
        """The alias to send a topic with, and whether the name goes with it."""
        aliases = self._aliases
        if aliases is None:
            return 0, True
        alias = aliases.get(topic)
        if alias:
            return alias, False
        # What is put on a congested line may be dropped, and the alias would stand for nothing.
        if self._line is None or self._line.congested:
            return 0, True
        return aliases.free(), True

    def _pump_retained(self, now: float) -> bool:
        """Send some of what is retained, until it is others' turn; whether there is more."""
        count = size = 0
        while self._retained and self._may_send():
            topic_filter, (source, terms) = next(iter(self._retained.items()))
            publication = next(source, None)
            if publication is None:
                del self._retained[topic_filter]
                continue
            count += 1
            size += publication.size
            if not terms.no_local or publication.origin != self._client_id:
                qos = publication.qos if isinstance(publication, MQTTPublication) else 0
                message = (publication, min(qos, terms.qos), True, terms.identifiers, None, 0)
                self._send_late(message, now)
            if count >= RETAINED_TURN or size >= RETAINED_BYTES:
                return bool(self._retained) and self._may_send()
        return False

    def _discharge(self, packet_id: int) -> None:
        """Give back what a message took of the quota."""
        if packet_id in self._uncharged:
            self._uncharged.discard(packet_id)
        else:
            self._quota += 1

    def _free_ids(self, number: int) -> Sequence[int]:
        """The next identifiers in the circle that nothing in flight has."""
        first = self._last_id + 1
        packet_ids = range(first, first + number)
        if (
            packet_ids[-1] <= MOST_IDS
            and self._published.keys().isdisjoint(packet_ids)
            and self._released.keys().isdisjoint(packet_ids)
        ):
            return packet_ids
        found: list[int] = []
        last = self._last_id
        while len(found) < number:
            self._last_id = self.free_id()
            found.append(self._last_id)
        self._last_id = last
        return found

    def free_id(self) -> int:
        """The next identifier in the circle that nothing in flight has [MQTT-2.2.1-4]."""
        packet_id = self._last_id
        while True:  # the window is no larger than the circle, so there is one
            packet_id = packet_id % MOST_IDS + 1
            if packet_id not in self._published and packet_id not in self._released:
                return packet_id
