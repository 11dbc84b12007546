"""The watch: who is looked at when, and what that costs when most of it was in vain."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock, wait_all_tasks_blocked

from speedo_trio.io.watch import Watch


@define(eq=False)
class Watched:
    """Remembers when it was looked at; does something then, and says what comes next."""

    name: str
    seen: list[tuple[str, float]]
    again: Callable[[float], float | None] = field(default=lambda now: None)

    def look(self, now: float) -> float | None:
        self.seen.append((self.name, round(now, 6)))
        return self.again(now)


@pytest.fixture
async def watch(nursery: trio.Nursery) -> Watch:
    """A watch that is kept. A test asks for the clock itself, or pytest-trio doesn't see it."""
    watch = Watch()
    nursery.start_soon(watch.keep)
    return watch


@pytest.fixture
def seen() -> list[tuple[str, float]]:
    """Who was looked at when."""
    return []


async def test_looks_when_the_time_comes(
    watch: Watch, seen: list[tuple[str, float]], autojump_clock: MockClock
) -> None:
    """In the order of time, whatever the order of adding; once, if nothing more is said."""
    for name, when in (("c", 3.0), ("a", 1.0), ("d", 4.0), ("b", 2.0)):
        watch.add(Watched(name, seen), when)
    await trio.sleep(100)

    assert seen == [("a", 1.0), ("b", 2.0), ("c", 3.0), ("d", 4.0)]


async def test_several_at_one_time(
    watch: Watch, seen: list[tuple[str, float]], autojump_clock: MockClock
) -> None:
    """Those added first go first."""
    for name in "abc":
        watch.add(Watched(name, seen), 1.0)
    await trio.sleep(2)

    assert seen == [("a", 1.0), ("b", 1.0), ("c", 1.0)]


async def test_looks_again_when_it_is_told(
    watch: Watch, seen: list[tuple[str, float]], autojump_clock: MockClock
) -> None:
    """Each look says when the next is to be; None ends it."""
    watch.add(Watched("a", seen, lambda now: now + 2 if now < 5 else None), 1.0)
    watch.add(Watched("b", seen, lambda now: 4.0 if now < 4 else None), 2.0)
    await trio.sleep(100)

    assert seen == [("a", 1.0), ("b", 2.0), ("a", 3.0), ("b", 4.0), ("a", 5.0)]


async def test_added_while_it_sleeps(
    watch: Watch, seen: list[tuple[str, float]], autojump_clock: MockClock
) -> None:
    """One that comes later and is due earlier wakes it."""
    watch.add(Watched("late", seen), 10.0)
    await trio.sleep(2)
    watch.add(Watched("early", seen), 3.0)
    await trio.sleep(2)
    assert seen == [("early", 3.0)]

    watch.add(Watched("later", seen), 20.0)
    await trio.sleep(100)
    assert seen == [("early", 3.0), ("late", 10.0), ("later", 20.0)]


async def test_added_when_its_time_is_over(
    watch: Watch, seen: list[tuple[str, float]], autojump_clock: MockClock
) -> None:
    """It is looked at at once."""
    await trio.sleep(5)
    watch.add(Watched("a", seen), 1.0)
    await trio.sleep(1)

    assert seen == [("a", 5.0)]


async def test_added_before_it_is_kept(
    seen: list[tuple[str, float]], nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Nothing is forgotten that came before the task began."""
    watch = Watch()
    watch.add(Watched("a", seen), 1.0)
    await trio.sleep(2)
    nursery.start_soon(watch.keep)
    await trio.sleep(1)

    assert seen == [("a", 2.0)]


async def test_added_again(
    watch: Watch, seen: list[tuple[str, float]], autojump_clock: MockClock
) -> None:
    """The new time counts, be it earlier or later, and only that."""
    one, other = Watched("one", seen), Watched("other", seen)
    watch.add(one, 5.0)
    watch.add(other, 1.0)
    watch.add(one, 2.0)
    watch.add(other, 3.0)
    await trio.sleep(100)

    assert seen == [("one", 2.0), ("other", 3.0)]


async def test_discarded(
    watch: Watch, seen: list[tuple[str, float]], autojump_clock: MockClock
) -> None:
    """It is not looked at; once more, or never added, does nothing."""
    one, other = Watched("one", seen), Watched("other", seen)
    watch.add(one, 1.0)
    watch.add(other, 1.0)
    watch.discard(one)
    watch.discard(one)
    watch.discard(Watched("never", seen))
    await trio.sleep(2)

    assert seen == [("other", 1.0)]


async def test_discarded_and_added_again(
    watch: Watch, seen: list[tuple[str, float]], autojump_clock: MockClock
) -> None:
    """As if it was new."""
    one = Watched("one", seen)
    watch.add(one, 1.0)
    watch.discard(one)
    watch.add(one, 2.0)
    await trio.sleep(5)

    assert seen == [("one", 2.0)]


@pytest.mark.parametrize("again", [None, 5.0])
async def test_a_look_may_discard_itself(
    again: float | None, watch: Watch, seen: list[tuple[str, float]], autojump_clock: MockClock
) -> None:
    """Whatever it says then, that was the last one."""

    def end(now: float) -> float | None:
        watch.discard(one)
        return again

    one = Watched("one", seen, end)
    watch.add(one, 1.0)
    await trio.sleep(100)

    assert seen == [("one", 1.0)]


async def test_a_look_may_discard_others(
    watch: Watch, seen: list[tuple[str, float]], autojump_clock: MockClock
) -> None:
    """Those due at the same time too, and so many that the queue is made anew meanwhile."""
    others = [Watched(f"{number}", seen) for number in range(500)]

    def end_all(now: float) -> None:
        for other in others:
            watch.discard(other)

    watch.add(Watched("first", seen, end_all), 1.0)
    for other in others:
        watch.add(other, 1.0)
    watch.add(Watched("last", seen), 1.0)
    await trio.sleep(2)

    assert seen == [("first", 1.0), ("last", 1.0)]


async def test_a_look_may_add_others(
    watch: Watch, seen: list[tuple[str, float]], autojump_clock: MockClock
) -> None:
    """Due at once or later, they have their turn."""

    def begin(now: float) -> None:
        watch.add(Watched("now", seen), now)
        watch.add(Watched("soon", seen), now + 1)

    watch.add(Watched("first", seen, begin), 1.0)
    await trio.sleep(5)

    assert seen == [("first", 1.0), ("now", 1.0), ("soon", 2.0)]


@pytest.mark.parametrize("again", [float("-inf"), 0.0, 1.0])
async def test_nobody_stops_the_others(
    again: float, watch: Watch, seen: list[tuple[str, float]], autojump_clock: MockClock
) -> None:
    """Who always wants to be looked at at once is, but everybody else goes on."""
    watch.add(Watched("greedy", seen, lambda now: again), 1.0)
    watch.add(Watched("modest", seen, lambda now: now + 0.01), 1.0)
    await trio.sleep(1.0995)

    assert seen.count(("modest", 1.05)) == 1
    assert [name for name, _ in seen].count("modest") == 10
    assert [name for name, _ in seen].count("greedy") == 100


async def test_greedy_one_leaves_the_processor_to_tasks(nursery: trio.Nursery) -> None:
    """In real time: between two looks others run."""
    watch, seen = Watch(), list[tuple[str, float]]()
    nursery.start_soon(watch.keep)
    watch.add(Watched("greedy", seen, lambda now: now), trio.current_time())
    with trio.fail_after(5):
        while len(seen) < 3:
            await trio.lowlevel.checkpoint()


async def test_many_adds_and_discards_take_no_room(
    watch: Watch, seen: list[tuple[str, float]], autojump_clock: MockClock
) -> None:
    """Connections come and go long before their time; what is left of them is bounded."""
    most = 0
    staying = [Watched("staying", seen) for _ in range(10)]
    for each in staying:
        watch.add(each, 1000.0)
    for _ in range(100_000):
        gone = Watched("gone", seen)
        watch.add(gone, 3600.0)
        watch.discard(gone)
        most = max(most, len(watch._queue))
    await trio.sleep(4000)

    assert most < 100
    assert seen == [("staying", 1000.0)] * 10
    assert (watch._queue, watch._times) == ([], {})


async def test_discarding_many_at_the_end_takes_no_room(
    watch: Watch, seen: list[tuple[str, float]], autojump_clock: MockClock
) -> None:
    """Ten thousand that go in any order leave nothing behind that counts."""
    many = [Watched("gone", seen) for _ in range(10_000)]
    for each in many:
        watch.add(each, 1.0)
    for each in sorted(many, key=id):
        watch.discard(each)

    assert watch._times == {}
    assert len(watch._queue) < 100


async def test_nothing_to_do(watch: Watch, autojump_clock: MockClock) -> None:
    """Then it sleeps: time stands still for it."""
    await wait_all_tasks_blocked()
    watch.add(gone := Watched("gone", []), 1.0)
    watch.discard(gone)
    await trio.sleep(10)
    sleeping = trio.lowlevel.current_statistics().seconds_to_next_deadline

    assert sleeping == float("inf")
