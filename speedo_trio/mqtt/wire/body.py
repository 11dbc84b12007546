"""A body: what follows the fixed header of a packet, and is read field by field.

Next: `speedo_trio.mqtt.wire.property_list`.
"""

from __future__ import annotations

from typing import Final

from speedo_trio.errors import MalformedPacket, MQTTError
from speedo_trio.mqtt.wire.reason_codes import ReasonCode

_SHOWN_BYTES: Final = 40  # of a text in an error


def shown(data: bytes) -> str:
    """Bytes for the text of an error, cut off when there are many."""
    return repr(data if len(data) <= _SHOWN_BYTES else data[:_SHOWN_BYTES] + b"...")


def check_text(what: str, data: bytes) -> str:
    """The text that `data` is the UTF-8 of. `what` names it in errors.

    Raises:
        MalformedPacket: It is not UTF-8, or has the character U+0000.
    """
    try:
        # Surrogates and overlong forms are refused too. U+FEFF at the beginning stays: it would not
        # with utf-8-sig [MQTT-1.5.4-3].
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:  # [MQTT-1.5.4-1] [MQTT3-1.5.3-1]
        raise MalformedPacket(
            f"the {what} {shown(data)} is not UTF-8 at byte {error.start} ({error.reason}); "
            "allowed is UTF-8"
        ) from None
    if "\0" in text:  # [MQTT-1.5.4-2] [MQTT3-1.5.3-2]
        raise MalformedPacket(
            f"the {what} {shown(data)} has the character U+0000; allowed is any other"
        )
    return text


def check_topic(what: str, topic: bytes) -> None:
    """See that `topic` is a topic name. One that is not is malformed, and not just invalid.

    Raises:
        MalformedPacket: It is none.
    """
    if not topic:  # [MQTT-4.7.3-1]
        raise MalformedPacket(f"the {what} is empty; allowed is one character or more")
    if b"+" in topic or b"#" in topic:  # [MQTT-3.3.2-2] [MQTT-4.7.0-1] [MQTT3-4.7.1-1]
        raise MalformedPacket(f"the {what} {shown(topic)} has a wildcard; allowed is none")
    check_text(what, topic)


class Body:
    """The bytes of a packet after its fixed header, and how far they have been read.

    Every method but `rest` raises MalformedPacket when fewer bytes are left than it reads.

    Args:
        data: The bytes.
        of: What they are of, for the text of errors: "CONNECT".
    """

    __slots__ = ("_data", "_end", "_position", "of")

    def __init__(self, data: bytes, of: str) -> None:
        self._data = data
        self._position = 0
        self._end = len(data)
        self.of: Final = of
        """What the bytes are of."""

    @property
    def left(self) -> int:
        """How many bytes have not been read."""
        return self._end - self._position

    def take(self, what: str, count: int) -> bytes:
        """Read so many bytes."""
        start, end = self._position, self._position + count
        if end > self._end:
            raise self._cut_off(what, count)
        self._position = end
        return self._data[start:end]

    def _cut_off(self, what: str, count: int) -> MalformedPacket:
        return MalformedPacket(
            f"{self.of} ends {self.left} bytes into its {what}, which has {count}; "
            "allowed is what is complete"
        )

    def byte(self, what: str) -> int:
        """Read a byte."""
        if self._position >= self._end:
            raise MalformedPacket(f"{self.of} ends before its {what}; allowed is what is complete")
        self._position += 1
        return self._data[self._position - 1]

    def number(self, what: str, size: int) -> int:
        """Read an integer of so many bytes (sections 1.5.2 and 1.5.3)."""
        return int.from_bytes(self.take(what, size))

    def variable(self, what: str) -> int:
        """Read a Variable Byte Integer (section 1.5.5)."""
        start = self._position
        if start < self._end and self._data[start] < 0x80:  # as nearly all are
            self._position += 1
            return self._data[start]
        value = 0
        for shift in (0, 7, 14, 21):
            byte = self.byte(what)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if not byte:  # [MQTT-1.5.5-1]
                    raise MalformedPacket(
                        f"the {what} {value} has {shift // 7 + 1} bytes; "
                        "allowed are as few as can be"
                    )
                return value
        raise MalformedPacket(f"the {what} goes on after 4 bytes; allowed are 4")

    def binary(self, what: str) -> bytes:
        """Read Binary Data (section 1.5.6)."""
        start = self._position + 2
        if start > self._end:
            raise self._cut_off(f"length of the {what}", 2)
        self._position = start
        end = start + (self._data[start - 2] << 8) + self._data[start - 1]
        if end > self._end:
            raise self._cut_off(what, end - start)
        self._position = end
        return self._data[start:end]

    def text(self, what: str) -> str:
        """Read a UTF-8 Encoded String (section 1.5.4)."""
        return check_text(what, self.binary(what))

    def packet_id(self) -> int:
        """Read a packet identifier.

        Raises:
            MQTTError: It is 0.
        """
        packet_id = self.number("packet identifier", 2)
        if not packet_id:  # [MQTT-2.2.1-3] [MQTT3-2.3.1-1]
            raise MQTTError(
                f"{self.of} has the packet identifier 0; allowed are 1 to 65535",
                ReasonCode.PROTOCOL_ERROR,
            )
        return packet_id

    def part(self, what: str, count: int) -> Body:
        """Read so many bytes as a body of their own."""
        return Body(self.take(what, count), f"the {what} of {self.of}")

    def rest(self) -> bytes:
        """Read all that is left."""
        return self.take("rest", self.left)

    def end(self) -> None:
        """See that nothing is left.

        Raises:
            MalformedPacket: Bytes are left.
        """
        if self.left:
            raise MalformedPacket(
                f"{self.of} goes on for {self.left} bytes after its end; allowed are none"
            )
