"""The plans of ``pub`` and ``sub``: what to do, from the commands' flags.

Cyclopts makes the flags and their help out of these classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, get_args

from attrs import field, frozen
from cyclopts import Group, Parameter

from speedo_trio.cli.flags import number, whole
from speedo_trio.cli.pubsub.mqtt_flags import MQTTFlags, MQTTPubFlags, MQTTSubFlags, check_mqtt
from speedo_trio.cli.pubsub.schemes import SECURE, scheme_of
from speedo_trio.cli.trust import check_trust
from speedo_trio.errors import ConfigError

if TYPE_CHECKING:
    from attrs import Attribute

DEFAULT_URL = "simplepub://localhost:9292"
STDIN = Path("-")

Format: TypeAlias = Literal["text", "json", "raw"]

_DAY = 86_400.0
_SECONDS = number("a number of seconds", 0.001, _DAY)

_SERVER = Group("Server", sort_key=2)
_SECURITY = Group("TLS", sort_key=3)
_MESSAGES = Group("Messages", sort_key=1)

_Server = Parameter(group=_SERVER)
_File = Annotated[Path | None, Parameter(group=_SECURITY, show_default=False, metavar="FILE")]
_Source = Parameter(  # a lone hyphen is a file too
    group=_MESSAGES, show_default=False, metavar="FILE", allow_leading_hyphen=True
)
_Switch = Annotated[bool, Parameter(group=_MESSAGES, show_default=False)]


def _format(plan: object, attribute: Attribute[str], value: object) -> None:
    if value not in get_args(Format):
        choices = " or ".join(get_args(Format))
        raise ConfigError(f"format is {value!r}; allowed is {choices}")


@frozen(kw_only=True)
class Connecting(MQTTFlags):
    """Which server to connect to, and how."""

    url: Annotated[str, _Server] = DEFAULT_URL
    """The server: simplepub://host:port, simplepub+tls://host:port, simplepub+unix:/path,
    mqtt://host:port, mqtts://host:port, mqtt+unix:/path, ws://host:port/path or
    wss://host:port/path."""
    timeout: Annotated[float, _Server] = field(default=10.0, validator=_SECONDS)
    """Seconds in which the connection must be made, and an answer of the server come."""
    ca: _File = None
    """Certificates to trust, as PEM; those of the system unless told."""
    insecure: Annotated[bool, Parameter(group=_SECURITY, show_default=False)] = False
    """Trust whatever certificate the server has."""
    cert: _File = None
    """This client's certificate, as PEM; its key too, unless --key has it."""
    key: _File = None
    """The key of --cert."""


@frozen(kw_only=True)
class PubPlan(Connecting, MQTTPubFlags):
    """What to publish, beside the message on the command line."""

    file: Annotated[Path | None, _Source] = None
    """Publish what is in this file, byte for byte; - is stdin."""
    lines: _Switch = False
    """Publish each line of stdin, without its end, as soon as it comes."""
    retain: Annotated[_Switch, Parameter(alias="-r")] = False
    """Have the server keep the message as the last of its topic. An empty one removes it."""


@frozen(kw_only=True)
class SubPlan(Connecting, MQTTSubFlags):
    """How long to listen, and what to write."""

    count: Annotated[int | None, Parameter(group=_MESSAGES, alias="-C", show_default=False)] = (
        field(default=None, validator=whole(1, 10**12, none=True))
    )
    """End after so many messages were written."""
    seconds: Annotated[float | None, Parameter(group=_MESSAGES, alias="-W", show_default=False)] = (
        field(default=None, validator=number("a number of seconds", 0.001, _DAY, none=True))
    )
    """End after so many seconds."""
    format: Annotated[Format, Parameter(group=_MESSAGES)] = field(default="text", validator=_format)
    """text is a line with the body, in which a terminal gets control characters as escapes;
    json is an object a line; raw is the bytes of the bodies and nothing between them."""
    topics: Annotated[_Switch, Parameter(alias="-v")] = False
    """In text, write the topic and a blank before the body."""
    no_retained: Annotated[_Switch, Parameter(alias="-R")] = False
    """Leave out what was retained from before."""
    only_retained: _Switch = False
    """Leave out what was not."""


def check_connecting(plan: Connecting) -> None:
    """See whether the flags for the connection go together.

    Raises:
        ConfigError: they don't; the text tells which, and what is allowed.
    """
    scheme = scheme_of(plan.url)
    check_mqtt(plan, mqtt=scheme.mqtt, url=plan.url)
    check_trust(plan, secure=scheme.secure, schemes=SECURE, seen=f"the server is {plan.url}")


def check_pub(message: str | None, plan: PubPlan) -> None:
    """See whether there is one source of messages.

    Raises:
        ConfigError: there is none, or there are several, or the flags don't go together.
    """
    sources = {"MESSAGE": message is not None, "--file": plan.file is not None}
    given = [name for name, there in {**sources, "--lines": plan.lines}.items() if there]
    if len(given) != 1:
        seen = " and ".join(given) or "nothing to publish"
        raise ConfigError(f"there is {seen}; allowed is one of MESSAGE, --file and --lines")
    check_connecting(plan)


def check_sub(filters: tuple[str, ...], plan: SubPlan) -> None:
    """See whether there is something to subscribe to, and a way to write it.

    Raises:
        ConfigError: there is not, or the flags don't go together.
    """
    if not filters:
        raise ConfigError("there is nothing to subscribe to; allowed is one FILTER or more")
    if plan.no_retained and plan.only_retained:
        both = "--no-retained and --only-retained"
        raise ConfigError(f"{both} leave nothing; allowed is one of them")
    if plan.topics and plan.format != "text":
        raise ConfigError(f"--topics is for --format text, and it is {plan.format}")
    check_connecting(plan)
