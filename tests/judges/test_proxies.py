"""Real proxies in front: the clients behind them are known, limited and separate as if direct."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
import trio

from speedo_trio import ConnectionFailed, ConnectionRefused, Limits
from speedo_trio.events import Refusal
from tests.judges.authority import Authority
from tests.judges.conftest import Ends
from tests.judges.fronts import STREAM_MODULE, HAProxy, Nginx
from tests.judges.told import ask, back, client, logged, telling
from tests.outside import need
from tests.promises.scene import Stage

MakeFront: TypeAlias = Callable[[Stage], HAProxy | Nginx]


@pytest.fixture(params=["HAProxy v1", "HAProxy v2", "nginx"])
def make_front(
    request: pytest.FixtureRequest,
    ends: Ends,
    tmp_path: Path,
) -> MakeFront:
    """Puts a proxy in front of a server."""
    if request.param == "nginx":
        need("nginx", files=(STREAM_MODULE,))
        return lambda stage: ends(Nginx(tmp_path, back(stage)))
    need("haproxy")
    option = {"HAProxy v1": "send-proxy", "HAProxy v2": "send-proxy-v2"}[request.param]
    return lambda stage: ends(HAProxy(tmp_path, back(stage), option))


async def test_the_client_is_known(make_front: MakeFront) -> None:
    """Its address and the one that it connected to are the connection's; the proxy's is beside."""
    async with telling() as stage:
        front = make_front(stage)
        peer = await client(stage, front.port, "127.0.0.5")
        known = await ask(peer)

        assert known["peer"] == str(peer.name)
        assert peer.name.host == "127.0.0.5"
        assert known["local"] == f"tcp://127.0.0.1:{front.port}"
        assert known["proxy"]["proxy"]["host"] == "127.0.0.1"
        assert known["proxy"]["proxy"]["port"] not in (peer.name.port, front.port)


async def test_clients_are_not_mixed_up(make_front: MakeFront) -> None:
    """A hundred at once, each from an address of its own, are each told their own."""
    found: dict[str, str] = {}

    async def come(source: str) -> None:
        peer = await client(stage, front.port, source)
        found[str(peer.name)] = (await ask(peer))["peer"]

    async with telling() as stage:
        front = make_front(stage)
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(come, f"127.0.1.{number + 1}")

    assert len(found) == 100
    assert all(own == told for own, told in found.items())


async def test_tls_begins_behind_the_header(make_front: MakeFront, authority: Authority) -> None:
    """A proxy that passes TLS on unread tells who the client is; TLS is with the client."""
    cert = authority.server("behind")
    async with telling(f"tls+proxy://127.0.0.1:0?cert={cert}&alpn=tell") as stage:
        front = make_front(stage)
        peer = await client(stage, front.port)
        context = ssl.create_default_context(cafile=authority.file)
        context.set_alpn_protocols(["tell"])
        secured = trio.SSLStream(peer.stream, context, server_hostname="localhost")
        await secured.send_all(b"who am I?\n")
        known = json.loads(await secured.receive_some())

        assert known["peer"] == str(peer.name)
        assert known["tls"]["alpn"] == "tell"


async def test_limits_count_the_client(
    make_front: MakeFront, caplog: pytest.LogCaptureFixture
) -> None:
    """Of one address there may be two, though all come from the address of the proxy."""
    limits = Limits(connections_per_address=2)
    async with telling(limits=limits) as stage:
        front = make_front(stage)
        first = await client(stage, front.port, "127.0.0.5")
        await ask(first)
        await ask(await client(stage, front.port, "127.0.0.5"))
        third = await client(stage, front.port, "127.0.0.5")
        third_name = str(third.name)

        assert await third.ended()
        await ask(await client(stage, front.port, "127.0.0.6"))
        await ask(first)
        (refused,) = [each for each in stage.record.events if isinstance(each, ConnectionRefused)]
        assert (str(refused.peer), refused.why) == (third_name, Refusal.ADDRESS_FULL)
    assert logged(caplog) == [
        f"connection from {third_name} refused: limits.connections_per_address is 2"
    ]


async def test_the_rate_is_the_clients(make_front: MakeFront) -> None:
    """Who connects too often is refused; another client of the same proxy is not."""
    limits = Limits(rate_per_address=0.001, burst_per_address=2)
    async with telling(limits=limits) as stage:
        front = make_front(stage)
        for _ in range(2):
            await ask(await client(stage, front.port, "127.0.0.5"))

        assert await (await client(stage, front.port, "127.0.0.5")).ended()
        await ask(await client(stage, front.port, "127.0.0.6"))


async def test_half_closes_pass_the_proxy(make_front: MakeFront) -> None:
    """Replies to what came before the client's end still reach it, and nothing is an error."""
    async with telling() as stage:
        front = make_front(stage)
        peer = await client(stage, front.port)
        await peer.send(b"one\n" * 1000)
        await peer.end()

        assert (await peer.rest()).count(b"\n") == 1000
        assert not [event for event in stage.record.events if isinstance(event, ConnectionFailed)]
