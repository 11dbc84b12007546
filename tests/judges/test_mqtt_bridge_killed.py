"""A bridge of a broker that is killed, with a store: judged by mosquitto as the other broker."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.judges.mosquitto import MosquittoBroker
from tests.mqtt.store.careful import Careful, Publisher, Subscriber, check, until
from tests.mqtt.store.serving import Served
from tests.outside import need

need("mosquitto")

ROUNDS = int(os.environ.get("STORE_KILLS", "8"))
SEED = int(os.environ.get("STORE_SEED", "0")) or random.randrange(1 << 30)
MOST = ("--mqtt.queue-messages", "1000000", "--mqtt.queue-bytes", "1000000000")
BRIDGE = """
[mqtt.bridges.killed]
url = "{url}"
version = "{version}"
reconnect_min = 0.05
reconnect_max = 0.2
topics = [
    {{filter = "out/#", direction = "out", qos = 2}},
    {{filter = "in/#", direction = "in", qos = 2}},
]
"""

each_version = pytest.mark.parametrize("version", ["3.1.1", "5.0"])


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[MosquittoBroker]:
    """mosquitto, which keeps its sessions when it is ended in good order.

    With its own bounds to what is in flight it changes the order of what waits.
    """
    settings = (
        *("persistence true", f"persistence_location {tmp_path}/"),
        *("max_queued_messages 0", "max_inflight_messages 0"),
    )
    with MosquittoBroker(tmp_path, *settings) as broker:
        yield broker
    for served in Served.running.copy():
        served.kill()


class Ours:
    """Our broker, with a bridge to mosquitto and a store."""

    def __init__(self, folder: Path, theirs: MosquittoBroker, version: str) -> None:
        self._store = folder / "mqtt.db"
        self._config = folder / "ours.toml"
        self._config.write_text(BRIDGE.format(url=theirs.url, version=version))
        self._served: Served | None = None

    async def start(self) -> None:
        self._served = await Served.start(self._store, "--config", str(self._config), *MOST)

    @property
    def port(self) -> int:
        assert self._served is not None
        return self._served.port

    def kill(self) -> None:
        assert self._served is not None
        self._served.kill()


async def introduce(port: int, subscriber: Subscriber) -> None:
    """Let one subscribe, for its session to be there."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(subscriber.run, port)
        await until(partial(getattr, subscriber, "subscribed"))
        nursery.cancel_scope.cancel()


async def publish(port: int, publishers: list[Publisher], seconds: float) -> None:
    """Have something published for a while, or until the broker is gone."""
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for each in publishers:
                nursery.start_soon(each.run, port)


async def finish(
    sides: list[tuple[int, Careful]], done: list[tuple[Publisher, Subscriber]]
) -> None:
    """All that is on its way comes to its end."""
    for publisher, _ in done:
        publisher.most = publisher.published
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for port, each in sides:
                nursery.start_soon(each.run, port)
            await until(lambda: all(_has_all(*each) for each in done))
            nursery.cancel_scope.cancel()
    for publisher, _ in done:
        publisher.most = None


def _has_all(publisher: Publisher, subscriber: Subscriber) -> bool:
    came = subscriber.received.get(publisher.topic, [])
    return publisher.idle and subscriber.idle and publisher.published in came


@each_version
async def test_what_waits_for_the_other_outlasts_a_kill(
    tmp_path: Path, theirs: MosquittoBroker, version: str
) -> None:
    """The other broker is away; ours is killed twice meanwhile; then all comes, in order."""
    ours = Ours(tmp_path, theirs, version)
    publishers = [Publisher("out/one", 1), Publisher("out/two", 2)]
    subscriber = Subscriber("out/#")

    def sides() -> list[tuple[int, Careful]]:
        return [(theirs.port(), subscriber), *((ours.port, each) for each in publishers)]

    await introduce(theirs.port(), subscriber)
    await ours.start()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(subscriber.run, theirs.port())
        await publish(ours.port, publishers, 0.5)
        nursery.cancel_scope.cancel()
    done = [(each, subscriber) for each in publishers]
    # Nothing is on its way from there: mosquitto 2.0 sends some of that twice when it is started.
    await finish(sides(), done)
    theirs.stop(signal.SIGTERM)
    for seconds in (0.5, 0.7):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish, ours.port, publishers, 9.0)
            await trio.sleep(seconds)
            ours.kill()
        await ours.start()
    theirs.again()
    await finish(sides(), done)
    ours.kill()

    for publisher in publishers:
        assert len(publisher.acknowledged) > 100
        check(publisher, subscriber)


@each_version
async def test_kills_at_any_moment(tmp_path: Path, theirs: MosquittoBroker, version: str) -> None:
    """Rounds of kill -9: nothing is lost either way, and with QoS 2 nothing comes twice.

    The other broker stays: mosquitto 2.0 sends some of QoS 2 twice when it is started again itself.
    """
    dice = random.Random(SEED)  # moments, not secrets
    ours = Ours(tmp_path, theirs, version)
    out, into = Publisher("out/two", 2), [Publisher("in/one", 1), Publisher("in/two", 2)]
    there, here = Subscriber("out/#"), Subscriber("in/#", "subscriber here")
    await introduce(theirs.port(), there)
    await ours.start()
    await introduce(ours.port, here)
    await until_bridged(theirs, ours)
    for _ in range(max(2, ROUNDS // 2)):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish, ours.port, [out], 9.0)
            nursery.start_soon(publish, theirs.port(), into, 0.8)
            nursery.start_soon(there.run, theirs.port())
            nursery.start_soon(here.run, ours.port)
            await trio.sleep(dice.uniform(0.1, 0.7))
            ours.kill()
            nursery.cancel_scope.cancel()
        await ours.start()
    sides: list[tuple[int, Careful]] = [
        *((theirs.port(), each) for each in (*into, there)),
        *((ours.port, each) for each in (out, here)),
    ]
    await finish(sides, [(out, there), *((each, here) for each in into)])
    ours.kill()

    check(out, there)
    for publisher in into:
        check(publisher, here)
        assert len(publisher.acknowledged) > 10, SEED


async def until_bridged(theirs: MosquittoBroker, ours: Ours) -> None:
    """Wait until the bridge has subscribed at mosquitto."""
    probe, found = Publisher("in/probe", 1), Subscriber("in/probe", "probe")
    await introduce(ours.port, found)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(found.run, ours.port)
        nursery.start_soon(probe.run, theirs.port())
        await until(lambda: bool(found.received))
        nursery.cancel_scope.cancel()
