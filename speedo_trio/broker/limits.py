"""The limits of a broker, for all of its protocols together.

Next: `speedo_trio.broker.stats`.
"""

from __future__ import annotations

from attrs import field, frozen

from speedo_trio.pubsub.bounds import bound
from speedo_trio.pubsub.topics import MOST_BYTES, MOST_LEVELS


@frozen(kw_only=True)
class BrokerLimits:
    """How much a broker keeps, and how long topics may be."""

    topic_bytes: int = field(default=MOST_BYTES, validator=bound(1, MOST_BYTES))
    """Bytes of a topic or filter in UTF-8."""
    topic_levels: int = field(default=200, validator=bound(1, MOST_LEVELS))
    """Levels of a topic or filter, as between slashes. mosquitto allows as many."""
    retained_messages: int = field(default=100_000, validator=bound())
    """Topics that have a retained message."""
    retained_bytes: int = field(default=67_108_864, validator=bound())
    """Bytes of all retained messages with their topics. Beside that each takes some 500 bytes."""
    route_bytes: int = field(default=67_108_864, validator=bound())
    """Bytes, about, of routes that are remembered: who gets what is published under a topic."""
