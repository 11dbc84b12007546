"""Worlds: the real broker and the real handlers, and connections that are only lists of bytes.

Next: `tests.mqtt.fuzz.rounds`.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Final

import trio
from attrs import frozen

from speedo_trio.broker.core import BrokerCore
from speedo_trio.broker.limits import BrokerLimits
from speedo_trio.errors import ProtocolError
from speedo_trio.events import Address, Cause, CloseReason
from speedo_trio.mqtt import Accepted, Capabilities, Challenge, Grant, Hooks, Refusal
from speedo_trio.mqtt.common import Service
from speedo_trio.mqtt.handler import MQTTHandler
from speedo_trio.mqtt.hooks import NO_HOOKS
from speedo_trio.mqtt.hub import BrokerHub
from speedo_trio.mqtt.requests import (
    AuthenticationRequest,
    ConnectRequest,
    PublishRequest,
    SubscribeRequest,
)
from speedo_trio.mqtt.state.publication import MQTTPublication
from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packets import (
    ConnAck,
    Disconnect,
    Packet,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
)
from speedo_trio.mqtt.wire.reader import MOST_PACKET_BYTES, PacketReader
from speedo_trio.mqtt.wire.versions import Version
from speedo_trio.protocol.message import Message
from tests.mqtt.fuzz.corpus import METHOD

AMPLE: Final = 1 << 20
"""The room of a connection whose peer reads."""
_HERE: Final = Address("tcp", "127.0.0.1", 1883)
_LAPSE: Final = 1_000_000.0
"""Seconds after which nothing waits any more."""


class Fault(Exception):
    """The broker did what it must not do."""


@frozen
class Variant:
    """What holds in a world."""

    capabilities: Capabilities
    hooks: Hooks = NO_HOOKS


class _Steps:
    """An authentication of two steps."""

    def __init__(self, request: AuthenticationRequest) -> None:
        self._steps = count()

    async def step(self, data: bytes | None) -> Accepted | Challenge | Refusal:
        await trio.lowlevel.checkpoint()
        if data == b"":
            return Refusal()
        return Accepted(identity="me", data=b"done") if next(self._steps) else Challenge(b"more")


async def _authenticate(request: ConnectRequest) -> bool:
    await trio.lowlevel.checkpoint()
    return request.user_name != "User"


async def _authorise_publish(request: PublishRequest) -> bool:
    if request.qos:
        await trio.lowlevel.checkpoint()
    return request.topic != "no"


async def _authorise_subscribe(request: SubscribeRequest) -> bool | Grant:
    await trio.lowlevel.checkpoint()
    return request.topic_filter != "no" and Grant(qos=1)


async def _observe(event: object) -> None:
    repr(event)


_TIGHT: Final = Capabilities(
    receive_maximum=5,
    maximum_packet_size=2000,
    topic_alias_maximum=4,
    maximum_inflight=3,
    queue_messages=5,
    queue_bytes=500,
    maximum_subscriptions=10,
    maximum_offline_sessions=5,
)

VARIANTS: Final = {
    "usual": Variant(Capabilities()),
    "tight": Variant(_TIGHT),
    "strict": Variant(
        Capabilities(overflow="disconnect", queue_messages=5, maximum_inflight=2, server_keep_alive=5)
    ),
    "poor": Variant(
        Capabilities(
            versions=("3.1.1", "5.0"),
            maximum_qos=1,
            retain_available=False,
            wildcard_subscriptions=False,
            subscription_identifiers=False,
            shared_subscriptions=False,
            topic_alias_maximum=0,
            maximum_session_expiry=20,
            assign_client_ids=False,
        )
    ),
    "hooked": Variant(
        Capabilities(authentication_steps=3),
        Hooks(
            authenticate=_authenticate,
            enhanced={METHOD: _Steps},
            authorise_publish=_authorise_publish,
            authorise_subscribe=_authorise_subscribe,
            observe=_observe,
        ),
    ),
}
"""Brokers of several kinds."""

LIMITS: Final = BrokerLimits(retained_messages=6, retained_bytes=400, topic_levels=20)


class Line:
    """What a handler has for a connection."""

    tls = websocket = proxy = None
    peer = local = _HERE

    def __init__(self, number: int, room: int) -> None:
        self.id: int = number
        self.room: int = room
        self.sent: list[bytes] = []
        self.over = False
        """Whether the handler has ended it."""

    def write(self, data: bytes) -> bool:
        """It is sent."""
        left = self.room - len(data)
        self.room = left if left > 0 else 0
        self.sent.append(data)
        return True

    send_nowait = write

    async def send(self, data: bytes) -> None:
        """Not what this handler does."""
        raise AssertionError(data)

    def close(self) -> None:
        """Nothing more is read."""
        self.over = True

    def abort(self) -> None:
        """The same."""
        self.over = True


class Guest:
    """A connection, with what a link does for it: its lane, and its end."""

    def __init__(self, service: Service, number: int, room: int, stream: bytes) -> None:
        self.line = Line(number, room)
        self.room = room
        self.stream = stream
        """What its peer sends."""
        self.fed = 0
        """How much of that has come."""
        self.handler = MQTTHandler(self.line, service)
        self.lane: deque[Message] = deque()
        self.running: trio.CancelScope | None = None
        """Of the task that executes; None: there is none."""
        self.ended = False
        self.handler.opened()

    def receive(self, data: bytes) -> bool:
        """Bytes have come; whether there is something to execute now."""
        if self.ended or self.line.over:
            return False
        try:
            messages = self.handler.handle(data)
        except ProtocolError as error:
            if not self.lane:
                self.end(Cause.PROTOCOL_ERROR, error)
            return False
        self.lane.extend(messages or ())
        return self.scheduled()

    def scheduled(self) -> bool:
        """Whether `execute` is to be started; then nobody else does it."""
        if not self.lane or self.running is not None:
            return False
        self.running = trio.CancelScope()
        return True

    async def execute(self) -> None:
        """Execute what is in the lane, as the link's worker."""
        assert self.running is not None
        with self.running:
            try:
                while self.lane and not self.ended:
                    await self.lane.popleft().execute()
            except ProtocolError as error:
                self.end(Cause.PROTOCOL_ERROR, error)
            except Exception as error:
                raise Fault(f"a message failed; its client sent {self.stream.hex()}") from error
        self.running = None
        if self.ended:
            self._closed(self._reason)

    def end(self, cause: Cause, error: BaseException | None = None) -> None:
        """It is over; the handler learns of that when none of its messages runs."""
        if self.ended:
            return
        self.ended = True
        self._reason = CloseReason(cause, error)
        if self.running is None:
            self._closed(self._reason)
        else:
            self.running.cancel()

    def _closed(self, reason: CloseReason) -> None:
        self.lane.clear()
        self.handler.closed(reason)

    def relieve(self) -> None:
        """The peer has read everything."""
        before, self.line.room = self.line.room, self.room
        if not before and not self.ended:
            self.handler.writable()

    def packets(self) -> list[Packet]:
        """What the server has sent, which is as it should be."""
        client = self.handler._client
        data = b"".join(self.line.sent)
        if client.version is None:
            if data not in {b"", b"\x20\x02\x00\x01", b"\x20\x03\x00\x84\x00"}:
                raise Fault(f"before CONNECT the server sent {data.hex()}")
            return []
        reader = PacketReader(client.version, limit=min(client.limit, MOST_PACKET_BYTES))
        try:
            packets = [*reader.feed(data)]
        except ProtocolError as error:
            raise Fault(f"the server sent {data.hex()}") from error
        kinds = [type(each) for each in packets]
        if Disconnect in kinds[:-1] or ConnAck in kinds[1:]:
            raise Fault(f"the server sent {data.hex()}")
        return packets

    def answers(self) -> bytes:
        """What a client answers to what it has got."""
        packets, version = self.packets(), self.handler._client.version
        self.line.sent.clear()
        return b"".join(
            encode(answer, version or Version.MQTT_5_0)
            for packet in packets
            if (answer := _answer(packet)) is not None
        )


def _answer(packet: Packet) -> Packet | None:
    match packet:
        case Publish(qos=1):
            return PubAck(packet.packet_id)
        case Publish(qos=2):
            return PubRec(packet.packet_id)
        case PubRec():
            return PubRel(packet.packet_id)
        case PubRel():
            return PubComp(packet.packet_id)
    return None


class World:
    """A broker, and those who are connected to it."""

    def __init__(self, variant: Variant) -> None:
        """In a run of Trio, whose clock is theirs."""
        self.core = BrokerCore(LIMITS, None, trio.current_time)
        self.service = Service(self.core, variant.capabilities, variant.hooks, 0)
        self.guests: deque[Guest] = deque()
        self._numbers = count(1)

    def open(self, stream: bytes, room: int) -> Guest:
        """A client connects."""
        guest = Guest(self.service, next(self._numbers), room, stream)
        self.guests.append(guest)
        return guest

    def check(self) -> None:
        """What must be bounded is."""
        service, capabilities = self.service, self.service.capabilities
        live, retained = len(self.guests), self.core.exchange.retained
        bounds = {
            "sessions": (len(service.sessions), live + capabilities.maximum_offline_sessions),
            "retained messages": (len(retained), LIMITS.retained_messages),
            "retained bytes": (retained.bytes, LIMITS.retained_bytes),
            "deadlines": (len(service.caretaker._looks), 4 * live + 250),
        }
        for session in service.sessions:
            outgoing = session.outgoing
            name = f"of {session.client_id}"
            bounds |= {
                f"subscriptions {name}": (
                    len(session.subscriptions), capabilities.maximum_subscriptions,
                ),
                f"waiting {name}": (outgoing.waiting, capabilities.queue_messages),
                f"bytes {name}": (outgoing.waiting_bytes, capabilities.queue_bytes),
                f"in flight {name}": (outgoing.inflight, 65_535),
            }  # fmt: skip
        wrong = [f"{seen} {what}" for what, (seen, most) in bounds.items() if seen > most]
        if wrong:
            raise Fault(f"too many: {', '.join(wrong)}")

    async def end(self, clock: trio.testing.MockClock) -> None:
        """Everybody goes, time goes by, and nothing is left."""
        for guest in self.guests:
            guest.packets()
            guest.end(Cause.LOST)
        self.guests.clear()
        await trio.testing.wait_all_tasks_blocked()
        clock.jump(_LAPSE)
        await trio.testing.wait_all_tasks_blocked()
        self._forget_retained()
        self._check_nothing_left()

    def _forget_retained(self) -> None:
        hub, retained = BrokerHub(self.core), self.core.exchange.retained
        for topic in [*retained]:
            hub.publish(MQTTPublication(topic, b"", 0, True))

    def _check_nothing_left(self) -> None:
        service, core = self.service, self.core
        left = {
            "sessions": len(service.sessions),
            "away": service.sessions.offline,
            "their deadlines": len(service.sessions._deadlines),
            "subscriptions": len(core.exchange.subscriptions),
            "groups": len(core.exchange.groups),
            "members": len(core.members),
            "retained": len(core.exchange.retained),
            "retained bytes": core.exchange.retained.bytes,
            "mailboxes": len(core.dirty),
            "connections": len(service.traffic._live),
            "deadlines": len(service.caretaker._looks),
            "for later": len(service.caretaker._later),
        }
        if any(left.values()):
            raise Fault(f"left behind: { {what: each for what, each in left.items() if each} }")


class Errors(logging.Handler):
    """Keeps what is logged as an error: some faults are only told there."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """While in there."""
        logger = logging.getLogger("speedo_trio")
        before, logger.propagate = logger.propagate, False
        logger.addHandler(self)
        try:
            yield
        finally:
            logger.removeHandler(self)
            logger.propagate = before

