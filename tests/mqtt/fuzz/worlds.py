"""Worlds: the real broker and the real handlers, and connections that are only lists of bytes.

Next: `tests.mqtt.fuzz.rounds`.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Final, cast

import trio
import trio.testing
from attrs import frozen

from speedo_trio.broker.core import BrokerCore
from speedo_trio.broker.limits import BrokerLimits
from speedo_trio.errors import MQTTError, ProtocolError
from speedo_trio.events import Address, Cause, CloseReason
from speedo_trio.mqtt import Accepted, Capabilities, Challenge, Grant, Hooks, Refused
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
from speedo_trio.mqtt.wire.known_topics import KNOWN, MOST_NAMES
from speedo_trio.mqtt.wire.packets import (
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Subscribe,
    SubscriptionOptions,
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

    async def step(self, data: bytes | None) -> Accepted | Challenge | Refused:
        await trio.lowlevel.checkpoint()
        if data == b"":
            return Refused()
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
        Capabilities(
            overflow="disconnect", queue_messages=5, maximum_inflight=2, server_keep_alive=5
        )
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
            deadline=1e9,  # they take no time, but that jumps
        ),
    ),
}
"""Brokers of several kinds."""

LIMITS: Final = BrokerLimits(retained_messages=6, retained_bytes=400, topic_levels=20)


RESIDENTS: Final = tuple(
    (encode(connect, connect.version) + encode(Subscribe(1, filters), connect.version), room)
    for connect, filters, room in (
        (
            Connect(client_id="r5", keep_alive=0),
            [(each, SubscriptionOptions(2)) for each in (b"#", b"$share/g/#")],
            AMPLE,
        ),
        (
            Connect(client_id="r4", keep_alive=0, version=Version.MQTT_3_1_1, clean_start=False),
            [(each, SubscriptionOptions(1)) for each in (b"a/#", b"$share/g/#", b"$share/h/+/b")],
            200,
        ),
    )
)
"""What clients send that stay for the whole round, and the room that they have."""


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
        self.room = max(0, left)
        self.sent.append(data)
        return True

    send_nowait = write

    def after_reads(self, call: Callable[[], object]) -> None:
        """There are no others that read. The client is to blame for its errors, and is gone."""
        try:
            call()
        except MQTTError:
            self.over = True

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
        self._reader: PacketReader | None = None  # of what the server sends
        self._welcomed = False  # CONNACK has come
        self._told = False  # DISCONNECT has
        self.handler.opened()

    @property
    def idle(self) -> Version | None:
        """What it speaks, if it is connected and has sent all that it had; else None."""
        client = self.handler._client
        if self.ended or self.line.over or client.session is None:
            return None
        return client.version if self.fed == len(self.stream) else None

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
                    await cast("Awaitable[None]", self.lane.popleft().execute())
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
        """What the server has sent since this was asked, which is as it should be."""
        client, line = self.handler._client, self.line
        data = b"".join(line.sent)
        line.sent.clear()
        if client.version is None:
            if data not in {b"", b"\x20\x02\x00\x01", b"\x20\x03\x00\x84\x00"}:
                raise Fault(f"before CONNECT the server sent {data.hex()}")
            return []
        if self._reader is None:
            limit = min(client.limit, MOST_PACKET_BYTES)
            self._reader = PacketReader(client.version, limit=max(limit, 2))
        try:
            packets = [*self._reader.feed(data)]
        except ProtocolError as error:
            raise Fault(f"the server sent {data.hex()}") from error
        for packet in packets:
            greets = isinstance(packet, ConnAck)
            early = greets or isinstance(packet, Auth)  # what may come before CONNACK
            if self._told or (greets if self._welcomed else not early):
                raise Fault(f"{packet} is not to come, in {data.hex()}")
            self._welcomed |= greets
            self._told = isinstance(packet, Disconnect)
        return packets

    def answers(self) -> bytes:
        """What a client answers to what it has got."""
        packets, version = self.packets(), self.handler._client.version
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

    def __init__(self, variant: Variant, clock: trio.testing.MockClock) -> None:
        """In a run of Trio that has this clock."""
        self.now = clock.current_time()
        self.core = BrokerCore(LIMITS, None, lambda: self.now)
        self._clock = clock
        self.asks = variant.hooks is not NO_HOOKS
        """Whether hooks decide."""
        self.service = Service(self.core, variant.capabilities, variant.hooks, 0)
        self.guests: deque[Guest] = deque()
        self.residents: list[Guest] = []
        self._numbers = count(1)

    def open(self, stream: bytes, room: int) -> Guest:
        """A client connects."""
        guest = Guest(self.service, next(self._numbers), room, stream)
        self.guests.append(guest)
        return guest

    def settle_in(self) -> None:
        """Two clients that stay: one who reads and answers, and one who hardly does."""
        for stream, room in RESIDENTS:
            guest = Guest(self.service, next(self._numbers), room, stream)
            guest.fed = len(stream)
            self.residents.append(guest)

    def lapse(self, seconds: float) -> None:
        """Time goes by."""
        self._clock.jump(seconds)
        self.now = self._clock.current_time()

    def check(self) -> None:
        """What must be bounded is."""
        service, capabilities = self.service, self.service.capabilities
        live, retained = len(self.guests) + len(self.residents), self.core.exchange.retained
        bounds = {
            "sessions": (len(service.sessions), live + capabilities.maximum_offline_sessions),
            "retained messages": (len(retained), LIMITS.retained_messages),
            "retained bytes": (retained.bytes, LIMITS.retained_bytes),
            # Each client may be watched, and its holding.
            "watched": (len(service.caretaker._watched), 2 * live),
            "deadlines": (len(service.caretaker._looks), 2 * 2 * live + 101),
            "known topics": (len(KNOWN), MOST_NAMES),
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

    async def end(self) -> None:
        """Everybody goes, time goes by, and nothing is left."""
        for guest in (*self.guests, *self.residents):
            guest.packets()
            guest.end(Cause.LOST)
        self.guests.clear()
        self.residents.clear()
        await trio.testing.wait_all_tasks_blocked()
        self.lapse(_LAPSE)
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
