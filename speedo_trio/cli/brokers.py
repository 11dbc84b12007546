"""Brokers that the command serves: made from settings, and kept while settings are reloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import fields

from speedo_trio.broker.broker import Broker
from speedo_trio.cli.protocols import ONE_PROCESS
from speedo_trio.simplepub.protocol import SimplePub

if TYPE_CHECKING:
    from speedo_trio.cli.settings import Settings
    from speedo_trio.protocol.handler import ProtocolHandlerFactory

_KEPT = ("broker",)
"""Sections of what holds messages, and so can't change while it does."""
_CHANGING = ("simplepub",)
"""Sections of protocols, for new connections."""


def make_simplepub(settings: Settings) -> SimplePub:
    """SimplePub on a broker of its own."""
    return SimplePub(Broker(settings.broker), settings.simplepub)


def successor(
    running: ProtocolHandlerFactory, read: ProtocolHandlerFactory
) -> ProtocolHandlerFactory:
    """The factory for new connections after a reload.

    Args:
        running: the one before.
        read: the one that the new settings ask for; what it would serve is not lost by that, as
            clients stay with the broker that they have.
    """
    if not (isinstance(running, SimplePub) and isinstance(read, SimplePub)):
        return read
    if running.settings == read.settings:
        return running
    return SimplePub(running.broker, read.settings)


def protocol_changes(old: Settings, new: Settings) -> tuple[list[str], list[str]]:
    """The names of the settings of protocols that differ: those that can change, those that can't.

    Nothing when the protocol is another one, or has no such settings.
    """
    if old.protocol != new.protocol or new.protocol not in ONE_PROCESS:
        return [], []
    return _differing(old, new, _CHANGING), _differing(old, new, _KEPT)


def _differing(old: Settings, new: Settings, sections: tuple[str, ...]) -> list[str]:
    return [
        f"{section}.{each.name}"
        for section in sections
        for each in fields(type(getattr(old, section)))
        if getattr(getattr(old, section), each.name) != getattr(getattr(new, section), each.name)
    ]
