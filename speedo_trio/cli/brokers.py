"""Brokers that the command serves: made from settings, and kept while settings are reloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from speedo_trio.broker.broker import Broker
from speedo_trio.cli.settings import get_setting, setting_keys
from speedo_trio.errors import ConfigError
from speedo_trio.mqtt.security.security import Security
from speedo_trio.mqtt.service import MQTT
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.simplepub.protocol import SimplePub

if TYPE_CHECKING:
    from speedo_trio.cli.settings import Settings
    from speedo_trio.protocol.handler import ProtocolHandlerFactory

KEPT: dict[str, tuple[str, ...]] = {"mqtt": ("broker", "mqtt"), "simplepub": ("broker",)}
"""By protocol: the sections of what holds messages or sessions, which can't change meanwhile."""
_CHANGING = {"mqtt": ("mqtt.security",), "simplepub": ("simplepub",)}
"""By protocol: the sections that hold for new connections."""


def make_simplepub(settings: Settings) -> SimplePub:
    """SimplePub on a broker of its own."""
    return SimplePub(Broker(settings.broker), settings.simplepub)


class SecuredMQTT(MQTT):
    """MQTT with the security that settings ask for, which a reload may change."""

    def __init__(self, settings: Settings) -> None:
        """On a broker of its own.

        Raises:
            ConfigError: a file of its security can't be read, or has a mistake in it.
        """
        self.security: Security = Security(settings.mqtt.security)
        super().__init__(Broker(settings.broker), settings.mqtt, hooks=self.security.hooks)

    def adopt(self, read: SecuredMQTT) -> None:
        """Hold to what the files say now, for who is there, too."""
        must_go = self.security.adopt(read.security)
        self.refresh_rights()
        self.disconnect_where(must_go, ReasonCode.NOT_AUTHORIZED)


def make_mqtt(settings: Settings) -> MQTT:
    """MQTT on a broker of its own.

    Raises:
        ConfigError: a file of its security can't be read, or has a mistake in it.
    """
    try:
        return SecuredMQTT(settings)
    except ConfigError as error:
        raise ConfigError(f"mqtt.security: {error}") from error


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

    Nothing when the protocol is another one, or has no such settings.
    """
    name = new.protocol
    if old.protocol != name:
        return [], []
    changing, kept = _CHANGING.get(name, ()), KEPT.get(name, ())
    return _differing(old, new, changing), _differing(old, new, kept)


def _differing(old: Settings, new: Settings, sections: tuple[str, ...]) -> list[str]:
    return [
        ".".join(keys)
        for section in sections
        for keys in setting_keys()
        if ".".join(keys[:-1]) == section and get_setting(old, keys) != get_setting(new, keys)
    ]
