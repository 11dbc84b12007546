"""The WebSocket: messages out and in, and every way in which the protocol can be broken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import pytest
import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)

from speedo_trio.cli.bench.failure import Failure, Kind
from speedo_trio.cli.bench.websocket import WebSocketStream
from tests.cli.bench.conftest import PATIENCE

Answer = Callable[[Event], Iterable[Event]]


def as_server(answer: Answer) -> Callable[[trio.abc.Stream], Awaitable[None]]:
    """A handler that answers the events of a client with events."""

    async def handle(stream: trio.abc.Stream) -> None:
        protocol = WSConnection(ConnectionType.SERVER)
        try:
            async for data in stream:
                protocol.receive_data(bytes(data))
                replies = [reply for event in protocol.events() for reply in answer(event)]
                await stream.send_all(b"".join(map(protocol.send, replies)))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    return handle


def echoing(event: Event) -> Iterable[Event]:
    """Accept, and give back what comes."""
    match event:
        case Request():
            yield AcceptConnection()
        case BytesMessage(data=data):
            yield BytesMessage(data=bytes(data))
        case _:
            pass


echo_messages = as_server(echoing)


@pytest.fixture
def connect(nursery: trio.Nursery) -> Callable[[Answer], WebSocketStream]:
    """A client whose server answers like this; they have not shaken hands."""

    def connect(answer: Answer) -> WebSocketStream:
        ours, theirs = trio.testing.memory_stream_pair()
        nursery.start_soon(as_server(answer), theirs)
        return WebSocketStream(ours)

    return connect


Connect = Callable[[Answer], WebSocketStream]


async def test_bytes_go_and_come(connect: Connect) -> None:
    """As a stream: what is received may be asked for in pieces."""
    stream = connect(echoing)
    with trio.fail_after(PATIENCE):
        await stream.open("x", "/")
        await stream.wait_send_all_might_not_block()
        await stream.send_all(b"hello")

        assert await stream.receive_some(2) == b"he"
        assert await stream.receive_some() == b"llo"
    await stream.aclose()


async def test_the_request_has_host_and_path(connect: Connect) -> None:
    """As they were given."""
    seen = []

    def note(event: Event) -> Iterable[Event]:
        if isinstance(event, Request):
            seen.append((event.host, event.target))
        yield from echoing(event)

    await connect(note).open("x:81", "/a?b")

    assert seen == [("x:81", "/a?b")]


async def test_text_is_bytes_too(connect: Connect) -> None:
    """A server may answer in text; pings are answered meanwhile, pongs ignored."""
    pongs = []

    def answer(event: Event) -> Iterable[Event]:
        match event:
            case BytesMessage():
                yield Ping(payload=b"1")
                yield Pong()
                yield TextMessage(data="é")
            case Pong(payload=payload):
                pongs.append(bytes(payload))
            case _:
                yield from echoing(event)

    stream = connect(answer)
    with trio.fail_after(PATIENCE):
        await stream.open("x", "/")
        await stream.send_all(b"x")

        assert await stream.receive_some() == "é".encode()
        await trio.testing.wait_all_tasks_blocked()
    assert pongs == [b"1"]


async def test_a_pong_waits_for_the_message_before_it(nursery: trio.Nursery) -> None:
    """A ping may come while a message is on its way: neither is torn, and both arrive."""
    ours, theirs = trio.testing.lockstep_stream_pair()
    protocol = WSConnection(ConnectionType.SERVER)
    stream = WebSocketStream(ours)
    nursery.start_soon(stream.open, "x", "/")
    protocol.receive_data(bytes(await theirs.receive_some()))
    await theirs.send_all(protocol.send(AcceptConnection()))
    await trio.testing.wait_all_tasks_blocked()
    nursery.start_soon(stream.send_all, b"a message")  # waits: nobody reads it yet
    nursery.start_soon(stream.receive_some)
    await trio.testing.wait_all_tasks_blocked()
    await theirs.send_all(protocol.send(Ping(payload=b"1")))
    await trio.testing.wait_all_tasks_blocked()
    seen: list[Event] = []
    with trio.fail_after(PATIENCE):
        while not any(isinstance(event, Pong) for event in seen):
            protocol.receive_data(bytes(await theirs.receive_some(5)))
            seen += protocol.events()
    nursery.cancel_scope.cancel()

    message = b"".join(bytes(event.data) for event in seen if isinstance(event, BytesMessage))
    assert message == b"a message"
    assert isinstance(seen[-1], Pong)


async def test_a_close_frame_is_the_end(connect: Connect) -> None:
    """After it nothing is waited for."""

    def answer(event: Event) -> Iterable[Event]:
        yield from echoing(event)
        if isinstance(event, BytesMessage):
            yield CloseConnection(code=1001)

    stream = connect(answer)
    with trio.fail_after(PATIENCE):
        await stream.open("x", "/")
        await stream.send_all(b"x")

        assert await stream.receive_some() == b"x"
        assert await stream.receive_some() == b""
        assert await stream.receive_some() == b""


async def test_the_server_refuses(connect: Connect) -> None:
    """The status is told."""

    def refuse(event: Event) -> Iterable[Event]:
        if isinstance(event, Request):
            yield RejectConnection(status_code=404)

    with trio.fail_after(PATIENCE), pytest.raises(Failure) as failed:
        await connect(refuse).open("x", "/")

    assert failed.value.kind is Kind.WEBSOCKET
    assert str(failed.value) == "the server answered with status 404"


@pytest.mark.parametrize("answer", [b"hello\n", b"SSH-2.0-x\r\n\r\n", b"\x00\xff\r\n\r\n"])
async def test_the_server_speaks_something_else(answer: bytes) -> None:
    """It is a failure, and nothing hangs."""
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(answer)
    await theirs.send_eof()
    with trio.fail_after(PATIENCE), pytest.raises(Failure) as failed:
        await WebSocketStream(ours).open("x", "/")

    assert failed.value.kind is Kind.WEBSOCKET


async def test_the_server_ends_the_stream_without_a_word() -> None:
    """In the handshake that is a failure too."""
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_eof()
    with trio.fail_after(PATIENCE), pytest.raises(Failure):
        await WebSocketStream(ours).open("x", "/")


async def test_bytes_that_are_no_frame(nursery: trio.Nursery) -> None:
    """A server may accept and then send nonsense."""
    ours, theirs = trio.testing.memory_stream_pair()
    protocol = WSConnection(ConnectionType.SERVER)
    stream = WebSocketStream(ours)
    nursery.start_soon(stream.open, "x", "/")
    protocol.receive_data(bytes(await theirs.receive_some()))
    await theirs.send_all(protocol.send(AcceptConnection()))
    await trio.testing.wait_all_tasks_blocked()
    await theirs.send_all(b"\xff" * 100)
    with trio.fail_after(PATIENCE), pytest.raises(Failure) as failed:
        await stream.receive_some()

    assert failed.value.kind is Kind.WEBSOCKET
    assert str(failed.value).startswith("closed with code 1002: ")
