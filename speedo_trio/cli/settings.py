"""The settings of ``serve`` and ``check``: what to serve, where, and the server's `Config`.

Cyclopts makes the flags, their help and the environment variables out of this class and of the
sections in `speedo_trio.config`; `speedo_trio.cli.file` reads the same names from a TOML file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, get_args, get_type_hints

from attrs import Attribute, Factory, field, fields, frozen
from cyclopts import Group, Parameter

from speedo_trio.broker.limits import BrokerLimits
from speedo_trio.config import Config, Limits, Timeouts, Workers
from speedo_trio.errors import ConfigError
from speedo_trio.mqtt.bridging.settings import BridgeSettings  # noqa: TC001  # Cyclopts wants it
from speedo_trio.mqtt.security.settings import SecuritySettings
from speedo_trio.mqtt.settings import MQTTSettings
from speedo_trio.mqtt.store.settings import StoreSettings
from speedo_trio.simplepub.settings import SimplePubSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def _section_group(section: type, sort_key: int) -> Group:
    return Group(section.__name__, help=section.__doc__ or "", sort_key=sort_key)


@frozen(kw_only=True)
class MQTTSection(MQTTSettings):
    """What an MQTT broker offers, forbids and tells, and sections of their own."""

    security: Annotated[SecuritySettings, Parameter(group=_section_group(SecuritySettings, 9))] = (
        field(factory=SecuritySettings)
    )
    """Who may come in, and who may do what."""
    store: Annotated[StoreSettings, Parameter(group=_section_group(StoreSettings, 10))] = field(
        factory=StoreSettings
    )
    """Where it keeps what outlasts the process."""


# Cyclopts would look for the names of inherited annotations in this module.
MQTTSection.__init__.__annotations__.update(get_type_hints(MQTTSettings, include_extras=True))

SERVER_SECTIONS: dict[str, type] = get_type_hints(Config)
"""The sections of a server's configuration, by name."""

PROTOCOL_SECTIONS: dict[str, type] = {
    "broker": BrokerLimits,
    "mqtt": MQTTSection,
    "simplepub": SimplePubSettings,
}
"""The sections of protocols that are shipped."""

SECTIONS: dict[str, type] = {**SERVER_SECTIONS, **PROTOCOL_SECTIONS}

NESTED: dict[Keys, type] = {
    ("mqtt", "security"): SecuritySettings,
    ("mqtt", "store"): StoreSettings,
}
"""Sections within sections, by their paths."""

Keys: TypeAlias = tuple[str, ...]
"""A setting's path: ``("bind",)``, ``("limits", "connections")``."""

LISTS: set[Keys] = {("bind",), ("also",), ("mqtt", "versions")}
"""The settings that may be given several times."""

LogFormat: TypeAlias = Literal["text", "json"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]

TEXTS: set[Keys] = {
    *(("protocol",), ("bind",), ("also",), ("admin",), ("admin_token_file",)),
    *(("log_format",), ("log_level",)),
    *(("mqtt", "versions"), ("mqtt", "server_reference")),
    *(("mqtt", "security", "password_file"), ("mqtt", "security", "acl_file")),
    *(("mqtt", "store", "path"), ("mqtt", "store", "durability")),
}
"""The settings that are texts, whatever they look like."""

DEFAULT_BIND = "tcp://localhost:9292"
DEFAULT_BINDS = {"mqtt": "tcp://localhost:1883"}
"""Where protocols listen that have a port of their own."""

EXAMPLE_ALSO = "simplepub=tcp://localhost:9292"

_MOST_PROCESSES = 1024

_SERVING = Group("What and where", sort_key=1)
_LOGGING = Group("Logging", sort_key=5)


def _protocol(settings: object, attribute: Attribute[str], value: object) -> None:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"protocol is {value!r}; allowed is a name or package.module:Factory")


def _binds(settings: object, attribute: Attribute[tuple[str, ...]], value: object) -> None:
    from speedo_trio.io.binds import parse_bind  # noqa: PLC0415  # it imports Trio

    strings = isinstance(value, list | tuple) and all(isinstance(bind, str) for bind in value)
    if not strings or not value:
        raise ConfigError(f'bind is {value!r}; allowed is a list such as ["{DEFAULT_BIND}"]')
    for bind in value:  # type: ignore[attr-defined]  # a list or tuple, says strings
        parse_bind(bind)


def _also(settings: object, attribute: Attribute[tuple[str, ...]], value: object) -> None:
    from speedo_trio.io.binds import parse_bind  # noqa: PLC0415  # it imports Trio

    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise ConfigError(f'also is {value!r}; allowed is a list such as ["{EXAMPLE_ALSO}"]')
    for text in value:
        name, equals, bind = text.partition("=")
        if not name or (equals and not bind):
            raise ConfigError(
                f"also is {text!r}; allowed is a protocol, or PROTOCOL=URL such as {EXAMPLE_ALSO}"
            )
        if equals:
            parse_bind(bind)


def also_binds(also: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Where each protocol of ``also`` listens, in their order."""
    found: dict[str, tuple[str, ...]] = {}
    for text in also:
        name, _, bind = text.partition("=")
        found[name] = (*found.get(name, ()), bind or DEFAULT_BINDS.get(name, DEFAULT_BIND))
    return found


def _admin(settings: object, attribute: Attribute[str | None], value: object) -> None:
    from speedo_trio.io.binds import parse_bind  # noqa: PLC0415  # it imports Trio

    if value is None:
        return
    if not isinstance(value, str):
        raise ConfigError(f"admin is {value!r}; allowed is an address to listen on, or none")
    if parse_bind(value).websocket is not None:
        raise ConfigError(f"admin is {value!r}; allowed is an address without WebSocket")


def _file(settings: object, attribute: Attribute[str | None], value: object) -> None:
    if value is not None and (not isinstance(value, str) or not value):
        raise ConfigError(f"{attribute.name} is {value!r}; allowed is a path, or none")


def _processes(settings: object, attribute: Attribute[int], value: object) -> None:
    if type(value) is not int or not 1 <= value <= _MOST_PROCESSES:
        allowed = f"a whole number from 1 to {_MOST_PROCESSES}"
        raise ConfigError(f"processes is {value!r}; allowed is {allowed}")


def _one_of(*allowed: str) -> Callable[[object, Attribute[str], object], None]:
    def validate(settings: object, attribute: Attribute[str], value: object) -> None:
        if value not in allowed:
            choices = " or ".join(map(repr, allowed))
            raise ConfigError(f"{attribute.name} is {value!r}; allowed is {choices}")

    return validate


_AdminURL: TypeAlias = Annotated[str | None, Parameter(group=_SERVING, metavar="URL")]
_TokenFile: TypeAlias = Annotated[str | None, Parameter(group=_SERVING, metavar="FILE")]


# Cyclopts sees a field with a converter as what the converter takes.


def _url_or_none(value: _AdminURL) -> str | None:
    return _or_none(value)


def _file_or_none(value: _TokenFile) -> str | None:
    return _or_none(value)


def _or_none(value: str | None) -> str | None:
    return None if isinstance(value, str) and value.lower() == "none" else value


def _default_binds(settings: Settings) -> tuple[str, ...]:
    return (DEFAULT_BINDS.get(settings.protocol, DEFAULT_BIND),)


@frozen
class Settings:
    """Everything that flags, environment variables and a configuration file can set."""

    protocol: Annotated[str, Parameter(group=_SERVING)] = field(default="echo", validator=_protocol)
    """A name that "trio-speedo protocols" lists, or package.module:Factory, also from the current
    directory."""
    bind: Annotated[tuple[str, ...], Parameter(group=_SERVING, metavar="URL")] = field(
        default=Factory(_default_binds, takes_self=True), validator=_binds, kw_only=True
    )
    """Where to listen: tcp://host:port, tcp://:port for every address, port 0 for a free one,
    unix:/path?mode=660, tls://host:port?cert=file, ws://host:port, wss://host:port?cert=file,
    fd://3, systemd:name; +proxy after a scheme for PROXY headers. Give it again for more
    addresses. By default tcp://localhost:9292, and tcp://localhost:1883 for mqtt."""
    also: Annotated[
        tuple[str, ...], Parameter(group=_SERVING, metavar="PROTOCOL=URL", show_default=False)
    ] = field(default=(), validator=_also, kw_only=True)
    """More protocols to serve in the same process: a name or package.module:Factory, and a URL as
    for "bind". Without =URL they listen where they would by default. mqtt and simplepub then have
    the same topics."""
    admin: _AdminURL = field(default=None, converter=_url_or_none, validator=_admin, kw_only=True)
    """Where to show what the server does, over HTTP: a page, JSON, health and metrics. Like a bind,
    such as tcp://localhost:9293."""
    admin_token_file: _TokenFile = field(
        default=None, converter=_file_or_none, validator=_file, kw_only=True
    )
    """A file with the token that clients of "admin" must send; needed where others can reach it."""
    processes: Annotated[int, Parameter(group=_SERVING)] = field(
        default=1, validator=_processes, kw_only=True
    )
    """How many processes serve. More than one are children of a process that only looks after
    them; they share the listening sockets, and each has the limits for itself."""
    log_format: Annotated[LogFormat, Parameter(group=_LOGGING)] = field(
        default="text", validator=_one_of(*get_args(LogFormat)), kw_only=True
    )
    """"text" for people, or "json": an object a line, on stderr, with nothing on stdout."""
    log_level: Annotated[LogLevel, Parameter(group=_LOGGING)] = field(
        default="info", validator=_one_of(*get_args(LogLevel)), kw_only=True
    )
    """The least that is logged."""
    limits: Annotated[Limits, Parameter(group=_section_group(Limits, 2))] = field(
        factory=Limits, kw_only=True
    )
    timeouts: Annotated[Timeouts, Parameter(group=_section_group(Timeouts, 3))] = field(
        factory=Timeouts, kw_only=True
    )
    workers: Annotated[Workers, Parameter(group=_section_group(Workers, 4))] = field(
        factory=Workers, kw_only=True
    )

    broker: Annotated[BrokerLimits, Parameter(group=_section_group(BrokerLimits, 6))] = field(
        factory=BrokerLimits, kw_only=True
    )
    mqtt: Annotated[MQTTSection, Parameter(group=_section_group(MQTTSection, 7))] = field(
        factory=MQTTSection, kw_only=True
    )
    simplepub: Annotated[
        SimplePubSettings, Parameter(group=_section_group(SimplePubSettings, 8))
    ] = field(factory=SimplePubSettings, kw_only=True)

    bridges: Annotated[tuple[BridgeSettings, ...], Parameter(parse=False)] = field(
        default=(), kw_only=True
    )

    @property
    def protocols(self) -> tuple[str, ...]:
        """The names of all that is served."""
        return (self.protocol, *also_binds(self.also))

    @property
    def config(self) -> Config:
        """The part that is the server's."""
        return Config(**{section: getattr(self, section) for section in SERVER_SECTIONS})


def setting_keys() -> list[Keys]:
    """The path of every setting, in the order of a configuration file."""
    top: list[Keys] = [(a.name,) for a in fields(Settings) if a.name not in {*SECTIONS, "bridges"}]
    sections: dict[Keys, type] = {(name,): kind for name, kind in SECTIONS.items()}
    sections.update(NESTED)
    return top + [
        (*path, a.name)
        for path in sorted(sections, key=lambda path: list(SECTIONS).index(path[0]))
        for a in fields(sections[path])
        if (*path, a.name) not in NESTED
    ]


def get_setting(settings: Settings, keys: Keys) -> object:
    """The value of the setting at `keys`."""
    value: object = settings
    for key in keys:
        value = getattr(value, key)
    return value


def check_setting(place: str, keys: Keys, value: object) -> None:
    """See whether a setting may have `value`, by the validators of its own class.

    Args:
        place: the flag, variable or key that gave the value, for the error.

    Raises:
        ConfigError: it may not; the text tells the place, what was seen and what is allowed.
    """
    *section, name = keys
    nested = {".".join(path): kind for path, kind in NESTED.items()}
    owner = {**SECTIONS, **nested, "": Settings}[".".join(section)]
    try:
        owner(**{name: value})
    except ConfigError as error:
        text = str(error)
        named = text.startswith(f"{name} is ")
        raise ConfigError(place + text[len(name) :] if named else f"{place}: {text}") from None


def from_text(text: str) -> object:
    """What the text of a flag or variable stands for: a number, True, False, None, or the text.

    Stricter than Cyclopts, which would round 2.6 to 3 workers.
    """
    words: dict[str, object] = {"none": None, "true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            pass
    return text
