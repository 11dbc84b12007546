"""A keeper whose children can't even be started, as when a machine is out of processes."""

from __future__ import annotations

import socket

import pytest
import trio
import trio.testing

from speedo_trio.cli.keeper import Keeper
from speedo_trio.cli.process import ChildProcess
from speedo_trio.cli.sockets import SharedSockets
from speedo_trio.cli.toll import Toll


@pytest.fixture
def exhausted(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process can be started."""

    async def start(*_: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(ChildProcess, "start", start)


def keeper(failed: list[int], ending: trio.Event) -> Keeper:
    """One for a test."""

    def fail(status: int) -> None:
        failed.append(status)
        ending.set()

    return Keeper(1, SharedSockets(), ending, fail, Toll())


async def test_at_the_beginning_it_ends_all(
    exhausted: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told, and its status is 1."""
    failed: list[int] = []
    await keeper(failed, trio.Event()).keep()

    assert failed == [1]
    assert capsys.readouterr().err == (
        "trio-speedo: process 1 could not be started: "
        "[Errno 11] Resource temporarily unavailable before it served\n"
    )


async def test_one_that_starts_when_all_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked to drain at once, and nobody counts it as lost."""
    ending = trio.Event()
    ours, theirs = socket.socketpair()

    async def start(*_: object) -> ChildProcess:
        process = await trio.lowlevel.open_process(["sleep", "60"])
        ending.set()
        return ChildProcess(1, process, None, trio.socket.from_stdlib_socket(ours))

    monkeypatch.setattr(ChildProcess, "start", start)
    last = keeper([], ending)
    with theirs, trio.fail_after(10):
        await last.keep()

    assert last.child is None
    assert last._toll.clean


async def test_later_it_is_tried_again(
    exhausted: None, caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    """With the pauses of one that dies; the end is not held up by a pause."""
    failed: list[int] = []
    ending = trio.Event()
    later = keeper(failed, ending)
    later.serves.set()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(later.keep)
        await trio.sleep(1)
        ending.set()

    assert failed == []
    assert [message.rpartition(" in ")[2] for message in caplog.messages] == [
        "0.1 s",
        "0.2 s",
        "0.4 s",
        "0.8 s",
    ]
