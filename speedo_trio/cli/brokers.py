"""Brokers that the command serves: made from settings, and kept while settings are reloaded."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from attrs import fields

from speedo_trio.broker.broker import Broker
from speedo_trio.mqtt.service import MQTT
from speedo_trio.mqtt.store.sqlite import SQLiteStore
from speedo_trio.simplepub.protocol import SimplePub

if TYPE_CHECKING:
    from collections.abc import Iterator

    from speedo_trio.cli.settings import Settings
    from speedo_trio.mqtt.store.settings import StoreSettings
    from speedo_trio.protocol.handler import ProtocolHandlerFactory

KEPT: dict[str, tuple[str, ...]] = {"mqtt": ("broker", "mqtt", "store"), "simplepub": ("broker",)}
"""By protocol: the sections of what holds messages or sessions, which can't change meanwhile."""
_CHANGING = {"simplepub": ("simplepub",)}
"""By protocol: the sections that hold for new connections."""


def make_simplepub(settings: Settings) -> SimplePub:
    """SimplePub on a broker of its own."""
    return SimplePub(Broker(settings.broker), settings.simplepub)


def make_mqtt(settings: Settings) -> MQTT:
    """MQTT on a broker of its own. Its store, if it has one, is not opened."""
    return MQTT(Broker(settings.broker), settings.mqtt, store=make_store(settings.store))


def make_store(settings: StoreSettings) -> SQLiteStore | None:
    """The store that settings ask for; None: there is to be none."""
    if settings.path is None:
        return None
    return SQLiteStore(
        settings.path,
        durability=settings.durability,
        pending_bytes=settings.pending_bytes,
        maximum_bytes=settings.maximum_bytes,
    )


@contextmanager
def store_of(factory: ProtocolHandlerFactory) -> Iterator[None]:
    """The store of what is to be served is open, if it has one, until the server has begun.

    Raises:
        StoreError: it can't be used.
    """
    if not isinstance(factory, MQTT):
        yield
        return
    factory.open_store()
    try:
        yield
    finally:
        factory.let_go_of_store()


def successor(
    running: ProtocolHandlerFactory, read: ProtocolHandlerFactory
) -> ProtocolHandlerFactory:
    """The factory for new connections after a reload.

    Args:
        running: the one before.
        read: the one that the new settings ask for; what it would serve is not lost by that, as
            clients stay with the broker that they have.
    """
    if isinstance(running, MQTT) and isinstance(read, MQTT):
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
        f"{section}.{each.name}"
        for section in sections
        for each in fields(type(getattr(old, section)))
        if getattr(getattr(old, section), each.name) != getattr(getattr(new, section), each.name)
    ]
