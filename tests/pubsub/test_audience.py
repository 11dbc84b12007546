"""Audiences against a dictionary, from one subscriber to many and back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.pubsub.audience import FEW, Audience, find, join, leave, pairs


class Equal:
    """Subscribers that are equal are one."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Equal)

    def __hash__(self) -> int:
        return 1


steps = st.lists(st.tuples(st.booleans(), st.integers(0, 2 * FEW), st.integers(0, 3)))


def kind(audience: Audience[int, int] | None) -> type:
    """How an audience is kept."""
    return type(audience)


def grown(count: int) -> Audience[int, int] | None:
    """An audience of so many."""
    audience: Audience[int, int] | None = None
    for subscriber in range(count):
        audience = join(audience, subscriber, -subscriber)
    return audience


@given(steps=steps)
def test_it_is_as_a_dictionary(steps: list[tuple[bool, int, int]]) -> None:
    """Whoever joins and leaves, the same subscribers are in it with the same values."""
    audience: Audience[int, int] | None = None
    expected: dict[int, int] = {}
    for joins, subscriber, value in steps:
        if joins:
            audience = join(audience, subscriber, value)
            expected[subscriber] = value
        elif subscriber in expected and audience is not None:
            audience = leave(audience, subscriber)
            del expected[subscriber]

        assert sorted(expected.items()) == sorted(pairs(audience))
        for each in range(2 * FEW + 1):
            pair = (each, expected[each]) if each in expected else None
            assert pair == find(audience, each)


def test_it_takes_as_little_memory_as_it_needs() -> None:
    """Nobody is None, one a pair, a few a list, many a dictionary."""
    assert [grown(0), grown(1), grown(2)] == [None, (0, 0), [(0, 0), (1, -1)]]
    assert [list, dict] == [kind(grown(FEW)), kind(grown(FEW + 1))]


def test_it_shrinks() -> None:
    """A dictionary becomes a list when few are left, but not as soon as it could."""
    audience = grown(FEW + 1)
    kinds = []
    for subscriber in range(FEW + 1):
        assert audience is not None
        audience = leave(audience, subscriber)
        kinds.append(kind(audience))

    assert [dict] * 4 + [list] * 3 + [tuple, type(None)] == kinds


def test_equal_subscribers_are_one() -> None:
    """Not only identical ones, however the audience is kept."""
    for others in (0, 3, 2 * FEW):
        audience: Audience[object, int] | None = None
        for subscriber in [*range(others), Equal(), Equal()]:
            audience = join(audience, subscriber, 1)

        assert len(pairs(audience)) == others + 1
