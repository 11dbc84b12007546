"""The border: calls of any thread arrive on the Trio thread, in order, and break nothing there."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from functools import partial

import pytest
import trio

from speedo_trio.io.border import Border


def in_threads(*calls: Callable[[], object]) -> list[threading.Thread]:
    """Start a thread for each call."""
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    return threads


async def join(threads: list[threading.Thread]) -> None:
    """Wait for threads to end."""
    with trio.fail_after(10):
        for thread in threads:
            await trio.to_thread.run_sync(thread.join)


async def test_here_is_the_trio_thread() -> None:
    """It is where the border was made, and no other thread."""
    border = Border()

    assert border.here
    assert not await trio.to_thread.run_sync(lambda: border.here)


async def test_soon_calls_later_and_in_order() -> None:
    """Calls asked for on the Trio thread come in order, but not at once."""
    border, calls = Border(), list[int]()
    for number in range(100):
        border.soon(partial(calls.append, number))
    assert calls == []

    await trio.testing.wait_all_tasks_blocked()
    assert calls == list(range(100))


async def test_now_calls_at_once_on_the_trio_thread() -> None:
    """There nothing needs to cross."""
    border, calls = Border(), list[int]()
    border.now(partial(calls.append, 1))

    assert calls == [1]


async def test_now_from_a_thread_calls_on_the_trio_thread() -> None:
    """From elsewhere it is as soon()."""
    border, called = Border(), trio.Event()
    where = list[int]()

    def call() -> None:
        where.append(threading.get_ident())
        called.set()

    await trio.to_thread.run_sync(border.now, call)
    with trio.fail_after(5):
        await called.wait()

    assert where == [threading.get_ident()]


async def test_calls_of_many_threads_all_arrive() -> None:
    """None is lost, each thread's calls keep their order, all are made on the Trio thread."""
    border, calls = Border(), list[tuple[int, int]]()
    strangers = list[int]()
    home = threading.get_ident()

    def call(thread: int, number: int) -> None:
        calls.append((thread, number))
        if threading.get_ident() != home:
            strangers.append(thread)

    def ask(thread: int) -> None:
        for number in range(2000):
            border.soon(partial(call, thread, number))

    await join(in_threads(*(partial(ask, thread) for thread in range(4))))
    await trio.testing.wait_all_tasks_blocked()

    assert len(calls) == 8000
    assert strangers == []
    for thread in range(4):
        assert [number for who, number in calls if who == thread] == list(range(2000))


async def test_call_that_asks_for_a_call_lets_others_run() -> None:
    """Calls that keep asking for calls don't keep the Trio thread for themselves."""
    border, seen = Border(), trio.Event()

    def again() -> None:
        if not seen.is_set():
            border.soon(again)

    again()
    with trio.fail_after(5):
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
    seen.set()


async def test_raising_call_does_not_stop_the_others() -> None:
    """What comes after it is still called."""
    border, calls = Border(), list[int]()
    border.soon(lambda: 1 // 0)
    border.soon(partial(calls.append, 1))
    await trio.testing.wait_all_tasks_blocked()
    border.soon(partial(calls.append, 2))
    await trio.testing.wait_all_tasks_blocked()

    assert calls == [1, 2]


@pytest.mark.parametrize("error", [ZeroDivisionError("a bug"), KeyboardInterrupt()])
async def test_guard_raises_what_a_call_raised(error: BaseException) -> None:
    """A bug reaches the guard's nursery instead of killing the run."""
    border = Border()

    def call() -> None:
        raise error

    async def guard() -> None:
        with pytest.raises(type(error)) as raised:
            await border.guard()
        assert raised.value is error

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(guard)
            await trio.to_thread.run_sync(border.soon, call)


async def test_guard_tells_what_was_raised_before_it_came() -> None:
    """No bug is lost because nobody waited yet."""
    border = Border()
    border.soon(lambda: 1 // 0)
    await trio.testing.wait_all_tasks_blocked()

    with trio.fail_after(5), pytest.raises(ZeroDivisionError):
        await border.guard()


def test_soon_does_nothing_after_the_run() -> None:
    """A thread that outlives the run may still ask."""

    async def make() -> Border:
        return Border()

    border, calls = trio.run(make), list[int]()
    for number in range(3):
        border.soon(partial(calls.append, number))

    assert calls == []


def test_nothing_is_kept_after_the_run() -> None:
    """What a thread asks for after the run is not collected for ever."""

    class Call:
        def __call__(self) -> None:
            raise AssertionError

    async def make() -> Border:
        return Border()

    border = trio.run(make)
    for _ in range(3):
        call = Call()
        kept = weakref.ref(call)
        border.soon(call)
        del call
        gc.collect()

        assert kept() is None
