"""Trusted networks: from which addresses a PROXY header is believed."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, TypeAlias

from attrs import field, frozen

from speedo_trio.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from speedo_trio.events import Address

Network: TypeAlias = IPv4Network | IPv6Network

_MAPPED = IPv6Network("::ffff:0:0/96")
"""IPv4 addresses as IPv6 writes them (RFC 4291, 2.5.5.2). A socket for both families gives its
IPv4 peers so."""


def _unmapped(network: Network) -> Network:
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        address = network.network_address.ipv4_mapped
        assert address is not None
        return IPv4Network((address, network.prefixlen - _MAPPED.prefixlen))
    return network


def _all_unmapped(networks: Iterable[Network]) -> tuple[Network, ...]:
    return tuple(map(_unmapped, networks))


@frozen
class TrustedNetworks:
    """Addresses that are believed. ``str()`` gives a text that `parse_networks` reads.

    ::

        Address("tcp", host="127.0.0.1", port=50_000) in DEFAULT_TRUSTED
    """

    networks: tuple[Network, ...] = field(converter=_all_unmapped)
    """IPv4-mapped networks become those of IPv4, as the addresses do."""

    def __contains__(self, address: Address) -> bool:
        """Whether who connects from there is trusted.

        A Unix peer always is: the permissions of the socket's file decided who could connect. An
        IPv4-mapped address is the IPv4 address: ``::/0`` doesn't have it, ``0.0.0.0/0`` has. What
        has no IP address, such as a stream that the application brought, is not trusted.
        """
        if address.scheme == "unix":
            return True
        try:
            host = ip_address(address.host)
        except ValueError:
            return False
        if isinstance(host, IPv6Address):
            host = host.ipv4_mapped or host
        return any(host in network for network in self.networks)

    def __str__(self) -> str:
        return ",".join(map(_text, self.networks))


def _text(network: Network) -> str:
    """Without the prefix's length when it is one address."""
    single = network.prefixlen == network.max_prefixlen
    return str(network.network_address if single else network)


def parse_networks(text: str) -> TrustedNetworks:
    """Read addresses and networks with commas between them: ``127.0.0.0/8,::1,10.1.2.3``.

    Blanks around them don't matter. An empty text trusts nobody but Unix peers.

    Raises:
        ConfigError: one of them is neither an address nor a network, or has bits set beyond its
            prefix, such as ``10.1.2.3/8``, of which nobody knows what was meant.
    """
    items = [item.strip() for item in text.split(",")] if text.strip() else []
    return TrustedNetworks(map(_network, items))


def _network(item: str) -> Network:
    allowed = "allowed are addresses and networks such as 127.0.0.0/8, 10.1.2.3, ::1 and fd00::/8"
    if "%" in item:  # ipaddress takes scopes; an Address has none
        raise ConfigError(f"{item!r} is no network: it has a scope; {allowed}")
    try:
        return ip_network(item)
    except ValueError as error:
        raise ConfigError(f"{item!r} is no network: {error}; {allowed}") from error


DEFAULT_TRUSTED = parse_networks("127.0.0.0/8,::1")
"""This machine, by loopback."""
