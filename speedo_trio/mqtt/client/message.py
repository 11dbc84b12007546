"""A message that a client got, and its way back to the server: the acknowledgement.

Next: `speedo_trio.mqtt.client.memory`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field, frozen

from speedo_trio.broker.message import TopicMessage

if TYPE_CHECKING:
    from speedo_trio.mqtt.wire.properties import Properties


@define(eq=False)
class Arrival:
    """A PUBLISH with QoS 1 or 2 that has not been acknowledged."""

    packet_id: int
    qos: int
    done: bool = False
    """Whether the message is dealt with, as far as the receiver says."""


@frozen
class ReceivedMessage(TopicMessage):
    """What was published under a topic, as the server sent it."""

    qos: int = 0
    dup: bool = False
    """Whether it may have come before."""
    properties: Properties | None = None
    arrival: Arrival | None = field(default=None, eq=False, repr=False)
    """What is to be acknowledged; None with QoS 0."""
