"""Trusted networks: which texts are some, and which addresses are in them."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.errors import ConfigError
from speedo_trio.events import Address
from speedo_trio.io.networks import DEFAULT_TRUSTED, TrustedNetworks, parse_networks


def tcp(host: str) -> Address:
    """Some peer there."""
    return Address("tcp", host=host, port=50_000)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("127.0.0.0/8,::1,10.1.2.3", "127.0.0.1", "126.255.255.255"),
        ("127.0.0.0/8,::1,10.1.2.3", "127.255.255.255", "128.0.0.0"),
        ("127.0.0.0/8,::1,10.1.2.3", "::1", "::2"),
        ("127.0.0.0/8,::1,10.1.2.3", "10.1.2.3", "10.1.2.4"),
        ("127.0.0.0/8,::1,10.1.2.3", "::ffff:10.1.2.3", "::ffff:10.1.2.4"),
        ("127.0.0.0/8,::1,10.1.2.3", "::ffff:a01:203", "::10.1.2.3"),
        (" 10.0.0.0/8 , fd00::/8 ", "fdff::1", "fe00::1"),
        ("10.0.0.0/255.0.0.0", "10.9.9.9", "11.0.0.0"),
        ("0.0.0.0/0", "203.0.113.7", "2001:db8::7"),
        ("0.0.0.0/0", "::ffff:203.0.113.7", "2001:db8::7"),
        ("::/0", "2001:db8::7", "203.0.113.7"),
        ("::/0", "2001:db8::7", "::ffff:203.0.113.7"),
        ("::ffff:10.0.0.0/104", "10.1.2.3", "11.1.2.3"),
        ("::ffff:10.0.0.0/104", "::ffff:10.1.2.3", "::ffff:11.1.2.3"),
        ("::ffff:10.1.2.3", "10.1.2.3", "10.1.2.4"),
        ("fe80::/10", "fe80::1%eth0", "fec0::1%eth0"),
    ],
)
def test_addresses_in_and_out(text: str, inside: str, outside: str) -> None:
    """Of both families; an IPv4-mapped address is the IPv4 address, in the text as well."""
    networks = parse_networks(text)

    assert tcp(inside) in networks
    assert tcp(outside) not in networks


@pytest.mark.parametrize("text", ["", "10.0.0.0/8", "0.0.0.0/0,::/0"])
def test_unix_peers_are_trusted(text: str) -> None:
    """The permissions of the socket's file have let them in, named or not."""
    assert Address("unix") in parse_networks(text)
    assert Address("unix", path="/run/proxy.sock") in parse_networks(text)


@pytest.mark.parametrize(
    "address", [Address("stream"), tcp(""), tcp("localhost"), tcp("10.0.0.0/8"), tcp("0x7f.1")]
)
def test_what_has_no_ip_address_is_not_trusted(address: Address) -> None:
    """Not even by those who trust everybody."""
    assert address not in parse_networks("0.0.0.0/0,::/0")


def test_empty_text_trusts_no_network() -> None:
    """Neither does one of blanks."""
    assert parse_networks("") == parse_networks("  ") == TrustedNetworks(())
    assert tcp("127.0.0.1") not in parse_networks("")
    assert str(parse_networks("")) == ""


def test_default_is_loopback() -> None:
    """And nothing else."""
    assert str(DEFAULT_TRUSTED) == "127.0.0.0/8,::1"
    assert tcp("127.1.2.3") in DEFAULT_TRUSTED
    assert tcp("::1") in DEFAULT_TRUSTED
    assert tcp("::ffff:127.0.0.1") in DEFAULT_TRUSTED
    assert tcp("10.0.0.1") not in DEFAULT_TRUSTED
    assert tcp("0.0.0.0") not in DEFAULT_TRUSTED


@pytest.mark.parametrize(
    ("text", "item"),
    [
        (",", "''"),
        ("127.0.0.1,", "''"),
        ("127.0.0.1,,::1", "''"),
        ("127.0.0.1;::1", "'127.0.0.1;::1'"),
        ("127.0.0.1 ::1", "'127.0.0.1 ::1'"),
        ("::1, localhost", "'localhost'"),
        ("10.1.2.3/8,::1", "'10.1.2.3/8'"),
        ("::1/64", "'::1/64'"),
        ("10.0.0.0/33", "'10.0.0.0/33'"),
        ("10.0.0.0/-1", "'10.0.0.0/-1'"),
        ("10.0.0.0/", "'10.0.0.0/'"),
        ("10.0.0", "'10.0.0'"),
        ("010.0.0.1", "'010.0.0.1'"),
        ("10.0.0.256", "'10.0.0.256'"),
        ("167772161", "'167772161'"),
        ("::1/129", "'::1/129'"),
        ("1::2::3", "'1::2::3'"),
        ("[::1]", "'[::1]'"),
        ("fe80::%eth0/10", "'fe80::%eth0/10'"),
        ("fe80::1%eth0", "'fe80::1%eth0'"),
        ("*", "'*'"),
        ("tcp://10.0.0.1", "'tcp://10.0.0.1'"),
        ("1\uff10.0.0.1", "'1\uff10.0.0.1'"),
    ],
)
def test_mistakes_are_named(text: str, item: str) -> None:
    """The text says which item it is and what is allowed."""
    with pytest.raises(ConfigError) as refused:
        parse_networks(text)

    assert str(refused.value).startswith(f"{item} is no network: ")
    assert "; allowed are " in str(refused.value)


def test_allowed_examples_are_allowed() -> None:
    """What the error's text offers parses."""
    with pytest.raises(ConfigError) as refused:
        parse_networks("x")
    _, _, examples = str(refused.value).partition(" such as ")

    assert len(parse_networks(examples.replace(" and ", ",")).networks) == 4


def network_of(address: int, prefix: int, bits: int) -> IPv4Network | IPv6Network:
    """The network of that prefix around the address."""
    base = address >> bits - prefix << bits - prefix
    return IPv4Network((base, prefix)) if bits == 32 else IPv6Network((base, prefix))


NETWORKS = st.lists(
    st.one_of(
        st.builds(network_of, st.integers(0, 2**32 - 1), st.integers(0, 32), st.just(32)),
        st.builds(network_of, st.integers(0, 2**128 - 1), st.integers(0, 128), st.just(128)),
        st.builds(
            lambda address, prefix: network_of((0xFFFF << 32) + address, 96 + prefix, 128),
            st.integers(0, 2**32 - 1),
            st.integers(0, 32),
        ),
    )
)


@given(NETWORKS)
def test_str_parses_back(networks: list[IPv4Network | IPv6Network]) -> None:
    """The same networks in the same order."""
    trusted = parse_networks(",".join(map(str, networks)))

    assert parse_networks(str(trusted)) == trusted == TrustedNetworks(networks)


def wide(version: int, address: int) -> int:
    """Among the IPv6 addresses; an IPv4 address is the IPv4-mapped one."""
    return address if version == 6 else (0xFFFF << 32) + address


def is_within(address: int, network: IPv4Network | IPv6Network) -> bool:
    """Whether the leading bits are the same, and the network is not of more than IPv4 addresses."""
    width = network.prefixlen + (96 if network.version == 4 else 0)
    base = wide(network.version, int(network.network_address))
    return base >> 128 - width == address >> 128 - width and (
        width >= 96 or address >> 32 != 0xFFFF
    )


@given(NETWORKS.filter(bool), st.data())
def test_membership_is_that_of_leading_bits(
    networks: list[IPv4Network | IPv6Network], data: st.DataObject
) -> None:
    """Seen from addresses that differ from one of the networks in some bits."""
    near = data.draw(st.sampled_from(networks))
    bits = data.draw(st.sets(st.integers(0, near.max_prefixlen - 1), max_size=3))
    address = ip_address(near.network_address.packed)
    address = type(address)(int(address) ^ sum(1 << bit for bit in bits))
    expected = any(is_within(wide(address.version, int(address)), network) for network in networks)

    assert expected == (tcp(str(address)) in TrustedNetworks(networks))
