"""Limits of clients: each is enforced, and counted by the name of its setting."""

from __future__ import annotations

import pytest

from speedo_trio.errors import RetainedFull, TopicError
from speedo_trio.mqtt.state.pace import Pace
from speedo_trio.mqtt.wire.packets import Disconnect, Publish, SubAck, Unsubscribe
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.versions import Version
from tests.mqtt.state.world import V5, V311, Peer, World, only, publish, subscribe

R = ReasonCode


def test_a_pace() -> None:
    """A burst is free; then a message costs its share of a second, and time gives it back."""
    pace = Pace(10.0, 5, 0.0)
    for _ in range(5):
        pace.count(0.0)
    assert pace.ahead(0.0) == 0.0
    pace.count(0.0)
    assert pace.ahead(0.0) == pytest.approx(0.1)
    assert pace.ahead(0.05) == pytest.approx(0.05)
    assert pace.ahead(1.0) == 0.0
    for _ in range(5):
        pace.count(100.0)
    assert pace.ahead(100.0) == 0.0


def test_who_publishes_too_fast_is_waited_with() -> None:
    """Nothing is lost; the host is told how long not to read. QoS 0 and 1 count alike."""
    world = World(publish_rate=10, publish_burst=2)
    client = world.connect()
    client.send(publish(), publish(), publish(), publish(1, 1))

    assert len(world.hub.published) == 4
    assert client.client.ahead(world.now) == pytest.approx(0.2)
    world.later(0.3)
    assert client.client.ahead(world.now) == 0.0


def test_who_publishes_too_fast_is_ended() -> None:
    """If that is what is wanted: 5.0 is told why."""
    world = World(publish_rate=10, publish_burst=2, when_too_fast="disconnect")
    client = world.connect()
    client.send(publish(), publish(), publish(), publish())
    (told,) = only(client.take(), Disconnect)

    assert told.reason is R.MESSAGE_RATE_TOO_HIGH
    assert len(world.hub.published) == 2
    assert world.sessions.hits == {"publish_rate": 1}
    assert client.client.ahead(world.now) == 0.0


def test_without_a_rate_nothing_is_counted() -> None:
    """And a plain PUBLISH is dealt with the short way."""
    client = World().connect()

    assert client.client.plain
    assert client.client.ahead(0.0) == 0.0


def test_subscriptions_in_all() -> None:
    """All clients together have so many; what is given back may be had by another."""
    world = World(all_subscriptions=2)
    first, second = world.connect("1"), world.connect("2")

    def asks(client: Peer, name: bytes) -> ReasonCode:
        client.send(subscribe(name))
        found: list[SubAck] = only(client.take(), SubAck)
        return found[0].reasons[0]

    assert asks(first, b"a") is R.GRANTED_QOS_0
    assert asks(second, b"a") is R.GRANTED_QOS_0
    assert asks(second, b"b") is R.QUOTA_EXCEEDED
    assert asks(second, b"a") is R.GRANTED_QOS_0  # again
    second.send(Unsubscribe(2, [b"a"]))
    second.take()
    assert asks(first, b"b") is R.GRANTED_QOS_0
    first.drop()
    assert world.sessions.subscriptions == 0
    assert world.sessions.hits == {"all_subscriptions": 1}


def test_subscriptions_of_one() -> None:
    """Refusals are counted."""
    world = World(maximum_subscriptions=1)
    client = world.connect()
    client.send(subscribe(b"a"), subscribe(b"b"))

    assert world.sessions.hits == {"maximum_subscriptions": 1}


@pytest.mark.parametrize("version", [V311, V5])
def test_topics_and_what_is_retained(version: Version) -> None:
    """What the broker has no room for is counted."""
    world = World()
    client = world.connect(version=version)
    world.hub.error = TopicError("too many levels")
    client.send(publish(), publish(1, 1), subscribe(b"a"))
    world.hub.error = RetainedFull("full")
    client.send(publish(1, 2))

    assert world.sessions.hits == {"topics": 3, "retained": 1}


def test_ends_at_a_limit() -> None:
    """The client's maximum of messages on their way, aliases and sizes."""
    world = World(receive_maximum=1, topic_alias_maximum=1, maximum_packet_size=64)
    world.connect("1").send(publish(2, 1), publish(2, 2))
    alias = Properties(topic_alias=2)
    world.connect("2").send(Publish(b"a", b"x", properties=alias))
    client = world.connect("3").client
    client.receive_data(b"\x30\xff\x01", world.now)

    assert world.sessions.hits == {
        "receive_maximum": 1,
        "topic_alias_maximum": 1,
        "maximum_packet_size": 1,
    }


def test_sessions() -> None:
    """An expiry that is lowered is counted, and a session that had to make room."""
    world = World(maximum_session_expiry=10, maximum_offline_sessions=1)
    for name in "12":
        world.keep(name).drop()

    assert world.sessions.hits["maximum_offline_sessions"] == 1
    assert world.sessions.hits["maximum_session_expiry"] == 2
