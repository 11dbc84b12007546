"""Sessions: who takes up which, when they end, and their wills."""

from __future__ import annotations

from typing import Any

import pytest

from speedo_trio.mqtt.state.capabilities import NEVER
from speedo_trio.mqtt.state.publication import MQTTPublication
from speedo_trio.mqtt.state.sessions import new_client_id
from speedo_trio.mqtt.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
    PubAck,
    Publish,
    PubRec,
    Will,
)
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.versions import Version
from speedo_trio.pubsub.publication import Publication
from tests.mqtt.state.world import V5, V311, World, only, payloads, publish, subscribe


def will(delay: int | None = None, **more: Any) -> Will:
    """A will under "w"."""
    properties = Properties(will_delay_interval=delay) if delay is not None else None
    return Will(b"w", b"gone", properties=properties, **more)


# Taking over and up


@pytest.mark.parametrize("version", Version)
def test_a_second_connection_takes_over(version: Version) -> None:
    """[MQTT-3.1.4-3] [MQTT-3.1.3-2] The first is told 0x8E if it speaks 5.0, and closes."""
    world = World()
    first = world.keep(version=version)
    other = world.connect("other")

    second = world.keep()

    assert [ReasonCode.SESSION_TAKEN_OVER] * (version is V5) == [
        each.reason for each in only(first.take(), Disconnect)
    ]
    assert (ReasonCode.SESSION_TAKEN_OVER, None, None) == (
        first.closed,
        second.closed,
        other.closed,
    )
    assert second.session.client is second.client
    assert [] == first.ask(publish(1))
    assert [] == world.hub.published


def test_the_first_connection_closes_late() -> None:
    """[MQTT-3.1.4-3] What it does then is not the second one's business."""
    world = World()
    first = world.keep()
    second = world.keep()

    first.drop()
    first.client.fail(ReasonCode.UNSPECIFIED_ERROR, world.now)

    assert second.session.client is second.client
    assert world.sessions.get("client") is second.session


def test_a_session_is_taken_up() -> None:
    """[MQTT-3.1.2-5] [MQTT-4.5.0-1] [MQTT3-3.1.2-5] With what waits and is in flight."""
    world = World()
    peer = world.subscriber(client_id="client")
    world.publish(qos=1, payload=b"flight")
    session = peer.session
    peer.drop()
    assert [True, True, False] == [bool(world.publish(qos=qos)) for qos in (1, 2, 0)]

    again = world.keep()

    assert again.session is session
    assert [(True, 1), (False, 1), (False, 2)] == [
        (each.dup, each.qos) for each in only(again.take(), Publish)
    ]


@pytest.mark.parametrize("away", [True, False])
def test_a_clean_start_ends_the_session(away: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """[MQTT-3.1.2-4] [MQTT3-3.1.2-6] Subscriptions and messages go; another one begins."""
    world = World()
    peer = world.subscriber(client_id="client")
    world.publish(qos=1, retain=True)
    session = peer.session
    if away:
        peer.drop()

    again = world.connect(clean_start=True)

    assert session is not again.session
    assert ([], {}, 0) == (again.take(), again.session.subscriptions, session.outgoing.inflight)
    assert [("began", "client"), ("ended", "client"), ("began", "client")] == world.hub.events
    assert 0 == world.publish(qos=1)
    assert 1 == len(world.hub.exchange.retained)  # [MQTT3-3.1.2-7]


def test_a_session_of_3_1_1_that_is_clean_ends_with_its_connection() -> None:
    """[MQTT3-3.1.2-6] Nothing of it is seen again."""
    world = World()
    peer = world.connect(version=V311, clean_start=True)
    peer.ask(subscribe(b"#", 1))

    peer.drop()

    assert (0, 0) == (len(world.sessions), world.publish(qos=1))


def test_an_open_connection_keeps_its_session() -> None:
    """[MQTT-4.1.0-1] Whatever its expiry."""
    world = World()
    peers = [world.connect("0"), world.connect("5", expiry=5)]

    world.later(1e6)

    assert 2 == len(world.sessions)
    assert all(peer.client.session is not None for peer in peers)


# The end of sessions


def test_a_session_expires() -> None:
    """[MQTT-4.1.0-2] [MQTT-3.1.2-23] [MQTT3-3.1.2-4] [MQTT3-3.1.2-7] When it has been away so long.

    Its subscriptions go, and what waits; what it has retained stays.
    """
    world = World()
    peer = world.subscriber(expiry=60)
    peer.ask(publish(1, retain=True))
    session = peer.session
    peer.drop()
    world.publish(qos=1)

    assert 0 == world.later(59.9)
    assert 1 == world.publish(qos=1)
    assert 1 == world.later(0.2)

    assert (0, 0, 0) == (len(world.sessions), session.outgoing.waiting, world.publish(qos=1))
    assert 1 == len(world.hub.exchange.retained)
    assert world.sessions.deadline is None


def test_the_expiry_begins_anew_with_each_connection() -> None:
    """[MQTT-3.1.2-23] And the latest CONNECT says how long it is."""
    world = World()
    for seconds in (60, 100, 80):
        peer = world.keep(expiry=seconds)
        peer.drop()
        assert world.now + seconds == world.sessions.deadline
        world.later(59)
    world.later(21)

    assert 0 == len(world.sessions)


def test_a_session_that_is_taken_up_has_no_end_any_more() -> None:
    """[MQTT-4.1.0-1] What was to be done while the client was away isn't."""
    world = World(maximum_offline_sessions=1)
    world.keep(expiry=60, will=will(delay=30)).drop()
    peer = world.keep(expiry=60)
    assert (0, None) == (world.sessions.offline, world.sessions.deadline)
    world.keep("other").drop()

    assert 0 == world.later(1000)

    assert peer.closed is None
    assert world.sessions.get("client") is peer.session


def test_a_session_for_ever() -> None:
    """[MQTT-3.1.2-23] 0xFFFFFFFF has no end, nor has one of 3.1.1, if the server has none."""
    world = World(maximum_session_expiry=NEVER)
    world.keep("5", expiry=NEVER).drop()
    world.keep("3", V311).drop()

    assert world.sessions.deadline is None
    world.later(1e12)
    assert 2 == len(world.sessions)


def test_sessions_that_are_away_are_bounded() -> None:
    """The one that is away for longest goes; those that are connected don't count."""
    world = World(maximum_offline_sessions=2)
    world.keep("stays")
    for name in ("a", "b", "c"):
        world.keep(name)
    for name in ("b", "a", "c"):
        session = world.sessions.get(name)
        assert session is not None
        assert session.client is not None
        session.client.lose_session(world.now)

    assert ["stays", "a", "c"] == [session.client_id for session in world.sessions]
    assert 2 == world.sessions.offline


@pytest.mark.parametrize("most", [0, 1])
def test_a_takeover_ends_no_session(most: int) -> None:
    """[MQTT-3.1.2-5] Neither the one that is taken over, nor one that is away in its place."""
    world = World(maximum_offline_sessions=most)
    for _ in range(most):
        world.keep("away").drop()
    session = world.keep("a").session

    again = world.keep("a")

    assert session is again.session
    assert [] == [event for event in world.hub.events if event[0] == "ended"]
    assert most == world.sessions.offline


def test_a_session_that_is_ended_ends_no_other() -> None:
    """Its client was connected, and others may be away as before."""
    world = World(maximum_offline_sessions=1)
    world.keep("away").drop()
    session = world.keep("a").session

    world.sessions.end(session, world.now)

    assert ["away"] == [each.client_id for each in world.sessions]


def test_a_session_is_ended_by_the_server() -> None:
    """Its connection too, with 0x98, and once."""
    world = World()
    peer = world.subscriber(client_id="client", will=will(delay=100))
    session = peer.session

    world.sessions.end(session, world.now)
    world.sessions.end(session, world.now)

    assert ReasonCode.ADMINISTRATIVE_ACTION is peer.closed
    assert [("began", "client"), ("ended", "client"), ("will", "client")] == world.hub.events
    assert (0, 0) == (len(world.sessions), world.publish())
    world.sessions.end(world.connect().session, world.now)  # with an expiry of 0
    assert 0 == len(world.sessions)


def test_not_all_is_due_at_once() -> None:
    """So many are seen to in one go."""
    world = World()
    for number in range(5):
        world.keep(str(number), expiry=10).drop()
    world.now += 10

    assert [3, 2, 0] == [world.sessions.due(world.now, 3) for _ in range(3)]


def test_deadlines_that_are_void_do_not_pile_up() -> None:
    """A client that comes and goes leaves no trail."""
    world = World()
    for _ in range(1000):
        world.keep().drop()

    assert 203 > len(world.sessions._deadlines)


# Wills


def test_a_will_is_published_as_it_was_given() -> None:
    """[MQTT-3.1.2-7] [MQTT-3.1.2-8] [MQTT-3.1.2-14] [MQTT-3.1.2-15] [MQTT-3.1.3-10].

    Without its delay; [MQTT-3.3.2-17] [MQTT-3.3.2-18] user properties are in order.
    """
    world = World()
    user = (("b", "1"), ("b", "1"), ("a", "2"))
    for retain in (True, False):
        given = Will(
            b"w", b"x", 2, retain, Properties(will_delay_interval=0, content_type="t", user=user)
        )
        world.connect(will=given).drop()

    assert [
        (b"w", b"x", 2, retain, Properties(content_type="t", user=user), "client", world.now)
        for retain in (True, False)
    ] == [
        (each.topic, each.payload, each.qos, each.retain, each.properties, each.origin,
         each.received_at)
        for each in world.hub.wills
    ]  # fmt: skip
    assert 1 == len(world.hub.exchange.retained)


@pytest.mark.parametrize("delay", [0, 10])
def test_a_will_is_published_once(delay: int) -> None:
    """[MQTT-3.1.2-10] Not again with the end of the session, or the next connection."""
    world = World()
    world.keep(will=will(delay)).drop()
    world.later(10)
    world.later(1e6)
    world.keep().drop()
    world.later(1e6)

    assert (1, 0) == (len(world.hub.wills), len(world.sessions))


def test_without_a_will_none_is_published() -> None:
    """[MQTT3-3.1.2-12] Also when an earlier connection had one."""
    world = World()
    world.keep(will=will(delay=10)).drop()
    world.keep().drop()
    world.later(1e6)

    assert [] == world.hub.wills


def test_a_will_is_delayed() -> None:
    """[MQTT-3.1.2-8] Its time counts from the end of the connection."""
    world = World()
    peer = world.keep(will=will(delay=10), expiry=60)
    world.later(100)
    peer.drop()

    assert world.now + 10 == world.sessions.deadline
    world.later(9.9)
    assert [] == world.hub.wills
    world.later(0.1)
    assert [world.now] == [each.received_at for each in world.hub.wills]
    assert world.now + 50 == world.sessions.deadline


def test_a_session_that_ends_first_publishes_its_will() -> None:
    """[MQTT-4.1.0-2] [MQTT-3.1.2-8] The earlier of the two."""
    world = World()
    world.keep(will=will(delay=100), expiry=60).drop()

    world.later(60)

    assert [("began", "client"), ("ended", "client"), ("will", "client")] == world.hub.events


def test_a_delayed_will_without_a_session() -> None:
    """[MQTT-3.1.2-8] With an expiry of 0 the session ends with the connection."""
    world = World()
    world.connect(will=will(delay=100)).drop()

    assert 1 == len(world.hub.wills)


def test_a_will_is_cancelled() -> None:
    """[MQTT-3.1.3-9] [MQTT-3.1.2-8] Who is back before its time publishes none, then or later."""
    world = World()
    world.keep(will=will(delay=10)).drop()
    world.later(9)

    peer = world.keep()
    world.later(100)
    peer.drop()
    world.later(100)

    assert [] == world.hub.wills


def test_another_will_is_not_due_when_the_cancelled_one_was() -> None:
    """[MQTT-3.1.3-9] Who is back has a will of its own."""
    world = World()
    world.keep(will=will(delay=10)).drop()
    world.later(9)

    peer = world.keep(will=Will(b"other", properties=Properties(will_delay_interval=10)))
    world.later(100)
    assert [] == world.hub.wills
    peer.drop()
    world.later(10)

    assert [b"other"] == [each.topic for each in world.hub.wills]


def test_a_will_without_delay_does_not_wait_for_the_end_of_the_session() -> None:
    """[MQTT-3.1.2-8] It is published when the connection has closed."""
    world = World()
    world.keep(will=will(delay=None)).drop()

    assert 1 == len(world.hub.wills)
    world.later(10_000)
    assert 1 == len(world.hub.wills)


@pytest.mark.parametrize("delay", [None, 0, 10])
def test_the_will_of_a_connection_that_is_taken_over(delay: int | None) -> None:
    """[MQTT-3.1.3-9] [MQTT-3.1.4-3] It is published, unless delayed with a session that goes on."""
    world = World()
    world.keep(will=will(delay))

    world.keep()
    world.later(100)

    assert (0 if delay else 1) == len(world.hub.wills)


def test_a_clean_start_publishes_the_will_whatever_its_delay() -> None:
    """[MQTT-3.1.2-4] [MQTT-3.1.2-8] Before the new session begins, and before its CONNACK."""
    world = World()
    for peer in (world.keep(will=will(10)), None):
        if peer is None:
            world.keep(will=will(10)).drop()
        world.hub.events.clear()
        world.connect(clean_start=True).drop()
        assert [("ended", "client"), ("will", "client"), ("began", "client")] == (
            world.hub.events[:3]
        )


def test_the_old_will_comes_before_the_new_sessions_subscriptions() -> None:
    """It is queued for a session that is taken up, and not sent before CONNACK."""
    world = World()
    world.subscriber(b"w", 1, client_id="client", will=will(qos=1))
    peer = world.open()

    peer.send(Connect(client_id="client", clean_start=False))

    assert [ConnAck, Publish] == [type(each) for each in peer.take()]


def test_disconnect_with_will_and_a_delay() -> None:
    """[MQTT-3.1.2-8] 0x04 is as any other end."""
    world = World()
    peer = world.keep(will=will(10))

    peer.ask(Disconnect(ReasonCode.DISCONNECT_WITH_WILL_MESSAGE))
    assert [] == world.hub.wills
    world.later(10)
    assert 1 == len(world.hub.wills)


def test_an_expiry_of_0_in_disconnect_publishes_a_delayed_will() -> None:
    """[MQTT-3.1.2-8] The session ends there and then."""
    world = World()
    peer = world.keep(will=will(10))

    peer.ask(
        Disconnect(ReasonCode.DISCONNECT_WITH_WILL_MESSAGE, Properties(session_expiry_interval=0))
    )

    assert (1, 0) == (len(world.hub.wills), len(world.sessions))


def test_wills_that_set_each_other_off() -> None:
    """A will that is delivered to one whose queue it ends waits for the host: nothing recurses."""
    world = World(
        queue_messages=1,
        overflow="disconnect",
    )
    peers = [
        world.subscriber(b"w", 1, client_id=str(number), will=will(qos=1)) for number in range(50)
    ]
    for peer in peers:
        peer.line.congested = True

    peers[0].drop()
    peers[1].drop()

    assert 48 == sum(peer.overflows for peer in peers)
    assert 2 == len(world.hub.wills)


# Others


def test_client_identifiers_can_not_be_guessed() -> None:
    """[MQTT-3.2.2-16] Nor are two alike."""
    made = {new_client_id() for _ in range(1000)}

    assert 1000 == len(made)
    assert {25} == {len(each) for each in made}


def test_qos_2_of_a_shared_subscription_stays_with_its_member() -> None:
    """[MQTT-4.8.2-4] [MQTT-4.8.2-5] It is finished when the member is back; else nobody gets it."""
    world = World()
    first = world.subscriber(b"$share/g/a", 2, client_id="1")
    world.publish(qos=2, payload=b"once")
    first.drop()
    second = world.subscriber(b"$share/g/a", 2, client_id="2")

    back = world.keep("1")
    assert [b"once"] == payloads(back.take())
    world.sessions.end(back.session, world.now)

    assert [] == payloads(second.take())


def test_qos_1_of_a_shared_subscription_goes_to_another_member() -> None:
    """Section 4.8.2: when the session of the member that had it ends, with all that waits."""
    world = World(maximum_inflight=1)
    first = world.subscriber(b"$share/g/a", 2, client_id="1")
    for number, qos in enumerate((1, 2, 1)):
        world.publish(payload=b"%d" % number, qos=qos)
    first.drop()
    second = world.subscriber(b"$share/g/a", 1, client_id="2")
    session = world.sessions.get("1")
    assert session is not None

    world.sessions.end(session, world.now)

    seen = only(second.take(), Publish)
    for packet_id in (1, 2):
        seen += only(second.ask(PubAck(packet_id)), Publish)
    assert [(b"0", 1, False), (b"1", 1, False), (b"2", 1, False)] == [
        (each.payload, each.qos, each.dup) for each in seen
    ]
    world.sessions.end(second.session, world.now)  # nobody is left


def test_a_message_of_a_shared_subscription_that_is_refused() -> None:
    """[MQTT-4.8.2-6] It is dropped: no other member gets it."""
    world = World()
    peers = [world.subscriber(b"$share/g/a", 2, client_id=str(number)) for number in range(2)]
    world.publish(qos=1)
    world.publish(qos=2)
    kinds: list[Any] = [PubAck, PubRec]
    for peer, kind in zip(peers, kinds, strict=True):
        (message,) = only(peer.take(), Publish)
        peer.ask(kind(message.packet_id, ReasonCode.QUOTA_EXCEEDED))

    assert [[], []] == [peer.take() for peer in peers]
    assert [0, 0] == [peer.session.outgoing.inflight for peer in peers]


def test_messages_of_one_client_keep_their_order() -> None:
    """[MQTT-4.6.0-5] [MQTT-4.6.0-6] For all topics, while the subscriber comes and goes."""
    world = World(maximum_inflight=3)
    publisher = world.connect("publisher")
    peer = world.subscriber(qos=1)
    seen: dict[bytes, None] = {}

    def read() -> bool:
        messages = only(peer.take(), Publish)
        for message in messages:
            seen[message.payload] = None
            peer.client.receive(PubAck(message.packet_id), world.now)
        return bool(messages)

    for number in range(60):
        publisher.ask(publish(1, topic=b"t/%d" % (number % 3), payload=b"%d" % number))
        if number % 7 == 0:
            peer.drop()
            peer = world.keep("subscriber")
        if number % 5 == 0:
            read()
    while read():
        pass

    assert [b"%d" % number for number in range(60)] == [*seen]


def test_a_plain_publication_reaches_clients() -> None:
    """Such as one of SimplePub or of the program: with QoS 0."""
    world = World()
    peers = [world.subscriber(client_id=version.name, version=version) for version in Version]
    marked = world.connect("marked")
    marked.ask(subscribe(b"#", 2, identifier=7, retain_as_published=True))

    world.hub.exchange.publish(Publication(b"a", b"x", retain=True, properties={"of": "others"}))

    for each in peers:
        assert [Publish(b"a", b"x")] == [
            Publish(message.topic, message.payload, message.qos)
            for message in only(each.take(), Publish)
        ]
    (message,) = only(marked.take(), Publish)
    assert (True, Properties(subscription_identifiers=(7,))) == (message.retain, message.properties)


def test_a_plain_publication_can_be_retained() -> None:
    """And an MQTT one reaches others as what it is."""
    world = World()
    world.hub.exchange.retain(Publication(b"a", b"x", retain=True), now=world.now)
    peer = world.connect()

    (message,) = only(peer.ask(subscribe(b"a", 2)), Publish)

    assert (b"x", 0, True) == (message.payload, message.qos, message.retain)
    assert isinstance(MQTTPublication(b"a", b"x"), Publication)
