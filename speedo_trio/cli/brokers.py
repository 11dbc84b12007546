"""Brokers that the command serves: made from settings, and kept while settings are reloaded."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from attrs import evolve

from speedo_trio.broker.broker import Broker
from speedo_trio.cli.settings import get_setting, setting_keys
from speedo_trio.errors import ConfigError
from speedo_trio.mqtt.security.security import Security
from speedo_trio.mqtt.service import MQTT
from speedo_trio.mqtt.store.sqlite import SQLiteStore
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.simplepub.protocol import SimplePub

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from speedo_trio.cli.settings import Settings
    from speedo_trio.mqtt.store.settings import StoreSettings
    from speedo_trio.protocol.handler import ProtocolHandlerFactory

KEPT: dict[str, tuple[str, ...]] = {
    "mqtt": ("broker", "mqtt", "mqtt.store"),
    "simplepub": ("broker",),
}
"""By protocol: the sections of what holds messages or sessions, which can't change meanwhile."""
_CHANGING: dict[str, tuple[str, ...]] = {"mqtt": ("mqtt.security",), "simplepub": ("simplepub",)}
"""By protocol: the sections that hold for new connections."""
_LIVE: dict[str, tuple[str, ...]] = {"mqtt": ("sys_interval", "security")}
"""By section: what can change all the same."""


def make_simplepub(settings: Settings, broker: Broker | None = None) -> SimplePub:
    """SimplePub on a broker, its own if none is given."""
    return SimplePub(broker or Broker(settings.broker), settings.simplepub)


class SecuredMQTT(MQTT):
    """MQTT with the security that settings ask for, which a reload may change."""

    def __init__(self, settings: Settings, broker: Broker | None = None) -> None:
        """On a broker, its own if none is given.

        Raises:
            ConfigError: a file of its security can't be read, or has a mistake in it.
        """
        self.security: Security = Security(settings.mqtt.security)
        super().__init__(
            broker or Broker(settings.broker),
            settings.mqtt,
            hooks=self.security.hooks,
            sys_interval=settings.mqtt.sys_interval,
            bridges=settings.bridges,
            store=make_store(settings.mqtt.store),
        )

    def adopt(self, read: SecuredMQTT) -> None:
        """Hold to what the files say now, for who is there, too."""
        self.sys_interval = read.sys_interval
        must_go = self.security.adopt(read.security)
        self.refresh_rights()
        self.disconnect_where(must_go, ReasonCode.NOT_AUTHORIZED)


def make_mqtt(settings: Settings, broker: Broker | None = None) -> MQTT:
    """MQTT on a broker, its own if none is given. Its store, if it has one, is not opened.

    Raises:
        ConfigError: a file of its security can't be read, or has a mistake in it.
    """
    try:
        return SecuredMQTT(settings, broker)
    except ConfigError as error:
        raise ConfigError(f"mqtt.security: {error}") from error


def make_store(settings: StoreSettings) -> SQLiteStore | None:
    """The store that settings ask for, not opened; None: there is to be none."""
    if settings.path is None:
        return None
    return SQLiteStore(
        settings.path,
        durability=settings.durability,
        pending_bytes=settings.pending_bytes,
        maximum_bytes=settings.maximum_bytes,
    )


@contextmanager
def stores_of(factories: Iterable[ProtocolHandlerFactory]) -> Iterator[None]:
    """The stores of what is to be served are open, until the servers have begun.

    Raises:
        StoreError: one can't be used.
    """
    with ExitStack() as stack:
        for factory in factories:
            if isinstance(factory, MQTT):
                factory.open_store()
                stack.callback(factory.let_go_of_store)
        yield


def successor(
    running: ProtocolHandlerFactory, read: ProtocolHandlerFactory
) -> ProtocolHandlerFactory:
    """The factory for new connections after a reload.

    Args:
        running: the one before.
        read: the one that the new settings ask for; what it would serve is not lost by that, as
            clients stay with the broker that they have.
    """
    if isinstance(running, SecuredMQTT) and isinstance(read, SecuredMQTT):
        running.adopt(read)
        return running
    if not (isinstance(running, SimplePub) and isinstance(read, SimplePub)):
        return read
    if running.settings == read.settings:
        return running
    return SimplePub(running.broker, read.settings)


def protocol_changes(old: Settings, new: Settings) -> tuple[list[str], list[str]]:
    """The names of the settings of protocols that differ: those that can change, those that can't.

    Nothing when the protocols are others, or have no such settings.
    """
    names = new.protocols
    if old.protocols != names:
        return [], []
    changing = _differing(old, new, _sections(_CHANGING, names))
    kept = _differing(old, new, _sections(KEPT, names))
    if "mqtt" in names and old.bridges != new.bridges:
        kept.append("mqtt.bridges")
    live = {f"{section}.{name}" for section, each in _LIVE.items() for name in each}
    return (
        [*changing, *(name for name in kept if name in live)],
        [name for name in kept if name not in live],
    )


def kept_settings(old: Settings, new: Settings) -> dict[str, object]:
    """The sections that stay as they are after a reload, but for what can change in them."""
    kept: dict[str, object] = {}
    for section in _sections(KEPT, new.protocols):
        if "." in section:
            continue  # it is kept with the one around it
        live = {name: getattr(getattr(new, section), name) for name in _LIVE.get(section, ())}
        kept[section] = evolve(getattr(old, section), **live)
    if "mqtt" in new.protocols:
        kept["bridges"] = old.bridges
    return kept


def _sections(by_protocol: dict[str, tuple[str, ...]], names: tuple[str, ...]) -> tuple[str, ...]:
    """The sections of all these protocols, each once."""
    return tuple(dict.fromkeys(each for name in names for each in by_protocol.get(name, ())))


def _differing(old: Settings, new: Settings, sections: tuple[str, ...]) -> list[str]:
    return [
        ".".join(keys)
        for section in sections
        for keys in setting_keys()
        if ".".join(keys[:-1]) == section and get_setting(old, keys) != get_setting(new, keys)
    ]
