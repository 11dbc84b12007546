"""A server process: started, proved to answer, and surely ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.contenders import Program

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 15  # Twisted's imports took 2 s on a busy machine
STOP_SECONDS = 5  # a drain may take this long, then the process group is killed
SETTLE_SECONDS = 0.3
SETTLE_PATIENCE_SECONDS = 10
PR_SET_PDEATHSIG = 1  # prctl(2)


class ServerError(Exception):
    """A server that didn't start, answered wrongly or ended by itself; the text says which."""


@frozen(kw_only=True)
class Server:
    """A running server; `running()` gives it and ends it."""

    process: subprocess.Popen[bytes]
    port: int
    log: IO[bytes]

    def last_words(self) -> str:
        """The last line that the server printed, without this machine's paths."""
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").split("\n")
        words = next((line.strip() for line in reversed(lines) if line.strip()), "nothing printed")
        return words.replace(sys.executable, "python").replace(f"{ROOT}/", "")

    def resident_bytes(self) -> int:
        """The server's resident memory, from Linux's `/proc/PID/status`."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise ServerError(f"the server is gone: {self.last_words()}")

    def settled_bytes(self) -> int:
        """The server's resident memory once it no longer grows."""
        deadline = time.monotonic() + SETTLE_PATIENCE_SECONDS
        before, now = -1, self.resident_bytes()
        while now > before and time.monotonic() < deadline:
            time.sleep(SETTLE_SECONDS)
            before, now = now, self.resident_bytes()
        return now

    def cpu_seconds(self) -> float:
        """The CPU time that the server's threads have used so far, those that ended included."""
        clock = ctypes.c_int()
        if ctypes.CDLL(None).clock_getcpuclockid(self.process.pid, ctypes.byref(clock)):
            raise ServerError(f"the server is gone: {self.last_words()}")
        return time.clock_gettime(clock.value)

    def check(self) -> None:
        """Raise `ServerError` when the process has ended by itself."""
        status = self.process.poll()
        if status is not None:
            raise ServerError(f"the server ended with status {status}: {self.last_words()}")


@contextlib.contextmanager
def running(contender: Program) -> Iterator[Server]:
    """Run a contender on a free port of the loopback interface.

    The block is entered when the server has been seen to serve. When it is left, however it is
    left, the process group gets SIGTERM, and after `STOP_SECONDS` SIGKILL.

    Raises:
        ServerError: It ended, didn't answer within `START_SECONDS`, or answered wrongly.
    """
    with tempfile.TemporaryFile() as log:
        port = _free_port()
        process = _start(contender.command(port), log)
        try:
            server = Server(process=process, port=port, log=log)
            _wait_until_it_serves(server, contender)
            yield server
        finally:
            _end(process)


@contextlib.contextmanager
def ending_on_signals() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP end the program in order, so that every child is ended."""

    def leave(number: int, _frame: object) -> NoReturn:
        print("interrupted: ending the servers, nothing is reported", file=sys.stderr)
        sys.exit(128 + number)

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, leave) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _free_port() -> int:
    """A port that nobody listens on now; its greeting notices if somebody else takes it."""
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])


def _start(command: Sequence[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C reaches only the measuring program, which ends the server
    # in order; and children of the server, if it has any, are in the group that is ended.
    # Should this program be killed outright, the kernel ends the server.
    return subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        preexec_fn=_end_with_parent,  # noqa: PLW1509 - this program has no threads
    )


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait_until_it_serves(server: Server, program: Program) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        server.check()
        with contextlib.suppress(ConnectionRefusedError):
            program.greet(server.port)
            server.check()
            return
        time.sleep(0.02)
    raise ServerError(f"not ready after {START_SECONDS} s: {server.last_words()}")


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        _signal_group(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    finally:  # a signal during the wait comes through here, too
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
