"""The schedule: evenly, the clients in turn, and nothing before its time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.cli.bench.schedule import SECOND, Schedule

SCHEDULES = st.builds(
    Schedule,
    start=st.integers(0, 10**15),
    rate=st.floats(0.001, 1e7),
    clients=st.integers(1, 1000),
)


def test_a_table() -> None:
    """Four requests a second by two clients: each sends two, half a second apart."""
    schedule = Schedule(start=0, rate=4, clients=2)

    assert [schedule.moment(n) / SECOND for n in range(4)] == [0, 0.25, 0.5, 0.75]
    assert [schedule.moment_of(1, n) / SECOND for n in range(3)] == [0.25, 0.75, 1.25]
    assert [schedule.due(0, now * SECOND // 8) for now in range(6)] == [1, 1, 1, 1, 2, 2]
    assert [schedule.due(1, now * SECOND // 8) for now in range(6)] == [0, 0, 1, 1, 1, 1]


@given(SCHEDULES, st.integers(0, 10**11))
def test_what_has_passed_was_due(schedule: Schedule, elapsed: int) -> None:
    """And the next one is not."""
    now = schedule.start + elapsed
    passed = schedule.passed(now)

    assert passed == 0 or schedule.moment(passed - 1) <= now
    assert schedule.moment(passed) > now


@given(SCHEDULES, st.integers(-(10**9), 10**10))
def test_the_clients_share_what_is_due(schedule: Schedule, elapsed: int) -> None:
    """All of them together have what has passed, and nobody has two more than another."""
    now = schedule.start + elapsed
    due = [schedule.due(client, now) for client in range(schedule.clients)]

    assert sum(due) == schedule.passed(now)
    assert max(due) - min(due) <= 1


@given(SCHEDULES, st.integers(0, 999), st.integers(0, 10**4))
def test_a_clients_request_is_due_at_its_moment(
    schedule: Schedule, client: int, number: int
) -> None:
    """Not a nanosecond before."""
    client %= schedule.clients
    moment = schedule.moment_of(client, number)

    assert schedule.due(client, moment) > number
    if schedule.moment_of(client, number + 1) > moment:
        assert schedule.due(client, moment - 1) <= number
