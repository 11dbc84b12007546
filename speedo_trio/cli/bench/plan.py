"""The plan: what load to put on which server, from the command's flags.

Cyclopts makes the flags and their help out of this class.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

from attrs import Attribute, field, frozen
from cyclopts import Group, Parameter

from speedo_trio.cli.bench.dialogue import LARGEST_WINDOW, LEAST_SIZE
from speedo_trio.cli.bench.mqtt.shape import SHAPES, VERSIONS
from speedo_trio.cli.bench.target import Target, parse_target
from speedo_trio.cli.flags import number, whole
from speedo_trio.cli.trust import check_trust
from speedo_trio.errors import ConfigError

_DEFAULT_SIZE, _DEFAULT_SECONDS, _DEFAULT_WARM_UP = 64, 5.0, 0.5
_DAY = 86_400.0
_FOR_LINES = ("requests", "rate", "connect_each", "send", "expect")
_FOR_MQTT = ("shape", "qos", "protocol_version")
_LARGEST_WINDOW_BYTES = 2**26
_MOST_BYTES_IN_FLIGHT = 2**30
"""64 MiB for a client and 1 GiB in all: what is in flight is kept to be compared."""


def _url(plan: object, attribute: Attribute[str], value: str) -> None:
    parse_target(value)  # names the URL itself


def _shape(plan: object, attribute: Attribute[str], value: object) -> None:
    if value is not None and value not in SHAPES:
        raise ConfigError(f"shape is {value!r}; allowed is {', '.join(SHAPES)}")


def _version(plan: object, attribute: Attribute[str], value: object) -> None:
    if value is not None and value not in VERSIONS:
        raise ConfigError(f"protocol_version is {value!r}; allowed is {' or '.join(VERSIONS)}")


_LOAD = Group("Load", sort_key=1)
_LINES = Group("What is said", sort_key=2)
_BROKER = Group("MQTT", sort_key=3)
_SECURITY = Group("TLS", sort_key=4)
_OUTPUT = Group("Output", sort_key=5)

_Load = Parameter(group=_LOAD)
_Optional = Parameter(group=_LOAD, show_default=False)
_Line = Parameter(group=_LINES, show_default=False, metavar="TEXT", allow_leading_hyphen=True)
_MQTT = Parameter(group=_BROKER, show_default=False)
_File = Annotated[Path | None, Parameter(group=_SECURITY, show_default=False, metavar="FILE")]
_Output = Parameter(group=_OUTPUT, show_default=False)


@frozen
class Plan:
    """What to send, to whom, how much of it and for how long."""

    url: Annotated[str, Parameter(group=_LOAD)] = field(validator=_url)
    """The server: tcp://host:port, tls://host:port, unix:/path, ws://host:port/path or
    wss://host:port/path. A broker of MQTT: mqtt://host:port, mqtts://host:port or
    mqtt+unix:/path."""
    clients: Annotated[int, _Load] = field(default=50, validator=whole(1, 65_536), kw_only=True)
    """Connections at once; with MQTT, publishers and subscribers as --shape tells."""
    window: Annotated[int, _Load] = field(
        default=1, validator=whole(1, LARGEST_WINDOW), kw_only=True
    )
    """Requests that each client has in flight: it sends the next when a reply has come. With
    --rate, the most that it has in flight. With MQTT, messages of each publisher."""
    seconds: Annotated[float | None, _Optional] = field(
        default=None, validator=number("a number of seconds", 0.01, _DAY, none=True), kw_only=True
    )
    """How long to measure: 5 unless told, or until --requests are answered."""
    requests: Annotated[int | None, _Optional] = field(
        default=None, validator=whole(1, 10**12, none=True), kw_only=True
    )
    """End after so many requests in all."""
    warm_up: Annotated[float | None, _Optional] = field(
        default=None, validator=number("a number of seconds", 0, _DAY, none=True), kw_only=True
    )
    """Load that comes first and is not counted, in seconds: 0.5 unless told, none with
    --requests. What goes wrong in it counts."""
    rate: Annotated[float | None, _Optional] = field(
        default=None, validator=number("requests a second", 0.001, 1e7, none=True), kw_only=True
    )
    """Send so many requests a second in all, evenly, whatever the server does (an open loop). A
    latency then counts from when its request should have been sent: if the server stalls, those
    that had to wait count too. Without it, they would be missing (coordinated omission)."""
    connect_each: Annotated[bool, _Optional] = field(default=False, kw_only=True)
    """A new connection for each request, closed after the reply: this measures accepting."""
    timeout: Annotated[float, _Load] = field(
        default=10.0, validator=number("a number of seconds", 0.001, _DAY), kw_only=True
    )
    """Seconds in which a connection must be made, and a reply come. Seen up to an eighth late."""
    size: Annotated[int | None, Parameter(group=_LINES, show_default=False)] = field(
        default=None, validator=whole(LEAST_SIZE, 2**24, none=True), kw_only=True
    )
    """Bytes of a line for an echo server, newline included, or of a payload of MQTT: 64 unless
    told. No two are the same, and every byte that comes back is compared."""
    send: Annotated[str | None, _Line] = field(default=None, kw_only=True)
    """The request, for servers that don't echo: a line, without its newline."""
    expect: Annotated[str | None, _Line] = field(default=None, kw_only=True)
    """The reply to --send, without its newline; any line is right when it is not given."""
    shape: Annotated[str | None, _MQTT] = field(default=None, validator=_shape, kw_only=True)
    """pairs: each publisher has a subscriber of its topic; fanout: one publisher, --clients
    subscribers; fanin: --clients publishers, one subscriber; wild: as pairs, with wildcards;
    shared: as many subscribers as publishers, which share a subscription. pairs unless told."""
    qos: Annotated[int | None, _MQTT] = field(
        default=None, validator=whole(0, 2, none=True), kw_only=True
    )
    """Quality of service of messages and subscriptions: 0 unless told."""
    protocol_version: Annotated[str | None, _MQTT] = field(
        default=None, validator=_version, kw_only=True
    )
    """What is spoken: 5, which is the default, or 3.1.1."""
    ca: _File = field(default=None, kw_only=True)
    """Certificates to trust, as PEM; those of the system unless told."""
    insecure: Annotated[bool, Parameter(group=_SECURITY, show_default=False)] = field(
        default=False, kw_only=True
    )
    """Trust whatever certificate the server has."""
    cert: _File = field(default=None, kw_only=True)
    """This client's certificate, as PEM; its key too, unless --key has it."""
    key: _File = field(default=None, kw_only=True)
    """The key of --cert."""
    histogram: Annotated[bool, _Output] = field(default=False, kw_only=True)
    """Also show how the latencies are distributed."""
    json: Annotated[bool, _Output] = field(default=False, kw_only=True)
    """The results as JSON on stdout, and nothing else there."""
    quiet: Annotated[bool, _Output] = field(default=False, kw_only=True)
    """No progress bar, which else is shown on stderr if that is a terminal."""

    @property
    def target(self) -> Target:
        """The server."""
        return parse_target(self.url)

    @property
    def line_bytes(self) -> int:
        """The size of a request, its newline included."""
        if self.send is not None:
            return len(text_bytes(self.send)) + 1
        return _DEFAULT_SIZE if self.size is None else self.size

    @property
    def shape_name(self) -> str:
        """Who publishes and who subscribes."""
        return self.shape or "pairs"

    @property
    def version(self) -> int:
        """MQTT's protocol level."""
        return VERSIONS[self.protocol_version or "5"]

    @property
    def measuring_seconds(self) -> float:
        """How long to measure at most; infinite if only the number of requests ends it."""
        if self.seconds is None:
            return math.inf if self.requests is not None else _DEFAULT_SECONDS
        return self.seconds

    @property
    def warm_up_seconds(self) -> float:
        """How long to warm up."""
        if self.warm_up is None:
            return 0.0 if self.requests is not None else _DEFAULT_WARM_UP
        return self.warm_up


def text_bytes(text: str) -> bytes:
    """The bytes that an argument of the command line was."""
    return text.encode("utf-8", "surrogateescape")


def check_plan(plan: Plan) -> None:
    """See whether the parts of a plan, each allowed by itself, go together.

    Raises:
        ConfigError: they don't; the text tells which, and what is allowed.
    """
    for text, flag in ((plan.send, "--send"), (plan.expect, "--expect")):
        if text is not None and "\n" in text:
            raise ConfigError(f"{flag} is {text!r}; allowed is one line without its newline")
    if plan.expect is not None and plan.send is None:
        raise ConfigError("--expect is for --send, which is not given; an echo is always compared")
    if plan.size is not None and plan.send is not None:
        raise ConfigError("--size is for lines to an echo server; with --send they have their own")
    if plan.connect_each and plan.window > 1:
        raise ConfigError(f"--window is {plan.window}; with --connect-each allowed is 1")
    target = plan.target
    _check_protocol(plan)
    check_trust(
        plan,
        secure=target.secure,
        schemes="tls://, wss:// and mqtts://",
        seen=f"the target is {target}",
    )
    _check_memory(plan)


def _check_protocol(plan: Plan) -> None:
    """See whether what is only for lines, or only for MQTT, has its target."""
    target = plan.target
    for flag in _FOR_LINES if target.mqtt else _FOR_MQTT:
        given = getattr(plan, flag)
        if given is not None and given is not False:  # 0 is neither
            what = "lines" if target.mqtt else "MQTT"
            name = f"--{flag.replace('_', '-')}"
            raise ConfigError(f"{name} is for servers of {what}, and the target is {target}")


def _check_memory(plan: Plan) -> None:
    window = plan.window * plan.line_bytes
    if window > _LARGEST_WINDOW_BYTES:
        allowed = f"allowed are {_LARGEST_WINDOW_BYTES} for a client"
        raise ConfigError(f"a window of {plan.window} lines has {window} bytes; {allowed}")
    if plan.clients * window > _MOST_BYTES_IN_FLIGHT:
        everything = f"{plan.clients} windows have {plan.clients * window} bytes"
        raise ConfigError(f"{everything}; allowed are {_MOST_BYTES_IN_FLIGHT} in all")
