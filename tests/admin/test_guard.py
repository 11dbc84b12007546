"""Whose requests are answered."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speedo_trio.admin.guard import Guard, is_loopback
from speedo_trio.admin.request import Request
from speedo_trio.errors import ConfigError
from speedo_trio.events import Address

LOCAL = Address("tcp", host="127.0.0.1", port=9293)
LAN = Address("tcp", host="192.0.2.7", port=9293)
TOKEN = "s3cret:with:colons"


def status(
    guard: Guard, host: str | None = "localhost", local: Address = LOCAL, path: str = "/status"
) -> int:
    """The status of a request without a token."""
    refusal = guard.refusal(Request(method="GET", path=path, authority=host), local)
    return 200 if refusal is None else refusal.status.value


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:1", "LocalHost.", "a.localhost", "127.0.0.1:9293", "127.8.9.10"),
        *("[::1]", "[::1]:9293", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]"),
    ],
)
def test_loopback_is_answered(host: str) -> None:
    """By name and address, with any port: it may be a tunnel's."""
    assert status(Guard(), host) == 200
    assert status(Guard(), host, local=LAN) == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:9293", "localhost.evil.example", "127.0.0.1.evil.example"),
        *("notlocalhost", "", ":80", "[", "[::1", "::1", "[::2]", "[::1]x", "0.0.0.0", "127.1"),
        *("user@localhost", "localhost@evil.example", "localhost, evil.example", "localhost:x"),
        *("192.0.2.7", "2130706433", "0x7f.0.0.1", "localhost\tx", "ÿ", "[::ffff:8.8.8.8]"),
    ],
)
def test_other_names_are_not(host: str) -> None:
    """A stranger's page may have its name lead here (DNS rebinding)."""
    assert status(Guard(), host) == 403


def test_the_health_is_no_exception() -> None:
    """Without a token all paths are guarded."""
    assert status(Guard(), "evil.example", path="/healthz") == 403


def test_the_address_that_the_client_connected_to() -> None:
    """A page can't have that name unless it comes from there."""
    six = Address("tcp", host="2001:db8::7", port=1)

    assert status(Guard(), "192.0.2.7:9293", local=LAN) == 200
    assert status(Guard(), "192.0.2.8:9293", local=LAN) == 403
    assert status(Guard(), "[2001:DB8:0::7]", local=six) == 200


def test_names_that_were_given() -> None:
    """Case and the root's dot don't matter."""
    guard = Guard(hosts=["Admin.Example"])

    assert status(guard, "admin.example.:443") == 200
    assert status(guard, "other.example") == 403


def test_who_sends_no_host() -> None:
    """Is an old health check, and no browser."""
    assert status(Guard(), None) == 200


def test_unix_sockets_are_guarded_by_their_permissions() -> None:
    """No browser gets there."""
    assert status(Guard(), "evil.example", local=Address("unix", path="/s")) == 200


def authorized(authorization: bytes, path: str = "/status") -> bool:
    """Whether a request is answered that has this header."""
    request = Request(
        method="GET", path=path, authority="evil.example", authorization=authorization
    )
    refusal = Guard(token=TOKEN).refusal(request, LAN)
    assert refusal is None or refusal.status.value == 401
    return refusal is None


@pytest.mark.parametrize(
    "authorization",
    [
        b"Bearer " + TOKEN.encode(),
        b"bearer   " + TOKEN.encode(),
        b"Basic " + b64encode(b"me:" + TOKEN.encode()),
        b"BASIC " + b64encode(b":" + TOKEN.encode()),
    ],
)
def test_the_token_is_enough(authorization: bytes) -> None:
    """As a bearer's, or as a password for any name; then no name is asked for."""
    assert authorized(authorization)


@pytest.mark.parametrize(
    "authorization",
    [
        *(b"", b"Bearer", b"Bearer ", b"Bearer x", TOKEN.encode(), b"Basic", b"Basic !"),
        b"Bearer " + TOKEN.encode()[:-1],
        b"Bearer " + TOKEN.encode() + b"x",
        b"Bearer \xff",
        b"Digest " + TOKEN.encode(),
        b"Basic " + TOKEN.encode(),
        b"Basic " + b64encode(TOKEN.encode()),  # what is before the first colon is a name
        b"Basic " + b64encode(b"me:"),
        b"Basic " + b64encode(b"me:\xff"),
    ],
)
def test_anything_else_is_not(authorization: bytes) -> None:
    """Also from loopback."""
    assert not authorized(authorization)


@settings(deadline=None)
@given(st.binary(max_size=50))
def test_garbage_is_refused(garbage: bytes) -> None:
    """And raises nothing."""
    assert not authorized(garbage)
    assert not authorized(b"Basic " + garbage)


def test_browsers_are_told_to_ask_for_it() -> None:
    """By the challenge."""
    refusal = Guard(token=TOKEN).refusal(Request(method="GET", path="/"), LOCAL)

    assert refusal is not None
    assert refusal.headers["WWW-Authenticate"].startswith('Basic realm="')


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_needs_no_token(path: str) -> None:
    """Who asks for it, often can't send one."""
    assert authorized(b"", path)


@pytest.mark.parametrize("path", ["/healthz/", "/healthz/../status", "//healthz", "/healthz?x"])
def test_only_these_paths_need_none(path: str) -> None:
    """Nothing that looks like them."""
    assert not authorized(b"", path)


@pytest.mark.parametrize("token", ["", "a b", "é", "a\n", "\0"])
def test_tokens_that_no_header_can_have(token: str) -> None:
    """They are refused, and not shown."""
    with pytest.raises(ConfigError, match="printable ASCII") as refused:
        Guard(token=token)

    assert not token or token not in str(refused.value)


def test_the_token_is_not_shown() -> None:
    """A traceback may have the guard in it."""
    assert TOKEN not in repr(Guard(token=TOKEN))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "x.localhost"])
def test_is_loopback(host: str) -> None:
    """Names and addresses."""
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "192.0.2.7", "example.com"])
def test_is_not_loopback(host: str) -> None:
    """Least of all every address."""
    assert not is_loopback(host)
