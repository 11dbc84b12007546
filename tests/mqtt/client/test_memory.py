"""The memory: packet identifiers."""

from __future__ import annotations

from speedo_trio.mqtt.client.memory import Memory
from speedo_trio.mqtt.wire.packets import Publish


def test_identifiers_go_in_a_circle() -> None:
    """Those that something has are left out."""
    memory = Memory(last_id=65_533)
    memory.published[65_534] = Publish(b"a", qos=1, packet_id=65_534)
    memory.released[1] = None

    assert [memory.free_id({2}) for _ in range(3)] == [65_535, 3, 4]
    assert memory.inflight == 2


def test_clear() -> None:
    """Nothing is left."""
    memory = Memory(held={1})
    memory.published[2] = Publish(b"a", qos=1, packet_id=2)
    memory.clear()

    assert (memory.inflight, memory.held) == (0, set())
