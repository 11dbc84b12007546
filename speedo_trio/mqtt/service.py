"""The service: MQTT on a broker, as a factory of handlers.

Next: `speedo_trio.mqtt.state.client`, the machine behind each handler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from speedo_trio.broker.broker import Broker
from speedo_trio.errors import ProtocolError
from speedo_trio.mqtt.calls import Calls
from speedo_trio.mqtt.caretaker import Caretaker
from speedo_trio.mqtt.handler import MQTTHandler
from speedo_trio.mqtt.hooks import NO_HOOKS, Hooks
from speedo_trio.mqtt.hub import BrokerHub, BrokerSession
from speedo_trio.mqtt.referee import asking
from speedo_trio.mqtt.register import Register
from speedo_trio.mqtt.state.asks import NOTHING
from speedo_trio.mqtt.state.capabilities import Capabilities
from speedo_trio.mqtt.sys_topics import SysTopics, check_interval
from speedo_trio.mqtt.teller import Teller
from speedo_trio.mqtt.traffic import Traffic
from speedo_trio.mqtt.wills import Wills

if TYPE_CHECKING:
    from speedo_trio.broker.core import BrokerCore
    from speedo_trio.mqtt.state.publication import MQTTPublication
    from speedo_trio.protocol.handler import Connection, ProtocolHandler

SUBPROTOCOLS = ("mqtt", "mqttv3.1")
"""What WebSocket clients ask for; the second is of clients older than the standard."""


class Service:
    """What the handlers of one MQTT server share."""

    def __init__(
        self, core: BrokerCore, capabilities: Capabilities, hooks: Hooks, sys_interval: float
    ) -> None:
        self.core = core
        self.capabilities = capabilities
        self._teller = None if hooks.observe is None else Teller(hooks.observe, hooks)
        self.tell = None if self._teller is None else self._teller.tell
        """Tells of an event; None: nobody wants to know."""
        self.asking = asking(hooks)
        """What the machines ask."""
        self.calls = Calls(hooks, self.tell)
        hub = BrokerHub(core, self.tell)
        self._wills = Wills(self.calls, self._publish_will) if self.asking.publish else None
        if self._wills is not None:
            hub.judge_will = self._wills.put
        self._hub = hub
        self.sessions = Register(capabilities, hub, make=BrokerSession.make)
        self.caretaker = Caretaker(self.sessions, core.clock, core.flush)
        self.traffic = Traffic()
        self._sys = SysTopics(core, hub, self.sessions, self.traffic, sys_interval)
        self._one = trio.Lock()

    @property
    def knows_clients(self) -> bool:
        """Whether anybody wants to know who the clients are."""
        return self.asking != NOTHING or self.tell is not None

    async def run(self) -> None:
        """Do what is of no single connection until cancelled. A second task waits for the first."""
        async with self._one, trio.open_nursery() as nursery:
            for one in (self.caretaker, self._wills, self._teller, self._sys):
                if one is not None:
                    nursery.start_soon(one.run)

    def _publish_will(self, will: MQTTPublication) -> None:
        self._hub.publish_judged(will)
        self.core.flush()


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
    ) -> None:
        """Serve a broker.

        Args:
            broker: shared with the program or other protocols; None gives it its own.
            capabilities: what clients may do; None for the defaults.
            hooks: what decides and sees what clients do.
            sys_interval: seconds between two looks at what ``$SYS/broker/...`` tells; 0: it tells
                nothing.

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
        self._service = Service(self.broker.core, self.capabilities, hooks, sys_interval)

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
        await self._service.run()
