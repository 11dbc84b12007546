"""Scopes of a mosquitto.conf: what holds for all, for a listener, and for a bridge.

Next: `speedo_trio.cli.mosquitto.result`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Iterable

    from speedo_trio.cli.mosquitto.conf import Option

LISTENERS: Final = frozenset(
    (
        *("bind_address", "bind_interface", "cafile", "capath", "certfile", "ciphers"),
        *("ciphers_tls1.3", "crlfile", "dhparamfile", "http_dir", "keyfile", "max_connections"),
        *("max_qos", "max_topic_alias", "mount_point", "protocol", "psk_hint"),
        *("require_certificate", "socket_domain", "tls_engine", "tls_keyform", "tls_version"),
        *("use_identity_as_username", "use_subject_as_username", "use_username_as_clientid"),
    )
)
"""Options of a listener: the one before them, or else the one that is there without being named."""
SECURITY: Final = frozenset(("acl_file", "allow_anonymous", "password_file"))
"""With ``per_listener_settings`` these are a listener's, too."""


@define
class Scope:
    """Options of one listener, or of one bridge."""

    options: dict[str, Option] = field(factory=dict)
    """The last of each name."""
    topics: list[Option] = field(factory=list)
    """Those called ``topic``, of which there may be many."""

    def text(self, name: str) -> str:
        """An option's value; empty without one."""
        return self.options[name].value if name in self.options else ""

    def flag(self, name: str) -> bool:
        """Whether an option is there and true."""
        return self.text(name) == "true"

    def add(self, option: Option) -> None:
        """Take one more."""
        if option.name == "topic":
            self.topics.append(option)
        else:
            self.options[option.name] = option


@define
class Scopes:
    """All of a configuration."""

    common: Scope = field(factory=Scope)
    default: Scope = field(factory=Scope)
    """The listener that is there when ``port`` names it, or no other is named."""
    listeners: list[Scope] = field(factory=list)
    bridges: list[Scope] = field(factory=list)

    @property
    def all_listeners(self) -> list[Scope]:
        """Those that are served."""
        named = "port" in self.default.options or not self.listeners
        return [self.default, *self.listeners] if named else self.listeners


def sort_options(options: Iterable[Option]) -> Scopes:
    """Put each option where it belongs."""
    found = Scopes()
    each_its_own = False
    bridge: Scope | None = None
    for option in options:
        each_its_own = each_its_own or (
            option.name == "per_listener_settings" and option.value == "true"
        )
        last = found.listeners[-1] if found.listeners else found.default
        if option.name == "listener":
            found.listeners.append(Scope({"listener": option}))
        elif option.name == "connection":
            bridge = Scope({"connection": option})
            found.bridges.append(bridge)
        elif option.name in LISTENERS or (option.name in SECURITY and each_its_own):
            last.add(option)
        elif option.name == "port":
            found.default.add(option)
        elif bridge is not None and option.name in BRIDGES:
            bridge.add(option)
        else:
            found.common.add(option)
    return found


BRIDGES: Final = frozenset(
    (
        *("address", "addresses", "topic", "bridge_alpn", "bridge_attempt_unsubscribe"),
        *("bridge_bind_address", "bridge_cafile", "bridge_capath", "bridge_certfile"),
        *("bridge_identity", "bridge_insecure", "bridge_keyfile", "bridge_max_packet_size"),
        *("bridge_outgoing_retain", "bridge_protocol_version", "bridge_psk"),
        *("bridge_require_ocsp", "bridge_tls_version", "clean_session", "cleansession", "clientid"),
        *("idle_timeout", "keepalive_interval", "local_cleansession", "local_clientid"),
        *("local_password", "local_username", "notification_topic", "notifications"),
        *("notifications_local_only", "password", "remote_clientid", "remote_password"),
        *("remote_username", "restart_timeout", "round_robin", "start_type", "threshold"),
        *("try_private", "username"),
    )
)
"""Options of a bridge, behind its ``connection``."""
