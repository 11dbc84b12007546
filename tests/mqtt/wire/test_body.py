"""A body: fields are read in turn, and never beyond its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.errors import MalformedPacket, MQTTError
from speedo_trio.mqtt.wire.body import Body, check_text, check_topic, shown
from speedo_trio.mqtt.wire.fields import write_variable

NO_TEXT = {
    "[MQTT-1.5.4-1] a lone continuation byte": b"a\x80",
    "[MQTT-1.5.4-1] a sequence cut off": b"a\xe2\x82",
    "[MQTT-1.5.4-1] a surrogate": b"\xed\xa0\x80",
    "[MQTT-1.5.4-1] the last surrogate": b"\xed\xbf\xbf",
    "[MQTT-1.5.4-1] a pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
    "[MQTT-1.5.4-1] an overlong slash": b"a\xc0\xafb",
    "[MQTT-1.5.4-1] an overlong null": b"\xc0\x80",
    "[MQTT-1.5.4-1] beyond U+10FFFF": b"\xf4\x90\x80\x80",
    "[MQTT-1.5.4-2] the null character": b"a\0b",
}

READS: dict[str, tuple[bytes, Callable[[Body], Any], Any]] = {
    "byte": (b"\xff", lambda body: body.byte("it"), 255),
    "two bytes": (b"\x01\x02", lambda body: body.number("it", 2), 258),
    "four bytes": (b"\x01\x00\x00\x02", lambda body: body.number("it", 4), 16_777_218),
    "binary": (b"\x00\x02\x00\xff", lambda body: body.binary("it"), b"\x00\xff"),
    "empty binary": (b"\x00\x00", lambda body: body.binary("it"), b""),
    "text": (b"\x00\x03a\xc3\xa9", lambda body: body.text("it"), "aé"),
    "text of U+FEFF": (b"\x00\x03\xef\xbb\xbf", lambda body: body.text("it"), "\ufeff"),
    "packet identifier": (b"\xff\xff", lambda body: body.packet_id(), 65535),
    "variable 0": (b"\x00", lambda body: body.variable("it"), 0),
    "variable 127": (b"\x7f", lambda body: body.variable("it"), 127),
    "variable 128": (b"\x80\x01", lambda body: body.variable("it"), 128),
    "variable 16,383": (b"\xff\x7f", lambda body: body.variable("it"), 16_383),
    "variable 16,384": (b"\x80\x80\x01", lambda body: body.variable("it"), 16_384),
    "variable 2,097,151": (b"\xff\xff\x7f", lambda body: body.variable("it"), 2_097_151),
    "variable 2,097,152": (b"\x80\x80\x80\x01", lambda body: body.variable("it"), 2_097_152),
    "variable 268,435,455": (b"\xff\xff\xff\x7f", lambda body: body.variable("it"), 268_435_455),
}


@pytest.mark.parametrize("name", READS)
def test_a_field(name: str) -> None:
    """It is read as the standard writes it (section 1.5), and no byte more."""
    data, read, value = READS[name]
    body = Body(data + b"rest", "X")

    assert value == read(body)
    assert body.left == 4
    assert body.rest() == b"rest"
    body.end()


@pytest.mark.parametrize("name", READS)
def test_a_field_that_is_cut_off(name: str) -> None:
    """Every byte less is a malformed packet."""
    data, read, _ = READS[name]
    for end in range(len(data)):
        with pytest.raises(MalformedPacket, match=r"^X ends .*; allowed is what is complete$"):
            read(Body(data[:end], "X"))


@pytest.mark.parametrize("name", NO_TEXT)
def test_what_is_no_text(name: str) -> None:
    """It is malformed, in texts and in topic names."""
    with pytest.raises(MalformedPacket, match="allowed is"):
        check_text("it", NO_TEXT[name])
    with pytest.raises(MalformedPacket, match="allowed is"):
        check_topic("it", NO_TEXT[name])


@pytest.mark.parametrize("topic", [b"", b"+", b"a/#", b"a+"])
def test_what_is_no_topic(topic: bytes) -> None:
    """[MQTT-4.7.3-1] [MQTT-4.7.0-1] Empty names, and those with a wildcard."""
    with pytest.raises(MalformedPacket, match=r"^the it .* allowed is"):
        check_topic("it", topic)


@pytest.mark.parametrize("data", [b"\x80\x00", b"\xff\x80\x00", b"\x80\x80\x80\x00"])
def test_a_longer_integer_than_need_be(data: bytes) -> None:
    """[MQTT-1.5.5-1] It is malformed."""
    with pytest.raises(MalformedPacket, match="allowed are as few as can be"):
        Body(data, "X").variable("it")


def test_an_integer_of_five_bytes() -> None:
    """It is malformed at its fourth (section 1.5.5)."""
    with pytest.raises(MalformedPacket, match="the it goes on after 4 bytes; allowed are 4"):
        Body(b"\xff\xff\xff\xff", "X").variable("it")


def test_packet_identifier_0() -> None:
    """[MQTT-2.2.1-3] It is a protocol error, and can be taken apart."""
    with pytest.raises(MQTTError, match="X has the packet identifier 0; allowed are") as caught:
        Body(b"\0\0", "X").packet_id()

    assert caught.value.reason == 0x82
    assert not isinstance(caught.value, MalformedPacket)


def test_a_body_that_goes_on() -> None:
    """What is left at the end is malformed."""
    with pytest.raises(MalformedPacket, match="X goes on for 2 bytes after its end"):
        Body(b"ab", "X").end()


def test_a_part() -> None:
    """It is a body of its own, and ends before what comes after it."""
    body = Body(b"abc", "X")
    part = body.part("list", 2)

    assert part.of == "the list of X"
    assert part.take("it", 2) == b"ab"
    with pytest.raises(MalformedPacket, match="the list of X ends"):
        part.byte("it")
    assert body.rest() == b"c"


def test_long_data_is_cut_in_errors() -> None:
    """An error's text doesn't grow with what was sent."""
    assert shown(b"abc") == "b'abc'"
    assert len(shown(bytes(100_000))) < 200


@given(st.integers(0, 268_435_455))
def test_every_integer_comes_back(value: int) -> None:
    """What is read is what was written."""
    body = Body(write_variable(value), "X")

    assert value == body.variable("it")
    body.end()
