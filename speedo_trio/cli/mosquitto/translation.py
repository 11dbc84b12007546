"""Options of mosquitto as settings of ours, where they have a counterpart.

Next: `speedo_trio.cli.mosquitto.bridges`.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from speedo_trio.cli.mistakes import Mistake
from speedo_trio.cli.mosquitto.bridges import bridge_settings
from speedo_trio.cli.mosquitto.listeners import bind_of
from speedo_trio.cli.mosquitto.result import Translation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from speedo_trio.cli.mosquitto.conf import Option
    from speedo_trio.cli.mosquitto.scopes import Scope, Scopes

_MOST: Final = 2**62
_NUMBERS: Final = {
    "max_inflight_messages": ("mqtt", "maximum_inflight", 65_535),
    "max_packet_size": ("mqtt", "maximum_packet_size", 268_435_460),
    "max_queued_bytes": ("mqtt", "queue_bytes", _MOST),
    "max_queued_messages": ("mqtt", "queue_messages", _MOST),
}
"""Numbers, where they go, and what 0 stands for."""
_FLAGS: Final = {
    "allow_zero_length_clientid": "assign_client_ids",
    "retain_available": "retain_available",
}
_NOTHING: Final = frozenset(
    (
        *("autosave_interval", "autosave_on_changes", "log_timestamp", "persistence"),
        *("persistence_file", "persistence_location", "per_listener_settings", "set_tcp_nodelay"),
        *("allow_duplicate_messages", "store_clean_interval", "retry_interval", "pid_file"),
    )
)
"""What needs no counterpart: it is so here, or is seen to elsewhere."""
_SECONDS: Final = {"h": 3600, "d": 86_400, "w": 604_800, "m": 2_592_000, "y": 31_536_000}


def translate(scopes: Scopes) -> Translation:
    """Translate a whole configuration.

    Raises:
        Mistake: a value is none that mosquitto would take.
    """
    made = Translation()
    made.put("", "protocol", "mqtt")
    made.put("", "bind", [bind_of(each, made) for each in scopes.all_listeners])
    for option in scopes.common.options.values():
        _common(option, made)
    _listeners(scopes, made)
    _security(scopes, made)
    _persistence(scopes.common, made)
    for bridge in scopes.bridges:
        name, settings = bridge_settings(bridge, made)
        made.settings[f"mqtt.bridges.{name}"] = settings
    return made


def whole(option: Option) -> int:
    """An option's number.

    Raises:
        Mistake: it is none.
    """
    try:
        return int(option.value)
    except ValueError:
        raise Mistake(f"{option} is {option.value!r}; allowed is a whole number") from None


def _common(option: Option, made: Translation) -> None:
    name = option.name
    if name in _NUMBERS:
        section, setting, unlimited = _NUMBERS[name]
        made.put(section, setting, min(whole(option) or unlimited, unlimited))
    elif name in _FLAGS:
        made.put("mqtt", _FLAGS[name], option.value == "true")
    elif name == "persistent_client_expiration":
        made.put("mqtt", "maximum_session_expiry", _seconds(option))
    elif name == "sys_interval":
        made.put("mqtt", "sys_interval", whole(option))
    elif name == "message_size_limit":
        if whole(option):
            made.put("mqtt", "maximum_packet_size", max(64, whole(option) + 65_536))
            made.note(option, "bounds payloads there; here it is the packet, so 64 KiB were added")
    elif name == "log_type" and option.value in ("all", "debug"):
        made.put("", "log_level", "debug")
    elif name not in {*_NOTHING, "acl_file", "allow_anonymous", "password_file"}:
        made.note(option)


def _seconds(option: Option) -> int:
    unit = _SECONDS.get(option.value[-1:].lower())
    if unit is None or not option.value[:-1].isdecimal():
        raise Mistake(f"{option} is {option.value!r}; allowed is a number and one of h, d, w, m, y")
    return min(int(option.value[:-1]) * unit, 0xFFFF_FFFF)


def _listeners(scopes: Scopes, made: Translation) -> None:
    """What is a listener's there, and the server's here."""
    listeners = scopes.all_listeners
    connections = [
        each.options["max_connections"] for each in listeners if "max_connections" in each.options
    ]
    counts = [whole(each) for each in connections]
    if counts and len(counts) == len(listeners) and min(counts) > 0:
        made.put("limits", "connections", sum(counts))
    for option in connections if len(listeners) > 1 else ():
        made.note(option, "is of a listener there; here limits.connections is for all together")
    for name, setting in (("max_qos", "maximum_qos"), ("max_topic_alias", "topic_alias_maximum")):
        agreed = _agreed(listeners, name, made, lowest=True)
        if agreed is not None:
            made.put("mqtt", setting, whole(agreed))


def _security(scopes: Scopes, made: Translation) -> None:
    """Passwords, rights and names, which are the same here for all listeners."""
    section = "mqtt.security"
    listeners = [scopes.common, *scopes.all_listeners]
    for name in ("password_file", "acl_file"):
        option = _agreed(listeners, name, made)
        if option is not None:
            made.put(section, name, option.value)
    local = not scopes.listeners and "port" not in scopes.default.options
    flags = [
        each.options["allow_anonymous"] for each in listeners if "allow_anonymous" in each.options
    ]
    if flags:
        everywhere = all(each.value == "true" for each in flags)
        made.put(section, "allow_anonymous", "always" if everywhere else "never")
        for option in flags if len({each.value for each in flags}) > 1 else ():
            made.note(option, 'differs between listeners; here it is "never" for all')
    else:
        made.put(section, "allow_anonymous", "local" if local else "never")
    for name, kind in (("use_identity_as_username", "cn"), ("use_subject_as_username", "subject")):
        if any(each.flag(name) for each in listeners):
            made.put(section, "certificate_user", kind)


def _agreed(
    scopes: Iterable[Scope], name: str, made: Translation, *, lowest: bool = False
) -> Option | None:
    """The option that listeners have in common; the others are told of."""
    found = [each.options[name] for each in scopes if name in each.options]
    if not found:
        return None
    chosen = min(found, key=whole) if lowest else found[0]
    for option in found:
        if option.value != chosen.value:
            made.note(option, f"differs between listeners; here it is {chosen.value} for all")
    return chosen


def _persistence(common: Scope, made: Translation) -> None:
    if common.flag("persistence"):
        folder = common.text("persistence_location") or "."
        made.put("mqtt.store", "path", str(PurePosixPath(folder) / "speedo_trio.db"))
        made.note(
            common.options["persistence"],
            "is translated; what mosquitto has stored so far is not carried over",
        )
