"""Guests: what counts as one client, how many of one may come, and that counts go as they came."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv6Address

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.config import Limits
from speedo_trio.events import Address, Refusal
from speedo_trio.io.guests import Guests, origin_of


def tcp(host: str, port: int = 40_000) -> Address:
    """A peer's address."""
    return Address("tcp", host, port)


FOUR, OTHER = tcp("192.0.2.1"), tcp("192.0.2.2")


# Origins


@pytest.mark.parametrize(
    "others",
    [
        ("192.0.2.7", "::ffff:192.0.2.7", "::ffff:c000:207", "0:0:0:0:0:FFFF:C000:0207"),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:DB8:1:2::"),
        ("fe80::1", "fe80::1%eth0", "fe80::2%7"),
        ("::1", "::2", "::192.0.2.7"),
    ],
    ids=["IPv4, mapped too", "64 bits", "scopes", "zero"],
)
def test_one_origin(others: tuple[str, ...]) -> None:
    """Several ways to write an address, and several addresses of one client; no port counts."""
    origins = {origin_of(tcp(host, port)) for port, host in enumerate(others)}

    assert len(origins) == 1
    assert None not in origins


def test_origins_that_differ() -> None:
    """Each IPv4 address is one, and each 64 bits of IPv6; mapped ones are no network of theirs."""
    hosts = ("192.0.2.7", "192.0.2.8", "2001:db8:1:2::1", "2001:db8:1:3::1", "::ffff:1.2.3.4", "::")

    assert len({origin_of(tcp(host)) for host in hosts}) == len(hosts)


@given(st.integers(0, 2**128 - 1), st.integers(0, 2**64 - 1))
def test_origin_of_ipv6_is_its_network(number: int, host: int) -> None:
    """Whatever the last 64 bits are; what maps IPv4 apart."""
    network = number >> 64 << 64 or 1 << 64
    one, other = (tcp(str(IPv6Address(network | part))) for part in (number % 2**64, host))

    assert origin_of(one) == origin_of(other) == network.to_bytes(16)[:8]


@pytest.mark.parametrize(
    "address", [Address("unix"), Address("unix", path="/s"), Address("stream")]
)
def test_peers_without_an_address_have_no_origin(address: Address) -> None:
    """They are never refused for it."""
    guests = Guests(
        Limits(connections_per_address=1, rate_per_address=0.001, burst_per_address=1), 0
    )

    assert origin_of(address) is None
    assert {guests.enter(address, 0.0) for _ in range(5)} == {None}
    for _ in range(5):
        guests.leave(address)


# Connections of an address


def test_connections_of_an_address() -> None:
    """No more than may be; one that leaves makes room for one."""
    guests = Guests(Limits(connections_per_address=2), 0.0)
    assert [guests.enter(FOUR, 0.0) for _ in range(3)] == [None, None, Refusal.ADDRESS_FULL]
    assert guests.enter(OTHER, 0.0) is None

    guests.leave(FOUR)
    assert [guests.enter(FOUR, 0.0) for _ in range(2)] == [None, Refusal.ADDRESS_FULL]


def test_mapped_address_is_the_same_client() -> None:
    """A socket for both families gives its IPv4 peers so."""
    guests = Guests(Limits(connections_per_address=1), 0.0)
    guests.enter(FOUR, 0.0)
    assert guests.enter(tcp("::ffff:192.0.2.1"), 0.0) is Refusal.ADDRESS_FULL

    guests.leave(tcp("::ffff:192.0.2.1"))
    assert guests.enter(FOUR, 0.0) is None


def test_counted_without_a_limit_too() -> None:
    """A limit that is set later counts those who are there."""
    guests = Guests(Limits(), 0.0)
    assert {guests.enter(FOUR, 0.0) for _ in range(100)} == {None}

    guests.limits = Limits(connections_per_address=100)
    assert guests.enter(FOUR, 0.0) is Refusal.ADDRESS_FULL
    assert guests.enter(OTHER, 0.0) is None


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=80), st.integers(1, 5))
def test_counts_go_as_they_came(steps: list[tuple[int, bool]], most: int) -> None:
    """At each moment as many are open as have entered and not left; in the end nothing is kept."""
    guests, open_ = Guests(Limits(connections_per_address=most), 0.0), Counter[int]()
    hosts = [tcp(host) for host in ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:1::1")]
    for number, enters in steps:
        if enters:
            refused = guests.enter(hosts[number], 0.0)
            assert refused is (Refusal.ADDRESS_FULL if open_[number] == most else None)
            open_[number] += refused is None
        elif open_[number]:
            guests.leave(hosts[number])
            open_[number] -= 1
        assert len(guests._open) == len(+open_)
    for number in open_.elements():
        guests.leave(hosts[number])

    assert not guests._open


# Rates


def test_rate_of_an_address() -> None:
    """A burst, then as the rate allows; other addresses don't notice."""
    limits = Limits(rate_per_address=2.0, burst_per_address=3)
    guests = Guests(limits, 0.0)

    assert [guests.enter(FOUR, 0.0) for _ in range(4)] == [None] * 3 + [Refusal.ADDRESS_RATE]
    assert guests.enter(OTHER, 0.0) is None
    assert [guests.enter(FOUR, 0.5) for _ in range(2)] == [None, Refusal.ADDRESS_RATE]


def test_leaving_gives_no_rate_back() -> None:
    """It is about coming, not about being there."""
    guests = Guests(Limits(rate_per_address=1.0, burst_per_address=1), 0.0)
    guests.enter(FOUR, 0.0)
    guests.leave(FOUR)

    assert guests.enter(FOUR, 0.0) is Refusal.ADDRESS_RATE


def test_who_is_refused_for_the_number_uses_up_no_rate() -> None:
    """When there is room again the address has its burst."""
    limits = Limits(connections_per_address=1, rate_per_address=0.001, burst_per_address=2)
    guests = Guests(limits, 0.0)
    guests.enter(FOUR, 0.0)
    assert {guests.enter(FOUR, 0.0) for _ in range(10)} == {Refusal.ADDRESS_FULL}

    guests.leave(FOUR)
    assert guests.enter(FOUR, 0.0) is None


def test_who_is_refused_for_the_rate_is_not_counted_as_open() -> None:
    """Nobody would ever count it as gone."""
    guests = Guests(Limits(rate_per_address=1.0, burst_per_address=1), 0.0)
    guests.enter(FOUR, 0.0)
    assert guests.enter(FOUR, 0.0) is Refusal.ADDRESS_RATE
    guests.leave(FOUR)

    assert not guests._open


def test_rate_in_all() -> None:
    """Whoever comes, from wherever; it tells how long to wait."""
    guests = Guests(Limits(rate=4.0, burst=2), 10.0)
    assert guests.wait(10.0) == 0
    assert [guests.arrive(10.0) for _ in range(3)] == [None, None, Refusal.RATE]

    assert guests.wait(10.0) == 0.25
    assert guests.wait(10.25) == 0
    assert guests.arrive(10.25) is None


def test_without_a_rate() -> None:
    """As many as come."""
    guests = Guests(Limits(), 0.0)

    assert {guests.arrive(0.0) for _ in range(10_000)} == {None}
    assert guests.wait(0.0) == 0


def test_rate_that_is_set_later() -> None:
    """It holds from then on; the burst has not been used up by those before."""
    guests = Guests(Limits(), 0.0)
    for _ in range(5000):
        guests.arrive(0.0)
    guests.limits = evolve(guests.limits, rate=1.0, burst=2)

    assert [guests.arrive(0.0) for _ in range(3)] == [None, None, Refusal.RATE]


def test_rates_of_many_addresses_take_no_more_room() -> None:
    """Those seen longest ago are forgotten."""
    guests = Guests(Limits(rate_per_address=1.0), 0.0)
    for number in range(70_000):
        address = tcp(str(IPv6Address(number << 64 | 1 << 127)))
        assert guests.enter(address, 0.0) is None
        guests.leave(address)

    assert len(guests._each) == 65_536
