"""Property lists: which property may be where, how often, and with what value."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.errors import MalformedPacket, MQTTError, UnsendablePacket
from speedo_trio.mqtt.wire.body import Body
from speedo_trio.mqtt.wire.fields import write_variable
from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.properties import MOST_USER_PROPERTIES, WILL, Place, Properties
from speedo_trio.mqtt.wire.property_list import decode_properties, encode_properties, name_of
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from tests.mqtt.wire import strategies

CONNECT, CONNACK, PUBLISH = PacketType.CONNECT, PacketType.CONNACK, PacketType.PUBLISH
SUBSCRIBE, DISCONNECT, AUTH = PacketType.SUBSCRIBE, PacketType.DISCONNECT, PacketType.AUTH
PLACES: tuple[Place, ...] = (WILL, *PacketType)

MALFORMED = ReasonCode.MALFORMED_PACKET
PROTOCOL = ReasonCode.PROTOCOL_ERROR

SAMPLES = {
    0x01: b"\1",
    0x02: b"\0\0\0\1",
    0x03: b"\0\1t",
    0x08: b"\0\1r",
    0x09: b"\0\1d",
    0x0B: b"\1",
    0x11: b"\0\0\0\1",
    0x12: b"\0\1c",
    0x13: b"\0\1",
    0x15: b"\0\1m",
    0x16: b"\0\1d",
    0x17: b"\1",
    0x18: b"\0\0\0\1",
    0x19: b"\1",
    0x1A: b"\0\1i",
    0x1C: b"\0\1s",
    0x1F: b"\0\1w",
    0x21: b"\0\1",
    0x22: b"\0\1",
    0x23: b"\0\1",
    0x24: b"\1",
    0x25: b"\1",
    0x26: b"\0\1k\0\1v",
    0x27: b"\0\0\0\1",
    0x28: b"\1",
    0x29: b"\1",
    0x2A: b"\1",
}
"""A value for each identifier."""

ACKNOWLEDGED = (0x1F, 0x26)
ALLOWED: dict[Place, tuple[int, ...]] = {
    CONNECT: (0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27),
    CONNACK: (
        *(0x11, 0x12, 0x13, 0x15, 0x16, 0x1A, 0x1C, 0x1F, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27),
        *(0x28, 0x29, 0x2A),
    ),
    PUBLISH: (0x01, 0x02, 0x03, 0x08, 0x09, 0x0B, 0x23, 0x26),
    WILL: (0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26),
    PacketType.PUBACK: ACKNOWLEDGED,
    PacketType.PUBREC: ACKNOWLEDGED,
    PacketType.PUBREL: ACKNOWLEDGED,
    PacketType.PUBCOMP: ACKNOWLEDGED,
    SUBSCRIBE: (0x0B, 0x26),
    PacketType.SUBACK: ACKNOWLEDGED,
    PacketType.UNSUBSCRIBE: (0x26,),
    PacketType.UNSUBACK: ACKNOWLEDGED,
    DISCONNECT: (0x11, 0x1C, 0x1F, 0x26),
    AUTH: (0x15, 0x16, 0x1F, 0x26),
}
"""What may be where: the sections on the packets, not table 2-4 from which the code has it."""

SEVERAL = {(PUBLISH, 0x0B), *((place, 0x26) for place in PLACES)}
"""What may be there more than once."""


class Wrong(NamedTuple):
    """A list without its length, where it is, and what it is answered with."""

    place: Place
    data: bytes
    reason: ReasonCode
    text: str


WRONG: dict[str, Wrong] = {
    "2.2.2.2: unknown": Wrong(CONNECT, b"\4\0", MALFORMED, "CONNECT has a property 0x04; allowed"),
    "2.2.2.2: unknown, two bytes": Wrong(
        PUBLISH, b"\x80\1\0", MALFORMED, "PUBLISH has a property 0x80"
    ),
    "2.2.2.2: 0": Wrong(PUBLISH, b"\0", MALFORMED, "PUBLISH has a property 0x00"),
    "[MQTT-1.5.5-1] an identifier": Wrong(
        PUBLISH, b"\x81\0\1", MALFORMED, "the property identifier 1 has 2 bytes; allowed are as few"
    ),
    "2.2.2.2: a value cut off": Wrong(
        PUBLISH, b"\2\0\0\0", MALFORMED, "the property list of PUBLISH ends 3 bytes into its mess"
    ),
    "1.5.4: a text cut off": Wrong(
        PUBLISH, b"\3\0\5text", MALFORMED, "the property list of PUBLISH ends 4 bytes into its con"
    ),
    "[MQTT-1.5.7-1] a pair cut off": Wrong(
        PUBLISH, b"\x26\0\1k", MALFORMED, "the property list of PUBLISH ends 0 bytes into its le"
    ),
    "[MQTT-1.5.7-1] a name, no UTF-8": Wrong(
        PUBLISH, b"\x26\0\1\xff\0\1v", MALFORMED, "the user name b'\\xff' is not UTF-8"
    ),
    "[MQTT-1.5.7-1] a value with U+0000": Wrong(
        PUBLISH, b"\x26\0\1k\0\1\0", MALFORMED, "the user value b'\\x00' has the character U+0000"
    ),
    "[MQTT-3.3.2-19] content type, no UTF-8": Wrong(
        PUBLISH, b"\3\0\1\xff", MALFORMED, "the content_type b'\\xff' is not UTF-8"
    ),
    "[MQTT-3.3.2-13] response topic, no UTF-8": Wrong(
        PUBLISH, b"\x08\0\1\xff", MALFORMED, "the response_topic b'\\xff' is not UTF-8"
    ),
    "[MQTT-3.3.2-14] response topic": Wrong(
        WILL, b"\x08\0\1#", MALFORMED, "the response_topic b'#' has a wildcard"
    ),
    "[MQTT-4.7.3-1] response topic": Wrong(
        PUBLISH, b"\x08\0\0", MALFORMED, "the response_topic is empty"
    ),
    "3.3.2.3.2: 2": Wrong(PUBLISH, b"\1\2", PROTOCOL, "the property payload_format_indicator is 2"),
    "3.3.2.3.8: 0": Wrong(
        PUBLISH, b"\x0b\0", PROTOCOL, "the property subscription_identifiers is 0"
    ),
    "[MQTT-1.5.5-1] 3.3.2.3.8": Wrong(
        PUBLISH, b"\x0b\x81\0", MALFORMED, "the subscription_identifiers 1 has 2 bytes"
    ),
    "1.5.5: five bytes": Wrong(
        SUBSCRIBE,
        b"\x0b\xff\xff\xff\xff\1",
        MALFORMED,
        "the subscription_identifiers goes on after 4 bytes; allowed are 4",
    ),
    "[MQTT-3.3.2-8] 0": Wrong(
        PUBLISH, b"\x23\0\0", ReasonCode.TOPIC_ALIAS_INVALID, "the property topic_alias is 0; allow"
    ),
    "3.1.2.11.3: 0": Wrong(CONNECT, b"\x21\0\0", PROTOCOL, "the property receive_maximum is 0; al"),
    "3.2.2.3.3: 0": Wrong(CONNACK, b"\x21\0\0", PROTOCOL, "the property receive_maximum is 0; all"),
    "3.1.2.11.4: 0": Wrong(
        CONNECT, b"\x27\0\0\0\0", PROTOCOL, "the property maximum_packet_size is 0; allowed are 1"
    ),
    "3.1.2.11.6: 2": Wrong(
        CONNECT, b"\x19\2", PROTOCOL, "the property request_response_information is 2; allowed are"
    ),
    "3.1.2.11.7: 2": Wrong(
        CONNECT, b"\x17\2", PROTOCOL, "the property request_problem_information is 2; allowed are 0"
    ),
    "3.2.2.3.4: 2": Wrong(CONNACK, b"\x24\2", PROTOCOL, "the property maximum_qos is 2; allowed a"),
    "3.2.2.3.5: 2": Wrong(CONNACK, b"\x25\2", PROTOCOL, "the property retain_available is 2; allo"),
    "3.2.2.3.11: 2": Wrong(
        CONNACK, b"\x28\2", PROTOCOL, "the property wildcard_subscription_avail"
    ),
    "3.2.2.3.12: 255": Wrong(
        CONNACK, b"\x29\xff", PROTOCOL, "the property subscription_identifier"
    ),
    "3.2.2.3.13: 2": Wrong(
        CONNACK, b"\x2a\2", PROTOCOL, "the property shared_subscription_availab"
    ),
}

UNSENDABLE: dict[str, tuple[Place, Properties, str]] = {
    "2.2.2.2": (
        *(CONNECT, Properties(topic_alias=1)),
        "CONNECT has the property topic_alias; it is allowed in PUBLISH",
    ),
    "2.2.2.2 a will": (WILL, Properties(receive_maximum=1), "the will has the property receive_m"),
    "[MQTT-3.3.2-8]": (
        PUBLISH,
        Properties(topic_alias=0),
        "the property topic_alias is 0; allowed",
    ),
    "1.5.2": (CONNECT, Properties(receive_maximum=65536), "the property receive_maximum is 65536"),
    "1.5.3": (WILL, Properties(will_delay_interval=-1), "the property will_delay_interval is -1"),
    "1.5.5": (
        *(PUBLISH, Properties(subscription_identifiers=(268_435_456,))),
        "the property subscription_identifiers is 268435456; allowed are 1 to 268435455",
    ),
    "3.2.2.3.4": (
        CONNACK,
        Properties(maximum_qos=2),
        "the property maximum_qos is 2; allowed are 0",
    ),
    "[MQTT-1.5.4-1]": (AUTH, Properties(reason_string="\ud800"), "the reason_string b'\\xed\\xa0"),
    "[MQTT-1.5.7-1]": (
        AUTH,
        Properties(user=(("k", "\0"),)),
        "the user value b'\\x00' has the cha",
    ),
    "[MQTT-3.3.2-14]": (
        PUBLISH,
        Properties(response_topic="+"),
        "the response_topic b'+' has a wi",
    ),
    "1.5.6": (
        *(PUBLISH, Properties(correlation_data=bytes(65536))),
        "the correlation_data has 65536 bytes; allowed are 65535",
    ),
}


def read(data: bytes, place: Place) -> Properties | None:
    """Read a list to which its length is added."""
    body = Body(bytes((len(data),)) + data, name_of(place))
    properties = decode_properties(body, place)
    body.end()
    return properties


@pytest.mark.parametrize("place", PLACES, ids=name_of)
def test_what_may_be_where(place: Place) -> None:
    """Each property is read exactly where it is allowed; elsewhere the packet is malformed."""
    for identifier, value in SAMPLES.items():
        data = bytes((identifier,)) + value
        if identifier in ALLOWED.get(place, ()):
            properties = read(data, place)
            assert encode_properties(properties, place) == bytes((len(data),)) + data
        else:
            with pytest.raises(MalformedPacket, match="it is allowed in"):
                read(data, place)


@pytest.mark.parametrize("place", PLACES, ids=name_of)
def test_what_may_be_there_again(place: Place) -> None:
    """Again is a protocol error, but for user properties and a PUBLISH's identifiers."""
    for identifier in ALLOWED.get(place, ()):
        data = bytes((identifier,)) + SAMPLES[identifier]
        if (place, identifier) in SEVERAL:
            assert read(data * 2, place) is not None
        else:
            with pytest.raises(MQTTError, match="again; allowed is one") as caught:
                read(data * 2, place)
            assert caught.value.reason == PROTOCOL


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_allowed(name: str) -> None:
    """The clause is kept: the error has the reason code that the standard says, and tells what."""
    place, data, reason, text = WRONG[name]
    with pytest.raises(MQTTError) as caught:
        read(data, place)

    assert reason == caught.value.reason
    assert (reason is MALFORMED) == isinstance(caught.value, MalformedPacket)
    assert str(caught.value).startswith(text)
    assert "allowed" in str(caught.value)


@pytest.mark.parametrize("name", UNSENDABLE)
def test_what_may_not_be_sent(name: str) -> None:
    """It is refused, with what was seen and what is allowed."""
    place, properties, text = UNSENDABLE[name]
    with pytest.raises(UnsendablePacket) as caught:
        encode_properties(properties, place)

    assert str(caught.value).startswith(text)
    assert "allowed" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "PUBLISH ends before its property length"),
        (b"\x80\0", "the property length 0 has 2 bytes"),
        (b"\x05\1\1", "PUBLISH ends 2 bytes into its property list, which has 5"),
    ],
)
def test_a_length_that_is_wrong(data: bytes, text: str) -> None:
    """[MQTT-2.2.2-1] [MQTT-1.5.5-1] It is there, as short as can be, and within the packet."""
    with pytest.raises(MalformedPacket) as caught:
        decode_properties(Body(data, "PUBLISH"), PUBLISH)

    assert str(caught.value).startswith(text)


def test_none() -> None:
    """No properties are None both ways, and a length of 0 as bytes."""
    assert read(b"", PUBLISH) is None
    assert encode_properties(None, PUBLISH) == b"\0"
    assert encode_properties(Properties(), PUBLISH) == b"\0"


def test_user_properties_keep_their_order() -> None:
    """[MQTT-3.3.2-18] Repeats included, also with other properties between them."""
    first, second = b"\x26\0\1b\0\0011", b"\x26\0\1a\0\0012"
    properties = read(first + b"\1\0" + second + first, PUBLISH)

    assert properties == Properties(
        payload_format_indicator=0, user=(("b", "1"), ("a", "2"), ("b", "1"))
    )


cases: Any = st.sampled_from([each for each in PLACES if each in ALLOWED]).flatmap(
    lambda place: st.tuples(st.just(place), strategies.properties(place))
)


@given(cases)
def test_every_list_comes_back(case: tuple[Place, Properties | None]) -> None:
    """What is decoded is what was encoded, wherever it may be."""
    place, properties = case
    body = Body(encode_properties(properties, place), name_of(place))

    assert properties == decode_properties(body, place)
    body.end()


@pytest.mark.parametrize("place", [WILL, PacketType.CONNECT, PUBLISH])
def test_user_properties_are_bounded(place: Place) -> None:
    """They take many times the bytes in memory that they come in, and long to be read."""
    pair = b"\x26\0\0\0\0"
    most = pair * MOST_USER_PROPERTIES
    more = most + pair
    decode_properties(Body(write_variable(len(most)) + most, "it"), place)

    with pytest.raises(MQTTError, match="user more than 10000 times; allowed") as caught:
        decode_properties(Body(write_variable(len(more)) + more, "it"), place)
    assert caught.value.reason is ReasonCode.QUOTA_EXCEEDED
