"""The caretaker: when it looks at connections, and that it keeps none that has gone."""

from __future__ import annotations

import gc
import weakref
from typing import cast

import pytest
import trio
import trio.testing

from speedo_trio import Broker
from speedo_trio.mqtt import MQTT
from speedo_trio.mqtt.caretaker import Caretaker
from speedo_trio.mqtt.handler import MQTTHandler
from speedo_trio.mqtt.state.sessions import Sessions
from speedo_trio.testing import serve_in_memory
from tests.mqtt.wired import Wired


class Nobody:
    """Sessions of which none is ever due."""

    deadline = None

    def due(self, now: float) -> int:
        return 0


class Watched:
    """A connection that notes when it was looked at."""

    def __init__(self, *again: float) -> None:
        self.looks: list[float] = []
        self._again = [*again]

    def look(self, now: float) -> float | None:
        self.looks.append(now)
        return self._again.pop(0) if self._again else None

    def proceed(self, now: float) -> bool:
        return False


@pytest.fixture
def caretaker(nursery: trio.Nursery) -> Caretaker:
    """One that is at work."""
    sessions = cast("Sessions", Nobody())
    caretaker = Caretaker(sessions, trio.current_time, lambda: None)
    nursery.start_soon(caretaker.run)
    return caretaker


async def test_it_looks_when_asked_to(
    caretaker: Caretaker, autojump_clock: trio.testing.MockClock
) -> None:
    """At the deadline, and then at those that the looks give."""
    watched = Watched(20, 25)
    caretaker.watch(watched, 10)
    await trio.sleep(100)

    assert watched.looks == [10, 20, 25]


async def test_a_later_deadline_takes_the_place_of_an_earlier_one(
    caretaker: Caretaker, autojump_clock: trio.testing.MockClock
) -> None:
    """So that a connection has one at a time."""
    watched, other = Watched(), Watched()
    caretaker.watch(watched, 10)
    caretaker.watch(other, 15)
    caretaker.watch(watched, 90)
    await trio.sleep(100)

    assert (watched.looks, other.looks) == ([90], [15])


async def test_who_has_left_is_not_looked_at(
    caretaker: Caretaker, autojump_clock: trio.testing.MockClock
) -> None:
    """Whoever never came may leave too."""
    watched = Watched()
    caretaker.watch(watched, 10)
    caretaker.leave(watched)
    caretaker.leave(Watched())
    await trio.sleep(100)

    assert watched.looks == []


async def test_those_who_have_left_are_forgotten(
    caretaker: Caretaker, autojump_clock: trio.testing.MockClock
) -> None:
    """Though their deadlines are days away, and others stay."""
    stays = Watched()
    caretaker.watch(stays, 50)
    for _ in range(10_000):
        watched = Watched()
        caretaker.watch(watched, 100_000)
        caretaker.leave(watched)
    assert len(caretaker._looks) < 200
    await trio.sleep(100)

    assert stays.looks == [50]


async def test_connections_that_have_closed_are_not_kept() -> None:
    """However long their keep alive is: each would hold its handler for 27 hours."""
    mqtt = MQTT(Broker(), sys_interval=0)
    async with serve_in_memory(mqtt, observer=None) as server:
        for number in range(300):
            async with server.connect() as stream:
                await Wired(stream).connect(f"c{number}", keep_alive=65_535)
        while server.server.stats().connections:
            await trio.testing.wait_all_tasks_blocked()
        handlers = weakref.WeakSet(
            each for each in gc.get_objects() if isinstance(each, MQTTHandler)
        )
        gc.collect()
        looks = len(mqtt._service.caretaker._looks)

    assert looks < 150
    assert len(handlers) < 150
