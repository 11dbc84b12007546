"""Fields as bytes: what is written, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from speedo_trio.errors import UnsendablePacket
from speedo_trio.mqtt.wire.fields import (
    check_no_properties,
    check_qos,
    write_binary,
    write_packet_id,
    write_text,
    write_topic,
    write_two_bytes,
    write_utf_8,
    write_variable,
)
from speedo_trio.mqtt.wire.properties import Properties

WRITTEN = [
    (write_variable(0), b"\0"),
    (write_variable(127), b"\x7f"),
    (write_variable(128), b"\x80\x01"),
    (write_variable(16_383), b"\xff\x7f"),
    (write_variable(16_384), b"\x80\x80\x01"),
    (write_variable(2_097_151), b"\xff\xff\x7f"),
    (write_variable(2_097_152), b"\x80\x80\x80\x01"),
    (write_variable(268_435_455), b"\xff\xff\xff\x7f"),
    (write_binary("it", b"\0\xff"), b"\0\2\0\xff"),
    (write_text("it", "aé"), b"\0\3a\xc3\xa9"),
    (write_utf_8("it", b""), b"\0\0"),
    (write_topic("it", b"a/b"), b"\0\3a/b"),
    (write_packet_id("X", 1), b"\0\1"),
    (write_packet_id("X", 65535), b"\xff\xff"),
    (write_two_bytes("it", 0), b"\0\0"),
]

REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "1.5.5": (lambda: write_variable(268_435_456), "the length is 268435456; allowed are 0 to"),
    "1.5.6": (lambda: write_binary("it", bytes(65536)), "the it has 65536 bytes; allowed are 655"),
    "1.5.4": (lambda: write_text("it", "é" * 32768), "the it has 65536 bytes; allowed are 65535"),
    "[MQTT-1.5.4-1]": (lambda: write_text("it", "\udfff"), "the it b'\\xed\\xbf\\xbf' is not UTF"),
    "[MQTT-1.5.4-2]": (
        lambda: write_utf_8("it", b"\0"),
        "the it b'\\x00' has the characte",
    ),
    "[MQTT-4.7.0-1]": (lambda: write_topic("it", b"a/+"), "the it b'a/+' has a wildcard"),
    "[MQTT-4.7.3-1]": (lambda: write_topic("it", b""), "the it is empty; allowed is one"),
    "[MQTT-4.7.3-3]": (lambda: write_topic("it", b"a" * 65536), "the it has 65536 bytes"),
    "[MQTT-2.2.1-3]": (lambda: write_packet_id("X", 0), "X has the packet identifier 0; allowed"),
    "2.2.1": (lambda: write_packet_id("X", 65536), "X has the packet identifier 65536"),
    "1.5.2": (lambda: write_two_bytes("it", -1), "the it is -1; allowed are 0 to 65535"),
    "[MQTT-3.3.1-4]": (lambda: check_qos(3), "the QoS is 3; allowed are 0 to 2"),
    "2.2.2": (
        lambda: check_no_properties("X", Properties(topic_alias=1)),
        "X has properties; they are allowed in MQTT 5.0 only",
    ),
}


@pytest.mark.parametrize(("written", "expected"), WRITTEN)
def test_a_field(written: bytes, expected: bytes) -> None:
    """It is written as the standard says (section 1.5)."""
    assert expected == written


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    """The error says what was seen and what is allowed."""
    write, text = REFUSED[name]
    with pytest.raises(UnsendablePacket) as caught:
        write()

    assert str(caught.value).startswith(text)
    assert "allowed" in str(caught.value)


def test_no_properties() -> None:
    """None, and properties that are all not there."""
    check_no_properties("X", None)
    check_no_properties("X", Properties())
