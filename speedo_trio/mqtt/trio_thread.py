"""A Trio thread: a Trio run in a thread of its own, for programs that don't run on Trio.

Next: `speedo_trio.mqtt.thread`, which serves in one.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar, TypeVarTuple, Unpack

import trio

from speedo_trio.errors import ServerClosed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_BEGINNING = 1.0
"""Seconds that a thread has to begin, when the wait for it was interrupted."""

_NAP = 1.0
"""Seconds after which an interrupt is seen that came at the wrong moment."""

Result = TypeVar("Result")
Value = TypeVar("Value")
Arguments = TypeVarTuple("Arguments")


class TrioThread(Generic[Value]):
    """One run of one async function, and what other threads may ask of it.

    The thread is a daemon: if nobody ends it, it doesn't keep the program from exiting. In a forked
    process it isn't there, and what is asked of it raises `ServerClosed`.
    """

    def __init__(self, function: Callable[..., Awaitable[object]], name: str) -> None:
        """Prepare it; `start` starts it.

        Args:
            function: called with a ``task_status``, as by `trio.Nursery.start`.
            name: the thread's.
        """
        self._function = function
        self._scope = trio.CancelScope()
        self._unwanted = False
        self._process = os.getpid()
        self._token: Future[trio.lowlevel.TrioToken] = Future()
        self._started: Future[Value] = Future()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> Value:
        """Start; what the function told with its task status.

        When this is interrupted, by a Ctrl-C say, the function is cancelled and the thread ends.

        Raises:
            BaseException: what the function raised before that.
        """
        try:
            self._thread.start()
            return _result(self._started)
        except BaseException:
            self._unwanted = True
            if self._began():
                self.stop()
            raise

    @property
    def running(self) -> bool:
        """Whether the function has not ended."""
        return os.getpid() == self._process and self._thread.is_alive()

    def call(
        self, function: Callable[[Unpack[Arguments]], Result], *arguments: *Arguments
    ) -> Result:
        """Call a function in the thread, wait for it, and give what it gives or raises.

        Raises:
            ServerClosed: the thread has ended, or is another process's.
            RuntimeError: this is that thread.
        """
        future: Future[Result] = Future()
        self._soon(partial(_settle, future, partial(function, *arguments)))
        return _result(future)

    def wait(
        self,
        function: Callable[[Unpack[Arguments]], Awaitable[Result]],
        *arguments: *Arguments,
    ) -> Result:
        """Run an async function in the thread, wait for it, and give what it gives or raises.

        When this is interrupted the function is cancelled.

        Raises:
            ServerClosed: the thread has ended, or is another process's.
            RuntimeError: this is that thread.
        """
        asked = _Asked(partial(function, *arguments))
        try:
            self._soon(asked.begin)
            return _result(asked.future)
        except BaseException:  # an interrupt may come as soon as the function has begun
            if not asked.future.done():
                with suppress(ServerClosed, RuntimeError):  # what has not begun raised that
                    self._soon(asked.scope.cancel)
            raise

    def stop(self) -> None:
        """Cancel the function if it has not ended, and wait for the end of the thread.

        Raises:
            BaseException: what ended the function after it had started.
        """
        if os.getpid() != self._process:
            return
        try:
            self._soon(self._scope.cancel)
        except ServerClosed:
            pass
        self.join()

    def join(self) -> None:
        """Wait for the end of the thread. Raises as `stop`."""
        self._thread.join()
        if self._error is not None and self._error is not self._started.exception():
            raise self._error

    # How

    def _began(self) -> bool:
        """Whether the thread is there: an interrupt may come before `threading` knows that."""
        try:
            self._token.exception(_BEGINNING)
        except TimeoutError:
            return False  # if it is only slow, it sees that it is unwanted
        return True

    def _soon(self, callback: Callable[[], object]) -> None:
        """Have a callback called in the thread; it must not raise."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("this would wait for itself; allowed is a call from other threads")
        if os.getpid() != self._process:
            raise ServerClosed("the server runs in another process, from which this was forked")
        try:
            self._token.result().run_sync_soon(callback)
        except trio.RunFinishedError:
            raise ServerClosed("the server has ended") from self._error

    def _run(self) -> None:
        try:
            trio.run(self._main)
        except BaseException as error:  # noqa: BLE001  # raised by `start` or `join`
            self._error = error
        ended = self._error or ServerClosed("it ended before it had started")
        for future in (self._token, self._started):
            if not future.done():
                future.set_exception(ended)

    async def _main(self) -> None:
        self._token.set_result(trio.lowlevel.current_trio_token())
        if self._unwanted:
            self._scope.cancel()
        with self._scope:
            await self._function(task_status=_Status(self._started))


class _Status(trio.TaskStatus[Value]):
    """Tells that the function has started."""

    def __init__(self, started: Future[Value]) -> None:
        self._started = started

    def started(self, value: Value | None = None) -> None:
        self._started.set_result(value)  # type: ignore[arg-type]  # None, if that is a Value


class _Asked(Generic[Result]):
    """An async function that another thread waits for, as a system task."""

    def __init__(self, function: Callable[[], Awaitable[Result]]) -> None:
        self._function = function
        self.future: Future[Result] = Future()
        self.scope = trio.CancelScope()

    def begin(self) -> None:
        """Start the task. Never raises."""
        try:
            trio.lowlevel.spawn_system_task(self._run)
        except RuntimeError:  # the run is about to end
            self.future.set_exception(ServerClosed("the server has ended"))

    async def _run(self) -> None:
        try:
            with self.scope:
                result = await self._function()
        except trio.Cancelled:
            self.future.set_exception(ServerClosed("the server has ended"))
            raise
        except BaseException as error:  # noqa: BLE001  # raised by who waits
            self.future.set_exception(error)
        else:
            if self.scope.cancelled_caught:  # nobody waits any more
                self.future.cancel()
            else:
                self.future.set_result(result)


def _result(future: Future[Result]) -> Result:
    """Wait for a result, a second at a time.

    An interrupt that comes right before the thread sleeps wakes nobody: Python sees it when the
    thread wakes up, and without this that could be never.
    """
    while True:
        try:
            future.exception(_NAP)
        except TimeoutError:
            continue
        return future.result()  # which may be a TimeoutError, too


def _settle(future: Future[Result], function: Callable[[], Result]) -> None:
    """Call a function for who waits for the future. Never raises."""
    try:
        future.set_result(function())
    except BaseException as error:  # noqa: BLE001  # raised by who waits
        future.set_exception(error)
