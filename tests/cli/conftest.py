"""What the tests of the command share: a clean environment, and the command as a process."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import speedo_trio

PACKAGES = Path(speedo_trio.__file__).parents[1]
"""Where the package under test lies, the tree or an installed one."""
PATIENCE = 30.0
"""Seconds after which a process that a test started is killed, so that no test hangs."""


class Process:
    """A running ``trio-speedo``. Wait for its lines; it is killed when it takes too long."""

    def __init__(self, popen: subprocess.Popen[str]) -> None:
        self.popen = popen
        self._killer = threading.Timer(PATIENCE, popen.kill)
        self._killer.start()

    def line(self) -> str:
        """The next line on stdout, without its end."""
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().rstrip("\n")

    def port(self) -> int:
        """The port in the next ``serving`` line."""
        found = re.fullmatch(r"serving \S+ on tcp://\S+:(\d+)", self.line())
        assert found, self.end()
        return int(found[1])

    def connect(self) -> socket.socket:
        """A connection to a server that was started with one IPv4 address."""
        return socket.create_connection(("127.0.0.1", self.port()), timeout=PATIENCE)

    def send(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def end(self) -> tuple[int, str, str]:
        """Wait for the end: the exit status, the rest of stdout, stderr."""
        out, err = self.popen.communicate()
        self._killer.cancel()
        return self.popen.returncode, out, err

    def close(self) -> None:
        """Leave nothing behind, however the test ended."""
        self._killer.cancel()
        self.popen.kill()
        self.popen.wait()
        for pipe in (self.popen.stdout, self.popen.stderr):
            if pipe is not None:
                pipe.close()


Start = Callable[..., Process]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of the developer's shell counts; the current directory is empty."""
    for name in list(os.environ):
        if name.startswith("TRIO_SPEEDO_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts ``python -m speedo_trio`` with some arguments, in the test's directory."""
    running: list[Process] = []

    def start(  # Any: what Popen takes
        *words: str, env: dict[str, str] | None = None, through: Sequence[str] = (), **options: Any
    ) -> Process:
        path = os.pathsep.join(filter(None, [str(PACKAGES), os.environ.get("PYTHONPATH")]))
        popen = subprocess.Popen(
            [sys.executable, *through, "-m", "speedo_trio", *words],
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
            env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "", **(env or {})},
            text=True,
        )
        running.append(Process(popen))
        return running[-1]

    yield start
    for process in running:
        process.close()


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory on the path with an installed package, whose plugins are `shout` and `broken`."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "shouting.py").write_text(SHOUTING)
    (site / "breaking.py").write_text("import no_such_library\n")
    info = site / "shout_plugin-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shout-plugin\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text(
        "[speedo_trio.protocols]\nshout = shouting:Shout\nbroken = breaking:Nothing\n"
        "echo = shouting:Shout [loud]\n"
    )
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", str(site))
    return site


SHOUTING = '''
from attrs import define
from speedo_trio.protocol.framed import LineProtocol
from speedo_trio.protocol.message import Message

@define
class Line(Message):
    line: bytes
    def execute(self):
        return self.line.upper()

class Shout(LineProtocol):
    """Answers in capitals.

    More about it.
    """
    def frame(self, payload):
        return Line(payload)
'''
