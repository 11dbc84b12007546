"""An MQTT server inside a Trio program: broker, protocol and listeners, started by one call.

Next: `speedo_trio.mqtt.thread`, for programs that don't run on Trio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from speedo_trio.broker.broker import Broker
from speedo_trio.config import Config
from speedo_trio.errors import ConfigError
from speedo_trio.logs.event_log import EventLog
from speedo_trio.mqtt.hooks import NO_HOOKS, Hooks
from speedo_trio.mqtt.service import MQTT
from speedo_trio.server import serve

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable
    from typing import NoReturn

    from speedo_trio.broker.limits import BrokerLimits
    from speedo_trio.events import Address, DrainReport, Observer
    from speedo_trio.mqtt.bridging.settings import BridgeSettings
    from speedo_trio.mqtt.state.capabilities import Capabilities
    from speedo_trio.mqtt.store.contract import Store
    from speedo_trio.mqtt.subscription import MQTTSubscription
    from speedo_trio.mqtt.wire.properties import Properties
    from speedo_trio.pubsub.outbox import OverflowPolicy
    from speedo_trio.server import Server

DEFAULT_BIND: Final = "tcp://localhost:1883"
DEFAULT_CONFIG = Config()
SYS_INTERVAL: Final = 10.0
DEFAULT_OBSERVER = EventLog()
"""Stands for an `EventLog` of the server's own."""

_SCHEMES: Final = {"tcp": "mqtt", "tls": "mqtts"}
_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # where to connect, not to listen


class MQTTServer:
    """A running MQTT server: what it is made of, and what is most wanted of it at hand.

    All of it is for the Trio thread.
    """

    def __init__(self, mqtt: MQTT, server: Server) -> None:
        self.mqtt: MQTT = mqtt
        """The protocol: publishes with a QoS, tells of sessions and ends them."""
        self.server: Server = server
        """The connections, settings and statistics."""

    @property
    def broker(self) -> Broker:
        """Who is subscribed, and what is retained; other protocols may serve it too."""
        return self.mqtt.broker

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where it listens."""
        return self.server.addresses

    @property
    def port(self) -> int:
        """The port that it listens on, of several the first; 0: on none."""
        return next((each.port for each in self.addresses if each.port), 0)

    @property
    def url(self) -> str:
        """Where clients reach it: ``mqtt://127.0.0.1:1883``, of several addresses the first.

        Raises:
            LookupError: it listens nowhere.
        """
        if not self.addresses:
            raise LookupError("the server listens nowhere, so it has no URL")
        return client_url(self.addresses[0])

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> int:
        """Publish as `MQTT.publish` does."""
        return self.mqtt.publish(topic, payload, qos=qos, retain=retain, properties=properties)

    def subscribe(
        self,
        *filters: str,
        waiting_messages: int = 1000,
        waiting_bytes: int = 33_554_432,
        overflow: OverflowPolicy = "drop-newest",
        name: str = "application",
    ) -> MQTTSubscription:
        """Subscribe as `MQTT.subscribe` does."""
        return self.mqtt.subscribe(
            *filters,
            waiting_messages=waiting_messages,
            waiting_bytes=waiting_bytes,
            overflow=overflow,
            name=name,
        )

    async def drain(
        self, grace: float | None = None, kill_after: float | None = None
    ) -> DrainReport:
        """End it in good order, as `Server.drain` does."""
        return await self.server.drain(grace, kill_after)


async def serve_mqtt(
    *binds: str,
    config: Config = DEFAULT_CONFIG,
    capabilities: Capabilities | None = None,
    limits: BrokerLimits | None = None,
    broker: Broker | None = None,
    hooks: Hooks = NO_HOOKS,
    sys_interval: float = SYS_INTERVAL,
    bridges: Iterable[BridgeSettings] = (),
    store: Store | None = None,
    observer: Observer | None = DEFAULT_OBSERVER,
    task_status: trio.TaskStatus[MQTTServer] = trio.TASK_STATUS_IGNORED,
) -> DrainReport:
    """Serve MQTT until drained or cancelled.

    ::

        mqtt = await nursery.start(serve_mqtt, "tcp://localhost:0")
        mqtt.publish("sensors/kitchen", b"21.5", retain=True)

    It is `serve` with an `MQTT` of its own; what both of them tell holds here too.

    Args:
        binds: where to listen; ``tcp://localhost:1883`` if none is given.
        config: limits, timeouts and workers.
        capabilities: what clients may do.
        limits: how much the broker keeps.
        broker: one to share with the program or other protocols; it has its own limits.
        hooks: what decides and sees what clients do.
        sys_interval: seconds between two looks at what ``$SYS/broker/...`` tells; 0: it tells
            nothing.
        bridges: other brokers to connect to.
        store: where sessions, messages and what is retained outlast the process, such as a
            `SQLiteStore`; None: nowhere.
        observer: gets the events of server and broker; an `EventLog` unless given, None for nobody.
        task_status: given by `trio.Nursery.start`; gets the `MQTTServer`.

    Returns:
        What the drain did. `MQTTServer.drain` starts it.

    Raises:
        ConfigError: both a broker and limits, an interval that is not allowed, or two bridges with
            one name.
        BindError: an address cannot be listened on, or a certificate can't be used; then nothing
            was started.
        StoreError: the store can't be used; nothing was started.

    On cancel: the hard stop, as of `serve`. Clients are not told; their wills are published.
    """
    if broker is not None and limits is not None:
        raise ConfigError("limits and a broker; allowed is one of them, a broker has its own")
    observer = EventLog() if observer is DEFAULT_OBSERVER else observer
    broker = Broker(limits, observer=observer) if broker is None else broker
    mqtt = MQTT(
        broker, capabilities, hooks=hooks, sys_interval=sys_interval, bridges=bridges, store=store
    )
    await mqtt.open_store_in_thread()
    try:
        return await serve(
            mqtt,
            *(binds or (DEFAULT_BIND,)),
            config=config,
            observer=observer,
            task_status=_Starting(mqtt, task_status),
        )
    finally:
        mqtt.let_go_of_store()


async def bridge(
    mqtt: MQTT | MQTTServer,
    settings: BridgeSettings,
    *,
    ssl_context: ssl.SSLContext | None = None,
) -> NoReturn:
    """Exchange messages with another broker, until cancelled.

    ::

        topics = [BridgeTopic(filter="sensors/#", remote_prefix="site-7/")]
        settings = BridgeSettings(name="cloud", url="mqtts://broker.example", topics=topics)
        nursery.start_soon(bridge, mqtt, settings)

    It connects again whenever the connection has ended, after a while. What is to go out waits in a
    session of this broker meanwhile. What goes wrong is logged, and the state published.

    Args:
        mqtt: this broker. It must be served somewhere, or what is large is not sent.
        settings: which broker to connect to, and which topics go which way.
        ssl_context: TLS in place of what the settings say.

    On cancel: the other broker is told, which takes a second at most; the session waits.
    """
    service = mqtt.mqtt if isinstance(mqtt, MQTTServer) else mqtt
    await service.bridge(settings, ssl_context=ssl_context)


def client_url(address: Address) -> str:
    """The URL by which clients of this machine reach an address that is listened on."""
    scheme = _SCHEMES.get(address.scheme, address.scheme)
    host = _WILDCARDS.get(address.host, address.host)
    if not address.port:
        return str(address)
    return (
        f"{scheme}://[{host}]:{address.port}"
        if ":" in host
        else f"{scheme}://{host}:{address.port}"
    )


class _Starting(trio.TaskStatus["Server"]):
    """Makes an `MQTTServer` of a `Server` that has started, and passes it on."""

    def __init__(self, mqtt: MQTT, task_status: trio.TaskStatus[MQTTServer]) -> None:
        self._mqtt = mqtt
        self._task_status = task_status

    def started(self, value: Server | None = None) -> None:
        assert value is not None
        self._task_status.started(MQTTServer(self._mqtt, value))
