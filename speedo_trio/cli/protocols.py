"""Protocols: what there is to serve, by name, and how a name becomes a handler factory."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from importlib.metadata import entry_points
from inspect import isabstract
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from attrs import frozen

from speedo_trio.cli.blame import told
from speedo_trio.cli.mistakes import Mistake, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable

    from speedo_trio.cli.settings import Settings
    from speedo_trio.protocol.handler import ProtocolHandlerFactory

PLUGINS = "speedo_trio.protocols"
"""The entry point group in which a package offers its protocols."""

_SHIPPED = {
    "discard": "speedo_trio.sinks:DiscardProtocol",
    "echo": "speedo_trio.echo:EchoProtocol",
    "log": "speedo_trio.sinks:LogProtocol",
    "mqtt": "speedo_trio.mqtt.service:MQTT",
    "simplepub": "speedo_trio.simplepub:SimplePub",
}

_MAKERS = {
    "mqtt": "speedo_trio.cli.brokers:make_mqtt",
    "simplepub": "speedo_trio.cli.brokers:make_simplepub",
}
"""Those that are made from settings, and what makes them."""

ONE_PROCESS = tuple(_MAKERS)
"""Those whose clients must all meet in one process."""

_TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


@frozen
class Offer:
    """A protocol that has a name."""

    name: str
    target: str
    """The factory, as ``package.module:Factory``."""
    source: str
    """``shipped``, or the package that brings it."""


def offers() -> list[Offer]:
    """What is shipped, then what plugins bring, by name. Nothing is imported for it."""
    shipped = [Offer(name, target, "shipped") for name, target in _SHIPPED.items()]
    found = sorted(entry_points(group=PLUGINS), key=lambda entry: (entry.name, entry.value))
    return shipped + [
        Offer(entry.name, _path(entry.value), f"{entry.dist.name} {entry.dist.version}")
        for entry in found
        if entry.dist is not None  # it has one, unless somebody made the entry point by hand
    ]


def _path(value: str) -> str:
    return value.partition("[")[0].strip()  # after it may come extras, which say nothing here


def find_protocol(settings: Settings, name: str, broker: object = None) -> ProtocolHandlerFactory:
    """The factory of a protocol that the settings ask for.

    Args:
        settings: what it is made from, if it is.
        name: which one.
        broker: a broker to share; None: it makes its own, if it needs one.

    Raises:
        Mistake: there is none, several plugins have the name, or it cannot be imported.
    """
    maker = _MAKERS.get(name)
    if maker is None:
        return find_factory(name)
    make = cast("Callable[[Settings, object], ProtocolHandlerFactory]", load(maker))
    return make(settings, broker)


def find_factory(text: str) -> ProtocolHandlerFactory:
    """The factory that a name or ``package.module:Factory`` stands for.

    A plugin cannot take a shipped name. For a path the current directory is importable, as it is
    for ``python -m``.

    Raises:
        Mistake: there is none, several plugins have the name, or it cannot be imported.
    """
    if text in _SHIPPED:
        return load(_SHIPPED[text])
    if ":" in text:
        _make_here_importable()
        return load(text)
    offered = offers()
    found = [offer for offer in offered if offer.name == text]
    if not found:
        raise Mistake(_unknown(text, {offer.name: None for offer in offered}))
    if len(found) > 1:
        among = ", ".join(f"{offer.target} of {offer.source}" for offer in found)
        raise Mistake(f"several plugins are called {text}; give one of these paths: {among}")
    return load(found[0].target)


def _unknown(text: str, names: dict[str, None]) -> str:
    guess = suggestion(text, names) or "."
    return (
        f"unknown protocol {text!r}{guess} There are {', '.join(names)} and package.module:Factory"
    )


def _make_here_importable() -> None:
    here = str(Path.cwd())
    if not sys.flags.safe_path and here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


def load(target: str) -> ProtocolHandlerFactory:
    """Import the factory at ``package.module:Factory``.

    Raises:
        Mistake: the path has another form, or the import fails; the cause is what it raised.
    """
    if not _TARGET.fullmatch(target):
        raise Mistake(f"{target!r} is no protocol; allowed is a name or package.module:Factory")
    name, _, path = target.partition(":")
    try:
        module = import_module(name)
    except (Exception, SystemExit) as error:  # whatever the module's own code raises
        raise Mistake(f"cannot import {name}: {told(error)}") from error
    factory: Any = _attribute(module, path, target)  # Any: user code
    if not callable(factory):
        kind = type(factory).__name__
        raise Mistake(f"{target} is of type {kind}; allowed is a callable that takes a Connection")
    if isabstract(factory):
        lacking = ", ".join(sorted(factory.__abstractmethods__))
        raise Mistake(f"{target} is abstract: it does not define {lacking}")
    return cast("ProtocolHandlerFactory", factory)


def _attribute(module: object, path: str, target: str) -> object:
    found = module
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            guess = suggestion(name, dir(found))
            raise Mistake(f"there is no {name} in {target}{guess}") from None
    return found
