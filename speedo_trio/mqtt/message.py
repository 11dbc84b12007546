"""An MQTT message: what a subscriber in the program gets of a publication.

Next: `speedo_trio.mqtt.subscription`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from speedo_trio.broker.message import TopicMessage
from speedo_trio.mqtt.state.publication import MQTTPublication

if TYPE_CHECKING:
    from speedo_trio.mqtt.wire.properties import Properties
    from speedo_trio.pubsub.publication import Publication


@frozen
class MQTTMessage(TopicMessage):
    """What was published under a topic, and how. What others than MQTT published has QoS 0."""

    qos: int = 0
    """What it was published with."""
    to_retain: bool = False
    """Whether its publisher wanted it retained."""
    client_id: str | None = None
    """The client that published it; None: the program, or a client of another protocol."""
    properties: Properties | None = None
    """As its publisher gave them; None: none, or of an MQTT older than 5.0."""


def message_of(publication: Publication, *, retain: bool = False) -> MQTTMessage:
    """What a publication is to the program.

    Args:
        retain: whether it was retained, from before the subscription.
    """
    topic = publication.topic.decode()
    if not isinstance(publication, MQTTPublication):
        return MQTTMessage(topic, publication.payload, retain, to_retain=publication.retain)
    origin = publication.origin
    return MQTTMessage(
        topic,
        publication.payload,
        retain,
        publication.qos,
        publication.retain,
        origin if isinstance(origin, str) else None,
        publication.properties,
    )
