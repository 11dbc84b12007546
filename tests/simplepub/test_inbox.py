"""The inbox: order, the bound that its reader keeps, and its end."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from speedo_trio.broker.message import TopicMessage
from speedo_trio.errors import ConfigError
from speedo_trio.simplepub.inbox import Inbox

ONE, TWO, THREE = (TopicMessage("t", body) for body in (b"1", b"2", b"3"))


@pytest.mark.parametrize("bound", [0, -1])
def test_a_bound_that_lets_nothing_in(bound: int) -> None:
    """It is refused, with what was seen and what is allowed."""
    with pytest.raises(ConfigError, match=f"buffer is {bound}; allowed is a number of messages"):
        Inbox(bound)


async def test_messages_in_their_order() -> None:
    """First in, first out."""
    inbox = Inbox(5)
    for message in (ONE, TWO, THREE):
        inbox.put(message)

    assert len(inbox) == 3
    assert [await inbox.take() for _ in range(3)] == [ONE, TWO, THREE]


async def test_a_take_waits_and_a_cancel_loses_nothing() -> None:
    """Who takes before there is a message gets the next; a cancelled one takes none."""
    inbox = Inbox(5)
    with trio.move_on_after(0):
        await inbox.take()
    taken: list[TopicMessage | None] = []

    async def take() -> None:
        taken.append(await inbox.take())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        await wait_all_tasks_blocked()
        inbox.put(ONE)
    with trio.CancelScope() as scope:
        scope.cancel()
        inbox.put(TWO)
        await inbox.take()

    assert taken == [ONE]
    assert len(inbox) == 1


async def test_each_message_goes_to_one_taker() -> None:
    """And none is forgotten, also when they come at once."""
    inbox = Inbox(5)
    taken: list[TopicMessage | None] = []

    async def take() -> None:
        taken.append(await inbox.take())

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(take)
        await wait_all_tasks_blocked()
        for message in (ONE, TWO, THREE):
            inbox.put(message)

    assert sorted(str(message) for message in taken) == [str(one) for one in (ONE, TWO, THREE)]


async def test_the_reader_waits_until_there_is_room() -> None:
    """At the bound, and not before, until one is taken; with more than the bound until less."""
    inbox = Inbox(2)
    inbox.put(ONE)
    await inbox.room()
    inbox.put(TWO)
    inbox.put(THREE)
    events: list[str] = []

    async def read() -> None:
        await inbox.room()
        events.append("room")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        for _ in range(2):
            await inbox.take()
            events.append("taken")
            await wait_all_tasks_blocked()

    assert events == ["taken", "taken", "room"]


async def test_in_a_hurry_there_is_room() -> None:
    """For the time of the block, also for a reader that waits already."""
    inbox = Inbox(1)
    inbox.put(ONE)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(inbox.room)
        await wait_all_tasks_blocked()
        with inbox.hurry():
            await wait_all_tasks_blocked()
            assert not nursery.child_tasks
    with trio.move_on_after(0) as scope:
        await inbox.room()
    assert scope.cancelled_caught


async def test_what_is_discarded_needs_no_room() -> None:
    """What has come before stays."""
    inbox = Inbox(1)
    inbox.put(ONE)
    inbox.discard()
    await inbox.room()
    inbox.put(TWO)

    assert len(inbox) == 1


async def test_the_end_comes_after_the_messages() -> None:
    """Those who wait get it, and all later ones."""
    inbox = Inbox(1)
    taken: list[TopicMessage | None] = []

    async def take() -> None:
        taken.append(await inbox.take())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        nursery.start_soon(take)
        await wait_all_tasks_blocked()
        inbox.put(ONE)
        inbox.close()

    assert sorted(map(str, taken)) == ["None", str(ONE)]
    assert await inbox.take() is None


async def test_a_take_can_be_cancelled_while_there_are_messages() -> None:
    """So that an iteration that never waits ends."""
    inbox = Inbox(5)
    inbox.put(ONE)
    with trio.CancelScope() as scope:
        scope.cancel()
        await inbox.take()

    assert scope.cancelled_caught
    assert len(inbox) == 1
