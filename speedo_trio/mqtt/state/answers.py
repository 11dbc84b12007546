"""Answers: packets to a client as it can take them, reason strings only where they may be.

Next: `speedo_trio.mqtt.state.handshake`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.packets import ConnAck, Disconnect
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reason_codes import (
    ALLOWED_REASONS,
    CONNECT_RETURN_CODES,
    ReasonCode,
)
from speedo_trio.mqtt.wire.versions import Version

if TYPE_CHECKING:
    from collections.abc import Callable

    from speedo_trio.mqtt.wire.packets import Packet

REFUSED: Final = 0x80
"""Reason codes from here on say that something went wrong."""

NOT_A_SERVERS: Final = frozenset({ReasonCode.DISCONNECT_WITH_WILL_MESSAGE})
"""What only a client's DISCONNECT may say (section 3.14.2.1)."""

CLIENT_DISCONNECTS: Final = frozenset(
    map(ReasonCode, (0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, *range(0x93, 0x9A)))
)
"""What a client's DISCONNECT may say (section 3.14.2.1) [MQTT-3.14.2-1]."""

UNSUPPORTED_5: Final = b"\x20\x03\x00\x84\x00"
"""What a client that speaks a later version than 5.0 is told [MQTT-3.1.2-2]."""
UNSUPPORTED_3: Final = b"\x20\x02\x00\x01"
"""What a client that speaks another version is told [MQTT3-3.1.2-2]."""

_LONGEST_TEXT: Final = 1000  # of a reason string; it tells what was seen, which a peer chose


def fitting(
    make: Callable[[Properties | None], Packet],
    version: Version,
    limit: int,
    text: str = "",
    properties: Properties | None = None,
) -> bytes:
    """Encode an answer, with the text as its reason string if there is room for that.

    [MQTT-3.2.2-19] [MQTT-3.4.2-2] [MQTT-3.5.2-2] [MQTT-3.9.2-1] [MQTT-3.11.2-1] [MQTT-3.14.2-3]

    Args:
        make: Makes the packet, given its properties.
        limit: The bytes that the client takes [MQTT-3.1.2-24].

    Returns:
        The frame, or nothing when the client takes none as small.
    """
    if text and version is Version.MQTT_5_0:
        told = Properties() if properties is None else properties
        before, told.reason_string = told.reason_string, _sendable(text)
        frame = encode(make(told), version)
        if len(frame) <= limit:
            return frame
        told.reason_string = before
    frame = encode(make(properties), version)
    return frame if len(frame) <= limit else b""


def allowed(reason: ReasonCode, kind: PacketType) -> ReasonCode:
    """The reason code, or the one to give where that kind of packet can't."""
    if reason in ALLOWED_REASONS[kind]:
        return reason
    if reason is ReasonCode.SERVER_SHUTTING_DOWN and kind is PacketType.CONNACK:
        return ReasonCode.SERVER_UNAVAILABLE
    return ReasonCode.UNSPECIFIED_ERROR


def refusal(
    reason: ReasonCode,
    version: Version | None,
    limit: int,
    text: str = "",
    server_reference: str | None = None,
) -> bytes:
    """A CONNACK that refuses, without a session [MQTT-3.2.2-6]; nothing where none can say it.

    Args:
        reason: Why; of 0x80 or above.
        version: What the client speaks; None: that is not known.
        server_reference: Where it is to go instead, if that is why.
    """
    if version is None:
        return b""
    if version is not Version.MQTT_5_0:
        if reason not in CONNECT_RETURN_CODES:  # [MQTT3-3.2.2-6] [MQTT3-3.1.4-1]
            return b""
        return encode(ConnAck(reason), version)
    moved = reason in {ReasonCode.USE_ANOTHER_SERVER, ReasonCode.SERVER_MOVED}
    properties = Properties(server_reference=server_reference) if moved else None
    known = allowed(reason, PacketType.CONNACK)  # [MQTT-3.2.2-8]
    return fitting(lambda told: ConnAck(known, properties=told), version, limit, text, properties)


def disconnection(
    reason: ReasonCode,
    version: Version,
    limit: int,
    text: str = "",
    server_reference: str | None = None,
) -> bytes:
    """A server's DISCONNECT; nothing before MQTT 5.0, where only clients send it.

    It has no session expiry interval [MQTT-3.14.2-2].
    """
    if version is not Version.MQTT_5_0:
        return b""
    known = allowed(reason, PacketType.DISCONNECT)  # [MQTT-3.14.2-1]
    if known in NOT_A_SERVERS:
        known = ReasonCode.UNSPECIFIED_ERROR
    moved = reason in {ReasonCode.USE_ANOTHER_SERVER, ReasonCode.SERVER_MOVED}
    properties = Properties(server_reference=server_reference) if moved else None
    return fitting(lambda told: Disconnect(known, told), version, limit, text, properties)


def unsupported(level: int | None) -> bytes:
    """What a client is told whose protocol level isn't spoken here; nothing if it has none."""
    if level is None:  # [MQTT-3.1.2-1]
        return b""
    return UNSUPPORTED_5 if level > Version.MQTT_5_0 else UNSUPPORTED_3


def _sendable(text: str) -> str:
    """A text that may be a reason string."""
    return text[:_LONGEST_TEXT].replace("\0", "").encode(errors="replace").decode()
