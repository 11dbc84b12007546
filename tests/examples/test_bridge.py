"""An application that brings its own data into topics."""

from __future__ import annotations

from types import ModuleType

import pytest
import trio

from speedo_trio import Broker, TopicMessage
from speedo_trio.simplepub import connect
from tests.examples.conftest import EXAMPLES, PATIENCE, Start


async def test_readings_are_published(example: ModuleType, nursery: trio.Nursery) -> None:
    """The load always, the disk only while somebody listens."""
    broker = Broker()
    with trio.fail_after(PATIENCE):
        async with broker.subscribe("machine/load", "machine/disk") as messages:
            nursery.start_soon(example.Machine(broker, period=0.01).report)
            topics = {(await anext(messages)).topic}
            while len(topics) < 2:
                topics.add((await anext(messages)).topic)
        async with broker.subscribe("machine/load") as messages:
            await anext(messages)

    assert topics == {"machine/load", "machine/disk"}
    assert [kept.topic for kept in broker.retained("#")] == ["machine/load"]


@pytest.mark.parametrize(
    ("topic", "payload", "answer", "period"),
    [
        ("machine/period/set", b"0.2", "a reading every 0.2 seconds", 0.2),
        ("machine/period/set", b"0", "b'0': allowed are 0.05 to 3600.0 seconds", 1.0),
        ("machine/period/set", b"nan", "b'nan': allowed are 0.05 to 3600.0 seconds", 1.0),
        ("machine/period/set", b"soon", "b'soon': allowed are 0.05 to 3600.0 seconds", 1.0),
        ("machine/colour/set", b"red", "machine/colour/set: there is only machine/period/set", 1.0),
    ],
)
def test_orders(
    example: ModuleType, topic: str, payload: bytes, answer: str, period: float
) -> None:
    """What can't be done changes nothing, and is answered too."""
    machine = example.Machine(Broker())

    assert machine.answer(TopicMessage(topic, payload)) == answer
    assert machine.period == period


async def test_the_program(start: Start) -> None:
    """It publishes to SimplePub's clients and obeys them, and drains on Ctrl-C."""
    async with start(str(EXAMPLES / "bridge.py"), "tcp://127.0.0.1:0") as program:
        with trio.fail_after(PATIENCE):
            async with connect(f"simplepub://127.0.0.1:{program.port}") as client:
                await client.subscribe("machine/#")
                assert (await anext(client)).topic == "machine/load"
                await client.publish("machine/period/set", b"0.1")
                async for message in client:
                    if message.topic == "machine/answer":
                        break
                assert message.payload == b"a reading every 0.1 seconds"
        status, printed = await program.drain()

    assert status == 0
    assert "drained" in printed
