"""Answers: what is told of a reason, and what is left out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from speedo_trio.mqtt.state.answers import allowed, disconnection, fitting, refusal, unsupported
from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.packets import (
    ConnAck,
    Disconnect,
    Packet,
    PubAck,
    PubRec,
    SubAck,
    UnsubAck,
)
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reader import MOST_PACKET_BYTES, PacketReader
from speedo_trio.mqtt.wire.reason_codes import ALLOWED_REASONS, ReasonCode
from speedo_trio.mqtt.wire.versions import Version

V5, V311 = Version.MQTT_5_0, Version.MQTT_3_1_1
DENIED = ReasonCode.NOT_AUTHORIZED
MOST = MOST_PACKET_BYTES

MAKERS: dict[str, Callable[[Properties | None], Packet]] = {
    "CONNACK": lambda told: ConnAck(DENIED, properties=told),
    "PUBACK": lambda told: PubAck(1, DENIED, told),
    "PUBREC": lambda told: PubRec(1, DENIED, told),
    "SUBACK": lambda told: SubAck(1, [DENIED], told),
    "UNSUBACK": lambda told: UnsubAck(1, [DENIED], told),
    "DISCONNECT": lambda told: Disconnect(DENIED, told),
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_reason_string_that_does_not_fit(name: str) -> None:
    """[MQTT-3.2.2-19] [MQTT-3.4.2-2] [MQTT-3.5.2-2] [MQTT-3.9.2-1] [MQTT-3.11.2-1].

    [MQTT-3.14.2-3] [MQTT-3.1.2-24] It is left out; what doesn't fit even so is not sent.
    """
    make = MAKERS[name]
    with_text = encode(make(Properties(reason_string="text")), V5)
    without = encode(make(None), V5)
    size = len(with_text)

    assert with_text == fitting(make, V5, size, "text")
    assert without == fitting(make, V5, size - 1, "text")
    assert without == fitting(make, V5, len(without))
    assert b"" == fitting(make, V5, len(without) - 1)


def test_before_5_0_there_is_no_reason_string() -> None:
    """It is left out."""
    assert b"\x40\x02\0\1" == fitting(lambda told: PubAck(1, DENIED, told), V311, MOST, "text")


@pytest.mark.parametrize("reason", [each for each in ReasonCode if each >= 0x80])
def test_every_reason_can_be_given(reason: ReasonCode) -> None:
    """[MQTT-3.2.2-8] [MQTT-3.14.2-1] [MQTT-3.2.2-6] As it is, or as one that can be told."""
    (connack,) = PacketReader(V5).feed(refusal(reason, V5, MOST))
    (disconnect,) = PacketReader(V5).feed(disconnection(reason, V5, MOST))

    assert isinstance(connack, ConnAck)
    assert isinstance(disconnect, Disconnect)
    assert not connack.session_present
    for packet, kind in ((connack, PacketType.CONNACK), (disconnect, PacketType.DISCONNECT)):
        if reason in ALLOWED_REASONS[kind]:
            assert reason is packet.reason
        else:
            assert packet.reason in {ReasonCode.UNSPECIFIED_ERROR, ReasonCode.SERVER_UNAVAILABLE}
    assert b"" == disconnection(reason, V311, MOST)
    assert refusal(reason, V311, MOST)[:3] in {b"", b"\x20\x02\0"}


def test_where_another_server_is() -> None:
    """Told with the two reasons that it is for, and no others."""
    for make in (refusal, disconnection):
        for reason, told in (
            (ReasonCode.USE_ANOTHER_SERVER, "there"),
            (ReasonCode.SERVER_MOVED, "there"),
            (ReasonCode.SERVER_BUSY, None),
        ):
            (packet,) = PacketReader(V5).feed(make(reason, V5, MOST, "", "there"))
            assert isinstance(packet, ConnAck | Disconnect)
            assert told == (packet.properties and packet.properties.server_reference)


@pytest.mark.parametrize(
    ("level", "answer"),
    [(None, b""), (2, b"\x20\2\0\1"), (3, b"\x20\2\0\1"), (6, b"\x20\3\0\x84\0")],
)
def test_unsupported_levels(level: int | None, answer: bytes) -> None:
    """[MQTT-3.1.2-2] [MQTT3-3.1.2-2] [MQTT-3.1.2-1] In the form of what is nearest to it."""
    assert answer == unsupported(level)


def test_a_version_that_is_not_known_gets_nothing() -> None:
    """[MQTT-3.1.0-1] Before CONNECT there is nothing to say."""
    assert b"" == refusal(DENIED, None, MOST)


def test_reasons_of_other_packets() -> None:
    """They become 0x80."""
    assert ReasonCode.UNSPECIFIED_ERROR is allowed(ReasonCode.BANNED, PacketType.PUBACK)
    assert ReasonCode.QUOTA_EXCEEDED is allowed(ReasonCode.QUOTA_EXCEEDED, PacketType.PUBACK)
