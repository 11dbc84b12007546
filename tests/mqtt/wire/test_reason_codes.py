"""Reason codes: the standard's numbers, and what they are in 3.1.1."""

from __future__ import annotations

import pytest

from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.reason_codes import (
    ALLOWED_REASONS,
    CONNECT_REASONS,
    CONNECT_RETURN_CODES,
    ReasonCode,
)

DISCONNECT = {
    *(0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F, 0x90, 0x93),
    *(0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2),
}
CONNACK = {
    *(0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95),
    *(0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F),
}
SUBACK = {0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2}
PUBLISHED = {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (PacketType.CONNACK, CONNACK),
        (PacketType.PUBACK, PUBLISHED),
        (PacketType.PUBREC, PUBLISHED),
        (PacketType.PUBREL, {0x00, 0x92}),
        (PacketType.PUBCOMP, {0x00, 0x92}),
        (PacketType.SUBACK, SUBACK),
        (PacketType.UNSUBACK, {0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91}),
        (PacketType.DISCONNECT, DISCONNECT),
        (PacketType.AUTH, {0x00, 0x18, 0x19}),
    ],
)
def test_what_a_type_may_say(kind: PacketType, values: set[int]) -> None:
    """The tables of the sections on the packets."""
    assert values == set(ALLOWED_REASONS[kind])


def test_every_code_is_of_some_type() -> None:
    """43 numbers (section 2.4), each of which a packet may have."""
    assert len(ReasonCode) == 43
    assert {*ReasonCode} == {code for codes in ALLOWED_REASONS.values() for code in codes.values()}


def test_names_of_0() -> None:
    """They are one member."""
    names = ("SUCCESS", "NORMAL_DISCONNECTION", "GRANTED_QOS_0")

    assert {ReasonCode[name] for name in names} == {ReasonCode.SUCCESS}


def test_return_codes_come_back() -> None:
    """What each of 3.1.1's codes means is sent as that code."""
    for code, reason in CONNECT_REASONS.items():
        assert code == CONNECT_RETURN_CODES[reason]
    assert set(CONNECT_RETURN_CODES) <= set(ALLOWED_REASONS[PacketType.CONNACK].values())
