"""What several tests of threads need: a gate that holds a worker thread inside a message."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable

import pytest
import trio


class Gate:
    """Threads wait in `hold` until the gate opens; a test learns of each that has come."""

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._arrivals = trio.Semaphore(0)
        self._open = threading.Event()

    def hold(self) -> None:
        """Wait for the gate to open. In a worker thread."""
        self._token.run_sync_soon(self._arrivals.release)
        if not self._open.wait(30):
            raise TimeoutError("the test never opened the gate")

    async def arrival(self) -> None:
        """Wait until one more thread is inside `hold`."""
        with trio.fail_after(10):
            await self._arrivals.acquire()

    def open(self) -> None:
        """Let all go on, now and later."""
        self._open.set()


@pytest.fixture
async def make_gate() -> AsyncIterator[Callable[[], Gate]]:
    """Make gates; all are open when the test ends, so that it leaves no thread behind."""
    gates: list[Gate] = []

    def make() -> Gate:
        gates.append(Gate())
        return gates[-1]

    yield make
    for gate in gates:
        gate.open()


@pytest.fixture
async def gate(make_gate: Callable[[], Gate]) -> Gate:
    """One gate."""
    return make_gate()
