"""The voice: what the command says while it serves, beside what it logs.

To people it says on stdout where it serves and how it ended; as JSON all that is in the log.
"""

from __future__ import annotations

import logging
import sys
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from speedo_trio.cli.output import say
from speedo_trio.events import Drained, DrainStarted, Listening, Reconfigured, counted
from speedo_trio.logs.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from speedo_trio.cli.settings import Settings
    from speedo_trio.events import Event
    from speedo_trio.logs.event_log import EventLog

_logger = logging.getLogger("speedo_trio")


class Voice(ABC):
    """What the run of a server has to say."""

    @abstractmethod
    def observe(self, event: Event) -> None:
        """The observer of the server. `Reconfigured` is for `reloaded` to tell."""

    @abstractmethod
    def admin(self, urls: Iterable[str]) -> None:
        """The server's admin endpoint answers there."""

    @abstractmethod
    def stopped(self, cut: int, dropped: int) -> None:
        """The server was stopped at once; so many connections were cut, and messages dropped."""

    @abstractmethod
    def reloaded(self, event: Reconfigured) -> None:
        """The settings were read again."""

    @abstractmethod
    def not_reloaded(self, why: str) -> None:
        """They were, and had a mistake."""


class OwnVoice(Voice):
    """That of a process that speaks for itself."""

    def __init__(self, settings: Settings, log: EventLog, protocol: str | None = None) -> None:
        """Speak.

        Args:
            settings: with which it serves.
            log: who logs events.
            protocol: one that is served beside the first; None: the first.
        """
        self._log = log
        self._protocol = protocol or settings.protocol
        self._first = protocol is None
        self._before = f"{self._protocol}: " if settings.also else ""
        self._logs_all = settings.log_format == "json"

    def tell(self, line: str) -> None:
        """A line for people, or for the log."""
        if self._logs_all:
            _logger.info("%s", line)
        else:
            say(line)

    def observe(self, event: Event) -> None:
        match event:
            case Reconfigured():
                pass
            case Listening() | DrainStarted() | Drained() if not self._logs_all:
                self._say(event)
            case _:
                self._log(event)

    def _say(self, event: Listening | DrainStarted | Drained) -> None:
        match event:
            case Listening():
                for address in event.addresses:
                    say(f"serving {self._protocol} on {address}")
                if self._first and sys.stdout is not None and sys.stdout.isatty():
                    say("Ctrl-C to drain, twice to stop at once")
            case DrainStarted():
                self.draining(counted(event.connections, "connection"), event.grace)
            case Drained():
                self._log.flush()
                say(f"{self._before}{event.report}")

    def draining(self, what: str, grace: float) -> None:
        """A drain of `what` has begun."""
        times = f"up to {round(grace, 2):g} s; again to stop at once"
        self.tell(f"{self._before}draining {what}, {times}")

    def admin(self, urls: Iterable[str]) -> None:
        for url in urls:
            self.tell(f"admin on {url}")

    def stopped(self, cut: int, dropped: int) -> None:
        self._log.flush()
        lost = f"cut {counted(cut, 'connection')}, dropped {counted(dropped, 'message')}"
        self.tell(f"stopped at once: {lost}")

    def reloaded(self, event: Reconfigured) -> None:
        self._log(Reconfigured(changed=event.changed))
        if event.needs_restart:
            names, needs = ", ".join(event.needs_restart), "need"
            if len(event.needs_restart) == 1:
                needs = "needs"
            _logger.warning("%s changed: %s a restart", names, needs)

    def not_reloaded(self, why: str) -> None:
        _logger.error("not reloaded: %s", printable(why))
