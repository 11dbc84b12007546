"""The fields of packets as bytes: integers, texts, binary data. `Body` reads what this writes.

Next: `speedo_trio.mqtt.wire.encoder`.
"""

from __future__ import annotations

from typing import Final

from speedo_trio.errors import MalformedPacket, UnsendablePacket
from speedo_trio.mqtt.wire.body import check_text, check_topic
from speedo_trio.mqtt.wire.properties import MOST_VARIABLE, Properties

MOST_BYTES: Final = 0xFFFF
"""The longest text or binary data (sections 1.5.4 and 1.5.6) [MQTT-4.7.3-3]."""


def write_variable(value: int) -> bytes:
    """Write a Variable Byte Integer, in as few bytes as can be [MQTT-1.5.5-1].

    Raises:
        UnsendablePacket: It is over `MOST_VARIABLE`, as a packet's length would be.
    """
    if value < 0x4000:
        return value.to_bytes() if value < 0x80 else bytes((value & 0x7F | 0x80, value >> 7))
    if value > MOST_VARIABLE:
        raise UnsendablePacket(f"the length is {value}; allowed are 0 to {MOST_VARIABLE}")
    written = bytearray()
    while value >= 0x80:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def write_binary(what: str, data: bytes) -> bytes:
    """Write Binary Data.

    Raises:
        UnsendablePacket: It is too long.
    """
    if len(data) > MOST_BYTES:
        raise UnsendablePacket(f"the {what} has {len(data)} bytes; allowed are {MOST_BYTES}")
    return len(data).to_bytes(2) + data


def utf_8(text: str) -> bytes:
    """The UTF-8 of a text, surrogates included: it is for the checks to tell of them."""
    return text.encode(errors="surrogatepass")


def write_text(what: str, value: str) -> bytes:
    """Write a UTF-8 Encoded String.

    Raises:
        UnsendablePacket: It is too long, or has surrogates or U+0000.
    """
    return write_utf_8(what, utf_8(value))


def write_utf_8(what: str, data: bytes) -> bytes:
    """Write a UTF-8 Encoded String that is bytes already, such as a filter.

    Raises:
        UnsendablePacket: It is too long, is not UTF-8 or has U+0000.
    """
    try:
        check_text(what, data)
    except MalformedPacket as error:
        raise UnsendablePacket(str(error)) from None
    return write_binary(what, data)


def write_topic(what: str, name: bytes) -> bytes:
    """Write a topic name.

    Raises:
        UnsendablePacket: It is none, or too long.
    """
    try:
        check_topic(what, name)
    except MalformedPacket as error:
        raise UnsendablePacket(str(error)) from None
    return write_binary(what, name)


def write_packet_id(of: str, value: int) -> bytes:
    """Write a packet identifier.

    Raises:
        UnsendablePacket: It is 0 or has more than two bytes.
    """
    if not 1 <= value <= 0xFFFF:  # [MQTT-2.2.1-3] [MQTT-2.2.1-4]
        raise UnsendablePacket(f"{of} has the packet identifier {value}; allowed are 1 to {0xFFFF}")
    return value.to_bytes(2)


def write_two_bytes(what: str, value: int) -> bytes:
    """Write a Two Byte Integer.

    Raises:
        UnsendablePacket: It has more than two bytes.
    """
    if not 0 <= value <= 0xFFFF:
        raise UnsendablePacket(f"the {what} is {value}; allowed are 0 to {0xFFFF}")
    return value.to_bytes(2)


def check_qos(value: int) -> int:
    """Give a QoS as it is.

    Raises:
        UnsendablePacket: It is none.
    """
    if value not in (0, 1, 2):  # [MQTT-3.3.1-4]
        raise UnsendablePacket(f"the QoS is {value}; allowed are 0 to 2")
    return value


def check_no_properties(of: str, properties: Properties | None) -> None:
    """See that there are none, for versions that have none.

    Raises:
        UnsendablePacket: There are some.
    """
    if properties is not None and properties != Properties():
        raise UnsendablePacket(f"{of} has properties; they are allowed in MQTT 5.0 only")
