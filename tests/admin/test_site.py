"""Which path gives what."""

from __future__ import annotations

import sys

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from speedo_trio.admin.endpoint import Admin
from speedo_trio.echo import EchoProtocol
from speedo_trio.meter import Meter
from speedo_trio.server import serve
from speedo_trio.testing.driver import Driver
from speedo_trio.testing.memory import MemoryServer
from tests.admin.client import answers, ask, get
from tests.admin.conftest import talk


async def test_health(driver: Driver) -> None:
    """It is well as long as it can say so."""
    answer = get(driver, "/healthz")

    assert (answer.status, answer.body) == (200, b"ok\n")


async def test_readiness(echo: MemoryServer, driver: Driver) -> None:
    """While the server accepts nobody, it tells why."""
    ready = get(driver, "/readyz")
    echo.server.pause()
    paused = get(driver, "/readyz")
    echo.server.resume()

    assert (ready.status, ready.body) == (200, b"ready\n")
    assert (paused.status, paused.body) == (503, b"paused\n")
    assert get(driver, "/readyz").status == 200


async def test_readiness_of_a_server_that_ends() -> None:
    """Draining, then ended; it is well all the time."""
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, EchoProtocol)
        driver = Driver(Admin(server))
        client, peer = trio.testing.memory_stream_pair()
        nursery.start_soon(server.serve_stream, peer)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(server.drain)
        await trio.testing.wait_all_tasks_blocked()
        draining = get(driver, "/readyz")
        await client.aclose()
    ended = get(driver, "/readyz")

    assert (draining.status, draining.body) == (503, b"draining\n")
    assert (ended.status, ended.body) == (503, b"ended\n")
    assert get(driver, "/healthz").status == 200
    assert get(driver, "/status").json["state"] == "ended"


async def test_status(echo: MemoryServer, driver: Driver) -> None:
    """Of the server, and its connections."""
    await talk(echo, 2)
    status = get(driver, "/status").json

    assert status["messages"]["executed"] == 2
    assert status["order"] == "id"
    assert [one["executed"] for one in status["listed"]] == [2]
    assert status["uptime"] >= 0


async def test_status_in_another_order(echo: MemoryServer, driver: Driver) -> None:
    """Those with most of it come first."""
    for lines in 1, 3, 2:
        await talk(echo, lines)
    status = get(driver, "/status?order=executed").json

    assert status["order"] == "executed"
    assert [one["id"] for one in status["listed"]] == [2, 3, 1]


@pytest.mark.parametrize(
    "query", ["order=peer", "order=", "order=__class__", "sort=id", "order=id&order=id", "x", "&&&"]
)
async def test_orders_that_there_are_not(driver: Driver, query: str) -> None:
    """The text tells which there are."""
    answer = get(driver, f"/status?{query}")

    assert answer.status == 400
    assert b"executed" in answer.body


async def test_timings(echo: MemoryServer) -> None:
    """With a meter."""
    driver = Driver(Admin(echo.server, meter=Meter()))

    assert get(driver, "/status").json["timings"]["turns"]["count"] == 0


async def test_one_connection(echo: MemoryServer, driver: Driver) -> None:
    """While it is open."""
    stream = await talk(echo, 2)
    number = echo.server.connections[0].id
    found = get(driver, f"/status/connections/{number}")
    await stream.aclose()
    await trio.testing.wait_all_tasks_blocked()

    assert found.json["executed"] == 2
    assert get(driver, f"/status/connections/{number}").status == 404


@pytest.mark.parametrize("number", ["", "0", "x", "-1", "1/", "1.0", "9" * 18, "9" * 5000, "٣"])
async def test_connections_that_there_are_not(driver: Driver, number: str) -> None:
    """Whatever the number is."""
    path = f"/status/connections/{number}"
    data = driver.feed(ask("/", method="GET").replace(b"/ ", path.encode() + b" ", 1))

    assert answers(data)[0].status == (404 if number.isascii() else 400)


async def test_metrics_agree_with_the_traffic(echo: MemoryServer, driver: Driver) -> None:
    """As Prometheus's own parser reads them."""
    for lines in 3, 4:
        await talk(echo, lines)
    answer = get(driver, "/metrics")
    families = text_string_to_metric_families(answer.body.decode())
    values = {sample.name: sample.value for family in families for sample in family.samples}

    assert answer.headers["content-type"].startswith("text/plain")
    assert values["speedo_trio_messages_executed_total"] == 7
    assert values["speedo_trio_connections"] == 2
    assert values["speedo_trio_received_bytes_total"] == 14


async def test_metrics_without_prometheus(
    echo: MemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest works, and this tells what to install."""
    for name in [*sys.modules]:
        if name.startswith(("prometheus_client", "speedo_trio.admin.metrics")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    driver = Driver(Admin(echo.server))
    answer = get(driver, "/metrics")

    assert (answer.status, get(driver, "/status").status) == (501, 200)
    assert b"pip install 'speedo_trio[metrics]'" in answer.body


async def test_the_page(driver: Driver) -> None:
    """Is at the root."""
    assert get(driver, "/").headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize(
    "path", ["/nope", "/status/", "//", "/../etc/passwd", "/%68ealthz", "/healthz%00", "*", "x"]
)
async def test_other_paths(driver: Driver, path: str) -> None:
    """There is nothing."""
    assert get(driver, path).status == 404


async def test_a_path_with_its_host(driver: Driver) -> None:
    """A target may be a whole URL; then its host is the one that is guarded."""
    good = get(driver, "http://localhost/healthz", host="evil.example")
    bad = get(driver, "http://evil.example/healthz")

    assert (good.status, bad.status) == (200, 403)


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/metrics", "/status", "/nope"])
async def test_head_is_get_without_the_body(driver: Driver, path: str) -> None:
    """Of every path."""
    (answer,) = answers(driver.feed(ask(path, method="HEAD")), "HEAD")
    full = get(driver, path)

    assert (answer.status, answer.body) == (full.status, b"")
    assert answer.headers["content-type"] == full.headers["content-type"]
    assert int(answer.headers["content-length"]) > 0


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "get"])
async def test_other_methods(driver: Driver, method: str) -> None:
    """Nothing can be changed; the connection goes on."""
    (answer,) = answers(driver.feed(ask("/status", method=method)), method)

    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD"
    assert get(driver, "/healthz").status == 200


async def test_a_connect_is_refused(driver: Driver) -> None:
    """It is no proxy."""
    data = driver.feed(ask("evil.example:443", method="CONNECT"))

    assert data.startswith(b"HTTP/1.1 405 ")


@pytest.mark.parametrize(("method", "status"), [("GET", 413), ("POST", 405)])
async def test_bodies_are_not_read(driver: Driver, method: str, status: int) -> None:
    """The connection ends."""
    data = ask("/status", "Transfer-Encoding: chunked", method=method) + b"5\r\nhello\r\n"
    (answer,) = answers(driver.feed(data))

    assert answer.status == status
    assert answer.headers["connection"] == "close"
    assert driver.connection.closing


async def test_the_token(echo: MemoryServer) -> None:
    """It opens all that is closed without."""
    driver = Driver(Admin(echo.server, token="s3cret"))
    paths = ("/", "/status", "/status/connections/1", "/metrics", "/nope")
    closed = [get(driver, path).status for path in paths]
    opened = [get(driver, path, "Authorization: Bearer s3cret").status for path in paths]

    assert closed == [401] * 5
    assert opened == [200, 200, 404, 200, 404]
    assert get(driver, "/healthz", host="evil.example").status == 200
    assert "www-authenticate" in get(driver, "/").headers


async def test_a_foreign_name(echo: MemoryServer, driver: Driver) -> None:
    """Is refused, unless it was given."""
    friendly = Driver(Admin(echo.server, hosts=["admin.example"]))

    assert get(driver, "/status", host="admin.example").status == 403
    assert get(friendly, "/status", host="admin.example").status == 200
