"""A request: what an HTTP client asks for, as far as the admin endpoint wants to know.

Next: `speedo_trio.admin.parser`, which makes requests out of bytes.
"""

from __future__ import annotations

import re

from attrs import frozen

from speedo_trio.errors import ProtocolError

_ABSOLUTE = re.compile(r"https?://(?P<authority>[^/?]*)(?P<rest>.*)", re.IGNORECASE)
"""A target with its authority, which every server must take (RFC 9112, 3.2.2)."""


class BadRequest(ProtocolError):
    """Bytes that are no request, or one that no server has to understand."""

    def __init__(self, text: str, status: int = 400) -> None:
        """Args: what was wrong, and the status to answer with."""
        super().__init__(text)
        self.status: int = status


@frozen(kw_only=True)
class Request:
    """The head of one request."""

    method: str
    path: str
    """As it came; nothing is decoded, since no path of ours needs it."""
    query: str = ""
    authority: str | None = None
    """The host and port that the client believes to ask; None when it doesn't say."""
    authorization: bytes = b""
    accept: str = ""
    body: bool = False
    """Whether a body follows."""
    last: bool = False
    """Whether the connection ends with the response."""


def make_request(
    method: bytes, target: bytes, headers: dict[bytes, bytes], *, body: bool, last: bool
) -> Request:
    """The request that a head stands for.

    Args:
        method: as it came.
        target: printable ASCII.
        headers: their names in lower case.
        body: whether a body follows.
        last: whether the connection ends with the response.
    """
    text, host = target.decode("ascii"), headers.get(b"host")
    authority = None if host is None else host.decode("latin-1")
    if absolute := _ABSOLUTE.fullmatch(text):  # then Host says nothing
        authority, text = absolute["authority"], absolute["rest"]
        text = text if text.startswith("/") else f"/{text}"
    path, _, query = text.partition("?")
    return Request(
        method=method.decode("ascii"),
        path=path,
        query=query,
        authority=authority,
        authorization=headers.get(b"authorization", b""),
        accept=headers.get(b"accept", b"").decode("latin-1"),
        body=body,
        last=last,
    )
