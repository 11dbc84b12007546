"""Runs of packets: done together they make no difference, and where they could, they are not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speedo_trio.mqtt.state.asks import Asking, AskPublish
from speedo_trio.mqtt.state.rights import SessionRights
from speedo_trio.mqtt.state.runs import on_publish_run
from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packets import (
    Packet,
    PingReq,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
)
from speedo_trio.mqtt.wire.reader import PacketReader
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.versions import Version
from tests.mqtt.state.world import V5, V311, Peer, World, only, payloads, publish, subscribe

BOTH = pytest.mark.parametrize("version", [V311, V5])


def together(peer: Peer, *packets: Packet) -> Any:
    """Send the bytes of packets, read together; the outcome."""
    version = peer.client.version or V5
    data = b"".join(encode(packet, version) for packet in packets)
    return peer.client.receive_data(data, peer.world.now)


def messages(qos: int, *packet_ids: int, topic: bytes = b"a") -> list[Packet]:
    """PUBLISHes whose payloads are their identifiers."""
    return [Publish(topic, b"%d" % each, qos, packet_id=each if qos else 0) for each in packet_ids]


# No difference

some_messages = st.builds(
    lambda topic, size, qos, packet_id: publish(qos, qos and packet_id, topic, payload=b"x" * size),
    st.sampled_from([b"a", b"a", b"a", b"b", b"$SYS/a"]),
    st.sampled_from([1, 1, 50]),
    st.integers(0, 2),
    st.integers(1, 5),
)
some_answers = st.builds(
    lambda kind, packet_id: kind(packet_id),
    st.sampled_from([PubAck, PubRec, PubRel, PubComp]),
    st.integers(1, 6),
)
reads = st.one_of(
    st.lists(some_messages, max_size=6),
    st.builds(
        lambda qos, first, number: messages(qos, *range(first, first + number)),
        st.integers(0, 2),
        st.integers(1, 4),
        st.integers(2, 6),
    ),
    st.builds(
        lambda kind, first, number: [kind(each) for each in range(first, first + number)],
        st.sampled_from([PubAck, PubRec, PubRel, PubComp]),
        st.integers(1, 4),
        st.integers(2, 5),
    ),
    st.lists(st.one_of(some_messages, some_answers, st.just(PingReq())), max_size=6),
)
NAMES = ("publisher", "five", "three", "zero", "own")


class Scene:
    """A publisher and four subscribers of all kinds, in a world with narrow bounds."""

    def __init__(self) -> None:
        self.world = World(
            maximum_inflight=4,
            receive_maximum=4,
            queue_messages=6,
            stall_timeout=0,
        )
        self.peers = {name: self._connect(name) for name in NAMES}

    def _connect(self, name: str) -> Peer:
        version = V311 if name in {"three", "zero"} else V5
        peer = self.world.keep(name, version)
        qos = {"publisher": 0, "zero": 0, "three": 1}.get(name, 2)
        if name != "publisher":
            peer.ask(subscribe(b"a" if name == "zero" else b"#", qos, no_local=name == "own"))
        return peer

    def come_or_go(self, name: str) -> None:
        """A client goes away, or is back."""
        if self.peers[name].client.session is not None:
            self.peers[name].drop()
        else:
            self.peers[name] = self.world.keep(name, V311 if name in {"three", "zero"} else V5)

    def seen(self) -> list[Any]:
        """All that can be told apart."""
        found: list[Any] = [(each.topic, each.payload) for each in self.world.hub.published]
        for name, peer in self.peers.items():
            own = peer.client
            found += [b"".join(peer.line.frames), own.state, own.refused, own.answered, peer.closed]
            session = self.world.sessions.get(name)
            if session is not None:
                outgoing = session.outgoing
                found += [outgoing.quota, outgoing.inflight, outgoing.waiting, outgoing.dropped]
                found += [sorted(session.incoming.held)]
        return found


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(NAMES),
            reads,
            st.booleans(),
            st.sampled_from(["", "", "five", "three", "zero"]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_it_makes_no_difference(events: list[tuple[str, list[Packet], bool, str]]) -> None:
    """What is sent, held, counted and refused is the same as packet by packet."""
    runs, singles = Scene(), Scene()
    for name, packets, congested, turned in events:
        for scene in (runs, singles):
            if turned:
                scene.come_or_go(turned)
        data = b"".join(encode(packet, runs.peers[name].client.version or V5) for packet in packets)
        for scene in (runs, singles):
            peer = scene.peers[name]
            scene.peers["five"].line.congested = congested
            if peer.client.rest is not None or peer.closed is not None:
                continue
            if scene is runs:
                peer.client.receive_data(data, 1000.0)
            else:
                version = peer.client.version or V5
                peer.client.receive_many(PacketReader(version).feed(data), 1000.0)
            for each in scene.peers.values():
                each.client.pump(1000.0)

        assert singles.seen() == runs.seen()


@BOTH
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_run_is_done_as_one(qos: int, version: Version) -> None:
    """One piece goes to the subscriber, and one to the publisher."""
    world = World()
    subscriber = world.subscriber(qos=qos, version=version)
    publisher = world.connect("publisher", version)
    together(publisher, *messages(qos, 1, 2, 3))

    assert 1 == len(subscriber.line.frames)
    assert [b"1", b"2", b"3"] == payloads(subscriber.take())
    assert bool(qos) == len(publisher.line.frames)
    assert 3 * bool(qos) == len(publisher.take())


# One by one


@pytest.mark.parametrize("change", ["congested", "window", "options", "alias", "limit", "away"])
def test_when_a_subscriber_can_not_take_it_as_one(change: str) -> None:
    """Nothing is lost, and the order is the same."""
    world = World(maximum_inflight=2 if change == "window" else 100)
    told = {"alias": {"topic_alias_maximum": 1}, "limit": {"maximum_packet_size": 20}}.get(change)
    subscriber = world.keep("subscriber", properties=told)
    subscriber.ask(subscribe(b"#", 1, identifier=7 if change == "options" else None))
    subscriber.line.congested = change == "congested"
    publisher = world.connect("publisher")
    if change == "away":
        subscriber.drop()
    together(publisher, *messages(1, 1, 2, 3))
    assert [PubAck(1), PubAck(2), PubAck(3)] == publisher.take()
    if change == "away":
        subscriber = world.keep("subscriber")
    subscriber.line.congested = False
    subscriber.client.pump(world.now)

    got = payloads(subscriber.take())
    while only_unsent := subscriber.session.outgoing.waiting:
        first = subscriber.session.outgoing.inflight
        together(subscriber, *[PubAck(each) for each in range(1, first + 1)])
        got += payloads(subscriber.take())
        assert only_unsent > subscriber.session.outgoing.waiting
    assert [b"1", b"2", b"3"] == got


def test_a_hook_is_asked_of_each() -> None:
    """The first ask stops the run; the rest waits behind."""
    world = World()
    publisher = world.connect("publisher", asking=Asking(publish=True))
    ask = together(publisher, *messages(1, 1, 2))

    assert isinstance(ask, AskPublish)
    assert b"1" == ask.publication.payload


def test_nobody_is_subscribed() -> None:
    """A client of 5.0 is told so of each, one of 3.1.1 is acknowledged."""
    world = World()
    five, three = world.connect("five"), world.connect("three", V311)
    together(five, *messages(1, 1, 2))
    together(three, *messages(1, 1, 2))

    reason = ReasonCode.NO_MATCHING_SUBSCRIBERS
    assert [PubAck(1, reason), PubAck(2, reason)] == five.take()
    assert [PubAck(1), PubAck(2)] == three.take()


def test_an_identifier_that_is_held() -> None:
    """[MQTT-4.3.3-10] It comes again, and only once to the subscriber."""
    world = World()
    subscriber = world.subscriber()
    publisher = world.connect("publisher")
    together(publisher, *messages(2, 1, 2))
    together(publisher, *messages(2, 2, 3))

    assert [PubRec(1), PubRec(2), PubRec(2), PubRec(3)] == publisher.take()
    assert [b"1", b"2", b"3"] == payloads(subscriber.take())


def test_the_same_identifier_twice_in_one_run() -> None:
    """[MQTT-4.3.3-10] The second is the first, sent again."""
    world = World()
    subscriber = world.subscriber()
    publisher = world.connect("publisher")
    together(publisher, *messages(2, 1, 1))

    assert [PubRec(1), PubRec(1)] == publisher.take()
    assert [b"1"] == payloads(subscriber.take())


def test_more_than_the_receive_maximum() -> None:
    """[MQTT-3.3.4-7] Those before are done."""
    world = World(receive_maximum=2)
    subscriber = world.subscriber()
    publisher = world.connect("publisher")
    together(publisher, *messages(2, 1, 2, 3))

    assert ReasonCode.RECEIVE_MAXIMUM_EXCEEDED == publisher.closed
    assert [b"1", b"2"] == payloads(subscriber.take())


def test_answers_that_are_not_expected() -> None:
    """[MQTT-4.3.3-4] Those before are done together, and each of the others is answered."""
    world = World()
    subscriber = world.subscriber()
    world.publish(qos=2)
    world.publish(qos=2)
    subscriber.take()
    together(subscriber, *[PubRec(each) for each in (1, 2, 3)])

    expected = [PubRel(1), PubRel(2), PubRel(3, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND)]
    assert expected == subscriber.take()


def test_a_turn_ends_behind_a_run() -> None:
    """What is left waits: others have their turn."""
    world = World()
    world.subscriber(qos=0)
    publisher = world.connect("publisher")
    data = b"".join(
        encode(packet, V5)
        for topic in (b"a", b"b", b"c")
        for packet in messages(0, 1, 2, topic=topic)
    )
    assert publisher.client.receive_data(data, world.now, 4) is not None
    assert 2 == len(world.hub.published)
    assert publisher.client.proceed(world.now, 100) is None

    assert 6 == len(world.hub.published)


def test_a_run_before_the_connect_is_done() -> None:
    """One that comes with the CONNECT whose verdict is waited for is done when that is there."""
    world = World()
    subscriber = world.subscriber(qos=0)
    publisher = world.connect("publisher")

    assert 0 == on_publish_run(world.open().client, _run(), world.now)
    together(publisher, *messages(0, 1, 2))
    assert [b"1", b"2"] == payloads(subscriber.take())


def _run() -> Any:
    data = b"".join(encode(packet, V5) for packet in messages(0, 1, 2))
    (run,) = PacketReader(V5).feed_runs(data)
    return run


def test_what_is_answered_is_counted() -> None:
    """Each of a run."""
    world = World()
    world.subscriber()
    publisher = world.connect("publisher")
    before = publisher.client.answered
    together(publisher, *messages(1, 1, 2, 3))

    assert 3 == publisher.client.answered - before
    assert 3 == len(only(publisher.take(), PubAck))


def test_who_is_away_costs_nobody_the_run() -> None:
    """What it is to get waits in its queue, in order."""
    world = World()
    away, here = world.subscriber(client_id="away"), world.subscriber()
    away.drop()
    publisher = world.connect("publisher")
    together(publisher, *messages(1, 1, 2, 3))

    assert 1 == len(here.line.frames)
    assert [b"1", b"2", b"3"] == payloads(world.keep("away").take())


def test_who_reads_slowly_costs_nobody_the_run() -> None:
    """Of QoS 0; what there is no room for is dropped message by message."""
    world = World()
    slow, here = world.subscriber(client_id="slow", qos=0), world.subscriber()
    slow.line.congested = True
    publisher = world.connect("publisher")
    together(publisher, *messages(0, 1, 2, 3))

    assert ([], 1) == (slow.line.frames, len(here.line.frames))


# Rights and pace


def only_b() -> SessionRights:
    """Whatever it is, of topic b only."""
    return SessionRights(*[lambda topic: topic == b"b"] * 3)


def test_a_publisher_that_has_the_right() -> None:
    """It is asked for once, and the run is done as one."""
    world = World()
    subscriber = world.subscriber(qos=0)
    publisher = world.connect("publisher")
    publisher.session.restrict(only_b())
    together(publisher, *messages(1, 1, 2, topic=b"b"))
    together(publisher, *messages(1, 3, 4))

    assert [b"1", b"2"] == payloads(subscriber.take())
    reasons = [packet.reason for packet in only(publisher.take(), PubAck)]
    assert [0, 0, ReasonCode.NOT_AUTHORIZED, ReasonCode.NOT_AUTHORIZED] == reasons


def test_a_subscriber_that_has_not_the_right() -> None:
    """It gets nothing of it, and others do."""
    world = World()
    restricted, other = world.subscriber(client_id="restricted"), world.subscriber()
    restricted.session.restrict(only_b())
    publisher = world.connect("publisher")
    for topic in (b"a", b"b"):
        together(publisher, *messages(1, 1, 2, topic=topic))

    assert [b"b", b"b"] == [packet.topic for packet in only(restricted.take(), Publish)]
    assert 4 == len(payloads(other.take()))


def test_a_publisher_that_is_too_fast() -> None:
    """Each of a run counts."""
    world = World(publish_rate=1, publish_burst=2, when_too_fast="disconnect")
    subscriber = world.subscriber()
    publisher = world.connect("publisher")
    together(publisher, *messages(0, 1, 2, 3))

    assert ReasonCode.MESSAGE_RATE_TOO_HIGH == publisher.closed
    assert [b"1", b"2"] == payloads(subscriber.take())
