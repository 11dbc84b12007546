"""What goes to one client: quota, identifiers, order, aliases, sizes, time; and sending again."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from speedo_trio.mqtt.state.capabilities import Capabilities
from speedo_trio.mqtt.state.flights import Step
from speedo_trio.mqtt.state.outgoing import MOST_IDS, Outgoing, Receiver
from speedo_trio.mqtt.state.publication import MQTTPublication
from speedo_trio.mqtt.state.publication_run import PublicationRun
from speedo_trio.mqtt.state.terms import MQTTTerms
from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.packets import Packet, Publish, PubRel
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reader import PacketReader
from speedo_trio.mqtt.wire.runs import PublishRun
from speedo_trio.mqtt.wire.versions import Version
from speedo_trio.pubsub.outbox import OverflowPolicy
from speedo_trio.pubsub.publication import Publication
from tests.mqtt.state.world import V3, V5, Line, only, payloads, releases

PUBACK, PUBREC, PUBCOMP = PacketType.PUBACK, PacketType.PUBREC, PacketType.PUBCOMP
TERMS = MQTTTerms(2)


class Side:
    """An outgoing side, and its client's."""

    def __init__(self, **capabilities: Any) -> None:
        self.outgoing = Outgoing("client", Capabilities(**capabilities))
        self.line = Line()
        self.version = V5
        self.overflows = 0

    def attach(self, version: Version = V5, now: float = 0, **receiver: Any) -> list[Packet]:
        """A connection comes; what is sent then."""
        self.line, self.version = Line(), version
        self.outgoing.attach(self.line, Receiver(version=version, **receiver), self._overflowed)
        self.outgoing.resume(now)
        return self.take()

    def _overflowed(self) -> None:
        self.overflows += 1

    def put(self, payload: bytes = b"x", qos: int = 1, topic: bytes = b"a", **more: Any) -> bool:
        terms = more.pop("terms", TERMS)
        return self.outgoing.deliver(MQTTPublication(topic, payload, qos, **more), terms)

    def take(self) -> list[Packet]:
        frames, self.line.frames = self.line.frames, []
        return [*PacketReader(self.version).feed(b"".join(frames))]

    def sent(self) -> list[Publish]:
        return only(self.take(), Publish)

    def acknowledge(self, kind: PacketType, packet_id: int, *, refused: bool = False) -> Step:
        step = self.outgoing.acknowledge(kind, packet_id, refused=refused)
        self.outgoing.pump(0)
        return step


def connected(**more: Any) -> Side:
    """One with a connection."""
    side = Side(**more.pop("capabilities", {}))
    side.attach(**more)
    return side


# One message


@pytest.mark.parametrize("version", Version)
def test_qos_0(version: Version) -> None:
    """[MQTT-4.3.1-1] [MQTT-3.3.1-2] [MQTT-2.2.1-2] Once, without DUP and without an identifier."""
    side = connected(version=version)

    assert side.put(qos=0)

    assert [Publish(b"a", b"x")] == [
        Publish(each.topic, each.payload, each.qos, each.retain, each.dup, each.packet_id)
        for each in side.sent()
    ]
    assert [] == side.attach()


@pytest.mark.parametrize(("qos", "version"), [(qos, v) for qos in (1, 2) for v in Version])
def test_a_first_sending(qos: int, version: Version) -> None:
    """[MQTT-4.3.2-1] [MQTT-4.3.2-2] [MQTT-4.3.3-1] [MQTT-4.3.3-2] [MQTT-3.3.1-3] [MQTT-3.3.2-3].

    With an identifier that is not in use, and DUP 0.
    """
    side = connected(version=version)

    side.put(qos=qos)
    side.put(qos=qos)

    assert [Publish(b"a", b"x", qos, packet_id=1), Publish(b"a", b"x", qos, packet_id=2)] == (
        side.take()
    )


@pytest.mark.parametrize("granted", [0, 1, 2])
def test_the_lower_qos(granted: int) -> None:
    """[MQTT-3.8.4-8] That of the message, or that which was granted."""
    side = connected()

    for qos in (0, 1, 2):
        side.put(qos=qos, terms=MQTTTerms(granted))

    assert [min(qos, granted) for qos in (0, 1, 2)] == [each.qos for each in side.sent()]


def test_properties_go_on_as_they_came() -> None:
    """[MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18].

    [MQTT-3.3.2-20]

    User properties in order, repeats included; what concerns only the publisher doesn't.
    """
    own = Properties(
        payload_format_indicator=1,
        content_type="t",
        response_topic="r",
        correlation_data=b"c",
        user=(("b", "1"), ("b", "1"), ("a", "2")),
    )
    given = Properties(
        payload_format_indicator=1,
        content_type="t",
        response_topic="r",
        correlation_data=b"c",
        user=(("b", "1"), ("b", "1"), ("a", "2")),
        topic_alias=3,
    )
    five, three = connected(), connected(version=Version.MQTT_3_1_1)
    for side in (five, three):
        for qos in (0, 1, 2):
            side.put(qos=qos, properties=given)

    assert [own] * 3 == [each.properties for each in five.sent()]
    assert [None] * 3 == [each.properties for each in three.sent()]


def test_long_properties() -> None:
    """Whose length takes two bytes."""
    side = connected()
    given = Properties(content_type="t" * 200)

    side.put(qos=0, properties=given)
    side.put(properties=given, terms=MQTTTerms(1, identifiers=(300,)))

    first, second = side.sent()
    assert given == first.properties
    assert Properties(content_type="t" * 200, subscription_identifiers=(300,)) == second.properties


@pytest.mark.parametrize("qos", [0, 1])
def test_identifiers_and_retain(qos: int) -> None:
    """[MQTT-3.3.4-3] [MQTT-3.3.1-13] To 5.0; before it, RETAIN alone."""
    terms = MQTTTerms(1, identifiers=(1, 300), retain_as_published=True)
    seen = []
    for version in Version:
        side = connected(version=version)
        side.put(qos=qos, retain=True, terms=terms)
        side.put(qos=qos, terms=terms)
        seen.append([(each.retain, each.properties) for each in side.sent()])

    five = Properties(subscription_identifiers=(1, 300))
    assert [[(True, None), (False, None)]] * 2 + [[(True, five), (False, five)]] == seen


def test_the_encoded_form_is_shared() -> None:
    """By all who get the same: one object for QoS 0."""
    sides = [connected() for _ in range(3)]
    publication = MQTTPublication(b"a", b"x", 0, properties=Properties(content_type="t"))
    for side in sides:
        side.outgoing.deliver(publication, TERMS)

    frames = [side.line.frames[0] for side in sides]
    assert frames[0] is frames[1] is frames[2]


# Acknowledgements


def test_identifiers_are_free_when_a_message_has_come_to_its_end() -> None:
    """[MQTT-4.3.2-3] [MQTT-4.3.3-5] [MQTT-2.2.1-4] The next one in the circle is given."""
    side = connected(capabilities={"maximum_inflight": 3})
    side.outgoing._last_id = MOST_IDS - 1
    for _ in range(3):
        side.put()
    side.put(qos=2)
    assert [65_535, 1, 2] == [each.packet_id for each in side.sent()]

    side.acknowledge(PUBACK, 1)
    assert [3] == [each.packet_id for each in side.sent()]
    side.outgoing._last_id = 65_534
    side.acknowledge(PUBREC, 3)
    side.put()
    side.acknowledge(PUBACK, 65_535)
    assert [65_535] == [each.packet_id for each in side.sent()]
    side.outgoing._last_id = 1
    side.put()
    side.acknowledge(PUBACK, 65_535)
    assert [4] == [each.packet_id for each in side.sent()]


@pytest.mark.parametrize(("kind", "qos"), [(PUBACK, 1), (PUBREC, 2)])
def test_a_refusal_ends_it(kind: PacketType, qos: int) -> None:
    """[MQTT-4.4.0-2] It is not sent again, and its identifier is free."""
    side = connected()
    side.put(qos=qos)

    assert Step.DONE is side.acknowledge(kind, 1, refused=True)

    assert (0, []) == (side.outgoing.inflight, only(side.attach(), Publish))


def test_a_released_message_is_forgotten() -> None:
    """[MQTT-4.3.3-4] [MQTT-4.3.3-6] After PUBREC only PUBREL is sent, again and again."""
    side = connected()
    side.put(qos=2)
    side.take()

    assert [Step.RELEASE, Step.AGAIN] == [side.acknowledge(PUBREC, 1) for _ in range(2)]

    assert [[PubRel(1)], [PubRel(1)]] == [side.attach(), side.attach()]
    assert Step.DONE is side.acknowledge(PUBCOMP, 1)
    assert [] == side.attach()


# Quota


def test_the_quota() -> None:
    """[MQTT-3.3.4-9] [MQTT-4.9.0-1] [MQTT-4.9.0-2] The lower of the client's and our own."""
    for ours, theirs in ((2, 5), (5, 2)):
        side = connected(capabilities={"maximum_inflight": ours}, receive_maximum=theirs)
        for number in range(4):
            side.put(b"%d" % number, qos=1 + number % 2)
        assert [b"0", b"1"] == payloads(side.take())
        assert (0, 2) == (side.outgoing.quota, side.outgoing.waiting)
        side.acknowledge(PUBREC, 2)
        assert [] == payloads(side.take())
        side.acknowledge(PUBACK, 1)
        assert [b"2"] == payloads(side.take())
        side.acknowledge(PUBCOMP, 2)
        assert [b"3"] == payloads(side.take())
        side.acknowledge(PUBACK, 3)
        side.acknowledge(PUBREC, 4, refused=True)
        assert 2 == side.outgoing.quota


def test_qos_0_does_not_wait_for_the_quota() -> None:
    """[MQTT-3.3.4-10] [MQTT-4.9.0-3] It may pass what waits."""
    side = connected(receive_maximum=1)
    side.put(b"1")
    side.put(b"2")

    assert side.put(b"3", qos=0)

    assert [b"1", b"3"] == payloads(side.take())


def test_what_was_not_taken_is_not_given_back() -> None:
    """[MQTT-4.9.0-2] [MQTT-3.3.4-9] A PUBCOMP for a PUBREL that was sent again."""
    side = connected(receive_maximum=2)
    for _ in range(2):
        side.put(qos=2)
    for packet_id in (1, 2):
        side.acknowledge(PUBREC, packet_id)
    side.attach(receive_maximum=2)
    side.put()
    side.put()
    side.put()
    assert 2 == len(side.sent())

    side.acknowledge(PUBCOMP, 1)
    side.acknowledge(PUBCOMP, 2)

    assert ([], 0) == (side.sent(), side.outgoing.quota)
    side.acknowledge(PUBACK, 3)
    assert 1 == len(side.sent())


def test_what_is_in_flight_is_bounded_over_many_connections() -> None:
    """A client that never ends its QoS 2 exchanges gets no more of them."""
    side = Side(maximum_inflight=3)
    for _ in range(5):
        side.attach()
        for _ in range(3):
            side.put(qos=2)
        for message in side.sent():
            side.acknowledge(PUBREC, message.packet_id)

    assert 3 == side.outgoing.inflight


# Waiting


def test_nothing_passes_what_waits() -> None:
    """[MQTT-4.6.0-5] One order for QoS 1 and 2."""
    side = connected(receive_maximum=1)
    for number in range(6):
        side.put(b"%d" % number, qos=1 + number % 2)
    seen = []
    while messages := side.sent():
        for message in messages:
            seen.append(message.payload)
            if message.qos == 2:
                side.acknowledge(PUBREC, message.packet_id)
            side.acknowledge(PUBACK if message.qos == 1 else PUBCOMP, message.packet_id)

    assert [b"%d" % number for number in range(6)] == seen


def test_while_the_line_is_congested_messages_wait() -> None:
    """Those with QoS 1 and 2; QoS 0 is the line's business, which may drop it."""
    side = connected()
    side.line.congested = True

    assert (True, False) == (side.put(), side.put(qos=0))
    assert [] == side.take()
    for congested in (True, False):
        side.line.congested = congested
        assert (not congested) == side.outgoing.unfinished
    side.outgoing.pump(0)
    assert [b"x"] == payloads(side.take())


def test_while_the_client_is_away() -> None:
    """[MQTT-4.5.0-1] QoS 1 and 2 wait, QoS 0 doesn't; plain publications have QoS 0."""
    side = Side()

    assert [False, True, True] == [side.put(qos=qos) for qos in (0, 1, 2)]
    assert not side.outgoing.deliver(Publication(b"a", b"x"), TERMS)
    assert (2, 4) == (side.outgoing.waiting, side.outgoing.waiting_bytes)
    assert [1, 2] == [each.qos for each in only(side.attach(), Publish)]
    assert (0, 0) == (side.outgoing.waiting, side.outgoing.waiting_bytes)


def test_properties_fill_the_queue_too() -> None:
    """They may be nearly all of a message."""
    side = Side(queue_bytes=5000)
    properties = Properties(user=(("a", "x" * 1000),))

    assert [True] * 4 + [False] == [side.put(properties=properties) for _ in range(5)]
    assert 4000 < side.outgoing.waiting_bytes <= 5000
    side.attach()
    assert 0 == side.outgoing.waiting_bytes


def test_what_waits_is_not_passed_when_there_is_room_again() -> None:
    """[MQTT-4.6.0-5] Though nobody has called for it yet: what waits, or is to be sent again."""
    for again in (False, True):
        side = connected()
        side.line.congested = not again
        side.put(b"1")
        if again:
            line = side.line = Line()
            line.congested = True
            side.outgoing.attach(line, Receiver(version=V5), side._overflowed)
        side.line.congested = False

        side.put(b"2")
        side.outgoing.pump(0)

        assert [b"1", b"2"] == payloads(side.take())


@pytest.mark.parametrize("overflow", get_args(OverflowPolicy))
def test_the_backlog_is_full(overflow: OverflowPolicy) -> None:
    """The newest or the oldest goes, and is counted; or the connection ends, if there is one."""
    side = Side(queue_messages=2, overflow=overflow)
    assert [True, True, (overflow == "drop-oldest")] == [
        side.put(b"%d" % number) for number in range(3)
    ]
    assert (1, 0) == (side.outgoing.dropped, side.overflows)
    kept = [b"1", b"2"] if (overflow == "drop-oldest") else [b"0", b"1"]

    assert kept == payloads(side.attach())
    side.line.congested = True
    for number in range(3):
        side.put(b"%d" % number)
    assert (overflow == "disconnect") or side.overflows == 0
    assert (overflow == "disconnect") == side.overflows


# Sizes


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("marked", [False, True])
def test_a_packet_that_is_too_large(qos: int, marked: bool) -> None:  # noqa: FBT001  # a parameter
    """[MQTT-3.1.2-24] [MQTT-3.1.2-25] Not sent, counted, and as if it were done."""
    terms = MQTTTerms(2, retain_as_published=marked)
    side = connected()
    side.put(bytes(50), qos=qos, terms=terms)
    size = len(side.line.frames[0])
    small = connected(maximum_packet_size=size)

    assert [True, False] == [small.put(bytes(50 + more), qos=qos, terms=terms) for more in (0, 1)]

    assert [50] == [len(each) for each in payloads(small.take())]
    assert (1, int(qos > 0)) == (small.outgoing.too_large, small.outgoing.inflight)
    assert MOST_IDS >= small.outgoing.quota == 100 - small.outgoing.inflight


def test_what_waited_or_was_in_flight_is_too_large_now() -> None:
    """[MQTT-3.1.2-25] The next connection may take less: the rest goes on."""
    side = connected(receive_maximum=2)
    for payload in (bytes(100), b"1", bytes(100), b"2"):
        side.put(payload)

    assert [b"1", b"2"] == payloads(side.attach(maximum_packet_size=50))
    assert (2, 2) == (side.outgoing.too_large, side.outgoing.inflight)


# Time


def expiring(seconds: int, received_at: float = 0, qos: int = 1) -> MQTTPublication:
    """A message that has so long."""
    properties = Properties(message_expiry_interval=seconds)
    return MQTTPublication(b"a", b"x", qos, False, properties, None, received_at)


@pytest.mark.parametrize(("now", "left"), [(0, 10), (0.9, 10), (1, 9), (9.99, 1), (10, None)])
def test_messages_expire_while_they_wait(now: float, left: int | None) -> None:
    """[MQTT-3.3.2-5] [MQTT-3.3.2-6] And whole seconds that they waited are taken off."""
    side = Side()
    side.outgoing.deliver(expiring(10), TERMS)

    sent = only(side.attach(now=now), Publish)

    assert ([] if left is None else [left]) == [
        each.properties.message_expiry_interval for each in sent
    ]
    assert (left is None) == side.outgoing.expired


@pytest.mark.parametrize("qos", [1, 2])
def test_what_was_sent_once_expires_no_more(qos: int) -> None:
    """[MQTT-4.3.3-7] [MQTT-4.3.3-13] It is sent again, with nothing left."""
    side = connected()
    side.outgoing.deliver(expiring(10, qos=qos), TERMS)
    side.take()

    (again,) = only(side.attach(now=100), Publish)

    assert again.properties == Properties(message_expiry_interval=0)


def test_expiry_before_5_0() -> None:
    """[MQTT-3.3.2-5] It counts, though the client isn't told."""
    side = Side()
    side.outgoing.deliver(expiring(10), TERMS)
    side.outgoing.deliver(expiring(20), TERMS)

    assert 1 == len(side.attach(Version.MQTT_3_1_1, now=15))


# Aliases


def test_topic_aliases() -> None:
    """[MQTT-3.1.2-26] [MQTT-3.3.2-11] Name and alias, then the alias; no more than are allowed.

    [MQTT-3.3.2-8] None is 0.
    """
    side = connected(topic_alias_maximum=2)
    for _ in range(2):
        for number, topic in enumerate((b"a", b"b", b"c")):
            side.put(qos=number % 2, topic=topic)

    seen = [(each.topic, each.properties and each.properties.topic_alias) for each in side.sent()]
    assert [(b"a", 1), (b"b", 2), (b"c", None), (b"", 1), (b"", 2), (b"c", None)] == seen


def test_no_topic_aliases_for_who_takes_none() -> None:
    """[MQTT-3.1.2-27]."""
    side = connected(topic_alias_maximum=0)

    side.put()
    side.put(qos=0)

    assert [None, None] == [each.properties for each in side.sent()]


def test_aliases_end_with_the_connection() -> None:
    """[MQTT-3.3.2-7] What is sent again has the whole name."""
    side = connected(topic_alias_maximum=2)
    side.put()
    side.put()

    assert [b"a", b""] == [each.topic for each in only(side.attach(topic_alias_maximum=1), Publish)]
    assert [b"a", b"a"] == [each.topic for each in only(side.attach(), Publish)]


def test_an_alias_is_not_set_by_what_may_be_dropped() -> None:
    """On a congested line, or by what is too large."""
    side = connected(topic_alias_maximum=2, maximum_packet_size=50)
    side.put(bytes(100), qos=0)
    side.put(bytes(100), qos=1)
    side.line.congested = True
    side.put(qos=0)
    side.line.congested = False

    side.put(qos=0)
    side.put(qos=0)

    assert [b"a", b""] == [each.topic for each in side.sent()]


def test_an_alias_is_not_set_on_a_line_that_drops_later() -> None:
    """A mailbox that takes a message may drop it for newer ones."""

    class Dropping(Line):
        def put(self, frame: bytes) -> bool:
            if not self.congested:
                self.frames.append(frame)
            return True

    side = connected()
    side.line = Dropping()
    receiver = Receiver(version=V5, topic_alias_maximum=2)
    side.outgoing.attach(side.line, receiver, side._overflowed)
    side.line.congested = True
    side.put(qos=0)
    side.line.congested = False

    side.put(qos=0)

    assert [b"a"] == [each.topic for each in side.sent()]


# Again


def test_what_was_in_flight_is_sent_again_in_order_before_anything_new() -> None:
    """[MQTT-4.4.0-1] [MQTT-3.3.1-1] [MQTT-4.6.0-1] [MQTT-4.6.0-4] [MQTT-4.3.3-3]."""
    side = connected()
    for number in range(5):
        side.put(b"%d" % number, qos=1 + number % 2)
    side.acknowledge(PUBREC, 4)
    side.acknowledge(PUBREC, 2)
    side.take()
    side.outgoing.detach()
    side.put(b"new")

    packets = side.attach()

    assert [4, 2] == releases(packets)
    assert [(b"0", 1, True), (b"2", 3, True), (b"4", 5, True), (b"new", 6, False)] == [
        (each.payload, each.packet_id, each.dup) for each in only(packets, Publish)
    ]
    assert [] == side.take()


@pytest.mark.parametrize("version", [*V3, V5])
def test_it_is_sent_again_only_then(version: Version) -> None:
    """[MQTT-4.4.0-1] Not because time goes by, or others are acknowledged."""
    side = connected(version=version)
    side.put()
    side.put()
    side.take()

    side.acknowledge(PUBACK, 2)
    side.outgoing.pump(1e6)

    assert [] == side.take()


def test_what_is_sent_again_takes_of_the_quota() -> None:
    """[MQTT-4.9.0-2] The rest follows as there is some, with DUP, before anything new."""
    side = connected()
    for number in range(4):
        side.put(b"%d" % number)
    side.outgoing.detach()
    side.put(b"new")
    seen = [only(side.attach(receive_maximum=2), Publish)]
    for packet_id in range(1, 5):
        side.acknowledge(PUBACK, packet_id)
        seen.append(side.sent())

    assert [[b"0", b"1"], [b"2"], [b"3"], [b"new"], []] == [payloads([*each]) for each in seen]
    assert [True] * 4 + [False] == [each.dup for sent in seen for each in sent]


def test_what_is_acknowledged_before_it_is_sent_again() -> None:
    """It is done, and gives nothing back."""
    side = connected()
    for number in range(3):
        side.put(b"%d" % number, qos=2)
    side.attach(receive_maximum=1)

    side.acknowledge(PUBREC, 2)
    side.acknowledge(PUBCOMP, 2)
    assert [] == side.take()
    side.acknowledge(PUBREC, 1, refused=True)
    assert [b"2"] == payloads(side.take())
    assert 0 == side.outgoing.quota


def test_sending_again_stops_where_the_line_is_congested() -> None:
    """And goes on when it isn't."""
    side = connected()
    side.put()
    line = Line()
    line.congested = True
    side.line = line
    side.outgoing.attach(line, Receiver(version=V5), side._overflowed)
    side.outgoing.resume(0)
    assert [] == line.frames

    line.congested = False
    assert side.outgoing.unfinished
    side.outgoing.pump(0)
    assert [b"x"] == payloads(side.take())


def test_the_end_of_a_session() -> None:
    """[MQTT-4.8.2-5] Nothing is left; what others of its groups could be given is told before."""
    side = connected(receive_maximum=3)
    shared = MQTTTerms(2, group=b"$share/g/a")
    for number, qos in enumerate((1, 2, 2, 1, 2)):
        side.put(b"%d" % number, qos, terms=shared)
        side.put(b"own", qos)

    orphans = [(group, each.payload) for group, each in side.outgoing.orphans]
    side.outgoing.clear()

    assert [(b"$share/g/a", b"%d" % number) for number in (0, 2, 3, 4)] == orphans
    assert (0, 0, False) == (
        side.outgoing.inflight,
        side.outgoing.waiting,
        side.outgoing.unfinished,
    )
    assert not side.outgoing.pump(0)


# Runs


def run_of(number: int, qos: int = 1) -> PublicationRun:
    """Messages with payloads 1, 2 and so on."""
    packets = [
        Publish(b"a", b"%d" % each, qos, packet_id=each if qos else 0)
        for each in range(1, number + 1)
    ]
    (run,) = PacketReader(V5).feed_runs(b"".join(encode(packet, V5) for packet in packets))
    assert isinstance(run, PublishRun)
    return PublicationRun(run, "publisher", 0)


def test_a_run_goes_out_as_single_messages_do() -> None:
    """[MQTT-4.3.2-1] With identifiers of their own; what is in flight is sent again."""
    side = Side()
    side.attach()
    run = run_of(3)
    assert side.outgoing.takes_run(run, TERMS)
    side.outgoing.deliver_run(run, TERMS)

    expected = [Publish(b"a", b"%d" % each, 1, packet_id=each) for each in (1, 2, 3)]
    assert expected == side.sent()
    assert 3 == side.outgoing.inflight
    again = side.attach()
    assert [(packet.packet_id, packet.dup) for packet in only(again, Publish)] == [
        (1, True),
        (2, True),
        (3, True),
    ]


def test_a_run_uses_no_identifier_twice() -> None:
    """[MQTT-2.2.1-4] At the end of the circle, and where one is in flight."""
    side = Side()
    side.attach()
    side.put()
    side.outgoing._last_id = MOST_IDS - 1  # 65,534 messages before
    side.outgoing.deliver_run(run_of(3), TERMS)

    assert [1, MOST_IDS, 2, 3] == [packet.packet_id for packet in side.sent()]
    side.put()
    assert [4] == [packet.packet_id for packet in side.sent()]


def test_a_run_takes_its_share_of_the_quota() -> None:
    """[MQTT-4.9.0-1] One that is over it is not taken."""
    side = Side()
    side.attach(receive_maximum=4)
    side.outgoing.deliver_run(run_of(3), TERMS)

    assert 1 == side.outgoing.quota
    assert not side.outgoing.takes_run(run_of(2), TERMS)
    assert side.outgoing.takes_run(run_of(2, qos=0), TERMS)
    assert 2 == side.outgoing.acknowledge_run(PUBACK, [1, 2])
    assert 3 == side.outgoing.quota
    assert side.outgoing.takes_run(run_of(2), TERMS)


def test_a_run_of_acknowledgements_stops_at_the_first_that_is_none() -> None:
    """PUBRECs release, PUBCOMPs end, in their order."""
    side = Side()
    side.attach()
    side.outgoing.deliver_run(run_of(3, qos=2), TERMS)

    assert 2 == side.outgoing.acknowledge_run(PUBREC, [2, 1, 2, 3])
    assert 0 == side.outgoing.acknowledge_run(PUBCOMP, [3])
    assert 2 == side.outgoing.acknowledge_run(PUBCOMP, [1, 2, 3])
    assert 1 == side.outgoing.inflight


def test_a_run_does_not_pass_what_waits() -> None:
    """[MQTT-4.6.0-5] Neither what is to be sent again nor what has waited, though there is room."""
    side = Side()
    side.attach()
    side.put()
    side.line = Line()
    side.line.congested = True
    side.outgoing.attach(side.line, Receiver(version=V5), side._overflowed)  # as above
    side.line.congested = False
    assert not side.outgoing.takes_run(run_of(2), TERMS)
    side.outgoing.pump(0)
    assert side.outgoing.takes_run(run_of(2), TERMS)

    side.line.congested = True
    side.put()
    side.line.congested = False
    assert not side.outgoing.takes_run(run_of(2), TERMS)
    assert side.outgoing.takes_run(run_of(2, qos=0), TERMS)


def test_a_run_of_acknowledgements_gives_back_only_what_was_taken() -> None:
    """[MQTT-3.3.4-10] A PUBREL that was sent again took nothing of the quota of this connection."""
    side = Side()
    side.attach(receive_maximum=5)
    side.outgoing.deliver_run(run_of(2, qos=2), TERMS)
    assert 2 == side.outgoing.acknowledge_run(PUBREC, [1, 2])
    side.attach(receive_maximum=5)

    assert 0 == side.outgoing.acknowledge_run(PUBCOMP, [1, 2])
    for packet_id in (1, 2):
        side.acknowledge(PUBCOMP, packet_id)
    assert (5, 0) == (side.outgoing.quota, side.outgoing.inflight)


@pytest.mark.parametrize(
    ("away", "granted", "qos", "number", "expected"),
    [
        (True, 1, 1, 3, True),
        (True, 1, 1, 4, False),  # of three that may wait
        (True, 0, 1, 3, False),  # it gets none of them, and the publisher is told
        (True, 0, 0, 4, True),  # nobody is told
        (False, 0, 1, 3, False),  # they may be dropped, and the publisher is told
        (False, 0, 0, 3, True),
        (False, 1, 1, 3, False),
    ],
)
def test_a_run_that_can_not_leave_now(
    *, away: bool, granted: int, qos: int, number: int, expected: bool
) -> None:
    """To who is away, or reads slowly."""
    side = Side(queue_messages=3)
    side.attach()
    side.line.congested = True
    if away:
        side.outgoing.detach()

    assert expected == side.outgoing.takes_run(run_of(number, qos), MQTTTerms(granted))
