"""Known topics: names that have been checked, so that those that come again need not be.

Next: `speedo_trio.mqtt.wire.decoder`.
"""

from __future__ import annotations

from typing import Final

from speedo_trio.mqtt.wire.body import check_topic

MOST_NAMES: Final = 4096
"""More than are in use at a time in most systems; with the next, a MiB at most."""
LONGEST_NAME: Final = 256
"""Bytes. Longer ones are checked each time."""

KNOWN: Final[dict[bytes, bytes]] = {}
"""The names, each by itself. All readers share it, and so a name has one object in the process,
which routes are found by faster. Only `learn` adds to it."""


def learn(topic: bytes) -> bytes:
    """Give `topic`, or the known one that equals it. It is known from now on.

    When there is no room for more, all are forgotten: that costs less than to keep an order, and
    who sends ever new names only makes others' be checked again.

    Raises:
        MalformedPacket: It is no topic name.
    """
    known = KNOWN.get(topic)
    if known is not None:
        return known
    check_topic("topic name", topic)
    if len(topic) <= LONGEST_NAME:
        if len(KNOWN) >= MOST_NAMES:
            KNOWN.clear()
        KNOWN[topic] = topic
    return topic
