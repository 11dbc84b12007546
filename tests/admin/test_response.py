"""Responses on the wire."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from http import HTTPStatus

import pytest

from speedo_trio.admin.response import Response, error_response, json_response, text_response
from tests.admin.client import answers


def test_a_response() -> None:
    """Status, headers and body arrive."""
    (answer,) = answers(text_response("hello", HTTPStatus.IM_A_TEAPOT, {"X": "y"}).encode())

    assert (answer.status, answer.body) == (418, b"hello\n")
    assert answer.headers["content-length"] == "6"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x"] == "y"
    assert "connection" not in answer.headers
    parsedate_to_datetime(answer.headers["date"])


def test_what_keeps_browsers_in_check() -> None:
    """Nothing is stored, guessed, framed, loaded, or told to others."""
    (answer,) = answers(Response().encode())

    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["content-security-policy"] == (
        "default-src 'none'; frame-ancestors 'none'"
    )


def test_a_header_of_its_own_wins() -> None:
    """It is there once."""
    data = Response(headers={"Content-Security-Policy": "other"}).encode()

    assert data.count(b"Content-Security-Policy: ") == 1
    assert answers(data)[0].headers["content-security-policy"] == "other"


def test_head_gets_the_headers_only() -> None:
    """The length is that of the body which it would be."""
    response = text_response("hello")

    assert response.encode().startswith(response.encode(head=True))
    (answer,) = answers(response.encode(head=True), "HEAD")
    assert (answer.headers["content-length"], answer.body) == ("6", b"")


def test_the_last_response_says_so() -> None:
    """The client must not send more."""
    (answer,) = answers(Response().encode(last=True))

    assert answer.headers["connection"] == "close"


def test_json() -> None:
    """ASCII, whatever a peer's name is."""
    value = {"é": ["\udcff", None, 1.5, "</script>"]}
    response = json_response(value)

    assert response.body.isascii()
    (answer,) = answers(response.encode())
    assert answer.json == value
    assert answer.headers["content-type"] == "application/json"


def test_json_has_no_nan() -> None:
    """Which no browser would read."""
    with pytest.raises(ValueError, match="JSON"):
        json_response(float("nan"))


def test_errors() -> None:
    """The status is the text."""
    response = error_response(431)

    assert response.status is HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    assert response.body == b"431 Request Header Fields Too Large\n"
