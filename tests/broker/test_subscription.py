"""Subscriptions of the program: what comes, in which order, and what a cancel leaves."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from speedo_trio.broker.broker import Broker
from speedo_trio.broker.message import TopicMessage
from speedo_trio.broker.stats import SubscriberStats
from speedo_trio.broker.subscription import Subscription
from speedo_trio.errors import SubscriberTooSlow, TopicError


@pytest.fixture
def broker() -> Broker:
    """A broker that nobody else knows."""
    return Broker()


async def take(messages: Subscription, count: int) -> list[TopicMessage]:
    """The next messages, which must be there."""
    with trio.fail_after(5):
        return [await anext(messages) for _ in range(count)]


def counts(broker: Broker) -> tuple[int, int, int, int]:
    """Delivered, dropped, lost, waiting."""
    stats = broker.stats()
    return stats.delivered, stats.dropped, stats.lost, stats.waiting


async def test_in_order(broker: Broker) -> None:
    """What is published while the block is open comes, in the order of publishing."""
    broker.publish("a/0", b"before")
    async with broker.subscribe("a/#") as messages:
        for number in range(1, 4):
            assert broker.publish(f"a/{number}", b"%d" % number) == 1
        assert broker.publish("b", b"other") == 0
        assert await take(messages, 3) == [
            TopicMessage(f"a/{number}", b"%d" % number) for number in range(1, 4)
        ]
    assert broker.publish("a/4", b"after") == 0


async def test_waits_for_more(broker: Broker) -> None:
    """An iteration waits when there is nothing, and ends with the block."""
    got: list[bytes] = []

    async def iterate(messages: Subscription) -> None:
        async for message in messages:
            got.append(message.payload)  # noqa: PERF401  # to be seen while it goes on

    async with trio.open_nursery() as nursery, broker.subscribe("a") as messages:
        nursery.start_soon(iterate, messages)
        for payload in (b"1", b"2", b"3"):
            await wait_all_tasks_blocked()
            broker.publish("a", payload)
        await wait_all_tasks_blocked()
        assert got == [b"1", b"2", b"3"]


async def test_several_iterate(broker: Broker) -> None:
    """Each message goes to one of them; leaving the block ends all."""
    got: list[bytes] = []

    async def iterate(messages: Subscription) -> None:
        async for message in messages:
            got.append(message.payload)
            if len(got) % 3 == 0:
                await wait_all_tasks_blocked()

    async with trio.open_nursery() as nursery, broker.subscribe("a") as messages:
        for _ in range(5):
            nursery.start_soon(iterate, messages)
        for number in range(100):
            broker.publish("a", b"%d" % number)
            if number % 7 == 0:
                await wait_all_tasks_blocked()
        for _ in range(50):
            await wait_all_tasks_blocked()
        assert sorted(got, key=int) == [b"%d" % number for number in range(100)]


@pytest.mark.parametrize("cancelled", range(4))
async def test_a_cancel_loses_nothing(broker: Broker, cancelled: int) -> None:
    """Neither while it waits, nor when a message has just woken it, nor before it looks."""
    got: list[bytes] = []
    scopes: list[trio.CancelScope] = []

    async def iterate(messages: Subscription) -> None:
        with trio.CancelScope() as scope:
            scopes.append(scope)
            async for message in messages:
                got.append(message.payload)  # noqa: PERF401  # what came before the cancel counts

    async with broker.subscribe("a") as messages, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(iterate, messages)
        if cancelled < 3:
            await wait_all_tasks_blocked()
        broker.publish("a", b"1")
        broker.publish("a", b"2")
        if cancelled == 1:
            await trio.lowlevel.checkpoint()
        for scope in scopes[:2]:
            scope.cancel()
        await wait_all_tasks_blocked()
        broker.publish("a", b"3")
        await wait_all_tasks_blocked()
        for scope in scopes:
            scope.cancel()
        await wait_all_tasks_blocked()
        while broker.stats().waiting:
            got.append((await anext(messages)).payload)
        assert sorted(got) == [b"1", b"2", b"3"]
        nursery.cancel_scope.cancel()


async def test_a_cancelled_iteration_takes_nothing(broker: Broker) -> None:
    """What is there stays for the next one; retained messages too."""
    broker.publish("a", b"kept", retain=True)
    async with broker.subscribe("a") as messages:
        broker.publish("a", b"new")
        for _ in range(2):
            with trio.CancelScope() as scope:
                scope.cancel()
                await anext(messages)
            assert scope.cancelled_caught
        assert [each.payload for each in await take(messages, 2)] == [b"kept", b"new"]


async def test_a_cancelled_entry_subscribes_to_nothing(broker: Broker) -> None:
    """And may be tried again."""
    subscription = broker.subscribe("a")
    with trio.CancelScope() as scope:
        scope.cancel()
        async with subscription:
            pytest.fail("it was entered")
    assert broker.publish("a", b"1") == 0
    assert broker.subscribers() == ()
    async with subscription:
        assert broker.publish("a", b"1") == 1


# What is retained


async def test_retained_comes_first(broker: Broker) -> None:
    """Whatever was published since."""
    for number in range(3):
        broker.publish(f"a/{number}", b"%d" % number, retain=True)
    async with broker.subscribe("a/#") as messages:
        broker.publish("a/9", b"live")
        assert await take(messages, 4) == [
            *(TopicMessage(f"a/{number}", b"%d" % number, retain=True) for number in range(3)),
            TopicMessage("a/9", b"live"),
        ]


async def test_what_is_retained_since_comes_once(broker: Broker) -> None:
    """As it was published, in its order, and without the mark of what was there before."""
    broker.publish("a/old", b"0", retain=True)
    broker.publish("a/gone", b"0", retain=True)
    async with broker.subscribe("b", "a/#") as messages:
        for number in (1, 2):
            broker.publish("a/old", b"%d" % number, retain=True)
            broker.publish("a/new", b"%d" % number, retain=True)
        broker.publish("a/gone", b"", retain=True)
        broker.publish("a/end", b"")
        got = [await anext(messages) for _ in range(6)]

    assert [(each.topic, each.payload) for each in got] == [
        ("a/old", b"1"),
        ("a/new", b"1"),
        ("a/old", b"2"),
        ("a/new", b"2"),
        ("a/gone", b""),
        ("a/end", b""),
    ]
    assert not any(each.retain for each in got)


@pytest.mark.parametrize(
    "filters", [("a/#", "+/b", "a/b"), ("a/b", "a/b"), ("$share/g/a/b", "a/b", "#")]
)
async def test_overlapping_filters(broker: Broker, filters: tuple[str, ...]) -> None:
    """A message that several match comes once, retained ones too. A group is another subscriber."""
    broker.publish("a/b", b"kept", retain=True)
    async with broker.subscribe(*filters) as messages:
        times = 1 + filters[0].startswith("$share")
        assert broker.publish("a/b", b"new") == times
        got = [each.payload for each in await take(messages, 1 + times)]
        assert got == [b"kept", *[b"new"] * times]
        await wait_all_tasks_blocked()
        assert broker.stats().waiting == 0


async def test_retained_of_a_group(broker: Broker) -> None:
    """It is not sent."""
    broker.publish("a", b"kept", retain=True)
    async with broker.subscribe("$share/g/a") as messages:
        broker.publish("a", b"new")
        assert await take(messages, 1) == [TopicMessage("a", b"new")]


# What is not allowed


@pytest.mark.parametrize("wrong", ["", "a/#/b", "$share/g", "a\ud800", "a\0", "x" * 65_536])
async def test_one_filter_that_is_not_allowed(broker: Broker, wrong: str) -> None:
    """Nothing is subscribed to then."""
    with pytest.raises(TopicError):
        async with broker.subscribe("a", wrong):
            pytest.fail("it was entered")
    assert broker.publish("a", b"1") == 0
    assert (broker.subscribers(), broker.stats().subscriptions) == ((), 0)


async def test_it_is_used_once(broker: Broker) -> None:
    """Neither inside the block nor after it again, and by one task."""
    subscription = broker.subscribe("a")
    async with subscription:
        with pytest.raises(RuntimeError, match="was used before"):
            await subscription.__aenter__()
    with pytest.raises(RuntimeError, match="was used before"):
        await subscription.__aenter__()
    with pytest.raises(StopAsyncIteration):
        await anext(subscription)

    second = broker.subscribe("a")
    with pytest.RaisesGroup(RuntimeError):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(second.__aenter__)
            nursery.start_soon(second.__aenter__)


# Too slow


async def test_drop_newest(broker: Broker) -> None:
    """What is there stays; what was dropped is counted."""
    async with broker.subscribe("a", waiting_messages=2) as messages:
        taken = [broker.publish("a", b"%d" % number) for number in range(5)]
        assert taken == [1, 1, 0, 0, 0]
        assert messages.dropped == 3
        assert [each.payload for each in await take(messages, 2)] == [b"0", b"1"]
        broker.publish("a", b"5")
        assert counts(broker) == (2, 3, 0, 1)
    assert counts(broker) == (2, 3, 1, 0)


async def test_drop_oldest(broker: Broker) -> None:
    """What has waited for longest makes room, here for bytes."""
    async with broker.subscribe("a", waiting_bytes=4, overflow="drop-oldest") as messages:
        taken = [broker.publish("a", b"%d" % number) for number in range(5)]
        assert taken == [1] * 5
        assert [each.payload for each in await take(messages, 2)] == [b"3", b"4"]
        assert broker.publish("a", b"12345") == 0
    assert counts(broker) == (2, 4, 0, 0)


async def test_disconnect(broker: Broker) -> None:
    """What is there is taken, then it is told, and nothing more comes. The counts add up."""
    subscription = broker.subscribe(
        "a", "b", waiting_messages=2, overflow="disconnect", name="slow"
    )
    async with subscription as messages:
        taken = [broker.publish("a", b"%d" % number) for number in range(5)]
        assert taken == [1, 1, 0, 0, 0]
        assert counts(broker) == (0, 1, 0, 2)
        assert broker.subscribers() == ()
        assert (await anext(messages)).payload == b"0"
        assert counts(broker) == (1, 1, 0, 1)
        assert (await anext(messages)).payload == b"1"
        for _ in range(2):
            with pytest.raises(SubscriberTooSlow, match=r"slow took .* 2 that wait"):
                await anext(messages)
        assert broker.publish("b", b"1") == 0
    assert counts(broker) == (2, 1, 0, 0)
    assert broker.stats().subscriptions == 0


async def test_disconnect_wakes_who_waits(broker: Broker) -> None:
    """A message that is too large alone is too much for one that waits for it, too."""
    async with broker.subscribe("a", waiting_bytes=2, overflow="disconnect") as messages:
        with pytest.RaisesGroup(SubscriberTooSlow, SubscriberTooSlow):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(messages.__anext__)
                nursery.start_soon(messages.__anext__)
                await wait_all_tasks_blocked()
                broker.publish("a", b"123")


async def test_what_was_left_is_lost(broker: Broker) -> None:
    """When the block is left: it is counted, and not given out any more."""
    async with broker.subscribe("a", overflow="disconnect", waiting_messages=2) as messages:
        for _ in range(3):
            broker.publish("a", b"1")
    assert counts(broker) == (0, 1, 2, 0)
    with pytest.raises(SubscriberTooSlow):
        await anext(messages)


async def test_retained_is_not_bounded(broker: Broker) -> None:
    """It waits nowhere, and is not counted."""
    for number in range(50):
        broker.publish(f"a/{number}", b"%d" % number, retain=True)
    async with broker.subscribe("a/#", waiting_messages=1) as messages:
        assert len(await take(messages, 50)) == 50
        assert counts(broker) == (0, 0, 0, 0)


async def test_stats(broker: Broker) -> None:
    """Who it is, and how it is going."""
    async with broker.subscribe("a", "b/#", name="me") as messages:
        broker.publish("a", b"123")
        broker.publish("a", b"123")
        await take(messages, 1)
        assert broker.subscribers() == (
            SubscriberStats(
                name="me",
                filters=("a", "b/#"),
                delivered=1,
                dropped=0,
                waiting=1,
                waiting_bytes=4,
            ),
        )


@pytest.mark.parametrize("leave", [True, False])
async def test_leaving_by_an_error(broker: Broker, *, leave: bool) -> None:
    """However the block is left, the subscription is over."""

    async def run() -> None:
        async with broker.subscribe("a", "$share/g/a"):
            if leave:
                raise ValueError
            await trio.sleep_forever()

    with pytest.RaisesGroup(ValueError) if leave else trio.move_on_after(0.01):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
    assert broker.publish("a", b"1") == 0
    assert broker.stats().subscriptions == 0


async def test_take_nowait() -> None:
    """What is retained, then what waits, then None; nothing before and after the block."""
    broker = Broker()
    broker.publish("a", b"0", retain=True)
    messages = broker.subscribe("#")
    assert messages.take_nowait() is None
    async with messages:
        broker.publish("b", b"1")
        taken = [messages.take_nowait() for _ in range(3)]
        assert taken == [TopicMessage("a", b"0", retain=True), TopicMessage("b", b"1"), None]
        assert messages.stats().delivered == 1
        broker.publish("b", b"2")
    assert messages.take_nowait() is None
