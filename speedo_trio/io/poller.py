"""A poller: one task that waits for the bytes of all peers, and reads those that have come.

A task that waits for its socket costs Trio a system call to arm the wait and a turn of its own for
each read, which is more than reading and parsing a short message. So a reader's task sleeps here
while a plain function of its own does the reads, in rounds: whoever has something to read, each
once. The task wakes up when there is something to wait for.

Next: `speedo_trio.io.connection`.
"""

from __future__ import annotations

import selectors
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar, cast

import trio

from speedo_trio.io.wire import SocketWire

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from speedo_trio.io.wire import Wire

Result = TypeVar("Result")


class _Reader(Generic[Result]):
    """A task that sleeps while its step is called."""

    __slots__ = ("error", "raise_cancel", "result", "step", "stepping", "task")

    def __init__(self, step: Callable[[], Result | None], task: trio.lowlevel.Task) -> None:
        self.step = step
        self.task: trio.lowlevel.Task | None = task  # None: it no longer waits
        self.stepping = False
        self.result: Result | None = None
        self.error: BaseException | None = None
        self.raise_cancel: Callable[[], NoReturn] | None = None  # when it was cancelled in its step

    @property
    def done(self) -> bool:
        """Whether the task is to wake up after a step."""
        return not (self.result is None and self.error is None and self.raise_cancel is None)


class Poller:
    """Reads of sockets, in rounds. For the Trio thread only."""

    __slots__ = ("_after", "_in_round", "_selector")

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._in_round = False
        self._after: list[tuple[Callable[[], object], Callable[[BaseException], object]]] = []

    async def run(self) -> NoReturn:
        """Read until cancelled; only meanwhile does anybody who waits in `until` get on."""
        descriptor: int = self._selector.fileno()
        while True:
            await trio.lowlevel.wait_readable(descriptor)
            self._round()

    def close(self) -> None:
        """Let go of the system's resources, when nobody uses it any more."""
        self._selector.close()

    def reads(self, wire: Wire, step: Callable[[], Result | None]) -> Awaitable[Result]:
        """Call `step` whenever `wire` can be read, until it gives something; what that was.

        For a socket that is `until`. Of layers and streams the caller's own task waits, and calls
        the step.
        """
        if isinstance(wire, SocketWire):
            return self.until(wire.socket, step)
        return _own_reads(wire, step)

    async def until(self, source: socket.socket, step: Callable[[], Result | None]) -> Result:
        """Call `step` whenever `source` can be read, until it gives something; what that was.

        The step is called in the context of this task, but in another one. What it raises is
        raised here. It must not wait, nor close the source. A cancel loses nothing: a step is done
        or isn't.
        """
        task = trio.lowlevel.current_task()
        reader = _Reader(step, task)
        self._selector.register(source, selectors.EVENT_READ, reader)

        def leave(raise_cancel: Callable[[], NoReturn]) -> trio.lowlevel.Abort:
            if reader.stepping:  # what the step ends with is not to be lost
                reader.raise_cancel = raise_cancel
                return trio.lowlevel.Abort.FAILED
            self._forget(source, reader)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(leave)
        if reader.error is not None:
            raise reader.error
        if reader.result is None and reader.raise_cancel is not None:
            reader.raise_cancel()
        return cast("Result", reader.result)

    def after(self, call: Callable[[], object], blame: Callable[[BaseException], object]) -> None:
        """Call when the round is over, in the order of asking; at once if there is none.

        Args:
            call: What to call.
            blame: Gets what that raises.
        """
        self._after.append((call, blame))
        if not self._in_round:
            self._finish()

    def _round(self) -> None:
        self._in_round = True
        for key, _ in self._selector.select(0):
            reader: _Reader[object] = key.data
            task = reader.task
            if task is None:  # it was cancelled in this round
                continue
            reader.stepping = True
            try:
                reader.result = task.context.run(reader.step)
            except BaseException as error:  # noqa: BLE001  # raised in its own task
                reader.error = error
            reader.stepping = False
            if reader.done:
                self._forget(key.fileobj, reader)
                trio.lowlevel.reschedule(task)
        self._in_round = False
        if self._after:
            self._finish()

    def _forget(self, source: object, reader: _Reader[Result]) -> None:
        reader.task = None
        self._selector.unregister(source)  # type: ignore[arg-type]  # it was registered

    def _finish(self) -> None:
        """Call what was to be called after the round."""
        calls, self._after = self._after, []
        for call, blame in calls:
            try:
                call()
            except BaseException as error:  # noqa: BLE001  # theirs
                blame(error)


async def _own_reads(wire: Wire, step: Callable[[], Result | None]) -> Result:
    while True:
        await wire.readable()
        result = step()
        if result is not None:
            return result
