"""One client: full windows, every way in which a server can be wrong, and what follows from it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
import trio

from speedo_trio.cli.bench.course import Course, Phase
from speedo_trio.cli.bench.failure import Kind
from speedo_trio.io.wire import SocketWire
from tests.cli.bench.conftest import (
    PATIENCE,
    Handler,
    Serve,
    by_line,
    echo,
    make_load,
    reach,
    run_load,
)


async def ask(url: str, **settings: Any) -> Course:
    """What a single client measures; without more of a load, ten requests, four in flight."""
    return await run_load(url, **{"clients": 1, "requests": 10, "window": 4, **settings})


def parts(course: Course) -> tuple[int, int, int]:
    """Requests, replies, lost ones."""
    volume = course.tally.volume
    return volume.requests, volume.replies, course.tally.lost


async def test_an_echo_is_right(serve_tcp: Serve) -> None:
    """Each request has its reply and its latency; nothing is wrong."""
    course = await ask(await serve_tcp(echo))

    assert parts(course) == (10, 10, 0)
    assert course.tally.faultless
    assert course.tally.latencies.count == 10
    assert course.tally.volume.bytes_sent == course.tally.volume.bytes_received == 640


async def test_the_window_is_filled_and_not_more(serve_tcp: Serve) -> None:
    """The server finds four lines, answers one, and gets one more."""
    seen: list[int] = []

    async def one_by_one(stream: trio.SocketStream) -> None:
        data = b""
        while True:
            while data.count(b"\n") < min(4, 10 - len(seen)):
                data += await stream.receive_some()
            if not data:
                return
            seen.append(data.count(b"\n"))
            line, _, data = data.partition(b"\n")
            await stream.send_all(line + b"\n")

    course = await ask(await serve_tcp(one_by_one))

    assert seen == [4, 4, 4, 4, 4, 4, 4, 3, 2, 1]
    assert course.tally.faultless


async def test_lines_are_asked_and_compared(serve_tcp: Serve) -> None:
    """For servers that don't echo."""
    url = await serve_tcp(by_line(lambda _, line: b"blue\r\n" if line == b"GET colour" else b"?\n"))
    right = await ask(url, send="GET colour", expect="blue")
    any_line = await ask(url, send="GET taste")
    wrong = await ask(url, send="GET taste", expect="sweet")

    assert parts(right) == parts(any_line) == parts(wrong) == (10, 10, 0)
    assert right.tally.faultless
    assert any_line.tally.faultless
    assert wrong.tally.failures == {Kind.WRONG: 10}
    assert wrong.tally.examples == {Kind.WRONG: "expected b'sweet', got b'?'"}
    assert wrong.tally.connects.count == 1  # a wrong line is a line


WRONG_SERVERS: dict[str, Callable[[int, bytes], bytes]] = {
    "a wrong byte": lambda number, line: (line[:-1] + b"?" if number == 2 else line) + b"\n",
    "a lost line": lambda number, line: b"" if number == 2 else line + b"\n",
    "a line twice": lambda number, line: (line + b"\n") * (2 if number == 2 else 1),
    "a line too many": lambda number, line: line + (b"\nx\n" if number == 3 else b"\n"),
}


@pytest.mark.parametrize("name", WRONG_SERVERS)
async def test_a_wrong_reply_ends_the_connection(serve_tcp: Serve, name: str) -> None:
    """It is not known any more who answers what; the next connection may be right."""
    served = 0

    async def wrong_at_first(stream: trio.SocketStream) -> None:
        nonlocal served
        served += 1
        await (by_line(WRONG_SERVERS[name]) if served == 1 else echo)(stream)

    course = await ask(await serve_tcp(wrong_at_first))
    requests, replies, lost = parts(course)

    assert course.tally.failures == {Kind.WRONG: 1}
    assert requests == 10 == replies + lost
    assert served == course.tally.connects.count == 2


async def test_swapped_replies_are_seen(serve_tcp: Serve) -> None:
    """Between two clients, too: each has lines of its own."""
    streams: list[trio.SocketStream] = []
    both = trio.Event()

    async def to_the_other(stream: trio.SocketStream) -> None:
        streams.append(stream)
        if len(streams) == 2:
            both.set()
        await both.wait()
        other = streams[1 - streams.index(stream)] if len(streams) == 2 else stream
        async for data in stream:
            await other.send_all(data)

    course = await ask(await serve_tcp(to_the_other), clients=2, window=1, requests=2)

    assert course.tally.failures == {Kind.WRONG: 2}


async def test_the_server_ends_the_connection(serve_tcp: Serve) -> None:
    """What it had not answered is lost, and the next connection goes on."""

    async def three_lines(stream: trio.SocketStream) -> None:
        data = b""
        while data.count(b"\n") < 4:
            data += await stream.receive_some()
        await stream.send_all(data[: 3 * 64])
        await stream.send_eof()
        async for _ in stream:
            pass

    course = await ask(await serve_tcp(three_lines), requests=7, window=4)

    assert course.tally.failures[Kind.EOF] == course.tally.connects.count
    assert sum(parts(course)[1:]) == parts(course)[0] == 7
    assert course.tally.examples == {Kind.EOF: "the server ended the connection"}


async def reset(stream: trio.SocketStream) -> None:
    """Have the kernel send a reset."""
    await stream.receive_some()
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await stream.aclose()


async def test_the_server_resets_the_connection(serve_tcp: Serve) -> None:
    """All that was in flight is lost."""
    course = await ask(await serve_tcp(reset), requests=8)

    assert course.tally.failures == {Kind.RESET: 2}
    assert parts(course) == (8, 0, 8)
    assert course.tally.examples == {Kind.RESET: "Connection reset by peer"}


async def silence(stream: trio.SocketStream) -> None:
    """Read, and say nothing."""
    async for _ in stream:
        pass


async def test_no_reply_comes(serve_tcp: Serve) -> None:
    """The timeout ends the connection; all that was in flight is lost."""
    course = await ask(await serve_tcp(silence), requests=4, timeout=0.05)

    assert course.tally.failures == {Kind.TIMEOUT: 1}
    assert course.tally.examples == {Kind.TIMEOUT: "no reply within 0.05 s"}
    assert parts(course) == (4, 0, 4)


async def test_what_follows_a_failure_is_none(serve_tcp: Serve) -> None:
    """A connection that has failed does not fail again before it is closed."""
    load = make_load(await serve_tcp(silence), clients=1, requests=1)
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load.run)
            await reach(load, Phase.FINISHING)
            for _ in range(2):
                load._clients[0].look(2**63)

    assert load.course.tally.failures == {Kind.TIMEOUT: 1}


async def test_a_slow_reply_is_none_too_late(serve_tcp: Serve) -> None:
    """The timeout is one for each reply, not for all of them."""

    async def slowly(stream: trio.SocketStream) -> None:
        async for data in stream:
            await trio.sleep(0.1)
            await stream.send_all(data)

    course = await ask(await serve_tcp(slowly), requests=6, window=1, timeout=0.5)

    assert course.tally.faultless
    assert course.tally.latencies.least >= 0.1e9


async def test_a_line_that_never_ends(serve_tcp: Serve) -> None:
    """It is no reply: it takes too long."""

    async def endless(stream: trio.SocketStream) -> None:
        while True:
            await stream.send_all(b"x" * 1000)

    url = await serve_tcp(endless)
    course = await ask(url, requests=1, send="x", expect="y", timeout=0.1)

    assert course.tally.failures == {Kind.TIMEOUT: 1}


async def test_more_in_flight_than_buffers_hold(serve_tcp: Serve) -> None:
    """Sending and receiving don't wait for one another: the server sends before it reads on."""
    course = await ask(await serve_tcp(echo), requests=128, window=64, size=262_144)

    assert parts(course) == (128, 128, 0)
    assert course.tally.faultless


async def test_the_connection_breaks_while_it_is_being_sent_on(serve_tcp: Serve) -> None:
    """What waits to be sent is lost with it; one failure is counted."""
    course = await ask(await serve_tcp(reset), requests=64, window=64, size=262_144)

    assert course.tally.failures == {Kind.RESET: 1}
    assert parts(course) == (64, 0, 64)


async def test_the_connection_breaks_before_it_is_sent_on(serve_tcp: Serve) -> None:
    """The first request already meets a reset, or the end; the requests are lost."""

    async def at_once(stream: trio.SocketStream) -> None:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await stream.aclose()

    course = await ask(await serve_tcp(at_once), requests=8)

    assert course.tally.failures == {Kind.RESET: 2}
    assert parts(course) == (8, 0, 8)


async def test_a_server_that_is_gone_is_given_up(serve_tcp: Serve, nursery: trio.Nursery) -> None:
    """When nothing can be connected to within the timeout, the load has an end all the same."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]

    async def serve_once() -> None:
        stream = await listener.accept()
        await listener.aclose()
        await reset(stream)

    nursery.start_soon(serve_once)
    course = await ask(f"tcp://127.0.0.1:{port}", requests=100, timeout=0.25)

    assert course.tally.failures[Kind.RESET] == 1
    assert 2 <= course.tally.failures[Kind.REFUSED] <= 5  # tried again, after a pause each time
    assert parts(course) == (4, 0, 4)


async def test_a_connection_for_each_request(serve_tcp: Serve) -> None:
    """Each carries one line; all are counted."""
    lines: list[int] = []

    async def count_lines(stream: trio.SocketStream) -> None:
        received = b""
        async for data in stream:
            received += data
            await stream.send_all(data)
        lines.append(received.count(b"\n"))

    url = await serve_tcp(count_lines)
    course = await ask(url, window=1, connect_each=True)
    await trio.testing.wait_all_tasks_blocked()

    assert lines == [1] * 10
    assert course.tally.connects.count == 9  # the first was there before measuring began
    assert course.tally.faultless


@pytest.mark.parametrize("rate", [None, 1000])
async def test_without_epoll(
    serve_tcp: Serve, monkeypatch: pytest.MonkeyPatch, rate: float | None
) -> None:
    """Each connection hears for itself, and meets the same failures."""
    monkeypatch.setattr("speedo_trio.cli.bench.load.open_poller", lambda: None)

    right = await ask(await serve_tcp(echo), rate=rate)
    assert (parts(right), right.tally.faultless) == ((10, 10, 0), True)
    broken = await ask(await serve_tcp(reset), rate=rate, window=10)
    assert broken.tally.failures[Kind.RESET] >= 1


@pytest.mark.parametrize("poller", [True, False])
async def test_nothing_to_read_after_all(
    serve_tcp: Serve, monkeypatch: pytest.MonkeyPatch, *, poller: bool
) -> None:
    """A kernel may say that there is something, and then there is not; it is asked again."""
    if not poller:
        monkeypatch.setattr("speedo_trio.cli.bench.load.open_poller", lambda: None)
    real, calls = SocketWire.read, count()
    monkeypatch.setattr(
        SocketWire, "read", lambda wire, size: real(wire, size) if next(calls) % 2 else None
    )

    assert parts(await ask(await serve_tcp(echo))) == (10, 10, 0)


@pytest.mark.parametrize("handler", [reset, silence])
async def test_failures_behind_a_stream(
    monkeypatch: pytest.MonkeyPatch, serve_tcp: Serve, handler: Handler
) -> None:
    """TLS and WebSockets are Trio streams; what breaks them is told as for sockets."""
    from speedo_trio.cli.bench import connector

    async def pretend(self: object, connected: socket.socket) -> trio.abc.Stream:
        return trio.SocketStream(trio.socket.from_stdlib_socket(connected))

    monkeypatch.setattr(connector.Connector, "_shake_hands", pretend)
    url = (await serve_tcp(handler)).replace("tcp:", "ws:")
    course = await ask(url, requests=4, timeout=0.1)

    assert course.tally.failures == {Kind.RESET if handler is reset else Kind.TIMEOUT: 1}
    assert parts(course) == (4, 0, 4)


async def test_a_stream_that_is_right(monkeypatch: pytest.MonkeyPatch, serve_tcp: Serve) -> None:
    """With more in flight than the buffers hold."""
    from speedo_trio.cli.bench import connector

    async def pretend(self: object, connected: socket.socket) -> trio.abc.Stream:
        return trio.SocketStream(trio.socket.from_stdlib_socket(connected))

    monkeypatch.setattr(connector.Connector, "_shake_hands", pretend)
    url = (await serve_tcp(echo)).replace("tcp:", "ws:")
    course = await ask(url, requests=128, window=64, size=262_144)

    assert parts(course) == (128, 128, 0)
