"""The settings of SimplePub.

Next: `speedo_trio.simplepub.frames`.
"""

from __future__ import annotations

from attrs import field, frozen

from speedo_trio.pubsub.bounds import bound
from speedo_trio.pubsub.outbox import OverflowPolicy, check_overflow
from speedo_trio.simplepub.frames import MAX_PAYLOAD


@frozen(kw_only=True)
class SimplePubSettings:
    """What a client of SimplePub may do, and what waits for one that reads slowly."""

    payload_bytes: int = field(default=MAX_PAYLOAD, validator=bound(3, MAX_PAYLOAD))
    """Bytes of a frame's payload that a client may send. As much may be held of each client's
    unfinished frame."""
    subscriptions: int = field(default=1000, validator=bound())
    """Filters that a client may be subscribed to."""
    waiting_messages: int = field(default=10_000, validator=bound())
    """Messages that may wait for a client that reads too slowly, beside those in the kernel. Those
    of one read may be on top."""
    waiting_bytes: int = field(default=33_554_432, validator=bound())
    """Bytes that may wait for it: room for two of the largest messages. They are shared with others
    who wait for the same message."""
    overflow: OverflowPolicy = field(default="drop-newest", validator=check_overflow)
    """What happens to more: "drop-newest" drops it, "drop-oldest" what has waited for longest,
    "disconnect" ends the client."""
