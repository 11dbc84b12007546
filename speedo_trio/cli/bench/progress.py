"""The progress of a load: a bar on stderr, for who watches."""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from speedo_trio.cli.bench.course import Phase

if TYPE_CHECKING:
    from speedo_trio.cli.bench.course import Course

_REFRESH_SECONDS = 0.2


async def show_progress(course: Course) -> None:
    """Show a bar until it is cancelled; then it is gone from the terminal."""
    # Here and not above: it takes a tenth of a second, and mostly nobody watches.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415

    columns = (
        TextColumn("{task.description:<11}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %  {task.fields[rate]}"),
    )
    # Refreshed from here: a thread of its own would be one more who wants the interpreter.
    with Progress(
        *columns, console=Console(stderr=True), transient=True, auto_refresh=False
    ) as bar:
        task = bar.add_task("", total=1.0, rate="")
        speed = Speed()
        while True:
            now = perf_counter_ns()
            rate = f"{speed.of(course.tally.volume.replies, now):,.0f} replies/s"
            bar.update(task, description=course.phase.value, completed=done(course, now), rate=rate)
            bar.refresh()
            await trio.sleep(_REFRESH_SECONDS)


def done(course: Course, now: int) -> float:
    """Which part of the measurement is done: of its time or of its requests, whichever is more."""
    if course.phase is Phase.FINISHING:
        return 1.0
    if course.phase is not Phase.MEASURING:
        return 0.0
    of_time = (now - course.tally.began) / 1e9 / course.plan.measuring_seconds
    if course.plan.requests is None or course.left is None:
        return min(of_time, 1.0)
    return min(max(of_time, 1 - course.left / course.plan.requests), 1.0)


@define
class Speed:
    """How fast a number grows, since it was last looked at."""

    _number: int = field(default=0, init=False)
    _time: int = field(default=0, init=False)

    def of(self, number: int, now: int) -> float:
        """How much a second `number` has grown until `now`, in nanoseconds; 0 at first."""
        grown, took = number - self._number, now - self._time
        first, self._number, self._time = not self._time, number, now
        if first or not took:
            return 0.0
        return (grown if grown >= 0 else number) / took * 1e9  # less: it began again from 0
