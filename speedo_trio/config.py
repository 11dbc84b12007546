"""The settings of a server: frozen, validated once, each with its unit, bound and reason.

Every class here is a section of the configuration file and a prefix of the command's flags.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from attrs import Attribute, asdict, field, fields, frozen

from speedo_trio.errors import ConfigError

_Validator = Callable[[Any, "Attribute[Any]", Any], None]


def _whole(low: int, high: int = 2**31 - 1, *, none: bool = False) -> _Validator:
    def validate(section: object, attribute: Attribute[Any], value: object) -> None:
        if value is None and none:
            return
        if type(value) is not int or not low <= value <= high:
            allowed = f"a whole number from {low} to {high}" + (" or none" if none else "")
            raise ConfigError(f"{attribute.name} is {value!r}; allowed is {allowed}")

    return validate


def _number(low: float, high: float, what: str = "a number", *, none: bool = False) -> _Validator:
    def validate(section: object, attribute: Attribute[Any], value: object) -> None:
        if value is None and none:
            return
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not low <= value <= high:  # type: ignore[operator]  # it is a number
            most = "a year" if high == _YEAR else f"{high:.9g}"
            allowed = f"{what} from {low:g} to {most}" + (" or none" if none else "")
            raise ConfigError(f"{attribute.name} is {value!r}; allowed is {allowed}")

    return validate


_YEAR = 31_536_000.0
"""The longest time that can be set: more only says that somebody mistook the unit, and there is a
length of time from which on operating systems refuse to wait."""


def _seconds(low: float = 0.0, *, none: bool = False) -> _Validator:
    return _number(low, _YEAR, "a number of seconds", none=none)


def _one_of(*values: str) -> _Validator:
    def validate(section: object, attribute: Attribute[Any], value: object) -> None:
        if value not in values:
            raise ConfigError(
                f"{attribute.name} is {value!r}; allowed is {' or '.join(map(repr, values))}"
            )

    return validate


def _section(kind: type) -> _Validator:
    def validate(section: object, attribute: Attribute[Any], value: object) -> None:
        if not isinstance(value, kind):
            raise ConfigError(f"{attribute.name} is {value!r}; allowed is a {kind.__name__}")

    return validate


@frozen(kw_only=True)
class Limits:
    """How much of everything that waits or grows there may be."""

    connections: int = field(default=65_536, validator=_whole(1))
    """Connections open at once."""
    when_full: Literal["wait", "refuse"] = field(
        default="wait", validator=_one_of("wait", "refuse")
    )
    """At that limit: "wait" leaves new peers in the kernel's queue until there is room, "refuse"
    accepts and closes them at once."""
    connections_per_address: int | None = field(default=None, validator=_whole(1, none=True))
    """Connections open at once from one client address: one of IPv4, 64 bits of IPv6, the client's
    own behind a trusted proxy. One more is refused. none: no such limit."""
    rate: float | None = field(default=None, validator=_number(0.001, 1_000_000, none=True))
    """New connections a second, in all. More are left waiting or refused, as "when_full" says.
    none: no such limit."""
    burst: int = field(default=1000, validator=_whole(1))
    """New connections that may come at once before that rate holds them up."""
    rate_per_address: float | None = field(
        default=None, validator=_number(0.001, 1_000_000, none=True)
    )
    """New connections a second from one client address. More are refused. none: no such limit."""
    burst_per_address: int = field(default=20, validator=_whole(1))
    """New connections from one client address that may come at once before its rate refuses
    them."""
    backlog: int = field(default=4096, validator=_whole(1, 65_535))
    """Peers that the kernel queues until they are accepted; the kernel's own limit
    (Linux: net.core.somaxconn, by default 4096) applies too."""
    read_bytes: int = field(default=16_384, validator=_whole(1, 2**24))
    """The most that one read takes, and so the largest `data` that a handler gets. More would let
    a flooding peer hold up the others for longer; less would cost more system calls."""
    lane_messages: int = field(default=1024, validator=_whole(1))
    """Messages of one connection that wait; then its reading stops. That is four full reads of
    64-byte lines."""
    lane_bytes: int = field(default=1_048_576, validator=_whole(1))
    """Bytes of one connection that were read and whose messages have not all been executed; then
    its reading stops. One read more may be on top."""
    messages: int = field(default=262_144, validator=_whole(1))
    """Messages that wait in all lanes together; then all reading stops until some are done."""
    bytes: int = field(default=268_435_456, validator=_whole(1, 2**48))
    """Bytes of all connections that were read and whose messages have not all been executed; then
    a connection is read from only when its own messages have been. A read of each may be on
    top."""
    unsent_high: int = field(default=65_536, validator=_whole(1))
    """Bytes of one connection that wait to be sent; beyond that its messages are not executed and
    `Connection.send` waits. The replies of one turn may be on top."""
    unsent_bytes: int = field(default=4_194_304, validator=_whole(1))
    """Bytes of one connection that `Connection.write` may leave waiting; then it is aborted."""


@frozen(kw_only=True)
class Timeouts:
    """How long things may take, in seconds; none means for ever."""

    handshake: float | None = field(default=5.0, validator=_seconds(0.001, none=True))
    """From accepting until a PROXY header, the TLS and the WebSocket handshake are all over; then
    the connection is closed."""
    first_message: float | None = field(default=None, validator=_seconds(0.001, none=True))
    """From accepting until the first message of a connection is complete; then it is closed."""
    idle: float | None = field(default=None, validator=_seconds(0.001, none=True))
    """A connection from which nothing was received, to which nothing was sent and for which
    nothing was executed for this long is closed; seen up to a quarter of it late. The pings of a
    WebSocket's client are received, too."""
    lifetime: float | None = field(default=None, validator=_seconds(0.001, none=True))
    """How long a connection may be open; then it ends as in a drain: what was received is executed
    and answered, the handler says goodbye. A peer that has not taken its replies when "grace" is
    over, too, is cut off."""
    write: float | None = field(default=30.0, validator=_seconds(0.001, none=True))
    """A connection whose peer took no byte of what waits to be sent for this long is aborted."""
    linger: float = field(default=1.0, validator=_seconds())
    """After the last reply, how long to wait for the peer to close. Closing before would make the
    kernel send a reset that can destroy the reply while it travels (RFC 1122, 4.2.2.13)."""
    grace: float = field(default=10.0, validator=_seconds())
    """How long a drain lets connections finish."""
    kill_after: float = field(default=5.0, validator=_seconds())
    """How long, after the grace, a drain waits for threads inside a message."""


@frozen(kw_only=True)
class Workers:
    """Where messages run, and how much a connection gets before it is another's turn."""

    count: int = field(default=16, validator=_whole(1, 4096))
    """How many threads execute messages at most. Those beyond the first start only when messages
    block or are slow."""
    tasks: int = field(default=4096, validator=_whole(1))
    """How many async messages are under way at most, one of a connection at a time. Tasks beyond
    the first start only when messages wait; one that waits costs two kilobytes."""
    turn_messages: int = field(default=1024, validator=_whole(1))
    """Messages of one connection that are executed in one turn."""
    turn_bytes: int = field(default=65_536, validator=_whole(1))
    """Bytes of replies after which a turn ends."""
    turn_seconds: float = field(default=0.002, validator=_seconds())
    """Seconds after which a turn ends; a message is never interrupted."""
    patience: float = field(default=0.002, validator=_seconds(0.0001))
    """Seconds in one message after which a thread counts as blocked: what waits behind it is
    given to another."""
    linger: float = field(default=5.0, validator=_seconds())
    """How long a thread with nothing to do is kept for the next message, in seconds."""


@frozen(kw_only=True)
class Config:
    """All settings of a server."""

    limits: Limits = field(factory=Limits, validator=_section(Limits))
    timeouts: Timeouts = field(factory=Timeouts, validator=_section(Timeouts))
    workers: Workers = field(factory=Workers, validator=_section(Workers))


FIXED = frozenset({"limits.backlog", *(f"workers.{a.name}" for a in fields(Workers))})
"""What can't change while a server runs."""


def flat(config: Config) -> dict[str, object]:
    """Every setting by its full name, such as ``limits.connections``."""
    sections: dict[str, dict[str, object]] = asdict(config)
    return {
        f"{section}.{name}": value
        for section, settings in sections.items()
        for name, value in settings.items()
    }


def changes(old: Config, new: Config) -> tuple[list[str], list[str]]:
    """The names of the settings that differ: those that can change, those that can't."""
    changed: list[str] = []
    needs_restart: list[str] = []
    before = flat(old)
    for name, value in flat(new).items():
        if value != before[name]:
            (needs_restart if name in FIXED else changed).append(name)
    return changed, needs_restart
