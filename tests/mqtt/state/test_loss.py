"""Connections that break anywhere: each QoS 2 message arrives once, each QoS 1 message at least."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from speedo_trio.mqtt.wire.packets import (
    Packet,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
)
from speedo_trio.mqtt.wire.versions import Version
from tests.mqtt.state.world import Peer, World

WINDOW = 3


class Device:
    """A client that keeps its session: it publishes, and takes what comes.

    Packets pass one at a time; when the connection breaks those under way are lost. It takes a
    QoS 2 message when its PUBLISH comes, or when its PUBREL does: the standard allows both.
    """

    def __init__(self, world: World, version: Version, *, early: bool = True) -> None:
        self.world, self.version, self.early = world, version, early
        self.got: list[bytes] = []
        self.arriving: dict[int, bytes] = {}
        self.sending: dict[int, Publish | PubRel] = {}
        self.waiting: deque[Publish] = deque()
        self.to_server: deque[Packet] = deque()
        self.from_server: deque[Packet] = deque()
        self.last_id = 0
        self.peer: Peer | None = None

    def connect(self) -> None:
        self.peer = self.world.keep("device", self.version, properties={"receive_maximum": WINDOW})
        for packet in self.sending.values():
            if isinstance(packet, Publish):
                packet.dup = True
            self.to_server.append(packet)
        self.read()

    def lose(self) -> None:
        """The connection breaks, and with it what is under way."""
        if self.peer is not None:
            self.peer.drop()
        self.peer = None
        self.to_server.clear()
        self.from_server.clear()

    def read(self) -> None:
        if self.peer is not None:
            assert self.peer.closed is None, self.peer.text
            self.from_server.extend(self.peer.take())

    def publish(self, payload: bytes, qos: int) -> None:
        self.last_id += 1
        packet = Publish(b"up", payload, qos, packet_id=self.last_id)
        self.sending[self.last_id] = packet
        if self.peer is not None:
            self.to_server.append(Publish(b"up", payload, qos, packet_id=self.last_id))

    def step_up(self) -> None:
        """A packet reaches the server."""
        assert self.peer is not None
        assert self.peer.send(self.to_server.popleft()) is None
        self.read()

    def step_down(self) -> None:
        """A packet reaches the device."""
        answer = self.take(self.from_server.popleft())
        if answer is not None:
            self.to_server.append(answer)

    def take(self, packet: Any) -> Packet | None:
        match packet:
            case Publish(qos=1):
                self.got.append(packet.payload)
                return PubAck(packet.packet_id)
            case Publish(qos=2):
                if packet.packet_id not in self.arriving:
                    self.arriving[packet.packet_id] = packet.payload
                    if self.early:
                        self.got.append(packet.payload)
                return PubRec(packet.packet_id)
            case PubRel():
                payload = self.arriving.pop(packet.packet_id, None)
                if payload is not None and not self.early:
                    self.got.append(payload)
                return PubComp(packet.packet_id)
            case PubAck() | PubComp():
                self.sending.pop(packet.packet_id, None)
            case PubRec() if packet.packet_id in self.sending:
                self.sending.pop(packet.packet_id)
                release = self.sending[packet.packet_id] = PubRel(packet.packet_id)
                return release
            case _:
                raise AssertionError(packet)
        return None

    def settle(self) -> None:
        """Let everything come to its end."""
        while self.to_server or self.from_server:
            if self.from_server:
                self.step_down()
            else:
                self.step_up()


def taken_up(world: World, version: Version, **more: Any) -> Device:
    """A device that is subscribed to "down"."""
    from tests.mqtt.state.world import subscribe

    device = Device(world, version, **more)
    device.connect()
    assert device.peer is not None
    device.peer.ask(subscribe(b"down", 2))
    return device


def run(device: Device, cut: int, times: int) -> int:
    """Pass packets, and lose the connection after `cut`, so often; how many passed in all."""
    steps = 0
    while device.to_server or device.from_server:
        if times and steps == cut:
            device.lose()
            device.connect()
            times, steps = times - 1, 0
            continue
        if device.from_server:
            device.step_down()
        else:
            device.step_up()
        steps += 1
    return steps


@pytest.mark.parametrize("version", Version)
@pytest.mark.parametrize("early", [True, False])
def test_a_message_to_a_device_survives_any_cut(version: Version, early: bool) -> None:  # noqa: FBT001  # a parameter
    """[MQTT-4.3.3-4] [MQTT-4.3.3-5] [MQTT-4.3.3-6] [MQTT-4.4.0-1] Once, wherever it is cut.

    Up to three times at each place; QoS 1 comes at least once.
    """
    for qos in (1, 2):
        for cut in range(6):
            for times in (1, 2, 3):
                world = World()
                device = taken_up(world, version, early=early)
                world.publish(b"down", b"x", qos)
                device.read()
                run(device, cut, times)
                assert device.peer is not None
                assert {b"x"} == set(device.got)
                assert qos == 1 or [b"x"] == device.got, (cut, times)
                assert 0 == device.peer.session.outgoing.inflight


@pytest.mark.parametrize("version", Version)
def test_a_message_from_a_device_survives_any_cut(version: Version) -> None:
    """[MQTT-4.3.3-8] [MQTT-4.3.3-10] [MQTT-4.3.3-11] [MQTT-4.3.3-12] Published once."""
    for qos in (1, 2):
        for cut in range(6):
            for times in (1, 2, 3):
                world = World()
                device = taken_up(world, version)
                device.publish(b"x", qos)
                run(device, cut, times)
                assert device.peer is not None
                published = [each.payload for each in world.hub.published]
                assert {b"x"} == set(published)
                assert qos == 1 or [b"x"] == published, (cut, times)
                assert (set(), {}) == (device.peer.session.incoming.held, device.sending)


class Losses(RuleBasedStateMachine):
    """Messages both ways, cuts, and packets that pass one at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(maximum_inflight=WINDOW)
        self.device = taken_up(self.world, Version.MQTT_5_0)
        self.count = 0
        self.down: list[tuple[bytes, int]] = []
        self.up: list[tuple[bytes, int]] = []

    @rule(version=st.sampled_from(Version), early=st.booleans())
    def cut(self, version: Version, early: bool) -> None:  # noqa: FBT001  # Hypothesis gives it by name
        """The connection breaks; the device is back with another version."""
        self.device.lose()
        self.device.version = version
        if not self.device.arriving:
            self.device.early = early
        self.device.connect()

    @rule()
    def away(self) -> None:
        """The connection breaks."""
        self.device.lose()

    @rule(qos=st.sampled_from((1, 2)))
    def publish_down(self, qos: int) -> None:
        """Somebody publishes to the device."""
        self.count += 1
        payload = b"%d" % self.count
        self.down.append((payload, qos))
        assert self.world.publish(b"down", payload, qos)
        self.device.read()

    @rule(qos=st.sampled_from((1, 2)))
    def publish_up(self, qos: int) -> None:
        """The device publishes."""
        self.count += 1
        payload = b"%d" % self.count
        self.up.append((payload, qos))
        self.device.publish(payload, qos)

    @precondition(lambda self: self.device.from_server)
    @rule(count=st.integers(1, 5))
    def receive(self, count: int) -> None:
        """Packets reach the device."""
        for _ in range(min(count, len(self.device.from_server))):
            self.device.step_down()

    @precondition(lambda self: self.device.peer is not None and self.device.to_server)
    @rule(count=st.integers(1, 5))
    def send(self, count: int) -> None:
        """Packets reach the server."""
        for _ in range(min(count, len(self.device.to_server))):
            self.device.step_up()

    @invariant()
    def nothing_twice(self) -> None:
        """A QoS 2 message is nowhere twice, and the window is kept."""
        got = Counter(self.device.got)
        assert all(got[payload] <= 1 for payload, qos in self.down if qos == 2)
        published = Counter(each.payload for each in self.world.hub.published)
        assert all(published[payload] <= 1 for payload, qos in self.up if qos == 2)
        session = self.world.sessions.get("device")
        assert session is not None
        assert session.outgoing.inflight <= WINDOW

    def teardown(self) -> None:
        """In the end all is there, in order."""
        device = self.device
        device.lose()
        device.connect()
        device.settle()
        first = [*dict.fromkeys(device.got)]
        assert {payload for payload, _ in self.down} == set(first)
        for wanted in (1, 2):  # those of one QoS keep their order
            expected = [payload for payload, qos in self.down if qos == wanted]
            assert expected == [payload for payload in first if payload in expected]
        published = [each.payload for each in self.world.hub.published]
        assert {payload for payload, _ in self.up} <= set(published)
        assert device.peer is not None
        assert (0, 0, set()) == (
            device.peer.session.outgoing.inflight,
            device.peer.session.outgoing.waiting,
            device.peer.session.incoming.held,
        )


Losses.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestLosses = Losses.TestCase
