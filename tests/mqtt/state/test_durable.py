"""A durable session's sides: what they note of a run is what they note of its messages."""

from __future__ import annotations

from typing import Any

import pytest

from speedo_trio.mqtt.state.capabilities import Capabilities
from speedo_trio.mqtt.state.durable import DurableIncoming, DurableOutgoing
from speedo_trio.mqtt.state.outgoing import Receiver
from speedo_trio.mqtt.state.publication import MQTTPublication
from speedo_trio.mqtt.state.publication_run import PublicationRun
from speedo_trio.mqtt.state.terms import MQTTTerms
from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.packets import Publish
from speedo_trio.mqtt.wire.reader import PacketReader
from speedo_trio.mqtt.wire.runs import PublishRun
from tests.mqtt.state.world import V5, Line
from tests.mqtt.store.journals import Notes

TERMS = MQTTTerms(2)
PUBACK, PUBREC, PUBCOMP = PacketType.PUBACK, PacketType.PUBREC, PacketType.PUBCOMP


class HoldingLine(Line):
    """Notes when what comes is to wait."""

    def __init__(self, notes: Notes) -> None:
        super().__init__()
        self._notes = notes

    def hold(self) -> None:
        self._notes.notes.append(("line holds",))


class Side:
    """An outgoing side whose client is there, unless it is let go."""

    def __init__(self, *, here: bool = True) -> None:
        self.notes = Notes()
        self.outgoing = DurableOutgoing("c", Capabilities(), self.notes)
        self.line = HoldingLine(self.notes)
        if here:
            self.outgoing.attach(self.line, Receiver(version=V5), lambda: None)

    def end(self) -> tuple[Any, ...]:
        """What came of it."""
        notes = self.notes.take()
        return sorted(notes), b"".join(self.line.frames), self.outgoing.inflight


def run_of(number: int, qos: int) -> PublicationRun:
    """Messages with payloads 1, 2 and so on."""
    data = b"".join(
        encode(Publish(b"a", b"%d" % each, qos, packet_id=each), V5)
        for each in range(1, number + 1)
    )
    (run,) = PacketReader(V5).feed_runs(data)
    assert isinstance(run, PublishRun)
    return PublicationRun(run, "publisher", 0)


@pytest.mark.parametrize("here", [True, False])
@pytest.mark.parametrize("qos", [1, 2])
def test_a_run_is_noted_before_it_is_sent(qos: int, *, here: bool) -> None:
    """With QoS 2 it is held back until then; to who is away it waits."""
    together, singly = Side(here=here), Side(here=here)
    assert together.outgoing.takes_run(run_of(3, qos), TERMS)
    together.outgoing.deliver_run(run_of(3, qos), TERMS)
    held = together.notes.notes.count(("line holds",))
    for each in run_of(3, qos).publications:
        singly.outgoing.deliver(each, TERMS)

    assert held == (1 if qos == 2 and here else 0)
    for side in (together, singly):
        side.notes.notes = [each for each in side.notes.notes if each != ("line holds",)]
    assert singly.end() == together.end()


@pytest.mark.parametrize(("qos", "kinds"), [(1, [PUBACK]), (2, [PUBREC, PUBCOMP])])
def test_a_run_of_acknowledgements_is_noted(qos: int, kinds: list[PacketType]) -> None:
    """The rows of what has ended are let go."""
    together, singly = Side(), Side()
    for side in (together, singly):
        side.outgoing.deliver_run(run_of(3, qos), TERMS)
    for kind in kinds:
        together.outgoing.acknowledge_run(kind, [1, 2, 3])
        for packet_id in (1, 2, 3):
            singly.outgoing.acknowledge(kind, packet_id, refused=False)

    ended = together.end()
    assert ended == singly.end()
    assert 0 == ended[2]


def test_a_run_does_not_pass_what_is_only_in_the_store() -> None:
    """[MQTT-4.6.0-5] What was in flight before the server stopped is sent again first."""
    side = Side(here=False)
    publication = MQTTPublication(b"a", b"1", 1)
    side.outgoing.restore([(1, (publication, 1, False, (), None, 1))], {}, 1)
    side.outgoing.attach(side.line, Receiver(version=V5), lambda: None)

    assert not side.outgoing.takes_run(run_of(2, 1), TERMS)


def test_identifiers_that_are_held_together_are_noted() -> None:
    """Those that are released as well."""
    notes = Notes()
    incoming = DurableIncoming(notes)
    incoming.attach(10, 0)
    incoming.hold_run([1, 2])
    incoming.release_run([1, 2, 3])

    assert [("hold", 1), ("hold", 2), ("release", 1), ("release", 2)] == notes.take()
