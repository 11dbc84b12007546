"""A rolling reload: several processes read their settings again, one after another."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from speedo_trio.cli.child import NotReloaded
from speedo_trio.cli.mistakes import Mistake
from speedo_trio.events import Reconfigured

if TYPE_CHECKING:
    from collections.abc import Iterable

    from speedo_trio.cli.keeper import Keeper
    from speedo_trio.cli.log import CommandLog
    from speedo_trio.cli.notify import Notifier
    from speedo_trio.cli.reading import Reread
    from speedo_trio.cli.settings import Settings
    from speedo_trio.cli.voice import Voice

_logger = logging.getLogger("speedo_trio")


@define(eq=False)
class Rolling:
    """Reloads children that were started with some settings."""

    settings: Settings
    """Those that were read last without a mistake."""
    _reread: Reread
    _log: CommandLog
    _voice: Voice
    _notifier: Notifier
    _limiter: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(1))

    async def reload(self, keepers: Iterable[Keeper]) -> None:
        """Have all children reload; the first that finds a mistake is the last that is asked.

        What they tell is told once. A mistake in the settings themselves is found here, and no
        child is asked. On cancel the rest is not asked.
        """
        self._notifier.reloading()
        try:
            reading = await trio.to_thread.run_sync(
                self._reread, abandon_on_cancel=True, limiter=self._limiter
            )
            event = await self._ask(keepers)
            self._log.apply(reading.settings)
            self.settings = reading.settings
            self._voice.reloaded(event)
        except Mistake as mistake:
            self._voice.not_reloaded(str(mistake))
        self._notifier.ready()

    async def _ask(self, keepers: Iterable[Keeper]) -> Reconfigured:
        """What was changed, and what could not be, in any of them."""
        changed: list[str] = []
        needs_restart: list[str] = []
        for keeper in keepers:
            child = keeper.child
            if child is None:
                continue  # the next one reads the new settings anyway
            match await child.reload():
                case NotReloaded(why):
                    raise Mistake(f"process {keeper.number}: {why}")
                case Reconfigured() as event:
                    changed += event.changed
                    needs_restart += event.needs_restart
                case None if keeper.child is child:
                    _logger.warning("%s does not answer; it may not have reloaded", child)
        return Reconfigured(
            changed=tuple(dict.fromkeys(changed)),
            needs_restart=tuple(dict.fromkeys(needs_restart)),
        )
