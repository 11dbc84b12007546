"""Socket activation: a server that is restarted behind its socket loses nobody. Real processes."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections import Counter

import pytest

from tests.cli.conftest import PATIENCE, Process, Start

PASS = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="echo")
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
"""Starts a program as systemd does."""


class Storm:
    """Clients that connect, ask and close, one after another, each as fast as it can."""

    def __init__(self, port: int) -> None:
        self.seen: Counter[str] = Counter()
        self._port = port
        self._over = threading.Event()
        self._clients = [threading.Thread(target=self._client) for _ in range(8)]
        for client in self._clients:
            client.start()

    def _client(self) -> None:
        while not self._over.is_set():
            try:
                self.seen[self._ask()] += 1
            except OSError as error:
                self.seen[type(error).__name__] += 1

    def _ask(self) -> str:
        with socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE) as connection:
            connection.sendall(b"hello\n")
            return connection.makefile("rb").readline().decode()

    def wait_for(self, more: int) -> None:
        """Until so many more have been answered."""
        wanted = self.seen.total() + more
        deadline = time.monotonic() + PATIENCE
        while self.seen.total() < wanted:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def end(self) -> dict[str, int]:
        """What they got, and how often."""
        self._over.set()
        for client in self._clients:
            client.join()
        return dict(self.seen)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_restart_loses_nobody(start: Start, processes: str) -> None:
    """Who connects while the old server drains and the new one starts waits, and is served."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as held:

        def serve() -> Process:
            process = start(
                *("serve", "--bind", "systemd:echo", "--processes", processes),
                through=["-c", PASS, str(held.fileno())],
                pass_fds=[held.fileno()],
            )
            assert process.port() == held.getsockname()[1]
            return process

        server = serve()
        storm = Storm(held.getsockname()[1])
        try:
            for _ in range(2):
                storm.wait_for(50)
                server.send(signal.SIGTERM)
                assert server.end()[0] == 0
                server = serve()
            storm.wait_for(50)
        finally:
            seen = storm.end()

    assert set(seen) == {"hello\n"}
