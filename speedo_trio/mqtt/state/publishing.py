"""PUBLISH and what answers it, in both directions.

Next: `speedo_trio.mqtt.state.subscribing`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from attrs import evolve

from speedo_trio.errors import HandlerError, MQTTError, RetainedFull, TopicError
from speedo_trio.mqtt.state.answers import REFUSED, allowed
from speedo_trio.mqtt.state.asks import HOLD, Allow, Ask, AskPublish, Hold, Refuse, Verdict
from speedo_trio.mqtt.state.flights import Step
from speedo_trio.mqtt.state.incoming import Arrival
from speedo_trio.mqtt.state.later import Later
from speedo_trio.mqtt.state.machine import FIVE, Machine, check_id, wrong
from speedo_trio.mqtt.state.publication import FAMILIES, MQTTPublication
from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.packets import PubAck, PubComp, Publish, PubRec, PubRel
from speedo_trio.mqtt.wire.publish import encode_answer
from speedo_trio.mqtt.wire.reason_codes import ReasonCode

if TYPE_CHECKING:
    from speedo_trio.mqtt.state.pace import Pace
    from speedo_trio.mqtt.state.session import Session

DOLLAR: Final = 0x24
SUCCESS: Final = ReasonCode.SUCCESS
ANSWERS: Final = {1: PacketType.PUBACK, 2: PacketType.PUBREC}
"""What answers a PUBLISH, by its QoS."""
_OWN: Final = b"$SYS"


def on_publish(machine: Machine, packet: Publish, now: float) -> Ask | Hold | None:
    """See that a message is allowed, and publish it or have the host asked."""
    session = machine.session
    assert session is not None
    if machine.pace is not None and not isinstance(machine.rest, Later):
        keep_pace(machine, machine.pace, now)
    topic = _check(machine, packet, session)
    if packet.qos:
        arrival = session.incoming.arrive(packet.packet_id, packet.qos)
        if arrival is Arrival.HELD:  # [MQTT-4.3.3-10]
            machine.answers.append(encode_answer(PacketType.PUBREC, packet.packet_id))
            return None
        if arrival is Arrival.IN_USE:
            check_id(machine, "PUBLISH", packet.packet_id)
            _refuse(machine, packet, ReasonCode.PACKET_IDENTIFIER_IN_USE)
            return None
    assert machine.version is not None
    publication = MQTTPublication(
        topic,
        packet.payload,
        packet.qos,
        packet.retain,
        packet.properties,
        machine.client_id,
        now,
        None if packet.raw is None else {FAMILIES[machine.version]: packet.raw},
    )
    if topic[0] == DOLLAR and (topic == _OWN or topic.startswith(_OWN + b"/")):
        _refuse(machine, packet, ReasonCode.NOT_AUTHORIZED, "$SYS is the server's own")
        return None
    if session.rights is not None and not session.rights.may_publish(topic):
        _refuse(machine, packet, ReasonCode.NOT_AUTHORIZED)
        return None
    if machine.asking.publish:
        ask = AskPublish(machine.client_id, publication)
        return machine.put_ask(ask, partial(_judge, machine, packet, publication))
    return _take(machine, packet, publication, now)


def on_pubrel(machine: Machine, packet: PubRel, now: float) -> None:
    """The client forgets a message with QoS 2, and so does the server."""
    assert machine.session is not None
    frame = encode_answer(PacketType.PUBCOMP, packet.packet_id)  # [MQTT-4.3.3-11]
    if not machine.session.incoming.release(packet.packet_id) and machine.version is FIVE:
        frame = _with_reason(frame, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND)  # [MQTT-3.7.2-1]
    machine.answers.append(frame)


def on_puback(machine: Machine, packet: PubAck, now: float) -> None:
    """The client has a message with QoS 1."""
    _acknowledged(machine, PacketType.PUBACK, packet, now)


def on_pubrec(machine: Machine, packet: PubRec, now: float) -> None:
    """The client has a message with QoS 2."""
    _acknowledged(machine, PacketType.PUBREC, packet, now)


def on_pubcomp(machine: Machine, packet: PubComp, now: float) -> None:
    """The client has forgotten a message with QoS 2."""
    _acknowledged(machine, PacketType.PUBCOMP, packet, now)


def keep_pace(machine: Machine, pace: Pace, now: float) -> None:
    """Count a message as it comes.

    Raises:
        MQTTError: It comes too fast, and that is to end the connection.
    """
    pace.count(now)
    own = machine.capabilities
    if own.when_too_fast == "disconnect" and pace.ahead(now):
        raise MQTTError(
            f"PUBLISH comes too fast; allowed are {own.publish_rate:g} a second, and "
            f"{own.publish_burst} at once",
            ReasonCode.MESSAGE_RATE_TOO_HIGH,
        )


def _check(machine: Machine, packet: Publish, session: Session) -> bytes:
    """See that a PUBLISH is allowed; give its topic, which an alias may stand for."""
    topic, properties, own = packet.topic, packet.properties, machine.capabilities
    if properties is not None:
        if properties.subscription_identifiers:  # [MQTT-3.3.4-6]
            raise wrong("PUBLISH has a subscription identifier; allowed is none")
        if properties.topic_alias is not None:
            topic = session.incoming.aliases.resolve(properties.topic_alias, topic)
    if packet.qos > own.maximum_qos:  # [MQTT-3.2.2-11]
        raise MQTTError(
            f"PUBLISH has QoS {packet.qos}; allowed is {own.maximum_qos} at most",
            ReasonCode.QOS_NOT_SUPPORTED,
        )
    if packet.retain and not own.retain_available:  # [MQTT-3.2.2-14]
        raise MQTTError(
            "PUBLISH is to be retained; allowed is one that is not",
            ReasonCode.RETAIN_NOT_SUPPORTED,
        )
    return topic


def _judge(
    machine: Machine, packet: Publish, asked: MQTTPublication, verdict: Verdict, now: float
) -> None:
    """The verdict on a message, or another one in its place."""
    match verdict:
        case Allow():
            _take(machine, packet, _aged(asked, now), now)
        case MQTTPublication():
            _take(machine, packet, _aged(verdict, now), now)
        case Refuse():
            _refuse(machine, packet, verdict.reason, verdict.text)
        case _:
            raise HandlerError(f"{verdict!r} is no verdict on a message")


def _take(
    machine: Machine, packet: Publish, publication: MQTTPublication | None, now: float
) -> Hold | None:
    """Publish, and answer [MQTT-3.3.4-1] when that is done: [MQTT-4.3.2-4] [MQTT-4.3.3-8].

    The retained messages are the broker's [MQTT-3.3.1-5] [MQTT-3.3.1-8].

    Args:
        publication: None: it has expired meanwhile, and is only answered.

    Returns:
        Whether the client is held from now on.
    """
    taken = 0
    try:
        if publication is not None:
            taken = machine.taken = machine.hub.publish(publication)
    except TopicError as error:
        machine.sessions.hit("topics")
        _refuse(machine, packet, ReasonCode.TOPIC_NAME_INVALID, str(error))
        return None
    except RetainedFull as error:
        machine.sessions.hit("retained")
        if machine.version is not FIVE:  # [MQTT3-4.8.0-2]
            raise MQTTError(str(error), ReasonCode.QUOTA_EXCEEDED) from error
        _refuse(machine, packet, ReasonCode.QUOTA_EXCEEDED, str(error))
        return None
    qos, session = packet.qos, machine.session
    if session is None:  # what was published may have ended the connection
        return None
    if qos and (taken or publication is None or machine.version is not FIVE):
        if qos == 2:
            session.incoming.hold(packet.packet_id)
        machine.answers.append(encode_answer(ANSWERS[qos], packet.packet_id))  # [MQTT-2.2.1-5]
    elif qos:
        _answer_untaken(machine, packet, session, publication)
    pressure = machine.pressure
    if pressure is None or pressure.publication is not publication or publication is None:
        return None
    machine.wait_for(pressure.take(), now)
    return HOLD if machine.crowds else None


def _answer_untaken(
    machine: Machine, packet: Publish, session: Session, publication: MQTTPublication | None
) -> None:
    """Answer a PUBLISH with QoS 1 or 2 that nobody took, in MQTT 5.0."""
    assert publication is not None  # or it would be answered without more ado
    reason = _why_untaken(machine, publication)
    if reason is ReasonCode.QUOTA_EXCEEDED:
        _refuse(machine, packet, reason, "the queues of all subscribers are full")
        return
    if packet.qos == 2:
        session.incoming.hold(packet.packet_id)
    frame = encode_answer(ANSWERS[packet.qos], packet.packet_id)
    machine.answers.append(_with_reason(frame, reason) if reason else frame)


def _why_untaken(machine: Machine, publication: MQTTPublication) -> ReasonCode:
    """What to tell of a message that nobody took: it is no success if it was dropped for all.

    Sections 3.4.2.1 and 3.5.2.1: 0x10 says that there are no subscribers, 0x97 that a bound is
    exceeded and the message was not accepted. One that is retained was.
    """
    reason = machine.hub.why_untaken(publication)
    if reason is ReasonCode.QUOTA_EXCEEDED and publication.retain:
        return SUCCESS
    return reason


def _refuse(machine: Machine, packet: Publish, reason: ReasonCode, text: str = "") -> None:
    """Answer a PUBLISH that is not published.

    Before 5.0 the answer can't tell that [MQTT3-3.3.5-2]. With it, the identifier is free at once:
    it is not held [MQTT-4.3.3-9].
    """
    machine.refused += 1
    packet_id, session = packet.packet_id, machine.session
    if not packet.qos or session is None:
        return
    kind = ANSWERS[packet.qos]
    if machine.version is not FIVE:
        if packet.qos == 2:
            session.incoming.hold(packet_id)
        machine.answers.append(encode_answer(kind, packet_id))
        return
    make = PubAck if packet.qos == 1 else PubRec
    # [MQTT-3.4.2-1] [MQTT-3.5.2-1]
    known = allowed(max(reason, ReasonCode.UNSPECIFIED_ERROR), kind)
    machine.tell(lambda told: make(packet_id, known, told), text)


def _acknowledged(
    machine: Machine, kind: PacketType, packet: PubAck | PubRec | PubComp, now: float
) -> None:
    assert machine.session is not None
    outgoing, packet_id = machine.session.outgoing, packet.packet_id
    step = outgoing.acknowledge(kind, packet_id, refused=packet.reason >= REFUSED)
    if step is Step.DONE:
        outgoing.pump(now)
    elif step is Step.RELEASE or step is Step.AGAIN:  # [MQTT-4.3.3-4]
        machine.answers.append(encode_answer(PacketType.PUBREL, packet_id))
    elif step is Step.NOT_FOUND:
        frame = encode_answer(PacketType.PUBREL, packet_id)
        if machine.version is FIVE:  # [MQTT-3.6.2-1]
            frame = _with_reason(frame, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND)
        machine.answers.append(frame)
    elif step is Step.WRONG:
        raise wrong(f"{kind.name} {packet_id} is no answer to what was sent with that identifier")


def _with_reason(frame: bytes, reason: ReasonCode) -> bytes:
    """An answer of four bytes that says success, with another reason code (section 3.4.2.1)."""
    return b"".join((frame[:1], b"\x03", frame[2:], reason.to_bytes()))


def _aged(publication: MQTTPublication, now: float) -> MQTTPublication | None:
    """A publication whose verdict took a while: less is left of its time; None: nothing is."""
    if publication.expired(now):  # [MQTT-3.3.2-5]
        return None
    waited = publication.waited(now)
    if not waited or publication.properties is None or publication.expiry is None:
        return publication
    left = evolve(publication.properties, message_expiry_interval=publication.expiry - waited)
    return MQTTPublication(
        publication.topic,
        publication.payload,
        publication.qos,
        publication.retain,
        left,
        publication.origin,
        now,
    )
