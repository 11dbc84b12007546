"""First packets that are refused, byte by byte from the standards, and what leaves the server.

The tables of `refused_packets` are those of what comes after.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.mqtt.wire.streams import with_length

SILENCE = b""
OTHER_LEVEL = b"\x20\x02\x00\x01"
"""Unacceptable protocol version: 3.1.1, section 3.1.2.2."""
NO_SUCH_ID = b"\x20\x02\x00\x02"
"""Identifier rejected: 3.1.1, section 3.1.3.1."""
LATER_LEVEL = b"\x20\x03\x00\x84\x00"
"""Unsupported protocol version: 5.0, section 3.1.2.2."""


class First(NamedTuple):
    """What a client begins with, and what it gets before the connection closes."""

    data: bytes
    answer: bytes | int
    """All the bytes; or the reason code of a CONNACK of 5.0, which may tell more."""


MALFORMED, PROTOCOL = 0x81, 0x82

_NAMES = {3: b"\0\6MQIsdp\3", 4: b"\0\4MQTT\4", 5: b"\0\4MQTT\5"}


def connect(
    version: int, flags: int = 2, fields: bytes = b"\0\1c", properties: bytes = b""
) -> bytes:
    """A CONNECT with a keep alive of 60 s; the properties without their length."""
    if version == 5:
        fields = bytes((len(properties),)) + properties + fields
    return with_length(0x10, _NAMES[version] + bytes((flags, 0, 60)) + fields)


def _with(properties: bytes, answer: int = PROTOCOL) -> First:
    return First(connect(5, properties=properties), answer)


def _will(properties: bytes, answer: int = PROTOCOL) -> First:
    """A will with properties."""
    given = bytes((len(properties),)) + properties
    return First(connect(5, 6, b"\0\1c" + given + b"\0\1w\0\0"), answer)


NOT_CONNECT = {
    f"[MQTT-3.1.0-1] a first packet of type {data[0] >> 4}": First(data, SILENCE)
    for data in (
        b"\x00\x00",
        b"\x20\x02\x00\x00",
        b"\x30\x04\x00\x01ax",
        b"\x40\x02\x00\x01",
        b"\x50\x02\x00\x01",
        b"\x62\x02\x00\x01",
        b"\x70\x02\x00\x01",
        b"\x82\x06\x00\x01\x00\x01a\x00",
        b"\x90\x03\x00\x01\x00",
        b"\xa2\x05\x00\x01\x00\x01a",
        b"\xb0\x02\x00\x01",
        b"\xc0\x00",
        b"\xd0\x00",
        b"\xe0\x00",
        b"\xf0\x00",
    )
} | {
    "[MQTT-3.1.0-1] HTTP": First(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", SILENCE),
    "[MQTT-3.1.0-1] TLS": First(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", SILENCE),
    "[MQTT-3.1.0-1] a PROXY header": First(b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n", SILENCE),
}
"""Whatever is not a CONNECT: nothing tells which version would understand an answer."""

HEADS = {
    f"[MQTT-2.1.3-1] CONNECT with the flags {flags}": First(
        bytes((0x10 | flags,)) + connect(5)[1:], SILENCE
    )
    for flags in range(1, 16)
} | {
    "[MQTT-1.5.5-1] a length of five bytes": First(b"\x10\xff\xff\xff\xff\x01", SILENCE),
    "[MQTT-1.5.5-1] a length longer than need be": First(b"\x10\x8d\x00" + connect(4)[2:], SILENCE),
    "2.1.4: the longest length": First(b"\x10\xff\xff\xff\x7f", SILENCE),
    "2.1.4: a length over the server's limit": First(b"\x10\x80\x08", SILENCE),
    "2.1.4: a length of 0": First(b"\x10\x00", SILENCE),
    "2.1.4: a length that ends in the name": First(b"\x10\x05\x00\x04MQT", SILENCE),
    "2.1.4: a length that ends before the level": First(b"\x10\x06\x00\x04MQTT", SILENCE),
    "2.1.4: a length that ends before the flags, 5.0": First(
        b"\x10\x07\x00\x04MQTT\x05", MALFORMED
    ),
    "2.1.4: a length that ends before the flags, 3.1.1": First(
        b"\x10\x07\x00\x04MQTT\x04", SILENCE
    ),
    "[MQTT-3.1.2-1] a length of the name that lies": First(
        b"\x10\x0d\x00\xffMQTT" + bytes(7), SILENCE
    ),
}
"""Fixed headers that are none."""

NAMES = {
    f"[MQTT-3.1.2-1] the name {name!r}": First(
        with_length(0x10, len(name).to_bytes(2) + name + b"\4\2\0\0\0\1c"), SILENCE
    )
    for name in (b"", b"MQT", b"mqtt", b"MQTTT", b"MQISDP", b"HTTP", b"\xff\xff")
} | {
    f"[MQTT-3.1.2-2] [MQTT3-3.1.2-2] level {level:#x} of {name.decode()}": First(
        with_length(0x10, len(name).to_bytes(2) + name + bytes((level,)) + b"\2\0\0\0\0\1c"),
        LATER_LEVEL if level > 5 else OTHER_LEVEL,
    )
    for name, levels in ((b"MQTT", (0, 1, 3, 6, 0x85, 0xFF)), (b"MQIsdp", (0, 2, 4, 5, 6, 0x84)))
    for level in levels
}

BEFORE_5 = {
    "[MQTT-3.1.2-3] the reserved flag": First(connect(4, 3), SILENCE),
    "[MQTT3-3.1.2-14] a will with QoS 3": First(connect(4, 0x1E, b"\0\1c\0\1w\0\0"), SILENCE),
    "[MQTT3-3.1.2-13] QoS and no will": First(connect(4, 0x0A), SILENCE),
    "[MQTT3-3.1.2-15] retain and no will": First(connect(4, 0x22), SILENCE),
    "[MQTT3-3.1.2-22] a password and no user name": First(connect(4, 0x42, b"\0\1c\0\1p"), SILENCE),
    "[MQTT3-3.1.2-22] the same in 3.1": First(connect(3, 0x42, b"\0\1c\0\1p"), SILENCE),
    "3.1.3: no client identifier": First(connect(4, 2, b""), SILENCE),
    "3.1.3: half a client identifier": First(connect(4, 2, b"\0\2c"), SILENCE),
    "[MQTT-3.1.2-9] no will topic": First(connect(4, 6), SILENCE),
    "[MQTT-3.1.2-9] no will payload": First(connect(4, 6, b"\0\1c\0\1w"), SILENCE),
    "[MQTT-3.1.2-17] no user name": First(connect(4, 0x82), SILENCE),
    "[MQTT-3.1.2-19] no password": First(connect(4, 0xC2, b"\0\1c\0\1u"), SILENCE),
    "[MQTT-3.1.2-16] more than is announced": First(connect(4, 2, b"\0\1c\0\1u"), SILENCE),
    "[MQTT-3.1.2-18] a password that is not announced": First(
        connect(4, 0x82, b"\0\1c\0\1u\0\1p"), SILENCE
    ),
    "[MQTT3-1.5.3-1] a client identifier, no UTF-8": First(connect(4, 2, b"\0\1\xff"), SILENCE),
    "[MQTT3-1.5.3-2] a client identifier, U+0000": First(connect(4, 2, b"\0\1\0"), SILENCE),
    "[MQTT3-3.1.3-10] a will topic, overlong UTF-8": First(
        connect(4, 6, b"\0\1c\0\2\xc0\x80\0\0"), SILENCE
    ),
    "[MQTT-4.7.3-1] an empty will topic": First(connect(4, 6, b"\0\1c\0\0\0\0"), SILENCE),
    "[MQTT3-4.7.1-1] a will topic with #": First(connect(4, 6, b"\0\1c\0\3w/#\0\0"), SILENCE),
    "[MQTT3-3.1.3-11] a user name, no UTF-8": First(connect(4, 0x82, b"\0\1c\0\1\xff"), SILENCE),
    "[MQTT3-3.1.3-8] no identifier for a session that stays": First(
        connect(4, 0, b"\0\0"), NO_SUCH_ID
    ),
    "[MQTT3-3.1.3-9] no identifier in 3.1": First(connect(3, 2, b"\0\0"), NO_SUCH_ID),
    "[MQTT3-3.1.3-9] 24 characters in 3.1": First(connect(3, 2, b"\0\x18" + b"c" * 24), NO_SUCH_ID),
    "[MQTT3-3.1.3-9] 24 bytes in 3.1.1, over the server's limit": First(
        connect(4, 2, b"\0\x18" + b"c" * 24), NO_SUCH_ID
    ),
}
"""3.1 and 3.1.1: the connection closes; a few have a return code [MQTT3-3.1.4-1]."""

FIVE = {
    "[MQTT-3.1.2-3] the reserved flag": First(connect(5, 3), MALFORMED),
    "[MQTT-3.1.2-12] a will with QoS 3": First(connect(5, 0x1E, b"\0\1c\0\0\1w\0\0"), MALFORMED),
    "[MQTT-3.1.2-11] QoS and no will": First(connect(5, 0x0A), PROTOCOL),
    "[MQTT-3.1.2-13] retain and no will": First(connect(5, 0x22), PROTOCOL),
    "3.1.3: no client identifier": First(connect(5, 2, b""), MALFORMED),
    "3.1.3: half a client identifier": First(connect(5, 2, b"\0\2c"), MALFORMED),
    "[MQTT-3.1.2-9] no will": First(connect(5, 6), MALFORMED),
    "[MQTT-3.1.2-9] no will topic": First(connect(5, 6, b"\0\1c\0"), MALFORMED),
    "[MQTT-3.1.2-9] no will payload": First(connect(5, 6, b"\0\1c\0\0\1w"), MALFORMED),
    "[MQTT-3.1.2-17] no user name": First(connect(5, 0x82), MALFORMED),
    "[MQTT-3.1.2-19] no password": First(connect(5, 0x42), MALFORMED),
    "[MQTT-3.1.2-16] more than is announced": First(connect(5, 2, b"\0\1c\0\1u"), MALFORMED),
    "[MQTT-3.1.2-18] a password that is not announced": First(
        connect(5, 0x82, b"\0\1c\0\1u\0\1p"), MALFORMED
    ),
    "[MQTT-1.5.4-1] a client identifier, no UTF-8": First(connect(5, 2, b"\0\1\xff"), MALFORMED),
    "[MQTT-1.5.4-1] a client identifier, a surrogate": First(
        connect(5, 2, b"\0\3\xed\xa0\x80"), MALFORMED
    ),
    "[MQTT-1.5.4-2] a client identifier, U+0000": First(connect(5, 2, b"\0\1\0"), MALFORMED),
    "[MQTT-3.1.3-11] a will topic, no UTF-8": First(
        connect(5, 6, b"\0\1c\0\0\1\xff\0\0"), MALFORMED
    ),
    "[MQTT-4.7.3-1] an empty will topic": First(connect(5, 6, b"\0\1c\0\0\0\0\0"), MALFORMED),
    "[MQTT-4.7.0-1] a will topic with +": First(connect(5, 6, b"\0\1c\0\0\1+\0\0"), MALFORMED),
    "[MQTT-3.1.3-12] a user name, no UTF-8": First(connect(5, 0x82, b"\0\1c\0\1\xff"), MALFORMED),
    "[MQTT-3.1.3-8] an identifier that is too long": First(
        connect(5, 2, b"\0\x18" + b"c" * 24), 0x85
    ),
    "[MQTT-2.2.2-1] no property length": First(with_length(0x10, b"\0\4MQTT\5\2\0\0"), MALFORMED),
    "2.2.2: a property length over the packet": First(
        with_length(0x10, b"\0\4MQTT\5\2\0\0\x7f\0\1c"), MALFORMED
    ),
    "2.2.2: a property length into a property": First(
        with_length(0x10, b"\0\4MQTT\5\2\0\0\2\x21\0\1\0\1c"), MALFORMED
    ),
    "[MQTT-1.5.5-1] a property length of five bytes": First(
        with_length(0x10, b"\0\4MQTT\5\2\0\0\x80\x80\x80\x80\1\0\1c"), MALFORMED
    ),
    "[MQTT-1.5.5-1] a property length longer than need be": First(
        with_length(0x10, b"\0\4MQTT\5\2\0\0\x80\0\0\1c"), MALFORMED
    ),
    "2.2.2.2: a property that there is not": _with(b"\x7f\0", MALFORMED),
    "2.2.2.2: a property identifier of two bytes": _with(b"\x91\1\0\0\0\0", MALFORMED),
    "3.1.2.11.2: session expiry again": _with(b"\x11\0\0\0\1" * 2),
    "3.1.2.11.3: receive maximum 0": _with(b"\x21\0\0"),
    "3.1.2.11.3: receive maximum again": _with(b"\x21\0\1" * 2),
    "3.1.2.11.4: maximum packet size 0": _with(b"\x27\0\0\0\0"),
    "3.1.2.11.4: maximum packet size again": _with(b"\x27\0\1\0\0" * 2),
    "3.1.2.11.4: a packet size that no CONNACK has": _with(b"\x27\0\0\0\x08", 0x95),
    "3.1.2.11.5: topic alias maximum again": _with(b"\x22\0\1" * 2),
    "3.1.2.11.6: request response information 2": _with(b"\x19\2"),
    "3.1.2.11.6: request response information again": _with(b"\x19\1" * 2),
    "3.1.2.11.7: request problem information 2": _with(b"\x17\2"),
    "3.1.2.11.7: request problem information again": _with(b"\x17\0" * 2),
    "[MQTT-1.5.4-1] a user property, no UTF-8": _with(b"\x26\0\1\xff\0\1v", MALFORMED),
    "[MQTT-1.5.4-2] a user property, U+0000": _with(b"\x26\0\1n\0\1\0", MALFORMED),
    "3.1.2.11.9: authentication method again": _with(b"\x15\0\1m" * 2),
    "3.1.2.11.10: authentication data again": _with(b"\x15\0\1m\x16\0\1d\x16\0\1d"),
    "3.1.2.11.10: authentication data, no method": _with(b"\x16\0\1d"),
    "[MQTT-4.12.0-1] a method that the server has not": _with(b"\x15\0\1m", 0x8C),
    "3.1.3.2: will delay again": _will(b"\x18\0\0\0\1" * 2),
    "3.1.3.2.3: payload format 2": _will(b"\1\2"),
    "3.1.3.2: payload format again": _will(b"\1\1" * 2),
    "3.1.3.2: message expiry again": _will(b"\2\0\0\0\1" * 2),
    "3.1.3.2: content type again": _will(b"\3\0\1t" * 2),
    "3.1.3.2: response topic again": _will(b"\x08\0\1r" * 2),
    "3.1.3.2: correlation data again": _will(b"\x09\0\1r" * 2),
    "[MQTT-3.3.2-14] a response topic with #": _will(b"\x08\0\1#", MALFORMED),
    "[MQTT-4.7.3-1] an empty response topic": _will(b"\x08\0\0", MALFORMED),
    "2.2.2.2: a session expiry in the will": _will(b"\x11\0\0\0\1", MALFORMED),
    "2.2.2.2: a topic alias in the will": _will(b"\x23\0\1", MALFORMED),
} | {
    f"2.2.2.2: property 0x{data[0]:02x} of another packet": _with(data, MALFORMED)
    for data in (
        *(b"\1\0", b"\2\0\0\0\1", b"\3\0\1t", b"\x08\0\1r", b"\x09\0\1d", b"\x0b\1"),
        *(b"\x12\0\1c", b"\x13\0\1", b"\x18\0\0\0\1", b"\x1a\0\1r", b"\x1c\0\1s", b"\x1f\0\1w"),
        *(b"\x23\0\1", b"\x24\1", b"\x25\1", b"\x28\1", b"\x29\1", b"\x2a\1"),
    )
}
"""5.0: CONNACK says why [MQTT-3.1.4-1], where the level has come."""

FORBIDDEN = {
    "[MQTT-3.2.2-12] a will with QoS 2": First(connect(5, 0x16, b"\0\1c\0\0\1w\0\0"), 0x9B),
    "[MQTT-3.2.2-13] a will to be retained": First(connect(5, 0x26, b"\0\1c\0\0\1w\0\0"), 0x9A),
    "[MQTT-3.2.2-12] a will with QoS 2, 3.1.1": First(connect(4, 0x16, b"\0\1c\0\1w\0\0"), SILENCE),
    "[MQTT-3.2.2-13] a will to be retained, 3.1.1": First(
        connect(4, 0x26, b"\0\1c\0\1w\0\0"), SILENCE
    ),
}
"""What a server refuses that has QoS 1 at most and retains nothing."""

FIRST = NOT_CONNECT | HEADS | NAMES | BEFORE_5 | {f"5.0, {name}": it for name, it in FIVE.items()}
