"""Guests: who is connected from where, and who may not come in for that."""

from __future__ import annotations

import socket
from collections import Counter
from typing import TYPE_CHECKING, TypeAlias

from speedo_trio.events import Refusal
from speedo_trio.io.rate import Buckets, TokenBucket

if TYPE_CHECKING:
    from speedo_trio.config import Limits
    from speedo_trio.events import Address

_BUCKETS = 65_536
"""Addresses whose rate is remembered: thirteen megabytes."""

Origin: TypeAlias = str | bytes

_MAPPED = bytes(10) + b"\xff\xff"
"""What an IPv4 address begins with when IPv6 carries it (RFC 4291, 2.5.5.2)."""


def origin_of(address: Address) -> Origin | None:
    """What one client has: an IPv4 address, or an IPv6 network of 64 bits (RFC 6177).

    None for peers without an address, such as those of Unix sockets: no limit is for them.
    """
    if address.scheme != "tcp":
        return None
    if ":" not in address.host:
        return address.host
    packed = socket.inet_pton(socket.AF_INET6, address.host.partition("%")[0])
    if packed.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return packed[:8]


class Guests:
    """Counts connections by origin, and new ones by time."""

    def __init__(self, limits: Limits, now: float) -> None:
        self.limits: Limits = limits
        """What applies to those who come from now on."""
        self._open: Counter[Origin] = Counter()
        self._all = TokenBucket(limits.burst, now)
        self._each = Buckets(_BUCKETS)

    def wait(self, now: float) -> float:
        """Seconds until the rate in all allows another connection; 0 when it does."""
        limits = self.limits
        return 0.0 if limits.rate is None else self._all.wait(limits.rate, limits.burst, now)

    def arrive(self, now: float) -> Refusal | None:
        """Count a new connection from wherever; why it is to be refused, if it is."""
        limits = self.limits
        if limits.rate is None or self._all.take(limits.rate, limits.burst, now):
            return None
        return Refusal.RATE

    def enter(self, address: Address, now: float) -> Refusal | None:
        """Count a connection of this address as open; or why it is to be refused.

        `leave` follows for each that was not refused.
        """
        origin, limits = origin_of(address), self.limits
        if origin is None:
            return None
        rate, most = limits.rate_per_address, limits.connections_per_address
        if most is not None and self._open[origin] >= most:
            return Refusal.ADDRESS_FULL
        burst = limits.burst_per_address
        if rate is not None and not self._each.take(origin, rate, burst, now):
            return Refusal.ADDRESS_RATE
        self._open[origin] += 1
        return None

    def leave(self, address: Address) -> None:
        """A connection that had entered has ended."""
        origin = origin_of(address)
        if origin is None:
            return
        self._open[origin] -= 1
        if not self._open[origin]:
            del self._open[origin]
