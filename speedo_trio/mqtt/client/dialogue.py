"""The dialogue: a client's side of one connection, without I/O. Packets in, events and bytes out.

Next: `speedo_trio.mqtt.client.conversation`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from attrs import evolve

from speedo_trio.errors import ConfigError, ConnectionClosed, FrameTooLong, MQTTError
from speedo_trio.mqtt.client.events import Arrived, Ponged, Settled, Welcomed
from speedo_trio.mqtt.client.login import MOST_IDS, UNTOLD
from speedo_trio.mqtt.client.memory import Memory
from speedo_trio.mqtt.client.message import Arrival, ReceivedMessage
from speedo_trio.mqtt.client.pulse import Pulse
from speedo_trio.mqtt.client.telling import refused, told
from speedo_trio.mqtt.state.answers import CLIENT_DISCONNECTS, REFUSED
from speedo_trio.mqtt.state.flights import STEPS, Progress, Step
from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.packets import (
    ConnAck,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
)
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reader import MOST_PACKET_BYTES, PacketReader
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.versions import Version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from speedo_trio.mqtt.client.events import ClientEvent
    from speedo_trio.mqtt.client.login import Login
    from speedo_trio.mqtt.wire.packets import Packet, SubscriptionOptions

_Taker: TypeAlias = "Callable[[Any], ClientEvent | None]"  # Any: a packet of its type

NOTHING: Final = Properties()


class Dialogue:
    """One connection, for who does its I/O.

    Send `data_to_send()` after each call. Give what comes to `receive_data` and exhaust the result.
    Look at `pulse` when its deadline is over, and call `ping` if it says so.
    """

    def __init__(self, login: Login, now: float, memory: Memory | None = None) -> None:
        """Begin with CONNECT.

        Args:
            login: what stands in it.
            now: in seconds, of the clock that all calls use.
            memory: of an earlier connection with the same client identifier.

        Raises:
            UnsendablePacket: the login has what may not be sent.
        """
        self._login = login
        self._five = login.version is Version.MQTT_5_0
        self._memory = Memory() if memory is None else memory
        self._reader = PacketReader(login.version, limit=login.maximum_packet_size)
        self._out = [encode(login.packet(), login.version)]
        self._asked: set[int] = set()  # identifiers of SUBSCRIBE and UNSUBSCRIBE
        self._again: deque[int] = deque()  # messages that are to be sent again
        self._charged: set[int] = set()  # those that took something of the quota
        self._quota = 0
        self._arrivals: deque[Arrival] = deque()  # in the order in which they came
        self._holding: set[int] = set()  # of QoS 2, dealt with, by this connection
        self.server: Properties = NOTHING
        """What the server told in CONNACK."""
        self.connected: bool = False
        """Whether the server has accepted."""
        self.pulse: Pulse = Pulse(login.keep_alive, now)
        """When to ask whether the server is there."""
        self._takers: dict[type[Packet], _Taker] = {
            Publish: self._on_publish,
            PubAck: self._on_puback,
            PubRec: self._on_pubrec,
            PubRel: self._on_pubrel,
            PubComp: self._on_pubcomp,
            SubAck: self._on_answer,
            UnsubAck: self._on_answer,
            PingResp: self._on_pingresp,
            Disconnect: self._on_disconnect,
        }

    def data_to_send(self) -> bytes:
        """What is to be sent now, after what was sent before; nothing: nothing."""
        out, self._out = self._out, []
        return out[0] if len(out) == 1 else b"".join(out)

    def receive_data(self, data: bytes, now: float) -> Iterator[ClientEvent]:
        """What the next bytes of the stream say.

        Raises:
            MQTTError: the server broke the protocol; it is told, if it can be.
            ConnectionClosed: the server refused the client, or has closed; the text says why.
        """
        self.pulse.heard(now)
        try:
            for packet in self._reader.feed(data):
                event = self._take(packet, now)
                if event is not None:
                    yield event
        except MQTTError as error:
            self.disconnect(ReasonCode(error.reason))
            raise

    def eof(self) -> None:
        """The stream has ended.

        Raises:
            IncompleteFrame: inside a packet.
        """
        self._reader.eof()

    # What the client does, when it is connected

    @property
    def may_publish(self) -> bool:
        """Whether a message with QoS 1 or 2 may be published: the server takes one more."""
        used = self._memory.inflight + len(self._asked)
        return self.connected and not self._again and self._quota > 0 and used < MOST_IDS

    def publish(
        self, topic: bytes, payload: bytes, qos: int, properties: Properties | None, *, retain: bool
    ) -> int:
        """Publish; the packet identifier for which `Settled` comes, 0 with QoS 0.

        With QoS 1 and 2 only when `may_publish`.

        Raises:
            ConfigError: the server doesn't allow it.
            FrameTooLong: the server takes none as long.
            UnsendablePacket: it may not be sent.
        """
        self._check(qos, retain=retain)
        packet_id = self._memory.free_id(self._asked) if qos else 0
        packet = Publish(topic, payload, qos, retain, False, packet_id, properties)
        self._send(packet)
        if qos:
            self._memory.published[packet_id] = packet
            self._charge(packet_id)
        return packet_id

    def subscribe(
        self,
        subscriptions: list[tuple[bytes, SubscriptionOptions]],
        properties: Properties | None = None,
    ) -> int:
        """Subscribe; the packet identifier for which `Settled` comes.

        Raises:
            FrameTooLong: the server takes none as long.
            UnsendablePacket: it may not be sent.
        """
        packet_id = self._memory.free_id(self._asked)
        self._send(Subscribe(packet_id, subscriptions, properties))
        self._asked.add(packet_id)
        return packet_id

    def unsubscribe(self, filters: list[bytes]) -> int:
        """Unsubscribe; otherwise as `subscribe`."""
        packet_id = self._memory.free_id(self._asked)
        self._send(Unsubscribe(packet_id, filters))
        self._asked.add(packet_id)
        return packet_id

    def ping(self) -> None:
        """Ask whether the server is there, and has done what was sent before; `Ponged` comes."""
        self._send(PingReq())

    def acknowledge(self, arrival: Arrival) -> None:
        """A message is dealt with.

        The server is told in the order in which messages came (section 4.6), so that may be later.
        One that came by another connection comes again, or has been acknowledged: nothing is done.
        """
        arrival.done = True
        while self._arrivals and self._arrivals[0].done:
            first = self._arrivals.popleft()
            if first.qos == 1:
                self._send(PubAck(first.packet_id))
            else:
                self._memory.held.add(first.packet_id)
                self._holding.add(first.packet_id)
                self._send(PubRec(first.packet_id))

    def disconnect(self, reason: ReasonCode = ReasonCode.NORMAL_DISCONNECTION) -> None:
        """Say goodbye. Without a reason to complain the server drops the will."""
        if not self._five:
            if not reason:
                self._send(Disconnect())
        elif reason in CLIENT_DISCONNECTS:
            self._send(Disconnect(reason))

    # What the server says

    def _take(self, packet: Packet, now: float) -> ClientEvent | None:
        if not self.connected:
            if not isinstance(packet, ConnAck):
                raise _wrong(packet, "CONNACK first")
            return self._on_connack(packet, now)
        taker = self._takers.get(type(packet))
        if taker is None:
            raise _wrong(packet, "what a server sends")
        return taker(packet)

    def _on_connack(self, packet: ConnAck, now: float) -> ClientEvent:
        properties = packet.properties or NOTHING
        if packet.reason >= REFUSED:
            raise ConnectionClosed(refused("the server refused", packet.reason, properties))
        self.connected = True
        self.server = properties
        if properties.server_keep_alive is not None:  # section 3.2.2.3.14
            self.pulse = Pulse(properties.server_keep_alive, now)
        self._quota = (properties.receive_maximum or MOST_IDS) if self._five else UNTOLD
        if packet.session_present:
            self._send_again()
        else:
            self._memory.clear()
        return Welcomed(packet.session_present, properties)

    def _on_publish(self, packet: Publish) -> ClientEvent | None:
        properties, memory = packet.properties, self._memory
        if properties is not None and properties.topic_alias is not None:
            alias = properties.topic_alias
            text = f"PUBLISH has the topic alias {alias}; allowed is none"
            raise MQTTError(text, ReasonCode.TOPIC_ALIAS_INVALID)
        if packet.qos == 2 and packet.packet_id in memory.held:  # it was dealt with
            self._send(PubRec(packet.packet_id))
            return None
        arrival = self._arrive(packet) if packet.qos else None
        message = ReceivedMessage(
            packet.topic.decode(),
            packet.payload,
            packet.retain,
            packet.qos,
            packet.dup,
            properties,
            arrival,
        )
        return Arrived(message)

    def _arrive(self, packet: Publish) -> Arrival:
        most = self._login.receive_maximum if self._five else MOST_IDS
        if len(self._arrivals) + len(self._holding) >= most:
            text = f"more than {most} messages that were not acknowledged; allowed are {most}"
            raise MQTTError(text, ReasonCode.RECEIVE_MAXIMUM_EXCEEDED)
        arrival = Arrival(packet.packet_id, packet.qos)
        self._arrivals.append(arrival)
        return arrival

    def _on_pubrel(self, packet: PubRel) -> None:
        known = packet.packet_id in self._memory.held
        self._memory.held.discard(packet.packet_id)
        self._holding.discard(packet.packet_id)
        reason = ReasonCode.SUCCESS if known else ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
        self._send(PubComp(packet.packet_id, reason))

    def _on_puback(self, packet: PubAck) -> ClientEvent | None:
        return self._acknowledged(PacketType.PUBACK, packet)

    def _on_pubrec(self, packet: PubRec) -> ClientEvent | None:
        return self._acknowledged(PacketType.PUBREC, packet)

    def _on_pubcomp(self, packet: PubComp) -> ClientEvent | None:
        return self._acknowledged(PacketType.PUBCOMP, packet)

    def _acknowledged(
        self, kind: PacketType, packet: PubAck | PubRec | PubComp
    ) -> ClientEvent | None:
        memory, packet_id = self._memory, packet.packet_id
        step = STEPS[kind, packet.reason >= REFUSED][self._progress(packet_id)]
        if step is Step.WRONG:
            raise _wrong(packet, "an answer to what was sent with its identifier")
        if step is Step.RELEASE:
            del memory.published[packet_id]
            memory.released[packet_id] = None
        if step is Step.RELEASE or step is Step.AGAIN:
            self._send(PubRel(packet_id))
        elif step is Step.NOT_FOUND:
            self._send(PubRel(packet_id, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND))
        if step is not Step.DONE:
            return None
        memory.published.pop(packet_id, None)
        memory.released.pop(packet_id, None)
        self._discharge(packet_id)
        return Settled(packet_id, (packet.reason,), told(packet.properties))

    def _progress(self, packet_id: int) -> Progress:
        published = self._memory.published.get(packet_id)
        if published is not None:
            return Progress(published.qos)
        return Progress.RELEASED if packet_id in self._memory.released else Progress.UNKNOWN

    def _on_answer(self, packet: SubAck | UnsubAck) -> ClientEvent:
        if packet.packet_id not in self._asked:
            raise _wrong(packet, "an answer to what was asked")
        self._asked.discard(packet.packet_id)
        return Settled(packet.packet_id, tuple(packet.reasons), told(packet.properties))

    def _on_pingresp(self, packet: PingResp) -> ClientEvent:
        return Ponged()

    def _on_disconnect(self, packet: Disconnect) -> None:
        text = "the server closed the connection"
        raise ConnectionClosed(refused(text, packet.reason, packet.properties or NOTHING))

    # How

    def _check(self, qos: int, *, retain: bool) -> None:
        """See that the server takes such messages (sections 3.2.2.3.4 and 3.2.2.3.5)."""
        most = 2 if self.server.maximum_qos is None else self.server.maximum_qos
        if qos > most:
            raise ConfigError(f"qos is {qos}; the server allows {most} at most")
        if retain and self.server.retain_available is False:
            raise ConfigError("the message is to be retained; the server allows none that is")

    def _send(self, packet: Packet) -> None:
        if not self._five and isinstance(packet, PubComp | PubRel):
            packet.reason = ReasonCode.SUCCESS
        frame = encode(packet, self._login.version)
        most = self.server.maximum_packet_size or MOST_PACKET_BYTES
        if len(frame) > most:  # section 3.2.2.3.6
            raise FrameTooLong(f"a packet of {len(frame)} bytes; the server allows {most}")
        self._out.append(frame)

    def _send_again(self) -> None:
        """The server has kept its session: go on where the last connection ended (section 4.4)."""
        for packet_id in self._memory.released:
            self._send(PubRel(packet_id))
        self._again.extend(self._memory.published)
        self._proceed()

    def _proceed(self) -> None:
        """Send what is to be sent again, as far as the quota allows."""
        while self._again and self._quota > 0:
            packet_id = self._again.popleft()
            packet = self._memory.published.get(packet_id)
            if packet is not None:
                self._send(evolve(packet, dup=True))
                self._charge(packet_id)

    def _charge(self, packet_id: int) -> None:
        self._charged.add(packet_id)
        self._quota -= 1

    def _discharge(self, packet_id: int) -> None:
        """A message's way has ended: another may go, if this one counted (section 4.9)."""
        if packet_id in self._charged:
            self._charged.discard(packet_id)
            self._quota += 1
        self._proceed()


def _wrong(packet: Packet, allowed: str) -> MQTTError:
    return MQTTError(f"the server sent {type(packet).__name__.upper()}; allowed is {allowed}")
