"""The flags of ``pub`` and ``sub`` that are for MQTT only: what they are, and whether they fit.

Next: `speedo_trio.cli.pubsub.plan`.
"""

# Without "from __future__ import annotations": Cyclopts would look for what texts name in the
# module of the class that inherits them.

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from attrs import field, fields, frozen
from cyclopts import Group, Parameter

from speedo_trio.cli.flags import whole
from speedo_trio.cli.mistakes import Mistake
from speedo_trio.errors import ConfigError

if TYPE_CHECKING:
    from attrs import Attribute

VERSIONS: Final = {
    **dict.fromkeys(("5", "5.0", "mqttv5"), "5.0"),
    **dict.fromkeys(("3.1.1", "311", "mqttv311"), "3.1.1"),
    **dict.fromkeys(("3.1", "31", "mqttv31"), "3.1"),
}
"""The versions that are spoken, by what one may call them; mosquitto's names are among them."""

PASSWORD_VARIABLE: Final = "MQTT_PASSWORD"  # noqa: S105  # the name of the variable
"""The environment variable that has the password, if no flag tells it."""
_PASSWORD_BYTES: Final = 65_535
"""A password is no longer (section 3.1.3.6)."""

USER_PROPERTY: Final = "user-property"
NUMBERS: Final = ("message-expiry-interval", "payload-format-indicator")
PROPERTIES: Final = (
    *("content-type", "correlation-data", *NUMBERS),
    *("response-topic", USER_PROPERTY),
)
"""The properties that ``--property`` knows, by mosquitto's names."""
_A_PROPERTY = f"allowed is NAME=VALUE with NAME one of {', '.join(PROPERTIES)}; of the last, VALUE "
_A_PROPERTY += "is KEY=VALUE"

TEXTS: Final = ("protocol_version", "property")
"""The flags with a rule that are texts, whatever they look like."""

_MQTT = Group("MQTT", sort_key=4)
_STAY: Final = 0xFFFF_FFFF

_Text = Annotated[str | None, Parameter(group=_MQTT, show_default=False, metavar="TEXT")]
_Switch = Annotated[bool, Parameter(group=_MQTT, show_default=False)]
_QOS = whole(0, 2)


def _version(plan: object, attribute: "Attribute[str]", value: object) -> None:
    if value not in VERSIONS:
        raise ConfigError(f"protocol_version is {value!r}; allowed is 5, 3.1.1 or 3.1")


def _properties(plan: object, attribute: "Attribute[Any]", value: object) -> None:
    for text in (value,) if isinstance(value, str) else value or ():  # type: ignore[attr-defined]  # a tuple
        parse_property(text)


def parse_property(text: str) -> tuple[str, str | int | tuple[str, str]]:
    """The name and the value of a ``--property``.

    Raises:
        ConfigError: it is none.
    """
    name, equals, value = text.partition("=")
    if not equals or name not in PROPERTIES:
        raise ConfigError(f"property is {text!r}; {_A_PROPERTY}")
    if name == USER_PROPERTY:
        key, equals, value = value.partition("=")
        if not equals:
            raise ConfigError(f"property is {text!r}; {_A_PROPERTY}")
        return name, (key, value)
    if name not in NUMBERS:
        return name, value
    if not value.isascii() or not value.isdecimal() or int(value) > _STAY:
        raise ConfigError(f"property is {text!r}; allowed is a whole number from 0 to {_STAY}")
    return name, int(value)


@frozen(kw_only=True)
class MQTTFlags:
    """What only servers of MQTT understand. Without a flag it is not sent."""

    qos: Annotated[int, Parameter(group=_MQTT, alias="-q", show_default=False)] = field(
        default=0, validator=_QOS
    )
    """Quality of service: 0, 1 or 2. With 1 and 2 pub returns when the server has the message."""
    protocol_version: Annotated[
        str, Parameter(group=_MQTT, alias="-V", metavar="5|3.1.1|3.1", show_default=False)
    ] = field(default="5", validator=_version)
    """What is spoken: 5 unless told."""
    id: Annotated[_Text, Parameter(alias="-i")] = None
    """Client identifier; the server chooses one unless told, before 5.0 a random one is taken."""
    keep_alive: Annotated[int, Parameter(group=_MQTT, alias="-k", show_default=False)] = field(
        default=60, validator=whole(0, 65_535)
    )
    """Seconds after which the connection is seen to be alive: 60 unless told, 0 for never."""
    user: Annotated[_Text, Parameter(alias="-u")] = None
    """User name."""
    password: Annotated[_Text, Parameter(alias="-P")] = None
    """Password. Others on this machine can see it; --password-file and the environment variable
    MQTT_PASSWORD are better."""
    password_file: Annotated[
        Path | None, Parameter(group=_MQTT, show_default=False, metavar="FILE")
    ] = None
    """A file with the password on its only line."""
    will_topic: _Text = None
    """Have the server publish a message there when this client is gone without a goodbye."""
    will_payload: _Text = None
    """What it says."""
    will_qos: Annotated[int, Parameter(group=_MQTT, show_default=False)] = field(
        default=0, validator=_QOS
    )
    """Its quality of service."""
    will_retain: _Switch = False
    """Have the server keep it as the last of its topic."""


@frozen(kw_only=True, slots=False)  # a second base with slots would be one too many
class MQTTPubFlags(MQTTFlags):
    """The same, and what belongs to a message that is published."""

    property: Annotated[
        tuple[str, ...],
        Parameter(group=_MQTT, alias="-D", show_default=False, metavar="NAME=VALUE"),
    ] = field(default=(), validator=_properties)
    """A property of the messages, in 5.0: user-property=KEY=VALUE, content-type=TEXT,
    message-expiry-interval=SECONDS, payload-format-indicator=1, response-topic=TOPIC,
    correlation-data=TEXT. Give it again for more."""


@frozen(kw_only=True, slots=False)  # a second base with slots would be one too many
class MQTTSubFlags(MQTTFlags):
    """The same, and what belongs to a session."""

    keep_session: Annotated[bool, Parameter(group=_MQTT, alias="-c", show_default=False)] = False
    """Keep the session when this ends, and go on with the one that there is: messages of QoS 1 and
    2 that come meanwhile wait. Needs --id."""
    session_expiry: Annotated[
        int | None, Parameter(group=_MQTT, alias="-x", show_default=False)
    ] = field(default=None, validator=whole(0, _STAY, none=True))
    """Seconds that a session is kept, in 5.0; as long as the server does unless told."""


def check_mqtt(plan: MQTTFlags, *, mqtt: bool, url: str) -> None:
    """See whether the flags fit the server, and one another.

    Raises:
        ConfigError: they don't; the text tells which, and what is allowed.
    """
    given = _given(plan)
    if given and not mqtt:
        raise ConfigError(f"{given[0]} is for servers of MQTT, and the server is {url}")
    five = VERSIONS[plan.protocol_version] == "5.0"
    for flag in ("--property", "--session-expiry"):
        if flag in given and not five:
            raise ConfigError(f"{flag} is for MQTT 5, and --protocol-version is less")
    for flag in ("--will-payload", "--will-qos", "--will-retain"):
        if flag in given and plan.will_topic is None:
            raise ConfigError(f"{flag} is for --will-topic, which is not given")
    if plan.password is not None and plan.password_file is not None:
        raise ConfigError("--password and --password-file are given; allowed is one of them")
    if not five and plan.user is None and ("--password" in given or "--password-file" in given):
        raise ConfigError("a password without --user is for MQTT 5; allowed is both")
    if isinstance(plan, MQTTSubFlags):
        _check_session(plan, given)


def _check_session(plan: MQTTSubFlags, given: list[str]) -> None:
    if plan.keep_session and not plan.id:
        raise ConfigError("--keep-session is for --id, which is not given")
    if "--session-expiry" in given and not plan.keep_session:
        raise ConfigError("--session-expiry is for --keep-session, which is not given")


def _given(plan: MQTTFlags) -> list[str]:
    """The flags that are not as they are without being given."""
    ours = [
        each
        for kind in (MQTTFlags, MQTTPubFlags, MQTTSubFlags)
        if isinstance(plan, kind)
        for each in fields(kind)
    ]
    return list(
        dict.fromkeys(
            f"--{each.name.replace('_', '-')}"
            for each in ours
            if getattr(plan, each.name) != each.default
        )
    )


def read_password(plan: MQTTFlags) -> bytes | None:
    """The password, wherever it is; the variable counts only where there is a user name.

    Raises:
        Mistake: the file can't be read, or is none with a password.
    """
    if plan.password is not None:
        return plan.password.encode("utf-8", "surrogateescape")
    if plan.password_file is not None:
        return read_password_file(plan.password_file, f"--password-file {plan.password_file}")
    variable = os.environb.get(PASSWORD_VARIABLE.encode())
    return variable if plan.user is not None else None


def read_password_file(path: Path, place: str) -> bytes:
    """The only line of a file.

    Args:
        place: what asked for it, for the error.

    Raises:
        Mistake: it can't be read, or has no line or several.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_PASSWORD_BYTES + 2)
    except OSError as error:
        raise Mistake(f"{place}: {error.strerror}") from error
    password = content.removesuffix(b"\n").removesuffix(b"\r")
    if not password or b"\n" in password or len(password) > _PASSWORD_BYTES:
        raise Mistake(f"{place}: allowed is one line with the password")
    return password
