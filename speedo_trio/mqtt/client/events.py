"""What a server's packets are to a client.

Next: `speedo_trio.mqtt.client.telling`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from attrs import frozen

if TYPE_CHECKING:
    from speedo_trio.mqtt.client.message import ReceivedMessage
    from speedo_trio.mqtt.wire.properties import Properties
    from speedo_trio.mqtt.wire.reason_codes import ReasonCode


@frozen
class Welcomed:
    """The server has accepted the client."""

    session_present: bool
    properties: Properties


@frozen
class Arrived:
    """A message has come."""

    message: ReceivedMessage


@frozen
class Settled:
    """What was asked with a packet identifier has come to its end: it is free."""

    packet_id: int
    reasons: tuple[ReasonCode, ...]
    """One for a message, one for each filter otherwise; UNSUBACK before 5.0 has none."""
    text: str = ""
    """What the server said to it."""


@frozen
class Ponged:
    """The server has answered a PINGREQ."""


ClientEvent: TypeAlias = Welcomed | Arrived | Settled | Ponged
