"""Records: what a store keeps, as it keeps it. Times are those of the wall, seconds since 1970.

Next: `speedo_trio.mqtt.store.batch`.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

ROWS: int = 1 << 39
"""A key of the queue is a session's number times this, plus the row. So a session's rows are
together and in order; it may have 500 thousand million of them, and there may be 16 million
sessions."""
IDENTIFIERS: int = 1 << 16
"""A key of what is held is a session's number times this, plus a packet identifier."""

RETAIN: int = 4
"""A flag of a queue row beside its QoS: it goes out with RETAIN."""
RELEASED: int = 8
"""A flag of a queue row: PUBREC has come, and it has no message any more."""


ESTATE: str = "\0"
"""What begins the client identifier of a session that has ended, and has something left for others
of its groups. No client has such a one [MQTT-1.5.4-2]."""


class SessionRecord(NamedTuple):
    """A session."""

    number: int
    client_id: str
    expiry: int
    """Seconds, as `speedo_trio.mqtt.state.session.Session` has it."""
    connected: bool
    ends_at: float | None
    """When it ends, while the client is away."""
    will_at: float | None
    """When its will is to be published, while the client is away."""
    will: MessageRecord | None
    passport: str | None
    """Who its client is; None: nobody knows."""


class MessageRecord(NamedTuple):
    """A message: one that waits for sessions, one that is retained, or a will."""

    number: int
    """0 for a will and for what is retained."""
    topic: bytes
    payload: bytes
    qos: int
    retain: bool
    properties: bytes | None
    """As in a PUBLISH, or in a CONNECT that of a will; None: there are none."""
    origin: str | None
    """The client identifier of the publisher."""
    received: float
    expires: float | None


class SubscriptionRecord(NamedTuple):
    """A subscription."""

    session: int
    topic_filter: bytes
    qos: int
    no_local: bool
    retain_as_published: bool
    identifier: int
    """0: none."""


QueueRow: TypeAlias = tuple[int, int, int, int, int, str | None, bytes | None]
"""What goes to one client: the key, the message's number, the packet identifier or 0 while it
waits, QoS and flags, the bytes of topic and payload, the subscription identifiers with blanks
between, and the filter of a shared subscription. A plain tuple: one is made for each delivery."""


class Waiting(NamedTuple):
    """How much waits for a session."""

    messages: int
    size: int
    shared: bool = False
    """Whether some came by shared subscriptions."""


class Fetched(NamedTuple):
    """A row that waits, and its message."""

    row: QueueRow
    message: MessageRecord
