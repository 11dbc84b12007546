"""A child process, as the parent that started it sees it: what it tells, and how it ends.

`speedo_trio.cli.child` is its own side.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, assert_never

import trio
from attrs import define, field

from speedo_trio.cli.child import SHOWS, Alive, Child, NotReloaded, Stopped, decode
from speedo_trio.events import Drained, DrainReport, Listening, Reconfigured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from speedo_trio.cli.child import Report

_LONGEST = 1_048_576
"""Bytes of a line that is no report; more is no mistake but a flood."""

_LAST_WORDS = 1.0
"""Seconds that reading what an ended child has told may take. It is there already, unless a process
that the child started has kept its socket."""

_RELOAD_SECONDS = 60.0
"""How long a child may take to read its settings: it may import a module."""

_STUCK = {SHOWS: signal.SIGABRT, 2 * SHOWS: signal.SIGKILL}
"""What a child gets that has shown no life so many times, as from systemd."""

_logger = logging.getLogger("speedo_trio")


@define(eq=False)
class ChildProcess:
    """One child, from start to end."""

    number: int
    process: trio.Process
    _watchdog: float | None
    _socket: trio.socket.SocketType
    began: float = field(factory=trio.current_time)
    listening: Listening | None = None
    """Where it serves; None before it does."""
    drained: DrainReport | None = None
    stopped: Stopped | None = None
    told: trio.Event = field(factory=trio.Event)
    """Set when it serves, or has ended."""
    _silent: bool = False
    _heard_all: trio.Event = field(factory=trio.Event)
    _answer: Reconfigured | NotReloaded | None = None
    _answered: trio.Event = field(factory=trio.Event)

    @classmethod
    async def start(
        cls,
        number: int,
        binds: tuple[str, ...],
        descriptors: Sequence[int],
        watchdog: float | None = None,
    ) -> ChildProcess:
        """Run the command line of this process again, as a child with these binds.

        It gets `descriptors`, the standard streams but for stdin, and nothing else that is open
        here. It is in a session of its own, so that Ctrl-C is only for the parent. When it serves
        and its loop is stuck for `watchdog` seconds, it is ended.

        Raises:
            OSError: the system has no room for it.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            child = Child.variable(number, binds, watchdog, theirs.fileno())
            try:
                process = await trio.lowlevel.open_process(
                    [sys.executable, *sys.orig_argv[1:]],
                    stdin=subprocess.DEVNULL,
                    env={**os.environ, **child},
                    pass_fds=[*descriptors, theirs.fileno()],
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        return cls(number, process, watchdog, trio.socket.from_stdlib_socket(ours))

    def __str__(self) -> str:
        return f"process {self.number} (pid {self.process.pid})"

    async def run(self) -> None:
        """Hear what it tells until it has ended. On cancel it is killed."""
        with self._socket:
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._hear)
                    if self._watchdog is not None:
                        nursery.start_soon(self._watch, self._watchdog)
                    await self.process.wait()
                    with trio.move_on_after(_LAST_WORDS):
                        await self._heard_all.wait()
                    nursery.cancel_scope.cancel()
            finally:
                await self._kill()
                self.told.set()
                self._answered.set()

    async def _hear(self) -> None:
        """Take its reports, until it closes its end."""
        heard = bytearray()
        while data := await self._receive():
            self._silent = False
            heard += data
            *lines, heard = heard.split(b"\n")
            for line in lines:
                self._take(bytes(line))
            if len(heard) > _LONGEST:
                heard.clear()
        self._heard_all.set()

    async def _receive(self) -> bytes:
        try:
            return await self._socket.recv(65_536)
        except OSError:  # reset: it was killed with something of ours unread
            return b""

    def _take(self, line: bytes) -> None:
        try:
            report = decode(line)
        except (ValueError, TypeError, LookupError, AttributeError):
            _logger.warning("%s told what is no report: %.100r", self, line)
            return
        match report:
            case Listening():
                self.listening = report
                self.told.set()
            case Drained():
                self.drained = report.report
            case Stopped():
                self.stopped = report
            case Reconfigured() | NotReloaded():
                self._answer = report
                self._answered.set()
            case Alive():
                pass
            case _:
                assert_never(report)

    async def _watch(self, watchdog: float) -> None:
        """End it when it tells nothing for that long: so that it leaves a core, then for good.

        Looks are counted and not the time, which goes on while the parent itself stands still.
        """
        await self.told.wait()
        missed = 0
        while True:
            self._silent = True
            await trio.sleep(watchdog / SHOWS)
            missed = missed + 1 if self._silent else 0
            if missed in _STUCK:
                _logger.error("%s has been stuck for %g s; it is ended", self, watchdog)
                self.process.send_signal(_STUCK[missed])

    async def reload(self) -> Report | None:
        """Have it read its settings again; its answer, or None if there was none in time."""
        with trio.move_on_after(_RELOAD_SECONDS):
            await self.told.wait()  # before that the signal would kill it
            if self.process.returncode is not None:
                return None
            self._answer, self._answered = None, trio.Event()
            self.process.send_signal(signal.SIGHUP)
            await self._answered.wait()
        return self._answer

    def drain(self) -> None:
        """Ask it to drain. One that doesn't serve yet just ends.

        A signal is lost if it comes between fork and exec, so that we say no more tells it, too.
        """
        self.process.send_signal(signal.SIGTERM)
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has ended

    def stop(self) -> None:
        """Ask it to end at once, after `drain`."""
        self.process.send_signal(signal.SIGINT)  # two SIGTERM could become one

    async def _kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            with trio.CancelScope(shield=True):  # the kernel doesn't keep us waiting
                await self.process.wait()

    @property
    def end(self) -> str:
        """How it ended, in words."""
        status = self.process.returncode
        if status is None or status >= 0:
            return f"ended with status {status}"
        try:
            return f"was ended by {signal.Signals(-status).name}"
        except ValueError:  # a real-time signal has no name
            return f"was ended by signal {-status}"
