"""The fifteen packets of MQTT, the same classes for all versions and both directions.

They may be changed, though nobody should: making frozen ones takes four times as long. Who makes
one may give any values; `encode` refuses what may not be sent. What is read keeps to the types
here and the bounds of the standard.

Topics and filters are the `bytes` of their UTF-8, as in `speedo_trio.pubsub.topics`.

Next: `speedo_trio.mqtt.wire.reader`, which makes packets of bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from attrs import define, field, frozen

from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.versions import Version

if TYPE_CHECKING:
    from speedo_trio.mqtt.wire.properties import Properties


@define
class Will:
    """What a CONNECT wants published when its connection ends badly (section 3.1.2.5)."""

    topic: bytes
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    properties: Properties | None = None


@define(kw_only=True)
class Connect:
    """CONNECT: the first packet of a client."""

    client_id: str
    """Empty: the server is to choose one. What else is allowed is not for the codec to say."""
    version: Version = Version.MQTT_5_0
    clean_start: bool = True
    """3.1 and 3.1.1 call it clean session, which also ends the session with the connection."""
    keep_alive: int = 0
    """Seconds; 0: none."""
    user_name: str | None = None
    password: bytes | None = field(default=None, repr=False)
    will: Will | None = None
    properties: Properties | None = None
    bridge: bool = False
    """The level has its top bit set, as bridges of mosquitto do in 3.1 and 3.1.1."""


@define
class ConnAck:
    """CONNACK: the server's answer to CONNECT."""

    reason: ReasonCode = ReasonCode.SUCCESS
    """3.1 and 3.1.1 have six return codes: see `CONNECT_RETURN_CODES`."""
    session_present: bool = False
    """3.1 has no place for it."""
    properties: Properties | None = None


@define
class Publish:
    """PUBLISH: a message, to the server or from it."""

    topic: bytes
    """Empty only in 5.0 with a topic alias."""
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    dup: bool = False
    packet_id: int = 0
    """0 with QoS 0, and never otherwise."""
    properties: Properties | None = None
    raw: bytes | None = field(default=None, eq=False, repr=False)
    """The packet's own bytes, as read: only of one that has QoS 0, no properties, and is not to be
    retained; and not of one over 16 KiB, which would be held twice. They may be sent on as they are
    to those who speak the same version, 3.1 and 3.1.1 being alike."""


@define
class PubAck:
    """PUBACK: the answer to a PUBLISH with QoS 1.

    3.1 and 3.1.1 have no place for a reason in the four answers of a PUBLISH: it is left out.
    """

    packet_id: int
    reason: ReasonCode = ReasonCode.SUCCESS
    properties: Properties | None = None


@define
class PubRec:
    """PUBREC: the answer to a PUBLISH with QoS 2."""

    packet_id: int
    reason: ReasonCode = ReasonCode.SUCCESS
    properties: Properties | None = None


@define
class PubRel:
    """PUBREL: the answer to a PUBREC."""

    packet_id: int
    reason: ReasonCode = ReasonCode.SUCCESS
    properties: Properties | None = None


@define
class PubComp:
    """PUBCOMP: the answer to a PUBREL."""

    packet_id: int
    reason: ReasonCode = ReasonCode.SUCCESS
    properties: Properties | None = None


@frozen
class SubscriptionOptions:
    """What goes with a filter in SUBSCRIBE (section 3.8.3.1). 3.1 and 3.1.1 have only the QoS."""

    qos: int = 0
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0
    """0: send what is retained; 1: if the subscription is new; 2: don't."""


@define
class Subscribe:
    """SUBSCRIBE: filters with their options."""

    packet_id: int
    subscriptions: list[tuple[bytes, SubscriptionOptions]]
    """One or more. The filters are UTF-8 and not empty; their wildcards have not been looked at."""
    properties: Properties | None = None


@define
class SubAck:
    """SUBACK: a reason code for each filter of a SUBSCRIBE."""

    packet_id: int
    reasons: list[ReasonCode]
    """3.1 and 3.1.1 have a QoS or 0x80 for every failure."""
    properties: Properties | None = None


@define
class Unsubscribe:
    """UNSUBSCRIBE: filters."""

    packet_id: int
    filters: list[bytes]
    """One or more, UTF-8 and not empty."""
    properties: Properties | None = None


@define
class UnsubAck:
    """UNSUBACK: a reason code for each filter of an UNSUBSCRIBE."""

    packet_id: int
    reasons: list[ReasonCode] = field(factory=list)
    """3.1 and 3.1.1 have no place for them: they are left out, and none are read."""
    properties: Properties | None = None


@define
class PingReq:
    """PINGREQ: a client's sign of life."""


@define
class PingResp:
    """PINGRESP: the server's answer to PINGREQ."""


@define
class Disconnect:
    """DISCONNECT: the last packet. In 3.1 and 3.1.1 only a client sends it, and gives no reason."""

    reason: ReasonCode = ReasonCode.NORMAL_DISCONNECTION
    properties: Properties | None = None


@define
class Auth:
    """AUTH: a step of an authentication of several steps. Only MQTT 5.0 has it."""

    reason: ReasonCode = ReasonCode.SUCCESS
    properties: Properties | None = None


Packet: TypeAlias = (
    Connect
    | ConnAck
    | Publish
    | PubAck
    | PubRec
    | PubRel
    | PubComp
    | Subscribe
    | SubAck
    | Unsubscribe
    | UnsubAck
    | PingReq
    | PingResp
    | Disconnect
    | Auth
)
"""Any packet."""
