"""A subscription of the program to what is published over MQTT, or with its means.

Next: `speedo_trio.mqtt.service`, which makes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from speedo_trio.broker.subscription import Subscription
from speedo_trio.mqtt.message import MQTTMessage, message_of

if TYPE_CHECKING:
    from speedo_trio.pubsub.publication import Publication


class MQTTSubscription(Subscription):
    """A `Subscription <speedo_trio.Subscription>` whose messages tell how they were published."""

    async def __anext__(self) -> MQTTMessage:
        """Wait for the next message. A cancel loses none.

        Raises:
            SubscriberTooSlow: the messages were taken too slowly, and `overflow` is "disconnect".
        """
        message = await super().__anext__()
        assert isinstance(message, MQTTMessage)
        return message

    def _message(self, publication: Publication, *, retain: bool) -> MQTTMessage:
        return message_of(publication, retain=retain)
