"""A gate: in order, nothing passes what waits, and what waits counts as unsent."""

from __future__ import annotations

from typing import cast

from speedo_trio.mqtt.store.gate import Gate
from speedo_trio.protocol.handler import Connection


class Wire:
    """A connection with room for ten bytes."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False
        self.room = 10

    def write(self, data: bytes) -> bool:
        self.sent.append(data)
        return True

    send_nowait = write

    def close(self) -> None:
        self.closed = True


def gated() -> tuple[Wire, Gate, dict[Gate, None], list[int]]:
    """A gate, where it enters itself, and how often it told of relief."""
    wire, gates, relief = Wire(), dict[Gate, None](), list[int]()
    gate = Gate(cast("Connection", wire), gates, lambda: relief.append(1))
    return wire, gate, gates, relief


def test_an_open_gate_lets_all_through() -> None:
    """And waits for nothing."""
    wire, gate, gates, _ = gated()
    gate.send_nowait(b"1")
    gate.write(b"2")

    assert (wire.sent, gate.shut, gates) == ([b"1", b"2"], False, {})


def test_what_waits_leaves_batch_by_batch() -> None:
    """What came behind it without a reason of its own too."""
    wire, gate, gates, relief = gated()
    gate.hold(1)
    gate.write(b"1")
    gate.hold(1)
    gate.send_nowait(b"one")
    gate.hold(2)
    gate.write(b"2")
    assert (wire.sent, gate.room, list(gates)) == ([], 5, [gate])
    assert not gate.open(1)
    assert (wire.sent, gate.room, relief) == ([b"1one"], 9, [1])
    assert gate.open(2)

    assert (wire.sent, gate.room, gate.shut) == ([b"1one", b"2"], 10, False)


def test_it_closes_behind_the_last() -> None:
    """At once when nothing waits."""
    wire, gate, _, _ = gated()
    gate.hold(1)
    gate.write(b"1")
    gate.close()
    assert not wire.closed
    gate.open(1)
    assert (wire.sent, wire.closed) == ([b"1"], True)
    wire, gate, _, _ = gated()
    gate.close()
    assert wire.closed


def test_a_connection_that_is_gone_gets_nothing() -> None:
    """And is waited for no more."""
    wire, gate, gates, _ = gated()
    gate.hold(1)
    gate.write(b"1")
    gate.abandon()

    assert gates == {}
    assert gate.open(1)
    assert wire.sent == []
