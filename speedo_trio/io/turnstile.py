"""A turnstile: of what takes long, a little at a time, so that the rest goes on in between.

Trio lets every task that can run do so before it looks for what has come meanwhile. When a thousand
peers have each sent something that takes a millisecond, that is a second in which nobody else is
served. Tasks that are about to do such a thing go through a turnstile first.
"""

from __future__ import annotations

from collections import OrderedDict

import trio


class Turnstile:
    """Lets through what costs `most` in all; the rest waits for the next time that tasks run.

    Who waits is let through in the order of arrival. Costs are of a unit that the caller chooses;
    the last one let through may exceed the sum. For the Trio thread only.
    """

    __slots__ = ("_left", "_most", "_turning", "_waiting")

    def __init__(self, most: int) -> None:
        """As long as less than `most` has gone through, nobody waits."""
        self._most = most
        self._left = most
        self._turning = False  # it is to turn soon
        self._waiting: OrderedDict[trio.lowlevel.Task, int] = OrderedDict()

    def free(self, cost: int) -> bool:
        """Whether to go through at once, which is counted then; if not, `turn` waits."""
        if self._left <= 0:
            return False
        self._left -= cost
        if self._left <= self._most // 2:  # seldom enough to cost nothing, and yet ahead of need
            self._turn_soon()
        return True

    async def turn(self, cost: int) -> None:
        """Wait for one's turn; only after `free` has said no. A cancel gives the place away."""
        task = trio.lowlevel.current_task()
        self._waiting[task] = cost

        def leave(_: object) -> trio.lowlevel.Abort:
            del self._waiting[task]
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(leave)

    async def enter(self, cost: int = 1) -> None:
        """Go through, at once or when it is one's turn. Not always a checkpoint."""
        if not self.free(cost):
            await self.turn(cost)

    def _turn_soon(self) -> None:
        # Whoever can run now does so first, then Trio looks for what has come, then this runs.
        if not self._turning:
            self._turning = True
            trio.lowlevel.current_trio_token().run_sync_soon(self._turn)

    def _turn(self) -> None:
        self._turning = False
        self._left = self._most
        while self._waiting and self._left > 0:
            task, cost = self._waiting.popitem(last=False)
            self._left -= cost
            trio.lowlevel.reschedule(task)
        if self._left <= self._most // 2:
            self._turn_soon()
