"""The session: answers, messages, the bound, and the one ending with what it tells."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from speedo_trio.errors import ConnectionClosed, ConnectionLost, MalformedFrame, ProtocolError
from speedo_trio.simplepub.client import Client, connect_stream
from speedo_trio.simplepub.frames import (
    encode_disconnect,
    encode_pub,
    encode_sub,
    encode_unsub,
)
from tests.simplepub.scene import Peer, connected, messages, pair


async def bodies(client: Client, count: int | None = None) -> list[bytes]:
    """The bodies of the next messages; without a count all up to the end."""
    got: list[bytes] = []
    with suppress(ConnectionClosed, ProtocolError):
        while count is None or len(got) < count:
            got.append((await anext(client)).payload)
    return got


async def error_of(call: Callable[[], Awaitable[object]]) -> str:
    """The error that a call raises, with its class."""
    with pytest.raises((ConnectionClosed, ProtocolError)) as caught:
        await call()
    return f"{type(caught.value).__name__}: {caught.value}"


# Answers


async def test_an_answer_ends_the_wait() -> None:
    """Not earlier; the frame is the one that the specification has."""
    async with connected() as (client, peer), trio.open_nursery() as nursery:
        nursery.start_soon(client.subscribe, "a/#", "b")
        await wait_all_tasks_blocked()
        assert await peer.frame() == b"\x02\x00\x00\x08\x00\x03a/#\x00\x01b"
        assert len(nursery.child_tasks) == 1
        await peer.send(b"\x02\x00\x00\x08\x00\x03a/#\x00\x01b")


async def test_answers_come_in_the_order_of_the_requests() -> None:
    """Each of several tasks gets its own, also when the frames are the same."""
    order: list[str] = []

    async def ask(name: str, call: Awaitable[None]) -> None:
        await call
        order.append(name)

    async with connected() as (client, peer), trio.open_nursery() as nursery:
        for name, call in {
            "ping": client.ping(),
            "sub": client.subscribe("a"),
            "again": client.subscribe("a"),
            "unsub": client.unsubscribe("a"),
        }.items():
            nursery.start_soon(ask, name, call)
            await wait_all_tasks_blocked()
        for _ in range(4):
            await peer.answer()
            await wait_all_tasks_blocked()

    assert order == ["ping", "sub", "again", "unsub"]


async def test_an_answer_to_a_cancelled_request_is_nobody_elses() -> None:
    """The next request waits for its own."""
    async with connected() as (client, peer), trio.open_nursery() as nursery:
        with trio.move_on_after(0.05):
            await client.ping()
        nursery.start_soon(client.ping)
        await wait_all_tasks_blocked()
        await peer.answer()
        await wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1
        await peer.answer()


NOT_ASKED = {
    "nothing was asked": (encode_sub([b"a"]), "an answer SUB, and nothing was asked"),
    "other filters": (encode_sub([b"a", b"c"]), "an answer SUB that is not the request SUB again"),
    "the other kind": (encode_unsub([b"a"]), "an answer UNSUB that is not the request SUB again"),
    "no filters at all": (b"\x02\x00\x00\x01\x00", "a list of filters with 1 byte left; a filter"),
}


@pytest.mark.parametrize("name", NOT_ASKED)
async def test_an_answer_that_is_none(name: str) -> None:
    """It ends the connection: it isn't known any more which answer is whose."""
    answer, text = NOT_ASKED[name]
    async with connected() as (client, peer), trio.open_nursery() as nursery:
        if name != "nothing was asked":
            nursery.start_soon(error_of, lambda: client.subscribe("a"))
            await wait_all_tasks_blocked()
        await peer.send(answer)
        with pytest.raises(MalformedFrame, match=text):
            await anext(client)


# The end

GARBAGE = {
    b"\x00": "MalformedFrame: a frame of type 0; allowed are 1 PUB, 2 SUB, 3 UNSUB, 4 DISCONNECT",
    b"\x01\x00\x00\x00": "MalformedFrame: a PUB of 0 bytes; it has flags and a topic's length in 3",
    b"\x01\x00\x00\x03\x00\x00\x00": "TopicError: the topic name is empty; allowed is",
    encode_pub(b"a/#", b""): "TopicError: the topic name b'a/#' has a wildcard",
    encode_pub(b"\xff", b""): "TopicError: the topic name ",
    encode_disconnect("so be it"): "ConnectionClosed: the server closed the connection: so be it",
    encode_disconnect(): "ConnectionClosed: the server closed the connection",
    b"": "ConnectionLost: the server closed the connection without a reason",
    b"\x02\x00": "ConnectionLost: the connection broke: the stream ended 2 bytes into a frame",
}
"""What ends a connection when it comes, then the end of the stream, and what is told."""


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_what_ends_a_connection(garbage: bytes) -> None:
    """All who wait and all who come later hear the same; the iteration after what came before."""
    told: list[str] = []

    async def tell(call: Callable[[], Awaitable[object]]) -> None:
        told.append(await error_of(call))

    async with connected() as (client, peer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tell, client.ping)
            nursery.start_soon(tell, lambda: client.subscribe("a"))
            await wait_all_tasks_blocked()
            await peer.send(*messages(3), garbage)
            await peer.close()
        assert await bodies(client, 3) == [b"0", b"1", b"2"]
        for _ in range(2):
            for call in (lambda: anext(client), lambda: client.publish("a", b""), client.ping):
                await tell(call)

    assert len(told) == 8
    assert len(set(told)) == 1
    assert told[0].startswith(GARBAGE[garbage])


async def test_nothing_comes_after_a_disconnect() -> None:
    """Whatever does is not looked at."""
    async with connected() as (client, peer):
        await peer.send(encode_disconnect("bye"), *messages(2), b"\x00")

        assert await bodies(client) == []
        assert await error_of(client.ping) == (
            "ConnectionClosed: the server closed the connection: bye"
        )


async def test_each_error_is_a_new_one() -> None:
    """It is not one exception raised over and over; what broke the connection is its cause."""
    async with connected() as (client, peer):
        peer.half.reset = True
        await peer.close()
        with pytest.raises(ConnectionLost, match="connection broke: Connection reset") as first:
            await anext(client)
        with pytest.raises(ConnectionLost) as second:
            await anext(client)

    assert first.value is not second.value
    assert isinstance(second.value.__cause__, trio.BrokenResourceError)


SCRIPT = [*messages(2), encode_sub([b"a"]), *messages(1), encode_disconnect("bye")]


@pytest.mark.parametrize("reset", [False, True])
async def test_an_end_at_every_byte(*, reset: bool) -> None:
    """What was complete is given, a request whose answer didn't come raises, nothing hangs."""
    script = b"".join(SCRIPT)
    answered_at = len(b"".join(SCRIPT[:3]))
    ends = [len(b"".join(SCRIPT[:count])) for count in (1, 2, 4)]
    for length in range(len(script)):
        with trio.fail_after(5):
            async with connected() as (client, peer):
                peer.half.reset = reset
                await peer.send(script[:length])
                await peer.close()
                try:
                    await client.subscribe("a")
                    answered = True
                except ConnectionLost:
                    answered = False
                got = await bodies(client)

        # The stream may have ended before there was a request; then its answer is unasked for.
        assert answered in {length >= answered_at, False}
        assert len(got) <= sum(length >= end for end in ends)
        assert got[:2] == [b"0", b"1"][: sum(length >= end for end in ends[:2])]


async def test_a_stream_that_is_closed_under_it() -> None:
    """Somebody else closed it: the connection is lost, as by any other fault."""
    async with connected() as (client, peer):
        await trio.aclose_forcefully(peer.half)

        assert (await error_of(client.ping)).startswith("ConnectionLost: the connection broke: ")


# Sending


async def test_the_reason_of_a_server_that_listens_no_more() -> None:
    """It is what a call that can't send raises, though messages come before it."""
    async with connected(buffer=1) as (client, peer):
        await peer.send(*messages(5))
        await wait_all_tasks_blocked()
        await peer.send(encode_disconnect("enough"))
        await peer.stream.receive_stream.aclose()
        with trio.fail_after(0.5):
            assert await error_of(lambda: client.publish("a", b"")) == (
                "ConnectionClosed: the server closed the connection: enough"
            )

        assert len(await bodies(client)) == 5


async def test_a_server_that_listens_no_more_and_says_nothing(autojump_clock: Any) -> None:
    """After a moment the connection is given up."""
    async with connected() as (client, peer):
        await peer.stream.receive_stream.aclose()
        began = trio.current_time()

        assert (await error_of(lambda: client.publish("a", b""))).startswith("ConnectionLost: the")
        assert trio.current_time() - began == pytest.approx(1)
        await peer.half.closed.wait()


async def test_a_cancel_inside_a_frame_ends_the_connection() -> None:
    """At once, and all who use it are told."""
    async with connected() as (client, peer):
        peer.half.held = trio.Event()
        told: list[str] = []

        async def tell(call: Callable[[], Awaitable[object]]) -> None:
            told.append(await error_of(call))

        async with trio.open_nursery() as nursery:
            with trio.move_on_after(0.05):
                async with trio.open_nursery() as cancelled:
                    cancelled.start_soon(client.publish, "a", b"body")
                    await wait_all_tasks_blocked()
                    nursery.start_soon(tell, client.ping)
                    nursery.start_soon(tell, lambda: client.publish("b", b""))
                    nursery.start_soon(tell, lambda: anext(client))
        await tell(client.ping)
        await peer.half.closed.wait()

    text = "ConnectionClosed: a call was cancelled in the middle of its frame"
    assert told == [text] * 4


async def test_a_cancelled_call_that_has_not_begun_does_no_harm() -> None:
    """Nothing was sent, and the connection goes on."""
    async with connected() as (client, peer), trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            scope.cancel()
            await client.publish("never", b"")
        nursery.start_soon(client.ping)

        assert await peer.answer() == encode_sub([])


# The bound


async def test_a_slow_iteration_stops_the_reading() -> None:
    """With so many messages the client reads no more, until one of them is taken."""
    async with connected(lockstep=True, buffer=2) as (client, peer):
        sent: list[bytes] = []

        async def send() -> None:
            for frame in messages(5):
                await peer.send(frame)
                sent.append(frame)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await wait_all_tasks_blocked()
            assert len(sent) == 2
            assert await bodies(client, 1) == [b"0"]
            await wait_all_tasks_blocked()
            assert len(sent) == 3
            assert await bodies(client, 4) == [b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize("ask", ["subscribe", "unsubscribe", "ping"])
async def test_a_request_is_answered_behind_any_number_of_messages(ask: str) -> None:
    """The task that asks may be the one that iterates; it must not wait for itself."""
    async with connected(lockstep=True, buffer=2) as (client, peer):

        async def flood() -> None:
            frame = await peer.frame()
            await peer.send(*messages(20))
            for message in messages(20):
                await peer.send(message)
            await peer.send(frame)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood)
            with trio.fail_after(5):
                await getattr(client, ask)(*["a"][: ask != "ping"])

        assert len(await bodies(client, 40)) == 40


# Leaving


async def test_leaving_says_goodbye_and_waits_for_the_close() -> None:
    """What was published is before it; what comes meanwhile is dropped, whatever there is room."""
    peer = pair(lockstep=True)
    frames: list[bytes] = []

    async def serve() -> None:
        while frame := await peer.frame():
            frames.append(frame)
            if frame[0] == 4:
                for message in messages(10):
                    await peer.send(message)
                await peer.close()

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            async with connect_stream(peer.half, buffer=1) as client:
                await client.publish("a", b"x")

    assert frames == [encode_pub(b"a", b"x"), encode_disconnect()]
    assert await bodies(client) == []
    assert await error_of(client.ping) in {
        "ConnectionLost: the server closed the connection without a reason",
        "ConnectionClosed: this client has left its block",
    }


@pytest.mark.parametrize("reads", [False, True])
async def test_leaving_a_server_that_does_not_close(autojump_clock: Any, *, reads: bool) -> None:
    """It takes a second and no more, also when the goodbye can't be sent."""
    peer = pair()
    if not reads:
        peer.half.held = trio.Event()
    began = trio.current_time()
    async with connect_stream(peer.half) as client:
        pass

    assert trio.current_time() - began == pytest.approx(1)
    assert peer.half.closed.is_set()
    assert await error_of(client.ping) == "ConnectionClosed: this client has left its block"


async def test_leaving_after_the_end(autojump_clock: Any) -> None:
    """There is nobody to say goodbye to, and no time is lost; also when the stream just broke."""
    began = trio.current_time()
    for take_note in (False, True):
        async with connected() as (client, peer):
            await peer.send(encode_disconnect())
            await peer.stream.aclose()
            if take_note:
                await bodies(client)

    assert trio.current_time() == began
    assert peer.half.sends == []


async def test_a_cancel_while_leaving() -> None:
    """It doesn't wait for the server."""
    peer = pair()
    with trio.fail_after(0.5), trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            async def cancel() -> None:
                await peer.frame()
                scope.cancel()

            nursery.start_soon(cancel)
            async with connect_stream(peer.half):
                pass

    assert scope.cancelled_caught
    assert peer.half.closed.is_set()


async def everything(client: Client) -> None:
    """Each call once, alone and with others."""
    await client.subscribe("a")
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(client.publish, "b", b"x")
            nursery.start_soon(client.ping)
    await client.unsubscribe("a")
    await anext(client)


@pytest.mark.parametrize("held", [False, True])
async def test_a_cancel_at_every_step(*, held: bool) -> None:
    """Nothing hangs, nothing but the cancel comes out, the stream is closed, tasks end."""
    reached: set[bool] = set()
    for steps in range(60):
        peer = pair(lockstep=True)
        scope = trio.CancelScope()

        async def cancel(steps: int = steps, scope: trio.CancelScope = scope) -> None:
            for _ in range(steps):
                await trio.lowlevel.checkpoint()
            scope.cancel()

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve_and_publish, peer)
                nursery.start_soon(cancel)
                with scope:
                    async with connect_stream(peer.half, buffer=1) as client:
                        if held:
                            peer.half.held = trio.Event()
                        await everything(client)
                reached.add(scope.cancelled_caught)
                nursery.cancel_scope.cancel()
        assert peer.half.closed.is_set()

    assert reached == ({True} if held else {True, False})


async def serve_and_publish(peer: Peer) -> None:
    """Answer, with a message after each answer."""
    with suppress(trio.BrokenResourceError):
        while (frame := await peer.frame()) and frame[0] != 4:
            if frame[0] != 1:
                await peer.send(frame, *messages(1))
        await peer.close()
