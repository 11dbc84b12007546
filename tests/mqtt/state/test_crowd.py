"""Who is held for a subscriber with much to take, for how long, and what is done meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speedo_trio.errors import HandlerError
from speedo_trio.mqtt.state.asks import ALLOW, HOLD, Asking, AskPublish
from speedo_trio.mqtt.state.crowd import LONG_MESSAGE
from speedo_trio.mqtt.state.later import MOST_BYTES, MOST_PACKETS
from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packets import (
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Will,
)
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from tests.mqtt.state.world import V5, V311, Peer, World, only, payloads, publish, subscribe

STALL = 1.0
"""The `stall_timeout`."""


def small(**more: Any) -> World:
    """One where two messages are in flight, eight wait, and the fifth of these holds."""
    given = {"maximum_inflight": 2, "queue_messages": 8, "stall_timeout": STALL}
    return World(**(given | more))


def burst(peer: Peer, number: int, qos: int = 1, topic: bytes = b"a") -> Any:
    """Publish so many messages, read together; the outcome."""
    return peer.send(
        *(publish(qos, each, topic, payload=b"%d" % each) for each in range(1, number + 1))
    )


def acknowledge(peer: Peer) -> list[bytes]:
    """Take what has come and answer all of it; the payloads."""
    got = peer.take()
    for each in only(got, Publish):
        if each.qos:
            answer(peer, PubAck(each.packet_id) if each.qos == 1 else PubRec(each.packet_id))
    for each in only(got, PubRel):
        answer(peer, PubComp(each.packet_id))
    return payloads(got)


def answer(peer: Peer, packet: Packet) -> None:
    """Send a packet, as its connection's host would."""
    if peer.client.busy:
        peer.client.hear(encode(packet, peer.client.version or V5), peer.world.now)
    else:
        peer.send(packet)


def held() -> tuple[World, Peer, Peer]:
    """A publisher with 3 messages that wait for a subscriber, who has 2 in flight and 5 in line."""
    world = small()
    slow = world.subscriber(b"a")
    publisher = world.connect("publisher")
    assert HOLD is burst(publisher, 10)
    return world, slow, publisher


def proceed(peer: Peer) -> Any:
    """Ask the machine of a held client; what it says."""
    return peer.client.proceed(peer.world.now)


def wait(peer: Peer) -> Any:
    """Let time go by until the machine wants to be asked; what it says."""
    peer.world.now = peer.client.held_until
    return proceed(peer)


# Who is held


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("version", [V311, V5])
def test_a_publisher_is_held_when_the_queue_is_more_than_half_full(version: Any, qos: int) -> None:
    """What has come so far is acknowledged, and no more."""
    world = small()
    slow = world.subscriber()
    publisher = world.connect("publisher", version)

    assert HOLD is burst(publisher, 10, qos)

    kind = PubAck if qos == 1 else PubRec
    assert [kind(number) for number in range(1, 8)] == publisher.take()
    assert (2, 5) == (slow.session.outgoing.inflight, slow.session.outgoing.waiting)
    assert publisher.client.busy


def test_bytes_fill_a_queue_too() -> None:
    """More than half of its bytes do."""
    world = small(queue_messages=1000, queue_bytes=100)
    world.subscriber()
    publisher = world.connect("publisher")

    outcomes = [publisher.send(publish(1, number, payload=bytes(20))) for number in range(1, 6)]

    assert [None, None, None, None, HOLD] == outcomes


def test_others_are_not_held() -> None:
    """Neither who publishes to others, nor who hasn't yet, nor QoS 0, nor the program."""
    world, slow, _ = held()
    world.subscriber(b"b", client_id="other")
    second = world.connect("second")

    assert None is burst(second, 1, topic=b"b")
    assert None is burst(second, 100, qos=0)
    assert [1] * 3 == [world.publish(qos=1) for _ in range(3)]
    assert slow.session.outgoing.waiting == 8
    assert None is burst(second, 100, topic=b"none")


def test_each_publisher_is_held_for_itself() -> None:
    """The message that shows it is taken; there is room for those of as many as wait behind it."""
    world, slow, _ = held()

    assert [HOLD] * 3 == [burst(world.connect(f"p{number}"), 2) for number in range(3)]
    assert (8, 0) == (slow.session.outgoing.waiting, slow.session.outgoing.dropped)


def test_who_is_away_holds_nobody() -> None:
    """The queue fills, and then messages are dropped."""
    world = small()
    slow = world.subscriber()
    session = slow.session
    slow.drop()

    assert None is burst(world.connect("publisher"), 10)
    assert (8, 2) == (session.outgoing.waiting, session.outgoing.dropped)


def test_without_a_stall_timeout_nobody_is_held() -> None:
    """It is what turns it off."""
    world = small(stall_timeout=0)
    slow = world.subscriber()

    assert None is burst(world.connect("publisher"), 20)
    assert (8, 10) == (slow.session.outgoing.waiting, slow.session.outgoing.dropped)


def test_a_message_that_a_hook_allows_holds_too() -> None:
    """The packets behind it wait, and then for verdicts of their own."""
    world = small()
    slow = world.subscriber()
    publisher = world.connect("publisher", asking=Asking(publish=True))
    outcome = burst(publisher, 8)
    for _ in range(7):
        assert isinstance(outcome, AskPublish)
        outcome = publisher.client.answer(outcome, ALLOW, world.now)

    assert outcome is HOLD
    acknowledge(slow)
    acknowledge(slow)
    assert isinstance(proceed(publisher), AskPublish)


# For how long


@pytest.mark.parametrize("qos", [1, 2])
def test_it_goes_on_when_a_quarter_is_left(qos: int) -> None:
    """It is told then, and once; nothing is lost, and the order is kept."""
    world = small()
    slow = world.subscriber()
    publisher = world.connect("publisher")
    burst(publisher, 10, qos)

    got = acknowledge(slow)
    while publisher.eases == 0:
        assert slow.session.outgoing.waiting > 2
        got += acknowledge(slow)
    assert slow.session.outgoing.waiting in {1, 2}
    assert None is proceed(publisher)
    while len(got) < 10:
        got += acknowledge(slow)

    assert [b"%d" % number for number in range(1, 11)] == got
    assert 1 == publisher.eases
    assert not publisher.client.busy


def test_it_is_held_for_as_long_as_something_is_taken() -> None:
    """However slowly; time is counted from the last look that found something."""
    world, slow, publisher = held()
    begun = world.now

    for _ in range(3):
        (first, *_) = only(slow.take(), Publish)
        answer(slow, PubAck(first.packet_id))
        assert HOLD is proceed(publisher)
        world.now += 0.9 * STALL
        assert HOLD is proceed(publisher)

    assert world.now - begun > 2 * STALL


def test_who_takes_nothing_is_stalled() -> None:
    """After two looks it holds nobody; its queue fills, and the rest is dropped."""
    world, slow, publisher = held()
    begun = world.now

    assert HOLD is wait(publisher)
    assert None is wait(publisher)

    assert begun + STALL <= world.now < begun + 2 * STALL
    assert (8, 0) == (slow.session.outgoing.waiting, slow.session.outgoing.dropped)
    assert None is burst(publisher, 10)
    assert 10 == slow.session.outgoing.dropped


def test_who_takes_something_again_is_not_stalled_any_more() -> None:
    """From the next message on."""
    _, slow, publisher = held()
    wait(publisher)
    wait(publisher)

    acknowledge(slow)
    assert None is burst(publisher, 1, topic=b"none")
    assert HOLD is burst(publisher, 2)


def test_who_has_been_stalled_for_long_holds_nobody_for_a_moment() -> None:
    """Time counts from when something began to wait."""
    world = small()
    world.subscriber()
    publisher = world.connect("publisher")
    burst(publisher, 6)
    world.now += 2 * STALL

    assert HOLD is burst(publisher, 2)  # there has been no look at it yet
    assert world.now + STALL / 2 > publisher.client.held_until
    assert None is wait(publisher)


def test_bytes_of_a_long_message_count() -> None:
    """While the line is congested, and not for ever: they may be of other messages."""
    world, slow, publisher = held()
    slow.line.congested = True
    begun = world.now
    for _ in count():
        slow.line.sent += 1
        if wait(publisher) is None:
            break

    assert LONG_MESSAGE * STALL <= world.now - begun <= (LONG_MESSAGE + 1) * STALL


def test_bytes_of_other_messages_do_not_count() -> None:
    """Without congestion it is acknowledgements that are missing."""
    _, slow, publisher = held()
    for expected in (HOLD, None):
        slow.line.sent += 1
        assert expected is wait(publisher)


@pytest.mark.parametrize("how", ["gone", "ended", "clean"])
def test_who_goes_holds_nobody(how: str) -> None:
    """Whether its session stays or not."""
    world, slow, publisher = held()
    if how == "gone":
        slow.drop()
    elif how == "ended":
        world.sessions.end(slow.session, world.now)
    else:
        world.connect("subscriber", clean_start=True)

    assert publisher.eases == 1
    assert None is proceed(publisher)


def test_who_waits_for_several_waits_for_all() -> None:
    """One that goes on is not enough."""
    world = small()
    slow, slower = world.subscriber(), world.subscriber(client_id="slower")
    publisher = world.connect("publisher")
    assert HOLD is burst(publisher, 8)

    while acknowledge(slow):
        pass
    assert publisher.eases == 1
    assert HOLD is proceed(publisher)
    slower.drop()
    assert None is proceed(publisher)


def test_a_publisher_that_goes_is_forgotten() -> None:
    """Nobody tells it anything, and what it sent and was not acknowledged is dropped."""
    _, slow, publisher = held()
    publisher.drop()
    while acknowledge(slow):
        pass

    assert publisher.eases == 0
    assert None is proceed(publisher)
    assert slow.session.outgoing.inflight == 0


@pytest.mark.parametrize("number", [7, 8])
def test_the_keep_alive_of_who_is_held_is_not_over(number: int) -> None:
    """It counts from when the machine goes on, also when no packet waits."""
    world = small()
    world.subscriber()
    publisher = world.connect("publisher", keep_alive=10)
    burst(publisher, number)

    assert publisher.client.deadline is None
    world.now += 100
    publisher.client.expire(world.now)
    assert HOLD is proceed(publisher)
    assert None is wait(publisher)
    assert world.now + 15 == publisher.client.deadline


# What is done meanwhile


def test_acknowledgements_and_pings_are_done_at_once() -> None:
    """Those that were read with the messages, and those that come later; the rest waits."""
    world = small()
    slow = world.subscriber(b"a")
    publisher = world.connect("publisher")
    publisher.ask(subscribe(b"own", 1))
    world.publish(b"own", b"1", qos=1)
    world.publish(b"own", b"2", qos=1)
    one, two = only(publisher.take(), Publish)
    burst(publisher, 6)
    publisher.take()

    assert HOLD is publisher.send(
        publish(1, 7), subscribe(b"b"), PingReq(), PubAck(one.packet_id), publish(1, 8)
    )
    assert [PubAck(7), PingResp()] == publisher.take()
    data = b"".join(
        encode(each, V5) for each in (PubAck(two.packet_id), subscribe(b"c"), PingReq())
    )
    publisher.client.hear(data[:5], world.now)
    publisher.client.hear(data[5:], world.now)
    assert [PingResp()] == publisher.take()
    assert 0 == publisher.session.outgoing.inflight
    slow.drop()
    proceed(publisher)

    assert [SubAck, PubAck, SubAck] == [type(each) for each in publisher.take()]


def test_what_is_not_allowed_ends_it_at_once() -> None:
    """It waits for nothing, and nothing waits for it."""
    for data in (b"\0\0", encode(PubRec(99), V5)[:2] + b"\0\0"):
        world, _, publisher = held()
        publisher.client.hear(data, world.now)

        assert publisher.closed in {ReasonCode.MALFORMED_PACKET, ReasonCode.PROTOCOL_ERROR}
        assert None is proceed(publisher)


@pytest.mark.parametrize("reason", [ReasonCode.SUCCESS, ReasonCode.DISCONNECT_WITH_WILL_MESSAGE])
@pytest.mark.parametrize("how", ["breaks", "is taken over", "is wrong"])
def test_a_disconnect_that_waits_when_the_connection_ends(how: str, reason: ReasonCode) -> None:
    """[MQTT-3.14.4-3] It has come, and with it there is no will, however it ends."""
    world = small()
    world.subscriber(b"a")
    publisher = world.connect("publisher", will=Will(b"w"))
    burst(publisher, 10)
    publisher.client.hear(encode(Disconnect(reason), V5), world.now)
    match how:
        case "breaks":
            publisher.drop()
        case "is taken over":
            world.connect("publisher")
        case _:
            publisher.client.hear(b"\0\0", world.now)

    assert (reason is not ReasonCode.SUCCESS) == bool(world.hub.wills)


def test_packets_that_wait_for_a_verdict_hold_up_no_acknowledgement() -> None:
    """Nor do those that wait for others' turn; the order of the others is kept."""
    world = World()
    peer = world.connect(asking=Asking(publish=True))
    peer.ask(subscribe(b"own", 1))
    world.publish(b"own", qos=1)
    (own,) = only(peer.take(), Publish)
    ask = peer.send(publish(1, 1), publish(1, 2))
    peer.client.hear(encode(PubAck(own.packet_id), V5) + encode(publish(1, 3), V5), world.now)

    assert 0 == peer.session.outgoing.inflight
    for _ in range(3):
        ask = peer.client.answer(ask, ALLOW, world.now)
    assert None is ask
    assert [PubAck(each, ReasonCode.NO_MATCHING_SUBSCRIBERS) for each in (1, 2, 3)] == peer.take()


def test_a_wrong_acknowledgement_in_the_same_read_ends_it() -> None:
    """That it is held makes nothing allowed."""
    world = small()
    slow = world.subscriber(b"a")
    publisher = world.connect("publisher")
    publisher.ask(subscribe(b"own", 2))
    world.publish(b"own", qos=2)
    burst(publisher, 6)

    assert None is publisher.send(publish(1, 7), PubAck(1), publish(1, 8))
    assert publisher.closed is ReasonCode.PROTOCOL_ERROR
    assert 7 == slow.session.outgoing.inflight + slow.session.outgoing.waiting


@pytest.mark.parametrize(
    ("size", "most"), [(1, MOST_PACKETS), (500_000, MOST_BYTES // 500_000 + 1)]
)
def test_what_waits_is_bounded(size: int, most: int) -> None:
    """When it is much, the host reads no more."""
    world, slow, publisher = held()
    data = encode(publish(1, 9, payload=bytes(size)), V5)
    heard = 0
    while publisher.client.hears:
        publisher.client.hear(data, world.now)
        heard += 1

    assert most - 3 <= heard <= most
    slow.drop()
    while publisher.client.busy:
        proceed(publisher)
    assert not publisher.client.hears


def test_who_is_not_held_hears_nothing() -> None:
    """The host is told what it does wrong."""
    peer = World().connect()
    assert not peer.client.hears
    with pytest.raises(HandlerError, match="while nothing waits"):
        peer.client.hear(b"\xc0\0", 0)


# Nobody waits for ever


@pytest.mark.parametrize("receive_maximum", [1, 2, 10])
@pytest.mark.parametrize("qos", [1, 2])
def test_a_client_that_publishes_to_itself(qos: int, receive_maximum: int) -> None:
    """It gets all of it, without any waiting for time."""
    world = small()
    peer = world.connect(properties={"receive_maximum": receive_maximum})
    peer.ask(subscribe(b"a", qos))
    outcome = burst(peer, 100, qos)
    got: list[bytes] = []
    while outcome is HOLD:
        before = len(got)
        while not peer.eases:
            got += acknowledge(peer)
        peer.eases = 0
        outcome = proceed(peer)
        assert len(got) > before
    while len(got) < 100:
        got += acknowledge(peer)

    assert [b"%d" % number for number in range(1, 101)] == got
    assert (1000.0, 0) == (world.now, peer.session.outgoing.dropped)


def test_two_clients_that_publish_to_one_another() -> None:
    """Both get all of it, without any waiting for time."""
    world = small()
    one, two = world.connect("one"), world.connect("two")
    one.ask(subscribe(b"one", 1))
    two.ask(subscribe(b"two", 1))
    assert HOLD is burst(one, 100, topic=b"two")
    assert HOLD is burst(two, 100, topic=b"one")
    got: dict[Peer, list[bytes]] = {one: [], two: []}
    while any(len(each) < 100 for each in got.values()):
        for peer in (one, two):
            got[peer] += acknowledge(peer)
            if peer.eases:
                peer.eases = 0
                proceed(peer)

    assert [b"%d" % number for number in range(1, 101)] == got[one] == got[two]
    assert world.now == 1000


_acts = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["publish", "take", "wait", "drop"])), max_size=60
)


@settings(max_examples=200, deadline=None)
@given(_acts, st.integers(1, 5))
def test_whatever_they_do_all_is_done_in_the_end(acts: list[tuple[int, str]], queue: int) -> None:
    """Three clients that publish to all: nobody is held when nobody takes anything for a while."""
    world = small(queue_messages=queue, maximum_inflight=1)
    peers = [_all_of_it(world, number) for number in range(3)]
    ids = count(1)
    for who, act in acts:
        peer = peers[who]
        match act:
            case "publish":
                answer(peer, publish(1, next(ids)))
            case "take":
                acknowledge(peer)
            case "wait":
                world.now += STALL / 3
            case _:
                peer.drop()
                peers[who] = _all_of_it(world, who)
        _go_on(peers, lambda each: each.eases > 0 or each.client.held_until <= world.now)
    for _ in range(20):
        world.now += 2 * STALL
        _go_on(peers, lambda _: True)

    assert [False] * 3 == [each.client.busy for each in peers]
    assert [None] * 3 == [each.closed for each in peers]


def _all_of_it(world: World, number: int) -> Peer:
    peer = world.keep(f"c{number}")
    peer.ask(subscribe(b"#", 1))
    return peer


def _go_on(peers: list[Peer], due: Callable[[Peer], bool]) -> None:
    """What their hosts do."""
    for peer in peers:
        while peer.client.busy and due(peer):
            peer.eases = 0
            if proceed(peer) is HOLD:
                break


def test_a_pace_is_that_of_what_comes() -> None:
    """What a held client sent in time is not too fast when it is done all together."""
    world = small(publish_rate=10, publish_burst=12, when_too_fast="disconnect")
    slow = world.subscriber(b"a")
    publisher = world.connect("publisher")
    assert HOLD is burst(publisher, 10)
    for number in range(11, 21):
        world.later(0.1)
        acknowledge(slow)  # so that it is not stalled
        answer(publisher, publish(1, number, b"a"))
    while publisher.client.busy:
        acknowledge(slow)
        proceed(publisher)

    assert len(only(publisher.take(), PubAck)) == 20
    assert world.sessions.hits == {}


def test_who_is_held_may_be_too_fast() -> None:
    """And is ended then, though nothing of it is done."""
    world = small(publish_rate=10, publish_burst=12, when_too_fast="disconnect")
    world.subscriber(b"a")
    publisher = world.connect("publisher")
    assert HOLD is burst(publisher, 10)
    for number in (11, 12, 13):
        answer(publisher, publish(1, number, b"a"))
    (told,) = only(publisher.take(), Disconnect)

    assert told.reason is ReasonCode.MESSAGE_RATE_TOO_HIGH
