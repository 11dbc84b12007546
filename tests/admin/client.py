"""An HTTP client for the tests: requests as text, responses by h11, which is no code of ours."""

from __future__ import annotations

import json
from typing import Any

import h11
import trio
from attrs import frozen

from speedo_trio.testing.driver import Driver


def ask(path: str = "/healthz", *lines: str, method: str = "GET", host: str = "localhost") -> bytes:
    """A request as it goes over the wire."""
    head = [f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, "", ""]
    return "\r\n".join(head).encode("latin-1")


@frozen(kw_only=True)
class Answer:
    """A response as a client sees it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.body)


def answers(data: bytes, *methods: str) -> list[Answer]:
    """All responses in what a server sent, to requests of those methods; GET for what is more."""
    found: list[Answer] = []
    client = h11.Connection(h11.CLIENT)
    client.receive_data(data)
    while client.trailing_data[0]:
        method = methods[len(found)] if len(found) < len(methods) else "GET"
        client.send(h11.Request(method=method, target="/", headers=[("Host", "localhost")]))
        client.send(h11.EndOfMessage())
        found.append(_next(client))
        if client.their_state is h11.DONE:
            client.start_next_cycle()
    return found


def _next(client: h11.Connection) -> Answer:
    head = client.next_event()
    assert isinstance(head, h11.Response), head
    body = b""
    while isinstance(part := client.next_event(), h11.Data):
        body += part.data
    assert isinstance(part, h11.EndOfMessage), part
    headers = {name.decode(): value.decode() for name, value in head.headers}
    return Answer(status=head.status_code, headers=headers, body=body)


def get(driver: Driver, path: str, *lines: str, host: str = "localhost") -> Answer:
    """The response to one request."""
    (answer,) = answers(driver.feed(ask(path, *lines, host=host)))
    return answer


async def receive_all(stream: trio.abc.ReceiveStream) -> bytes:
    """What the server sends until it closes."""
    return b"".join([bytes(data) async for data in stream])
