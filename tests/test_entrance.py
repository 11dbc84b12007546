"""The entrance: when the next peer may come in, who is refused then, and how long others wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from attrs import define, evolve, field
from trio.testing import MockClock, memory_stream_pair, wait_all_tasks_blocked

from speedo_trio.config import Limits
from speedo_trio.entrance import Entrance
from speedo_trio.events import Address, ConnectionRefused, Event, Refusal
from speedo_trio.house import House
from speedo_trio.io.wire import StreamWire
from tests.conftest import MakeHouse

PEER, OTHER = Address("tcp", "192.0.2.1", 40_000), Address("tcp", "192.0.2.2", 40_000)


@define
class FakeDoor:
    """As much of a door as the entrance sees."""

    proxied: bool


PROXIED: Any = FakeDoor(proxied=True)
PLAIN: Any = FakeDoor(proxied=False)


@define(eq=False)
class Place:
    """An entrance, its house, and what it tells."""

    make_house: MakeHouse
    events: list[Event] = field(factory=list)
    house: House = field(init=False)
    entrance: Entrance = field(init=False)

    def build(self, **limits: Any) -> Entrance:
        """Make it, with these limits."""
        self.house = self.make_house(self.events.append, limits=Limits(**limits))
        self.entrance = Entrance(self.house)
        return self.entrance

    def fill(self, count: int) -> None:
        """Have so many connections open."""
        links: dict[int, Any] = dict.fromkeys(range(count))
        self.house.links = links

    def reconfigure(self, **limits: Any) -> None:
        """Change limits."""
        config = self.house.config
        self.house.reconfigure(evolve(config, limits=evolve(config.limits, **limits)))

    @property
    def refusals(self) -> list[Refusal]:
        """What was told."""
        return [event.why for event in self.events if isinstance(event, ConnectionRefused)]


@pytest.fixture
async def place(make_house: MakeHouse) -> Place:
    """Where an entrance is to be built."""
    return Place(make_house)


# Open


async def test_open(place: Place) -> None:
    """As long as there is room and nobody has paused it."""
    entrance = place.build(connections=2)
    assert entrance.open()
    place.fill(1)
    assert entrance.open()
    place.fill(2)
    assert not entrance.open()
    assert entrance.full


async def test_open_to_refuse(place: Place) -> None:
    """Where peers don't wait, they are accepted and refused."""
    entrance = place.build(connections=2, rate=1.0, burst=1, when_full="refuse")
    place.fill(2)
    entrance.admit(PEER, None)
    entrance.admit(PEER, None)

    assert entrance.open()


@pytest.mark.parametrize("when_full", ["wait", "refuse"])
async def test_paused(when_full: str, place: Place) -> None:
    """Then nobody is accepted, not to be refused either."""
    entrance = place.build(when_full=when_full)
    entrance.paused = True

    assert not entrance.open()


async def test_open_as_fast_as_the_rate(place: Place, autojump_clock: MockClock) -> None:
    """It closes when the burst is used up, and opens for one when a token has come."""
    entrance = place.build(rate=2.0, burst=2)
    assert [entrance.admit(PEER, None) for _ in range(2) if entrance.open()] == [True, True]
    assert not entrance.open()

    await trio.sleep(0.5)
    assert entrance.open()
    assert entrance.admit(PEER, None)
    assert not entrance.open()
    assert place.events == []


# Waiting until it is


async def opens(place: Place, act: Callable[[], object], nursery: trio.Nursery) -> bool:
    """Whether who waits at the closed entrance goes on after `act`."""
    passed = trio.Event()

    async def wait() -> None:
        await place.entrance.opened()
        passed.set()

    nursery.start_soon(wait)
    await wait_all_tasks_blocked()
    assert not passed.is_set()
    act()
    await wait_all_tasks_blocked()
    return passed.is_set()


async def test_opened_at_once(place: Place) -> None:
    """When it is open, there is no waiting; nor when it was closed for good."""
    entrance = place.build(connections=1)
    with trio.fail_after(1):
        await entrance.opened()
    place.fill(1)
    entrance.close()
    with trio.fail_after(1):
        await entrance.opened()


async def test_opened_when_a_link_has_left(place: Place, nursery: trio.Nursery) -> None:
    """Not before there is room."""
    place.build(connections=2)
    place.fill(3)

    def leave(count: int) -> None:
        place.fill(count)
        place.house.stir()

    assert not await opens(place, lambda: leave(2), nursery)
    assert await opens(place, lambda: leave(1), nursery)


async def test_opened_when_it_is_resumed(place: Place, nursery: trio.Nursery) -> None:
    """A server's resume() stirs."""
    entrance = place.build(rate=1.0, burst=1)
    entrance.paused = True

    def resume() -> None:
        entrance.paused = False
        place.house.stir()

    assert await opens(place, resume, nursery)


async def test_opened_when_it_is_closed(place: Place, nursery: trio.Nursery) -> None:
    """Whoever waits must learn that there is nothing more to wait for."""
    entrance = place.build(connections=1)
    place.fill(1)

    assert await opens(place, entrance.close, nursery)


@pytest.mark.parametrize(
    "limits", [{"connections": 2}, {"when_full": "refuse"}], ids=["more room", "refuse"]
)
async def test_opened_by_other_limits(
    limits: dict[str, Any], place: Place, nursery: trio.Nursery
) -> None:
    """New settings hold for those who wait already."""
    place.build(connections=1)
    place.fill(1)

    assert await opens(place, lambda: place.reconfigure(**limits), nursery)


async def test_opened_by_another_rate(place: Place, nursery: trio.Nursery) -> None:
    """It need not wait for the token of the old one."""
    entrance = place.build(rate=0.001, burst=1)
    entrance.admit(PEER, None)

    assert await opens(place, lambda: place.reconfigure(rate=None), nursery)


@pytest.mark.parametrize("rate", [0.001, 0.3, 7.0, 1000.0, 1_000_000.0])
async def test_opened_when_a_token_has_come(
    rate: float, place: Place, autojump_clock: MockClock
) -> None:
    """After as long as the rate says, without trying again and again."""
    entrance = place.build(rate=rate, burst=1)
    questions = 0
    wait = place.house.guests.wait

    def count(now: float) -> float:
        nonlocal questions
        questions += 1
        return wait(now)

    place.house.guests.wait = count  # type: ignore[method-assign]  # to count
    for number in range(20):
        await entrance.opened()
        assert entrance.admit(PEER, None)

        assert trio.current_time() == pytest.approx(number / rate, rel=1e-6, abs=1e-12)
    assert questions <= 20 * 4


async def test_waiting_for_a_token_while_it_is_full(
    place: Place, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Both must come; the time alone doesn't open it, and costs nothing meanwhile."""
    entrance = place.build(connections=1, rate=1.0, burst=1)
    entrance.admit(PEER, None)
    place.fill(1)
    passed: list[float] = []

    async def wait() -> None:
        await entrance.opened()
        passed.append(trio.current_time())

    nursery.start_soon(wait)
    await trio.sleep(10)
    assert passed == []
    place.fill(0)
    place.house.stir()
    await trio.sleep(1)
    assert passed == [10.0]


# Admitting


async def test_admit(place: Place) -> None:
    """Peers without any limit but the number of connections."""
    entrance = place.build(connections=3)

    assert entrance.admit(PEER, None)
    assert entrance.admit(PEER, PLAIN)
    assert entrance.admit(Address("unix"), PROXIED)
    assert place.events == []


async def test_refused_because_it_is_full(place: Place) -> None:
    """It is told and counted, and uses up nothing else."""
    entrance = place.build(connections=2, rate=0.001, burst=1, connections_per_address=1)
    place.fill(2)
    assert not entrance.admit(PEER, None)
    assert place.events == [ConnectionRefused(peer=PEER, why=Refusal.FULL, limit=2)]
    assert place.house.refused == {Refusal.FULL: 1}

    place.fill(1)
    assert entrance.admit(PEER, None)


async def test_refused_for_the_rate(place: Place) -> None:
    """In a server that doesn't let them wait; the address has not lost anything by it."""
    entrance = place.build(rate=0.5, burst=1, when_full="refuse", connections_per_address=1)
    entrance.admit(OTHER, None)
    assert not entrance.admit(PEER, None)

    assert place.events == [ConnectionRefused(peer=PEER, why=Refusal.RATE, limit=0.5)]
    place.reconfigure(rate=None)
    assert entrance.admit(PEER, None)


@pytest.mark.parametrize("when_full", ["wait", "refuse"])
async def test_last_call_knows_no_rate(when_full: str, place: Place) -> None:
    """Those whom the kernel has queued when the server drains would be reset otherwise."""
    entrance = place.build(rate=0.5, burst=1, when_full=when_full)
    entrance.admit(OTHER, None)
    entrance.last_call = True

    assert entrance.open()
    assert entrance.admit(PEER, None)


@pytest.mark.parametrize("when_full", ["wait", "refuse"])
async def test_refused_for_its_address(when_full: str, place: Place) -> None:
    """Those that are too many in all may wait; one address must not hold up others by waiting."""
    entrance = place.build(connections_per_address=1, when_full=when_full)

    assert [entrance.admit(peer, None) for peer in (PEER, PEER, OTHER)] == [True, False, True]
    assert place.events == [ConnectionRefused(peer=PEER, why=Refusal.ADDRESS_FULL, limit=1)]


async def test_refused_for_the_rate_of_its_address(place: Place, autojump_clock: MockClock) -> None:
    """Until it has waited long enough."""
    entrance = place.build(rate_per_address=0.1, burst_per_address=2)
    assert [entrance.admit(PEER, PLAIN) for _ in range(3)] == [True, True, False]
    assert entrance.admit(OTHER, PLAIN)
    assert place.events == [ConnectionRefused(peer=PEER, why=Refusal.ADDRESS_RATE, limit=0.1)]

    await trio.sleep(10)
    assert entrance.admit(PEER, PLAIN)


async def test_flood_of_one_address_leaves_the_rate_to_others(place: Place) -> None:
    """Those who are refused for their address do not count among the new connections in all."""
    entrance = place.build(rate=0.001, burst=3, when_full="refuse", connections_per_address=1)

    assert [entrance.admit(PEER, None) for _ in range(100)] == [True] + [False] * 99
    assert entrance.admit(OTHER, None)
    assert entrance.admit(Address("unix"), None)
    assert set(place.refusals) == {Refusal.ADDRESS_FULL}
    assert not entrance.admit(Address("unix"), None)


async def test_peer_behind_a_proxy_is_not_its_proxy(place: Place) -> None:
    """Its address is not known yet: limits of an address are for later, those in all for now."""
    limits = {"connections_per_address": 1, "rate_per_address": 0.001, "burst_per_address": 1}
    entrance = place.build(connections=10, rate=0.001, burst=5, when_full="refuse", **limits)

    assert [entrance.admit(PEER, PROXIED) for _ in range(6)] == [True] * 5 + [False]
    assert place.refusals == [Refusal.RATE]
    assert place.house.admit(PEER)


# What else listeners ask


async def test_accepted_is_served(place: Place) -> None:
    """By a link of its own, in the server's nursery."""
    entrance = place.build()
    ours, theirs = memory_stream_pair()
    listener: Any = type("", (), {"door": None, "outlives": False})
    entrance.accepted(StreamWire(theirs, 10), listener)
    assert len(place.house.links) == 1
    await ours.aclose()
    with trio.fail_after(5):
        while place.house.links:
            await place.house.stirred()

    assert place.house.connections == 1


async def test_observe_is_the_houses(place: Place) -> None:
    """An event of a listener reaches the observer."""
    event = ConnectionRefused(peer=PEER, why=Refusal.FULL, limit=1)
    place.build().observe(event)

    assert place.events == [event]
