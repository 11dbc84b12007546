"""CONNECT: which name, level, flags and fields are allowed, and which are not."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import given

from speedo_trio.errors import MalformedPacket, MQTTError, UnsendablePacket
from speedo_trio.mqtt.wire.body import Body
from speedo_trio.mqtt.wire.connect import decode_connect, encode_connect, read_level, version_of
from speedo_trio.mqtt.wire.packets import Connect, Will
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.versions import BRIDGE_BIT, Version
from tests.mqtt.wire import strategies
from tests.mqtt.wire.examples import V3, V4, V5

MALFORMED = ReasonCode.MALFORMED_PACKET
PROTOCOL = ReasonCode.PROTOCOL_ERROR
VERSION = ReasonCode.UNSUPPORTED_PROTOCOL_VERSION

NAMES = {
    (b"MQIsdp", 3): V3,
    (b"MQIsdp", 0x83): V3,
    (b"MQTT", 4): V4,
    (b"MQTT", 0x84): V4,
    (b"MQTT", 5): V5,
}
"""The names and levels that are spoken, with those of mosquitto's bridges."""


class Wrong(NamedTuple):
    """What follows the level, in which version, and what it is answered with."""

    version: Version
    data: bytes
    reason: ReasonCode
    text: str


# After the flags come the keep alive, in 5.0 the properties, and the fields.
WRONG: dict[str, Wrong] = {
    "3.1.2.3: no flags": Wrong(V4, b"", MALFORMED, "CONNECT ends before its flags"),
    "[MQTT-3.1.2-3] in 5.0": Wrong(
        V5, b"\3\0\0\0\0\1c", MALFORMED, "CONNECT has the flags 0x03; allowed is a bit 0 of 0"
    ),
    "[MQTT-3.1.2-3] in 3.1.1": Wrong(V4, b"\1\0\0\0\1c", MALFORMED, "CONNECT has the flags 0x01"),
    "[MQTT-3.1.2-12] will QoS 3": Wrong(
        V5, b"\x1c\0\0\0\0\1c\0\0\1w\0\0", MALFORMED, "the will has QoS 3; allowed are 0 to 2"
    ),
    "[MQTT3-3.1.2-14] will QoS 3": Wrong(
        V4, b"\x1c\0\0\0\1c\0\1w\0\0", MALFORMED, "the will has QoS 3"
    ),
    "[MQTT-3.1.2-11] QoS without a will": Wrong(
        V5, b"\x0a\0\0\0\0\1c", PROTOCOL, "CONNECT has the flags 0x0A; without a will"
    ),
    "[MQTT-3.1.2-13] retain without a will": Wrong(
        V5, b"\x20\0\0\0\0\1c", PROTOCOL, "CONNECT has the flags 0x20; without a will"
    ),
    "[MQTT3-3.1.2-13] QoS without a will": Wrong(
        V4, b"\x10\0\0\0\1c", PROTOCOL, "CONNECT has the flags 0x10; without a will"
    ),
    "[MQTT3-3.1.2-15] retain without a will": Wrong(
        V3, b"\x22\0\0\0\1c", PROTOCOL, "CONNECT has the flags 0x22; without a will"
    ),
    "[MQTT3-3.1.2-22] password alone in 3.1.1": Wrong(
        V4, b"\x42\0\0\0\1c\0\1p", PROTOCOL, "CONNECT has a password and no user name"
    ),
    "[MQTT3-3.1.2-22] password alone in 3.1": Wrong(
        V3, b"\x42\0\0\0\1c\0\1p", PROTOCOL, "CONNECT has a password and no user name; that is all"
    ),
    "3.1.2.10: half a keep alive": Wrong(V4, b"\2\0", MALFORMED, "CONNECT ends 1 bytes into its k"),
    "[MQTT-2.2.2-1] no property length": Wrong(
        V5, b"\2\0\0", MALFORMED, "CONNECT ends before its property length"
    ),
    "[MQTT-3.1.3-3] no client identifier": Wrong(
        V4, b"\2\0\0", MALFORMED, "CONNECT ends 0 bytes into its length of the client identifier"
    ),
    "[MQTT-3.1.3-4] client identifier, no UTF-8": Wrong(
        V5, b"\2\0\0\0\0\1\xff", MALFORMED, "the client identifier b'\\xff' is not UTF-8 at byte 0"
    ),
    "[MQTT-1.5.4-2] client identifier, U+0000": Wrong(
        V4, b"\2\0\0\0\1\0", MALFORMED, "the client identifier b'\\x00' has the character U+0000"
    ),
    "[MQTT-3.1.2-9] a will without its topic": Wrong(
        V4, b"\6\0\0\0\1c", MALFORMED, "CONNECT ends 0 bytes into its length of the will topic"
    ),
    "[MQTT-3.1.2-9] a will without its properties": Wrong(
        V5, b"\6\0\0\0\0\1c", MALFORMED, "CONNECT ends before its property length"
    ),
    "[MQTT-3.1.2-9] a will without its payload": Wrong(
        V4, b"\6\0\0\0\1c\0\1w", MALFORMED, "CONNECT ends 0 bytes into its length of the will pay"
    ),
    "[MQTT-3.1.3-11] a will topic, no UTF-8": Wrong(
        V5, b"\6\0\0\0\0\1c\0\0\1\xff\0\0", MALFORMED, "the will topic b'\\xff' is not UTF-8"
    ),
    "[MQTT3-3.1.3-10] a will topic, no UTF-8": Wrong(
        V4, b"\6\0\0\0\1c\0\2\xc0\x80\0\0", MALFORMED, "the will topic b'\\xc0\\x80' is not UTF-8"
    ),
    "[MQTT-4.7.3-1] an empty will topic": Wrong(
        V5, b"\6\0\0\0\0\1c\0\0\0\0\0", MALFORMED, "the will topic is empty"
    ),
    "[MQTT-4.7.0-1] a will topic with a wildcard": Wrong(
        V4, b"\6\0\0\0\1c\0\3a/#\0\0", MALFORMED, "the will topic b'a/#' has a wildcard"
    ),
    "2.2.2.2: a property of others in the will": Wrong(
        V5, b"\6\0\0\0\0\1c\5\x11\0\0\0\1\0\1w\0\0", MALFORMED, "the will has the property session_"
    ),
    "2.2.2.2: a property of wills in the packet": Wrong(
        V5, b"\2\0\0\5\x18\0\0\0\1\0\1c", MALFORMED, "CONNECT has the property will_delay_interval"
    ),
    "[MQTT-3.1.2-17] no user name": Wrong(
        V5, b"\x82\0\0\0\0\1c", MALFORMED, "CONNECT ends 0 bytes into its length of the user name"
    ),
    "[MQTT-3.1.3-12] a user name, no UTF-8": Wrong(
        V5, b"\x82\0\0\0\0\1c\0\1\xff", MALFORMED, "the user name b'\\xff' is not UTF-8"
    ),
    "[MQTT3-3.1.3-11] a user name, no UTF-8": Wrong(
        V3, b"\x82\0\0\0\1c\0\1\xff", MALFORMED, "the user name b'\\xff' is not UTF-8"
    ),
    "[MQTT-3.1.2-19] no password": Wrong(
        V4, b"\xc2\0\0\0\1c\0\1u", MALFORMED, "CONNECT ends 0 bytes into its length of the password"
    ),
    "[MQTT-3.1.2-16] more than is announced": Wrong(
        V5, b"\2\0\0\0\0\1c\0\1u", MALFORMED, "CONNECT goes on for 3 bytes after its end"
    ),
    "[MQTT-3.1.2-18] more than is announced": Wrong(
        V4, b"\x82\0\0\0\1c\0\1u\0\1p", MALFORMED, "CONNECT goes on for 3 bytes after its end"
    ),
    "3.1.2.11.10: data without a method": Wrong(
        V5, b"\2\0\0\4\x16\0\1d\0\1c", PROTOCOL, "CONNECT has authentication data; that is allowed"
    ),
}

UNSENDABLE: dict[str, tuple[Connect, str]] = {
    "a bridge in 5.0": (Connect(client_id="c", bridge=True), "CONNECT is a bridge's; that is allo"),
    "[MQTT3-3.1.2-22] password alone": (
        Connect(client_id="c", version=V4, password=b"p"),
        "CONNECT has a password and no user name",
    ),
    "properties in 3.1.1": (
        Connect(client_id="c", version=V4, properties=Properties(receive_maximum=1)),
        "CONNECT has properties; they are allowed in MQTT 5.0 only",
    ),
    "will properties in 3.1.1": (
        Connect(
            client_id="c", version=V4, will=Will(b"w", properties=Properties(content_type="t"))
        ),
        "the will has properties; they are allowed in MQTT 5.0 only",
    ),
    "3.1.2.11.10: data without a method": (
        Connect(client_id="c", properties=Properties(authentication_data=b"d")),
        "CONNECT has authentication data; that is allowed with an authentication method",
    ),
    "keep alive": (
        Connect(client_id="c", keep_alive=65536),
        "the keep alive is 65536; allowed are 0 to 65535",
    ),
    "[MQTT-3.1.2-12] will QoS 3": (
        Connect(client_id="c", will=Will(b"w", qos=3)),
        "the QoS is 3; allowed are 0 to 2",
    ),
    "[MQTT-4.7.0-1] will topic": (
        Connect(client_id="c", will=Will(b"w/+")),
        "the will topic b'w/+' has a wildcard; allowed is none",
    ),
    "[MQTT-3.1.3-4] client identifier": (
        Connect(client_id="\ud800"),
        "the client identifier b'\\xed\\xa0\\x80' is not UTF-8",
    ),
    "[MQTT-1.5.4-2] user name": (
        Connect(client_id="c", user_name="\0"),
        "the user name b'\\x00' has the character U+0000; allowed is any other",
    ),
    "1.5.6: password": (
        Connect(client_id="c", password=bytes(65536)),
        "the password has 65536 bytes; allowed are 65535",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_allowed(name: str) -> None:
    """The clause is kept: the error has the reason code that the standard says, and tells what."""
    version, data, reason, text = WRONG[name]
    with pytest.raises(MQTTError) as caught:
        decode_connect(Body(data, "CONNECT"), version)

    assert reason == caught.value.reason
    assert (reason is MALFORMED) == isinstance(caught.value, MalformedPacket)
    assert str(caught.value).startswith(text)
    assert "allowed" in str(caught.value)


@pytest.mark.parametrize("name", UNSENDABLE)
def test_what_may_not_be_sent(name: str) -> None:
    """It is refused, with what was seen and what is allowed."""
    packet, text = UNSENDABLE[name]
    with pytest.raises(UnsendablePacket) as caught:
        encode_connect(packet)

    assert str(caught.value).startswith(text)
    assert "allowed" in str(caught.value)


@given(strategies.versions.flatmap(strategies.connects))
def test_every_connect_comes_back(connect: Connect) -> None:
    """What is decoded is what was encoded."""
    body = Body(encode_connect(connect), "CONNECT")
    name, level = read_level(body)
    version = version_of(name, level)

    assert connect == decode_connect(body, version, bridge=level >= BRIDGE_BIT)


def test_the_order_of_all_fields() -> None:
    """[MQTT-3.1.3-1] Client identifier, will properties, topic and payload, user name, password."""
    fields = b"".join((b"\0\1c", b"\2\1\1", b"\0\1t", b"\0\1p", b"\0\1u", b"\0\1w"))

    assert decode_connect(Body(b"\xc4\0\0\0" + fields, "CONNECT"), V5) == Connect(
        client_id="c",
        clean_start=False,
        will=Will(b"t", b"p", properties=Properties(payload_format_indicator=True)),
        user_name="u",
        password=b"w",
    )


def test_levels() -> None:
    """[MQTT-3.1.2-2] Every other level of either name is refused with 0x84."""
    for name in (b"MQTT", b"MQIsdp"):
        for level in range(0x100):
            if (name, level) in NAMES:
                assert NAMES[name, level] is version_of(name, level)
                continue
            with pytest.raises(MQTTError, match=f"the protocol level is {level} of") as caught:
                version_of(name, level)
            assert caught.value.reason == VERSION


@pytest.mark.parametrize("name", [b"", b"MQT", b"mqtt", b"MQTTT", b"MQISDP", b"HTTP", b"\xff"])
def test_names(name: bytes) -> None:
    """[MQTT-3.1.2-1] Any other name is refused with 0x84."""
    body = Body(len(name).to_bytes(2) + name + b"\4", "CONNECT")
    with pytest.raises(
        MQTTError, match=r"the protocol name is b'.*'; allowed are MQTT and MQIsdp"
    ) as caught:
        read_level(body)

    assert caught.value.reason == VERSION


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (0x00, {}),
        (0x02, {"clean_start": True}),
        (0x04, {"will": Will(b"w", b"m")}),
        (0x0C, {"will": Will(b"w", b"m", 1)}),
        (0x14, {"will": Will(b"w", b"m", 2)}),
        (0x24, {"will": Will(b"w", b"m", retain=True)}),
        (0x80, {"user_name": "u"}),
        (0xC0, {"user_name": "u", "password": b"p"}),
    ],
)
def test_flags(flags: int, expected: dict[str, Any]) -> None:
    """What each bit of the flags stands for (section 3.1.2.3), and the order of the fields."""
    data = bytes((flags,)) + b"\0\0\0\1c"
    data += b"\0\1w\0\1m" if flags & 0x04 else b""
    data += b"\0\1u" if flags & 0x80 else b""
    data += b"\0\1p" if flags & 0x40 else b""

    connect = decode_connect(Body(data, "CONNECT"), V4)

    assert connect == Connect(**{"client_id": "c", "version": V4, "clean_start": False, **expected})
    assert "b'p'" not in repr(connect)  # a password is not for logs
