"""MQTT on a broker: the factory of handlers, and what a program does beside its clients.

Next: `speedo_trio.mqtt.state.client`, the machine behind each handler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, cast

from speedo_trio.broker.broker import Broker, encoded, subscription_limits
from speedo_trio.errors import ConfigError, ProtocolError
from speedo_trio.mqtt.bridging.bridge import Bridge
from speedo_trio.mqtt.bridging.settings import check_bridges
from speedo_trio.mqtt.common import Service
from speedo_trio.mqtt.handler import MQTTHandler
from speedo_trio.mqtt.hooks import NO_HOOKS, Hooks
from speedo_trio.mqtt.hub import BrokerSession
from speedo_trio.mqtt.reporting import Reporting
from speedo_trio.mqtt.state.capabilities import Capabilities
from speedo_trio.mqtt.state.client import Client
from speedo_trio.mqtt.state.publication import MQTTPublication
from speedo_trio.mqtt.stats import SessionStats
from speedo_trio.mqtt.subscription import MQTTSubscription
from speedo_trio.mqtt.sys_topics import check_interval
from speedo_trio.mqtt.wire.packet_types import PacketType
from speedo_trio.mqtt.wire.property_list import encode_properties
from speedo_trio.mqtt.wire.reason_codes import ReasonCode

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from speedo_trio.mqtt.bridging.settings import BridgeSettings
    from speedo_trio.mqtt.register import Host
    from speedo_trio.mqtt.requests import ClientInfo
    from speedo_trio.mqtt.store.contract import Store
    from speedo_trio.mqtt.wire.properties import Properties
    from speedo_trio.protocol.handler import Connection, ProtocolHandler
    from speedo_trio.protocol.report import Figure
    from speedo_trio.pubsub.outbox import OverflowPolicy

SUBPROTOCOLS = ("mqtt", "mqttv3.1")
"""What WebSocket clients ask for; the second is of clients older than the standard."""


class MQTT:
    """Serves a broker to clients of MQTT 3.1, 3.1.1 and 5.0: a `ProtocolHandlerFactory`.

    ::

        await nursery.start(serve, MQTT(broker), "tcp://localhost:1883")
    """

    def __init__(
        self,
        broker: Broker | None = None,
        capabilities: Capabilities | None = None,
        *,
        hooks: Hooks = NO_HOOKS,
        sys_interval: float = 10.0,
        bridges: Iterable[BridgeSettings] = (),
        store: Store | None = None,
    ) -> None:
        """Serve a broker.

        Args:
            broker: shared with the program or other protocols; None gives it its own.
            capabilities: what clients may do; None for the defaults.
            hooks: what decides and sees what clients do.
            sys_interval: seconds between two looks at what ``$SYS/broker/...`` tells; 0: it tells
                nothing.
            bridges: other brokers to connect to, while it is served.
            store: where sessions, messages and what is retained outlast the process; None:
                nowhere. It is opened by `open_store`, or when a server begins to serve this, and
                closed when the last one has ended.

        Raises:
            ConfigError: the interval is not allowed, or two bridges have the same name.
        """
        check_interval(sys_interval)
        self.bridges: tuple[BridgeSettings, ...] = check_bridges(bridges)
        """The brokers that it connects to while it is served."""
        self.broker: Broker = Broker() if broker is None else broker
        """What it serves."""
        self.capabilities: Capabilities = Capabilities() if capabilities is None else capabilities
        """What its clients may do."""
        self.hooks: Hooks = hooks
        """What decides and sees what they do."""
        self.store: Store | None = store
        """Where it keeps what outlasts the process."""
        self._service = Service(self.broker.core, self.capabilities, hooks, sys_interval, store)
        self._reporting = Reporting(self._service)

    def open_store(self) -> None:
        """Open the store now and bring back what is in it, if there is one; blocks.

        Who serves this calls it before, to be told of a store that can't be used. Again it does
        nothing.

        Raises:
            StoreError: the store can't be used; the text tells why.
        """
        if self._service.keeper is not None:
            self._service.keeper.open()

    async def open_store_in_thread(self) -> None:
        """As `open_store`, while other tasks go on.

        On cancel the opening is waited for, and the store stays open.

        Raises:
            StoreError: the store can't be used; the text tells why.
        """
        if self._service.keeper is not None:
            await self._service.keeper.open_in_thread()

    def let_go_of_store(self) -> None:
        """Close a store that was opened for a server that did not begin to serve."""
        if self._service.keeper is not None:
            self._service.keeper.let_go()

    @property
    def sys_interval(self) -> float:
        """Seconds between two looks at what ``$SYS/broker/...`` tells; 0: it tells nothing.

        It may be changed at any time. Setting it raises ConfigError for what is no interval.
        """
        return self._service.sys_topics.interval

    @sys_interval.setter
    def sys_interval(self, seconds: float) -> None:
        check_interval(seconds)
        self._service.sys_topics.interval = seconds

    # What the program does

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> int:
        """Publish with a QoS and properties, as a client would; `Broker.publish` has neither.

        Doesn't wait: of QoS 1 and 2 the clients' answers come later.

        Args:
            qos: 0, 1 or 2. Subscribers get it with this QoS, or that of their subscription if it is
                lower; and with 1 or 2 also when they are away and come back.
            retain: keep it as the last message of its topic; an empty payload ends that.
            properties: what subscribers of MQTT 5.0 get with it. Its expiry counts from now.

        Returns:
            How many subscribers took it; a group with shared subscriptions counts as one.

        Raises:
            TopicError: the topic is not allowed; nobody got the message.
            ConfigError: the QoS is not allowed; nobody got the message.
            TypeError: the payload is no `bytes`; nobody got the message.
            UnsendablePacket: a property that may not be there, or a value that it may not have;
                nobody got the message.
            RetainedFull: everybody got it, but there is no room to retain it.
        """
        if type(qos) is not int or not 0 <= qos <= 2:
            raise ConfigError(f"qos is {qos!r}; allowed are 0, 1 and 2")
        if type(payload) is not bytes:
            raise TypeError(f"the payload is of type {type(payload).__name__}; allowed is bytes")
        if properties is not None:
            encode_properties(properties, PacketType.PUBLISH)
        core = self._service.core
        try:
            return core.route(
                MQTTPublication(
                    *(encoded(topic), payload, qos, retain),
                    properties=properties,
                    received_at=core.clock(),
                )
            )
        finally:
            core.flush()

    def subscribe(
        self,
        *filters: str,
        waiting_messages: int = 1000,
        waiting_bytes: int = 33_554_432,
        overflow: OverflowPolicy = "drop-newest",
        name: str = "application",
    ) -> MQTTSubscription:
        """Subscribe as with `Broker.subscribe`; the messages tell how they were published.

        ::

            async with mqtt.subscribe("sensors/#") as messages:
                async for message in messages:
                    print(message.client_id, message.qos, message.payload)

        Arguments and errors are the same.
        """
        limits = subscription_limits(filters, waiting_messages, waiting_bytes, overflow)
        return MQTTSubscription(self._service.core, tuple(map(encoded, filters)), limits, name)

    def sessions(self) -> tuple[SessionStats, ...]:
        """The sessions of all clients, of those who are away too. Takes time for each."""
        return tuple(map(SessionStats.of, self._service.sessions))

    # What the admin endpoint shows

    async def report(self) -> Sequence[Figure]:
        """Figures of the broker: clients, sessions, queues, traffic, drops by reason, limits."""
        return await self._reporting.figures()

    async def report_clients(self, most: int) -> Sequence[Mapping[str, object]]:
        """So many sessions, those first for whom most waits."""
        return await self._reporting.clients(most)

    def report_client(self, client_id: str) -> Mapping[str, object] | None:
        """All about a client's session: subscriptions, queue, what is in flight; no payloads."""
        return self._reporting.client(client_id)

    # What its clients may do

    def refresh_rights(self) -> None:
        """Ask `Hooks.authorise` anew what each client may do, now that it would answer otherwise.

        It holds at once, for subscriptions that there are, too: what a client may not get any more
        it doesn't get. Its subscriptions stay, and the messages come again when it may.
        """
        self._service.refresh_rights()

    def limits_reached(self) -> dict[str, int]:
        """How often clients have reached a limit, by the name of its setting.

        Beside those of `Capabilities` there are ``topics``, those that the broker doesn't take, and
        ``retained``, messages that it had no room for. What was dropped as queues were full is
        under ``queue``.
        """
        service = self._service
        waiting = sum(each.outgoing.dropped for each in service.sessions)
        return {**service.sessions.hits, "queue": waiting + service.dropped}

    def disconnect(
        self, client_id: str, reason: ReasonCode | None = ReasonCode.ADMINISTRATIVE_ACTION
    ) -> bool:
        """End a client's connection. Its session stays, as if the client had gone.

        Args:
            reason: what a client of MQTT 5.0 is told; None: the connection ends without a word, as
                if the network had lost it.

        Returns:
            Whether it was there.
        """
        session = self._service.sessions.get(client_id)
        client = None if session is None else session.client
        if client is None:
            return False
        assert isinstance(client, Client)
        if reason is None:
            cast("Host", client.outside).abort()
        else:
            client.fail(reason, self._service.core.clock())
            self._service.core.flush()  # its will
        return True

    def disconnect_where(
        self,
        which: Callable[[ClientInfo], bool],
        reason: ReasonCode | None = ReasonCode.ADMINISTRATIVE_ACTION,
    ) -> int:
        """End the connections of those clients that a function picks; how many they were.

        It is asked about those that are known: there is a hook, or an observer.

        Args:
            reason: as of `disconnect`.
        """
        found = [
            session.client_id
            for session in self._service.sessions
            if isinstance(session, BrokerSession)
            and session.client is not None
            and session.who is not None
            and which(session.who)
        ]
        return sum(self.disconnect(client_id, reason) for client_id in found)

    # What a server calls

    def __call__(self, connection: Connection, /) -> ProtocolHandler:
        """The handler of a new connection."""
        return MQTTHandler(connection, self._service)

    def choose_subprotocol(self, offered: tuple[str, ...]) -> str | None:
        """Over WebSocket: ``mqtt`` [MQTT-6.0.0-3] [MQTT-6.0.0-4].

        Raises:
            ProtocolError: the client doesn't offer it.
        """
        for subprotocol in SUBPROTOCOLS:
            if subprotocol in offered:
                return subprotocol
        raise ProtocolError(f"subprotocols {', '.join(offered) or 'none'}; allowed is mqtt")

    async def attend(self) -> None:
        """See to what happens in time, until cancelled; a server runs it."""
        bridges = [Bridge(self._service, each).run for each in self.bridges]
        await self._service.run(*bridges)

    async def bridge(
        self, settings: BridgeSettings, *, ssl_context: ssl.SSLContext | None = None
    ) -> NoReturn:
        """Connect to another broker, again and again, until cancelled.

        It is for while this is served; `speedo_trio.mqtt.bridge` tells the rest.
        """
        await Bridge(self._service, settings, ssl_context).run()
