"""The client against the server that ships with it, over real sockets."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeAlias

import pytest
import trio
import trustme

from speedo_trio import ConnectionClosed, Server, TopicMessage, serve
from speedo_trio.simplepub import Client, SimplePub, SimplePubSettings, connect

Connect: TypeAlias = Callable[..., AbstractAsyncContextManager[Client]]

SETTINGS = SimplePubSettings(payload_bytes=100_000, subscriptions=5)


@asynccontextmanager
async def serving(bind: str, settings: SimplePubSettings) -> AsyncGenerator[Server]:
    """A server, for the block."""
    async with trio.open_nursery() as nursery:
        start = partial(serve, SimplePub(settings=settings), bind, observer=None)
        server: Server = await nursery.start(start)
        yield server
        nursery.cancel_scope.cancel()


@pytest.fixture(params=["tcp", "tls", "unix"])
async def connecting(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Connect]:
    """Connects to a server, over each kind of stream."""
    if request.param == "tls":
        authority = trustme.CA()
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
            tmp_path / "cert.pem"
        )
        context = ssl.create_default_context()
        authority.configure_trust(context)
        bind = f"tls://127.0.0.1:0?cert={tmp_path / 'cert.pem'}"
    else:
        bind = "tcp://127.0.0.1:0" if request.param == "tcp" else f"unix:{tmp_path / 's'}"
    async with serving(bind, SETTINGS) as server:
        address = server.addresses[0]
        if request.param == "unix":
            yield partial(connect, f"simplepub+unix:{address.path}")
        elif request.param == "tcp":
            yield partial(connect, f"simplepub://127.0.0.1:{address.port}")
        else:
            url = f"simplepub+tls://127.0.0.1:{address.port}"
            yield partial(connect, url, ssl_context=context)


async def test_what_is_published_comes(connecting: Connect) -> None:
    """To those who are subscribed, in its order, the publisher included."""
    with trio.fail_after(10):
        async with connecting() as one, connecting() as other:
            await one.subscribe("a/+")
            await other.subscribe("#")
            for number in range(100):
                await one.publish("a/b", b"%d" % number)
            await other.publish("c", b"c")
            got = [await anext(one) for _ in range(100)]
            theirs = [await anext(other) for _ in range(101)]

    assert got == [TopicMessage("a/b", b"%d" % number) for number in range(100)]
    assert [message for message in theirs if message.topic != "c"] == got


async def test_what_is_retained_comes_to_later_subscribers(connecting: Connect) -> None:
    """Marked as that, again with each subscription, until it is removed."""
    with trio.fail_after(10):
        async with connecting() as client:
            await client.publish("kept", b"x", retain=True)
            for _ in range(2):
                await client.subscribe("kept")
                assert await anext(client) == TopicMessage("kept", b"x", retain=True)
            await client.publish("kept", b"", retain=True)
            assert await anext(client) == TopicMessage("kept", b"")
            await client.subscribe("kept")
            await client.publish("kept", b"last")
            assert await anext(client) == TopicMessage("kept", b"last")


async def test_nothing_comes_after_unsubscribe(connecting: Connect) -> None:
    """For those filters; the others stay."""
    with trio.fail_after(10):
        async with connecting() as client:
            await client.subscribe("a", "b")
            await client.unsubscribe("a", "never")
            await client.publish("a", b"1")
            await client.publish("b", b"2")

            assert await anext(client) == TopicMessage("b", b"2")


async def test_large_messages_and_many(connecting: Connect) -> None:
    """More than sockets hold at once, from several tasks, while others ask; none is lost."""
    bodies: set[bytes] = set()
    with trio.fail_after(20):
        async with connecting() as client, trio.open_nursery() as nursery:
            await client.subscribe("#")

            async def publish(first: int) -> None:
                for number in range(first, first + 20):
                    await client.publish("t", b"%04d" % number + bytes(20_000))
                    await client.ping()

            for task in range(5):
                nursery.start_soon(publish, 20 * task)
            async for message in client:
                assert len(message.payload) == 20_004
                bodies.add(message.payload[:4])
                if len(bodies) == 100:
                    break

    assert bodies == {b"%04d" % number for number in range(100)}


REFUSALS: dict[str, tuple[Callable[[Client], Awaitable[None]], str]] = {
    "too long": (
        lambda client: client.publish("t", bytes(200_000)),
        "a payload of 200004 bytes; allowed are at most 100000",
    ),
    "$SYS": (lambda client: client.publish("$SYS/a", b""), "$SYS is the server's own"),
    "too many filters": (lambda client: client.subscribe(*"abcdef"), "a subscription more than 5"),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_the_reason_of_a_refusal_arrives(name: str, connecting: Connect) -> None:
    """Whatever it is that hears of it."""
    call, reason = REFUSALS[name]
    with trio.fail_after(10), pytest.raises(ConnectionClosed, match="the server closed") as caught:  # noqa: PT012  # any of them
        async with connecting() as client:
            await call(client)
            await client.ping()

    assert reason in str(caught.value)


async def test_leaving_loses_nothing(connecting: Connect) -> None:
    """What was published before the block ends is done, with nobody to wait for it."""
    with trio.fail_after(10):
        async with connecting() as listener:
            await listener.subscribe("#")
            for number in range(20):
                async with connecting() as client:
                    for _ in range(10):
                        await client.publish(f"t/{number}", b"x" * 1000)
            got = [(await anext(listener)).topic for _ in range(200)]

    assert got == [f"t/{number}" for number in range(20) for _ in range(10)]


async def test_a_server_that_stops(tmp_path: Path) -> None:
    """What came is given, then the reason."""
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            bind = f"unix:{tmp_path / 's'}"
            server: Server = await nursery.start(partial(serve, SimplePub(), bind, observer=None))
            async with connect(f"simplepub+unix:{tmp_path / 's'}") as client:
                await client.subscribe("#")
                await client.publish("a", b"1")
                await client.ping()
                nursery.start_soon(server.drain)
                got = []
                with pytest.raises(ConnectionClosed, match="the server is going away"):  # noqa: PT012  # as one iterates
                    async for message in client:
                        got.append(message)  # noqa: PERF401  # the end is an error

    assert got == [TopicMessage("a", b"1")]


async def test_a_slow_iteration_is_the_servers_slow_consumer(tmp_path: Path) -> None:
    """The client stops reading, so the server's policy decides; here to end it, with the reason."""
    settings = SimplePubSettings(waiting_messages=10, overflow="disconnect")
    with trio.fail_after(20):
        async with serving(f"unix:{tmp_path / 's'}", settings):
            url = f"simplepub+unix:{tmp_path / 's'}"
            async with connect(url, buffer=2) as slow, connect(url) as other:
                await slow.subscribe("#")
                for _ in range(500):
                    await other.publish("t", bytes(20_000))
                await other.ping()
                count = 0
                with pytest.raises(ConnectionClosed):  # noqa: PT012  # as one iterates
                    async for _ in slow:
                        count += 1

    assert 2 <= count < 500
