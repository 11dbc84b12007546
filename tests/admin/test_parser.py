"""Bytes to requests."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speedo_trio.admin.parser import RequestParser
from speedo_trio.admin.request import BadRequest, Request
from tests.admin.client import ask


def parsed(*chunks: bytes) -> tuple[list[Request], BadRequest | None]:
    """The requests, and what ended them."""
    parser, found = RequestParser(), []
    try:
        for chunk in chunks:
            for request in parser.feed(chunk):
                found.append(request)  # noqa: PERF402  # those before the error count too
    except BadRequest as error:
        return found, error
    return found, None


def paths(*chunks: bytes) -> list[str]:
    """The paths of the requests; there is no error."""
    found, error = parsed(*chunks)
    assert error is None
    return [request.path for request in found]


@settings(deadline=None)
@given(st.data())
def test_requests_are_the_same_however_they_are_split(data: st.DataObject) -> None:
    """One after another."""
    stream = ask("/1") + ask("/2", "Accept: x", method="HEAD") + ask("/3")
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=8)))
    chunks = [
        stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
    ]

    assert parsed(*chunks) == parsed(stream)
    assert paths(*chunks) == ["/1", "/2", "/3"]


def test_who_wants_to_go_on_may() -> None:
    """HTTP/1.1 keeps the connection."""
    (request,), _ = parsed(ask())

    assert not request.last


@pytest.mark.parametrize(
    "last", [ask("/", "Connection: close"), b"GET / HTTP/1.0\r\n\r\n"], ids=["close", "1.0"]
)
def test_the_last_request_of_a_connection(last: bytes) -> None:
    """What follows is ignored, in the same bytes and in others."""
    parser = RequestParser()
    (request,) = parser.feed(last + ask("/2"))

    assert request.last
    assert parser.ended
    assert list(parser.feed(b"\0")) == []


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        (["Content-Length: 5"], b"hello"),
        (["Content-Length: 00005"], b""),
        (["Transfer-Encoding: chunked"], b"5\r\nhello\r\n0\r\n\r\n"),
        (["Content-Length: 5", "Expect: 100-continue"], b""),
    ],
)
def test_a_request_with_a_body_is_the_last(lines: list[str], body: bytes) -> None:
    """The body is not read, so nothing after it can be found."""
    found, error = parsed(ask("/", *lines, method="POST") + body + ask("/2"))

    assert error is None
    assert [(request.body, request.last) for request in found] == [(True, True)]


@pytest.mark.parametrize("length", ["0", "000", "0, 0"])
def test_a_body_of_nothing_is_none(length: str) -> None:
    """Some clients say so with GET."""
    assert paths(ask("/1", f"Content-Length: {length}") + ask("/2")) == ["/1", "/2"]


@pytest.mark.parametrize(
    "lines", [["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"], ["Expect: 100-continue"]]
)
def test_offers_that_are_not_taken(lines: list[str]) -> None:
    """The connection goes on with HTTP/1.1."""
    assert paths(ask("/1", *lines) + ask("/2")) == ["/1", "/2"]


def test_connect_is_a_request_like_another() -> None:
    """It opens no tunnel: what follows is read as HTTP."""
    assert paths(ask("host:1", method="CONNECT") + ask("/2")) == ["host:1", "/2"]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\0", 400),  # a client of TLS
        (b"hello\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),  # HTTP/0.9
        (b"\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (ask("/", "Host: other"), 400),
        (ask("/", "no colon"), 400),
        (ask("/", "Content-Length: 1", "Content-Length: 2"), 400),
        (ask("/", "Content-Length: -1"), 400),
        (ask("/", f"Content-Length: {'9' * 5000}"), 400),
        (ask("/", "Transfer-Encoding: gzip"), 501),
        (ask("/\0"), 400),
        (ask("/ä"), 400),
    ],
)
def test_what_is_no_request(data: bytes, status: int) -> None:
    """The status tells why; requests before it are given."""
    found, error = parsed(ask("/1") + data)

    assert [request.path for request in found] == ["/1"]
    assert error is not None
    assert error.status == status


@pytest.mark.parametrize("chunk", [1, 1000, 16_384])
def test_a_head_that_does_not_end(chunk: int) -> None:
    """Only so much of it is kept."""
    found, error = parsed(b"GET / HTTP/1.1\r\nX: ", *[b"x" * chunk] * (40_000 // chunk))

    assert found == []
    assert error is not None
    assert error.status == 431


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_garbage(data: bytes) -> None:
    """It is a bad request or waits for more, and nothing else happens."""
    parsed(data)


@settings(deadline=None)
@given(st.data())
def test_damaged_requests(data: st.DataObject) -> None:
    """As well."""
    whole = bytearray(ask("/status?a", "Content-Length: 0", "Connection: keep-alive") * 2)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    parsed(bytes(whole))


def test_a_stream_that_ends_between_requests() -> None:
    """Is as it should be."""
    parser = RequestParser()
    list(parser.feed(ask()))
    parser.eof()


def test_a_stream_that_ends_inside_a_request() -> None:
    """The client erred."""
    parser = RequestParser()
    list(parser.feed(ask()[:-1]))
    with pytest.raises(BadRequest, match="inside a request"):
        parser.eof()


def test_a_stream_that_ends_inside_a_body() -> None:
    """Nobody wanted the body."""
    parser = RequestParser()
    list(parser.feed(ask("/", "Content-Length: 5") + b"he"))
    parser.eof()
