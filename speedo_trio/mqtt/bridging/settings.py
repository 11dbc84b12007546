"""The settings of a bridge: which broker it connects to, as whom, and which topics go which way.

Next: `speedo_trio.mqtt.bridging.topics`.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from attrs import field, frozen

from speedo_trio.errors import ConfigError, TopicError
from speedo_trio.mqtt.client.login import MOST_IDS, UNTOLD
from speedo_trio.mqtt.client.target import parse_target
from speedo_trio.mqtt.state.capabilities import VersionName
from speedo_trio.mqtt.wire.reader import LEAST_LIMIT, MOST_PACKET_BYTES
from speedo_trio.pubsub.bounds import bound
from speedo_trio.pubsub.topics import SHARED, check_filter, check_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from attrs import Attribute

Direction: TypeAlias = Literal["in", "out", "both"]

_DAY: Final = 86_400
LONGEST_NAME: Final = 200


def _one_of(alias: object) -> Callable[[object, Attribute[Any], object], None]:
    allowed = get_args(alias)

    def validate(owner: object, attribute: Attribute[Any], value: object) -> None:
        if value not in allowed:
            choices = ", ".join(map(repr, allowed))
            raise ConfigError(f"{attribute.name} is {value!r}; allowed is one of {choices}")

    return validate


def _text(owner: object, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, str):
        raise ConfigError(f"{attribute.name} is {value!r}; allowed is a text")


def _text_or_none(owner: object, attribute: Attribute[Any], value: object) -> None:
    if value is not None and not (isinstance(value, str) and value):
        raise ConfigError(f"{attribute.name} is {value!r}; allowed is a text that is not empty")


def _password(owner: object, attribute: Attribute[Any], value: object) -> None:
    if value is not None and not isinstance(value, str | bytes):
        raise ConfigError("password is none; allowed is a text")


def _flag(owner: object, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigError(f"{attribute.name} is {value!r}; allowed is true or false")


def _seconds(owner: object, attribute: Attribute[Any], value: float) -> None:
    if type(value) not in {int, float} or not 0 < value <= _DAY:
        raise ConfigError(
            f"{attribute.name} is {value!r}; allowed is a number of seconds, over 0 to {_DAY}"
        )


def _url(owner: object, attribute: Attribute[Any], value: object) -> None:
    _text(owner, attribute, value)
    parse_target(str(value))


def _name(owner: object, attribute: Attribute[Any], value: object) -> None:
    right = isinstance(value, str) and 0 < len(value) <= LONGEST_NAME
    if not right or not set("/+#\0").isdisjoint(str(value)):
        raise ConfigError(f"name is {value!r}; allowed is one level of a topic")


@frozen(kw_only=True)
class BridgeTopic:
    """Topics that a bridge passes on.

    A filter's topics have `local_prefix` before them here and `remote_prefix` there.
    """

    filter: str = field(validator=_text)
    """What goes over the bridge: ``sensors/#``."""
    direction: Direction = field(default="out", validator=_one_of(Direction))
    """``out``: from here to the other broker; ``in``: from there; ``both``."""
    qos: int = field(default=1, validator=bound(0, 2))
    """The QoS that messages go over with at most."""
    local_prefix: str = field(default="", validator=_text)
    """What their topics begin with here, and not there: ``site-7/``."""
    remote_prefix: str = field(default="", validator=_text)
    """What they begin with there, and not here."""

    def __attrs_post_init__(self) -> None:
        for what in ("local_prefix", "remote_prefix"):
            self._check(what, getattr(self, what))

    def _check(self, what: str, prefix: str) -> None:
        try:
            if prefix:
                check_name(prefix.encode("utf-8", "surrogatepass"))
            whole = f"{prefix}{self.filter}".encode("utf-8", "surrogatepass")
            check_filter(whole)
        except TopicError as error:
            raise ConfigError(f"{what} and filter: {error}") from None
        if whole.startswith(SHARED):
            raise ConfigError(f"filter is {self.filter!r}; allowed is one that is not shared")


def _topics(owner: object, attribute: Attribute[Any], value: object) -> None:
    right = isinstance(value, tuple | list) and value
    if not right or not all(isinstance(each, BridgeTopic) for each in value):  # type: ignore[attr-defined]  # it is a sequence
        raise ConfigError(f"topics is {value!r}; allowed is one BridgeTopic or more")


def _tuple(topics: Iterable[BridgeTopic]) -> tuple[BridgeTopic, ...]:
    return tuple(topics)


@frozen(kw_only=True)
class BridgeSettings:
    """A bridge to another broker."""

    name: str = field(validator=_name)
    """What it is called here, in the log and in ``$SYS/broker/connection/NAME/state``."""
    url: str = field(validator=_url)
    """The other broker: ``mqtt://host:port``, ``mqtts://host:port``, ``mqtt+unix:/path``,
    ``ws://host:port/path`` or ``wss://host:port/path``."""
    topics: tuple[BridgeTopic, ...] = field(validator=_topics, converter=_tuple)
    """What goes over it. Of several that match a topic the first holds."""
    version: VersionName = field(default="5.0", validator=_one_of(VersionName))
    """What is spoken with it."""
    client_id: str | None = field(default=None, validator=_text_or_none)
    """Who this is there; None: the name of this machine, a dot and the bridge's name."""
    local_client_id: str | None = field(default=None, validator=_text_or_none)
    """Whose session it has here; None: ``bridge.`` and the bridge's name."""
    clean_start: bool = field(default=False, validator=_flag)
    """Whether the other broker is to forget this one between connections: what is published there
    meanwhile doesn't come then."""
    keep_alive: int = field(default=60, validator=bound(1, 0xFFFF))
    """Seconds after which a connection that is silent is seen to be alive."""
    user_name: str | None = field(default=None, validator=_text_or_none)
    """Who this is there, for a password."""
    password: str | bytes | None = field(default=None, validator=_password, repr=False)
    """Its password; a file keeps it from those who may read the settings."""
    password_file: str | None = field(default=None, validator=_text_or_none)
    """A file with it, on its only line; it is read at each connection."""
    ca: str | None = field(default=None, validator=_text_or_none)
    """For TLS: a file with certificates to trust, as PEM; None: those of the system."""
    cert: str | None = field(default=None, validator=_text_or_none)
    """A file with this side's certificate, as PEM; its key too, unless `key` has it."""
    key: str | None = field(default=None, validator=_text_or_none)
    """A file with the key of `cert`."""
    insecure: bool = field(default=False, validator=_flag)
    """Whether to trust any certificate."""
    connect_timeout: float = field(default=10.0, validator=_seconds)
    """Seconds in which a connection must be made and accepted."""
    reconnect_min: float = field(default=1.0, validator=_seconds)
    """Seconds, about, until a connection that has ended is tried again. Each failure doubles it."""
    reconnect_max: float = field(default=60.0, validator=_seconds)
    """Seconds, about, that are waited at most."""
    maximum_inflight: int = field(default=UNTOLD, validator=bound(1, MOST_IDS))
    """Messages with QoS 1 or 2 that are on their way there and not acknowledged, before 5.0: in 5.0
    the other broker tells how many it takes. As many as mosquitto takes unless it is set to others;
    it ends the connections of those that send more."""
    maximum_packet_size: int = field(
        default=MOST_PACKET_BYTES, validator=bound(LEAST_LIMIT, MOST_PACKET_BYTES)
    )
    """Bytes of a packet that may come from the other broker."""

    def __attrs_post_init__(self) -> None:
        target = parse_target(self.url)
        given = [name for name in ("ca", "cert", "key", "insecure") if getattr(self, name)]
        if given and not target.secure:
            raise ConfigError(f"{given[0]} is for mqtts and wss, and url is {self.url!r}")
        if self.ca and self.insecure:
            raise ConfigError("ca and insecure contradict one another; allowed is one of them")
        if self.key and not self.cert:
            raise ConfigError("key is for cert, which is not there")
        if self.password is not None and self.password_file is not None:
            raise ConfigError("password and password_file are there; allowed is one of them")
        if self.reconnect_max < self.reconnect_min:
            seen = f"reconnect_max is {self.reconnect_max!r}"
            raise ConfigError(f"{seen}; allowed is reconnect_min, {self.reconnect_min!r}, or more")

    @property
    def remote_id(self) -> str:
        """The client identifier at the other broker."""
        return self.client_id or f"{socket.gethostname()}.{self.name}"

    @property
    def local_id(self) -> str:
        """The client identifier here."""
        return self.local_client_id or f"bridge.{self.name}"


def check_bridges(bridges: Iterable[BridgeSettings]) -> tuple[BridgeSettings, ...]:
    """All of them, if they don't get into one another's way.

    Raises:
        ConfigError: two have the same name, or the same session here.
    """
    found = tuple(bridges)
    for what in ("name", "local_id"):
        seen: set[str] = set()
        for each in found:
            value = getattr(each, what)
            if value in seen:
                raise ConfigError(f"two bridges have the {what} {value!r}; allowed is one")
            seen.add(value)
    return found
