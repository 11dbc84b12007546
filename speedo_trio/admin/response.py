"""A response: a status, a body, and the headers that keep browsers from misusing it.

Next: `speedo_trio.admin.guard`.
"""

from __future__ import annotations

import json
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

TEXT = "text/plain; charset=utf-8"

_NOTHING = "default-src 'none'; frame-ancestors 'none'"

_ALWAYS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _NOTHING,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""What every response has, unless it has another value of its own."""


@frozen(kw_only=True)
class Response:
    """What a client gets. Nothing that a peer sent may be in the headers."""

    status: HTTPStatus = HTTPStatus.OK
    body: bytes = b""
    content_type: str = TEXT
    headers: Mapping[str, str] = field(factory=dict)
    """More headers, or other values of those that every response has."""

    def encode(self, *, head: bool = False, last: bool = False) -> bytes:
        """The response on the wire.

        Args:
            head: leave out the body, as HEAD wants it.
            last: say that the connection ends with it.
        """
        headers = {
            "Date": formatdate(usegmt=True),
            "Content-Type": self.content_type,
            "Content-Length": str(len(self.body)),
            **_ALWAYS,
            **self.headers,
        }
        if last:
            headers["Connection"] = "close"
        lines = [f"HTTP/1.1 {self.status.value} {self.status.phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        start = "\r\n".join([*lines, "", ""]).encode("ascii")
        return start if head else start + self.body


def text_response(
    text: str, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response:
    """A line of text."""
    return Response(status=status, body=f"{text}\n".encode(), headers=headers or {})


def json_response(value: object) -> Response:
    """A JSON text; what is not ASCII is escaped, also halves of surrogate pairs."""
    body = json.dumps(value, allow_nan=False).encode("ascii")
    return Response(body=body, content_type="application/json")


def error_response(status: int) -> Response:
    """A status as its own text."""
    known = HTTPStatus(status)
    return text_response(f"{known.value} {known.phrase}", known)
