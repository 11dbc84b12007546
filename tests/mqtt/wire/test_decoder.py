"""The decoder: what each packet means, and what each that is not allowed is answered with."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from speedo_trio.errors import MalformedPacket, MQTTError
from speedo_trio.mqtt.wire.decoder import MOST_FILTERS, OPTIONS, decode
from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.packets import Packet
from speedo_trio.mqtt.wire.reason_codes import ALLOWED_REASONS, ReasonCode
from speedo_trio.mqtt.wire.versions import Version
from tests.mqtt.wire.examples import BOTH_WAYS, READ_ONLY, V3, V4, V5, Example
from tests.mqtt.wire.streams import whole

MALFORMED = ReasonCode.MALFORMED_PACKET
PROTOCOL = ReasonCode.PROTOCOL_ERROR
VERSION = ReasonCode.UNSUPPORTED_PROTOCOL_VERSION
ALIAS = ReasonCode.TOPIC_ALIAS_INVALID


class Wrong(NamedTuple):
    """A packet that is not allowed: its version, first byte, what follows its length, and why."""

    version: Version
    head: int
    body: bytes
    reason: ReasonCode
    text: str


# clause: what is sent. The text is the beginning of what the error says.
WRONG: dict[str, Wrong] = {
    # Fixed header
    "2.1.2: type 0": Wrong(V5, 0x00, b"", MALFORMED, "the packet type is 0; allowed are 1 to 14"),
    "2.1.2: type 15 in 3.1.1": Wrong(V4, 0xF0, b"", MALFORMED, "the packet type is 15"),
    "2.1.2: type 15 in 3.1": Wrong(V3, 0xF0, b"", MALFORMED, "the packet type is 15"),
    "[MQTT-2.1.3-1] CONNECT": Wrong(V5, 0x11, b"", MALFORMED, "CONNECT has the flags 0x1"),
    "[MQTT-2.1.3-1] CONNACK": Wrong(V5, 0x28, b"\0\0\0", MALFORMED, "CONNACK has the flags 0x8"),
    "[MQTT-2.1.3-1] PUBACK": Wrong(V5, 0x42, b"\0\1", MALFORMED, "PUBACK has the flags 0x2"),
    "[MQTT-2.1.3-1] PUBREC": Wrong(V4, 0x52, b"\0\1", MALFORMED, "PUBREC has the flags 0x2"),
    "[MQTT-3.6.1-1] PUBREL 0": Wrong(V5, 0x60, b"\0\1", MALFORMED, "PUBREL has the flags 0x0"),
    "[MQTT-3.6.1-1] PUBREL 10": Wrong(V4, 0x6A, b"\0\1", MALFORMED, "PUBREL has the flags 0xa"),
    "[MQTT-2.1.3-1] PUBCOMP": Wrong(V5, 0x71, b"\0\1", MALFORMED, "PUBCOMP has the flags 0x1"),
    "[MQTT-3.8.1-1] SUBSCRIBE": Wrong(
        V5, 0x80, b"\0\1\0\0\1a\0", MALFORMED, "SUBSCRIBE has the flags 0x0; allowed are 0x2"
    ),
    "[MQTT-3.8.1-1] SUBSCRIBE, DUP in 3.1.1": Wrong(
        V4, 0x8A, b"\0\1\0\1a\0", MALFORMED, "SUBSCRIBE has the flags 0xa"
    ),
    "[MQTT-2.1.3-1] PUBACK, DUP in 3.1": Wrong(
        V3, 0x48, b"\0\1", MALFORMED, "PUBACK has the flags 0x8; allowed are 0x0"
    ),
    "[MQTT-2.1.3-1] PUBREL, QoS 2 in 3.1": Wrong(
        V3, 0x64, b"\0\1", MALFORMED, "PUBREL has the flags 0x4; allowed are 0x2"
    ),
    "[MQTT-2.1.3-1] SUBACK": Wrong(V4, 0x92, b"\0\1\0", MALFORMED, "SUBACK has the flags 0x2"),
    "[MQTT-3.10.1-1] UNSUBSCRIBE": Wrong(
        V5, 0xA0, b"\0\1\0\0\1a", MALFORMED, "UNSUBSCRIBE has the flags 0x0"
    ),
    "[MQTT-2.1.3-1] UNSUBACK": Wrong(V5, 0xB2, b"\0\1\0\0", MALFORMED, "UNSUBACK has the flags"),
    "[MQTT-2.1.3-1] PINGREQ": Wrong(V5, 0xC1, b"", MALFORMED, "PINGREQ has the flags 0x1"),
    "[MQTT-2.1.3-1] PINGRESP": Wrong(V4, 0xD8, b"", MALFORMED, "PINGRESP has the flags 0x8"),
    "[MQTT-3.14.1-1] DISCONNECT": Wrong(V5, 0xE1, b"", MALFORMED, "DISCONNECT has the flags 0x1"),
    "[MQTT-3.15.1-1] AUTH": Wrong(V5, 0xF2, b"", MALFORMED, "AUTH has the flags 0x2"),
    # CONNECT: what test_connect.py doesn't see
    "[MQTT-3.1.2-1] CONNECT": Wrong(
        V4, 0x10, b"\0\4mqtt\4\2\0\0\0\1c", VERSION, "the protocol name is b'mqtt'"
    ),
    "[MQTT-3.1.2-2] CONNECT": Wrong(
        V4, 0x10, b"\0\4MQTT\6\2\0\0\0\1c", VERSION, "the protocol level is 6 of b'MQTT'"
    ),
    # CONNACK
    "2.3: CONNACK, empty": Wrong(V4, 0x20, b"", MALFORMED, "CONNACK ends before its acknowledge"),
    "2.3: CONNACK, too short": Wrong(V4, 0x20, b"\0", MALFORMED, "CONNACK ends before its reason"),
    "2.3: CONNACK, too long": Wrong(
        V4, 0x20, b"\0\0\0", MALFORMED, "CONNACK goes on for 1 bytes after its end"
    ),
    "[MQTT-2.2.2-1] CONNACK, no property length": Wrong(
        V5, 0x20, b"\0\0", MALFORMED, "CONNACK ends before its property length"
    ),
    "[MQTT-3.2.2-1] CONNACK": Wrong(
        V5, 0x20, b"\2\0\0", MALFORMED, "CONNACK has the flags 0x02; allowed are 0 and 1"
    ),
    "[MQTT-3.2.2-6] CONNACK": Wrong(
        V5, 0x20, b"\1\x87\0", PROTOCOL, "CONNACK has a session with the reason code 0x87"
    ),
    "[MQTT3-3.2.2-4] CONNACK": Wrong(
        V4, 0x20, b"\1\5", PROTOCOL, "CONNACK has a session with the reason code 0x87"
    ),
    "[MQTT-3.2.2-8] CONNACK": Wrong(
        V5, 0x20, b"\0\1\0", PROTOCOL, "CONNACK has the reason code 0x01; allowed are 00, 80, 81,"
    ),
    "3.2.2.3: CONNACK in 3.1.1": Wrong(
        V4, 0x20, b"\0\6", PROTOCOL, "CONNACK has the reason code 0x06; allowed are 00, 01, 02, 03,"
    ),
    # PUBLISH
    "[MQTT-3.3.1-4] QoS 3": Wrong(V5, 0x36, b"\0\1a\0\1\0", MALFORMED, "PUBLISH has QoS 3"),
    "[MQTT-3.3.1-4] QoS 3, DUP, retained": Wrong(
        V4, 0x3F, b"\0\1a\0\1", MALFORMED, "PUBLISH has QoS 3; allowed are 0 to 2"
    ),
    "[MQTT-3.3.1-2] DUP and QoS 0": Wrong(V5, 0x38, b"\0\1a\0", MALFORMED, "PUBLISH has QoS 0 and"),
    "[MQTT-3.3.1-2] DUP and QoS 0, retained": Wrong(
        V4, 0x39, b"\0\1a", MALFORMED, "PUBLISH has QoS 0 and is marked DUP; that is allowed with"
    ),
    "2.3: PUBLISH, empty": Wrong(
        V4, 0x30, b"", MALFORMED, "PUBLISH ends 0 bytes into its length of the topic name"
    ),
    "[MQTT-3.3.2-1] half a length": Wrong(V4, 0x30, b"\0", MALFORMED, "PUBLISH ends 1 bytes into"),
    "[MQTT-3.3.2-1] half a name": Wrong(
        V4, 0x30, b"\0\3a/", MALFORMED, "PUBLISH ends 2 bytes into its topic name, which has 3"
    ),
    "[MQTT-3.3.2-2] +": Wrong(V4, 0x30, b"\0\3a/+", MALFORMED, "the topic name b'a/+' has a"),
    "[MQTT-3.3.2-2] #": Wrong(V5, 0x32, b"\0\1#\0\1\0", MALFORMED, "the topic name b'#' has a"),
    "[MQTT-1.5.4-1] no UTF-8": Wrong(
        V5, 0x30, b"\0\2a\xff\0", MALFORMED, "the topic name b'a\\xff"
    ),
    "[MQTT-1.5.4-1] a surrogate": Wrong(
        V5, 0x30, b"\0\3\xed\xa0\x80\0", MALFORMED, "the topic name b'\\xed\\xa0\\x80' is not UTF-8"
    ),
    "[MQTT3-1.5.3-1] an overlong slash": Wrong(
        V4, 0x30, b"\0\2\xc0\xaf", MALFORMED, "the topic name b'\\xc0\\xaf' is not UTF-8 at byte 0"
    ),
    "[MQTT-1.5.4-2] U+0000": Wrong(V5, 0x30, b"\0\1\0\0", MALFORMED, "the topic name b'\\x00' has"),
    "[MQTT3-1.5.3-2] U+0000": Wrong(
        V4, 0x30, b"\0\3a\0b", MALFORMED, "the topic name b'a\\x00b' has the character U+0000"
    ),
    "[MQTT-4.7.3-1] an empty name in 3.1.1": Wrong(
        V4, 0x30, b"\0\0p", MALFORMED, "the topic name is empty; allowed is one character or more"
    ),
    "3.3.2.1: an empty name, no properties": Wrong(
        V5, 0x30, b"\0\0\0p", PROTOCOL, "PUBLISH has an empty topic name; that is allowed with"
    ),
    "3.3.2.1: an empty name, no alias": Wrong(
        V5, 0x30, b"\0\0\2\1\1p", PROTOCOL, "PUBLISH has an empty topic name"
    ),
    "[MQTT-3.3.2-8] alias 0": Wrong(
        V5, 0x30, b"\0\1a\3\x23\0\0", ALIAS, "the property topic_alias is 0; allowed are 1 to 65535"
    ),
    "[MQTT-2.2.1-2] no packet identifier": Wrong(
        V4, 0x32, b"\0\1a\0", MALFORMED, "PUBLISH ends 1 bytes into its packet identifier"
    ),
    "[MQTT-2.2.1-3] packet identifier 0": Wrong(
        V5, 0x32, b"\0\1a\0\0\0", PROTOCOL, "PUBLISH has the packet identifier 0; allowed are 1 to"
    ),
    "[MQTT3-2.3.1-1] packet identifier 0": Wrong(
        V4, 0x34, b"\0\1a\0\0p", PROTOCOL, "PUBLISH has the packet identifier 0"
    ),
    "[MQTT-2.2.2-1] PUBLISH, no property length": Wrong(
        V5, 0x30, b"\0\1a", MALFORMED, "PUBLISH ends before its property length"
    ),
    "[MQTT-3.3.2-14] a response topic with a wildcard": Wrong(
        V5, 0x30, b"\0\1a\6\x08\0\3r/+", MALFORMED, "the response_topic b'r/+' has a wildcard"
    ),
    # Answers
    "[MQTT-2.2.1-5] PUBACK 0": Wrong(V5, 0x40, b"\0\0", PROTOCOL, "PUBACK has the packet identif"),
    "[MQTT-2.2.1-5] PUBREC 0": Wrong(V4, 0x50, b"\0\0", PROTOCOL, "PUBREC has the packet identif"),
    "[MQTT-2.2.1-5] PUBREL 0": Wrong(V5, 0x62, b"\0\0", PROTOCOL, "PUBREL has the packet identif"),
    "[MQTT-2.2.1-5] PUBCOMP 0": Wrong(V4, 0x70, b"\0\0", PROTOCOL, "PUBCOMP has the packet ident"),
    "2.3: PUBACK, too short": Wrong(V4, 0x40, b"\1", MALFORMED, "PUBACK ends 1 bytes into its"),
    "2.3: PUBACK, too long": Wrong(V4, 0x40, b"\0\1\0", MALFORMED, "PUBACK goes on for 1 bytes"),
    "2.3: PUBREL, too long": Wrong(V5, 0x62, b"\0\1\0\0\0", MALFORMED, "PUBREL goes on for 1 byt"),
    "[MQTT-3.4.2-1] PUBACK": Wrong(
        V5, 0x40, b"\0\1\x92", PROTOCOL, "PUBACK has the reason code 0x92; allowed are 00, 10, 80,"
    ),
    "[MQTT-3.5.2-1] PUBREC": Wrong(V5, 0x50, b"\0\1\1", PROTOCOL, "PUBREC has the reason code 0x"),
    "[MQTT-3.6.2-1] PUBREL": Wrong(V5, 0x62, b"\0\1\x80", PROTOCOL, "PUBREL has the reason code"),
    "[MQTT-3.7.2-1] PUBCOMP": Wrong(V5, 0x70, b"\0\1\x10", PROTOCOL, "PUBCOMP has the reason cod"),
    # SUBSCRIBE, UNSUBSCRIBE
    "[MQTT-2.2.1-3] SUBSCRIBE 0": Wrong(
        V5, 0x82, b"\0\0\0\0\1a\0", PROTOCOL, "SUBSCRIBE has the packet identifier 0"
    ),
    "[MQTT-2.2.1-3] UNSUBSCRIBE 0": Wrong(
        V4, 0xA2, b"\0\0\0\1a", PROTOCOL, "UNSUBSCRIBE has the packet identifier 0"
    ),
    "[MQTT-3.8.3-2] no filter": Wrong(
        V5, 0x82, b"\0\1\0", PROTOCOL, "SUBSCRIBE has no topic filter; allowed is one or more"
    ),
    "[MQTT3-3.8.3-3] no filter": Wrong(V4, 0x82, b"\0\1", PROTOCOL, "SUBSCRIBE has no topic filt"),
    "[MQTT-3.10.3-2] no filter": Wrong(V5, 0xA2, b"\0\1\0", PROTOCOL, "UNSUBSCRIBE has no topic "),
    "[MQTT-3.10.3-2] no filter in 3.1.1": Wrong(V4, 0xA2, b"\0\1", PROTOCOL, "UNSUBSCRIBE has no"),
    "[MQTT-3.8.3-1] no UTF-8": Wrong(
        V4, 0x82, b"\0\1\0\1\x80\0", MALFORMED, "the topic filter b'\\x80' is not UTF-8 at byte 0"
    ),
    "[MQTT-3.10.3-1] no UTF-8": Wrong(
        V5, 0xA2, b"\0\1\0\0\1\x80", MALFORMED, "the topic filter b'\\x80' is not UTF-8"
    ),
    "[MQTT-4.7.3-2] a filter with U+0000": Wrong(
        V5, 0x82, b"\0\1\0\0\1\0\0", MALFORMED, "the topic filter b'\\x00' has the character U+0000"
    ),
    "[MQTT-4.7.3-1] an empty filter": Wrong(
        V5, 0x82, b"\0\1\0\0\0\0", MALFORMED, "the topic filter is empty"
    ),
    "[MQTT-4.7.3-1] an empty filter to leave": Wrong(
        V4, 0xA2, b"\0\1\0\0", MALFORMED, "the topic filter is empty"
    ),
    "3.8.3: no options": Wrong(
        V4, 0x82, b"\0\1\0\1a", MALFORMED, "SUBSCRIBE ends before its subscription options"
    ),
    "3.8.3: half a filter": Wrong(
        V4, 0x82, b"\0\1\0\1a\0\0", MALFORMED, "SUBSCRIBE ends 1 bytes into its length of the topic"
    ),
    "[MQTT-3.8.3-5] bit 6": Wrong(
        V5, 0x82, b"\0\1\0\0\1a\x40", MALFORMED, "the subscription options are 0x40; allowed are bi"
    ),
    "[MQTT-3.8.3-5] bit 7": Wrong(
        V5, 0x82, b"\0\1\0\0\1a\x83", MALFORMED, "the subscription options are 0x83; allowed are bi"
    ),
    "3.8.3.1: QoS 3": Wrong(
        V5, 0x82, b"\0\1\0\0\1a\3", PROTOCOL, "the subscription options are 0x03; allowed are QoS 0"
    ),
    "3.8.3.1: Retain Handling 3": Wrong(
        V5, 0x82, b"\0\1\0\0\1a\x30", PROTOCOL, "the subscription options are 0x30; allowed are QoS"
    ),
    "[MQTT3-3.8.3-4] QoS 3": Wrong(V4, 0x82, b"\0\1\0\1a\3", MALFORMED, "the requested QoS is 3"),
    "[MQTT3-3.8.3-4] options of 5.0": Wrong(
        V4, 0x82, b"\0\1\0\1a\4", MALFORMED, "the requested QoS is 4; allowed are 0 to 2"
    ),
    "[MQTT3-3.8.3-4] options of 5.0 in 3.1": Wrong(
        V3, 0x82, b"\0\1\0\1a\4", MALFORMED, "the requested QoS is 4"
    ),
    "[MQTT-3.8.3-4] No Local and shared": Wrong(
        *(V5, 0x82, b"\0\1\0\0\x0a$share/g/a\4", PROTOCOL),
        "b'$share/g/a' is shared and No Local; allowed is one of the two",
    ),
    "3.8.2.1.2: subscription identifier 0": Wrong(
        *(V5, 0x82, b"\0\1\2\x0b\0\0\1a\0", PROTOCOL),
        "the property subscription_identifiers is 0; allowed are 1 to 268435455",
    ),
    # SUBACK, UNSUBACK
    "[MQTT-2.2.1-6] SUBACK 0": Wrong(V4, 0x90, b"\0\0\0", PROTOCOL, "SUBACK has the packet ident"),
    "[MQTT-2.2.1-6] UNSUBACK 0": Wrong(V4, 0xB0, b"\0\0", PROTOCOL, "UNSUBACK has the packet ide"),
    "[MQTT-3.8.4-6] SUBACK of nothing": Wrong(
        V5, 0x90, b"\0\1\0", PROTOCOL, "SUBACK has no reason code; allowed is one or more"
    ),
    "[MQTT-3.8.4-6] SUBACK of nothing in 3.1.1": Wrong(
        V4, 0x90, b"\0\1", PROTOCOL, "SUBACK has no reason code"
    ),
    "3.11.3: UNSUBACK of nothing": Wrong(V5, 0xB0, b"\0\1\0", PROTOCOL, "UNSUBACK has no reason"),
    "[MQTT-3.9.3-2] SUBACK": Wrong(
        V5,
        0x90,
        b"\0\1\0\0\3",
        PROTOCOL,
        "SUBACK has the reason code 0x03; allowed are 00, 01, 02,",
    ),
    "[MQTT3-3.9.3-2] SUBACK": Wrong(
        V4,
        0x90,
        b"\0\1\x87",
        PROTOCOL,
        "SUBACK has the reason code 0x87; allowed are 00, 01, 02, 8",
    ),
    "[MQTT-3.11.3-2] UNSUBACK": Wrong(
        V5, 0xB0, b"\0\1\0\x10", PROTOCOL, "UNSUBACK has the reason code 0x10; allowed are 00, 11,"
    ),
    "2.3: UNSUBACK, reasons in 3.1.1": Wrong(
        V4, 0xB0, b"\0\1\0", MALFORMED, "UNSUBACK goes on for 1 bytes after its end"
    ),
    # PINGREQ, PINGRESP, DISCONNECT, AUTH
    "2.3: PINGREQ, a body": Wrong(V5, 0xC0, b"\0", MALFORMED, "PINGREQ goes on for 1 bytes"),
    "2.3: PINGRESP, a body": Wrong(V4, 0xD0, b"\0", MALFORMED, "PINGRESP goes on for 1 bytes"),
    "2.3: DISCONNECT, a body in 3.1.1": Wrong(V4, 0xE0, b"\0", MALFORMED, "DISCONNECT goes on for"),
    "2.3: DISCONNECT, too long": Wrong(V5, 0xE0, b"\0\0\0", MALFORMED, "DISCONNECT goes on for 1"),
    "[MQTT-3.14.2-1] DISCONNECT": Wrong(
        V5, 0xE0, b"\x84", PROTOCOL, "DISCONNECT has the reason code 0x84; allowed are 00, 04, 80, "
    ),
    "[MQTT-3.15.2-1] AUTH": Wrong(
        V5, 0xF0, b"\x87\0", PROTOCOL, "AUTH has the reason code 0x87; allowed are 00, 18, 19"
    ),
    "3.15.2.1: AUTH, no property length": Wrong(
        V5, 0xF0, b"\x18", MALFORMED, "AUTH ends before its property length"
    ),
    "3.15.2.2.2: AUTH without properties": Wrong(
        V5, 0xF0, b"\x18\0", PROTOCOL, "AUTH has no authentication method; allowed is one"
    ),
    "3.15.2.2.2: AUTH without a method": Wrong(
        V5, 0xF0, b"\x18\4\x16\0\1d", PROTOCOL, "AUTH has no authentication method"
    ),
}


@pytest.mark.parametrize("name", [*BOTH_WAYS, *READ_ONLY])
def test_bytes_have_a_meaning(name: str) -> None:
    """The bytes of the table are the packet beside them."""
    example: Example = {**BOTH_WAYS, **READ_ONLY}[name]
    packet: Packet = decode(*whole(example.data), example.version)

    assert example.packet == packet


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_allowed(name: str) -> None:
    """The clause is kept: the error has the reason code that the standard says, and tells what."""
    wrong = WRONG[name]
    with pytest.raises(MQTTError) as caught:
        decode(wrong.head, wrong.body, wrong.version)

    assert wrong.reason == caught.value.reason
    assert (wrong.reason is MALFORMED) == isinstance(caught.value, MalformedPacket)
    assert str(caught.value).startswith(wrong.text)
    assert "allowed" in str(caught.value)


@pytest.mark.parametrize("name", [*BOTH_WAYS, *READ_ONLY])
def test_a_body_that_is_cut_off_or_goes_on(name: str) -> None:
    """Fewer bytes are another packet of the kind or an error, and never another exception."""
    example = {**BOTH_WAYS, **READ_ONLY}[name]
    head, body = whole(example.data)
    for end in range(min(len(body), 200)):
        try:
            decode(head, body[:end], example.version)
        except MQTTError:
            pass
    if head >> 4 not in (PacketType.PUBLISH, PacketType.SUBACK, PacketType.UNSUBACK):
        with pytest.raises(MQTTError):
            decode(head, body + b"\0\0\0", example.version)


@pytest.mark.parametrize("kind", ALLOWED_REASONS)
def test_reason_codes_of_a_type(kind: PacketType) -> None:
    """Exactly those of the type's table are read in 5.0."""
    method = b"\x04\x15\0\1m"
    bodies = {
        PacketType.CONNACK: b"\0%c\0",
        PacketType.SUBACK: b"\0\1\0%c",
        PacketType.UNSUBACK: b"\0\1\0%c",
        PacketType.DISCONNECT: b"%c",
        PacketType.AUTH: b"%c" + method,
    }
    head = kind << 4 | (2 if kind is PacketType.PUBREL else 0)
    read = set()
    for value in range(0x100):
        try:
            decode(head, bodies.get(kind, b"\0\1%c") % value, V5)
        except MQTTError:
            continue
        read.add(value)

    assert set(ALLOWED_REASONS[kind]) == read


def test_every_byte_of_options() -> None:
    """36 bytes are allowed in 5.0, and 3 before; what each bit means is as in section 3.8.3.1."""
    for byte, options in OPTIONS.items():
        assert options.qos == byte & 3
        assert options.no_local == bool(byte & 4)
        assert options.retain_as_published == bool(byte & 8)
        assert options.retain_handling == byte >> 4

    for version, count in ((V5, 36), (V4, 3), (V3, 3)):
        properties = b"\0" if version is V5 else b""
        read = 0
        for byte in range(0x100):
            try:
                decode(0x82, b"\0\1" + properties + b"\0\1a" + bytes((byte,)), version)
            except MQTTError:
                continue
            read += 1
        assert count == read


@pytest.mark.parametrize("version", Version)
@pytest.mark.parametrize(("head", "end"), [(0x82, b"\0"), (0xA2, b"")], ids=["SUB", "UNSUB"])
def test_filters_of_a_packet_are_bounded(version: Version, head: int, end: bytes) -> None:
    """However large a packet may be: all others wait while it is dealt with."""
    begin = b"\0\1" + b"\0" * (version is V5)
    decode(head, begin + (b"\0\1a" + end) * MOST_FILTERS, version)

    with pytest.raises(MQTTError, match="has more than 10000 topic filters; allowed") as caught:
        decode(head, begin + (b"\0\1a" + end) * (MOST_FILTERS + 1), version)
    assert caught.value.reason is ReasonCode.QUOTA_EXCEEDED
