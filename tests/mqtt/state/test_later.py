"""Packets that wait: in order, within bounds, and more may come when all were taken."""

from __future__ import annotations

from speedo_trio.mqtt.state.later import MOST_BYTES, MOST_PACKETS, Later
from speedo_trio.mqtt.wire.packets import Publish, PubRel


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
