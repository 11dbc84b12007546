"""Wills that wait for hooks: how many may, and what becomes of them at the end."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from speedo_trio.events import Address
from speedo_trio.mqtt import ClientInfo, Hooks, PublishRequest, Version
from speedo_trio.mqtt.calls import Calls
from speedo_trio.mqtt.state.publication import MQTTPublication
from speedo_trio.mqtt.wills import Wills

CLIENT = ClientInfo(
    client_id="c",
    user_name=None,
    version=Version.MQTT_5_0,
    connection=1,
    peer=Address("stream"),
    local=Address("stream"),
    tls=None,
    websocket=None,
    proxy=None,
)


class Hall:
    """A hook that lets through what it is told to, and what was published."""

    def __init__(self) -> None:
        self.door = trio.Event()
        self.asked = 0
        self.published: list[bytes] = []
        self.wills = Wills(Calls(Hooks(authorise_publish=self.judge)), self.publish)

    async def judge(self, request: PublishRequest) -> bool:
        self.asked += 1
        await self.door.wait()
        return True

    def publish(self, will: MQTTPublication) -> None:
        self.published.append(will.payload)

    def leave(self, payload: bytes) -> None:
        self.wills.put(CLIENT, MQTTPublication(b"w", payload))


async def test_a_hundred_are_asked_about_at_the_same_time(nursery: trio.Nursery) -> None:
    """The others wait, and all are published."""
    hall = Hall()
    nursery.start_soon(hall.wills.run)
    for _ in range(150):
        hall.leave(b"x")
    await trio.testing.wait_all_tasks_blocked()
    assert hall.asked == 100
    hall.door.set()
    await trio.testing.wait_all_tasks_blocked()

    assert len(hall.published) == 150
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("size", [0, 10_000_000])
async def test_there_is_a_bound_to_those_that_wait(
    size: int, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    """Of their number and of their bytes; what is over it is logged, and makes room again."""
    hall, payload = Hall(), bytes(size)
    most = 6 if size else 10_000
    for _ in range(most + 1):
        hall.leave(payload)
    assert [record.getMessage() for record in caplog.records] == [
        f"the will of client 'c' is not published: {most} others wait for hooks"
    ]
    hall.door.set()
    nursery.start_soon(hall.wills.run)
    await trio.testing.wait_all_tasks_blocked()
    hall.leave(payload)
    await trio.testing.wait_all_tasks_blocked()

    assert len(hall.published) == most + 1
    nursery.cancel_scope.cancel()


async def test_at_the_end_those_that_wait_are_asked_about_again(nursery: trio.Nursery) -> None:
    """Those whose hook was cancelled, and those that came with the end."""
    hall = Hall()
    nursery.start_soon(hall.wills.run)
    hall.leave(b"before")
    await trio.testing.wait_all_tasks_blocked()
    hall.leave(b"with")
    hall.door.set()
    nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        await trio.testing.wait_all_tasks_blocked()

    assert sorted(hall.published) == [b"before", b"with"]


async def test_at_the_end_they_have_a_second(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """A hook that hangs doesn't hold up the end any longer."""
    hall = Hall()
    began = trio.current_time()
    with trio.CancelScope() as scope:
        scope.cancel()
        hall.leave(b"x")
        await hall.wills.run()

    assert trio.current_time() - began == pytest.approx(1.0)
    assert hall.published == []
