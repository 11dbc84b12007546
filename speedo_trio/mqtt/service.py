"""MQTT on a broker: the factory of handlers, and what a program does beside its clients.

Next: `speedo_trio.mqtt.state.client`, the machine behind each handler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from speedo_trio.broker.broker import Broker, encoded, subscription_limits
from speedo_trio.errors import ConfigError, ProtocolError
from speedo_trio.mqtt.common import Service
from speedo_trio.mqtt.handler import MQTTHandler
from speedo_trio.mqtt.hooks import NO_HOOKS, Hooks
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
    from speedo_trio.mqtt.store.contract import Store
    from speedo_trio.mqtt.wire.properties import Properties
    from speedo_trio.protocol.handler import Connection, ProtocolHandler
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
        store: Store | None = None,
    ) -> None:
        """Serve a broker.

        Args:
            broker: shared with the program or other protocols; None gives it its own.
            capabilities: what clients may do; None for the defaults.
            hooks: what decides and sees what clients do.
            sys_interval: seconds between two looks at what ``$SYS/broker/...`` tells; 0: it tells
                nothing.
            store: where sessions, messages and what is retained outlast the process; None:
                nowhere. It is opened by `open_store`, or when a server begins to serve this, and
                closed when the last one has ended.

        Raises:
            ConfigError: the interval is not allowed.
        """
        check_interval(sys_interval)
        self.broker: Broker = Broker() if broker is None else broker
        """What it serves."""
        self.capabilities: Capabilities = Capabilities() if capabilities is None else capabilities
        """What its clients may do."""
        self.hooks: Hooks = hooks
        """What decides and sees what they do."""
        self.store: Store | None = store
        """Where it keeps what outlasts the process."""
        self._service = Service(self.broker.core, self.capabilities, hooks, sys_interval, store)

    def open_store(self) -> None:
        """Open the store now and bring back what is in it, if there is one; blocks.

        Who serves this calls it before, to be told of a store that can't be used. Again it does
        nothing.

        Raises:
            StoreError: the store can't be used; the text tells why.
        """
        if self._service.keeper is not None:
            self._service.keeper.open()

    def let_go_of_store(self) -> None:
        """Close a store that was opened for a server that did not begin to serve."""
        if self._service.keeper is not None:
            self._service.keeper.let_go()

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
        handler = client.outside
        assert isinstance(handler, MQTTHandler)
        if reason is None:
            handler.connection.abort()
        else:
            client.fail(reason, self._service.core.clock())
            self._service.core.flush()  # its will
        return True

    # What a server calls

    def __call__(self, connection: Connection, /) -> ProtocolHandler:
        """The handler of a new connection."""
        self.open_store()
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
        await self._service.run()
