"""The client: its frames, its arguments, and what leaves its block."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import trio
import trustme
from trio.testing import wait_all_tasks_blocked

from speedo_trio import ConfigError, ConnectionClosed, FrameTooLong, TopicError, TopicMessage
from speedo_trio.simplepub import Client, connect, connect_stream
from tests.simplepub.scene import Peer, connected, pair


async def test_publish_sends_one_frame() -> None:
    """The one that the specification has."""
    async with connected() as (client, peer):
        await client.publish("a/b", b"xyz")
        await client.publish("é", b"", retain=True)

        assert await peer.frame() == b"\x01\x00\x00\x09\x00\x00\x03a/bxyz"
        assert await peer.frame() == b"\x01\x00\x00\x05\x01\x00\x02\xc3\xa9"


async def test_publishing_at_once_is_one_call() -> None:
    """What waits while another sends goes out joined, in the order of the calls."""
    async with connected() as (client, peer):
        peer.half.held = trio.Event()
        async with trio.open_nursery() as nursery:
            for body in (b"0", b"1", b"2"):
                nursery.start_soon(client.publish, "t", body)
                await wait_all_tasks_blocked()
            peer.half.held.set()

        assert [(await peer.frame())[-1:] for _ in range(3)] == [b"0", b"1", b"2"]
        assert peer.half.sends == [9, 18]


async def test_requests_are_the_frames_of_the_specification() -> None:
    """SUB, UNSUB, and a SUB of nothing for a ping."""
    async with connected() as (client, peer), trio.open_nursery() as nursery:
        nursery.start_soon(client.subscribe, "a/+", "$share/g/b")
        assert await peer.answer() == b"\x02\x00\x00\x11\x00\x03a/+\x00\x0a$share/g/b"
        nursery.start_soon(client.unsubscribe, "#")
        assert await peer.answer() == b"\x03\x00\x00\x03\x00\x01#"
        nursery.start_soon(client.ping)
        assert await peer.answer() == b"\x02\x00\x00\x00"


async def test_iterating_gives_topic_messages() -> None:
    """With text for the topic, bytes for the body, and whether it was retained."""
    async with connected() as (client, peer):
        await peer.send(b"\x01\x00\x00\x06\x00\x00\x02\xc3\xa9x", b"\x01\x00\x00\x04\x01\x00\x01t")
        await peer.close()
        got: list[TopicMessage] = []
        with pytest.raises(ConnectionClosed):  # noqa: PT012  # as the docstring shows it
            async for message in client:
                got.append(message)  # noqa: PERF401  # the end is an error

    assert got == [TopicMessage("é", b"x"), TopicMessage("t", b"", retain=True)]


BAD_TOPICS = {
    "": TopicError,
    "a/#": TopicError,
    "+": TopicError,
    "a\0": TopicError,
    "x" * 65_536: TopicError,
    "\ud800": ValueError,
}

BAD_FILTERS = {
    "": TopicError,
    "a#": TopicError,
    "#/a": TopicError,
    "a/b+": TopicError,
    "$share/g": TopicError,
    "$share//a": TopicError,
    "$share/g/": TopicError,
    "\udcff": ValueError,
}


@pytest.mark.parametrize("topic", BAD_TOPICS, ids=lambda topic: ascii(topic)[:20])
async def test_a_topic_that_is_none(topic: str) -> None:
    """It raises here, nothing is sent, and the connection goes on."""
    async with connected() as (client, peer):
        with pytest.raises(BAD_TOPICS[topic]):
            await client.publish(topic, b"")
        await client.publish("next", b"")

        assert (await peer.frame()).endswith(b"next")


@pytest.mark.parametrize("topic_filter", BAD_FILTERS, ids=ascii)
async def test_a_filter_that_is_none(topic_filter: str) -> None:
    """It raises here, and nothing is sent of those that come with it."""
    async with connected() as (client, peer):
        for ask in (client.subscribe, client.unsubscribe):
            with pytest.raises(BAD_FILTERS[topic_filter]):
                await ask("good", topic_filter)

        assert peer.half.sends == []


async def test_what_is_longer_than_a_frame() -> None:
    """It raises here; the longest goes."""
    async with connected() as (client, peer):
        with pytest.raises(FrameTooLong):
            await client.publish("t", bytes(2**24 - 4))
        with pytest.raises(FrameTooLong):
            await client.subscribe(*["x" * 65_535] * 256)
        assert peer.half.sends == []
        await client.publish("t", bytes(2**24 - 5))

        assert peer.half.sends == [2**24 + 3]


# The block


class Oops(Exception):
    """The block's own."""


async def test_an_exception_leaves_the_block_as_it_is() -> None:
    """Not in a group, with its cause and its traceback; the server is not waited for."""
    peer = pair()
    cause = ValueError("a cause")
    oops = Oops()
    with trio.fail_after(0.5), pytest.raises(Oops) as caught:
        async with connect_stream(peer.half):
            raise oops from cause

    assert caught.value is oops
    assert caught.value.__cause__ is cause
    assert caught.value.__context__ is cause or caught.value.__context__ is None
    assert len(caught.traceback) == 1
    assert await peer.frame() == b""


async def test_a_group_leaves_the_block_as_it_is() -> None:
    """Only the client's own nursery is hidden, not that of the block."""
    with pytest.RaisesGroup(Oops):
        async with connect_stream(pair().half), trio.open_nursery() as nursery:
            nursery.start_soon(fail)
            await trio.sleep_forever()


async def fail() -> None:
    """Raise."""
    raise Oops


async def test_an_exception_in_a_cancelled_block() -> None:
    """It is not lost among the cancels, and not wrapped."""
    with pytest.raises(Oops), trio.CancelScope() as scope:  # noqa: PT012  # it is about the scope
        async with connect_stream(pair().half):
            scope.cancel()
            try:
                await trio.sleep_forever()
            finally:
                raise Oops


async def test_a_cancel_leaves_the_block() -> None:
    """At once, with the stream closed."""
    peer = pair()
    with trio.fail_after(0.5), trio.CancelScope() as scope:
        async with connect_stream(peer.half):
            scope.cancel()
            await trio.sleep_forever()

    assert scope.cancelled_caught
    assert peer.half.closed.is_set()


async def test_an_error_of_the_connection_leaves_the_block_as_it_is() -> None:
    """`except ConnectionClosed` around the block is enough."""
    peer = pair()
    await peer.close()
    with pytest.raises(ConnectionClosed, match="the server closed the connection"):
        async with connect_stream(peer.half) as client:
            await anext(client)


async def test_a_bug_of_the_stream_is_not_hidden() -> None:
    """What reading raises is not the connection's loss unless it says so; the block ends."""
    peer = pair()

    async def receive_some(max_bytes: int | None = None) -> bytes:
        raise Oops

    peer.half.receive_some = receive_some  # type: ignore[method-assign]  # a fault
    with pytest.RaisesGroup(Oops, allow_unwrapped=True):
        async with connect_stream(peer.half):
            await trio.sleep_forever()


async def test_a_bug_of_the_stream_and_an_exception_of_the_block() -> None:
    """Both come out."""
    peer = pair()

    async def receive_some(max_bytes: int | None = None) -> bytes:
        raise Oops

    peer.half.receive_some = receive_some  # type: ignore[method-assign]  # a fault
    with pytest.RaisesGroup(Oops, ValueError):
        async with connect_stream(peer.half):
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError


async def test_a_bad_buffer() -> None:
    """It is told before anything is connected, and leaves a stream as it was."""
    peer = pair()
    with pytest.raises(ConfigError, match="buffer is 0; allowed is a number of messages from 1"):
        async with connect_stream(peer.half, buffer=0):
            pass
    with pytest.raises(ConfigError, match="buffer is 0"):
        async with connect("simplepub+unix:/no/such/server", buffer=0):
            pass

    assert not peer.half.closed.is_set()


# Over the network


async def serve(handled: Callable[[Peer], Awaitable[object]], stream: trio.abc.Stream) -> None:
    """Play the server's part for one connection."""
    async with stream:
        await handled(Peer(trio.StapledStream(stream, stream), pair().half))


async def exchange(client: Client) -> None:
    """Ask something and leave."""
    await client.subscribe("a")
    await client.publish("a", b"x")
    await client.ping()


async def test_over_tcp() -> None:
    """The port and the host are those of the URL."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    url = f"simplepub://127.0.0.1:{listener.socket.getsockname()[1]}"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, partial(serve, Peer.serve), [listener])
        with trio.fail_after(5):
            async with connect(url) as client:
                await exchange(client)
        nursery.cancel_scope.cancel()


async def test_over_a_unix_socket(tmp_path: Path) -> None:
    """The path is that of the URL."""
    socket = trio.socket.socket(trio.socket.AF_UNIX)
    await socket.bind(str(tmp_path / "s"))
    socket.listen()
    listener = trio.SocketListener(socket)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, partial(serve, Peer.serve), [listener])
        with trio.fail_after(5):
            async with connect(f"simplepub+unix:{tmp_path / 's'}") as client:
                await exchange(client)
        nursery.cancel_scope.cancel()


async def test_over_tls() -> None:
    """The certificate must be the host's; the server gets TLS's own goodbye."""
    authority = trustme.CA()
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    url = f"simplepub+tls://127.0.0.1:{listener.socket.getsockname()[1]}"
    ended: list[bytes | bytearray] = []

    async def answer() -> None:
        stream = trio.SSLStream(await listener.accept(), theirs, server_side=True)
        peer = Peer(trio.StapledStream(stream, stream), pair().half)
        while (frame := await peer.frame())[0] != 4:
            if frame[0] != 1:
                await peer.send(frame)
        rest = await stream.unwrap()  # sends TLS's goodbye, and waits for the client's
        ended.append(rest[1])
        await trio.aclose_forcefully(rest[0])

    with trio.fail_after(5):
        async with listener, trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            async with connect(url, ssl_context=ours) as client:
                await exchange(client)

    assert ended == [b""]
