"""The command as a program that is judged: ``trio-speedo serve`` in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

from tests.judges.program import Program, environment

TELL = "tell:Tell"
TELL_MUCH = "tell:TellMuch"
"""What tests.judges.tell has, as the command finds it."""

_LOG_LINE = re.compile(r"^\d{4}-\d\d-\d\d \S+ ([A-Z]+) (.*)$", re.MULTILINE)


class Command(Program):
    """A server that listens when it was made."""

    def __init__(self, protocol: str, bind: str, *words: str) -> None:
        path = os.pathsep.join((environment()["PYTHONPATH"], str(Path(__file__).parent)))
        command = (sys.executable, "-m", "speedo_trio", "serve", protocol, "--bind", bind, *words)
        super().__init__(*command, env={**environment(), "PYTHONPATH": path})
        try:
            self.address: str = self.wait_for(r"serving \S+ on (\S+)\n")[1]
        except BaseException:
            self.kill()
            raise

    @property
    def port(self) -> int:
        """The port of its first address."""
        return int(self.address.rpartition(":")[2])

    @property
    def log(self) -> list[str]:
        """The lines of its log so far, from the level on."""
        return [f"{line[1]} {line[2]}" for line in _LOG_LINE.finditer(self.text)]

    def drain(self) -> int:
        """Have it end in good order; its exit status."""
        self.send(signal.SIGTERM)
        return self.end()
