"""Packets of a client that is connected which end its connection, byte by byte from the standards.

In 5.0 DISCONNECT tells the reason; before, the connection just closes.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.mqtt.refused_connects import connect
from tests.mqtt.wire.streams import with_length

MALFORMED, PROTOCOL, ALIAS, TOO_LARGE = 0x81, 0x82, 0x94, 0x95


class Later(NamedTuple):
    """What a client sends once it is connected, and how that ends."""

    version: int
    data: bytes
    reason: int
    """Of the server's DISCONNECT; before 5.0 there is none."""
    before: bytes = b""
    """Packets that are allowed, and lead up to it."""


def five(head: int, body: bytes, reason: int = PROTOCOL, before: bytes = b"") -> Later:
    """A packet of 5.0."""
    return Later(5, with_length(head, body), reason, before)


def four(head: int, body: bytes, before: bytes = b"") -> Later:
    """A packet of 3.1.1."""
    return Later(4, with_length(head, body), 0, before)


def three(head: int, body: bytes) -> Later:
    """A packet of 3.1."""
    return Later(3, with_length(head, body), 0)


def publish(version: int, topic: bytes, qos: int = 0, packet_id: int = 0) -> bytes:
    """A PUBLISH that is allowed."""
    body = len(topic).to_bytes(2) + topic + (packet_id.to_bytes(2) if qos else b"")
    return with_length(0x30 | qos << 1, body + (b"\0" if version == 5 else b"") + b"payload")


def subscribe(version: int, topic: bytes, qos: int) -> bytes:
    """A SUBSCRIBE that is allowed."""
    body = len(topic).to_bytes(2) + topic + bytes((qos,))
    return with_length(0x82, b"\x7f\xff" + (b"\0" if version == 5 else b"") + body)


_OWN = b"own"
"""A topic that only this client hears of."""


def _inflight(version: int, qos: int) -> bytes:
    """What makes the server send a message of that QoS, with the packet identifier 1."""
    return subscribe(version, _OWN, qos) + publish(version, _OWN, qos, 0x7FFE)


_HELD = {version: publish(version, _OWN, 2, 1) for version in (3, 4, 5)}
"""A message with QoS 2, not released: its identifier 1 is in use."""

_PROPERTIES = {
    *(b"\1\0", b"\2\0\0\0\1", b"\3\0\1t", b"\x08\0\1r", b"\x09\0\1d", b"\x0b\1", b"\x11\0\0\0\1"),
    *(b"\x12\0\1c", b"\x13\0\1", b"\x15\0\1m", b"\x16\0\1d", b"\x17\1", b"\x18\0\0\0\1"),
    *(b"\x19\1", b"\x1a\0\1r", b"\x1c\0\1s", b"\x1f\0\1w", b"\x21\0\1", b"\x22\0\1", b"\x23\0\1"),
    *(b"\x24\1", b"\x25\1", b"\x27\0\0\1\0", b"\x28\1", b"\x29\1", b"\x2a\1", b"\x7e\0"),
}
"""One of each but user properties, which may be anywhere; and one that there is not."""

_PLACES = {
    "PUBLISH": (0x30, b"\0\1a", b"x", (1, 2, 3, 8, 9, 0x0B, 0x23)),
    "PUBACK": (0x40, b"\0\1\0", b"", (0x1F,)),
    "PUBREC": (0x50, b"\0\1\0", b"", (0x1F,)),
    "PUBREL": (0x62, b"\0\1\0", b"", (0x1F,)),
    "PUBCOMP": (0x70, b"\0\1\0", b"", (0x1F,)),
    "SUBSCRIBE": (0x82, b"\0\1", b"\0\1a\0", (0x0B,)),
    "UNSUBSCRIBE": (0xA2, b"\0\1", b"\0\1a", ()),
    "DISCONNECT": (0xE0, b"\0", b"", (0x11, 0x1C, 0x1F)),
    "AUTH": (0xF0, b"\x19", b"", (0x15, 0x16, 0x1F)),
}
"""A packet's first byte, what stands before and after its properties, and those it may have."""


def _listed(name: str, properties: bytes, reason: int) -> Later:
    head, before, after, _ = _PLACES[name]
    return five(head, before + bytes((len(properties),)) + properties + after, reason)


MISPLACED = {
    f"2.2.2.2: property 0x{data[0]:02x} in {name}": _listed(name, data, MALFORMED)
    for name, (_, _, _, allowed) in _PLACES.items()
    for data in sorted(_PROPERTIES)
    if data[0] not in allowed
}
"""Every property in every packet that may not have it."""

REPEATED = {
    f"2.2.2.2: property 0x{data[0]:02x} twice in {name}": _listed(name, data * 2, PROTOCOL)
    for name, (_, _, _, allowed) in _PLACES.items()
    for data in sorted(_PROPERTIES)
    if data[0] in allowed
}
"""Every property twice in every packet that may have it once."""

LISTS = {
    f"2.2.2: {what} in {name}": five(head, before + wrong + after, MALFORMED)
    for name, (head, before, after, _) in _PLACES.items()
    for what, wrong in {
        "a property length over the packet": b"\x7f",
        "a property that is cut": b"\2\x26\0",
        "a property length of five bytes, [MQTT-1.5.5-1]": b"\x80\x80\x80\x80\1",
        "a property length longer than need be, [MQTT-1.5.5-1]": b"\x80\0",
        "a user property, no UTF-8, [MQTT-1.5.4-1]": b"\7\x26\0\1\xff\0\1v",
        "a user property, U+0000, [MQTT-1.5.4-2]": b"\7\x26\0\1n\0\1\0",
    }.items()
}
"""Property lists that can't be taken apart, in every packet that has one."""

_FLAGS = {0x60: 2, 0x80: 2, 0xA0: 2}
_BODIES = {0x80: b"\0\1\0\1a\0", 0xA0: b"\0\1\0\1a", 0xC0: b"", 0xD0: b"", 0xE0: b"", 0xF0: b""}

HEADS = {
    f"[MQTT-2.1.3-1] type {kind >> 4} with the flags {flags}, {version}": Later(
        version, with_length(kind | flags, _BODIES.get(kind, b"\0\1")), MALFORMED
    )
    for version in (4, 5)
    for kind in range(0x20, 0x100, 0x10)
    for flags in (0, 1, 2, 4, 8, 15)
    if kind != 0x30 and flags != _FLAGS.get(kind, 0)
}
"""Each reserved bit of every type, [MQTT3-2.2.2-1] too."""

LENGTHS = {
    f"{what}, {version}": Later(version, data, reason)
    for version in (3, 4, 5)
    for what, data, reason in (
        ("[MQTT-1.5.5-1] a length of five bytes", b"\x30\xff\xff\xff\xff\x01", MALFORMED),
        ("[MQTT-1.5.5-1] a length longer than need be", b"\xc0\x80\x00", MALFORMED),
        ("[MQTT-3.2.2-15] the longest length", b"\x30\xff\xff\xff\x7f", TOO_LARGE),
        ("[MQTT-3.2.2-15] one byte over the limit", b"\x30\xfe\x07", TOO_LARGE),
        ("[MQTT-3.2.2-15] a SUBSCRIBE over the limit", b"\x82\xfe\x07", TOO_LARGE),
        ("2.1.2: type 0", b"\x00\x00", MALFORMED),
        ("[MQTT-3.1.0-2] [MQTT3-3.1.0-2] a second CONNECT", connect(version), PROTOCOL),
        ("[MQTT-3.1.0-2] the head of a second CONNECT", b"\x10", PROTOCOL),
    )
} | {
    f"2.1.2: type {data[0] >> 4}, which servers send, {version}": Later(version, data, PROTOCOL)
    for version in (3, 4, 5)
    for data in (
        b"\x20\x03\0\0\0" if version == 5 else b"\x20\x02\0\0",
        b"\x90\x04\0\1\0\0" if version == 5 else b"\x90\x03\0\1\0",
        b"\xb0\x04\0\1\0\0" if version == 5 else b"\xb0\x02\0\1",
        b"\xd0\x00",
    )
}
"""Fixed headers, and types that are not for clients. The limit is 1024 bytes."""

PUBLISHED = {
    "[MQTT-3.3.1-4] QoS 3": five(0x36, b"\0\1a\0\1\0", MALFORMED),
    "[MQTT-3.3.1-4] QoS 3, 3.1.1": four(0x36, b"\0\1a\0\1"),
    "[MQTT-3.3.1-4] QoS 3, 3.1": three(0x3F, b"\0\1a\0\1"),
    "[MQTT-3.3.1-2] DUP and QoS 0": five(0x38, b"\0\1a\0", MALFORMED),
    "[MQTT-3.3.1-2] DUP and QoS 0, 3.1.1": four(0x38, b"\0\1a"),
    "2.1.4: no topic name": five(0x30, b"", MALFORMED),
    "2.1.4: no topic name, 3.1.1": four(0x30, b""),
    "2.1.4: half a topic name": five(0x30, b"\0\3a/", MALFORMED),
    "2.1.4: half a topic name, 3.1.1": four(0x30, b"\0\3a/"),
    "2.1.4: half a packet identifier": five(0x32, b"\0\1a\0", MALFORMED),
    "2.1.4: half a packet identifier, 3.1.1": four(0x32, b"\0\1a\0"),
    "[MQTT-2.2.2-1] no property length": five(0x30, b"\0\1a", MALFORMED),
    "[MQTT-2.2.1-3] packet identifier 0": five(0x32, b"\0\1a\0\0\0"),
    "[MQTT-2.2.1-3] packet identifier 0, QoS 2": five(0x34, b"\0\1a\0\0\0"),
    "[MQTT3-2.3.1-1] packet identifier 0": four(0x32, b"\0\1a\0\0"),
    "[MQTT3-2.3.1-1] packet identifier 0, QoS 2": four(0x34, b"\0\1a\0\0"),
    "[MQTT-3.3.2-2] a topic with +": five(0x30, b"\0\3a/+\0", MALFORMED),
    "[MQTT-3.3.2-2] a topic with #": five(0x32, b"\0\1#\0\1\0", MALFORMED),
    "[MQTT3-3.3.2-2] a topic with +": four(0x30, b"\0\1+"),
    "[MQTT3-3.3.2-2] a topic with #": four(0x34, b"\0\3a/#\0\1"),
    "[MQTT-1.5.4-1] a topic, no UTF-8": five(0x30, b"\0\1\xff\0", MALFORMED),
    "[MQTT-1.5.4-1] a topic, a surrogate": five(0x30, b"\0\3\xed\xb0\x80\0", MALFORMED),
    "[MQTT3-1.5.3-1] a topic, overlong": four(0x30, b"\0\2\xc0\xaf"),
    "[MQTT-1.5.4-2] a topic, U+0000": five(0x30, b"\0\3a\0b\0", MALFORMED),
    "[MQTT3-1.5.3-2] a topic, U+0000": four(0x30, b"\0\1\0"),
    "3.3.2.1: no topic and no alias": five(0x30, b"\0\0\0x"),
    "[MQTT-4.7.3-1] no topic, 3.1.1": four(0x30, b"\0\0x"),
    "[MQTT-3.3.2-8] alias 0": five(0x30, b"\0\1a\3\x23\0\0", ALIAS),
    "[MQTT-3.3.2-8] alias 0 and no topic": five(0x30, b"\0\0\3\x23\0\0", ALIAS),
    "[MQTT-3.3.2-9] an alias over the maximum": five(0x30, b"\0\1a\3\x23\0\3", ALIAS),
    "[MQTT-3.3.2-9] an alias over the maximum, no topic": five(0x30, b"\0\0\3\x23\xff\xff", ALIAS),
    "3.3.2.3.4: an alias that was not set": five(0x30, b"\0\0\3\x23\0\2"),
    "[MQTT-3.3.4-6] a subscription identifier": five(0x30, b"\0\1a\2\x0b\1"),
    "3.3.2.3.8: subscription identifier 0": five(0x30, b"\0\1a\2\x0b\0"),
    "3.3.2.3.2: payload format 2": five(0x30, b"\0\1a\2\1\2"),
    "[MQTT-3.3.2-13] a response topic, no UTF-8": five(0x30, b"\0\1a\4\x08\0\1\xff", MALFORMED),
    "[MQTT-3.3.2-14] a response topic with +": five(0x30, b"\0\1a\4\x08\0\1+", MALFORMED),
    "[MQTT-4.7.3-1] an empty response topic": five(0x30, b"\0\1a\3\x08\0\0", MALFORMED),
    "[MQTT-3.3.2-19] a content type, no UTF-8": five(0x30, b"\0\1a\4\3\0\1\xff", MALFORMED),
    "[MQTT-3.3.4-7] more than the receive maximum": five(
        *(0x34, b"\0\3own\0\3\0", 0x93), b"".join(publish(5, _OWN, 2, each) for each in (1, 2))
    ),
    "[MQTT-3.3.4-7] QoS 1 over the receive maximum": five(
        *(0x32, b"\0\3own\0\3\0", 0x93), b"".join(publish(5, _OWN, 2, each) for each in (1, 2))
    ),
    "[MQTT-2.2.1-3] QoS 1 with an identifier in use, 3.1.1": four(0x32, b"\0\3own\0\1", _HELD[4]),
}

ANSWERED = (
    {
        f"[MQTT-2.2.1-5] type {head >> 4}, packet identifier 0, {version}": Later(
            version, with_length(head, b"\0\0"), PROTOCOL
        )
        for version in (3, 4, 5)
        for head in (0x40, 0x50, 0x62, 0x70)
    }
    | {
        f"2.1.4: type {head >> 4} with {len(body)} bytes, {version}": Later(
            version, with_length(head, body), MALFORMED
        )
        for version in (4, 5)
        for head in (0x40, 0x50, 0x62, 0x70)
        for body in (b"", b"\1", b"\0\1\0\0\0")
    }
    | {
        "[MQTT-3.4.2-1] PUBACK with 0x92": five(0x40, b"\0\1\x92"),
        "[MQTT-3.5.2-1] PUBREC with 0x92": five(0x50, b"\0\1\x92"),
        "[MQTT-3.6.2-1] PUBREL with 0x80": five(0x62, b"\0\1\x80"),
        "[MQTT-3.7.2-1] PUBCOMP with 0x10": five(0x70, b"\0\1\x10"),
    }
    | {
        f"4.3: type {head >> 4} for a message with QoS {qos}, {version}": Later(
            version, with_length(head, b"\0\1"), PROTOCOL, _inflight(version, qos)
        )
        for version in (3, 4, 5)
        for qos, head in ((1, 0x50), (1, 0x70), (2, 0x40), (2, 0x70))
    }
)
"""PUBACK, PUBREC, PUBREL and PUBCOMP."""

_FILTERS = {
    "[MQTT-4.7.3-1]": b"",
    "[MQTT-4.7.1-1] #": b"a/#/b",
    "[MQTT-4.7.1-1] a#": b"a#",
    "[MQTT-4.7.1-2] a+": b"a+",
    "[MQTT-4.7.1-2] +a": b"b/+a/c",
    "[MQTT-4.7.3-2]": b"a\0",
    "[MQTT-3.8.3-1] [MQTT-3.10.3-1] no UTF-8": b"\xff",
    "[MQTT-4.8.2-1]": b"$share//a",
    "[MQTT-4.8.2-2] +": b"$share/g+/a",
    "[MQTT-4.8.2-2] #": b"$share/#/a",
    "[MQTT-4.8.2-2] no filter": b"$share/g",
    "[MQTT-4.8.2-2] an empty filter": b"$share/g/",
    "[MQTT-4.8.2-2] a filter that is none": b"$share/g/a#",
}

FILTERS = {
    f"{why} {name} {version}": Later(
        version,
        with_length(head, first + len(text).to_bytes(2) + text + options),
        MALFORMED,
    )
    for why, text in _FILTERS.items()
    for name, head, options in (("SUBSCRIBE", 0x82, b"\0"), ("UNSUBSCRIBE", 0xA2, b""))
    for version, first in (
        # One that is allowed stands before: it is not to be taken either.
        (4, b"\0\1\0\5after" + options),
        (5, b"\0\1\0\0\5after" + options),
    )
}
"""Filters that are none, [MQTT3-4.7.1-2] [MQTT3-4.7.1-3] [MQTT3-4.7.3-1] too."""

SUBSCRIBED = {
    "[MQTT-3.8.3-2] no filter": five(0x82, b"\0\1\0"),
    "[MQTT3-3.8.3-3] no filter": four(0x82, b"\0\1"),
    "[MQTT-3.10.3-2] no filter": five(0xA2, b"\0\1\0"),
    "[MQTT3-3.10.3-2] no filter": four(0xA2, b"\0\1"),
    "[MQTT-2.2.1-3] SUBSCRIBE 0": five(0x82, b"\0\0\0\0\1a\0"),
    "[MQTT3-2.3.1-1] SUBSCRIBE 0": four(0x82, b"\0\0\0\1a\0"),
    "[MQTT-2.2.1-3] UNSUBSCRIBE 0": five(0xA2, b"\0\0\0\0\1a"),
    "[MQTT3-2.3.1-1] UNSUBSCRIBE 0": four(0xA2, b"\0\0\0\1a"),
    "3.8.3: no options": five(0x82, b"\0\1\0\0\1a", MALFORMED),
    "3.8.3: no requested QoS": four(0x82, b"\0\1\0\1a"),
    "3.8.3: half a filter": five(0x82, b"\0\1\0\0\2a", MALFORMED),
    "3.10.3: half a filter": four(0xA2, b"\0\1\0\2a"),
    "2.1.4: SUBSCRIBE without an identifier": five(0x82, b"\0", MALFORMED),
    "2.1.4: UNSUBSCRIBE without an identifier": four(0xA2, b""),
    "[MQTT-2.2.2-1] SUBSCRIBE without a property length": five(0x82, b"\0\1", MALFORMED),
    "[MQTT-3.8.3-5] bit 6": five(0x82, b"\0\1\0\0\1a\x40", MALFORMED),
    "[MQTT-3.8.3-5] bit 7": five(0x82, b"\0\1\0\0\1a\x80", MALFORMED),
    "3.8.3.1: QoS 3": five(0x82, b"\0\1\0\0\1a\3"),
    "3.8.3.1: Retain Handling 3": five(0x82, b"\0\1\0\0\1a\x30"),
    "[MQTT3-3.8.3-4] QoS 3": four(0x82, b"\0\1\0\1a\3"),
    "[MQTT3-3.8.3-4] options of 5.0": four(0x82, b"\0\1\0\1a\4"),
    "[MQTT3-3.8.3-4] options of 5.0, 3.1": three(0x82, b"\0\1\0\1a\x10"),
    "[MQTT-3.8.3-4] No Local and shared": five(0x82, b"\0\1\0\0\x0a$share/g/a\4"),
    "3.8.2.1.2: subscription identifier 0": five(0x82, b"\0\1\2\x0b\0\0\1a\0"),
    "[MQTT-1.5.5-1] a subscription identifier of five bytes": five(
        0x82, b"\0\1\6\x0b\xff\xff\xff\xff\1\0\1a\0", MALFORMED
    ),
    "[MQTT-2.2.1-3] SUBSCRIBE with an identifier in use, 3.1.1": four(
        0x82, b"\0\1\0\1a\0", _HELD[4]
    ),
    "[MQTT-2.2.1-3] UNSUBSCRIBE with an identifier in use, 3.1.1": four(
        0xA2, b"\0\1\0\1a", _HELD[4]
    ),
}

OTHERS = {
    "2.1.4: PINGREQ with a body": five(0xC0, b"\0", MALFORMED),
    "2.1.4: PINGREQ with a body, 3.1.1": four(0xC0, b"\0"),
    "2.1.4: DISCONNECT with a body, 3.1.1": four(0xE0, b"\0"),
    "2.1.4: DISCONNECT with more than it has": five(0xE0, b"\0\0\0", MALFORMED),
    "3.14.2.2.2: a session expiry after CONNECT had none": five(0xE0, b"\0\5\x11\0\0\0\1"),
    "3.14.2.2.5: a server reference": five(0xE0, b"\0\4\x1c\0\1s"),
    "2.1.2: AUTH in 3.1.1": four(0xF0, b""),
    "[MQTT-4.12.0-7] AUTH after CONNECT had no method": five(0xF0, b"\x19\4\x15\0\1m"),
    "[MQTT-3.15.2-1] AUTH says success": five(0xF0, b""),
    "[MQTT-3.15.2-1] AUTH says 0x87": five(0xF0, b"\x87\4\x15\0\1m"),
    "3.15.2.2.2: AUTH without a method": five(0xF0, b"\x18\0"),
    "3.15.2.1: AUTH without a property length": five(0xF0, b"\x18", MALFORMED),
} | {
    f"[MQTT-3.14.2-1] DISCONNECT with 0x{reason:02x}": five(0xE0, bytes((reason,)))
    for reason in (0x01, 0x05, 0x84, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x9A, 0x9D, 0xA2, 0xFF)
}
"""PINGREQ, DISCONNECT and AUTH."""

LATER = {
    **{f"PUBLISH, {name}": it for name, it in PUBLISHED.items()},
    **{f"(UN)SUBSCRIBE, {name}": it for name, it in SUBSCRIBED.items()},
    **(MISPLACED | REPEATED | LISTS | HEADS | LENGTHS | ANSWERED | FILTERS | OTHERS),
}

FORBIDDEN = {
    "[MQTT-3.2.2-11] QoS 2": five(0x34, b"\0\1a\0\1\0", 0x9B),
    "[MQTT-3.2.2-14] to be retained": five(0x31, b"\0\1a\0", 0x9A),
    "[MQTT-3.2.2-11] QoS 2, 3.1.1": four(0x34, b"\0\1a\0\1"),
    "[MQTT-3.2.2-14] to be retained, 3.1.1": four(0x31, b"\0\1a"),
    "[MQTT-3.2.2-18] an alias where none is allowed": five(0x30, b"\0\1a\3\x23\0\1", ALIAS),
}
"""What a server refuses that has QoS 1 at most, retains nothing and takes no alias."""
