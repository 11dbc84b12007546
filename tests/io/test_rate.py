"""Rates: what a token bucket lets through, held against a model that knows no tokens."""

from __future__ import annotations

from fractions import Fraction
from math import nextafter

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.io.rate import Buckets, TokenBucket

_STEPS = st.integers(0, 200).map(lambda count: count / 64)
"""Times from one arrival to the next: none too, and all such that floats add them exactly."""
_RATES = st.sampled_from([1 / 8, 0.5, 1.0, 3.0, 16.0, 64.0])
_BURSTS = st.integers(1, 10)


@define
class Model:
    """No stretch of time has more arrivals than the burst and what the rate adds meanwhile."""

    rate: float
    burst: int
    let_through: list[float] = field(factory=list)

    def take(self, now: float) -> bool:
        times = [*self.let_through, now]
        allowed = all(
            len(times) - first <= self.burst + Fraction(self.rate) * Fraction(now - begin)
            for first, begin in enumerate(times)
        )
        if allowed:
            self.let_through.append(now)
        return allowed


@given(_RATES, _BURSTS, st.lists(_STEPS, max_size=60))
def test_lets_through_what_the_model_does(rate: float, burst: int, steps: list[float]) -> None:
    """Everything that the rate allows, and nothing else."""
    bucket, model, now = TokenBucket(burst, 0.0), Model(rate, burst), 0.0
    for step in steps:
        now += step

        assert bucket.take(rate, burst, now) == model.take(now)


@given(
    st.floats(0.001, 10_000),
    st.integers(1, 1000),
    st.floats(0, 1000),
    st.lists(st.floats(0, 1000), max_size=30),
)
def test_who_waits_as_long_as_told_is_let_through(
    rate: float, burst: int, begin: float, steps: list[float]
) -> None:
    """Whatever rounding does to the times; before, nobody is."""
    bucket, now = TokenBucket(burst, begin), begin
    for step in steps:
        now += step
        while not (wait := bucket.wait(rate, burst, now)):
            assert bucket.take(rate, burst, now)
        assert not bucket.take(rate, burst, now)
        if wait * rate > 0.001:  # else it is almost over
            assert not bucket.take(rate, burst, now + wait * 0.99)
        now = nextafter(now + wait, 1e300)  # a clock that has gone on by a tick

        assert bucket.wait(rate, burst, now) == 0
        assert bucket.take(rate, burst, now)


def test_full_at_first() -> None:
    """A burst at once, then one for each token that comes."""
    bucket = TokenBucket(3, 100.0)

    assert [bucket.take(2.0, 3, 100.0) for _ in range(5)] == [True, True, True, False, False]
    assert bucket.wait(2.0, 3, 100.0) == 0.5
    assert [bucket.take(2.0, 3, 100.5) for _ in range(2)] == [True, False]
    assert bucket.wait(2.0, 3, 100.75) == 0.25


def test_rest_fills_it_no_more_than_full() -> None:
    """After an hour there is one burst, not an hour's."""
    bucket = TokenBucket(2, 0.0)

    assert [bucket.take(1000.0, 2, 3600.0) for _ in range(3)] == [True, True, False]


def test_rate_and_burst_may_change() -> None:
    """They are those of the question: a smaller burst holds at once, a larger one is filled."""
    bucket = TokenBucket(10, 0.0)
    assert [bucket.take(1.0, 2, 0.0) for _ in range(3)] == [True, True, False]

    assert [bucket.take(1.0, 100, 5.0) for _ in range(6)] == [True] * 5 + [False]
    assert bucket.wait(4.0, 100, 5.0) == 0.25


# One for each address


@given(_RATES, _BURSTS, st.lists(st.tuples(st.sampled_from("abc"), _STEPS), max_size=60))
def test_keys_do_not_share(rate: float, burst: int, arrivals: list[tuple[str, float]]) -> None:
    """Each key has what it would have alone."""
    buckets, now = Buckets(3), 0.0
    models = {key: Model(rate, burst) for key in "abc"}
    for key, step in arrivals:
        now += step

        assert buckets.take(key, rate, burst, now) == models[key].take(now)


def test_no_more_keys_than_most() -> None:
    """The one used longest ago is forgotten, and begins anew."""
    buckets = Buckets(2)
    for key in "ab":
        assert buckets.take(key, 1.0, 1, 0.0)
    assert not buckets.take("a", 1.0, 1, 0.0)  # used, so b has become the oldest
    assert buckets.take("c", 1.0, 1, 0.0)

    assert len(buckets) == 2
    assert not buckets.take("a", 1.0, 1, 0.0)
    assert buckets.take("b", 1.0, 1, 0.0)


@pytest.mark.parametrize("most", [1, 7, 1000])
def test_many_keys_take_no_more_room(most: int) -> None:
    """Whoever has a network of addresses doesn't fill the memory with counters."""
    buckets = Buckets(most)
    for number in range(10_000):
        assert buckets.take(number, 1.0, 1, 0.0)
        assert len(buckets) == min(number + 1, most)
