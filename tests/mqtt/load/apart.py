"""The broker that is in another process, as tests see it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

PROGRAM = Path(__file__).with_name("program.py")


@frozen
class Broker:
    """By its port, and its process."""

    port: int
    pid: int

    @property
    def memory(self) -> int:
        """Bytes that it has now (proc(5): statm, resident)."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def broker_apart(**capabilities: object) -> Iterator[Broker]:
    """Run one for the block."""
    words = [sys.executable, str(PROGRAM), json.dumps(capabilities)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield Broker(int(process.stdout.readline()), process.pid)
        finally:
            process.kill()
