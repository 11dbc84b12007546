"""Runs of packets, done together where that makes no difference.

A run of PUBLISHes is published as one when all who are subscribed take all of it right now. Else,
and when anything is out of the ordinary, nothing is done, and its packets are done one by one. Of a
run of answers the first ones are done together, up to one that is not expected.

Next: `speedo_trio.mqtt.state.client`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from speedo_trio.mqtt.state.publication_run import PublicationRun
from speedo_trio.mqtt.state.publishing import ANSWERS, DOLLAR
from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.publish import encode_answers
from speedo_trio.mqtt.wire.runs import AnswerRun, PublishRun

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from speedo_trio.mqtt.state.machine import Machine
    from speedo_trio.mqtt.wire.packets import Packet
    from speedo_trio.mqtt.wire.runs import Run

_REPLIES: Final = {
    PacketType.PUBREC: PacketType.PUBREL,  # [MQTT-4.3.3-4]
    PacketType.PUBREL: PacketType.PUBCOMP,  # [MQTT-4.3.3-11]
}


def one_by_one(packets: Iterable[Packet | Run]) -> Iterator[Packet]:
    """The packets of runs, too, and of each that comes."""
    for packet in packets:
        if isinstance(packet, (PublishRun, AnswerRun)):
            yield from packet
        else:
            yield packet


def on_publish_run(machine: Machine, run: PublishRun, now: float) -> int:
    """Publish a run as one, if that is possible, and answer it.

    Returns:
        How much work that was, in packets and deliveries; 0: it is not possible.
    """
    session, qos = machine.session, run.qos
    if (
        session is None
        or machine.asking.publish
        or machine.pace is not None
        or run.topic[0] == DOLLAR
        or qos > machine.capabilities.maximum_qos
        or not (session.rights is None or session.rights.may_publish(run.topic))
    ):
        return 0
    packet_ids = run.packet_ids if qos else ()
    if qos and not session.incoming.takes_run(packet_ids, qos):
        return 0
    taken = machine.hub.publish_run(PublicationRun(run, machine.client_id, now))
    if taken is None:
        return 0
    if qos == 2:
        session.incoming.hold_run(packet_ids)
    if qos:
        # [MQTT-2.2.1-5] [MQTT-4.3.2-4] [MQTT-4.3.3-8]
        machine.answer_run(encode_answers(ANSWERS[qos], run.id_bytes), len(run))
    return len(run) * (1 + taken)


def on_answer_run(machine: Machine, run: AnswerRun, now: float) -> int:
    """Take note of answers as long as they are what is expected; how many that were."""
    session = machine.session
    if session is None:
        return 0
    kind = run.kind
    if kind is PacketType.PUBREL:
        number = session.incoming.release_run(run.packet_ids)
    else:
        number = session.outgoing.acknowledge_run(kind, run.packet_ids)
    if not number:
        return 0
    reply = _REPLIES.get(kind)
    if reply is None:
        session.outgoing.pump(now)
    else:
        ids = [each.to_bytes(2) for each in run.packet_ids[:number]]
        machine.answer_run(encode_answers(reply, ids), number)
    return number
