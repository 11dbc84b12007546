"""Starting a process with sockets, as systemd does: sd_listen_fds(3)."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import speedo_trio

PACKAGES = Path(speedo_trio.__file__).parents[1]
"""Where the package under test lies, the tree or an installed one."""

_WRAPPER = """
import fcntl, os, sys
numbers = [int(number) for number in sys.argv[1].split(",") if number]
saved = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 100) for number in numbers]
for number in numbers:
    os.close(number)
for place, number in enumerate(saved, 3):
    os.dup2(number, place)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""
"""LISTEN_PID must be the pid of the process that gets the sockets, which nobody knows before."""


def start_with(
    sockets: Sequence[socket.socket], *words: str, names: str | None = None, **options: Any
) -> subprocess.Popen[str]:
    """Start Python with these words; the sockets are at the descriptors from 3 on.

    Args:
        names: what LISTEN_FDNAMES is; None leaves it unset.
        options: what Popen takes.
    """
    path = os.pathsep.join(filter(None, [str(PACKAGES), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "LISTEN_FDS": str(len(sockets))}
    if names is not None:
        environment["LISTEN_FDNAMES"] = names
    numbers = [each.fileno() for each in sockets]
    wrapper = [sys.executable, "-ISc", _WRAPPER, ",".join(map(str, numbers))]
    return subprocess.Popen(
        [*wrapper, sys.executable, *words],
        pass_fds=numbers,
        env=environment,
        text=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )
