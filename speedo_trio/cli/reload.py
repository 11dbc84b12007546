"""A reload: the settings are read again while the server runs, and those that can change do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from attrs import define, evolve, field

from speedo_trio.cli.brokers import kept_settings, protocol_changes, successor
from speedo_trio.cli.mistakes import Mistake
from speedo_trio.cli.others import Others
from speedo_trio.errors import ConfigError
from speedo_trio.events import Reconfigured

if TYPE_CHECKING:
    from speedo_trio.cli.log import CommandLog
    from speedo_trio.cli.notify import Notifier
    from speedo_trio.cli.reading import Reading, Reread
    from speedo_trio.cli.settings import Settings
    from speedo_trio.cli.voice import Voice
    from speedo_trio.protocol.handler import ProtocolHandlerFactory
    from speedo_trio.server import Server

NEED_RESTART = ("bind", "also", "processes", "admin", "admin_token_file")
"""Settings of the command that can't change while it runs; `Server.reconfigure` knows its own."""

_LOG = ("log_format", "log_level")


@define(eq=False)
class Reloader:
    """Reloads a server that runs with some settings."""

    _settings: Settings
    """Those that it runs with."""
    _factory: ProtocolHandlerFactory
    _reread: Reread
    _log: CommandLog
    _voice: Voice
    _notifier: Notifier
    _others: Others = field(factory=Others)
    """What is served beside."""
    _limiter: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(1))

    async def reload(self, server: Server) -> None:
        """Read the settings again and apply them. With a mistake in them nothing changes.

        The reading is done in a thread, since it may import a module. On cancel that is left to
        itself, and nothing changes.
        """
        self._notifier.reloading()
        try:
            settings, factories = await trio.to_thread.run_sync(
                self._read, abandon_on_cancel=True, limiter=self._limiter
            )
            self._voice.reloaded(self._apply(server, settings, factories))
        except (Mistake, ConfigError) as error:
            self._voice.not_reloaded(str(error))
        self._notifier.ready()

    def _read(self) -> tuple[Settings, list[ProtocolHandlerFactory]]:
        reading: Reading = self._reread()
        return reading.settings, reading.factories()

    def _apply(
        self, server: Server, settings: Settings, factories: list[ProtocolHandlerFactory]
    ) -> Reconfigured:
        """What was changed, and what could not be."""
        factory = successor(self._factory, factories[0])
        events = [server.reconfigure(config=settings.config, factory=factory)]
        self._factory = factory
        same = settings.also == self._settings.also
        events += self._others.reconfigure(settings.config, factories[1:] if same else ())
        running = {name: getattr(self._settings, name) for name in NEED_RESTART}
        needs_restart = [name for name in running if getattr(settings, name) != running[name]]
        changed = [
            name for name in _LOG if getattr(settings, name) != getattr(self._settings, name)
        ]
        if changed and not self._log.apply(settings):
            needs_restart += changed
            changed = []
        ours, kept = protocol_changes(self._settings, settings)
        others = [name for name in _joined(events, "changed") if not ours or name != "factory"]
        if settings.protocols == self._settings.protocols:  # else a broker was made from these
            running |= kept_settings(self._settings, settings)
        self._settings = evolve(settings, **running)
        return Reconfigured(
            changed=(*others, *ours, *changed),
            needs_restart=(*needs_restart, *_joined(events, "needs_restart"), *kept),
        )


def _joined(events: list[Reconfigured], what: str) -> list[str]:
    """What several servers tell, each name once."""
    return list(dict.fromkeys(name for event in events for name in getattr(event, what)))
