"""The command's log: to stderr, as text or JSON, from a level on."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from attrs import define

from speedo_trio.logs.json_lines import JSONFormatter

if TYPE_CHECKING:
    from speedo_trio.cli.settings import Settings


@define(eq=False)
class CommandLog:
    """Where the command's log goes. Lines of one process of several tell its number."""

    _handler: logging.Handler | None
    _process: int | None

    @classmethod
    def set_up(cls, settings: Settings, process: int | None = None) -> CommandLog:
        """Begin to log; to be called when the protocol's module has been imported.

        If that has configured logging itself, its configuration stays, and settings of the log
        change nothing.
        """
        root = logging.getLogger()
        handler = None if root.handlers else logging.StreamHandler()
        log = cls(handler, process)
        log.apply(settings)
        if handler is not None:
            root.addHandler(handler)
        return log

    def apply(self, settings: Settings) -> bool:
        """Take format and level from the settings; whether that could be done."""
        if self._handler is None:
            return False
        self._handler.setFormatter(self._formatter(settings))
        logging.getLogger().setLevel(settings.log_level.upper())
        return True

    def _formatter(self, settings: Settings) -> logging.Formatter:
        if settings.log_format == "json":
            return JSONFormatter(**({} if self._process is None else {"process": self._process}))
        number = "" if self._process is None else f" [{self._process}]"
        return logging.Formatter(f"%(asctime)s %(levelname)s{number} %(name)s: %(message)s")
