"""What a head stands for."""

from __future__ import annotations

import pytest

from speedo_trio.admin.request import Request, make_request


def made(target: bytes, headers: dict[bytes, bytes]) -> Request:
    """A request without a body."""
    return make_request(b"GET", target, headers, body=False, last=False)


def test_what_is_kept() -> None:
    """Path, query, and the three headers that matter."""
    headers = {
        b"host": b"localhost:9293",
        b"authorization": b"Bearer x",
        b"accept": b"text/plain",
        b"cookie": b"a=b",
    }

    assert made(b"/status?order=sent", headers) == Request(
        method="GET",
        path="/status",
        query="order=sent",
        authority="localhost:9293",
        authorization=b"Bearer x",
        accept="text/plain",
    )


@pytest.mark.parametrize(
    ("target", "authority", "path", "query"),
    [
        (b"/", "host", "/", ""),
        (b"//x/y", "host", "//x/y", ""),
        (b"http://other:1/a?b", "other:1", "/a", "b"),
        (b"HTTPS://other", "other", "/", ""),
        (b"http://other?b", "other", "/", "b"),
        (b"*", "host", "*", ""),
        (b"ftp://other/a", "host", "ftp://other/a", ""),
    ],
)
def test_targets(target: bytes, authority: str, path: str, query: str) -> None:
    """The authority of an absolute target counts, and not Host (RFC 9112, 3.2.2)."""
    request = made(target, {b"host": b"host"})

    assert (authority, path, query) == (request.authority, request.path, request.query)


def test_without_host_there_is_no_authority() -> None:
    """That is HTTP/1.0."""
    assert made(b"/", {}).authority is None


def test_bytes_beyond_ascii_are_no_error() -> None:
    """Each becomes some character."""
    assert made(b"/", {b"host": b"\xff", b"accept": b"\xe9"}).authority == "ÿ"
