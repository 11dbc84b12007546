"""What a broker is doing, as snapshots.

Next: `speedo_trio.broker.mailbox`.
"""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class SubscriberStats:
    """A subscriber at one moment, and since it came."""

    name: str
    """Its protocol and its peer's address, or what the program called it."""
    filters: tuple[str, ...]
    """What it is subscribed to."""
    delivered: int
    """Messages that were handed to its connection, or taken by the program."""
    dropped: int
    """Messages that were dropped because it reads too slowly."""
    waiting: int
    """Messages that wait for it."""
    waiting_bytes: int
    """Their bytes."""


@frozen(kw_only=True)
class BrokerStats:
    """A broker at one moment, and since it was made."""

    published: int
    """Messages that were published, by whomever."""
    delivered: int
    """Messages that were delivered, once for each subscriber."""
    dropped: int
    """Messages that were dropped because their subscriber reads too slowly."""
    lost: int
    """Messages that still waited when their subscriber's connection ended."""
    waiting: int
    """Messages that wait for subscribers."""
    subscribers: int
    """Who is connected, or is the program itself, and has a subscription."""
    subscriptions: int
    """Their filters; each group of a shared subscription counts as one."""
    retained: int
    """Topics that have a retained message."""
    retained_bytes: int
    """Bytes of the retained messages with their topics."""
