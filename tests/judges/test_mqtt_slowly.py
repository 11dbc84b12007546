"""A client that stops to read: nobody else notices, and what it is owed has a bound."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from speedo_trio.mqtt.state.capabilities import Capabilities
from tests.judges.conftest import Ends
from tests.judges.mosquitto import Mosquitto
from tests.judges.mqtt_broker import MQTTBroker
from tests.outside import need

need("mosquitto_sub", modules=("paho",))

from tests.judges.paho import Paho  # noqa: E402  # it needs paho

COUNT = 400

LARGE = b"x" * 50_000
"""So many of them are more than sockets hold."""

TCP = {"tcp": "tcp://127.0.0.1:0"}


@pytest.fixture
def bounded() -> Iterator[MQTTBroker]:
    """A broker that keeps little for one client."""
    with MQTTBroker(TCP, Capabilities(queue_messages=50, queue_bytes=1_000_000)) as broker:
        yield broker


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_stopped_reader(bounded: MQTTBroker, ends: Ends, topic: str, qos: int) -> None:
    """The other one gets everything; the stopped one gets the rest of its share when it goes on."""
    how = ("-t", topic, "-q", str(qos), "-F", "%l %x")
    stopped = ends(Mosquitto(bounded, "sub", "-i", "stopped", "-t", f"{topic}/end", *how))
    bounded.until_subscribed(f"{topic}/end")
    with Paho(bounded) as healthy, Paho(bounded) as publisher:
        healthy.subscribe(topic, qos=qos)
        stopped.send(signal.SIGSTOP)
        for _ in range(COUNT):
            publisher.publish(topic, LARGE, 1)  # one after the other: the healthy one keeps pace
            assert len(healthy.message().payload) == len(LARGE)
        waiting = bounded.waits_for("stopped")
        assert waiting is not None
        assert waiting <= 50
        stopped.send(signal.SIGCONT)
        bounded.until(lambda: bounded.waits_for("stopped") == 0, "it goes on")
        publisher.publish(f"{topic}/end", b"end")
        stopped.wait_for("\n3 ")

    lengths = [line.split()[0] for line in stopped.text.splitlines()]
    assert 1 < len(lengths) < COUNT
    assert {*lengths[:-1]} == {str(len(LARGE))}


def test_a_dead_reader(bounded: MQTTBroker, ends: Ends, topic: str) -> None:
    """One that is killed while it doesn't read leaves a session that can be taken up."""
    how = ("-i", "dead", "-c", "-t", topic, "-q", "1", "-F", "%l")
    stopped = ends(Mosquitto(bounded, "sub", *how))
    bounded.until_subscribed(topic)
    with Paho(bounded) as publisher:
        stopped.send(signal.SIGSTOP)
        for _ in range(COUNT):
            publisher.publish(topic, LARGE, 1)
        stopped.kill()
    back = ends(Mosquitto(bounded, "sub", *how, "-C", "60"))

    assert back.lines == [str(len(LARGE))] * 60
