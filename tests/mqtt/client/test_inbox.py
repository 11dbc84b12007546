"""The inbox: who waits for whom."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from speedo_trio import ConfigError
from speedo_trio.mqtt.client.inbox import Inbox
from speedo_trio.mqtt.client.message import ReceivedMessage

MESSAGE = ReceivedMessage("a", b"")


async def test_a_taker_waits() -> None:
    """For a message, or the end."""
    inbox = Inbox(1)
    async with trio.open_nursery() as nursery:

        async def take() -> None:
            assert await inbox.take() is MESSAGE
            assert await inbox.take() is None

        nursery.start_soon(take)
        await wait_all_tasks_blocked()
        inbox.put(MESSAGE)
        await wait_all_tasks_blocked()
        inbox.close()


@pytest.mark.parametrize("end", ["take", "hurry", "discard"])
async def test_the_reader_waits(end: str, autojump_clock: trio.testing.MockClock) -> None:
    """While there is no room, nobody is in a hurry, and messages are wanted."""
    inbox = Inbox(1)
    inbox.put(MESSAGE)
    with trio.move_on_after(1) as scope:
        await inbox.room()
    assert scope.cancelled_caught
    async with trio.open_nursery() as nursery:
        nursery.start_soon(inbox.room)
        await wait_all_tasks_blocked()
        match end:
            case "take":
                await inbox.take()
            case "hurry":
                with inbox.hurry():
                    await wait_all_tasks_blocked()
            case _:
                inbox.discard()


async def test_a_cancel_loses_nothing() -> None:
    """The message stays for the next."""
    inbox = Inbox(1)
    inbox.put(MESSAGE)
    with trio.CancelScope() as scope:
        scope.cancel()
        await inbox.take()

    assert await inbox.take() is MESSAGE


def test_a_bound_that_lets_nothing_in() -> None:
    """It is refused."""
    with pytest.raises(ConfigError, match="buffer is 0"):
        Inbox(0)
