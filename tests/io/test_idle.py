"""The idle watch: looks once a period, at those who are due, for as long as they want it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from speedo_trio.io.idle import IdleWatch
from trio.testing import MockClock

PERIOD = 10.0


class Idler:
    """Remembers when it was looked at, and does as it is told then."""

    def __init__(self, then: Callable[[float], float | None] = lambda now: now + PERIOD) -> None:
        self.looks: list[float] = []
        self._then = then

    def look(self, now: float) -> float | None:
        self.looks.append(now)  # the mock clock begins at 0
        return self._then(now)


@pytest.fixture
async def watch(nursery: trio.Nursery) -> IdleWatch:
    """A watch that is kept. A test asks for the clock itself, or pytest-trio doesn't see it."""
    watch = IdleWatch(PERIOD)
    nursery.start_soon(watch.keep)
    return watch


async def test_looks_once_a_period(watch: IdleWatch, autojump_clock: MockClock) -> None:
    """For as long as the idler wants it."""
    idler = Idler()
    watch.add(idler)
    await trio.sleep(45)

    assert idler.looks == [10, 20, 30, 40]


async def test_first_look_is_a_period_after_the_adding(
    watch: IdleWatch, autojump_clock: MockClock
) -> None:
    """Whenever it is added, and though the watch had nobody to look at before."""
    await trio.sleep(3)
    early, late = Idler(), Idler()
    watch.add(early)
    await trio.sleep(4)
    watch.add(late)
    await trio.sleep(21)

    assert early.looks == [13, 23]
    assert late.looks == [17, 27]


async def test_none_ends_the_watching(watch: IdleWatch, autojump_clock: MockClock) -> None:
    """One that wants no further look gets none, and is forgotten."""
    idler = Idler(lambda _: None)
    watch.add(idler)
    await trio.sleep(45)

    assert idler.looks == [10]


async def test_idler_may_want_to_be_looked_at_earlier(
    watch: IdleWatch, autojump_clock: MockClock
) -> None:
    """When others are not in its way it is looked at when it said."""
    idler = Idler(lambda now: now + 2)
    watch.add(idler)
    await trio.sleep(17)

    assert idler.looks == [10, 12, 14, 16]


async def test_looks_are_at_most_a_period_late(watch: IdleWatch, autojump_clock: MockClock) -> None:
    """Idlers with times out of order: each is looked at within a period after its time."""
    asked = list[tuple[float, float]]()

    def sooner_and_later(now: float) -> float:
        wanted = (1, 10, 4, 7)[len(asked) % 4]
        asked.append((now, now + wanted))
        return now + wanted

    idlers = [Idler(sooner_and_later) for _ in range(8)]
    for idler in idlers:
        watch.add(idler)
    await trio.sleep(200)

    for idler in idlers:
        gaps = [b - a for a, b in zip(idler.looks, idler.looks[1:], strict=False)]
        assert max(gaps) <= 2 * PERIOD


async def test_discarded_is_looked_at_no_more(watch: IdleWatch, autojump_clock: MockClock) -> None:
    """Others still are; who is unknown can be discarded too."""
    gone, stays = Idler(), Idler()
    watch.add(gone)
    watch.add(stays)
    await trio.sleep(15)
    watch.discard(gone)
    watch.discard(gone)
    await trio.sleep(10)

    assert gone.looks == [10]
    assert stays.looks == [10, 20]


async def test_all_discarded_and_one_added_again(
    watch: IdleWatch, autojump_clock: MockClock
) -> None:
    """The watch goes on after a time without anybody."""
    idler = Idler()
    watch.add(idler)
    await trio.sleep(5)
    watch.discard(idler)
    await trio.sleep(50)
    watch.add(idler)
    await trio.sleep(15)

    assert idler.looks == [65]


async def test_look_may_discard_another(watch: IdleWatch, autojump_clock: MockClock) -> None:
    """Who is discarded during the looks is looked at no more, though it was due as well."""
    other = Idler()
    first = Idler(lambda now: watch.discard(other) or now + PERIOD)  # type: ignore[func-returns-value]  # None
    watch.add(first)
    watch.add(other)
    await trio.sleep(25)

    assert first.looks == [10, 20]
    assert other.looks == []


async def test_look_may_add_another(watch: IdleWatch, autojump_clock: MockClock) -> None:
    """It is looked at a period later."""
    other = Idler()
    first = Idler(lambda _: watch.add(other))
    watch.add(first)
    await trio.sleep(25)

    assert first.looks == [10]
    assert other.looks == [20]


async def test_idlers_are_known_by_identity(watch: IdleWatch, autojump_clock: MockClock) -> None:
    """Adding one twice is as adding it again."""
    idler = Idler()
    watch.add(idler)
    await trio.sleep(5)
    watch.add(idler)
    await trio.sleep(25)

    assert len(idler.looks) == len(set(idler.looks))
    assert idler.looks[0] <= 15


async def test_many_idlers_cost_one_task(watch: IdleWatch, autojump_clock: MockClock) -> None:
    """All of a thousand are looked at when they are due, each once a period."""
    idlers = [Idler() for _ in range(1000)]
    for number, idler in enumerate(idlers):
        watch.add(idler)
        if number % 100 == 99:
            await trio.sleep(0.5)
    tasks = trio.lowlevel.current_statistics().tasks_living
    await trio.sleep(40)

    assert tasks < 20
    assert all(len(idler.looks) == 4 for idler in idlers)
