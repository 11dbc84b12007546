"""Paho's client for Python, with what comes to it in queues; import it where paho is there."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from queue import Empty, Queue
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.judges.mqtt_broker import MQTTBroker
from tests.judges.program import PATIENCE

V31, V311, V5 = (
    MQTTProtocolVersion.MQTTv31,
    MQTTProtocolVersion.MQTTv311,
    MQTTProtocolVersion.MQTTv5,
)

Codes: TypeAlias = list[int]


def of(kind: int, **properties: Any) -> Properties:  # Any: whatever type a property has
    """The properties of a packet, by Paho's names."""
    made = Properties(kind)  # type: ignore[no-untyped-call]  # it is untyped
    for name, value in properties.items():
        setattr(made, name, value)
    return made


def properties(message: MQTTMessage) -> Any:  # Any: its attributes come and go
    """The properties of a message that came by 5.0."""
    assert message.properties is not None
    return message.properties


class Paho:
    """A client that is connected when its block begins, and disconnects at its end.

    Where Paho calls back, something lies in a queue for the test to take.
    """

    def __init__(
        self,
        broker: MQTTBroker,
        client_id: str = "",
        version: MQTTProtocolVersion = V5,
        *,
        by: str = "tcp",
        trust: str = "",
        keep_alive: int = 60,
        clean: bool = True,
        stays: int = 0,
        manual: bool = False,
        window: int = 20,
        **properties: Any,
    ) -> None:
        """Make one.

        Args:
            broker: whom it talks to.
            client_id: empty to have one chosen.
            version: what it speaks.
            by: the broker's bind.
            trust: a file with the certificate of whom it trusts.
            keep_alive: in seconds.
            clean: whether it wants a clean session, or start.
            stays: seconds that its session is to stay; only in 5.0, before it depends on `clean`.
            manual: whether it acknowledges only what it is told to.
            window: how many messages it has on their way at once.
            properties: those of CONNECT, by Paho's names.
        """
        self.client = Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=None if version is V5 else clean,
            protocol=version,
            transport="websockets" if by.startswith("ws") else "tcp",
            reconnect_on_failure=False,
            manual_ack=manual,
        )
        self.client.max_inflight_messages = window
        if trust:
            self.client.tls_set_context(ssl.create_default_context(cafile=trust))
        self._connect: dict[str, Any] = {"port": broker.port(by), "keepalive": keep_alive}
        if version is V5:
            asked = of(PacketTypes.CONNECT, SessionExpiryInterval=stays, **properties)
            self._connect |= {"clean_start": clean, "properties": asked}
        self.connected: Queue[tuple[ConnectFlags, ReasonCode, Any]] = Queue()
        self.disconnected: Queue[int] = Queue()
        self.messages: Queue[MQTTMessage] = Queue()
        self.granted: Queue[Codes] = Queue()
        self.released: Queue[Codes] = Queue()
        self.published: Queue[int] = Queue()
        self.present = False
        """Whether the broker had a session of it."""
        self.told: Any = None
        """The properties of CONNACK."""
        self._gone = False
        self._call_back()

    def _call_back(self) -> None:
        client = self.client
        client.on_connect = lambda _, __, flags, code, told: self.connected.put((flags, code, told))
        client.on_disconnect = self._on_disconnect
        client.on_message = lambda _, __, message: self.messages.put(message)
        client.on_subscribe = lambda _, __, ___, codes, ____: self.granted.put(numbers(codes))
        client.on_unsubscribe = lambda _, __, ___, codes, ____: self.released.put(numbers(codes))
        client.on_publish = lambda _, __, ___, code, ____: self.published.put(code.value)

    def _on_disconnect(
        self, client: Client, own: object, flags: DisconnectFlags, code: ReasonCode, told: object
    ) -> None:
        self._gone = True
        self.disconnected.put(code.value)

    def __enter__(self) -> Self:
        self.client.connect("localhost", **self._connect)
        self.start()
        return self

    def start(self) -> None:
        """Run, with the connection that there is now, until CONNACK has come."""
        self._gone = False
        self.client.loop_start()
        try:
            flags, code, self.told = self.connected.get(timeout=PATIENCE)
            assert not code.is_failure, code
        except BaseException:
            self.cut()
            raise
        self.present = flags.session_present

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.leave()

    def leave(self, reason: int = 0, **properties: Any) -> None:
        """Disconnect. Does nothing the second time."""
        if not self._gone:
            if reason or properties:
                code = ReasonCode(PacketTypes.DISCONNECT, identifier=reason)
                self.client.disconnect(code, of(PacketTypes.DISCONNECT, **properties))
            else:
                self.client.disconnect()
            self.disconnected.get(timeout=PATIENCE)
        self.cut()

    def cut(self) -> None:
        """Vanish without a word."""
        self._gone = True
        connected = self.client.socket()
        under = getattr(connected, "_socket", connected)  # of a WebSocket
        if isinstance(under, socket.socket):
            with suppress(OSError):  # it has gone before
                under.shutdown(socket.SHUT_RDWR)
        self.client.loop_stop()
        self.client._reset_sockets()  # which reconnect() forgets

    def be_silent(self) -> None:
        """Send no more pings."""
        self.client._check_keepalive = lambda: None  # type: ignore[method-assign]  # as is meant

    def subscribe(self, *filters: str, qos: int = 2, **options: Any) -> Codes:
        """Subscribe, and give the reason codes.

        Args:
            filters: to what.
            qos: for all of them.
            options: those of MQTT 5.0, by Paho's names; or `identifier`.
        """
        identifier = options.pop("identifier", None)
        if self.client.protocol is V5:
            given = {"SubscriptionIdentifier": identifier} if identifier else {}
            self.client.subscribe(
                [(each, SubscribeOptions(qos, **options)) for each in filters],
                properties=of(PacketTypes.SUBSCRIBE, **given),
            )
        else:
            self.client.subscribe([(each, qos) for each in filters])
        return self.granted.get(timeout=PATIENCE)

    def unsubscribe(self, *filters: str) -> Codes:
        """Unsubscribe, and give the reason codes."""
        self.client.unsubscribe(list(filters))
        return self.released.get(timeout=PATIENCE)

    def publish(
        self,
        topic: str,
        payload: bytes | str = "",
        qos: Literal[0, 1, 2] = 2,
        *,
        retain: bool = False,
        **properties: Any,
    ) -> int:
        """Publish something, and wait for its last acknowledgement; its reason code."""
        given = of(PacketTypes.PUBLISH, **properties) if properties else None
        self.client.publish(topic, payload, qos, retain, given)
        return self.published.get(timeout=PATIENCE)

    def message(self) -> MQTTMessage:
        """The next message."""
        return self.messages.get(timeout=PATIENCE)

    def payloads(self, count: int) -> list[bytes]:
        """The payloads of the next messages."""
        return [bytes(self.message().payload) for _ in range(count)]

    def nothing(self) -> bool:
        """Whether no message has come. All that was sent before has been, behind a round trip."""
        self.subscribe("nothing")
        try:
            self.messages.get_nowait()
        except Empty:
            return True
        return False


def numbers(codes: list[ReasonCode]) -> Codes:
    """Reason codes as they are sent."""
    return [code.value for code in codes]
