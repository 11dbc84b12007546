"""A bridge of mosquitto as a section of ours.

Next: `speedo_trio.cli.mosquitto.listeners`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from speedo_trio.cli.mistakes import Mistake

if TYPE_CHECKING:
    from speedo_trio.cli.mosquitto.conf import Option
    from speedo_trio.cli.mosquitto.result import Translation
    from speedo_trio.cli.mosquitto.scopes import Scope

_VERSIONS: Final = {"mqttv31": "3.1", "mqttv311": "3.1.1", "mqttv50": "5.0"}
_TEXTS: Final = {
    "bridge_cafile": "ca",
    "bridge_certfile": "cert",
    "bridge_keyfile": "key",
    "clientid": "client_id",
    "local_clientid": "local_client_id",
    "password": "password",
    "remote_clientid": "client_id",
    "remote_password": "password",
    "remote_username": "user_name",
    "username": "user_name",
}
_DONE: Final = frozenset(("connection", "address", "addresses", "bridge_protocol_version"))
_PORTS: Final = {False: 1883, True: 8883}


def bridge_settings(bridge: Scope, made: Translation) -> tuple[str, dict[str, Any]]:
    """Its name, and its settings. Any: as TOML has them.

    Raises:
        Mistake: it has no address, or a topic that is none.
    """
    connection = bridge.options["connection"]
    address = bridge.options.get("address") or bridge.options.get("addresses")
    if address is None:
        raise Mistake(f"{connection} {connection.value} has no address")
    first, *others = address.value.split()
    if others:
        made.note(address, f"has several; {first} is used")
    settings: dict[str, Any] = {"url": _url(first, bridge)}  # Any: as above
    settings["topics"] = [_topic(each) for each in bridge.topics]
    settings["version"] = _VERSIONS.get(bridge.text("bridge_protocol_version"), "3.1.1")
    for name, option in bridge.options.items():
        _option(name, option, settings, made)
    name = re.sub(r"[^\w-]", "_", connection.value, flags=re.ASCII)
    if name != connection.value:
        made.note(connection, f"is called {name} here")
    return name, settings


def _option(name: str, option: Option, settings: dict[str, Any], made: Translation) -> None:  # Any
    if name in _TEXTS:
        settings[_TEXTS[name]] = option.value
    elif name in ("cleansession", "clean_session"):
        settings["clean_start"] = option.value == "true"
    elif name == "keepalive_interval" and option.value.isdecimal():
        settings["keep_alive"] = int(option.value)
    elif name == "bridge_insecure":
        settings["insecure"] = option.value == "true"
    elif name not in _DONE:
        made.note(option)


def _url(address: str, bridge: Scope) -> str:
    secure = any(bridge.text(f"bridge_{name}") for name in ("cafile", "capath", "certfile"))
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        host, port = address, str(_PORTS[secure])
    shown = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"{'mqtts' if secure else 'mqtt'}://{shown}:{port}"


def _topic(option: Option) -> dict[str, Any]:  # Any: as TOML has them
    """``topic PATTERN [DIRECTION [QOS [LOCAL [REMOTE]]]]``; two quotation marks are nothing."""
    words = ["" if each == '""' else each for each in option.value.split()]
    pattern, direction, qos, local, remote = (*words, *("", "out", "0", "", "")[len(words) :])[:5]
    known = {"in": "in", "out": "out", "both": "both"}
    if not words or len(words) > 5 or direction not in known or qos not in ("0", "1", "2"):
        raise Mistake(f"{option} {option.value!r}; allowed is PATTERN in|out|both QOS LOCAL REMOTE")
    return {
        "filter": pattern,
        "direction": direction,
        "qos": int(qos),
        "local_prefix": local,
        "remote_prefix": remote,
    }
