"""A broker as a process, with a store, that can be killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import trio

import speedo_trio

TREE = Path(speedo_trio.__file__).parents[1]
PATIENCE = 30.0
"""Seconds in which a process begins to serve, however busy the machine."""


class Served:
    """One process."""

    running: ClassVar[list[Served]] = []
    """All that were not ended."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    @classmethod
    async def start(cls, path: Path, *arguments: str, module: str = "speedo_trio") -> Served:
        """Serve with a store, on a free port; by the command, or a module that is like it."""
        process = subprocess.Popen(  # noqa: ASYNC220  # it blocks for a moment, in a test
            [
                *(sys.executable, "-m", module, "serve", "mqtt"),
                *("--bind", "tcp://127.0.0.1:0", "--mqtt.store.path", str(path), *arguments),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(TREE), "PYTHONUNBUFFERED": "1"},
        )
        try:
            line = await trio.to_thread.run_sync(_first_line, process)
            found = re.search(rb":(\d+)\s*$", line)
            assert found, line + (process.stdout.read() if process.stdout else b"")
        except BaseException:
            process.kill()
            process.wait()
            raise
        served = cls(process, int(found[1]))
        cls.running.append(served)
        return served

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()
        self._close()

    async def stop(self) -> int:
        """Drain; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = await trio.to_thread.run_sync(self.process.wait)
        self._close()
        return status

    def _close(self) -> None:
        self.running.remove(self)
        if self.process.stdout is not None:
            self.process.stdout.close()


def _first_line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline()
