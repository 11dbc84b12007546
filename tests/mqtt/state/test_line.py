"""A mailbox is a line: what a client gets when it reads slowly."""

from __future__ import annotations

from speedo_trio.broker.mailbox import Mailbox
from speedo_trio.mqtt.state.client import Client
from speedo_trio.mqtt.state.line import Line
from speedo_trio.mqtt.state.outside import Hub, Outside
from speedo_trio.mqtt.wire.packets import Connect, PubAck, Publish
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reader import PacketReader
from speedo_trio.mqtt.wire.versions import Version
from speedo_trio.pubsub.outbox import OutboxLimits, Overflow
from tests.mqtt.state.world import Peer, World, only, payloads, subscribe


class Wire:
    """A connection with so much room."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.reader = PacketReader(Version.MQTT_5_0)
        self.data = b""

    def write(self, data: bytes) -> bool:
        self.room = max(0, self.room - len(data))
        self.data += data
        return True

    def read(self, room: int) -> list[Publish]:
        """The messages that the client reads, which makes room."""
        data, self.data = self.data, b""
        self.room = room
        return only([*self.reader.feed(data)], Publish)


class Slow:
    """A client whose line is a mailbox."""

    def __init__(self, world: World, overflow: Overflow = Overflow.DROP_OLDEST) -> None:
        self.world = world
        self.wire = Wire(200)
        self.dirty: list[Mailbox] = []
        self.too_slow = 0
        limits = OutboxLimits(messages=5, overflow=overflow)
        self.mailbox = Mailbox(self.wire, limits, self.dirty, self._too_slow)
        line: Line = self.mailbox
        outside: Outside = Peer(world)
        self.hub: Hub = world.hub
        self.client = Client(world.capabilities, world.sessions, line, outside, now=world.now)
        properties = Properties(session_expiry_interval=60, topic_alias_maximum=3)
        self.client.receive(Connect(client_id="slow", properties=properties), world.now)
        self.client.receive(subscribe(b"#", 1), world.now)

    def _too_slow(self) -> None:
        self.too_slow += 1

    def flush(self) -> None:
        """The turn has ended."""
        for mailbox in self.dirty:
            mailbox.flush()
        self.dirty.clear()

    def read(self, room: int = 200) -> list[Publish]:
        """The client reads; there is room again."""
        messages = self.wire.read(room)
        self.mailbox.pump()
        self.client.pump(self.world.now)
        self.flush()
        return messages


def read_all(slow: Slow) -> list[Publish]:
    """All that comes, acknowledged."""
    messages: list[Publish] = []
    for _ in range(200):
        for message in slow.read():
            messages.append(message)
            if message.qos:
                slow.client.receive(PubAck(message.packet_id), slow.world.now)
    return messages


def test_qos_1_loses_nothing_to_a_slow_reader() -> None:
    """What the mailbox has no room for waits in the session, in order."""
    world = World()
    slow = Slow(world)
    for number in range(200):
        world.publish(b"a", b"%d" % number, 1)
        slow.flush()

    messages = read_all(slow)

    assert [b"%d" % number for number in range(200)] == payloads([*messages])
    assert 0 == slow.mailbox.dropped


def test_topic_aliases_survive_what_a_mailbox_drops() -> None:
    """An alias is set by a message that comes, or not at all."""
    world = World()
    slow = Slow(world)
    for number in range(100):
        world.publish(b"topic/%d" % (number % 5), b"%d" % number, number % 2)
        slow.flush()
    known: dict[int, bytes] = {}

    for message in read_all(slow):
        alias = message.properties.topic_alias if message.properties else None
        if alias and message.topic:
            known[alias] = message.topic
        topic = message.topic or known[alias or 0]
        assert b"topic/%d" % (int(message.payload) % 5) == topic
    assert slow.mailbox.dropped
    assert 3 == len(known)
