"""The endpoint as a protocol, with clients of all kinds."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from speedo_trio.admin.endpoint import ADMIN_CONFIG, Admin
from speedo_trio.admin.request import BadRequest
from speedo_trio.admin.site import Site
from speedo_trio.config import Config
from speedo_trio.echo import EchoProtocol
from speedo_trio.errors import ConfigError
from speedo_trio.events import Cause, ConnectionEnded, Event, MessageFailed
from speedo_trio.server import Server, serve
from speedo_trio.testing.driver import Driver, check_splits
from speedo_trio.testing.memory import MemoryServer, serve_in_memory
from tests.admin.client import answers, ask, receive_all


@asynccontextmanager
async def serve_both() -> AsyncIterator[tuple[Server, int]]:
    """A server of echo on loopback, and the port of its endpoint."""
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve, EchoProtocol, "tcp://127.0.0.1:0")
        start = partial(serve, Admin(server), "tcp://127.0.0.1:0", config=ADMIN_CONFIG)
        admin: Server = await nursery.start(start)
        yield server, admin.addresses[0].port
        nursery.cancel_scope.cancel()


# By hand


async def test_requests_are_the_same_however_they_are_split(
    echo: MemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte by byte, and in two parts at every place."""
    now = formatdate(usegmt=True)  # a second may pass
    monkeypatch.setattr("speedo_trio.admin.response.formatdate", lambda **_: now)
    data = ask("/healthz") + ask("/nope", method="HEAD") + ask("/status", method="POST")
    statuses = [
        answer.status
        for answer in answers(check_splits(Admin(echo.server), data), "GET", "HEAD", "POST")
    ]

    assert statuses == [200, 404, 405]


async def test_a_hundred_requests_at_once(driver: Driver) -> None:
    """Each has its response, in their order."""
    paths = ["/healthz", "/nope", "/readyz", "/status"] * 25
    data = b"".join(map(ask, paths))

    assert [answer.status for answer in answers(driver.feed(data))] == [200, 404, 200, 200] * 25
    assert not driver.ended


async def test_close_is_honoured(driver: Driver) -> None:
    """The response says so too, and what follows is not answered."""
    data = driver.feed(ask("/healthz", "Connection: close") + ask("/healthz"))
    (answer,) = answers(data)

    assert answer.headers["connection"] == "close"
    assert driver.connection.closing


async def test_old_clients(driver: Driver) -> None:
    """HTTP/1.0 knows no Host and ends the connection."""
    (answer,) = answers(driver.feed(b"GET /healthz HTTP/1.0\r\n\r\n"))

    assert (answer.status, answer.body) == (200, b"ok\n")
    assert driver.connection.closing


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"garbage\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000, 431)],
)
async def test_what_is_no_request(driver: Driver, data: bytes, status: int) -> None:
    """It is answered, after what came before, and ends the connection as the peer's error."""
    first, last = answers(driver.feed(ask("/healthz"), data))

    assert (first.status, last.status) == (200, status)
    assert last.headers["connection"] == "close"
    assert isinstance(driver.error, BadRequest)


async def test_a_client_that_leaves_inside_a_request(driver: Driver) -> None:
    """Nothing can be answered."""
    driver.feed(b"GET / HT")

    assert driver.eof() == b""
    assert isinstance(driver.error, BadRequest)


async def test_a_client_that_leaves(driver: Driver) -> None:
    """All is well."""
    driver.feed(ask())

    assert driver.eof() == b""
    assert driver.error is None


_PIECES = st.sampled_from(
    [
        *(
            ask("/"),
            ask("/status?order=sent"),
            ask("/metrics", method="HEAD"),
            b"\r\n",
            b"\0",
            b":",
        ),
        *(b"GET / HTTP/1.1\r\n", b"Host: localhost\r\n", b"Content-Length: 3\r\n", b" ", b"\n"),
        *(b"Transfer-Encoding: chunked\r\n", b"Authorization: Basic !\r\n", b"0\r\n\r\n", b"\xff"),
        *(b"Host: [::1\r\n", b"GET http://[/ HTTP/1.1\r\n", b"Expect: 100-continue\r\n"),
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_PIECES | st.binary(max_size=20), max_size=12), st.sampled_from([None, "s3cret"]))
async def test_garbage(chunks: list[bytes], token: str | None) -> None:
    """Whatever comes, the answers are HTTP, and nothing but the peer's error ends a connection."""
    async with serve_in_memory(EchoProtocol) as echo:
        driver = Driver(Admin(echo.server, token=token))
        sent = driver.feed(*chunks)
        driver.eof()

    assert driver.error is None or isinstance(driver.error, BadRequest)
    assert sent.count(b"HTTP/1.1 ") == len(driver.executed)
    statuses = {int(part[:3]) for part in sent.split(b"HTTP/1.1 ")[1:]}
    assert statuses <= {200, 400, 401, 403, 404, 405, 413, 431, 501}


async def test_a_mistake_of_ours(echo: MemoryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is answered for and reported, and the connection goes on."""

    async def respond(*arguments: object) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as context:
        context.setattr(Site, "respond", respond)
        driver = Driver(Admin(echo.server))
        first, second = answers(driver.feed(ask() + ask(method="HEAD")), "GET", "HEAD")

    assert (first.status, first.body) == (500, b"500 Internal Server Error\n")
    assert (second.status, second.body) == (500, b"")
    assert driver.error is None
    assert answers(driver.feed(ask()))[0].status == 200


async def test_a_token_that_is_not_allowed(echo: MemoryServer) -> None:
    """It is told when the endpoint is made."""
    with pytest.raises(ConfigError):
        Admin(echo.server, token="")


async def test_without_h11(echo: MemoryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error tells what to install."""
    monkeypatch.delitem(sys.modules, "speedo_trio.admin.parser")
    monkeypatch.setitem(sys.modules, "h11", None)
    with pytest.raises(ImportError, match=r"pip install 'speedo_trio\[admin\]'"):
        Admin(echo.server)


def test_the_package_needs_no_extra() -> None:
    """`import speedo_trio`, and the room itself, work without h11 and prometheus_client."""
    code = (
        "import sys; sys.modules['h11'] = sys.modules['prometheus_client'] = None\n"
        "import speedo_trio, speedo_trio.admin, speedo_trio.cli.admin"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# By a server


@asynccontextmanager
async def serve_admin_in_memory(
    config: Config = ADMIN_CONFIG,
) -> AsyncIterator[tuple[MemoryServer, list[Event]]]:
    """An endpoint without sockets, and what its observer gets."""
    events: list[Event] = []
    async with (
        serve_in_memory(EchoProtocol) as echo,
        serve_in_memory(Admin(echo.server), config, events.append) as admin,
    ):
        yield admin, events


def causes(events: list[Event]) -> list[Cause]:
    """Why connections ended."""
    return [event.reason.cause for event in events if isinstance(event, ConnectionEnded)]


async def test_a_head_that_comes_byte_by_byte_takes_too_long(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Ten seconds are enough for anybody; a byte now and then doesn't help."""
    async with serve_admin_in_memory() as (admin, events):
        client = admin.connect()
        began = trio.current_time()
        with pytest.raises(trio.BrokenResourceError):  # noqa: PT012  # any of them may find out
            for byte in ask("/" + "x" * 1000):
                await client.send_all(bytes([byte]))
                await trio.sleep(1)
        ended = trio.current_time()
        await trio.testing.wait_all_tasks_blocked()

    assert 10 <= ended - began <= 13
    assert causes(events) == [Cause.FIRST_MESSAGE]


async def test_silent_clients_are_closed(autojump_clock: trio.testing.MockClock) -> None:
    """A minute after their last request."""
    async with serve_admin_in_memory() as (admin, events):
        client = admin.connect()
        await client.send_all(ask())
        data = await receive_all(client)
        ended = trio.current_time()

    assert [answer.status for answer in answers(data)] == [200]
    assert 60 <= ended <= 90
    assert causes(events) == [Cause.IDLE]


async def test_nobody_stays_for_ever(autojump_clock: trio.testing.MockClock) -> None:
    """Even who sends a byte every few seconds has to come again after ten minutes."""
    async with serve_admin_in_memory() as (admin, events):
        client = admin.connect()
        await client.send_all(ask() + b"GET /")
        with pytest.raises(trio.BrokenResourceError):  # noqa: PT012  # any of them may find out
            while True:
                await client.send_all(b"x")
                await trio.sleep(20)
        ended = trio.current_time()

    assert 600 <= ended <= 640
    assert causes(events) == [Cause.LIFETIME]


async def test_a_flood_of_headers_ends_the_connection() -> None:
    """A megabyte is not kept."""
    async with serve_admin_in_memory() as (admin, events):
        client = admin.connect()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send_all, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 170_000)
            data = await receive_all(client)
        await trio.testing.wait_all_tasks_blocked()

    assert [answer.status for answer in answers(data)] == [431]
    assert causes(events) == [Cause.PROTOCOL_ERROR]


async def test_a_client_that_does_not_read() -> None:
    """Its requests wait, and so does what it sends; nothing piles up."""
    async with serve_admin_in_memory() as (admin, _):
        client = admin.connect_lockstep()
        await client.send_all(ask("/") * 40)
        with trio.move_on_after(0.5) as waiting:
            await client.send_all(ask("/") * 200)
            await client.send_all(ask("/") * 200)
        (stats,) = [
            admin.server.connection_stats(connection.id) for connection in admin.server.connections
        ]

    assert waiting.cancelled_caught
    assert stats.unsent < 300_000


async def test_a_mistake_of_ours_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """The observer learns of it."""

    async def respond(*arguments: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Site, "respond", respond)
    async with serve_admin_in_memory() as (admin, events):
        client = admin.connect()
        await client.send_all(ask("/healthz", "Connection: close"))
        data = await receive_all(client)

    assert answers(data)[0].status == 500
    assert [str(event.error) for event in events if isinstance(event, MessageFailed)] == ["a bug"]


# By clients that others wrote


def fetch(port: int, *paths: str) -> list[tuple[int, bytes]]:
    """Statuses and bodies, by one connection of the standard library's client."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    found = []
    for path in paths:
        connection.request("GET", path)
        response = connection.getresponse()
        found.append((response.status, response.read()))
    connection.close()
    return found


async def test_the_standard_library_as_a_client() -> None:
    """It keeps its connection, and the numbers are those of the traffic."""
    async with serve_both() as (server, port):
        stream = await trio.open_tcp_stream("127.0.0.1", server.addresses[0].port)
        await stream.send_all(b"hello\n")
        await stream.receive_some()
        health, status, one, gone = await trio.to_thread.run_sync(
            fetch, port, "/healthz", "/status", "/status/connections/1", "/status/connections/2"
        )
        await stream.aclose()

    assert health == (200, b"ok\n")
    told: dict[str, Any] = json.loads(status[1])
    assert told["bytes"] == {"received": 6, "sent": 6}
    assert json.loads(one[1])["sent"] == 6
    assert gone[0] == 404


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["/readyz"], "200"),
        (["/status", "--head"], "200"),
        (["/status", "--http2"], "200"),
        (["/status", "--http1.0"], "200"),
        (["/status", "--data", "x" * 100_000], "405"),
        (["/status", "--get", "--data", "order=sent"], "200"),
        (["/status", "--header", "Host: evil.example"], "403"),
        (["/nope"], "404"),
    ],
)
async def test_curl_as_a_client(words: list[str], status: str) -> None:
    """In all its ways."""
    path, *options = words
    async with serve_both() as (_, port):
        command = ["curl", "--silent", "--max-time", "30", "--output", "-", *options]
        done = await trio.run_process(
            [*command, "--write-out", "\n%{http_code}", f"http://localhost:{port}{path}"],
            capture_stdout=True,
        )

    assert done.stdout.decode().rpartition("\n")[2] == status


async def test_many_clients_at_once() -> None:
    """More than there may be are refused; the others are answered."""
    statuses: list[int] = []
    async with serve_both() as (_, port):

        async def client() -> None:
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(ask("/status", "Connection: close"))
                statuses.extend(answer.status for answer in answers(await receive_all(stream)))

        for _ in range(3):
            async with trio.open_nursery() as nursery:
                for _ in range(50):
                    nursery.start_soon(client)

    assert statuses == [200] * 150


async def test_it_outlives_the_server() -> None:
    """And tells of its end."""
    async with serve_both() as (server, port):
        before = await trio.to_thread.run_sync(fetch, port, "/readyz", "/healthz")
        await server.drain()
        after = await trio.to_thread.run_sync(fetch, port, "/readyz", "/healthz")

    assert before == [(200, b"ready\n"), (200, b"ok\n")]
    assert after == [(503, b"ended\n"), (200, b"ok\n")]
