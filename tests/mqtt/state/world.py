"""A broker without a network: an exchange, sessions, and clients whose packets are lists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from speedo_trio.mqtt.state.asks import NOTHING, Asking
from speedo_trio.mqtt.state.capabilities import Capabilities
from speedo_trio.mqtt.state.client import Client
from speedo_trio.mqtt.state.machine import State
from speedo_trio.mqtt.state.publication import MQTTPublication
from speedo_trio.mqtt.state.publication_run import PublicationRun
from speedo_trio.mqtt.state.session import Session
from speedo_trio.mqtt.state.sessions import Sessions
from speedo_trio.mqtt.state.terms import MQTTTerms
from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packets import (
    ConnAck,
    Connect,
    Packet,
    Publish,
    PubRel,
    Subscribe,
    SubscriptionOptions,
)
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reader import PacketReader
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.versions import Version
from speedo_trio.pubsub.exchange import Exchange
from speedo_trio.pubsub.publication import Publication
from speedo_trio.pubsub.subscriber import Terms, merge

V31, V311, V5 = Version.MQTT_3_1, Version.MQTT_3_1_1, Version.MQTT_5_0
V3 = (V31, V311)


class Hub:
    """An exchange; it notes what sessions and wills do."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.exchange: Exchange[Publication, Terms] = Exchange(self._failed, merge=merge)
        self.published: list[MQTTPublication] = []
        self.wills: list[MQTTPublication] = []
        self.events: list[tuple[str, str]] = []
        self.error: Exception | None = None
        """What `publish` and `subscribe` raise."""

    def publish(self, publication: MQTTPublication) -> int:
        if self.error is not None:
            raise self.error
        self.published.append(publication)
        taken = self.exchange.publish(publication)
        if publication.retain:
            self.exchange.retain(publication, now=self.world.now, expires=publication.expires_at)
        return taken

    def publish_run(self, run: PublicationRun) -> int | None:
        route = self.exchange.routes[run.topic]
        takers = [(each, terms) for each, terms in route if isinstance(each, Session)]
        if (
            self.error is not None
            or len(takers) < len(route)
            or (run.qos and not route)
            or not all(each.outgoing.takes_run(run, terms) for each, terms in takers)
        ):
            return None
        self.published.extend(run.publications)
        for each, terms in takers:
            each.outgoing.deliver_run(run, terms)
        return len(takers)

    def why_untaken(self, publication: MQTTPublication) -> ReasonCode:
        audience = [each for each, _ in self.exchange.routes[publication.topic]]
        if not audience:
            return ReasonCode.NO_MATCHING_SUBSCRIBERS
        full = any(
            isinstance(each, Session) and each.outgoing.lacks_room(publication) for each in audience
        )
        return ReasonCode.QUOTA_EXCEEDED if full and publication.qos else ReasonCode.SUCCESS

    def publish_will(self, session: Session, will: MQTTPublication) -> None:
        self.wills.append(will)
        self.events.append(("will", session.client_id))
        self.publish(will)

    def subscribe(self, topic_filter: bytes, session: Session, terms: MQTTTerms) -> None:
        if self.error is not None:
            raise self.error
        self.exchange.subscribe(topic_filter, session, terms)

    def unsubscribe(self, topic_filter: bytes, session: Session) -> None:
        assert self.exchange.unsubscribe(topic_filter, session) is not None

    def retained(self, topic_filter: bytes, now: float) -> Iterator[Publication]:
        return self.exchange.retained_for(topic_filter, now)

    def pass_on(self, topic_filter: bytes, publication: Publication) -> None:
        for shared, group in self.exchange.groups:
            if b"$share/%s/%s" % shared == topic_filter:
                group.deliver(publication, None)

    def session_began(self, session: Session) -> None:
        self.events.append(("began", session.client_id))

    def session_ended(self, session: Session) -> None:
        assert not session.subscriptions
        self.events.append(("ended", session.client_id))

    @staticmethod
    def _failed(subscriber: object, publication: object, error: Exception) -> None:
        raise error


class Line:
    """Keeps frames, in order. A congested one drops messages."""

    def __init__(self) -> None:
        self.congested = False
        self.sent = 0
        self.frames: list[bytes] = []

    def put(self, frame: bytes) -> bool:
        if self.congested:
            return False
        self.sent += len(frame)
        self.frames.append(frame)
        return True

    def put_run(self, frames: bytes, number: int) -> None:
        assert not self.congested
        self.sent += len(frames)
        self.frames.append(frames)

    def answer(self, frame: bytes) -> None:
        self.frames.append(frame)


class Peer:
    """A client as its other end sees it, and as its host does."""

    def __init__(
        self,
        world: World,
        asking: Asking = NOTHING,
        capabilities: Capabilities | None = None,
    ) -> None:
        self.world = world
        self.line = Line()
        self.closed: ReasonCode | None = None
        """Why the machine closed the connection; None: it didn't."""
        self.text = ""
        self.overflows = 0
        self.eases = 0
        self.client = Client(
            capabilities or world.capabilities,
            world.sessions,
            self.line,
            self,
            now=world.now,
            asking=asking,
        )

    # What the machine calls

    def close(self, last: bytes, reason: ReasonCode, text: str) -> None:
        assert self.closed is None
        assert self.client.state is State.OVER
        if last:
            self.line.frames.append(last)
        self.closed, self.text = reason, text

    def overflowed(self) -> None:
        self.overflows += 1

    def eased(self) -> None:
        self.eases += 1

    # What tests do

    def send(self, *packets: Packet) -> Any:
        """Send packets, read together; the outcome."""
        return self.client.receive_many(packets, self.world.now)

    def ask(self, packet: Packet) -> Any:
        """Send a packet, and take what comes of it."""
        assert self.send(packet) is None
        return self.take()

    def take(self) -> list[Packet]:
        """Take the packets that were sent to the client."""
        frames, self.line.frames = self.line.frames, []
        return [*PacketReader(self.client.version or V5).feed(b"".join(frames))]

    def drop(self) -> None:
        """The connection breaks."""
        self.client.closed(self.world.now)

    @property
    def session(self) -> Session:
        assert self.client.session is not None
        return self.client.session


class World:
    """A broker, and the time."""

    def __init__(self, **capabilities: Any) -> None:
        self.now = 1000.0
        self.capabilities = Capabilities(**capabilities)
        self.hub = Hub(self)
        ids = iter(range(1, 1_000_000))
        self.sessions = Sessions(
            self.capabilities, self.hub, new_client_id=lambda: f"auto-{next(ids)}"
        )

    def open(self, asking: Asking = NOTHING, **capabilities: Any) -> Peer:
        """A connection on which nothing has come."""
        return Peer(self, asking, Capabilities(**capabilities) if capabilities else None)

    def connect(
        self,
        client_id: str = "client",
        version: Version = V5,
        *,
        asking: Asking = NOTHING,
        expiry: int | None = None,
        properties: dict[str, Any] | None = None,
        **connect: Any,
    ) -> Peer:
        """A client that has been accepted; its CONNACK was taken, but not what came behind."""
        peer = self.open(asking)
        own = dict(properties or {})
        if expiry is not None:
            own["session_expiry_interval"] = expiry
        given = Properties(**own) if own and version is V5 else None
        packet = Connect(client_id=client_id, version=version, properties=given, **connect)
        assert peer.client.receive_data(encode(packet, version), self.now) is None
        first, *rest = peer.line.frames
        (connack,) = PacketReader(version).feed(first)
        assert isinstance(connack, ConnAck)
        assert connack.reason == 0, connack
        peer.line.frames = rest
        return peer

    def keep(self, client_id: str = "client", version: Version = V5, **more: Any) -> Peer:
        """The same with a session that is taken up and stays."""
        if version is V5:
            more.setdefault("expiry", 3600)
        return self.connect(client_id, version, clean_start=False, **more)

    def subscriber(
        self, topic_filter: bytes = b"#", qos: int = 2, version: Version = V5, **more: Any
    ) -> Peer:
        """A client that keeps its session and is subscribed."""
        peer = self.keep(more.pop("client_id", "subscriber"), version, **more)
        peer.ask(subscribe(topic_filter, qos))
        return peer

    def publish(self, topic: bytes = b"a", payload: bytes = b"x", qos: int = 0, **more: Any) -> int:
        """Publish as the program; how many took it."""
        more.setdefault("received_at", self.now)
        return self.hub.publish(MQTTPublication(topic, payload, qos, **more))

    def later(self, seconds: float) -> int:
        """Let time go by; how much was due."""
        self.now += seconds
        return self.sessions.due(self.now)


def subscribe(topic_filter: bytes, qos: int = 0, packet_id: int = 1, **options: Any) -> Subscribe:
    """A SUBSCRIBE to one filter."""
    identifier = options.pop("identifier", None)
    properties = Properties(subscription_identifiers=(identifier,)) if identifier else None
    return Subscribe(packet_id, [(topic_filter, SubscriptionOptions(qos, **options))], properties)


def publish(qos: int = 0, packet_id: int = 0, topic: bytes = b"a", **more: Any) -> Publish:
    """A PUBLISH of a client."""
    payload = more.pop("payload", b"x")
    return Publish(topic, payload, qos, packet_id=packet_id or qos, **more)


def only(packets: list[Packet], kind: type[Packet]) -> list[Any]:
    """Those of one type."""
    return [packet for packet in packets if isinstance(packet, kind)]


def payloads(packets: list[Packet]) -> list[bytes]:
    """Those of the messages."""
    return [packet.payload for packet in only(packets, Publish)]


def releases(packets: list[Packet]) -> list[int]:
    """The identifiers of the PUBRELs."""
    return [packet.packet_id for packet in only(packets, PubRel)]
