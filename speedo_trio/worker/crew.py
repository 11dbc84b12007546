"""The crew: worker tasks and worker threads, and who of them takes which lane.

Ready lanes travel through two Trio memory channels: lanes whose next message is async to the
worker tasks, the others to the foreman, who passes them on to threads. A thread's stay in the
house is one `trio.to_thread.run_sync` with a limiter of the crew's own. It executes one turn of a
lane after another and lingers when there is none, because a way into a thread and back costs as
much as sixty messages.

One thread is enough while messages are quick: several would only fight for the interpreter's
lock. A further one comes when messages block or are slow, see `Crew._understaffed`. What only
shows in time (a thread that stays in one message, with lanes or replies waiting behind it) is
seen by the sentry.

Next: `speedo_trio.server`, which owns the crew.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING

import trio
from attrs import define

from speedo_trio.queue.ready import SHORT, ReadyLanes
from speedo_trio.worker.laps import Laps
from speedo_trio.worker.turn import (
    EMPTY,
    MORE,
    OTHER_KIND,
    Failure,
    Outcome,
    task_turn,
    thread_turn,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from speedo_trio.config import Workers
    from speedo_trio.io.border import Border
    from speedo_trio.meter import Meter
    from speedo_trio.protocol.message import Message
    from speedo_trio.queue.lane import Lane

_BURST_SECONDS = 0.005
"""How long a worker task may go on without letting other tasks run: as long as Python itself lets
a thread hold the interpreter's lock."""

_TOGETHER_SECONDS = 0.001
"""How long a thread collects finished turns, while more lanes wait, before the Trio thread sends
their replies. Two threads that send and receive at once would hand the interpreter's lock to and
fro at every system call."""

_SPARE_TASKS = 16
"""Worker tasks that are kept when there is nothing to do."""

_FEW = 4
"""Finished turns that a thread settles itself, without the Trio thread: at so few system calls,
the way through the other thread would take longer."""

_QUIET_ROUNDS = 25
"""Rounds without work after which the sentry sleeps until it is called."""


@define(eq=False)
class _Stay:
    """One stay of a thread in the house: what it is doing, for others to see."""

    lane: Lane[Message] | None = None
    since: float = inf
    """When the turn that goes on began; infinity between turns."""


class Crew:
    """Executes ready lanes until its nursery is cancelled."""

    def __init__(
        self, config: Workers, border: Border, nursery: trio.Nursery, meter: Meter | None = None
    ) -> None:
        self._config = config
        self._border = border
        self._nursery = nursery
        self._meter = meter
        self._to_tasks, self._for_tasks = trio.open_memory_channel["Lane[Message]"](inf)
        self._to_foreman, self._for_foreman = trio.open_memory_channel["Lane[Message]"](inf)
        # Both channels are unbounded in name only: a lane is in one of them at most once.
        self._ready: ReadyLanes[Message] = ReadyLanes()
        self._finished: deque[tuple[Lane[Message], Outcome | Failure]] = deque()
        self._limiter = trio.CapacityLimiter(config.count)
        self._stays: set[_Stay] = set()
        self._running: dict[Lane[Message], tuple[trio.CancelScope, float]] = {}
        # the turns that go on in tasks: what cancels them, and when they began
        self._tasks = 0
        self._pace = 0.0  # seconds a message, of late
        self._bell: trio.Event | None = None  # rings when the sentry sleeps and is needed
        self._stopped = False

    def start(self) -> None:
        """Start the crew's tasks."""
        self._nursery.start_soon(self._forward)
        self._nursery.start_soon(self._watch)
        self._add_tasks(1)

    @property
    def threads(self) -> int:
        """Threads in the house."""
        return len(self._stays)

    @property
    def busy(self) -> int:
        """Turns that go on."""
        return self.busy_threads + len(self._running)

    @property
    def busy_threads(self) -> int:
        """Turns that go on in threads."""
        return sum(stay.lane is not None for stay in self._stays)

    @property
    def ready(self) -> int:
        """Lanes that are ready and wait for a worker."""
        channels = (self._for_tasks, self._for_foreman)
        waiting = sum(channel.statistics().current_buffer_used for channel in channels)
        return waiting + len(self._ready)

    def dispatch(self, lane: Lane[Message]) -> None:
        """Queue a claimed lane. On the Trio thread."""
        if self._meter is not None:
            lane.ready_at = perf_counter()
        if lane.messages and getattr(lane.messages[0], "runs_async", False):
            self._to_tasks.send_nowait(lane)
            if len(self._running) >= self._tasks:
                self._add_tasks(1)
        else:
            self._to_foreman.send_nowait(lane)

    def resume(self, lane: Lane[Message]) -> None:
        """Go on with a claimed lane whose owner has dealt with a failure. On the Trio thread."""
        self._settle(lane, EMPTY, self.dispatch)

    def attend(self) -> None:
        """Have the sentry look for a while: something may come to wait. On the Trio thread."""
        if self._bell is not None:
            self._bell.set()

    def runs_task(self, lane: Lane[Message]) -> bool:
        """Whether an async message of the lane is running."""
        return lane in self._running

    def cancel(self, lane: Lane[Message]) -> None:
        """Cancel the lane's async message, if one is running."""
        if turn := self._running.get(lane):
            turn[0].cancel()

    def stop(self) -> None:
        """Let threads that linger go, and no thread begin another turn."""
        self._stopped = True
        self._ready.close()

    # Worker tasks

    def _add_tasks(self, count: int) -> None:
        """Start worker tasks, as many as are wanted and allowed."""
        count = min(count, self._config.tasks - self._tasks)
        for _ in range(count):
            self._nursery.start_soon(self._work)
        self._tasks += max(0, count)

    async def _work(self) -> None:
        laps = self._new_laps()
        while True:
            with trio.CancelScope() as scope:  # cancelled with the message that runs in it
                while not scope.cancel_called:
                    await self._burst(await self._for_tasks.receive(), scope, laps)
                    if self._for_tasks.statistics().tasks_waiting_receive > _SPARE_TASKS:
                        self._tasks -= 1
                        return

    async def _burst(self, lane: Lane[Message], scope: trio.CancelScope, laps: Laps | None) -> None:
        """Execute a turn of this lane, and of others that are ready, for a while."""
        config, now = self._config, perf_counter()
        end = now + _BURST_SECONDS
        while True:
            self._running[lane] = (scope, now)
            outcome: Outcome | Failure = EMPTY
            self.attend()
            try:
                if not lane.shut:
                    outcome = await task_turn(lane, config, now, laps)
            finally:
                del self._running[lane]
                self._settle(lane, outcome, self.dispatch)
            now = perf_counter()
            if now >= end or lane.shut:  # a shut lane may have cancelled the scope
                return
            try:
                lane = self._for_tasks.receive_nowait()
            except trio.WouldBlock:
                return

    # Worker threads

    async def _forward(self) -> None:
        async for lane in self._for_foreman:
            self._ready.put(lane)
            try:
                while True:
                    self._ready.put(self._for_foreman.receive_nowait())
            except trio.WouldBlock:
                pass
            self._staff()

    def _staff(self) -> None:
        """Bring in a thread if one is missing. On the Trio thread."""
        if self._understaffed() and not self._stopped:
            stay = _Stay()
            self._stays.add(stay)
            self._nursery.start_soon(self._host, stay)
        self.attend()

    def _understaffed(self) -> bool:
        """Whether a further thread would help the lanes that wait.

        It would when there is none, when messages take so long that a hop into a thread (59 µs)
        is nothing beside them, and when all threads are stuck in a message.
        """
        if len(self._stays) >= self._config.count or self._ready.idle:
            return False
        if self._pace > self._config.patience / 2:
            return True
        stuck = perf_counter() - self._config.patience
        return all(stay.since < stuck for stay in self._stays)

    async def _host(self, stay: _Stay) -> None:
        """The Trio side of a thread's stay."""
        try:
            while True:
                await trio.to_thread.run_sync(
                    self._stay, stay, limiter=self._limiter, abandon_on_cancel=True
                )
                if not self._ready or self._stopped:
                    break  # else a lane came while the thread was leaving
        finally:
            self._stays.discard(stay)

    def _stay(self, stay: _Stay) -> None:
        """Execute turns until there is nothing to do for long. In a worker thread."""
        ready, finished, config = self._ready, self._finished, self._config
        laps, sent = self._new_laps(), perf_counter()
        while not self._stopped:
            lane = ready.take()
            if lane is None:
                if finished:
                    self._border.soon(self._settle_finished)
                lane = ready.linger(config.linger)
            if lane is None:
                return
            if self._bell is not None and len(lane.messages) > 1:
                self._border.soon(self.attend)
            stay.lane = lane
            stay.since = began = perf_counter()
            before = lane.executed
            outcome = EMPTY if lane.shut else thread_turn(lane, config, began, laps)
            now = perf_counter()
            self._pace += 0.2 * ((now - began) / max(1, lane.executed - before) - self._pace)
            stay.lane = None
            stay.since = inf
            finished.append((lane, outcome))
            rank_done = not ready.short if lane.executed - before <= SHORT else not ready
            if rank_done and len(finished) <= _FEW:
                self._settle_finished()  # the shortest way to the peer
            elif rank_done or now - sent > _TOGETHER_SECONDS:
                sent = now
                self._border.soon(self._settle_finished)

    def _settle_finished(self) -> None:
        """Settle the turns that threads have finished. From any thread."""
        again: list[Lane[Message]] = []
        while self._finished:
            try:
                lane, outcome = self._finished.popleft()
            except IndexError:  # another thread was quicker
                break
            self._settle(lane, outcome, again.append)
        if self._meter is not None:
            now = perf_counter()
            for lane in again:
                lane.ready_at = now
        for lane in again:  # all at once, or the first could have two turns before the second
            self._ready.put_again(lane)

    # Both

    def _new_laps(self) -> Laps | None:
        """What measures a worker's turns, if anybody wants to know."""
        return None if self._meter is None else Laps(self._meter, self._config)

    def _settle(
        self,
        lane: Lane[Message],
        outcome: Outcome | Failure,
        again: Callable[[Lane[Message]], None],
    ) -> None:
        """After a turn: send the replies, then give the lane back or queue it again."""
        flushed = lane.outlet.flush()
        if isinstance(outcome, Failure):
            failed = partial(lane.owner.message_failed, outcome.message, outcome.error)
            self._border.now(failed)
        elif lane.shut:
            lane.clear()
            while lane.release():  # a put that was under way came after the first
                lane.clear()
        elif not flushed and lane.outlet.gate():
            pass
        elif outcome is OTHER_KIND:
            self._border.now(partial(self.dispatch, lane))
        elif (outcome is MORE and lane.messages) or lane.release():
            again(lane)
        if lane.watched:
            self._border.now(lane.owner.progressed)

    async def _watch(self) -> None:
        """The sentry: sees what only shows in time."""
        patience = self._config.patience
        while True:
            self._bell = trio.Event()
            await self._bell.wait()
            self._bell = None
            quiet = 0
            while quiet < _QUIET_ROUNDS:
                await trio.sleep(patience)
                quiet = 0 if self._look() else quiet + 1

    def _look(self) -> bool:
        """Help those who wait behind a message that takes long; whether to look again soon.

        A turn that has been late once is not looked at for its own sake: its replies so far are
        sent, and it ends with the message that it is in.
        """
        late = perf_counter() - self._config.patience
        waiting = self._for_tasks.statistics().current_buffer_used
        if waiting and len(self._running) >= self._tasks:  # all of them are in a message
            self._add_tasks(waiting)
        self._settle_finished()
        if self._ready:
            self._staff()
        turns = [(lane, began) for lane, (_, began) in self._running.items()]
        turns += [(stay.lane, stay.since) for stay in self._stays if stay.lane is not None]
        for lane, began in turns:
            if began < late:
                lane.outlet.flush()
        return bool(waiting or self._ready) or any(began >= late for _, began in turns)
