"""The translator: messages in the other broker's words, and back."""

from __future__ import annotations

from typing import Any

import pytest

from speedo_trio.mqtt import BridgeTopic, Capabilities, Properties, ReasonCode, Version
from speedo_trio.mqtt.bridging.topics import TopicMap
from speedo_trio.mqtt.bridging.translator import Translator, undeliverable, unwanted
from speedo_trio.mqtt.wire.packets import Packet, PubAck, PubComp, Publish, PubRec
from speedo_trio.mqtt.wire.reader import PacketReader

RULES = TopicMap([BridgeTopic(filter="#", direction="both", qos=2, remote_prefix="there/")])


def translator(version: Version = Version.MQTT_5_0, **server: Any) -> Translator:
    """To a server that told this of itself."""
    return Translator(RULES, version, Properties(**server), Capabilities())


def decoded(frame: bytes | None, version: Version = Version.MQTT_5_0) -> Packet:
    """The packet."""
    assert frame is not None
    (packet,) = PacketReader(version).feed(frame)
    return packet


@pytest.mark.parametrize("version", Version)
def test_outward(version: Version) -> None:
    """Everything but the topic stays, as far as the version knows it."""
    properties = Properties(user=(("k", "v"),), message_expiry_interval=5)
    message = Publish(b"a", b"x", 2, True, True, 7, properties)
    told = properties if version is Version.MQTT_5_0 else None

    assert decoded(translator(version).outward(message), version) == Publish(
        b"there/a", b"x", 2, True, True, 7, told
    )


@pytest.mark.parametrize(
    ("server", "publish"),
    [
        ({"maximum_qos": 1}, Publish(b"a", b"x", 2, packet_id=1)),
        ({"maximum_packet_size": 12}, Publish(b"a", b"1234")),
        ({}, Publish(b"a" * 65_535)),
    ],
)
def test_what_can_not_go(server: dict[str, Any], publish: Publish) -> None:
    """The server doesn't take it, or nobody could."""
    assert translator(**server).outward(publish) is None
    assert translator(maximum_packet_size=14).outward(Publish(b"a", b"1")) is not None


def test_a_server_that_retains_nothing() -> None:
    """It gets the message all the same."""
    packet = decoded(translator(retain_available=False).outward(Publish(b"a", retain=True)))

    assert packet == Publish(b"there/a", properties=None)


def test_inward() -> None:
    """What concerned the other broker and this bridge only is left out."""
    properties = Properties(user=(("k", "v"),), subscription_identifiers=(3,))
    message = Publish(b"there/a", b"x", 1, True, True, 7, properties, raw=b"raw")
    found = translator().inward(message)

    assert found == Publish(b"a", b"x", 1, True, True, 7, Properties(user=(("k", "v"),)))
    assert found is not None
    assert found.raw is None
    assert translator().inward(Publish(b"elsewhere")) is None
    own = Capabilities(retain_available=False)
    nothing = Translator(RULES, Version.MQTT_5_0, Properties(), own)
    assert nothing.inward(Publish(b"there/a", retain=True)) == Publish(b"a")


def test_answers() -> None:
    """They change their form only; before 5.0 there is no reason."""
    lost = PubComp(1, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND)
    assert decoded(translator().answer(lost)) == lost
    old = Version.MQTT_3_1_1
    assert decoded(translator(old).answer(lost), old) == PubComp(1)


def test_the_end_of_a_way() -> None:
    """What can't go on is answered here, or there."""
    assert undeliverable(Publish(b"a")) is None
    assert undeliverable(Publish(b"a", b"", 1, packet_id=3)) == PubAck(3, ReasonCode(0x80))
    assert undeliverable(Publish(b"a", b"", 2, packet_id=3)) == PubRec(3, ReasonCode(0x80))
    assert unwanted(Publish(b"a")) is None
    assert unwanted(Publish(b"a", b"", 1, packet_id=3)) == PubAck(3)
    assert unwanted(Publish(b"a", b"", 2, packet_id=3)) == PubRec(3)
