"""SUBSCRIBE and UNSUBSCRIBE: what is granted, and what is retained."""

from __future__ import annotations

from typing import Any

import pytest

from speedo_trio.errors import HandlerError, TopicError
from speedo_trio.mqtt.state.asks import ALLOW, Asking, AskSubscribe, Challenge, Grants, Refuse
from speedo_trio.mqtt.wire.packets import (
    Disconnect,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    SubscriptionOptions,
    UnsubAck,
    Unsubscribe,
)
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.versions import Version
from tests.mqtt.state.world import V3, V5, V31, V311, World, only, payloads, publish, subscribe

ASKING = Asking(subscribe=True)
ZERO, ONE, TWO = ReasonCode.GRANTED_QOS_0, ReasonCode.GRANTED_QOS_1, ReasonCode.GRANTED_QOS_2
DENIED = ReasonCode.NOT_AUTHORIZED


def many(*filters: tuple[bytes, int], packet_id: int = 1) -> Subscribe:
    """A SUBSCRIBE to several filters."""
    return Subscribe(packet_id, [(each, SubscriptionOptions(qos)) for each, qos in filters])


@pytest.mark.parametrize("version", Version)
def test_suback(version: Version) -> None:
    """[MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-5] [MQTT-3.8.4-6] [MQTT-3.8.4-7] [MQTT-3.9.3-1].

    The identifier, and a reason code for each filter in order; all of them are subscribed to.
    """
    world = World()
    peer = world.connect(version=version)

    answers = peer.ask(many((b"a", 2), (b"b", 0), (b"a", 1), packet_id=77))

    assert [SubAck(77, [TWO, ZERO, ONE])] == answers
    assert {b"a": 1, b"b": 0} == {
        each: terms.qos for each, terms in peer.session.subscriptions.items()
    }
    world.publish(b"a", qos=2)
    world.publish(b"b", qos=2)
    assert [(b"a", 1), (b"b", 0)] == [(each.topic, each.qos) for each in only(peer.take(), Publish)]


def test_no_more_than_the_highest_qos_is_granted() -> None:
    """[MQTT-3.2.2-10] [MQTT-3.8.4-7] A SUBSCRIBE for more is accepted all the same."""
    peer = World(maximum_qos=1).connect()

    assert [SubAck(1, [ZERO, ONE, ONE])] == peer.ask(many((b"a", 0), (b"b", 1), (b"c", 2)))


@pytest.mark.parametrize(
    "wrong", [b"a#", b"a/#/b", b"a+", b"$share/g", b"$share//a", b"$share/+/a"]
)
@pytest.mark.parametrize("version", Version)
def test_a_filter_that_is_none(wrong: bytes, version: Version) -> None:
    """[MQTT-4.13.1-1] Malformed: the connection closes, and nothing of the packet is done."""
    world = World()
    for packet in (many((b"a", 0), (wrong, 0)), Unsubscribe(1, [b"x", wrong])):
        peer = world.connect(version=version)
        peer.ask(subscribe(b"x"))
        told = [each.reason for each in only(peer.ask(packet), Disconnect)]
        assert [ReasonCode.MALFORMED_PACKET] * (version is V5) == told
        assert ReasonCode.MALFORMED_PACKET is peer.closed
        assert ("ended", "client") == world.hub.events[-1]
    assert 0 == len(world.hub.exchange.subscriptions)


@pytest.mark.parametrize(
    ("capabilities", "topic_filter", "identifier", "reason"),
    [
        ({"shared_subscriptions": False}, b"$share/g/a", None, 0x9E),
        ({"subscription_identifiers": False}, b"a", 5, 0xA1),
        ({"wildcard_subscriptions": False}, b"a/+", None, 0xA2),
    ],
)
def test_what_the_server_does_not_offer(
    capabilities: dict[str, Any], topic_filter: bytes, identifier: int | None, reason: int
) -> None:
    """[MQTT-3.9.3-2] [MQTT3-3.9.3-2] It is told in SUBACK; 3.1 has no code for it."""
    world = World(**capabilities)
    request = subscribe(topic_filter, 1, identifier=identifier)
    peer = world.connect()

    assert [SubAck(1, [ReasonCode(reason)])] == peer.ask(request)
    assert {} == peer.session.subscriptions
    if identifier is None:
        assert [SubAck(1, [ReasonCode(0x80)])] == world.connect(version=V311).ask(request)
        assert [SubAck(1, [ZERO])] == world.connect(version=V31).ask(request)


def test_too_many_subscriptions() -> None:
    """[MQTT-3.9.3-2] Those beyond get 0x97; one that is there is replaced."""
    peer = World(maximum_subscriptions=2).connect()
    full = ReasonCode.QUOTA_EXCEEDED

    assert [SubAck(1, [ZERO, ZERO, full, ONE])] == peer.ask(
        many((b"a", 0), (b"b", 0), (b"c", 0), (b"a", 1))
    )
    peer.ask(Unsubscribe(2, [b"a"]))
    assert [SubAck(3, [ZERO])] == peer.ask(many((b"c", 0), packet_id=3))


def test_a_filter_that_the_broker_does_not_allow() -> None:
    """0x8F: such as one with more levels than it likes."""
    world = World()
    peer = world.connect()
    world.hub.error = TopicError("too many levels")

    assert [SubAck(1, [ReasonCode.TOPIC_FILTER_INVALID])] == peer.ask(subscribe(b"a"))
    assert {} == peer.session.subscriptions


# Verdicts


def test_the_host_is_asked_about_those_that_are_left() -> None:
    """Its verdicts go where they belong, and no QoS above them is granted."""
    world = World(wildcard_subscriptions=False)
    peer = world.connect(asking=ASKING)
    ask = peer.send(many((b"a", 2), (b"#", 2), (b"b", 2), (b"c", 1)))

    assert isinstance(ask, AskSubscribe)
    assert ("client", [b"a", b"b", b"c"]) == (
        ask.client_id,
        [each for each, _ in ask.subscriptions],
    )
    assert [] == peer.take()
    peer.client.answer(ask, Grants((ONE, DENIED, TWO)), 0)
    (suback,) = only(peer.take(), SubAck)
    assert [ONE, ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED, DENIED, ONE] == suback.reasons
    assert [b"a", b"c"] == [*peer.session.subscriptions]


def test_the_host_is_not_asked_about_nothing() -> None:
    """All filters are refused already."""
    peer = World(wildcard_subscriptions=False).connect(asking=ASKING)

    (suback,) = peer.ask(subscribe(b"#"))
    assert [0xA2] == suback.reasons


def test_the_host_allows_or_refuses_all() -> None:
    """[MQTT-3.9.2-1] [MQTT-3.1.2-29] With a reason string if the client wants it and it fits."""
    texts = []
    for properties in ({}, {"maximum_packet_size": 40}, {"request_problem_information": False}):
        peer = World().connect(properties=properties, asking=ASKING)
        peer.client.answer(peer.send(subscribe(b"a", 2)), ALLOW, 0)
        assert [SubAck(1, [TWO])] == peer.take()
        ask = peer.send(many((b"b", 2), (b"c", 2)))
        peer.client.answer(ask, Refuse(DENIED, "x" * 40), 0)
        (suback,) = only(peer.take(), SubAck)
        assert [DENIED, DENIED] == suback.reasons
        texts.append(suback.properties and suback.properties.reason_string)

    assert ["x" * 40, None, None] == texts


def test_a_reason_that_suback_can_not_carry() -> None:
    """[MQTT-3.9.3-2] It becomes 0x80; a refusal is one also if it says success."""
    peer = World().connect(asking=ASKING)
    seen = []
    for reason in (ReasonCode.BANNED, ReasonCode.SUCCESS):
        peer.client.answer(peer.send(subscribe(b"a")), Refuse(reason), 0)
        seen.append(only(peer.take(), SubAck)[0].reasons)

    assert [[0x80], [0x80]] == seen


def test_verdicts_on_subscriptions_that_are_none() -> None:
    """The host is told: too few, or another kind."""
    for verdict in (Grants((ONE, ONE)), Challenge()):
        peer = World().connect(asking=ASKING)
        ask = peer.send(subscribe(b"a"))
        with pytest.raises(HandlerError, match="verdict"):
            peer.client.answer(ask, verdict, 0)


# Again


def test_the_same_filter_again_replaces_the_subscription() -> None:
    """[MQTT-3.8.4-3] Its options and identifier too; there is no second copy."""
    world = World()
    peer = world.connect()
    peer.ask(subscribe(b"a/+", 2, identifier=5, no_local=True))
    peer.ask(subscribe(b"a/+", 1))

    world.publish(b"a/b", qos=2, origin="client")

    (copy,) = only(peer.take(), Publish)
    assert (1, None) == (copy.qos, copy.properties)


def test_nothing_is_lost_when_a_subscription_is_replaced() -> None:
    """[MQTT-3.8.4-4] What waits goes on, and what is retained is sent again."""
    world = World(maximum_inflight=1)
    world.publish(b"a", b"kept", qos=1, retain=True)
    peer = world.connect()
    peer.ask(subscribe(b"a", 1))
    world.publish(b"a", b"1", qos=1)
    world.publish(b"a", b"2", qos=1)

    peer.ask(subscribe(b"a", 1))

    seen = []
    for packet_id in range(2, 5):
        seen += payloads(peer.ask(PubAck(packet_id - 1)))
    assert [b"1", b"2", b"kept"] == seen


# What is retained


def sent(world: World, request: Subscribe, version: Version = V5, **more: Any) -> list[Publish]:
    """What a client that subscribes now is sent that is retained."""
    peer = world.connect("late", version, **more)
    suback, *rest = peer.ask(request)
    assert isinstance(suback, SubAck)
    return only(rest, Publish)


@pytest.mark.parametrize("version", Version)
def test_what_is_retained_is_sent(version: Version) -> None:
    """[MQTT-3.3.1-9] [MQTT3-3.3.1-8] [MQTT-3.8.4-8] After SUBACK, with RETAIN."""
    world = World()
    for qos in (0, 1, 2):
        world.publish(b"a/%d" % qos, qos=qos, retain=True)

    found = sent(world, subscribe(b"#", 1), version)

    assert [(b"a/0", 0, True), (b"a/1", 1, True), (b"a/2", 1, True)] == [
        (each.topic, each.qos, each.retain) for each in found
    ]


def test_retain_handling() -> None:
    """[MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11] Always, if it is new, or never."""
    world = World()
    world.publish(retain=True)
    counts = []
    for handling in (0, 1, 2):
        peer = world.connect()
        request = subscribe(b"a", retain_handling=handling)
        counts.append([len(only(peer.ask(request), Publish)) for _ in range(2)])

    assert [[1, 1], [1, 0], [0, 0]] == counts


def test_nothing_retained_for_shared_subscriptions() -> None:
    """Section 3.8.3.1: they are sent none."""
    world = World()
    world.publish(retain=True)

    assert [] == sent(world, subscribe(b"$share/g/a"))


def test_what_is_retained_has_the_identifier_and_the_rest_of_its_time() -> None:
    """[MQTT-3.3.4-3] [MQTT-3.3.2-6] [MQTT-3.3.2-5]."""
    world = World()
    for topic, seconds in ((b"a", 10), (b"b", 5)):
        world.publish(topic, retain=True, properties=Properties(message_expiry_interval=seconds))
    world.now += 5.5

    (found,) = sent(world, subscribe(b"+", identifier=9))

    assert Properties(message_expiry_interval=5, subscription_identifiers=(9,)) == found.properties


def test_what_one_retained_oneself_with_no_local() -> None:
    """[MQTT-3.8.3-3] It doesn't come back either."""
    world = World()
    world.publish(b"mine", retain=True, origin="late")
    world.publish(b"others", retain=True, origin="else")

    found = sent(world, subscribe(b"#", no_local=True))

    assert [b"others"] == [each.topic for each in found]


def test_many_retained_are_sent_in_turns() -> None:
    """Some at a time, as there is room; what is published meanwhile comes too."""
    world = World()
    for number in range(250):
        world.publish(b"a/%d" % number, retain=True)
    peer = world.connect()

    assert 100 == len(payloads(peer.ask(subscribe(b"a/#"))))
    for congested in (False, True):
        peer.line.congested = congested
        assert (not congested) == peer.client.unfinished
    assert not peer.client.pump(world.now)
    peer.line.congested = False
    assert [True, False] == [peer.client.pump(world.now) for _ in range(2)]
    assert 150 == len(payloads(peer.take()))
    assert not peer.client.unfinished


def test_large_retained_messages_are_sent_in_turns() -> None:
    """By their bytes too."""
    world = World()
    for number in range(4):
        world.publish(b"a/%d" % number, bytes(50_000), retain=True)
    peer = world.connect()

    counts = [len(payloads(peer.ask(subscribe(b"a/#"))))]
    while peer.client.unfinished:
        peer.client.pump(world.now)
        counts.append(len(payloads(peer.take())))
    assert [2, 2] == counts[:2]


def test_retained_messages_obey_the_quota() -> None:
    """[MQTT-3.3.4-9] They wait for acknowledgements, however many they are."""
    world = World(queue_messages=1)
    for number in range(6):
        world.publish(b"a/%d" % number, qos=1, retain=True)
    peer = world.connect(properties={"receive_maximum": 2})

    found = only(peer.ask(subscribe(b"#", 1)), Publish)
    assert 2 == len(found)
    for packet_id in range(1, 5):
        found += only(peer.ask(PubAck(packet_id)), Publish)
    assert 6 == len({each.topic for each in found})
    assert 0 == peer.session.outgoing.dropped


def test_a_session_gets_the_rest_of_what_is_retained_later() -> None:
    """When its client is back."""
    world = World()
    for number in range(4):
        world.publish(b"a/%d" % number, qos=1, retain=True)
    peer = world.keep(properties={"receive_maximum": 2})
    assert 2 == len(payloads(peer.ask(subscribe(b"#", 1))))
    peer.drop()

    again = world.keep()

    found = only(again.take(), Publish)
    assert [True, True, False, False] == [each.dup for each in found]
    assert 4 == len({each.topic for each in found})


def test_unsubscribing_ends_what_is_retained() -> None:
    """[MQTT-3.10.4-2] No more of it is added."""
    world = World()
    for number in range(150):
        world.publish(b"a/%d" % number, retain=True)
    peer = world.connect()
    peer.ask(subscribe(b"#"))

    peer.ask(Unsubscribe(2, [b"#"]))

    assert not peer.client.unfinished


# UNSUBSCRIBE


@pytest.mark.parametrize("version", Version)
def test_unsubscribe(version: Version) -> None:
    """[MQTT-3.10.4-1] [MQTT-3.10.4-2] [MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT-3.10.4-6].

    [MQTT-3.11.3-1] [MQTT-3.11.3-2] The very filter; the answers are in order, also for none.
    """
    world = World()
    peer = world.connect(version=version)
    peer.ask(many((b"a", 0), (b"a/#", 0), (b"$share/g/b", 0)))

    answers = peer.ask(Unsubscribe(9, [b"+", b"a", b"$share/g/b", b"a"]))

    none, gone = ReasonCode.NO_SUBSCRIPTION_EXISTED, ReasonCode.SUCCESS
    assert [UnsubAck(9, [none, gone, gone, none] if version is V5 else [])] == answers
    assert [b"a/#"] == [*peer.session.subscriptions]
    assert [1, 0] == [world.publish(b"a"), world.publish(b"b")]


def test_unsubscribe_from_nothing() -> None:
    """[MQTT-3.10.4-5] It is answered when the client was subscribed to none of the filters."""
    peer = World().connect()

    (answer,) = peer.ask(Unsubscribe(9, [b"a", b"b"]))

    assert UnsubAck(9, [ReasonCode.NO_SUBSCRIPTION_EXISTED] * 2) == answer


def test_unsubscribing_leaves_what_was_begun() -> None:
    """[MQTT-3.10.4-3] What is in flight is brought to its end, and what waits is sent."""
    world = World(maximum_inflight=1)
    peer = world.keep()
    peer.ask(subscribe(b"a", 1))
    world.publish(qos=1, payload=b"1")
    world.publish(qos=1, payload=b"2")
    peer.ask(Unsubscribe(2, [b"a"]))

    assert 0 == world.publish(qos=1, payload=b"3")
    assert [b"2"] == payloads(peer.ask(PubAck(1)))
    again = world.keep()
    assert [b"2"] == payloads(again.take())


# Options


def test_no_local() -> None:
    """[MQTT-3.8.3-3] What a client publishes doesn't come back by that subscription."""
    world = World()
    peer = world.connect()
    peer.ask(subscribe(b"a", no_local=True))

    peer.client.receive(publish(0), 0)
    world.publish(payload=b"else")

    assert [b"else"] == payloads(peer.take())


def test_no_local_where_filters_overlap() -> None:
    """[MQTT-3.8.3-3] [MQTT-3.3.4-2] By another filter it does, with that one's QoS."""
    world = World()
    peer = world.connect()
    peer.ask(subscribe(b"a", 2, no_local=True, identifier=1))
    peer.ask(subscribe(b"#", 1, identifier=2))

    world.publish(qos=2, origin="client")
    world.publish(qos=2, origin="else")

    own, others = only(peer.take(), Publish)
    assert (1, (2,)) == (own.qos, own.properties.subscription_identifiers)
    assert (2, {1, 2}) == (others.qos, {*others.properties.subscription_identifiers})


def test_no_local_in_all_filters_that_overlap() -> None:
    """[MQTT-3.8.3-3] Then it doesn't."""
    world = World()
    peer = world.connect()
    peer.ask(subscribe(b"a", no_local=True))
    peer.ask(subscribe(b"#", no_local=True))

    assert [0, 1] == [world.publish(origin="client"), world.publish(origin="else")]


def test_overlapping_filters_give_one_copy() -> None:
    """[MQTT-3.3.4-2] [MQTT-3.3.4-4] With the highest QoS, and all identifiers."""
    world = World()
    peer = world.connect()
    for number, (topic_filter, qos) in enumerate(((b"a", 0), (b"+", 2), (b"#", 1)), 1):
        peer.ask(subscribe(topic_filter, qos, identifier=number))

    world.publish(qos=2)

    (copy,) = only(peer.take(), Publish)
    assert (2, {1, 2, 3}) == (copy.qos, {*copy.properties.subscription_identifiers})


def test_a_shared_subscription_gives_a_copy_of_its_own() -> None:
    """[MQTT-3.3.4-5] [MQTT-4.8.2-3] With its identifier, and at most the QoS granted to it."""
    world = World()
    peer = world.connect()
    peer.ask(subscribe(b"a", 2, identifier=1))
    peer.ask(subscribe(b"$share/g/a", 1, identifier=2))

    world.publish(qos=2)

    copies = sorted(only(peer.take(), Publish), key=lambda each: -each.qos)
    assert [(2, (1,)), (1, (2,))] == [
        (each.qos, each.properties.subscription_identifiers) for each in copies
    ]


def test_retain_as_published() -> None:
    """[MQTT-3.3.1-12] [MQTT-3.3.1-13] Else RETAIN is 0; before 5.0 always."""
    world = World()
    peers = [
        world.connect("kept"), world.connect("not"), *(world.connect(v.name, v) for v in V3)
    ]  # fmt: skip
    peers[0].ask(subscribe(b"#", 1, retain_as_published=True))
    for peer in peers[1:]:
        peer.ask(subscribe(b"#", 1))

    for qos in (0, 1):
        for retain in (True, False):
            world.publish(qos=qos, retain=retain)

    seen = [[each.retain for each in only(peer.take(), Publish)] for peer in peers]
    assert [[True, False, True, False], [False] * 4, [False] * 4, [False] * 4] == seen
