"""A login: who a client says that it is, and what it asks for, in CONNECT.

Next: `speedo_trio.mqtt.client.pulse`.
"""

from __future__ import annotations

from attrs import field, frozen

from speedo_trio.mqtt.wire.packets import Connect, Will
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reader import LEAST_LIMIT, MOST_PACKET_BYTES
from speedo_trio.mqtt.wire.versions import Version
from speedo_trio.pubsub.bounds import bound

MOST_IDS = 65_535
"""Packet identifiers: 1 to this. In 5.0 so many messages may be on their way unless the server has
told less."""
UNTOLD = 20
"""Before 5.0 a server can't tell how many it takes: as many as mosquitto does, unless it is set to
others. It ends the connections of clients that send more."""


@frozen(kw_only=True)
class Login:
    """What stands in CONNECT. What may not be sent raises `UnsendablePacket` when it is encoded."""

    client_id: str = ""
    """Empty: the server chooses one, if it does that."""
    version: Version = Version.MQTT_5_0
    clean_start: bool = True
    """Forget what was before. In 3.1 and 3.1.1 the session also ends with the connection."""
    session_expiry: int = field(default=0, validator=bound(0, 0xFFFF_FFFF))
    """Seconds that the session stays without a connection, in 5.0; 0xFFFFFFFF: for ever."""
    keep_alive: int = field(default=60, validator=bound(0, 0xFFFF))
    """Seconds; 0: none. The server may tell another number in 5.0."""
    user_name: str | None = None
    password: bytes | None = field(default=None, repr=False)
    will: Will | None = None
    receive_maximum: int = field(default=100, validator=bound(1, MOST_IDS))
    """Messages with QoS 1 or 2 that may come before one is acknowledged, in 5.0."""
    maximum_packet_size: int = field(
        default=MOST_PACKET_BYTES, validator=bound(LEAST_LIMIT, MOST_PACKET_BYTES)
    )
    """Bytes of a packet that may come. Before 5.0 the server isn't told."""
    user: tuple[tuple[str, str], ...] = ()
    """User properties, in 5.0."""
    bridge: bool = False
    """Whether to set the bit of mosquitto's bridges, before 5.0."""

    def packet(self) -> Connect:
        """The CONNECT."""
        return Connect(
            client_id=self.client_id,
            version=self.version,
            clean_start=self.clean_start,
            keep_alive=self.keep_alive,
            user_name=self.user_name,
            password=self.password,
            will=self.will,
            properties=self._properties() if self.version is Version.MQTT_5_0 else None,
            bridge=self.bridge and self.version is not Version.MQTT_5_0,
        )

    def _properties(self) -> Properties:
        most = self.maximum_packet_size
        return Properties(
            session_expiry_interval=self.session_expiry or None,
            receive_maximum=self.receive_maximum,
            maximum_packet_size=None if most == MOST_PACKET_BYTES else most,
            user=self.user,
        )
