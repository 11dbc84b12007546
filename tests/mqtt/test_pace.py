"""A client that publishes too fast, at a whole server: it is waited with, others are not."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from speedo_trio import Broker
from speedo_trio.mqtt import MQTT, Capabilities, ReasonCode
from speedo_trio.mqtt.wire.packets import ConnAck, Disconnect, PingReq, PingResp
from speedo_trio.testing import serve_in_memory
from tests.mqtt.wired import Wired, publish


async def test_it_is_not_read(autojump_clock: trio.testing.MockClock) -> None:
    """What it sent behind waits until it is as far as it may be; another client doesn't wait."""
    broker = Broker()
    broker.core.clock = trio.current_time
    mqtt = MQTT(broker, Capabilities(publish_rate=2, publish_burst=3), sys_interval=0)
    async with serve_in_memory(mqtt, observer=None) as server:
        fast, other = Wired(server.connect()), Wired(server.connect())
        for name, client in (("fast", fast), ("other", other)):
            assert isinstance(await client.connect(name, keep_alive=1), ConnAck)
        began = trio.current_time()
        await fast.send(*(publish("a") for _ in range(7)))  # 4 more than may be at once
        await trio.testing.wait_all_tasks_blocked()
        await fast.send(PingReq())
        await other.settled()
        assert trio.current_time() == began

        await fast.get(PingResp)
        assert trio.current_time() - began == pytest.approx(2.0)
        assert mqtt.limits_reached() == {"publish_rate": 1, "queue": 0}


async def test_its_connection_may_end_meanwhile(autojump_clock: trio.testing.MockClock) -> None:
    """Nothing is left of a client that was waited with."""
    broker = Broker()
    broker.core.clock = trio.current_time
    mqtt = MQTT(broker, Capabilities(publish_rate=0.01, publish_burst=1), sys_interval=0)
    async with serve_in_memory(mqtt, observer=None) as server:
        fast = Wired(server.connect())
        await fast.connect("fast")
        await fast.send(*(publish("a") for _ in range(10)))
        await trio.testing.wait_all_tasks_blocked()
        assert mqtt.disconnect("fast")

        assert (await fast.get(Disconnect)).reason is ReasonCode.ADMINISTRATIVE_ACTION
        assert await fast.rest() == []
        assert mqtt.sessions() == ()
