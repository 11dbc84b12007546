"""The translator: what is said here in the words of the other broker's version, and back.

The session that a bridge has here sends messages with packet identifiers, and waits for answers.
The bridge passes both on as they are, so it need not remember anything: it is the session that
knows what the other broker has not acknowledged, and sends that again.

Next: `speedo_trio.mqtt.bridging.local`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import evolve

from speedo_trio.errors import UnsendablePacket
from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packets import PubAck, PubComp, Publish, PubRec, PubRel
from speedo_trio.mqtt.wire.reader import MOST_PACKET_BYTES
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.versions import Version

if TYPE_CHECKING:
    from speedo_trio.mqtt.bridging.topics import TopicMap
    from speedo_trio.mqtt.state.capabilities import Capabilities
    from speedo_trio.mqtt.wire.packets import Packet
    from speedo_trio.mqtt.wire.properties import Properties

ANSWERS: Final = (PubAck, PubRec, PubRel, PubComp)
"""What is passed on with nothing changed but its form."""


class Translator:
    """Between this broker and one that was connected to."""

    def __init__(
        self, topics: TopicMap, version: Version, server: Properties, own: Capabilities
    ) -> None:
        """Args: the rules, what the other speaks, what it told of itself, what holds here."""
        self._topics = topics
        self._version = version
        self._server = server
        self._own = own

    @property
    def most_qos(self) -> int:
        """The QoS that the other broker takes at most."""
        return 2 if self._server.maximum_qos is None else self._server.maximum_qos

    def outward(self, publish: Publish) -> bytes | None:
        """The bytes of a message for the other broker; None: it can't go there."""
        topic = self._topics.outward(publish.topic)
        if topic is None or publish.qos > self.most_qos:
            return None
        retain = publish.retain and self._server.retain_available is not False
        five = self._version is Version.MQTT_5_0
        properties = publish.properties if five else None
        if properties is not None and properties.subscription_identifiers:
            properties = evolve(properties, subscription_identifiers=())
        try:
            frame = encode(
                evolve(publish, topic=topic, retain=retain, properties=properties), self._version
            )
        except UnsendablePacket:  # the topic has become too long
            return None
        most = self._server.maximum_packet_size or MOST_PACKET_BYTES
        return frame if len(frame) <= most else None

    def answer(self, packet: Packet) -> bytes:
        """The bytes of an answer, or of any other packet, for the other broker."""
        return encode(packet, self._version)

    def inward(self, publish: Publish) -> Publish | None:
        """A message of the other broker as it is published here; None: it isn't."""
        topic = self._topics.inward(publish.topic)
        if topic is None:
            return None
        properties = publish.properties
        if properties is not None:
            properties = evolve(properties, subscription_identifiers=(), topic_alias=None)
        retain = publish.retain and self._own.retain_available
        # Not `raw`, which has the other topic.
        return evolve(publish, topic=topic, retain=retain, properties=properties, raw=None)


def undeliverable(publish: Publish) -> Packet | None:
    """The answer that ends the way of a message from here that can't go to the other broker."""
    if publish.qos == 1:
        return PubAck(publish.packet_id, ReasonCode.UNSPECIFIED_ERROR)
    if publish.qos == 2:
        return PubRec(publish.packet_id, ReasonCode.UNSPECIFIED_ERROR)
    return None


def unwanted(publish: Publish) -> Packet | None:
    """The answer to a message of the other broker that is not published here."""
    if publish.qos == 1:
        return PubAck(publish.packet_id)
    if publish.qos == 2:
        return PubRec(publish.packet_id)
    return None
