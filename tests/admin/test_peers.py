"""What is told of connections."""

from __future__ import annotations

import json

import pytest
import trio

from speedo_trio.admin.peers import LISTED, ORDERS, details, listed
from speedo_trio.events import Address, ProxyInfo, TLSInfo, WebSocketInfo
from speedo_trio.stats import ConnectionStats
from speedo_trio.testing.memory import MemoryServer
from tests.admin.conftest import talk

PEER = Address("tcp", host="192.0.2.7", port=40_000)
LOCAL = Address("tcp", host="192.0.2.1", port=9292)
NAME = ((("countryName", "CH"),), (("commonName", "pump 7"), ("serialNumber", "1")))


def stats(
    tls: TLSInfo | None = None,
    websocket: WebSocketInfo | None = None,
    proxy: ProxyInfo | None = None,
) -> ConnectionStats:
    """One connection's."""
    return ConnectionStats(
        id=7,
        peer=PEER,
        local=LOCAL,
        tls=tls,
        websocket=websocket,
        proxy=proxy,
        seconds=1.23456,
        received=1,
        sent=2,
        executed=3,
        waiting=4,
        unsent=5,
    )


async def test_the_newest_come_first(echo: MemoryServer) -> None:
    """Unless something else is asked for."""
    for lines in 1, 3, 2:
        await talk(echo, lines)
    newest = await listed(echo.server)

    assert [one["id"] for one in newest] == [3, 2, 1]
    assert [one["executed"] for one in newest] == [2, 3, 1]
    assert set(newest[0]) == {*ORDERS, "peer"}


@pytest.mark.parametrize("order", ["executed", "sent", "received"])
async def test_those_with_most_come_first(echo: MemoryServer, order: str) -> None:
    """Of whatever is asked for."""
    for lines in 1, 3, 2:
        await talk(echo, lines)

    assert [one["id"] for one in await listed(echo.server, order)] == [2, 3, 1]


@pytest.mark.parametrize("order", ORDERS)
async def test_only_so_many_are_listed(echo: MemoryServer, order: str) -> None:
    """The rest is counted elsewhere."""
    for _ in range(3 * LISTED):
        echo.connect()
    await trio.testing.wait_all_tasks_blocked()
    found = await listed(echo.server, order)

    assert len(found) == LISTED
    assert len({str(one["id"]) for one in found}) == LISTED


async def test_others_have_their_turn(echo: MemoryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """While many connections are looked at; some may have ended when it goes on."""
    for _ in range(600):
        echo.connect()
    await trio.testing.wait_all_tasks_blocked()
    await talk(echo, 2)
    leaving = [echo.server.connections[300], echo.server.connections[599]]
    checkpoint = trio.lowlevel.checkpoint

    async def turn() -> None:
        leaving.pop().abort()
        for _ in range(50):
            await checkpoint()

    monkeypatch.setattr(trio.lowlevel, "checkpoint", turn)
    found = await listed(echo.server, "executed")

    assert (found[0]["id"], found[0]["executed"]) == (601, 2)
    assert len(echo.server.connections) == 599
    assert leaving == []


def test_details_without_layers() -> None:
    """They say that there are none."""
    assert details(stats()) == {
        "id": 7,
        "peer": "tcp://192.0.2.7:40000",
        "seconds": 1.235,
        "received": 1,
        "sent": 2,
        "executed": 3,
        "waiting": 4,
        "unsent": 5,
        "local": "tcp://192.0.2.1:9292",
        "tls": None,
        "websocket": None,
        "proxy": None,
    }


@pytest.mark.parametrize(
    ("certificate", "subject"),
    [
        (None, None),
        ({"subject": NAME}, "countryName=CH, commonName=pump 7, serialNumber=1"),
        ({}, ""),
        ({"subject": "of another form"}, "of another form"),
        ({"subject": 5}, "5"),
    ],
)
def test_details_of_tls(certificate: dict[str, object] | None, subject: str | None) -> None:
    """What was agreed on, and whom the certificate is about."""
    tls = TLSInfo(version="TLSv1.3", cipher="AES", alpn="mqtt", certificate=certificate)

    assert details(stats(tls=tls))["tls"] == {
        "version": "TLSv1.3",
        "cipher": "AES",
        "alpn": "mqtt",
        "subject": subject,
    }


def test_details_of_websocket_tell_no_secrets() -> None:
    """Of the path no query; of headers the names, and the values of those that are harmless."""
    websocket = WebSocketInfo(
        path="/chat?token=secret",
        subprotocol="mqtt",
        headers=(
            ("host", "a.example"),
            ("cookie", "secret"),
            ("authorization", "Bearer secret"),
            ("x-api-key", "secret"),
            ("sec-websocket-protocol", "mqtt, secret"),
            ("user-agent", "<script>"),
        ),
    )
    told = details(stats(websocket=websocket))

    assert "secret" not in json.dumps(told)
    assert told["websocket"] == {
        "path": "/chat?…",
        "subprotocol": "mqtt",
        "headers": [
            ["host", "a.example"],
            ["cookie", None],
            ["authorization", None],
            ["x-api-key", None],
            ["sec-websocket-protocol", None],
            ["user-agent", "<script>"],
        ],
    }


def test_details_of_a_proxy() -> None:
    """Who it is, and its fields in hexadecimal."""
    proxy = ProxyInfo(proxy=LOCAL, version=2, tlvs=((1, b"h2"), (0xE0, b"\xff")))

    assert details(stats(proxy=proxy))["proxy"] == {
        "proxy": "tcp://192.0.2.1:9292",
        "version": 2,
        "tlvs": [["0x01", "6832"], ["0xe0", "ff"]],
    }


def test_what_peers_sent_is_shortened() -> None:
    """Whatever its length and number."""
    headers = tuple((f"x-{number}" * 1000, "v" * 20_000) for number in range(1000))
    websocket = WebSocketInfo(path="/" + "x" * 16_000, subprotocol=None, headers=headers)
    proxy = ProxyInfo(proxy=LOCAL, version=2, tlvs=((4, b"\0" * 60_000),) * 1000)

    assert len(json.dumps(details(stats(websocket=websocket, proxy=proxy)))) < 200_000
