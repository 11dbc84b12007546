"""What clients publish: checks, verdicts, answers, QoS 2 to its end."""

from __future__ import annotations

from typing import Any

import pytest

from speedo_trio.errors import HandlerError, RetainedFull, TopicError
from speedo_trio.mqtt.state.asks import ALLOW, NOTHING, Allow, Asking, AskPublish, Challenge, Refuse
from speedo_trio.mqtt.state.publication import MQTTPublication
from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packets import (
    Disconnect,
    Packet,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    UnsubAck,
    Unsubscribe,
)
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.versions import Version
from speedo_trio.pubsub.subscriber import NO_TERMS
from tests.mqtt.state.world import V3, V5, V311, Peer, World, only, payloads, publish, subscribe

ASKING = Asking(publish=True)
NO_TAKER = ReasonCode.NO_MATCHING_SUBSCRIBERS
DENIED = ReasonCode.NOT_AUTHORIZED


def wrong(peer: Peer, packet: Publish) -> ReasonCode:
    """Send what ends the connection; the reason that the client is told."""
    (disconnect,) = only(peer.ask(packet), Disconnect)
    reason: ReasonCode = disconnect.reason
    assert reason is peer.closed
    return reason


# Answers


@pytest.mark.parametrize(("qos", "version"), [(qos, v) for qos in (0, 1, 2) for v in Version])
def test_a_message_is_published_and_answered(qos: int, version: Version) -> None:
    """[MQTT-3.3.4-1] [MQTT-4.3.2-4] [MQTT-4.3.3-8] [MQTT-2.2.1-5] By its QoS, with its identifier.

    [MQTT-2.2.1-2] QoS 0 has none.
    """
    world = World()
    world.subscriber()
    peer = world.connect(version=version)
    packet = publish(qos, 513 * bool(qos), retain=True)

    peer.client.receive_data(encode(packet, version), world.now)

    answers = {0: [], 1: [PubAck(513)], 2: [PubRec(513)]}
    assert answers[qos] == peer.take()
    (published,) = world.hub.published
    assert (b"a", b"x", qos, True, "client", 1000) == (
        published.topic,
        published.payload,
        published.qos,
        published.retain,
        published.origin,
        published.received_at,
    )


@pytest.mark.parametrize("version", [V311, V5])
@pytest.mark.parametrize(("qos", "kind"), [(1, PubAck), (2, PubRec)])
def test_all_queues_are_full(version: Version, qos: int, kind: type[Packet]) -> None:
    """0x97, as it is not accepted, and so the identifier is free; 3.1.1 can't be told.

    It is accepted if it is retained, or one has taken it.
    """
    world = World(queue_messages=1)
    world.subscriber(b"a").drop()
    peer = world.connect(version=version)
    peer.ask(publish(qos, 1))

    answers = peer.ask(publish(qos, 2)) + peer.ask(publish(qos, 3, retain=True))
    assert [ReasonCode.QUOTA_EXCEEDED if version is V5 else 0, 0] == [
        each.reason for each in only(answers, kind)
    ]
    assert (2 not in peer.session.incoming.held) == (qos == 1 or version is V5)
    world.subscriber(b"a", client_id="other")
    assert [0] == [each.reason for each in only(peer.ask(publish(qos, 4)), kind)]


def test_it_was_taken_by_nobody_for_another_reason() -> None:
    """Who matches takes nothing as large, which is no fault of the publisher's."""
    world = World()
    world.subscriber(b"a", properties={"maximum_packet_size": 20})

    assert [PubAck(1)] == world.connect().ask(publish(1, payload=bytes(30)))


def test_nobody_takes_it() -> None:
    """0x10 in 5.0, which is a success: a QoS 2 message is held."""
    peer = World().connect()

    assert [PubAck(1, NO_TAKER)] == peer.ask(publish(1))
    assert [PubRec(2, NO_TAKER)] == peer.ask(publish(2))
    assert [PubRec(2)] == peer.ask(publish(2))


def test_an_answer_comes_after_the_message_was_taken_over() -> None:
    """[MQTT-4.3.2-4] [MQTT-4.3.3-8] Not before it has gone to those who are subscribed."""
    world = World()
    peer = world.connect()
    seen: list[int] = []

    class Watch:
        def deliver(self, publication: object, terms: object) -> bool:
            seen.append(len(peer.client.answers) + len(peer.line.frames))
            return True

    world.hub.exchange.subscribe(b"a", Watch(), NO_TERMS)

    peer.ask(publish(1))
    peer.ask(publish(2))

    assert [0, 0] == seen


# QoS 2


@pytest.mark.parametrize("version", Version)
def test_a_qos_2_message_is_published_once(version: Version) -> None:
    """[MQTT-4.3.3-10] [MQTT-4.3.3-11] [MQTT-4.3.3-12] Until PUBREL it is answered, no more."""
    world = World()
    world.subscriber()
    peer = world.connect(version=version)

    for dup in (False, True, False):
        assert [PubRec(2)] == peer.ask(publish(2, dup=dup))
    assert 1 == len(world.hub.published)
    assert [PubComp(2)] == peer.ask(PubRel(2))
    assert [PubRec(2)] == peer.ask(publish(2, dup=True))
    assert 2 == len(world.hub.published)


@pytest.mark.parametrize("version", Version)
def test_a_qos_2_message_is_published_once_across_connections(version: Version) -> None:
    """[MQTT-4.3.3-10] The identifiers are the session's."""
    world = World()
    world.subscriber()
    world.keep(version=version).ask(publish(2))

    peer = world.keep(version=version)

    assert [PubRec(2)] == peer.ask(publish(2, dup=True))
    assert [PubComp(2)] == peer.ask(PubRel(2))
    assert 1 == len(world.hub.published)


def test_an_identifier_is_free_with_a_new_session() -> None:
    """[MQTT-3.1.2-4] Clean start forgets what was held."""
    world = World()
    world.keep().ask(publish(2))

    world.connect().ask(publish(2))

    assert 2 == len(world.hub.published)


def test_a_pubrel_for_nothing() -> None:
    """[MQTT-4.3.3-11] [MQTT-3.7.2-1] It is answered: 0x92 in 5.0."""
    world = World()

    assert [PubComp(9, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND)] == world.connect().ask(PubRel(9))
    assert [PubComp(9)] == world.connect(version=V311).ask(PubRel(9))


def test_a_pubrel_that_finds_nothing_releases_too() -> None:
    """[MQTT-4.3.3-12] What the client means by 0x92 is the same."""
    peer = World().connect()
    peer.ask(publish(2, 9))

    assert [PubComp(9)] == peer.ask(PubRel(9, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND))


def test_qos_1_is_a_message_each_time() -> None:
    """[MQTT-4.3.2-5] With DUP or without: after PUBACK the identifier is free."""
    world = World()
    peer = world.connect()

    peer.ask(publish(1))
    peer.ask(publish(1, dup=True))

    assert 2 == len(world.hub.published)


def test_an_identifier_that_a_qos_2_message_holds() -> None:
    """[MQTT-2.2.1-3] Nothing else may have it: 0x91, which only 5.0 can be told."""
    held = ReasonCode.PACKET_IDENTIFIER_IN_USE
    peer = World().connect()
    peer.ask(publish(2, 7))

    assert [PubAck(7, held)] == peer.ask(publish(1, 7))
    assert [SubAck(7, [held])] == peer.ask(subscribe(b"a", packet_id=7))
    assert [UnsubAck(7, [held])] == peer.ask(Unsubscribe(7, [b"a"]))
    assert {} == peer.session.subscriptions
    for packet in (publish(1, 7), subscribe(b"a", packet_id=7), Unsubscribe(7, [b"a"])):
        three = World().connect(version=V311)
        three.ask(publish(2, 7))
        assert [] == three.ask(packet)
        assert held is three.closed


def test_the_clients_identifiers_are_not_the_servers() -> None:
    """[MQTT-2.2.1-4] Both may have the same at the same time."""
    world = World()
    peer = world.subscriber(b"a", 2)
    world.publish(qos=2)

    answers = peer.ask(publish(2, 1, topic=b"b"))

    assert [Publish(b"a", b"x", 2, packet_id=1), PubRec(1, NO_TAKER)] == answers
    assert [PubRel(1)] == peer.ask(PubRec(1))
    assert [PubComp(1)] == peer.ask(PubRel(1))
    assert [] == peer.ask(PubComp(1))
    assert 0 == peer.session.outgoing.inflight


# What ends the connection


@pytest.mark.parametrize(
    ("capabilities", "packet", "reason"),
    [
        pytest.param({"maximum_qos": 1}, publish(2), 0x9B, id="[MQTT-3.2.2-11]"),
        pytest.param({"maximum_qos": 0}, publish(1), 0x9B, id="[MQTT-3.2.2-11] QoS 1"),
        pytest.param(
            {"retain_available": False}, publish(0, retain=True), 0x9A, id="[MQTT-3.2.2-14]"
        ),
        pytest.param(
            {},
            publish(0, properties=Properties(subscription_identifiers=(1,))),
            0x82,
            id="[MQTT-3.3.4-6]",
        ),
        pytest.param(
            {"topic_alias_maximum": 3},
            publish(0, properties=Properties(topic_alias=4)),
            0x94,
            id="[MQTT-3.3.2-9] [MQTT-3.2.2-17]",
        ),
        pytest.param(
            {"topic_alias_maximum": 0},
            publish(0, properties=Properties(topic_alias=1)),
            0x94,
            id="[MQTT-3.2.2-18]",
        ),
        pytest.param(
            {},
            publish(0, topic=b"", properties=Properties(topic_alias=1)),
            0x82,
            id="an alias that stands for nothing",
        ),
    ],
)
def test_what_ends_the_connection(
    capabilities: dict[str, Any], packet: Publish, reason: int
) -> None:
    """[MQTT-3.2.2-11] [MQTT-3.2.2-14] [MQTT-3.3.4-6] [MQTT-3.3.2-9] [MQTT-3.2.2-17].

    [MQTT-3.2.2-18] Nothing is published.
    """
    world = World(**capabilities)

    assert reason == wrong(world.connect(), packet)
    assert [] == world.hub.published


@pytest.mark.parametrize("qos", [1, 2])
def test_more_than_the_receive_maximum(qos: int) -> None:
    """[MQTT-3.3.4-7] QoS 2 messages that are not at their end, and one more: 0x93."""
    peer = World(receive_maximum=2).connect()
    peer.ask(publish(2, 1))
    peer.ask(publish(2, 2))
    assert [PubRec(1)] == peer.ask(publish(2, 1))  # not one more
    peer.ask(PubRel(1))
    peer.ask(publish(2, 3))

    assert ReasonCode.RECEIVE_MAXIMUM_EXCEEDED is wrong(peer, publish(qos, 9))


def test_what_an_earlier_connection_held_counts_when_it_comes_again() -> None:
    """[MQTT-3.3.4-7] Not before: the client's count begins with the connection."""
    world = World(receive_maximum=2)
    first = world.keep()
    first.ask(publish(2, 1))
    first.ask(publish(2, 2))
    peer = world.keep()

    peer.ask(publish(2, 3))
    peer.ask(publish(2, 1))

    assert ReasonCode.RECEIVE_MAXIMUM_EXCEEDED is wrong(peer, publish(2, 2))


def test_the_receive_maximum_is_for_5_0() -> None:
    """Clients before it were told none."""
    peer = World(receive_maximum=1).connect(version=V311)

    for packet_id in range(1, 10):
        assert [PubRec(packet_id)] == peer.ask(publish(2, packet_id))


@pytest.mark.parametrize(("qos", "answer"), [(1, PubRec(1)), (1, PubComp(1)), (2, PubAck(1))])
def test_an_acknowledgement_of_another_kind(qos: int, answer: Any) -> None:
    """[MQTT-4.13.1-1] A protocol error: it is no answer to what was sent."""
    world = World()
    peer = world.subscriber()
    world.publish(qos=qos)

    peer.ask(answer)

    assert ReasonCode.PROTOCOL_ERROR is peer.closed


# Aliases


def test_topic_aliases() -> None:
    """[MQTT-3.3.2-12] All that are allowed can be set, used, and set anew."""
    world = World(topic_alias_maximum=3)
    peer = world.connect()

    def say(alias: int, topic: bytes = b"") -> None:
        peer.ask(publish(0, topic=topic, properties=Properties(topic_alias=alias)))

    for alias, topic in ((1, b"a"), (3, b"c"), (1, b""), (3, b""), (1, b"new"), (1, b"")):
        say(alias, topic)

    assert [b"a", b"c", b"a", b"c", b"new", b"new"] == [each.topic for each in world.hub.published]


def test_topic_aliases_end_with_the_connection() -> None:
    """[MQTT-3.3.2-7] They are not the session's."""
    world = World()
    world.keep().ask(publish(0, properties=Properties(topic_alias=1)))

    peer = world.keep()

    packet = publish(0, topic=b"", properties=Properties(topic_alias=1))
    assert ReasonCode.PROTOCOL_ERROR is wrong(peer, packet)


def test_an_alias_is_set_though_the_message_is_refused() -> None:
    """The client can't know of it when it sends the next."""
    world = World()
    peer = world.connect(asking=ASKING)
    properties = Properties(topic_alias=1)
    ask = peer.send(publish(1, topic=b"secret", properties=properties))
    peer.client.answer(ask, Refuse(DENIED), 0)

    second = peer.send(publish(1, topic=b"", properties=properties))

    assert b"secret" == second.publication.topic


# Verdicts


@pytest.mark.parametrize("version", Version)
def test_a_message_that_is_refused(version: Version) -> None:
    """[MQTT3-3.3.5-2] 5.0 is told, others get the answer that they expect; it goes to nobody.

    [MQTT-3.4.2-1] [MQTT-3.5.2-1]
    """
    world = World()
    peer = world.connect(version=version, asking=ASKING)
    five = version is V5
    answers: dict[int, list[Any]] = {
        0: [],
        1: [PubAck(1, DENIED if five else ReasonCode.SUCCESS)],
        2: [PubRec(2, DENIED if five else ReasonCode.SUCCESS)],
    }

    for qos in (0, 1, 2):
        ask = peer.send(publish(qos))
        assert peer.client.answer(ask, Refuse(DENIED), 0) is None
        assert answers[qos] == peer.take()

    assert ([], 3) == (world.hub.published, peer.client.refused)


def test_a_refusal_frees_the_identifier() -> None:
    """[MQTT-4.3.3-9] The same one is a new message; before 5.0 it is held until PUBREL."""
    world = World()
    for version, asked in ((V5, 2), (V311, 1)):
        peer = world.connect(version=version, asking=ASKING)
        count = 0
        for _ in range(2):
            ask = peer.send(publish(2))
            if ask is not None:
                count += 1
                peer.client.answer(ask, Refuse(DENIED), 0)
        assert asked == count


def test_a_refusal_has_a_reason_string_where_it_may() -> None:
    """[MQTT-3.4.2-2] [MQTT-3.5.2-2] [MQTT-3.1.2-29] If it fits, and the client wants such."""
    texts = []
    for properties in (
        {},
        {"maximum_packet_size": 40},
        {"request_problem_information": False},
    ):
        peer = World().connect(properties=properties, asking=ASKING)
        for qos in (1, 2):
            ask = peer.send(publish(qos))
            peer.client.answer(ask, Refuse(DENIED, "x" * 40), 0)
            (answer,) = only(peer.take(), PubAck if qos == 1 else PubRec)
            texts.append(answer.properties and answer.properties.reason_string)

    assert ["x" * 40, "x" * 40, None, None, None, None] == texts


def test_a_reason_that_an_answer_can_not_carry() -> None:
    """[MQTT-3.4.2-1] [MQTT-3.5.2-1] It becomes 0x80."""
    peer = World().connect(asking=ASKING)
    reasons = []
    for reason in (ReasonCode.BANNED, ReasonCode.QUOTA_EXCEEDED, ReasonCode.SUCCESS):
        peer.client.answer(peer.send(publish(1)), Refuse(reason), 0)
        reasons.append(only(peer.take(), PubAck)[0].reason)

    assert [0x80, 0x97, 0x80] == reasons


def test_a_message_that_is_replaced() -> None:
    """The host's goes out, and the client's is answered."""
    world = World()
    peer = world.connect(asking=ASKING)
    ask = peer.send(publish(2))
    assert isinstance(ask, AskPublish)
    assert "client" == ask.client_id

    peer.client.answer(ask, MQTTPublication(b"other", b"y", 0), 0)

    assert [(b"other", b"y")] == [(each.topic, each.payload) for each in world.hub.published]
    assert [PubRec(2, NO_TAKER)] == peer.take()


def test_a_verdict_on_a_message_that_is_none() -> None:
    """The host is told."""
    peer = World().connect(asking=ASKING)
    ask = peer.send(publish(0))

    with pytest.raises(HandlerError, match="no verdict on a message"):
        peer.client.answer(ask, Challenge(), 0)


def test_a_verdict_takes_its_time() -> None:
    """[MQTT-3.3.2-5] [MQTT-3.3.2-6] It is taken off the message's expiry."""
    world = World()
    subscriber = world.subscriber()
    peer = world.connect(asking=ASKING)
    for seconds in (0.5, 3, 10):
        ask = peer.send(publish(1, properties=Properties(message_expiry_interval=10)))
        world.now += seconds
        peer.client.answer(ask, Allow(), world.now)

    left = [each.properties.message_expiry_interval for each in only(subscriber.take(), Publish)]
    assert [10, 7] == left
    assert [0, 0, 0] == [answer.reason for answer in only(peer.take(), PubAck)]


# The broker's own


@pytest.mark.parametrize("topic", [b"$SYS", b"$SYS/x"])
def test_the_servers_own_topics(topic: bytes) -> None:
    """Nobody else publishes there, with hooks or without."""
    for asking in (NOTHING, ASKING):
        world = World()
        peer = world.connect(asking=asking)
        raw = encode(publish(0, topic=topic), V5)
        peer.client.receive_data(raw, 0)
        assert [PubAck(1, DENIED)] == [
            PubAck(each.packet_id, each.reason)
            for each in only(peer.ask(publish(1, topic=topic)), PubAck)
        ]
        assert [] == world.hub.published


@pytest.mark.parametrize("topic", [b"$SYSTEM", b"$x", b"$"])
def test_other_topics_with_a_dollar(topic: bytes) -> None:
    """They are as any other."""
    world = World()
    world.connect().client.receive_data(b"", 0)
    peer = world.connect()

    peer.client.receive_data(encode(publish(0, topic=topic), V5), 0)

    assert [topic] == [each.topic for each in world.hub.published]


def test_a_topic_that_the_broker_does_not_allow() -> None:
    """0x90 in 5.0; it ends nothing, and a plain message is just not published."""
    world = World()
    five, three = world.connect("5"), world.connect("3", V311)
    world.hub.error = TopicError("too many levels")

    answers = [(each.packet_id, each.reason) for each in only(five.ask(publish(1)), PubAck)]
    assert [(1, ReasonCode.TOPIC_NAME_INVALID)] == answers
    assert [PubAck(1)] == three.ask(publish(1))
    five.client.receive_data(encode(publish(0), V5) * 3, 0)
    assert (4, None) == (five.client.refused, five.closed)


def test_there_is_no_room_to_retain_it() -> None:
    """[MQTT3-4.8.0-2] 0x97 in 5.0; others can't be told, and their connection closes."""
    world = World()
    five, three, other = world.connect("5"), world.connect("3", V311), world.connect("other")
    world.hub.error = RetainedFull("full")

    answers = [(each.packet_id, each.reason) for each in only(five.ask(publish(1)), PubAck)]
    assert [(1, ReasonCode.QUOTA_EXCEEDED)] == answers
    assert [] == three.ask(publish(1))
    assert ReasonCode.QUOTA_EXCEEDED is three.closed
    assert other.closed is None


def test_retained() -> None:
    """[MQTT-3.3.1-5] [MQTT-3.3.1-8] RETAIN replaces, without it nothing changes; empty removes."""
    world = World()
    peer = world.connect()
    kept = []
    for retain, payload in ((True, b"1"), (False, b"2"), (True, b"3"), (True, b"")):
        peer.ask(
            publish(1, retain=retain, payload=payload, properties=Properties(content_type="t"))
        )
        kept.append([
            (each.payload, each.qos, each.properties and each.properties.content_type)
            for each in world.hub.retained(b"a", world.now)
            if isinstance(each, MQTTPublication)
        ])  # fmt: skip

    assert [[(b"1", 1, "t")], [(b"1", 1, "t")], [(b"3", 1, "t")], []] == kept


@pytest.mark.parametrize("version", V3)
def test_raw_bytes_go_on_as_they_came(version: Version) -> None:
    """A plain message of 3.1 reaches 3.1.1 as the same object, and 5.0 encoded anew."""
    world = World()
    three = world.subscriber(b"#", 0, V311, client_id="three")
    five = world.subscriber(b"#", 0, V5, client_id="five")
    peer = world.connect(version=version)
    for client in (three, five):
        client.take()
    frame = encode(publish(0), version)

    peer.client.receive_data(frame, 0)

    assert frame == three.line.frames[0] != five.line.frames[0]
    assert [b"x"] == payloads(three.take()) == payloads(five.take())


def test_allow_is_enough() -> None:
    """A message that is allowed is the one that was asked about."""
    world = World()
    peer = world.connect(asking=ASKING)
    ask = peer.send(publish(0))

    peer.client.answer(ask, ALLOW, 0)

    assert [ask.publication] == world.hub.published
