"""A program that a test starts: what it is told, what it shows, and its end in any case."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import speedo_trio
from tests.outside import find

PATIENCE = 20.0
"""Seconds after which a test has failed that waits for a program; a machine may be busy."""

PACKAGES = Path(speedo_trio.__file__).parents[1]
"""Where the package under test lies, the tree or an installed one."""


def environment() -> dict[str, str]:
    """The environment for programs: with the package under test, and no settings for it."""
    path = os.pathsep.join(filter(None, [str(PACKAGES), os.environ.get("PYTHONPATH")]))
    kept = {name: value for name, value in os.environ.items() if "TRIO_SPEEDO_" not in name}
    return {**kept, "PYTHONPATH": path, "PYTHONUNBUFFERED": ""}


class Program:
    """A running program, with a session of its own; as a context manager it ends with its block.

    What it writes to stdout and to stderr is read as it comes, and kept in one text.
    """

    def __init__(self, *words: str, deaf: bool = False, **options: Any) -> None:
        """Start it.

        Args:
            words: the program and its arguments.
            deaf: read nothing of what it writes until `hear` is called, so that it must wait.
            options: what Popen takes.
        """
        self.words = (find(words[0]) or words[0], *words[1:])
        self._shown = bytearray()
        self._over = False
        self._news = threading.Condition()
        self.popen: subprocess.Popen[bytes] = subprocess.Popen(
            self.words,
            stdout=subprocess.PIPE,
            **{
                "env": environment(),
                "stdin": subprocess.PIPE,
                "stderr": subprocess.STDOUT,
                **options,
            },
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        if not deaf:
            self.hear()

    def hear(self) -> None:
        """Begin to read what it writes."""
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    def _read(self) -> None:
        assert self.popen.stdout is not None
        while data := self.popen.stdout.read1(65536):  # type: ignore[attr-defined]  # it is buffered
            with self._news:
                self._shown += data
                self._news.notify_all()
        with self._news:
            self._over = True
            self._news.notify_all()

    @property
    def text(self) -> str:
        """What it has shown so far."""
        with self._news:
            return self._shown.decode(errors="replace")

    def tell(self, text: str) -> None:
        """Write to its stdin."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(text.encode())
        self.popen.stdin.flush()

    def hush(self) -> None:
        """Tell it that no more comes on its stdin."""
        if self.popen.stdin is not None:
            with suppress(BrokenPipeError):  # it has gone before
                self.popen.stdin.close()

    def wait_for(self, pattern: str, times: int = 1) -> re.Match[str]:
        """Wait until it has shown the pattern so often; the match of that number."""
        over = time.monotonic() + PATIENCE
        with self._news:
            while (
                len(found := [*re.finditer(pattern, self._shown.decode(errors="replace"))]) < times
            ):
                if self._over or not self._news.wait(over - time.monotonic()):
                    break
        assert len(found) >= times, f"no {pattern!r} from {' '.join(self.words)}:\n{self.text}"
        return found[times - 1]

    def send(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def end(self) -> int:
        """Wait until it has ended, without any more input; its exit status."""
        self.hush()
        status = self.popen.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status

    def kill(self) -> None:
        """Leave nothing of it behind. Does nothing the second time."""
        if self.popen.returncode is None or self._reader.is_alive():
            with suppress(ProcessLookupError):
                os.killpg(self.popen.pid, signal.SIGKILL)  # and whomever it has started
            self.popen.wait()
        if self._reader.ident is not None:  # else it was never started
            self._reader.join(PATIENCE)
        assert self.popen.stdout is not None
        self.popen.stdout.close()
        self.hush()
