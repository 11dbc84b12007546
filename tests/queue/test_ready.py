"""Ready lanes: short before long, none for ever, and one that lingers is woken."""

from __future__ import annotations

import threading
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.queue.lane import Lane, Tally
from speedo_trio.queue.ready import SHORT, ReadyLanes


class Nobody:
    """An owner and an outlet that do nothing."""

    def __init__(self) -> None:
        self.replies: list[bytes] = []
        self.encode: Callable[[bytes], bytes] | None = None

    def flush(self) -> bool:
        return True

    def gate(self) -> bool:
        return False

    def message_failed(self, message: object, error: BaseException) -> None:
        pass

    def progressed(self) -> None:
        pass


def lane(messages: int = 1) -> Lane[int]:
    """A lane with so many messages."""
    made: Lane[int] = Lane(Nobody(), Nobody(), 10_000, Tally(10_000))
    made.put(iter(range(messages)))
    return made


def taken(ready: ReadyLanes[int]) -> list[Lane[int]]:
    """All of them, in the order of their being taken."""
    found = []
    while (next_one := ready.take()) is not None:
        found.append(next_one)
    return found


def test_empty() -> None:
    """Nothing to take, nobody idle."""
    ready: ReadyLanes[int] = ReadyLanes()

    assert ready.take() is None
    assert (len(ready), ready.short, ready.idle) == (0, False, False)


def test_each_rank_is_in_order() -> None:
    """First come, first served."""
    ready: ReadyLanes[int] = ReadyLanes()
    lanes = [lane() for _ in range(10)]
    for each in lanes:
        ready.put(each)

    assert len(ready) == 10
    assert taken(ready) == lanes


def test_short_go_before_long() -> None:
    """Whichever came first; what had a turn goes behind both."""
    ready: ReadyLanes[int] = ReadyLanes()
    long, short, again = lane(SHORT + 1), lane(SHORT), lane(1)
    ready.put_again(again)
    ready.put(long)
    ready.put(short)

    assert ready.short
    assert taken(ready) == [short, again, long]


def test_long_is_never_starved() -> None:
    """After some short ones it is its turn."""
    ready: ReadyLanes[int] = ReadyLanes()
    long = lane(SHORT + 1)
    ready.put(long)
    for rounds in range(1000):
        ready.put(lane())
        if ready.take() is long:
            assert 0 < rounds < 100
            return
    raise RuntimeError("the long lane was never taken")


@given(st.lists(st.sampled_from(["short", "long", "again", "take"]), max_size=60))
def test_each_lane_is_taken_once(steps: list[str]) -> None:
    """In whatever order they come and go."""
    ready: ReadyLanes[int] = ReadyLanes()
    put: list[Lane[int]] = []
    found: list[Lane[int]] = []
    for step in steps:
        if step == "take":
            if (next_one := ready.take()) is not None:
                found.append(next_one)
        else:
            put.append(lane(SHORT + 1 if step == "long" else 1))
            (ready.put_again if step == "again" else ready.put)(put[-1])
        assert len(ready) == len(put) - len(found)

    found += taken(ready)
    assert sorted(map(id, found)) == sorted(map(id, put))


def test_linger_gives_what_is_there() -> None:
    """Without waiting."""
    ready: ReadyLanes[int] = ReadyLanes()
    one = lane()
    ready.put(one)

    assert ready.linger(60) is one
    assert not ready.idle


def test_linger_ends() -> None:
    """With nothing, after its time."""
    ready: ReadyLanes[int] = ReadyLanes()

    assert ready.linger(0.01) is None
    assert ready.linger(0) is None
    assert not ready.idle


def test_close_ends_all_lingering() -> None:
    """Now and later."""
    ready: ReadyLanes[int] = ReadyLanes()
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(ready.linger(60)))
    thread.start()
    while not ready.idle:
        pass
    ready.close()
    thread.join(10)

    assert found == [None]
    assert ready.linger(60) is None


def test_one_lingers() -> None:
    """A second one is sent away."""
    ready: ReadyLanes[int] = ReadyLanes()
    thread = threading.Thread(target=ready.linger, args=(60,))
    thread.start()
    while not ready.idle:
        pass

    assert ready.linger(60) is None
    ready.close()
    thread.join(10)


def test_no_lane_is_lost_between_threads() -> None:
    """Several take, one at most lingers, and all that was put is taken once."""
    ready: ReadyLanes[int] = ReadyLanes()
    total, found, over = 3000, list[Lane[int]](), threading.Event()

    def work() -> None:
        while not over.is_set():
            if (next_one := ready.take() or ready.linger(0.001)) is not None:
                found.append(next_one)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    lanes = [lane() for _ in range(total)]
    for each in lanes:
        ready.put(each)
    give_up = threading.Event()
    alarm = threading.Timer(20, give_up.set)
    alarm.start()
    while len(found) < total and not give_up.is_set():
        pass
    alarm.cancel()
    over.set()
    ready.close()
    for thread in threads:
        thread.join()

    assert sorted(map(id, found)) == sorted(map(id, lanes))
