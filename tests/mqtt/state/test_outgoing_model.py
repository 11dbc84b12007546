"""The outgoing side against a naive one: the same is sent, whatever comes in whatever order."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from speedo_trio.mqtt.state.capabilities import Capabilities
from speedo_trio.mqtt.state.flights import Step
from speedo_trio.mqtt.state.outgoing import Outgoing, Receiver
from speedo_trio.mqtt.state.publication import MQTTPublication
from speedo_trio.mqtt.state.terms import MQTTTerms
from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.packets import Publish, PubRel
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reader import PacketReader
from speedo_trio.mqtt.wire.versions import Version
from speedo_trio.pubsub.outbox import Overflow
from tests.mqtt.state.world import Line

WINDOW, QUEUE, LIMIT = 4, 5, 40
KINDS = (PacketType.PUBACK, PacketType.PUBREC, PacketType.PUBCOMP)


class Naive:
    """The same in plain words: a list of all that is not at its end, looked through each time."""

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []  # in the order of publication
        self.released: list[int] = []
        self.quota = 0  # of the connection at its beginning; 0: there is none
        self.charged: set[int] = set()
        self.congested = False
        self.limit = 10**6
        self.last = 0
        self.now = 0.0
        self.sent: list[tuple[Any, ...]] = []

    def attach(self, quota: int, limit: int) -> None:
        self.quota, self.limit, self.charged, self.congested = quota, limit, set(), False
        for message in self.all:
            message["again"] = message["id"] is not None
        self.sent += [("PUBREL", packet_id) for packet_id in self.released]
        self.work()

    def publish(self, size: int, qos: int, expires: float | None) -> None:
        if sum(message["id"] is None for message in self.all) < QUEUE or self.may_send():
            self.all.append(
                {"id": None, "size": size, "qos": qos, "expires": expires, "again": False}
            )
        self.work()

    def may_send(self, *, again: bool = False) -> bool:
        inflight = [each for each in self.all if each["id"] is not None]
        room = again or len(inflight) + len(self.released) < WINDOW
        return len(self.charged) < self.quota and not self.congested and room

    def work(self) -> None:
        for message in [each for each in self.all if each["again"]]:
            if not self.may_send(again=True):
                return
            message["again"] = False
            if message["size"] > self.limit:
                self.all.remove(message)
            else:
                self.charged.add(message["id"])
                self.sent.append((message["size"], message["qos"], message["id"], True))
        for message in [each for each in self.all if each["id"] is None]:
            if not self.may_send():
                return
            if message["size"] > self.limit or self.now >= (message["expires"] or 1e9):
                self.all.remove(message)
                continue
            used = {each["id"] for each in self.all} | {*self.released}
            packet_id = next(each for each in range(self.last + 1, 10**6) if each not in used)
            message["id"] = self.last = packet_id
            # The naive one sorts by the order of sending: this is the last that was sent.
            self.all.remove(message)
            behind = sum(each["id"] is not None for each in self.all)
            self.all.insert(behind, message)
            self.charged.add(packet_id)
            self.sent.append((message["size"], message["qos"], packet_id, False))

    def acknowledge(self, kind: PacketType, packet_id: int, *, refused: bool) -> Step:
        step = self.step(kind, packet_id, refused=refused)
        if step is Step.DONE:
            self.all = [each for each in self.all if each["id"] != packet_id]
            self.released = [each for each in self.released if each != packet_id]
            self.charged.discard(packet_id)
        if step is Step.RELEASE:
            self.all = [each for each in self.all if each["id"] != packet_id]
            self.released.append(packet_id)
        self.work()
        return step

    def step(  # noqa: PLR0911  # each rule of the table has its line
        self, kind: PacketType, packet_id: int, *, refused: bool
    ) -> Step:
        found = [each for each in self.all if each["id"] == packet_id]
        if found:
            if kind is PacketType.PUBACK and found[0]["qos"] == 1:
                return Step.DONE
            if kind is PacketType.PUBREC and found[0]["qos"] == 2:
                return Step.DONE if refused else Step.RELEASE
            return Step.WRONG
        if packet_id in self.released:
            if kind is PacketType.PUBREC:
                return Step.IGNORE if refused else Step.AGAIN
            return Step.DONE if kind is PacketType.PUBCOMP else Step.WRONG
        if kind is PacketType.PUBREC and not refused:
            return Step.NOT_FOUND
        return Step.IGNORE


class Comparison(RuleBasedStateMachine):
    """Both get the same."""

    def __init__(self) -> None:
        super().__init__()
        own = Capabilities(
            maximum_inflight=WINDOW, queue_messages=QUEUE, overflow=Overflow.DROP_NEWEST
        )
        self.outgoing = Outgoing("client", own)
        self.naive = Naive()
        self.line = Line()
        self.version = Version.MQTT_3_1_1
        self.overhead = len(b"\x32\x00\x00\x01a\x00\x00")

    @rule(
        quota=st.integers(1, 6),
        limit=st.sampled_from((LIMIT, 1000)),
    )
    def attach(self, quota: int, limit: int) -> None:
        """A connection comes, in the place of the one there was."""
        self.line = Line()
        receiver = Receiver(version=self.version, receive_maximum=quota, maximum_packet_size=limit)
        self.outgoing.attach(self.line, receiver, lambda: None)
        self.outgoing.resume(self.naive.now)
        self.naive.attach(min(quota, WINDOW), limit)

    @rule()
    def detach(self) -> None:
        """The connection goes."""
        self.outgoing.detach()
        self.line = Line()
        self.naive.quota = 0
        self.naive.charged = set()
        for message in self.naive.all:
            message["again"] = False

    @rule(
        qos=st.sampled_from((1, 2)),
        size=st.sampled_from((10, LIMIT, LIMIT + 1)),
        expiry=st.sampled_from((None, 1, 5)),
    )
    def publish(self, qos: int, size: int, expiry: int | None) -> None:
        """A message comes."""
        properties = None if expiry is None else Properties(message_expiry_interval=expiry)
        publication = MQTTPublication(
            b"a", bytes(size - self.overhead), qos, False, properties, None, self.naive.now
        )
        self.outgoing.deliver(publication, MQTTTerms(2))
        self.naive.publish(size, qos, None if expiry is None else self.naive.now + expiry)

    @rule(
        kind=st.sampled_from(KINDS),
        packet_id=st.integers(1, 30),
        recent=st.booleans(),
        refused=st.booleans(),
    )
    def acknowledge(
        self,
        kind: PacketType,
        packet_id: int,
        recent: bool,  # noqa: FBT001  # Hypothesis gives it by name
        refused: bool,  # noqa: FBT001  # the same
    ) -> None:
        """An acknowledgement comes, right or wrong."""
        known = [each["id"] for each in self.naive.all if each["id"]] + self.naive.released
        if recent and known:
            packet_id = known[packet_id % len(known)]
        step = self.outgoing.acknowledge(kind, packet_id, refused=refused)
        self.outgoing.pump(self.naive.now)
        assert step is self.naive.acknowledge(kind, packet_id, refused=refused)

    @rule(congested=st.booleans())
    def room(self, congested: bool) -> None:  # noqa: FBT001  # by name
        """The line is congested, or has room again."""
        self.line.congested = self.naive.congested = congested
        if not congested:
            self.outgoing.pump(self.naive.now)
            self.naive.work()

    @rule(seconds=st.sampled_from((0.5, 1, 4)))
    def later(self, seconds: float) -> None:
        """Time goes by."""
        self.naive.now += seconds

    @invariant()
    def the_same_was_sent(self) -> None:
        """Packets, identifiers, order; and the same waits."""
        frames, self.line.frames = self.line.frames, []
        sent: list[tuple[Any, ...]] = []
        for packet in PacketReader(self.version).feed(b"".join(frames)):
            if isinstance(packet, PubRel):
                sent.append(("PUBREL", packet.packet_id))
            else:
                assert isinstance(packet, Publish)
                size = len(packet.payload) + self.overhead
                sent.append((size, packet.qos, packet.packet_id, packet.dup))
        expected, self.naive.sent = self.naive.sent, []
        assert expected == sent
        waiting = sum(each["id"] is None for each in self.naive.all)
        inflight = len(self.naive.all) - waiting + len(self.naive.released)
        assert (waiting, inflight) == (self.outgoing.waiting, self.outgoing.inflight)


Comparison.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
TestComparison = Comparison.TestCase
