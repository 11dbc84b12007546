"""The event log: the observer that writes events to `logging`.

==========================================  =======  ==========================================
event                                       level
==========================================  =======  ==========================================
`ConnectionFailed`, a handler or message    ERROR    with its traceback
`ConnectionFailed`, the peer's doing        INFO     withheld when there are many
`MessageFailed`                             WARNING  withheld when there are many; with its
                                                     traceback if the logger is on DEBUG
`AcceptFailed`, `ConnectionRefused`         WARNING  withheld when there are many
`ConnectionOpened`, `ConnectionEnded`       DEBUG
`Listening`, unless it is nowhere           INFO
`MessageDropped`                            WARNING  withheld when there are many
`DrainStarted`, `GraceOver`, `Drained`      INFO
`Reconfigured`, `StoreRecovered`            INFO
`StoreFailed`                               ERROR
==========================================  =======  ==========================================

What peers can cause as often as they like is withheld: the first of a kind is written at once, then
one every ten seconds at most, and it tells how many there were meanwhile. Those are written at
DEBUG instead. Kinds are the causes of an end, the limits that refuse, failing accepts and failing
messages.

Next: `speedo_trio.logs.json_lines`.
"""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, TypeAlias, assert_never

from attrs import define, field

from speedo_trio.events import (
    AcceptFailed,
    Cause,
    CloseReason,
    ConnectionEnded,
    ConnectionFailed,
    ConnectionOpened,
    ConnectionRefused,
    Drained,
    DrainStarted,
    GraceOver,
    Listening,
    MessageDropped,
    MessageFailed,
    Reconfigured,
    StoreFailed,
    StoreRecovered,
    counted,
)
from speedo_trio.logs.text import printable, safe

if TYPE_CHECKING:
    from collections.abc import Callable

    from speedo_trio.events import Event

_KINDS: dict[type[Event], str] = {
    AcceptFailed: "accept failed",
    MessageDropped: "a subscriber reads too slowly",
}
"""What an event is called when others like it were withheld."""

_Line: TypeAlias = tuple[object, ...]
"""A format of `logging`, and what goes into it."""


@define
class _Throttle:
    """Which events of a kind are written when there are too many, and how many were not."""

    interval: float
    _until: dict[str, float] = field(factory=dict)
    _withheld: dict[str, int] = field(factory=dict)

    def admit(self, kind: str, now: float) -> int | None:
        """How many were withheld since the last one that was written; None withholds this one."""
        if now < self._until.get(kind, -math.inf):
            self._withheld[kind] = self._withheld.get(kind, 0) + 1
            return None
        self._until[kind] = now + self.interval
        return self._withheld.pop(kind, 0)

    def take_withheld(self) -> dict[str, int]:
        """How many of each kind were withheld and not told; they count as told from now on."""
        withheld, self._withheld = self._withheld, {}
        return withheld


class EventLog:
    """The observer that writes what an operator must know to a logger.

    One server has one: it counts what it withholds. The page on logging tells which event has which
    level, and which are withheld when there are many. A record's ``event`` is the event.
    """

    def __init__(
        self,
        logger: logging.Logger | None = None,
        *,
        interval: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is written yet.

        Args:
            logger: where to write; None is the logger ``speedo_trio``.
            interval: seconds between two lines of a kind, when there are many.
            clock: tells the time in seconds.
        """
        self._logger = logger or logging.getLogger("speedo_trio")
        self._throttle = _Throttle(interval)
        self._clock = clock

    def __call__(self, event: Event) -> None:
        """Write the event, if it is to be written."""
        match event:
            case ConnectionOpened() | ConnectionEnded():
                self._write(logging.DEBUG, event)
            case ConnectionFailed(reason=CloseReason(cause=Cause.HANDLER_ERROR, error=error)):
                self._write(logging.ERROR, event, error=error)
            case ConnectionFailed(reason=reason):
                self._write_some(logging.INFO, event, reason.cause.value)
            case MessageFailed(error=error):
                shown = error if self._logger.isEnabledFor(logging.DEBUG) else None
                self._write_some(logging.WARNING, event, "a message raised", error=shown)
            case ConnectionRefused(why=why):
                self._write_some(logging.WARNING, event, f"refused, {why.value}")
            case AcceptFailed() | MessageDropped():
                self._write_some(logging.WARNING, event, _KINDS[type(event)])
            case Listening(addresses=()):
                pass
            case Drained():
                self.flush()
                self._write(logging.INFO, event)
            case _:
                self._write(_level(event), event)

    def flush(self) -> None:
        """Tell how many events were withheld so far. `Drained` does it too."""
        for kind, count in self._throttle.take_withheld().items():
            self._logger.info("%d more like this: %s", count, kind)

    def _write_some(
        self, level: int, event: Event, kind: str, error: BaseException | None = None
    ) -> None:
        """Write the event unless there was one of its kind a moment ago."""
        if not self._logger.isEnabledFor(level):
            return
        withheld = self._throttle.admit(kind, self._clock())
        self._write(logging.DEBUG if withheld is None else level, event, error, withheld or 0)

    def _write(
        self, level: int, event: Event, error: BaseException | None = None, withheld: int = 0
    ) -> None:
        if not self._logger.isEnabledFor(level):
            return
        text, *values = _line(event)
        if withheld:
            text = f"{text}; %d more like it since the last such line"
            values.append(withheld)
        self._logger.log(level, text, *values, exc_info=error, extra={"event": event})


def _level(
    event: Listening | DrainStarted | GraceOver | Reconfigured | StoreFailed | StoreRecovered,
) -> int:
    return logging.ERROR if isinstance(event, StoreFailed) else logging.INFO


def _line(event: Event) -> _Line:
    match event:
        case ConnectionOpened() | ConnectionEnded() | ConnectionFailed() | MessageFailed():
            what, text, *values = _of_a_connection(event)
            return f"connection %d from %s%s: {text}", event.connection, event.peer, what, *values
        case Listening() | AcceptFailed() | ConnectionRefused():
            return _of_a_listener(event)
        case MessageDropped(subscriber=subscriber, dropped=dropped):
            return "%s reads too slowly: %s dropped so far", subscriber, _messages(dropped)
        case StoreFailed(store=store, error=error):
            text = "the store %s fails; what it can't keep is not acknowledged: %s"
            return text, _told(store), _told(error)
        case StoreRecovered(store=store):
            return "the store %s has recovered, and all that waited is written", _told(store)
        case _:
            return _of_the_server(event)


def _of_a_connection(
    event: ConnectionOpened | ConnectionEnded | ConnectionFailed | MessageFailed,
) -> _Line:
    """In what it was, then format and values."""
    match event:
        case ConnectionOpened():
            return "", "opened%s", _layers(event)
        case ConnectionEnded(seconds=seconds, reason=reason, received=received, sent=sent):
            text = "closed after %.3f s, %s: %d bytes received, %d sent, %s"
            return "", text, seconds, _told(reason), received, sent, _messages(event.messages)
        case ConnectionFailed(reason=reason):
            return _in(event.message), "%s", _told(reason)
        case MessageFailed(error=error):
            text = "it raised and was answered for: %s: %s"
            return _in(event.message), text, type(error).__name__, _told(error)
        case _:
            assert_never(event)


def _of_a_listener(event: Listening | AcceptFailed | ConnectionRefused) -> _Line:
    match event:
        case Listening():
            return "listening on %s", ", ".join(map(str, event.addresses))
        case AcceptFailed():
            text = "%s: accept failed, next try in %g s: %s"
            return text, event.address, event.retry_in, _told(event.error)
        case ConnectionRefused(why=why):
            return "connection from %s refused: %s is %g", event.peer, why.value, event.limit
        case _:
            assert_never(event)


def _of_the_server(event: DrainStarted | GraceOver | Drained | Reconfigured) -> _Line:
    match event:
        case DrainStarted():
            text = "draining %s, grace %g s"
            return text, counted(event.connections, "connection"), round(event.grace, 2)
        case GraceOver():
            cut = counted(event.connections, "connection")
            return "the grace is over: %s cut off, %s waiting", cut, _messages(event.messages)
        case Drained():
            return "%s", event.report
        case Reconfigured():
            changed = ", ".join(event.changed) or "nothing changed"
            return "reconfigured: %s%s", changed, _restart(event.needs_restart)
        case _:
            assert_never(event)


def _restart(names: tuple[str, ...]) -> str:
    return f"; needs a restart: {', '.join(names)}" if names else ""


def _messages(count: int) -> str:
    return counted(count, "message")


def _in(message: object) -> str:
    return "" if message is None else f", in {safe(repr, message)}"


def _layers(event: ConnectionOpened) -> str:
    """What the handshakes agreed on, in words."""
    parts = []
    if event.proxy is not None:
        parts.append(f"by way of {event.proxy.proxy}")
    if event.tls is not None:
        parts.append(f"{event.tls.version} {event.tls.cipher}")
    if event.websocket is not None:
        parts.append(f"WebSocket {_told(event.websocket.path)}")
    return "".join(f", {part}" for part in parts)


def _told(value: object) -> str:
    """What a peer may have had a say in: on one line, and not for ever."""
    return printable(safe(str, value))
