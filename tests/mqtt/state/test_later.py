"""Packets that wait: in order, within bounds, and more may come when all were taken."""

from __future__ import annotations

import pytest

from speedo_trio.mqtt.state.later import MOST_BYTES, MOST_PACKETS, Later
from speedo_trio.mqtt.wire.packets import (
    Packet,
    Publish,
    PubRel,
    Subscribe,
    SubscriptionOptions,
    Unsubscribe,
)
from speedo_trio.mqtt.wire.properties import Properties


def test_the_order() -> None:
    """As they came, also after the end of an iteration."""
    later = Later()
    later.put(PubRel(1))
    later.put(PubRel(2))
    assert [*later] == [PubRel(1), PubRel(2)]
    later.put(PubRel(3))

    assert len(later) == 1
    assert [*later] == [PubRel(3)]


def test_the_bytes() -> None:
    """It is full with many, and not any more when they were taken."""
    later = Later()
    later.put(Publish(b"a", bytes(MOST_BYTES - 2)))
    full = [later.full]
    later.put(Publish(b"a", b""))
    full.append(later.full)
    next(later)
    full.append(later.full)

    assert full == [False, True, False]


def test_the_packets() -> None:
    """It is full with many, of whatever size."""
    later = Later()
    for _ in range(MOST_PACKETS - 1):
        later.put(PubRel(1))
    assert not later.full
    later.put(PubRel(1))

    assert later.full


_LONG = Properties(user=(("a", "b" * 1000),) * 100)
"""Some 100 KB."""


@pytest.mark.parametrize(
    "packet",
    [
        Publish(b"a", b"", 1, packet_id=1, properties=_LONG),
        PubRel(1, properties=_LONG),
        Subscribe(1, [(b"a", SubscriptionOptions(0))], _LONG),
        Subscribe(1, [(b"a" * 10_000, SubscriptionOptions(0))] * 10),
        Unsubscribe(1, [b"a"], _LONG),
        Unsubscribe(1, [b"a" * 10_000] * 10),
    ],
)
def test_properties_and_filters_count(packet: Packet) -> None:
    """They may be nearly all of a packet, whatever it is."""
    later = Later()
    full = []
    for _ in range(11):
        later.put(packet)
        full.append(later.full)
    full.append(bool([*later] and later.full))

    assert [False] * 9 == full[:9]
    assert [True, False] == full[-2:]
