"""A crossing: one connection of a bridge to the other broker, from CONNECT to its end.

Next: `speedo_trio.mqtt.bridging.bridge`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import trio

from speedo_trio.errors import ConnectionClosed, ConnectionLost, MQTTError, ProtocolError
from speedo_trio.mqtt.bridging.translator import ANSWERS, Translator, undeliverable, unwanted
from speedo_trio.mqtt.client.link import Link
from speedo_trio.mqtt.client.pulse import Pulse
from speedo_trio.mqtt.client.telling import refused, words
from speedo_trio.mqtt.state.answers import CLIENT_DISCONNECTS, REFUSED
from speedo_trio.mqtt.state.outgoing import MOST_IDS, Receiver
from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packets import (
    ConnAck,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    PubRec,
    SubAck,
    Subscribe,
    SubscriptionOptions,
)
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reader import MOST_PACKET_BYTES, PacketReader
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.versions import Version

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from speedo_trio.mqtt.bridging.local import Local
    from speedo_trio.mqtt.bridging.settings import BridgeSettings
    from speedo_trio.mqtt.bridging.topics import TopicMap
    from speedo_trio.mqtt.client.login import Login
    from speedo_trio.mqtt.state.capabilities import Capabilities
    from speedo_trio.mqtt.wire.packets import Packet

GOODBYE_SECONDS: Final = 1.0
"""How long the end of a connection may take."""
_MOST_UNREAD: Final = 1_048_576
"""When the other broker has not read so many bytes of answers, it is not read either. That is more
than answers to all that it may send unanswered: two brokers of this kind must not wait for one
another."""

_logger = logging.getLogger("speedo_trio.mqtt")


class VersionRefused(ConnectionClosed):
    """The other broker doesn't speak this version, or doesn't know the bit of bridges."""


class Crossing:
    """The far side of a bridge, while it is there."""

    def __init__(
        self,
        stream: trio.abc.Stream,
        login: Login,
        topics: TopicMap,
        local: Local,
        own: Capabilities,
        settings: BridgeSettings,
    ) -> None:
        self._login = login
        self._topics = topics
        self._local = local
        self._own = own
        self._name = settings.name
        self._untold = settings.maximum_inflight
        self._five = login.version is Version.MQTT_5_0
        self._reader = PacketReader(login.version, limit=login.maximum_packet_size)
        self._link = Link(stream, self._sent)
        self._pulse = Pulse(login.keep_alive, trio.current_time())
        self._translator = Translator(topics, login.version, Properties(), own)
        self._accepted = False
        self._subscribe_id = 0
        self._settling: list[Packet] = []  # answers to what can't go there
        self._settle_asked = trio.Event()
        self._told: set[ReasonCode] = set()
        self._everything = trio.CancelScope()
        self._end: Exception | None = None
        self._ready: Callable[[], None] | None = None

    async def run(self, ready: Callable[[], None]) -> None:
        """Connect, and pass on what comes either way, until something ends it.

        Args:
            ready: called when the other broker has accepted, and subscribed to what is to come in.

        Raises:
            ConnectionClosed: the other broker refused or is gone, or the session here has ended.
            ProtocolError: the other broker broke the protocol.

        On cancel it says goodbye. The stream is closed in any case.
        """
        self._ready = ready
        try:
            self._link.put(encode(self._login.packet(), self._login.version))
            with self._everything:
                async with trio.open_nursery() as nursery:
                    for work in (self._link.write, self._read, self._beat, self._settle):
                        nursery.start_soon(self._guard, work)
        finally:
            self._local.part()
            await self._close()
        if self._end is not None:
            raise self._end

    async def _guard(self, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        except (ConnectionClosed, ProtocolError) as error:
            self._finish(error)

    def _finish(self, error: Exception) -> None:
        if self._end is None:
            self._end = error
        self._everything.cancel()

    async def _close(self) -> None:
        reason = ReasonCode.NORMAL_DISCONNECTION
        if isinstance(self._end, MQTTError):
            reason = ReasonCode(self._end.reason)
        frame = b""
        if self._accepted and (reason in CLIENT_DISCONNECTS if self._five else not reason):
            frame = encode(Disconnect(reason), self._login.version)
        await self._link.say_goodbye(frame, GOODBYE_SECONDS)

    # From the other broker

    async def _read(self) -> None:
        while True:
            data = await self._link.read()
            if not data:
                self._reader.eof()
                raise ConnectionLost("the other broker closed the connection without a reason")
            self._pulse.heard(trio.current_time())
            await self._receive(data)
            await self._link.room(_MOST_UNREAD)

    async def _receive(self, data: bytes) -> None:
        """Take what has come; messages and answers go to the session together."""
        inward: list[Packet] = []
        try:
            for packet in self._reader.feed(data):
                if not self._accepted:
                    await self._welcome(packet)
                elif isinstance(packet, Publish):
                    self._take(packet, inward)
                elif isinstance(packet, ANSWERS):
                    self._note(packet)
                    inward.append(packet)
                else:
                    self._hear(packet)
        finally:  # what came before a fault counts
            if inward:
                await self._local.receive(inward)

    async def _welcome(self, packet: Packet) -> None:
        if not isinstance(packet, ConnAck):
            raise _wrong(packet, "CONNACK first")
        server = packet.properties or Properties()
        if packet.reason >= REFUSED:
            text = refused("the other broker refused", packet.reason, server)
            if packet.reason is ReasonCode.UNSUPPORTED_PROTOCOL_VERSION:
                raise VersionRefused(text)
            raise ConnectionClosed(text)
        self._accepted = True
        if server.server_keep_alive is not None:
            self._pulse = Pulse(server.server_keep_alive, trio.current_time())
        self._translator = Translator(self._topics, self._login.version, server, self._own)
        most = (server.maximum_packet_size or MOST_PACKET_BYTES) - max(0, self._topics.growth)
        receiver = Receiver(
            version=Version.MQTT_5_0,  # what is spoken with the session here
            receive_maximum=(server.receive_maximum or MOST_IDS) if self._five else self._untold,
            maximum_packet_size=max(1, most),
        )
        await self._local.join(self, receiver, forgotten=not packet.session_present)
        self._subscribe()

    def _subscribe(self) -> None:
        """Subscribe to what is to come in, with an identifier that no message has."""
        filters, session = self._topics.remote_filters, self._local.session
        if not filters or session is None:
            self._begin()
            return
        self._subscribe_id = session.outgoing.free_id()
        most = self._own.maximum_qos
        wanted = [(each, self._options(min(qos, most))) for each, qos in filters.items()]
        self._put(Subscribe(self._subscribe_id, wanted))

    def _options(self, qos: int) -> SubscriptionOptions:
        """Before 5.0 there is only the QoS; the bit of bridges stands for the rest."""
        if not self._five:
            return SubscriptionOptions(qos)
        stays = qos and not self._login.clean_start
        return SubscriptionOptions(qos, True, True, 1 if stays else 0)  # in order

    def _begin(self) -> None:
        """All is as it should be: let messages go out."""
        self._local.open()
        if self._ready is not None:
            self._ready()

    def _take(self, packet: Publish, inward: list[Packet]) -> None:
        properties = packet.properties
        if properties is not None and properties.topic_alias is not None:
            raise MQTTError("PUBLISH has a topic alias; allowed is none", 0x94)
        message = self._translator.inward(packet)
        if message is not None:
            inward.append(message)
        elif (answer := unwanted(packet)) is not None:
            self._put(answer)

    def _note(self, packet: Packet) -> None:
        """Tell once of each reason why messages are refused there."""
        if not isinstance(packet, PubAck | PubRec) or packet.reason < REFUSED:
            return
        if packet.reason not in self._told:
            self._told.add(packet.reason)
            why = words(packet.reason)
            _logger.warning("bridge %s: the other broker refuses messages: %s", self._name, why)

    def _hear(self, packet: Packet) -> None:
        match packet:
            case PingResp():
                pass
            case SubAck(packet_id=number) if number == self._subscribe_id:
                self._see_what_was_granted(packet)
                self._begin()
            case Disconnect(reason=reason, properties=properties):
                text = "the other broker closed the connection"
                raise ConnectionClosed(refused(text, reason, properties or Properties()))
            case _:
                raise _wrong(packet, "what a server sends")

    def _see_what_was_granted(self, packet: SubAck) -> None:
        for topic_filter, reason in zip(self._topics.remote_filters, packet.reasons, strict=False):
            if reason >= REFUSED:
                shown, why = topic_filter.decode(), words(reason)
                _logger.warning(
                    "bridge %s: the other broker refuses %r: %s", self._name, shown, why
                )

    # To the other broker

    @property
    def full(self) -> bool:
        """Whether so much waits to be sent there that only answers should go."""
        return self._link.full

    def pass_on(self, packet: Packet) -> None:
        """A packet of the session here."""
        if isinstance(packet, ANSWERS):
            self._put(packet)
        elif isinstance(packet, Publish):
            frame = self._translator.outward(packet)
            if frame is not None:
                self._link.put(frame)
            elif (answer := undeliverable(packet)) is not None:
                self._settling.append(answer)
                self._settle_asked.set()

    def local_ended(self, text: str) -> None:
        """The session here was taken by somebody else, or ended."""
        self._finish(ConnectionClosed(f"the session here has ended: {text}"))

    async def _settle(self) -> None:
        """End the way of messages that can't go to the other broker."""
        while True:
            await self._settle_asked.wait()
            self._settle_asked = trio.Event()
            answers, self._settling = self._settling, []
            await self._local.receive(answers)

    async def _beat(self) -> None:
        """Ask now and then whether the other broker is there."""
        while True:
            await trio.sleep_until(self._pulse.deadline)
            if self._pulse.look(trio.current_time()) and self._accepted:
                self._put(PingReq())

    def _put(self, packet: Packet) -> None:
        self._link.put(self._translator.answer(packet))

    def _sent(self) -> None:
        self._pulse.sent(trio.current_time())
        if self._accepted:
            self._local.pump()


def _wrong(packet: Packet, allowed: str) -> MQTTError:
    name = type(packet).__name__.upper()
    return MQTTError(f"the other broker sent {name}; allowed is {allowed}")
