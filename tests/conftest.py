"""What several tests need: turns, a gate that holds a worker thread, a house without a server."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Generator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import settings

from speedo_trio.config import Config
from speedo_trio.house import House
from speedo_trio.io.border import Border
from speedo_trio.io.guests import Guests
from speedo_trio.io.watch import Watch
from speedo_trio.protocol.handler import ProtocolHandler
from speedo_trio.queue.lane import Tally
from speedo_trio.worker.crew import Crew
from tests.alone import turn

MOST_PROCESSES = 4
"""More were not tried, and in a container not all processors that are seen may be had."""

# What Hypothesis has, a fifth of a second for each example, is nothing that anybody promises, and
# sometimes too little where other processes want the processor too.
settings.register_profile("busy machine", parent=settings.default, deadline=5000)
settings.load_profile("busy machine")


def pytest_configure(config: pytest.Config) -> None:
    """Know the marks."""
    config.addinivalue_line("markers", "alone: measures; no test of another process runs beside it")
    config.addinivalue_line("markers", "soak: runs long when SPEEDO_SOAK=1 is set, else briefly")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A process for each processor; only this one for single files, and to measure at length."""
    files = all(Path(argument.partition("::")[0]).is_file() for argument in config.args)
    if files or is_long():
        return 0
    processes = min(len(os.sched_getaffinity(0)), MOST_PROCESSES)
    return processes if processes > 1 else 0


def pytest_collection_finish() -> None:
    """Spare the garbage collector thousands of tests that are there to stay."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Have a test wait for its turn, before any clock of its own runs."""
    with turn(alone=item.get_closest_marker("alone") is not None):
        return (yield)


def is_long() -> bool:
    """Whether the long runs are asked for."""
    return os.environ.get("SPEEDO_SOAK") == "1"


@pytest.fixture
def soak() -> bool:
    """Whether the long runs are asked for."""
    return is_long()


@pytest.fixture(scope="session", autouse=True)
def usual_signals() -> None:
    """Let SIGHUP and SIGINT do here, and in the processes that tests start, what they usually do.

    Whoever runs the tests with nohup, or as a job in the background, had them ignored, and that
    is inherited.
    """
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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


class Silent(ProtocolHandler):
    """Takes everything and says nothing."""

    def handle(self, data: bytes) -> None:
        return None


def house_in(nursery: trio.Nursery, observer: Any = None, **sections: Any) -> House:
    """A house that nobody lives in yet, from sections of settings; no task of its own runs."""
    config, border = Config(**sections), Border()
    return House(
        config=config,
        factory=Silent,
        observer=observer,
        nursery=nursery,
        border=border,
        crew=Crew(config.workers, border, nursery),
        tally=Tally(config.limits.messages),
        watch=Watch(),
        guests=Guests(config.limits, trio.current_time()),
    )


MakeHouse = Callable[..., House]


@pytest.fixture
async def make_house(nursery: trio.Nursery) -> MakeHouse:
    """Makes houses in the test's nursery."""
    return partial(house_in, nursery)
