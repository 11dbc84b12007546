"""A broker that is killed at any moment loses nothing that it has acknowledged."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.mqtt.store.careful import Publisher, Subscriber, check, until
from tests.mqtt.store.serving import Served

ROUNDS = int(os.environ.get("STORE_KILLS", "8"))
"""A soak has 100."""
SEED = int(os.environ.get("STORE_SEED", "0")) or random.randrange(1 << 30)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """However a test ended."""
    yield
    for served in Served.running.copy():
        served.kill()


class Load:
    """Publishers and subscribers with sessions that stay."""

    def __init__(self) -> None:
        self.publishers = [
            Publisher("load/one", 1),
            Publisher("load/two", 2),
            Publisher("load/retained", 2, retain=True),
        ]
        self.always = Subscriber("load/#", "always there")
        self.sometimes = Subscriber("load/#", "sometimes there")
        self.rarely = Subscriber("load/+", "there at the end")

    @property
    def subscribers(self) -> list[Subscriber]:
        return [self.always, self.sometimes, self.rarely]

    async def subscribe(self, port: int) -> None:
        """All have subscribed before anything is published."""
        for subscriber in self.subscribers:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(subscriber.run, port)
                await until(partial(getattr, subscriber, "subscribed"))
                nursery.cancel_scope.cancel()

    async def run(self, port: int, *, sometimes: bool) -> None:
        """Publish until the server is gone."""
        async with trio.open_nursery() as nursery:
            for each in (*self.publishers, self.always):
                nursery.start_soon(each.run, port)
            if sometimes:
                nursery.start_soon(self.sometimes.run, port)

    async def finish(self, port: int) -> None:
        """All that is on its way comes to its end."""
        for publisher in self.publishers:
            publisher.most = publisher.published
        async with trio.open_nursery() as nursery:
            for each in (*self.publishers, *self.subscribers):
                nursery.start_soon(each.run, port)
            await until(lambda: all(map(self._has_all, self.subscribers)))
            nursery.cancel_scope.cancel()

    def _has_all(self, subscriber: Subscriber) -> bool:
        return all(
            publisher.idle and publisher.published in subscriber.received.get(publisher.topic, [0])
            for publisher in self.publishers
        )


@pytest.mark.parametrize("durability", ["process", "power"])
async def test_a_kill_loses_nothing_that_was_acknowledged(
    tmp_path: Path, durability: str, record_property: Callable[[str, object], None]
) -> None:
    """Rounds of kill -9 at random moments, under load with QoS 1 and 2."""
    dice = random.Random(SEED)  # moments, not secrets
    path = tmp_path / "mqtt.db"
    options = [
        *("--mqtt.store.durability", durability),
        *("--mqtt.queue-messages", "1000000", "--mqtt.queue-bytes", "1000000000"),
    ]
    load = Load()
    rounds = ROUNDS if durability == "process" else max(2, ROUNDS // 4)
    served = await Served.start(path, *options)
    await load.subscribe(served.port)
    for turn in range(rounds):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(load.run, served.port, sometimes=turn % 3 == 0))
            await trio.sleep(dice.uniform(0.05, 0.6))
            served.kill()
        for publisher in load.publishers:
            check_so_far(publisher, load.always)
        served = await Served.start(path, *options)
    with trio.fail_after(60 + rounds):
        await load.finish(served.port)
    assert await served.stop() == 0

    for publisher in load.publishers:
        assert len(publisher.acknowledged) > rounds
        for subscriber in load.subscribers:
            check(publisher, subscriber)
    told = {each.client_id: len(each.acknowledged) for each in load.publishers}
    record_property("kills", f"{rounds}, seed {SEED}, acknowledged {told}")


def check_so_far(publisher: Publisher, subscriber: Subscriber) -> None:
    """With QoS 2 nothing has come twice, and all in order."""
    received = subscriber.received.get(publisher.topic, [])
    if publisher.qos == 2:
        assert received == list(range(1, len(received) + 1)), (SEED, received[-30:])


async def test_a_kill_while_the_writer_stalls_loses_nothing(tmp_path: Path) -> None:
    """Before a commit or behind it, for longer than the publishers' windows."""
    dice = random.Random(SEED)  # as above
    path = tmp_path / "mqtt.db"
    options = ("--mqtt.queue-messages", "1000000", "--mqtt.queue-bytes", "1000000000")
    stalling = partial(Served.start, path, *options, module="tests.mqtt.store.stalling")
    load = Load()
    served = await Served.start(path, *options)
    await load.subscribe(served.port)
    served.kill()
    for turn in range(max(3, ROUNDS // 2)):
        served = await stalling()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(load.run, served.port, sometimes=turn % 3 == 0))
            await trio.sleep(dice.uniform(0.5, 3.0))
            served.kill()
        for publisher in load.publishers:
            check_so_far(publisher, load.always)
    served = await Served.start(path, *options)
    with trio.fail_after(60):
        await load.finish(served.port)
    assert await served.stop() == 0

    for publisher in load.publishers:
        assert publisher.acknowledged
        for subscriber in load.subscribers:
            check(publisher, subscriber)


async def test_a_kill_while_the_store_is_full_loses_nothing(tmp_path: Path) -> None:
    """What was acknowledged before it was full is there, and nothing that wasn't comes twice."""
    path = tmp_path / "mqtt.db"
    options = ("--mqtt.queue-messages", "1000000", "--mqtt.queue-bytes", "1000000000")
    full = (*options, "--mqtt.store.maximum-bytes", "1048576")
    load = Load()
    served = await Served.start(path, *full)
    await load.subscribe(served.port)
    for _ in range(3):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(load.run, served.port, sometimes=False))
            await trio.sleep(1.5)
            served.kill()
        served = await Served.start(path, *full)
    served.kill()
    assert path.stat().st_size <= 1_048_576
    served = await Served.start(path, *options)
    with trio.fail_after(60):
        await load.finish(served.port)
    assert await served.stop() == 0

    for publisher in load.publishers:
        assert publisher.acknowledged
        for subscriber in load.subscribers:
            check(publisher, subscriber)
