"""The turnstile: a little goes through at a time, in order, and all others run in between."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from speedo_trio.io.turnstile import Turnstile


class Runs(trio.abc.Instrument):
    """Counts how often Trio has looked for what has come."""

    def __init__(self) -> None:
        self.looks = 0

    def before_io_wait(self, timeout: float) -> None:
        self.looks += 1


async def going(turnstile: Turnstile, costs: list[int]) -> list[tuple[int, int]]:
    """Who went through in which of Trio's runs, for as many tasks that come at once."""
    runs, gone = Runs(), []
    trio.lowlevel.add_instrument(runs)

    async def go(number: int, cost: int) -> None:
        await turnstile.enter(cost)
        gone.append((runs.looks, number))

    async with trio.open_nursery() as nursery:
        for number, cost in enumerate(costs):
            nursery.start_soon(go, number, cost)
    trio.lowlevel.remove_instrument(runs)
    return gone


def by_run(gone: list[tuple[int, int]]) -> list[list[int]]:
    """The numbers of those who went through, run by run."""
    return [[number for at, number in gone if at == run] for run in sorted({at for at, _ in gone})]


async def test_few_do_not_wait() -> None:
    """Up to the sum, all go through in one run of Trio's, without a checkpoint."""
    turnstile = Turnstile(3)
    assert [turnstile.free(1) for _ in range(2)] == [True, True]
    with trio.CancelScope() as scope:
        scope.cancel()
        await turnstile.enter()

    assert not scope.cancelled_caught


async def test_many_go_through_a_few_at_a_time() -> None:
    """Three at most in each run, and nobody twice or never."""
    runs = by_run(await going(Turnstile(3), [1] * 20))

    assert max(map(len, runs)) == 3
    assert sorted(number for run in runs for number in run) == list(range(20))


async def test_in_the_order_of_arrival() -> None:
    """Who waits is not overtaken."""
    turnstile = Turnstile(1)
    came: list[int] = []
    gone: list[int] = []

    async def go(number: int) -> None:
        came.append(number)
        await turnstile.enter()
        gone.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(9):
            nursery.start_soon(go, number)

    assert came == gone


async def test_costs_are_summed() -> None:
    """Dear ones go through alone; the last may be dearer than what is left."""
    runs = by_run(await going(Turnstile(10), [6, 6, 6, 6, 100, 6]))

    assert [len(run) for run in runs] in ([2, 2, 1, 1], [2, 2, 2], [1, 2, 2, 1], [2, 1, 2, 1])


async def test_free_again_after_a_run() -> None:
    """What went through is forgotten as soon as all others have run."""
    turnstile = Turnstile(1)
    for _ in range(3):
        assert turnstile.free(1)
        assert not turnstile.free(1)
        await wait_all_tasks_blocked()


@pytest.mark.parametrize("most", [1, 2, 3, 10])
async def test_nobody_waits_for_ever(most: int) -> None:
    """However many came before and whatever that cost."""
    turnstile = Turnstile(most)
    with trio.fail_after(5):
        for count in range(1, 30):
            gone = await going(turnstile, [1 + number % 4 for number in range(count)])
            assert len(gone) == count


async def test_rests_when_nobody_comes() -> None:
    """A turnstile that nobody uses makes no work."""
    turnstile, runs = Turnstile(1), Runs()
    await going(turnstile, [1] * 5)
    await wait_all_tasks_blocked()
    trio.lowlevel.add_instrument(runs)
    await trio.sleep(0.05)
    trio.lowlevel.remove_instrument(runs)

    assert runs.looks <= 3


async def test_cancelled_while_waiting(nursery: trio.Nursery) -> None:
    """The place is given away: others don't wait for it."""
    turnstile = Turnstile(1)
    assert turnstile.free(1)
    with trio.move_on_after(0) as scope:
        await turnstile.turn(1_000_000)
    assert scope.cancelled_caught

    with trio.fail_after(1):
        await turnstile.enter()
        await turnstile.enter()
