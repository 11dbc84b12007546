"""A parser: bytes in, requests of HTTP/1.1 out, by h11; no I/O.

Next: `speedo_trio.admin.response`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import h11

from speedo_trio.admin.request import BadRequest, make_request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from speedo_trio.admin.request import Request

_HEAD_BYTES = 16_384
"""The longest head of a request that is waited for: its line and headers. Browsers send one or two
thousand bytes. A read may be on top."""

_INSTEAD = h11.Response(status_code=400, headers=[("Content-Length", "0")])
"""Tells h11 that a request was answered, so that it goes on to the next. The real response is made
later, by a message. This one is no success, since that would turn a CONNECT into a tunnel."""


class RequestParser:
    """The requests of one connection. Bodies are not read: a request that has one is the last."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_BYTES)
        self.ended: bool = False
        """Whether what comes from now on is ignored: the last request was given, or a bad one."""

    def feed(self, data: bytes) -> Iterator[Request]:
        """Give the requests that `data` completes; exhaust it before the next call.

        Raises:
            BadRequest: the bytes are no request; those before were given.
        """
        if self.ended:
            return
        self._http.receive_data(data)
        while not self.ended and (request := self._next()) is not None:
            yield request

    def eof(self) -> None:
        """The client sends no more.

        Raises:
            BadRequest: it ended inside a request.
        """
        if not self.ended and self._http.trailing_data[0]:
            raise BadRequest("the stream ended inside a request")

    def _next(self) -> Request | None:
        try:
            head = self._http.next_event()
        except h11.RemoteProtocolError as error:
            self.ended = True
            raise BadRequest(str(error), error.error_status_hint) from error
        if not isinstance(head, h11.Request):
            return None  # h11.NEED_DATA
        headers = dict(head.headers)  # the last of each name; of Host there is one only
        body = _has_body(headers)
        self.ended = body or not self._go_on()
        return make_request(head.method, head.target, headers, body=body, last=self.ended)

    def _go_on(self) -> bool:
        """Leave a request that has no body behind; whether another may follow."""
        self._http.next_event()  # h11.EndOfMessage
        self._http.send(_INSTEAD)
        self._http.send(h11.EndOfMessage())
        if self._http.our_state is not h11.DONE:
            return False  # the client said close, or speaks HTTP/1.0
        self._http.start_next_cycle()
        return True


def _has_body(headers: dict[bytes, bytes]) -> bool:
    length = headers.get(b"content-length", b"")  # digits, says h11
    return b"transfer-encoding" in headers or length.strip(b"0") != b""
