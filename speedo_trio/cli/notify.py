"""Notifications: what systemd is told about the service, by the protocol of sd_notify(3).

A notification is a datagram of ``NAME=value`` lines to the Unix socket that ``NOTIFY_SOCKET``
names. Without that variable nothing is told. Nothing that fails here harms the service: the first
failure is logged, and that is all.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from typing import TYPE_CHECKING

import trio
from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

_PATIENCE = 0.5
"""Seconds that telling of a change may take when the manager's queue is full. To lose one would
cost more: a service that is not known to be ready is killed."""

_STATUS_SECONDS = 5.0
"""How often the status is looked at. It is for people, who don't read faster."""

_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")

_logger = logging.getLogger("speedo_trio.notify")


@define(eq=False)
class Notifier:
    """Tells the service manager, if there is one. All methods may be called when there is none."""

    address: str | None = None
    """A path, or a name that begins with @: a socket in Linux's abstract namespace."""
    watchdog: float | None = None
    """Seconds after which a service that was not heard of is taken for stuck; None for never."""
    _socket: socket.socket | None = field(default=None, init=False)
    _failed: bool = field(default=False, init=False)
    _told_status: str = field(default="", init=False)

    def __attrs_post_init__(self) -> None:
        """Connect at once: when descriptors have run out it would be too late."""
        if self.address is not None:
            try:
                self._socket = _connect(self.address)
            except (OSError, ValueError) as error:
                self._complain(error)

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] = os.environ) -> Notifier:
        """What ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` ask for.

        They are removed: they are ours and not those of a process that we or the protocol start.
        """
        address, microseconds, pid = (environment.pop(name, "") for name in _VARIABLES)
        watchdog = None
        if pid in ("", str(os.getpid())) and microseconds.isdecimal() and int(microseconds):
            watchdog = int(microseconds) / 1e6
        return cls(address or None, watchdog)

    def ready(self, status: str = "") -> None:
        """The service is up, or has reloaded."""
        self._told_status = status
        self._tell("READY=1", f"MAINPID={os.getpid()}", *_status(status))

    def reloading(self) -> None:
        """The service reads its settings again; `ready` must follow, also when that fails."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={now}")

    def stopping(self, most: float, status: str = "") -> None:
        """The service ends; it may take up to `most` seconds, whatever ``TimeoutStopSec`` is."""
        self._told_status = status
        self._tell("STOPPING=1", f"EXTEND_TIMEOUT_USEC={most * 1e6:.0f}", *_status(status))

    async def keep(self, status: Callable[[], str]) -> None:
        """Feed the watchdog, and tell the status when it has changed; ends when it is cancelled.

        The watchdog is fed from a task, twice as often as needed, so that a Trio loop that is stuck
        is noticed.
        """
        if self._socket is None:
            return
        async with trio.open_nursery() as nursery:
            if self.watchdog is not None:
                nursery.start_soon(self._feed, self.watchdog / 2)
            while True:
                await trio.sleep(_STATUS_SECONDS)
                self._tell_status(status())

    async def _feed(self, interval: float) -> None:
        while True:
            self._tell("WATCHDOG=1", patience=0)
            await trio.sleep(interval)

    def _tell_status(self, status: str) -> None:
        if status != self._told_status:
            self._told_status = status
            self._tell(*_status(status), patience=0)

    def _tell(self, *lines: str, patience: float = _PATIENCE) -> None:
        if self._socket is None:
            return
        try:
            self._socket.settimeout(patience)
            self._socket.send("\n".join(lines).encode("utf-8", "replace"))
        except OSError as error:
            self._complain(error)

    def close(self) -> None:
        """Tell no more. Does nothing the second time."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _complain(self, error: Exception) -> None:
        if not self._failed:
            self._failed = True
            _logger.warning("cannot tell the service manager at %s: %s", self.address, error)


def _connect(address: str) -> socket.socket:
    if address[0] not in "/@":
        raise ValueError("it is neither a path nor begins with @")
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        connected.connect(f"\0{address[1:]}" if address[0] == "@" else address)
    except BaseException:
        connected.close()
        raise
    return connected


def _status(text: str) -> tuple[str, ...]:
    return (f"STATUS={text}",) if text else ()
