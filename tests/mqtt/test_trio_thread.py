"""A thread with a Trio run: start, calls from other threads, and every kind of end."""

from __future__ import annotations

import _thread
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio
import trio.lowlevel

from speedo_trio.errors import ServerClosed
from speedo_trio.mqtt.trio_thread import TrioThread

PATIENCE = 10


async def wait_for_ever(*, task_status: trio.TaskStatus[str]) -> None:
    """Started, and goes on until cancelled."""
    task_status.started("here")
    await trio.sleep_forever()


def started(function: Callable[..., Any] = wait_for_ever) -> TrioThread[Any]:
    """A thread that has started."""
    thread: TrioThread[Any] = TrioThread(function, "test")
    assert thread.start() == "here"
    return thread


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Any:
    """But those that were there."""
    before = set(threading.enumerate())
    yield
    left = {each for each in threading.enumerate() if each not in before}
    assert {each.name for each in left if each.name == "test"} == set()


def test_it_starts_and_stops() -> None:
    """A daemon, which keeps no program from exiting."""
    thread = started()
    (found,) = (each for each in threading.enumerate() if each.name == "test")
    assert found.daemon
    assert thread.running
    assert thread.call(threading.current_thread) is found
    thread.stop()
    thread.stop()
    assert not thread.running


@pytest.mark.parametrize("wait", [False, True])
def test_a_start_that_fails(wait: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """The error is raised as it is, and once."""

    async def fail(*, task_status: trio.TaskStatus[str]) -> None:
        if wait:
            await trio.lowlevel.checkpoint()
        raise OSError("no luck")

    thread: TrioThread[str] = TrioThread(fail, "test")
    with pytest.raises(OSError, match="no luck"):
        thread.start()
    assert not thread.running


def test_it_ends_before_it_has_started() -> None:
    """That is told."""

    async def leave(*, task_status: trio.TaskStatus[str]) -> None:
        pass

    with pytest.raises(ServerClosed, match="before"):
        TrioThread[str](leave, "test").start()


def test_an_error_later_is_raised_at_the_end() -> None:
    """By `stop`; calls say that it has ended, and why."""
    fail = threading.Event()

    async def run(*, task_status: trio.TaskStatus[str]) -> None:
        task_status.started("here")
        await trio.to_thread.run_sync(fail.wait)
        raise OSError("later")

    thread = started(run)
    fail.set()
    with pytest.raises(OSError, match="later"):
        thread.join()
    with pytest.raises(ServerClosed) as caught:
        thread.call(int)
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(OSError, match="later"):
        thread.stop()


def test_calls_give_and_raise() -> None:
    """Of functions and of async functions."""

    async def double(number: int) -> int:
        await trio.lowlevel.checkpoint()
        return 2 * number

    async def fail() -> None:
        raise KeyError("wanted")

    thread = started()
    assert thread.call(int, "7") == 7
    assert thread.wait(double, 7) == 14
    with pytest.raises(ValueError, match="invalid literal"):
        thread.call(int, "x")
    with pytest.raises(KeyError, match="wanted"):
        thread.wait(fail)
    with pytest.raises(SystemExit):
        thread.call(sys.exit)
    assert thread.call(int) == 0
    thread.stop()


def test_calls_after_the_end() -> None:
    """They raise, and don't wait."""
    thread = started()
    thread.stop()
    with pytest.raises(ServerClosed, match="has ended"):
        thread.call(int)
    with pytest.raises(ServerClosed, match="has ended"):
        thread.wait(trio.sleep, 0)


def test_who_waits_learns_of_the_end() -> None:
    """An async function is cancelled."""
    thread = started()
    told: list[BaseException] = []

    def wait() -> None:
        try:
            thread.wait(trio.sleep_forever)
        except ServerClosed as error:
            told.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    thread.wait(trio.testing.wait_all_tasks_blocked)
    thread.stop()
    waiting.join(PATIENCE)
    assert len(told) == 1


def call_for_ever(thread: TrioThread[Any]) -> None:
    """Both ways, by turns."""
    while True:
        thread.call(int)
        thread.wait(trio.sleep, 0)


def test_calls_while_it_ends() -> None:
    """Each is done or raises, at whatever moment it comes."""
    for _ in range(50):
        thread = started()
        stopping = threading.Thread(target=thread.stop)
        stopping.start()
        with pytest.raises(ServerClosed):
            call_for_ever(thread)
        stopping.join(PATIENCE)


def test_a_call_from_itself() -> None:
    """It would wait for ever."""
    thread = started()
    with pytest.raises(RuntimeError, match="wait for itself"):
        thread.call(partial(thread.call, int))
    thread.stop()


async def test_calls_from_another_trio_run() -> None:
    """They block, but aren't forbidden."""
    thread = started()
    assert thread.call(int, "7") == 7
    assert await trio.to_thread.run_sync(thread.call, int, "7") == 7
    thread.stop()


def interrupt_main() -> None:
    """What a Ctrl-C does. One for the process may come to another thread, and wake nobody then."""
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)


def test_an_interrupted_start() -> None:
    """The function is cancelled, and the thread ends."""

    async def slow(*, task_status: trio.TaskStatus[str]) -> None:
        try:
            interrupt_main()
            await trio.sleep_forever()
        finally:
            ended.set()

    for _ in range(20):  # it hits different places
        ended = threading.Event()
        thread: TrioThread[str] = TrioThread(slow, "test")
        with pytest.raises(KeyboardInterrupt):
            thread.start()
        assert ended.is_set()
        assert not thread.running


def test_an_interrupt_before_the_thread_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing runs then, or ends when it finds that it is unwanted."""
    began = threading.Event()

    async def run(*, task_status: trio.TaskStatus[str]) -> None:
        await trio.lowlevel.checkpoint()
        began.set()

    def interrupted(self: threading.Thread) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("speedo_trio.mqtt.trio_thread._BEGINNING", 0.01)
    thread: TrioThread[str] = TrioThread(run, "test")
    with monkeypatch.context() as context:
        context.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            thread.start()
    assert not thread.running
    with pytest.raises(ServerClosed):  # it begins late
        thread.start()
    assert not began.is_set()


def test_an_interrupted_wait() -> None:
    """The async function is cancelled, and the thread goes on."""
    cancelled = threading.Event()

    async def slow() -> None:
        try:
            interrupt_main()
            await trio.sleep_forever()
        finally:
            cancelled.set()

    thread = started()
    with pytest.raises(KeyboardInterrupt):
        thread.wait(slow)
    assert cancelled.wait(PATIENCE)
    assert thread.call(int) == 0
    thread.stop()


def test_an_interrupt_that_wakes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that comes right before the thread sleeps doesn't wake it, as here: it is seen soon."""
    monkeypatch.setattr("speedo_trio.mqtt.trio_thread._NAP", 0.05)

    async def slow() -> None:
        await trio.sleep(0.1)
        _thread.interrupt_main()
        await trio.sleep_forever()

    thread = started()
    with pytest.raises(KeyboardInterrupt):
        thread.wait(slow)
    thread.stop()


def raising() -> None:
    """It has nothing to do with how long was waited."""
    raise TimeoutError("its own")


def test_a_timeout_of_the_functions_own() -> None:
    """It is raised, as any error."""
    thread = started()
    with pytest.raises(TimeoutError, match="its own"):
        thread.call(raising)
    thread.stop()


FORKS = """
import os, warnings
from speedo_trio import ServerClosed
from tests.mqtt.test_trio_thread import started
warnings.simplefilter("ignore", DeprecationWarning)  # of 3.12, about what is tested
thread = started()
child = os.fork()
if not child:
    assert not thread.running
    try:
        thread.call(int)
    except ServerClosed as error:
        assert "another process" in str(error)
        thread.stop()
        os._exit(7)
    os._exit(1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert thread.call(int) == 0
thread.stop()
"""


def test_a_forked_process_has_none() -> None:
    """There calls raise, `stop` does nothing, and the parent's goes on."""
    subprocess.run([sys.executable, "-c", FORKS], check=True, timeout=30)


def test_what_another_process_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, where it can be seen into."""
    thread = started()
    with monkeypatch.context() as forked:
        forked.setattr(os, "getpid", lambda: -1)
        assert not thread.running
        thread.stop()
        with pytest.raises(ServerClosed, match="another process"):
            thread.call(int)
    assert thread.call(int) == 0
    thread.stop()


def test_a_program_exits_that_forgets_it() -> None:
    """It isn't waited for."""
    forgets = "from tests.mqtt.test_trio_thread import started; started(); print('over')"
    words = [sys.executable, "-c", forgets]
    assert subprocess.run(words, check=True, timeout=30, capture_output=True).stdout == b"over\n"
