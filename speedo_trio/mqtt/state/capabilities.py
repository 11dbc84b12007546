"""Capabilities: all that a server offers its clients or forbids them.

Next: `speedo_trio.mqtt.state.publication`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from attrs import field, frozen

from speedo_trio.errors import ConfigError
from speedo_trio.mqtt.wire.properties import MOST_VARIABLE
from speedo_trio.mqtt.wire.versions import Version
from speedo_trio.pubsub.bounds import bound
from speedo_trio.pubsub.outbox import OutboxLimits, Overflow, OverflowPolicy, check_overflow

if TYPE_CHECKING:
    from attrs import Attribute

NEVER: Final = 0xFFFF_FFFF
"""The session expiry interval that says that a session stays for ever (section 3.1.2.11.2)."""


VersionName: TypeAlias = Literal["3.1", "3.1.1", "5.0"]
TooFast: TypeAlias = Literal["wait", "disconnect"]

_NAMES: Final[dict[str, Version]] = {
    "3.1": Version.MQTT_3_1,
    "3.1.1": Version.MQTT_3_1_1,
    "5.0": Version.MQTT_5_0,
}


def version_named(name: VersionName) -> Version:
    """The version that is called so."""
    return _NAMES[name]


def _versions(owner: object, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, tuple | list) or not value or not set(value) <= set(_NAMES):
        raise ConfigError(
            f"{attribute.name} is {value!r}; allowed is a list with one or more of "
            + ", ".join(map(repr, _NAMES))
        )


def _flag(owner: object, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigError(f"{attribute.name} is {value!r}; allowed is true or false")


def _or_none(value: str | None) -> str | None:
    return None if isinstance(value, str) and value.lower() == "none" else value


def _reference(owner: object, attribute: Attribute[Any], value: object) -> None:
    if value is not None and not (isinstance(value, str) and value):
        raise ConfigError(f"{attribute.name} is {value!r}; allowed is a text or none")


def _seconds(owner: object, attribute: Attribute[Any], value: float) -> None:
    if type(value) not in {int, float} or not 0 < value < float("inf"):
        raise ConfigError(f"{attribute.name} is {value!r}; allowed is a number of seconds over 0")


def _seconds_or_0(owner: object, attribute: Attribute[Any], value: float) -> None:
    if type(value) not in {int, float} or not 0 <= value < float("inf"):
        raise ConfigError(
            f"{attribute.name} is {value!r}; allowed is a number of seconds of 0 or more"
        )


def _keep_alive(owner: object, attribute: Attribute[Any], value: int | None) -> None:
    if value is not None:
        bound(0, 0xFFFF)(owner, attribute, value)


def _no_rate(value: float | str | None) -> float | None:
    if isinstance(value, str):
        return None if value.lower() == "none" else value  # type: ignore[return-value]  # refused
    return value


def _rate(owner: object, attribute: Attribute[Any], value: float | None) -> None:
    low, high = 0.001, 1_000_000
    if value is None or (type(value) in {int, float} and low <= value <= high):
        return
    raise ConfigError(
        f"{attribute.name} is {value!r}; allowed is a number from {low} to {high} or none"
    )


def _too_fast(owner: object, attribute: Attribute[Any], value: object) -> None:
    if value not in get_args(TooFast):
        allowed = " or ".join(map(repr, get_args(TooFast)))
        raise ConfigError(f"{attribute.name} is {value!r}; allowed is {allowed}")


@frozen(kw_only=True)
class Capabilities:
    """What a server offers and forbids. One object serves all the clients of a listener.

    The defaults offer all of the standard and bound what one client can take up.
    """

    versions: tuple[VersionName, ...] = field(default=("3.1", "3.1.1", "5.0"), validator=_versions)
    """What is spoken. Others are answered that their version is not supported."""
    maximum_qos: int = field(default=2, validator=bound(0, 2))
    """The highest QoS that a client may publish with, and gets by a subscription."""
    retain_available: bool = field(default=True, validator=_flag)
    """Whether clients may have messages retained."""
    wildcard_subscriptions: bool = field(default=True, validator=_flag)
    """Whether filters may have wildcards."""
    subscription_identifiers: bool = field(default=True, validator=_flag)
    """Whether subscriptions may have identifiers."""
    shared_subscriptions: bool = field(default=True, validator=_flag)
    """Whether clients may share subscriptions. Those of 3.1 and 3.1.1 may too."""
    receive_maximum: int = field(default=1000, validator=bound(1, 65_535))
    """Messages with QoS 1 or 2 that a client of 5.0 may have on their way to the server. So a
    client that is 100 ms away can publish 10,000 a second. What is held for each is an integer."""
    maximum_packet_size: int = field(default=1_048_576, validator=bound(64, MOST_VARIABLE + 5))
    """Bytes of a packet from a client, its fixed header included. A client that sends one slowly
    takes so much memory, and one that doesn't take what is published to it does so too."""
    topic_alias_maximum: int = field(default=16, validator=bound(0, 65_535))
    """Topic aliases that a client may use; each holds a topic of 64 KiB at most."""
    topic_aliases_sent: int = field(default=16, validator=bound(0, 65_535))
    """Topic aliases that are used to a client that allows some. They save bytes, not time."""
    server_keep_alive: int | None = field(default=None, validator=_keep_alive)
    """Seconds that clients of 5.0 are told to keep alive by, 0 for not at all; None: they say."""
    maximum_session_expiry: int = field(default=604_800, validator=bound(0, NEVER))
    """Seconds that a session stays after its connection has closed, at most; 0xFFFFFFFF: for ever.
    A week: over the holidays of a device, and not for the years that a forgotten one is away.
    Sessions of 3.1 and 3.1.1, which would stay for ever, stay for so long."""
    assign_client_ids: bool = field(default=True, validator=_flag)
    """Whether a client may leave it to the server to choose its client identifier."""
    maximum_client_id_size: int = field(default=1024, validator=bound(23, 65_535))
    """Bytes of a client identifier."""
    maximum_subscriptions: int = field(default=1000, validator=bound())
    """Filters that a session may be subscribed to."""
    all_subscriptions: int = field(default=1_000_000, validator=bound())
    """Filters that all sessions together may be subscribed to."""
    publish_rate: float | None = field(default=None, converter=_no_rate, validator=_rate)
    """Messages a second that a client may publish. none: as many as it can."""
    publish_burst: int = field(default=1000, validator=bound())
    """Messages that it may publish at once beside that."""
    when_too_fast: TooFast = field(default="wait", validator=_too_fast)
    """What happens to a client that publishes faster: "wait" reads nothing more of it until it is
    as far as it may be, "disconnect" ends its connection."""
    maximum_inflight: int = field(default=100, validator=bound(1, 65_535))
    """Messages with QoS 1 or 2 that are on their way to a client and not acknowledged. A client
    that is 10 ms away can take 10,000 a second; more would mostly be held here, and be sent
    again after a reconnect. A client's own receive maximum may lower it."""
    queue_messages: int = field(default=1000, validator=bound())
    """Messages with QoS 1 or 2 that wait for a client that is away, or slow. As in mosquitto."""
    queue_bytes: int = field(default=1_048_576, validator=bound())
    """Bytes of their topics, payloads and properties."""
    overflow: OverflowPolicy = field(default="drop-newest", validator=check_overflow)
    """What happens to a message for which the queue has no room. Of a client that is away there is
    nothing to end: "disconnect" drops the newest then."""
    stall_timeout: float = field(default=0.2, validator=_seconds_or_0)
    """Seconds after which a client that takes nothing of its queue is stalled. While the queue of a
    connected one is more than half full and it isn't, those who publish to it with QoS 1 or 2 are
    held: they are acknowledged as fast as it takes. Who is stalled holds up nobody. 0: nobody is
    ever held."""
    maximum_offline_sessions: int = field(default=10_000, validator=bound(0))
    """Sessions that stay while their clients are away. When there is one more, the session ends
    whose client has been away for longest: it is the likeliest to be of no use any more."""
    connect_timeout: float = field(default=10, validator=_seconds)
    """Seconds from the opening of the connection to CONNECT, and from there to the end of an
    authentication of several steps."""
    authentication_steps: int = field(default=10, validator=bound())
    """AUTH packets of a client in one authentication. SCRAM and Kerberos need one or two."""
    server_reference: str | None = field(default=None, converter=_or_none, validator=_reference)
    """Another server, told to clients that are sent there (0x9C, 0x9D) if a hook names none."""

    @property
    def spoken(self) -> frozenset[Version]:
        """What is spoken."""
        return frozenset(_NAMES[name] for name in self.versions)

    @property
    def queue(self) -> OutboxLimits:
        """How much may wait for a client."""
        return OutboxLimits(
            messages=self.queue_messages, bytes=self.queue_bytes, overflow=Overflow(self.overflow)
        )
