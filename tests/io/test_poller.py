"""The poller: reads in rounds, results and errors to their tasks, cancels that lose nothing."""

from __future__ import annotations

import contextvars
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from speedo_trio.io.poller import Poller


class Pair:
    """A socket that a poller reads, and the one that speaks to it."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)

    def read(self) -> bytes:
        """What has come."""
        return self.near.recv(100)


@pytest.fixture
async def poller(nursery: trio.Nursery) -> AsyncIterator[Poller]:
    """One that runs."""
    poller = Poller()
    nursery.start_soon(poller.run)
    yield poller
    nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        await trio.lowlevel.checkpoint()
    poller.close()


@pytest.fixture
def make_pair() -> Iterator[Callable[[], Pair]]:
    """Makes pairs, and closes them in the end."""
    pairs: list[Pair] = []

    def make() -> Pair:
        pairs.append(Pair())
        return pairs[-1]

    yield make
    for pair in pairs:
        pair.near.close()
        pair.far.close()


MakePair = Callable[[], Pair]


async def test_until_a_step_gives_something(poller: Poller, make_pair: MakePair) -> None:
    """None goes on; each step finds something to read."""
    pair, seen = make_pair(), []

    def step() -> int | None:
        seen.append(pair.read())
        return len(seen) if len(seen) == 3 else None

    async with trio.open_nursery() as nursery:

        async def speak() -> None:
            for word in (b"one", b"two", b"three"):
                pair.far.send(word)
                await wait_all_tasks_blocked()

        nursery.start_soon(speak)
        assert await poller.until(pair.near, step) == 3
    assert seen == [b"one", b"two", b"three"]


async def test_what_a_step_raises_is_raised_in_its_task(
    poller: Poller, make_pair: MakePair
) -> None:
    """The poller and others go on."""
    bad, good = make_pair(), make_pair()

    def fail() -> int:
        raise KeyError("wanted")

    async with trio.open_nursery() as nursery:
        bad.far.send(b"x")
        with pytest.raises(KeyError, match="wanted"):
            await poller.until(bad.near, fail)
        nursery.start_soon(poller.until, good.near, good.read)
        good.far.send(b"x")


async def test_again_after_a_result(poller: Poller, make_pair: MakePair) -> None:
    """A socket can be waited for as often as one likes, after each kind of end."""
    pair = make_pair()
    for word in (b"one", b"two"):
        pair.far.send(word)
        assert await poller.until(pair.near, pair.read) == word
        with trio.move_on_after(0) as scope:
            await poller.until(pair.near, pair.read)
        assert scope.cancelled_caught


async def test_the_end_of_a_stream_can_be_read(poller: Poller, make_pair: MakePair) -> None:
    """And a reset, too."""
    pair = make_pair()
    pair.far.close()
    assert await poller.until(pair.near, pair.read) == b""


async def test_a_step_has_its_tasks_context(poller: Poller, make_pair: MakePair) -> None:
    """Context variables are those of who waits."""
    pair = make_pair()
    name = contextvars.ContextVar("name", default="poller")
    name.set("reader")
    pair.far.send(b"x")
    assert await poller.until(pair.near, name.get) == "reader"


async def test_a_cancel_before_a_read_loses_nothing(poller: Poller, make_pair: MakePair) -> None:
    """What comes then is there for the next."""
    pair = make_pair()
    with trio.CancelScope() as scope:
        scope.cancel()
        await poller.until(pair.near, pair.read)
    assert scope.cancelled_caught
    pair.far.send(b"x")
    assert await poller.until(pair.near, pair.read) == b"x"


@pytest.mark.parametrize("gives", [b"x", None])
async def test_cancelled_in_its_step(
    poller: Poller, make_pair: MakePair, gives: bytes | None
) -> None:
    """The result is not lost; without one the cancel is delivered."""
    pair, scope, got = make_pair(), trio.CancelScope(), []

    def step() -> bytes | None:
        scope.cancel()
        pair.read()
        return gives

    pair.far.send(b"x")
    with scope:
        got.append(await poller.until(pair.near, step))
        await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert got == ([] if gives is None else [b"x"])


async def test_an_error_after_a_cancel_in_the_step(poller: Poller, make_pair: MakePair) -> None:
    """It is raised: it tells more than the cancel."""
    pair, scope = make_pair(), trio.CancelScope()

    def step() -> bytes:
        scope.cancel()
        raise KeyError("wanted")

    pair.far.send(b"x")
    with scope, pytest.raises(KeyError):
        await poller.until(pair.near, step)


async def test_a_reader_that_another_ends_is_not_read(poller: Poller, make_pair: MakePair) -> None:
    """Though it was found to have something in the same round."""
    pairs = [make_pair(), make_pair()]
    scopes = [trio.CancelScope(), trio.CancelScope()]
    read: list[int] = []

    async def wait(number: int) -> None:
        def step() -> int:
            read.append(number)
            scopes[1 - number].cancel()
            return number

        with scopes[number]:
            await poller.until(pairs[number].near, step)

    async with trio.open_nursery() as nursery:
        for number in range(2):
            nursery.start_soon(wait, number)
        await wait_all_tasks_blocked()
        for pair in pairs:
            pair.far.send(b"x")
    assert len(read) == 1


async def test_one_socket_does_not_wait_twice(poller: Poller, make_pair: MakePair) -> None:
    """The second is told; the first goes on."""
    pair = make_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(poller.until, pair.near, pair.read)
        await wait_all_tasks_blocked()
        with pytest.raises(KeyError):
            await poller.until(pair.near, pair.read)
        pair.far.send(b"x")


# After the round


async def test_after_the_round(poller: Poller, make_pair: MakePair) -> None:
    """Once all have read, in the order of asking."""
    pairs = [make_pair() for _ in range(3)]
    done: list[str] = []

    def step() -> bool:
        done.append("read")
        poller.after(lambda: done.append("after"), done.append)  # type: ignore[arg-type]  # unused
        return True

    async with trio.open_nursery() as nursery:
        for pair in pairs:
            nursery.start_soon(poller.until, pair.near, step)
        await wait_all_tasks_blocked()
        for pair in pairs:
            pair.far.send(b"x")
    assert done == ["read"] * 3 + ["after"] * 3


async def test_outside_of_a_round_it_is_called_at_once(poller: Poller) -> None:
    """Nothing would end that turn."""
    done: list[str] = []
    poller.after(lambda: done.append("after"), print)
    assert done == ["after"]


async def test_who_asked_is_blamed(poller: Poller) -> None:
    """Others' calls are made all the same."""
    blamed: list[BaseException] = []
    done: list[str] = []

    def fail() -> None:
        poller.after(lambda: done.append("later"), blamed.append)
        raise KeyError("wanted")

    poller.after(fail, blamed.append)
    assert [type(each) for each in blamed] == [KeyError]
    assert done == ["later"]
