"""The load: all clients at once, from the first connection to the last reply."""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING

import trio

from speedo_trio.cli.bench.client import Client
from speedo_trio.cli.bench.course import Course, Phase
from speedo_trio.cli.bench.poller import open_poller
from speedo_trio.cli.bench.schedule import Schedule

if TYPE_CHECKING:
    from speedo_trio.cli.bench.connector import Connector
    from speedo_trio.cli.bench.plan import Plan

_CONNECTING_AT_ONCE = 64
"""Fewer than the shortest usual queue of a listening socket (128) has room for."""
_LOOKS = 8
"""How often, within the timeout, it is looked whether a reply takes longer."""
_LONGEST_LOOK = 1.0
_SPIN = 1_500_000
"""Nanoseconds before a request is due from which on it is waited for without sleeping: the kernel's
timers that Trio sleeps by count milliseconds, and round up."""


class Load:
    """The clients of a plan. `run` it once; `course.tally` has the results then."""

    def __init__(self, plan: Plan, connector: Connector) -> None:
        self.course: Course = Course(plan, connector, poller=open_poller())
        self._plan = plan
        self._clients = [Client(number, self.course) for number in range(plan.clients)]
        self._connecting = trio.CancelScope()
        self._paced = 0  # when it was last looked which requests of the schedule are due

    async def run(self) -> None:
        """Connect, warm up, measure, and wait for the last replies.

        Raises:
            Failure: the first connection could not be made. Others that can't be are counted.
        """
        try:
            with self._connecting:
                await self._connect()
            if not self.course.interrupted:
                await self._measure()
        finally:
            for client in self._clients:
                await client.hang_up()
            if self.course.poller is not None:
                self.course.poller.close()

    def interrupt(self) -> None:
        """End now, with what was measured so far. What is in flight is not waited for."""
        self.course.interrupted = True
        self._connecting.cancel()
        self._finish()
        for client in self._clients:
            client.cut()

    async def _connect(self) -> None:
        """Have the first connection, then the others: those that fail are tried again later."""
        opened = await self.course.connector.open_first()
        self._clients[0].adopt(opened)
        if self._plan.connect_each:
            return  # the others connect when they ask
        room = trio.CapacityLimiter(_CONNECTING_AT_ONCE)

        async def connect(client: Client) -> None:
            async with room:
                await client.connect()

        async with trio.open_nursery() as nursery:
            for client in self._clients:
                nursery.start_soon(connect, client)

    async def _measure(self) -> None:
        self._start()
        async with trio.open_nursery() as helpers:
            if (poller := self.course.poller) is not None:
                helpers.start_soon(poller.run)
            helpers.start_soon(self._watch)
            helpers.start_soon(self._keep_time)
            if self.course.schedule is not None and not self._plan.connect_each:
                helpers.start_soon(self._pace, self.course.schedule)
            async with trio.open_nursery() as clients:
                for client in self._clients:
                    clients.start_soon(client.run)
            helpers.cancel_scope.cancel()
        self._finish()

    def _start(self) -> None:
        plan = self._plan
        if plan.rate is not None:
            self.course.schedule = Schedule(
                start=perf_counter_ns(), rate=plan.rate, clients=plan.clients
            )
        if plan.warm_up_seconds:
            self.course.phase = Phase.WARMING_UP
        else:
            self._begin()

    def _begin(self) -> None:
        """What comes now counts."""
        self.course.phase = Phase.MEASURING
        self.course.left = self._plan.requests
        self.course.tally.begin(perf_counter_ns(), connects=self._plan.connect_each)

    async def _keep_time(self) -> None:
        if self.course.phase is Phase.WARMING_UP:
            await trio.sleep(self._plan.warm_up_seconds)
            self._begin()
        with trio.move_on_after(self._plan.measuring_seconds):
            await self.course.used_up.wait()
            self._stop()
            return  # the end is when the last reply comes
        self._finish()

    def _stop(self) -> None:
        """Ask nothing more; what is in flight is waited for, as long as the timeout lets it."""
        self.course.phase = Phase.FINISHING
        for client in self._clients:
            client.stop()

    def _finish(self) -> None:
        """Stop, and end the measurement, unless it has ended: now, or with the last reply."""
        self._stop()
        tally = self.course.tally
        if tally.ended:
            return
        now = perf_counter_ns()
        if self.course.used_up.is_set() and tally.latest >= tally.began:
            now = tally.latest
        else:
            by = self._paced or now
            self.course.unsent = sum(max(0, client.behind(by)) for client in self._clients)
        tally.end(now)

    async def _watch(self) -> None:
        """See to it that no client waits for a reply for longer than the timeout."""
        while True:
            await trio.sleep(min(self._plan.timeout / _LOOKS, _LONGEST_LOOK))
            now = perf_counter_ns()
            for client in self._clients:
                client.look(now)

    async def _pace(self, schedule: Schedule) -> None:
        """Wake each client when a request of the schedule is due."""
        count = len(self._clients)
        woken = 0
        while not self.course.ending:
            self._paced = now = perf_counter_ns()
            due = schedule.passed(now)
            for number in range(max(woken, due - count), due):  # one look is enough for each
                self._clients[number % count].tick()
            woken = due
            wait = schedule.moment(due) - now - _SPIN
            if wait > 0:
                await trio.sleep(wait / 1e9)
            else:
                await trio.lowlevel.checkpoint()
