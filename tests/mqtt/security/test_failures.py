"""Failures: who fails too often isn't looked at, for a while, and little is remembered."""

from __future__ import annotations

import pytest

from speedo_trio.events import Address
from speedo_trio.mqtt.security.addresses import is_local, key_of
from speedo_trio.mqtt.security.failures import PERIOD, Failures


def tcp(host: str) -> Address:
    """A client's address."""
    return Address("tcp", host, 50_000)


ONE, OTHER = tcp("192.0.2.1"), tcp("192.0.2.2")


def fail(failures: Failures, address: Address, now: float) -> bool:
    """A login that fails; whether it was looked at."""
    if not failures.may_try(address, now):
        return False
    failures.charge(address, now)
    return True


def test_too_many_at_once() -> None:
    """An address may fail so often; then it is refused, and others aren't."""
    failures = Failures(3)

    assert [fail(failures, ONE, 0.0) for _ in range(5)] == [True, True, True, False, False]
    assert fail(failures, OTHER, 0.0)
    assert failures.refused == 2


def test_time_makes_room() -> None:
    """One more may fail as soon as its share of the period is over, and all when all of it is."""
    failures = Failures(3)
    for _ in range(3):
        fail(failures, ONE, 0.0)

    assert not failures.may_try(ONE, PERIOD / 3 - 0.1)
    assert fail(failures, ONE, PERIOD / 3 + 0.1)
    assert not failures.may_try(ONE, PERIOD / 3 + 0.1)
    assert [fail(failures, ONE, 10 * PERIOD) for _ in range(4)] == [True, True, True, False]


def test_a_success_costs_nothing() -> None:
    """What was charged is given back."""
    failures = Failures(1)
    for _ in range(5):
        assert fail(failures, ONE, 0.0)
        failures.refund(ONE)
    failures.refund(ONE)

    assert len(failures) == 0


def test_memory_is_bounded() -> None:
    """The one that failed the longest ago is forgotten; who is well again is, too."""
    failures = Failures(2, addresses=10)
    for number in range(30):
        fail(failures, tcp(f"192.0.2.{number}"), float(number) / 1000)
    assert len(failures) == 10
    assert failures.has_room(tcp("192.0.2.1"), 0.03)

    failures.may_try(tcp("192.0.2.29"), 1000.0)
    assert len(failures) == 9


def test_none_is_any_number() -> None:
    """Without a limit nothing is remembered."""
    failures = Failures(None)

    assert all(fail(failures, ONE, 0.0) for _ in range(1000))
    assert len(failures) == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("name", "other", False),
    ],
)
def test_what_counts_as_one(one: str, other: str, *, same: bool) -> None:
    """A subscriber with IPv6 has 64 bits to itself, and counts as one."""
    assert (key_of(tcp(one)) == key_of(tcp(other))) is same


@pytest.mark.parametrize(
    ("address", "local"),
    [
        (tcp("127.0.0.1"), True),
        (tcp("127.8.9.1"), True),
        (tcp("::1"), True),
        (tcp("::ffff:127.0.0.1"), True),
        (Address("unix"), True),
        (Address("stream"), True),
        (tcp("192.0.2.1"), False),
        (tcp("::ffff:192.0.2.1"), False),
        (tcp("0.0.0.0"), False),
        (tcp("localhost"), False),
    ],
)
def test_what_is_local(address: Address, *, local: bool) -> None:
    """Loopback and what can't come from elsewhere."""
    assert is_local(address) is local
