"""Load: slow and stalled subscribers cost others nothing, and nothing that is acknowledged is lost.

``SPEEDO_SOAK=1 pytest -m soak -s tests/mqtt/load`` takes 30 seconds for each, and prints figures.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from tests.mqtt.load.apart import broker_apart
from tests.mqtt.load.ends import Publisher, Subscriber, sampled, stalled

QUEUE = 1000
"""Messages that wait for one client: the default of `Capabilities.queue_messages`."""
MEGABYTE = 2**20


class Run(NamedTuple):
    """What came of a run."""

    sent: int
    delivered: list[int]
    p50: float
    p99: float
    growth: int
    """Bytes that the broker had more at the most than before."""

    def __str__(self) -> str:
        return (
            f"{self.sent} sent, {self.delivered} delivered, p50 {1e3 * self.p50:.2f} ms, "
            f"p99 {1e3 * self.p99:.2f} ms, memory +{self.growth / MEGABYTE:.1f} MiB"
        )


def run_beside(count: int, qos: int, seconds: float) -> Run:
    """3,000 messages of 1 KiB a second to three healthy subscribers, and `count` stalled ones."""
    with broker_apart() as broker, ExitStack() as stack:
        healthy = [
            stack.enter_context(Subscriber(broker.port, f"healthy-{number}", "load", qos))
            for number in range(3)
        ]
        stack.enter_context(stalled(broker.port, count, "load", qos))
        before = most = broker.memory
        publisher = Publisher(broker.port, "publisher", "load", qos, size=1024, rate=3000)

        def look() -> None:
            nonlocal most
            most = max(most, broker.memory)

        with publisher:
            sampled(seconds, look)
        until_delivered(healthy, publisher.sent)
        latencies = sorted(each for end in healthy for each in end.latencies)
        assert not any(end.out_of_order for end in healthy)
    return Run(
        publisher.sent,
        [end.delivered for end in healthy],
        latencies[len(latencies) // 2],
        latencies[len(latencies) * 99 // 100],
        most - before,
    )


def until_delivered(subscribers: list[Subscriber], count: int) -> None:
    """Wait until all have got so many; not for ever."""
    ends = time.perf_counter() + 15
    while time.perf_counter() < ends and any(each.delivered < count for each in subscribers):
        time.sleep(0.05)


@pytest.mark.alone
@pytest.mark.soak
@pytest.mark.parametrize("qos", [0, 1])
def test_stalled_subscribers_cost_others_nothing(qos: int, *, soak: bool) -> None:
    """All others get every message as soon as ever; memory is bounded by what may wait."""
    seconds = 30.0 if soak else 2.0
    without, *beside = (run_beside(count, qos, seconds) for count in (0, 1, 100))
    for count, run in zip((0, 1, 100), (without, *beside), strict=True):
        print(f"QoS {qos}, {count} stalled: {run}")  # noqa: T201  # figures are wanted

    for run in (without, *beside):
        assert run.delivered == [run.sent] * 3
    assert beside[0].growth < 20 * MEGABYTE
    assert beside[1].growth < 100 * 1.5 * MEGABYTE
    for run in beside:  # in a short run one pause of a busy machine is one message in a hundred
        assert run.p50 < without.p50 + 0.1
        assert not soak or run.p99 < without.p99 + 0.25


@pytest.mark.soak
@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("rate", [500, 1e9], ids=["slow", "fast"])
def test_what_is_acknowledged_is_delivered(qos: int, rate: float, *, soak: bool) -> None:
    """However fast one publishes: acknowledgements keep step with a subscriber that is slower."""
    seconds = 30.0 if soak else 2.0
    ahead: list[int] = []
    with broker_apart() as broker:
        subscriber = Subscriber(broker.port, "subscriber", "flood", qos, most_a_second=rate)
        publisher = Publisher(broker.port, "publisher", "flood", qos, window=500)
        with subscriber:
            before = broker.memory
            begun = time.perf_counter()
            with publisher:
                sampled(
                    seconds, lambda: ahead.append(publisher.acknowledged - subscriber.delivered)
                )
                delivered, acknowledged = subscriber.delivered, publisher.acknowledged
                took = time.perf_counter() - begun
            until_delivered([subscriber], publisher.sent)
            growth = broker.memory - before
    print(  # noqa: T201  # figures are wanted
        f"QoS {qos}, subscriber at {rate:g}/s: acknowledged {acknowledged / took:.0f}/s, "
        f"delivered {delivered / took:.0f}/s, at most {max(ahead)} ahead, "
        f"lost {publisher.acknowledged - subscriber.delivered}, memory +{growth / MEGABYTE:.1f} MiB"
    )

    assert publisher.acknowledged == publisher.sent == subscriber.delivered
    assert (publisher.refused, subscriber.out_of_order) == (0, 0)
    assert max(ahead) <= QUEUE
