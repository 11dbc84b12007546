"""The broker as a program sees it: who gets what, what is retained, and what is counted."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Sequence
from typing import Any

import pytest
import trio

from speedo_trio.broker.broker import Broker
from speedo_trio.broker.limits import BrokerLimits
from speedo_trio.broker.message import TopicMessage
from speedo_trio.broker.stats import BrokerStats, SubscriberStats
from speedo_trio.errors import ConfigError, RetainedFull, TopicError
from speedo_trio.pubsub.publication import Publication
from speedo_trio.pubsub.subscriber import NO_TERMS, Terms, merge
from tests.broker.lines import Desk


class Plain:
    """A subscriber of a protocol's that keeps what it gets, or fails."""

    def __init__(self, name: str, *, fails: bool = False) -> None:
        self.name = name
        self.fails = fails
        self.got: list[bytes] = []

    def deliver(self, publication: Publication, terms: Terms) -> bool:
        if self.fails:
            raise RuntimeError("on purpose")
        self.got.append(publication.payload)
        return True

    def stats(self) -> SubscriberStats:
        return SubscriberStats(
            name=self.name,
            filters=("x",),
            delivered=len(self.got),
            dropped=0,
            waiting=0,
            waiting_bytes=0,
        )


def enter(broker: Broker, member: Plain, *filters: bytes) -> None:
    """Do what a protocol does for a client."""
    broker.core.enter(member)
    for each in filters:
        broker.core.exchange.subscribe(each, member, NO_TERMS)


async def test_publish_tells_how_many_took_it() -> None:
    """A group with shared subscriptions counts as one."""
    broker = Broker()
    assert broker.publish("a", b"1") == 0
    async with broker.subscribe("a"), broker.subscribe("#"), broker.subscribe("b"):
        assert broker.publish("a", b"1") == 2
        async with broker.subscribe("$share/g/a"), broker.subscribe("$share/g/a"):
            assert broker.publish("a", b"1") == 3


@pytest.mark.parametrize("topic", ["", "a/#", "+", "a\0", "\ud800", "x" * 65_536, "/" * 200])
async def test_a_topic_that_is_not_allowed(topic: str) -> None:
    """Nobody gets it and nothing is counted; it is not asked for either."""
    broker = Broker()
    async with broker.subscribe("#"):
        for retain in True, False:
            with pytest.raises(TopicError):
                broker.publish(topic, b"1", retain=retain)
        with pytest.raises(TopicError):
            broker.subscribers(topic)
        assert (broker.stats().published, broker.stats().waiting) == (0, 0)


def test_publish_needs_no_trio_without_retain() -> None:
    """A broker may be filled before it is served."""
    broker = Broker()
    assert broker.publish("a", b"1") == 0
    assert broker.stats().published == 1


async def test_a_worker_thread_may_publish() -> None:
    """As the docstring tells."""
    broker = Broker()

    def work() -> int:
        return trio.from_thread.run_sync(broker.publish, "a", b"1")

    async with broker.subscribe("a") as messages:
        assert await trio.to_thread.run_sync(work) == 1
        assert await anext(messages) == TopicMessage("a", b"1")


def test_a_turn_leaves_nothing_to_flush() -> None:
    """Or mailboxes would stay there when their clients have left."""
    core, desk = Broker().core, Desk(room=100)
    desk.mailbox.put(b"1")
    core.dirty += desk.dirty
    core.flush()

    assert (core.dirty, desk.line.sent) == ([], b"1")


# What is retained


async def test_retained() -> None:
    """The last message of each topic, until an empty one ends it."""
    broker = Broker()
    broker.publish("a/1", b"x", retain=True)
    broker.publish("a/1", b"y", retain=True)
    broker.publish("a/2", b"z", retain=True)
    broker.publish("a/2", b"not kept")
    assert list(broker.retained("a/+")) == [
        TopicMessage("a/1", b"y", retain=True),
        TopicMessage("a/2", b"z", retain=True),
    ]
    assert (broker.stats().retained, broker.stats().retained_bytes) == (2, 8)
    broker.publish("a/1", b"", retain=True)
    assert [each.topic for each in broker.retained("#")] == ["a/2"]
    assert list(broker.retained("$share/g/#")) == []
    with pytest.raises(TopicError):
        broker.retained("a/#/b")


async def test_retained_while_it_changes() -> None:
    """What is replaced or ended meanwhile is left out."""
    broker = Broker()
    for number in range(4):
        broker.publish(f"{number}", b"old", retain=True)
    found = broker.retained("#")
    assert next(found).topic == "0"
    broker.publish("1", b"new", retain=True)
    broker.publish("2", b"", retain=True)
    broker.publish("4", b"new", retain=True)

    assert [each.topic for each in found] == ["3"]


@pytest.mark.parametrize(
    "limits", [BrokerLimits(retained_messages=1), BrokerLimits(retained_bytes=3)]
)
async def test_no_room_to_retain(limits: BrokerLimits) -> None:
    """All get the message, the publisher is told, and what was kept stays."""
    broker = Broker(limits)
    broker.publish("a", b"1", retain=True)
    async with broker.subscribe("b") as messages:
        with pytest.raises(RetainedFull, match="no room to retain a message of 2 bytes: 1 mess"):
            broker.publish("b", b"12", retain=True)
        assert await anext(messages) == TopicMessage("b", b"12")
        broker.publish("b", b"", retain=True)
        broker.publish("a", b"2", retain=True)
        assert [each.payload for each in broker.retained("#")] == [b"2"]
        assert broker.stats().published == 4


# Who is subscribed


async def test_subscribers() -> None:
    """All, or those who would get what is published under a topic, each once."""
    broker = Broker()
    async with (
        broker.subscribe("a/#", "a/1", name="first"),
        broker.subscribe("$share/g/a/1", name="second"),
        broker.subscribe("$share/g/a/1", "b", name="third"),
    ):

        def names(topic: str | None = None) -> list[str]:
            return [each.name for each in broker.subscribers(topic)]

        assert names() == ["first", "second", "third"]
        assert names("a/1") == ["first", "second", "third"]
        assert names("a/2") == ["first"]
        assert names("b") == ["third"]
        assert names("c") == []
    assert broker.subscribers() == ()


async def test_who_is_here_without_a_subscription() -> None:
    """Somebody who only publishes is no subscriber."""
    broker = Broker()
    async with broker.subscribe("a", waiting_messages=1, overflow="disconnect"):
        broker.publish("a", b"1")
        broker.publish("a", b"1")
        assert broker.subscribers() == ()
        assert broker.stats().subscribers == 0


async def test_stats() -> None:
    """All counts, of those who are here and of those who have left."""
    broker = Broker()
    async with broker.subscribe("a", "b", waiting_messages=2) as here:
        async with broker.subscribe("a", "$share/g/a", waiting_messages=3):
            for _ in range(3):
                broker.publish("a", b"1")
        await anext(here)
        broker.publish("b", b"12345", retain=True)
        assert broker.stats() == BrokerStats(
            published=4,
            delivered=1,
            dropped=4,
            lost=3,
            waiting=2,
            subscribers=1,
            subscriptions=2,
            retained=1,
            retained_bytes=6,
        )


async def test_a_subscriber_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """It costs itself its message; the others get theirs, and it is logged."""
    broker = Broker()
    members = [Plain("0"), Plain("1", fails=True), Plain("2")]
    for member in members:
        enter(broker, member, b"a")
    assert broker.publish("a", b"1", retain=True) == 2

    assert [member.got for member in members] == [[b"1"], [], [b"1"]]
    assert [each.payload for each in broker.retained("a")] == [b"1"]
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("speedo_trio.broker", logging.ERROR)
    assert record.getMessage() == "Plain failed on a message of topic b'a'"


async def test_a_member_of_a_group_that_raises() -> None:
    """Another gets the message."""
    broker = Broker()
    members = [Plain("0", fails=True), Plain("1")]
    for member in members:
        enter(broker, member, b"$share/g/a")
    assert [broker.publish("a", b"1") for _ in range(3)] == [1, 1, 1]
    assert members[1].got == [b"1"] * 3


def test_leaving_twice_counts_once() -> None:
    """A protocol need not remember whether it has left."""
    broker, member = Broker(), Plain("x")
    enter(broker, member)
    member.got.append(b"1")
    for _ in range(2):
        broker.core.leave(member, lost=2)
    assert (broker.stats().delivered, broker.stats().lost) == (1, 2)


async def test_who_has_left_leaves_nothing() -> None:
    """Not even in routes that are remembered."""
    broker = Broker()
    async with broker.subscribe("a", "$share/g/+") as messages:
        for _ in range(3):
            broker.publish("a", b"1")
        gone = weakref.ref(messages)
    del messages
    gc.collect()
    assert gone() is None


# What is asked for


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"waiting_messages": 0}, "messages is 0"),
        ({"waiting_bytes": -1}, "bytes is -1"),
        (
            {"overflow": "block"},
            "overflow is 'block'; allowed is 'drop-newest' or",
        ),
    ],
)
def test_bounds_that_are_not_allowed(asked: dict[str, Any], text: str) -> None:
    """They are told where they are given."""
    with pytest.raises(ConfigError, match=text):
        Broker().subscribe("a", **asked)


def test_no_filter() -> None:
    """That would wait for ever."""
    with pytest.raises(ConfigError, match="without a filter"):
        Broker().subscribe()


@pytest.mark.parametrize("name", ["retained_messages", "retained_bytes", "route_bytes"])
def test_limits_that_are_not_allowed(name: str) -> None:
    """The name and what is allowed are told."""
    with pytest.raises(ConfigError, match=f"{name} is 0; allowed is a whole number from 1"):
        BrokerLimits(**{name: 0})


async def test_topics_have_the_brokers_bounds() -> None:
    """In bytes and in levels."""
    broker = Broker(BrokerLimits(topic_bytes=5, topic_levels=2))
    broker.publish("a/bcd", b"1")
    for topic in "a/bcde", "a/b/c":
        with pytest.raises(TopicError):
            broker.publish(topic, b"1")
        with pytest.raises(TopicError):
            await broker.subscribe(topic).__aenter__()


def test_terms_are_merged_by_their_own_kind() -> None:
    """The first one is asked, with all of them."""
    asked: list[object] = []

    class Own(Terms):
        def merged(self, terms: Sequence[Terms]) -> Terms:
            asked.extend(terms)
            return terms[-1]

    first, second = Own(), Own()
    assert merge([first, second]) is second
    assert asked == [first, second]
    assert merge([NO_TERMS, NO_TERMS]) is NO_TERMS
