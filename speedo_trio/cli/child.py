"""A child: one process of several, and how it talks to the parent that started it.

The parent leaves what the child must know in an environment variable: its number, the sockets that
it inherits, as binds, and the descriptor of a socket to the parent. On that the child tells, as
lines of JSON, what the parent is to say for all of them; that it ends tells that the parent has.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from typing import TYPE_CHECKING, Any, TypeAlias

import trio
from attrs import asdict, define, frozen

from speedo_trio.cli.voice import Voice
from speedo_trio.events import Address, Drained, DrainReport, DrainStarted, Listening, Reconfigured

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

    from speedo_trio.events import Event
    from speedo_trio.logs.event_log import EventLog

VARIABLE = "_TRIO_SPEEDO_CHILD"

_logger = logging.getLogger("speedo_trio")

SHOWS = 4
"""How often a child shows life within the time after which it is taken for stuck."""


@frozen
class Stopped:
    """The child was stopped at once."""

    cut: int
    """Connections."""
    dropped: int
    """Messages."""


@frozen
class NotReloaded:
    """The settings have a mistake; the child runs on with those that it has."""

    why: str


@frozen
class Alive:
    """The child's Trio loop goes round."""


Report: TypeAlias = Listening | Drained | Stopped | Reconfigured | NotReloaded | Alive
"""What a child tells."""


def encode(report: Report) -> bytes:
    """A report as a line."""
    fields = asdict(report)
    return json.dumps({type(report).__name__: fields}).encode() + b"\n"


def decode(line: bytes) -> Report:
    """The report that a line is.

    Raises:
        ValueError, TypeError, LookupError, AttributeError: it is none.
    """
    ((kind, fields),) = json.loads(line).items()
    match kind:
        case "Listening":
            return Listening(addresses=tuple(Address(**each) for each in fields["addresses"]))
        case "Drained":
            return Drained(report=DrainReport(**fields["report"]))
        case "Reconfigured":
            return Reconfigured(**{name: tuple(names) for name, names in fields.items()})
        case "Stopped":
            return Stopped(**fields)
        case "NotReloaded":
            return NotReloaded(**fields)
        case "Alive":
            return Alive()
    raise ValueError(f"{kind} is no report")


@define(eq=False)
class Child:
    """What a process knows that is a child."""

    number: int
    """From 1 on; a child that is started again has the number of the one before."""
    binds: tuple[str, ...]
    watchdog: float | None
    """Seconds after which the parent takes a child for stuck that tells nothing."""
    _parent: socket.socket

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] = os.environ) -> Child | None:
        """What the parent told; None if this process is nobody's child.

        The variable is removed: it is not for processes that the protocol starts.
        """
        text = environment.pop(VARIABLE, None)
        if text is None:
            return None
        told: dict[str, Any] = json.loads(text)
        parent = socket.socket(fileno=told["parent"])
        parent.set_inheritable(False)
        parent.setblocking(False)
        return cls(told["number"], tuple(told["binds"]), told["watchdog"], parent)

    @staticmethod
    def variable(
        number: int, binds: tuple[str, ...], watchdog: float | None, parent: int
    ) -> dict[str, str]:
        """The environment variable that makes a process a child; `parent` is a descriptor."""
        told = {"number": number, "binds": binds, "watchdog": watchdog, "parent": parent}
        return {VARIABLE: json.dumps(told)}

    def voice(self, log: EventLog) -> ChildVoice:
        """That which the server's run has."""
        return ChildVoice(self, log)

    def tell(self, report: Report) -> None:
        """Tell the parent. A parent that is gone needs to be told nothing."""
        try:
            self._parent.sendall(encode(report))
        except OSError:
            pass

    async def show_life(self) -> None:
        """Tell the parent often enough that the loop goes round; ends when it is cancelled."""
        while self.watchdog is not None:
            self.tell(Alive())
            await trio.sleep(self.watchdog / SHOWS)

    async def orphaned(self) -> None:
        """Wait until the parent is gone, however it ended."""
        while True:
            await trio.lowlevel.wait_readable(self._parent)
            try:
                if not self._parent.recv(4096):
                    return
            except BlockingIOError:
                pass
            except OSError:
                return


class ChildVoice(Voice):
    """That of a child: it logs what happens to connections, and tells the parent the rest."""

    def __init__(self, child: Child, log: EventLog) -> None:
        self._child = child
        self._log = log

    def observe(self, event: Event) -> None:
        match event:
            case Listening():
                self._child.tell(event)
            case Drained():
                self._log.flush()
                self._child.tell(event)
            case DrainStarted() | Reconfigured():
                pass
            case _:
                self._log(event)

    def admin(self, urls: Iterable[str]) -> None:
        for url in urls:
            _logger.info("admin on %s", url)

    def stopped(self, cut: int, dropped: int) -> None:
        self._log.flush()
        self._child.tell(Stopped(cut, dropped))

    def reloaded(self, event: Reconfigured) -> None:
        self._child.tell(event)

    def not_reloaded(self, why: str) -> None:
        self._child.tell(NotReloaded(why))
