"""Numbers: what comes in its place, late and twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.cli.bench.mqtt.numbers import Arrival, Numbers


def arrivals(*taken: int) -> list[Arrival]:
    """How each of these comes."""
    numbers = Numbers()
    return [numbers.take(number) for number in taken]


def test_in_their_order_all_are_next() -> None:
    """Nothing is missing."""
    assert [Arrival.NEXT] * 3 == arrivals(1, 2, 3)


def test_what_was_missing_is_late() -> None:
    """Once; then it comes twice."""
    expected = [Arrival.NEXT, Arrival.NEXT, Arrival.LATE, Arrival.TWICE]

    assert expected == arrivals(1, 3, 2, 2)


def test_the_latest_may_come_twice() -> None:
    """As may one before it."""
    assert [Arrival.NEXT, Arrival.NEXT, Arrival.TWICE, Arrival.TWICE] == arrivals(1, 2, 2, 1)


@given(st.permutations(range(1, 20)))
def test_of_each_number_one_is_not_twice(order: list[int]) -> None:
    """In whatever order they come, and then nothing is missing."""
    numbers = Numbers()

    assert Arrival.TWICE not in [numbers.take(number) for number in order]
    assert (19, set()) == (numbers.latest, numbers.missing)
