"""Outboxes against a plain list, for each of the policies."""

from __future__ import annotations

import sys
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.errors import ConfigError
from speedo_trio.pubsub.outbox import Outbox, OutboxLimits, Overflow, Put

Message = tuple[int, int]
"""A number that tells it from others, and its size."""


def size(message: Message) -> int:
    """The bytes of a message."""
    return message[1]


def outbox(overflow: Overflow, messages: int = 3, most_bytes: int = 100) -> Outbox[Message]:
    """An empty outbox."""
    limits = OutboxLimits(messages=messages, bytes=most_bytes, overflow=overflow)
    return Outbox(limits, size)


every_policy = pytest.mark.parametrize("overflow", Overflow)


@every_policy
def test_in_order(overflow: Overflow) -> None:
    """What is put within the limits comes out in its order."""
    box = outbox(overflow)
    messages = [(1, 50), (2, 0), (3, 50)]

    assert [Put.TAKEN] * 3 == [box.put(message) for message in messages]
    assert (3, 100) == (len(box), box.bytes)
    assert messages == box.take()
    assert (0, 0) == (len(box), box.bytes)
    assert [] == box.take()


@pytest.mark.parametrize("small", [True, False])
def test_drop_newest(*, small: bool) -> None:
    """What comes when there is no room is dropped and counted, what waits stays."""
    box = outbox(Overflow.DROP_NEWEST)
    for number in range(3):
        box.put((number, 30))

    assert box.put((3, 5 if small else 50)) is Put.DROPPED
    assert (1, 0, False) == (box.dropped_newest, box.dropped_oldest, box.full)
    assert [(0, 30), (1, 30), (2, 30)] == box.take()
    assert box.put((4, 5)) is Put.TAKEN


def test_drop_oldest() -> None:
    """As many of the oldest are dropped as it takes, by number or by bytes."""
    box = outbox(Overflow.DROP_OLDEST)
    for number in range(3):
        box.put((number, 30))

    assert box.put((3, 30)) is Put.TAKEN
    assert (0, 1) == (box.dropped_newest, box.dropped_oldest)
    assert box.put((4, 70)) is Put.TAKEN
    assert (0, 3) == (box.dropped_newest, box.dropped_oldest)
    assert [(3, 30), (4, 70)] == box.take()


def test_drop_oldest_of_a_message_too_large() -> None:
    """One that has no room even alone is dropped itself, and pushes nothing out."""
    box = outbox(Overflow.DROP_OLDEST)
    box.put((0, 30))

    assert box.put((1, 101)) is Put.DROPPED
    assert (1, 0) == (box.dropped_newest, box.dropped_oldest)
    assert [(0, 30)] == box.take()


def test_disconnect() -> None:
    """From the first message without room on nothing is taken, also when there is room again."""
    box = outbox(Overflow.DISCONNECT, messages=1)

    assert [Put.TAKEN, Put.DISCONNECT] == [box.put((number, 1)) for number in range(2)]
    assert box.full
    assert [(0, 1)] == box.take()
    assert box.put((2, 1)) is Put.DISCONNECT
    assert (2, 0, 0) == (box.dropped_newest, box.dropped_oldest, len(box))


def test_taking_a_part() -> None:
    """So many messages, or so many bytes, the oldest first; one always."""
    box = outbox(Overflow.DROP_NEWEST, messages=10)
    for number in range(6):
        box.put((number, 10))

    assert [(0, 10)] == box.take(most_bytes=5)
    assert [(1, 10), (2, 10)] == box.take(most_bytes=29)
    assert [(3, 10)] == box.take(1, 100)
    assert [] == box.take(0)
    assert (2, 20) == (len(box), box.bytes)
    assert [(4, 10), (5, 10)] == box.take(10, 100)
    assert [] == box.take(1)


def test_clear() -> None:
    """What waited is gone and told, but isn't counted as dropped by overflow."""
    box = outbox(Overflow.DROP_OLDEST)
    box.put((0, 10))
    box.put((1, 10))

    assert box.clear() == 2
    assert (0, 0, 0, 0) == (len(box), box.bytes, box.dropped_newest, box.dropped_oldest)


def test_an_empty_one_is_small() -> None:
    """Most subscribers have nothing waiting most of the time."""
    box = outbox(Overflow.DROP_OLDEST)
    for taken in (box.take, lambda: box.take(1), box.clear):
        box.put((0, 1))
        taken()
        assert box._waiting is None

    assert sys.getsizeof(box) <= 128
    assert not hasattr(box, "__dict__")


def test_limits_that_are_not_allowed() -> None:
    """There is room for something."""
    with pytest.raises(ConfigError, match="messages is 0"):
        OutboxLimits(messages=0)
    with pytest.raises(ConfigError, match="bytes is 0"):
        OutboxLimits(bytes=0)


@given(
    overflow=st.sampled_from(Overflow),
    sizes=st.lists(st.none() | st.integers(0, 12)),
    most=st.none() | st.integers(0, 3),
)
def test_nothing_is_lost_unseen(
    overflow: Overflow, sizes: list[int | None], most: int | None
) -> None:
    """Each message is taken, dropped and counted, or waits; in order, and within the limits."""
    box = outbox(overflow, messages=4, most_bytes=20)
    numbers = count()
    put: list[Message] = []
    taken: list[Message] = []
    for each in sizes:
        if each is None:
            taken += box.take(most)
        else:
            put.append((next(numbers), each))
            box.put(put[-1])
        assert len(box) <= 4
        assert box.bytes <= 20
    waiting = box.take()

    assert len(put) == len(taken) + len(waiting) + box.dropped_newest + box.dropped_oldest
    assert sorted([*taken, *waiting]) == [*taken, *waiting]
    assert {*taken, *waiting} <= {*put}


@every_policy
def test_take_one(overflow: Overflow) -> None:
    """The oldest, until there is none; room for as much comes with it."""
    box = outbox(overflow)
    assert box.take_one() is None
    for number in range(3):
        box.put((number, 30))

    for number in range(3):
        assert box.take_one() == (number, 30)
        assert (2 - number, 60 - 30 * number) == (len(box), box.bytes)
    assert box.take_one() is None
    assert box.put((3, 100)) is Put.TAKEN
