"""Addresses of clients: what one counts as, and whether it is of this machine.

Next: `speedo_trio.mqtt.security.failures`.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from speedo_trio.events import Address


def key_of(address: Address) -> str:
    """What an address counts as: of IPv6 the first 64 bits, which one subscriber has for itself."""
    found = _ip(address)
    if found is None:
        return address.host or address.scheme
    return found.packed[:8].hex() if isinstance(found, IPv6Address) else str(found)


def is_local(address: Address) -> bool:
    """Whether who has it is on this machine: loopback, a Unix socket, a stream of the program."""
    if address.scheme in ("unix", "stream"):
        return True
    found = _ip(address)
    return found is not None and found.is_loopback


def _ip(address: Address) -> IPv4Address | IPv6Address | None:
    """The address as a number, IPv4 also where it came as IPv6; None: it has none."""
    try:
        found = ip_address(address.host.partition("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped if isinstance(found, IPv6Address) else None) or found
