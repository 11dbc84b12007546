"""The house: what its links add up to, whom it refuses, and what it tells."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import trio
from attrs import asdict, define, evolve
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from speedo_trio.config import Config, Limits, Timeouts, Workers
from speedo_trio.events import Address, Cause, ConnectionRefused, Event, Refusal
from speedo_trio.house import House, Totals
from tests.conftest import MakeHouse, house_in

PEER = Address("tcp", "192.0.2.1", 40_000)


@define(eq=False)
class FakeConnection:
    """As much of a connection as the house sees."""

    id: int
    peer: Address = PEER
    sent: int = 0


@define(eq=False)
class FakeLane:
    """As much of a lane as the house sees."""

    executed: int = 0


class FakeLink:
    """A link that has read `received` bytes, of which `held` wait."""

    def __init__(self, house: House, when: float | None = None, *, counted: bool = False) -> None:
        self.connection: Any = FakeConnection(house.number())
        self.lane: Any = FakeLane()
        self.received = 0
        self.held = 0
        self.cut = False
        self.began = trio.current_time()
        self.counted = counted
        self.draining = self.fresh = self.at_door = False
        self.dropped_messages = self.dropped_bytes = 0
        self.when = when
        self.looks: list[float] = []

    def look(self, now: float) -> float | None:
        self.looks.append(now)
        return self.when

    def drain(self) -> None: ...

    def cut_off(self) -> None: ...

    def read(self, house: House, size: int) -> None:
        """Read, as a link does."""
        self.received += size
        self.held += size
        house.held += size


# Coming and going


async def test_links_have_numbers(make_house: MakeHouse) -> None:
    """From 1 on, none twice."""
    house = make_house()

    assert [house.number() for _ in range(3)] == [1, 2, 3]
    assert house.connections == 3


async def test_link_that_enters_and_leaves(make_house: MakeHouse) -> None:
    """It is found by its number while it is there; what it did is kept."""
    house = make_house()
    link, other = FakeLink(house), FakeLink(house)
    for each in (link, other):
        house.enter(each)
    assert house.links == {1: link, 2: other}

    link.received, link.connection.sent, link.lane.executed = 1, 2, 3
    link.dropped_messages, link.dropped_bytes, link.cut = 4, 5, True
    house.leave(link, Cause.GRACE_OVER)

    assert house.links == {2: other}
    assert house.closed == {Cause.GRACE_OVER: 1}
    assert asdict(house.ended) == asdict(Totals(1, 2, 3, 4, 5, 1))


async def test_totals_add_up(make_house: MakeHouse) -> None:
    """Over all that have ended."""
    house = make_house()
    for number in range(3):
        link = FakeLink(house)
        house.enter(link)
        link.received = number
        house.leave(link, Cause.EOF if number else Cause.LOST)

    assert house.ended.received == 3
    assert house.closed == {Cause.LOST: 1, Cause.EOF: 2}


async def test_link_is_watched_when_it_asks_for_it(make_house: MakeHouse) -> None:
    """It is asked once, when it comes; a server without timeouts has nothing to watch."""
    house = make_house()
    timeless, timed = FakeLink(house), FakeLink(house, when=1e9)
    for each in (timeless, timed):
        house.enter(each)
        assert each.looks == [each.began]

    assert house.watch._times == {timed: 1e9}
    house.leave(timed, Cause.EOF)
    assert house.watch._times == {}


async def test_only_counted_links_give_their_place_back(make_house: MakeHouse) -> None:
    """One of an application's stream, or one that was refused, had none."""
    house = make_house(limits=Limits(connections_per_address=1))
    assert house.admit(PEER)
    counted, uncounted = FakeLink(house, counted=True), FakeLink(house)
    for each in (counted, uncounted):
        house.enter(each)
    house.leave(uncounted, Cause.EOF)
    assert not house.admit(PEER)

    house.leave(counted, Cause.EOF)
    assert house.admit(PEER)


async def test_those_who_wait_look_again(make_house: MakeHouse, nursery: trio.Nursery) -> None:
    """All of them, when a link leaves or somebody stirs."""
    house, stirred = make_house(), 0

    async def wait() -> None:
        nonlocal stirred
        await house.stirred()
        stirred += 1

    link = FakeLink(house)
    house.enter(link)
    for _ in range(3):
        nursery.start_soon(wait)
    await wait_all_tasks_blocked()
    house.leave(link, Cause.EOF)
    await wait_all_tasks_blocked()
    assert stirred == 3

    nursery.start_soon(wait)
    await wait_all_tasks_blocked()
    house.stir()
    await wait_all_tasks_blocked()
    assert stirred == 4


# Refusing


@pytest.mark.parametrize(
    ("why", "limit"),
    [
        (Refusal.FULL, 7),
        (Refusal.ADDRESS_FULL, 6),
        (Refusal.RATE, 5.5),
        (Refusal.ADDRESS_RATE, 4.5),
    ],
)
async def test_refusal_is_counted_and_told(
    why: Refusal, limit: float, make_house: MakeHouse
) -> None:
    """Once, with the limit that was met."""
    events: list[Event] = []
    limits = Limits(connections=7, connections_per_address=6, rate=5.5, rate_per_address=4.5)
    house = make_house(events.append, limits=limits)
    house.refuse(PEER, why)

    assert events == [ConnectionRefused(peer=PEER, why=why, limit=limit)]
    assert house.refused == {why: 1}


async def test_every_refusal_has_its_limit(make_house: MakeHouse) -> None:
    """A new one must name a setting."""
    house = make_house(lambda event: None)
    for why in Refusal:
        house.refuse(PEER, why)

    assert house.refused.total() == len(Refusal)


async def test_admit(make_house: MakeHouse) -> None:
    """A peer whose proxy has told who it is."""
    events: list[Event] = []
    house = make_house(events.append, limits=Limits(connections_per_address=2))

    assert [house.admit(PEER) for _ in range(3)] == [True, True, False]
    assert [type(event) for event in events] == [ConnectionRefused]


# Telling


async def test_nobody_to_tell(make_house: MakeHouse) -> None:
    """Counts are kept all the same."""
    house = make_house(None)
    house.refuse(PEER, Refusal.FULL)
    house.observe(ConnectionRefused(peer=PEER, why=Refusal.FULL, limit=1))

    assert house.refused == {Refusal.FULL: 1}


async def test_observer_that_raises(
    make_house: MakeHouse, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged with its traceback; the event counts as told."""

    def observe(event: Event) -> None:
        raise ValueError("a bad observer")

    make_house(observe).refuse(PEER, Refusal.FULL)

    (record,) = caplog.records
    assert (record.name, record.levelno) == ("speedo_trio", logging.ERROR)
    assert "the observer raised on ConnectionRefused(" in record.getMessage()
    assert "a bad observer" in caplog.text


async def test_interrupt_in_the_observer(make_house: MakeHouse) -> None:
    """Control-C is not the observer's to raise, and passes."""

    def observe(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_house(observe).refuse(PEER, Refusal.FULL)


# Reconfiguring


async def test_reconfigure(make_house: MakeHouse, nursery: trio.Nursery) -> None:
    """What can change does, for those who ask from now on; the rest stays."""
    house = make_house(limits=Limits(backlog=5), workers=Workers(count=3))
    told = trio.Event()

    async def wait() -> None:
        await house.stirred()
        told.set()

    nursery.start_soon(wait)
    await wait_all_tasks_blocked()
    limits = Limits(backlog=6, messages=10, bytes=20, connections_per_address=1)
    timeouts = Timeouts(idle=1)
    house.reconfigure(Config(limits=limits, timeouts=timeouts, workers=Workers(count=4)))
    await wait_all_tasks_blocked()

    assert house.config == Config(
        limits=evolve(limits, backlog=5), timeouts=timeouts, workers=Workers(count=3)
    )
    assert (house.tally.limit, house.most_held) == (10, 20)
    assert [house.admit(PEER) for _ in range(2)] == [True, False]
    assert told.is_set()


# The bytes of all links


async def test_full(make_house: MakeHouse) -> None:
    """It is when as many bytes wait as may, in whichever links."""
    house = make_house(limits=Limits(bytes=100))
    links = [FakeLink(house) for _ in range(4)]
    for link in links:
        house.enter(link)
        link.read(house, 24)
    assert not house.full()

    links[0].read(house, 4)
    assert house.full()


async def test_one_count_serves_for_all_links(make_house: MakeHouse) -> None:
    """A full house answers once for each of them before it counts again."""
    house = make_house(limits=Limits(bytes=100))
    links = [FakeLink(house) for _ in range(3)]
    for link in links:
        house.enter(link)
        link.read(house, 50)
    assert house.full()
    for link in links:
        link.held = 0

    assert [house.full() for _ in range(5)] == [True, True, True, False, False]
    assert house.held == 0


async def test_full_house_that_all_leave(make_house: MakeHouse) -> None:
    """Those who come next are not held up for long."""
    house = make_house(limits=Limits(bytes=100))
    links = [FakeLink(house) for _ in range(3)]
    for link in links:
        house.enter(link)
        link.read(house, 50)
    assert house.full()
    for link in links:
        house.leave(link, Cause.EOF)

    assert [house.full() for _ in range(4)] == [True, True, True, False]
    assert house.held == 0


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["enter", "read", "read", "read", "execute", "leave"]),
        st.integers(0, 9),
        st.integers(1, 50),
    ),
    max_size=120,
)


@given(_STEPS, st.integers(1, 200))
def test_held_is_never_less_than_the_truth(steps: list[tuple[str, int, int]], most: int) -> None:
    """And who asks once `held` has reached the limit is never told that there is room in vain."""

    async def play() -> None:
        async with trio.open_nursery() as nursery:
            house = house_in(nursery, limits=Limits(bytes=most))
            links: list[FakeLink] = []
            for step, which, size in steps:
                if step == "enter" or not links:
                    links.append(FakeLink(house))
                    house.enter(links[-1])
                    continue
                link = links[which % len(links)]
                if step == "leave":
                    links.remove(link)
                    house.leave(link, Cause.EOF)
                elif step == "execute":
                    link.held = 0
                else:
                    link.read(house, size)
                    truth = sum(each.held for each in links)
                    told_full = house.held >= house.most_held and house.full()
                    assert told_full or truth < most
                assert house.held >= sum(each.held for each in links)
            nursery.cancel_scope.cancel()

    trio.run(play)
