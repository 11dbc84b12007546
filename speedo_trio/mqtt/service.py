"""The service: MQTT on a broker, as a factory of handlers.

Next: `speedo_trio.mqtt.state.client`, the machine behind each handler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from speedo_trio.broker.broker import Broker
from speedo_trio.errors import ProtocolError
from speedo_trio.mqtt.caretaker import Caretaker
from speedo_trio.mqtt.handler import MQTTHandler
from speedo_trio.mqtt.hub import BrokerHub, BrokerSession
from speedo_trio.mqtt.state.capabilities import Capabilities
from speedo_trio.mqtt.state.sessions import Sessions

if TYPE_CHECKING:
    from speedo_trio.broker.core import BrokerCore
    from speedo_trio.protocol.handler import Connection, ProtocolHandler

SUBPROTOCOLS = ("mqtt", "mqttv3.1")
"""What WebSocket clients ask for; the second is of clients older than the standard."""


class Service:
    """What the handlers of one MQTT server share."""

    def __init__(self, core: BrokerCore, capabilities: Capabilities) -> None:
        self.core = core
        self.capabilities = capabilities
        self.sessions = Sessions(capabilities, BrokerHub(core), make=BrokerSession.make)
        self.caretaker = Caretaker(self.sessions, core.clock, core.flush)


class MQTT:
    """Serves a broker to clients of MQTT 3.1, 3.1.1 and 5.0: a `ProtocolHandlerFactory`.

    ::

        await nursery.start(serve, MQTT(broker), "tcp://localhost:1883")
    """

    def __init__(
        self, broker: Broker | None = None, capabilities: Capabilities | None = None
    ) -> None:
        """Give a broker to share it with the program or other protocols; else it has its own."""
        self.broker: Broker = Broker() if broker is None else broker
        """What it serves."""
        self.capabilities: Capabilities = Capabilities() if capabilities is None else capabilities
        """What its clients may do."""
        self._service = Service(self.broker.core, self.capabilities)

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
        await self._service.caretaker.run()
