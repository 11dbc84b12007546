"""An application with an MQTT broker inside."""

from __future__ import annotations

from types import ModuleType

import trio

from speedo_trio.mqtt.wire.packets import Disconnect, Publish, SubAck
from speedo_trio.mqtt.wire.properties import Properties
from tests.examples.conftest import EXAMPLES, Start
from tests.mqtt.peers import connected, subscribe_packet


async def test_a_room_is_heated(example: ModuleType, nursery: trio.Nursery) -> None:
    """While it is colder than wanted; its valve gets the last state when it comes."""
    mqtt = await nursery.start(example.serve_mqtt, "tcp://127.0.0.1:0")
    await nursery.start(example.Heating(mqtt).run)
    async with mqtt.subscribe("heating/#") as told, connected(mqtt.port) as thermometer:
        assert (await anext(told)).topic == "heating/state"
        for topic, payload in [
            (b"room/kitchen/temperature", b"19"),
            (b"room/kitchen/temperature", b"19.5"),
            (b"room/kitchen/wanted", b"18"),
            (b"room/kitchen/temperature", b"19"),
            (b"room/hall/temperature", b"warm"),
        ]:
            await thermometer.send(Publish(topic, payload))
        got = [(each.topic, each.payload) for each in [await anext(told) for _ in range(3)]]
    async with connected(mqtt.port, "valve") as valve:
        await valve.subscribe("heating/kitchen", qos=1)
        kept = await valve.message()
    nursery.cancel_scope.cancel()

    assert got == [
        ("heating/kitchen", b"on"),
        ("heating/kitchen", b"off"),
        ("heating/trouble", b"room/hall/temperature: b'warm' from peer"),
    ]
    assert (kept.payload, kept.qos, kept.retain) == (b"off", 1, True)


async def test_the_program(start: Start) -> None:
    """It answers requests, and says that it is gone on Ctrl-C."""
    async with (
        start(str(EXAMPLES / "mqtt_app.py"), "tcp://127.0.0.1:0") as program,
        connected(program.port) as peer,
    ):
        await peer.send(subscribe_packet(("answers", "heating/state"), 0))
        assert isinstance(await peer.receive(), SubAck)
        assert (await peer.message()).payload == b"on"
        await peer.send(Publish(b"room/kitchen/temperature", b"19"))
        asked = Properties(response_topic="answers", correlation_data=b"7")
        await peer.send(Publish(b"heating/rooms", properties=asked))
        answer = await peer.message()
        assert answer.payload == b"kitchen"
        assert answer.properties == Properties(correlation_data=b"7")
        status, printed = await program.drain()
        assert (await peer.message()).payload == b"off"
        assert isinstance(await peer.receive(), Disconnect)

    assert status == 0
    assert "drained" in printed
