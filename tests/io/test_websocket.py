"""WebSocket: who is let in, and bytes both ways whatever frames carry them (RFC 6455)."""

from __future__ import annotations

import importlib.util
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
import trustme
import websockets.exceptions
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked
from websockets.sync.client import ClientConnection, connect
from wsproto.connection import Connection, ConnectionType

from speedo_trio.config import Limits
from speedo_trio.errors import (
    ConfigError,
    ConnectionLost,
    FrameTooLong,
    HandlerError,
    HandshakeError,
    MalformedFrame,
    ProtocolError,
)
from speedo_trio.events import WebSocketInfo
from speedo_trio.io import websocket
from speedo_trio.io.border import Border
from speedo_trio.io.connection import WireConnection
from speedo_trio.io.layer import arrived
from speedo_trio.io.tls import accept_tls
from speedo_trio.io.websocket import WebSocketWire, accept_websocket, require_wsproto
from speedo_trio.io.wire import SocketWire, StreamWire, Wire, address_of
from tests.io.scripted import ScriptedWire, WriterOwner
from tests.io.test_upgrade import request

MUCH = bytes(range(256)) * 8192
"""2 MiB."""

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MASK = b"\x12\x34\x56\x78"


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """A client's frame (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65_536:
        length = bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([0x80 | 127]) + size.to_bytes(8, "big")
    first = bytes([fin << 7 | rsv << 4 | opcode])
    return first + length + MASK + masked(payload)


def masked(payload: bytes) -> bytes:
    """With the mask of `frame`."""
    mask = int.from_bytes((MASK * (len(payload) // 4 + 1))[: len(payload)], "big")
    return (int.from_bytes(payload, "big") ^ mask).to_bytes(len(payload), "big")


def close(code: int, reason: bytes = b"") -> bytes:
    """A client's Close."""
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


def frames_in(raw: bytes | bytearray) -> list[tuple[int, bytes]]:
    """Opcodes and payloads of a server's frames: all final, none masked, none extended."""
    found = []
    while raw:
        assert raw[0] & 0xF0 == 0x80
        assert raw[1] & 0x80 == 0
        size, at = raw[1], 2
        if size == 126:
            size, at = int.from_bytes(raw[2:4], "big"), 4
        assert len(raw) >= at + size
        found.append((raw[0] & 0x0F, bytes(raw[at : at + size])))
        raw = raw[at + size :]
    return found


def first_offered(offered: tuple[str, ...]) -> str | None:
    """The peer's best, or none."""
    return offered[0] if offered else None


accept = partial(accept_websocket, path=None, choose=first_offered)


async def opened(**options: Any) -> tuple[WebSocketWire, ScriptedWire]:
    """A WebSocket and the wire below it, whose `sent` begins behind the handshake."""
    below = ScriptedWire()
    below.arrive(request())
    with trio.fail_after(5):
        wire = await accept(below, **options)
    below.sent.clear()
    return wire, below


def read_all(wire: Wire) -> bytes:
    """What can be read without waiting."""
    return b"".join(arrived(wire, 100_000))


# wsproto


def test_wsproto_is_there() -> None:
    """Then there is nothing to say."""
    require_wsproto()


def test_wsproto_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The house can be imported without it; whoever needs it is told what to install."""
    monkeypatch.setitem(sys.modules, "wsproto.connection", None)
    spec = importlib.util.spec_from_file_location("without_wsproto", websocket.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(ConfigError, match=r"pip install 'speedo_trio\[ws\]'") as missing:
        module.require_wsproto()

    assert isinstance(missing.value.__cause__, ImportError)


# The handshake


async def test_handshake() -> None:
    """The subprotocol is what was chosen, the info is what was asked."""
    below = ScriptedWire()
    below.arrive(request("Sec-WebSocket-Protocol: mqtt, chat", "Cookie: a=b"))
    offered: list[tuple[str, ...]] = []

    def choose(names: tuple[str, ...]) -> str:
        offered.append(names)
        return "chat"

    wire = await accept(below, path="/mqtt", choose=choose)

    assert offered == [("mqtt", "chat")]
    assert isinstance(wire.info, WebSocketInfo)
    assert wire.info.path == "/mqtt?client=7"
    assert wire.info.subprotocol == "chat"
    assert ("cookie", "a=b") in wire.info.headers
    assert below.sent.startswith(b"HTTP/1.1 101 ")
    assert below.sent.endswith(b"\r\nSec-WebSocket-Protocol: chat\r\n\r\n")
    assert wire.peer == below.peer


async def test_extensions_are_not_offered() -> None:
    """So that nothing is compressed."""
    below = ScriptedWire()
    below.arrive(request("Sec-WebSocket-Extensions: permessage-deflate"))
    await accept(below)

    assert b"xtensions" not in below.sent


async def test_frames_with_the_request() -> None:
    """Of a client that could not wait: they are read at once."""
    below = ScriptedWire()
    below.arrive(request() + frame(BINARY, b"hello"))
    wire = await accept(below)
    with trio.fail_after(5):
        await wire.readable()

    assert wire.read(100) == b"hello"


@pytest.mark.parametrize(
    ("data", "status", "text"),
    [
        (request(first="GET /other HTTP/1.1"), 404, "there is nothing at /other"),
        (request(first="GET /mqtt/ HTTP/1.1"), 404, "there is nothing at /mqtt/"),
        (request(first="POST /mqtt HTTP/1.1"), 405, "POST opens no WebSocket; allowed is GET"),
        (request(without="Upgrade"), 426, "this is a WebSocket: ask for it with .*"),
        (b"\x10\x0c\x00\x04MQTT", 400, "not HTTP: .*"),
        (request("Sec-WebSocket-Protocol: chat"), 400, "chat is not spoken here"),
    ],
)
async def test_refusal(data: bytes, status: int, text: str) -> None:
    """The client is answered, and has time to hear it."""
    below = ScriptedWire(takes=[5, 1])

    def choose(names: tuple[str, ...]) -> str | None:
        if "chat" in names:
            raise ProtocolError("chat is not spoken here")
        return None

    async def refuse() -> None:
        with pytest.raises(HandshakeError, match=f"^WebSocket handshake: {text}$"):
            await accept(below, path="/mqtt", choose=choose)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(refuse)
        below.arrive(data)
        await wait_all_tasks_blocked()
        assert below.sent.startswith(b"HTTP/1.1 %d " % status)
        assert below.eofs == 1
        below.end()

    assert not below.closed


HERE = ("https://app.example.org", "http://localhost:8080")


@pytest.mark.parametrize("origin", [*HERE, "HTTPS://App.Example.org", None])
async def test_origin_that_may_connect(origin: str | None) -> None:
    """One that is listed; or none, which no browser sends."""
    below = ScriptedWire()
    below.arrive(request(f"Origin: {origin}") if origin else request())
    await accept(below, origins=HERE)

    assert below.sent.startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize(
    ("lines", "seen"),
    [
        (["Origin: https://evil.example"], "https://evil.example"),
        (["Origin: null"], "null"),
        (["Origin:"], ""),
        (["Origin: https://app.example.org:444"], "https://app.example.org:444"),
        (["Origin: https://app.example.org.evil.example"], "https://app.example.org.evil.example"),
        (["Origin: https://app.example.org https://b"], "https://app.example.org https://b"),
        (["Origin: https://app.example.org", "Origin: https://evil"], "https://evil"),
    ],
)
async def test_origin_that_may_not_connect(lines: list[str], seen: str) -> None:
    """A browser can't be used by a page from elsewhere (RFC 6455, 10.2)."""
    below = ScriptedWire()
    below.arrive(request(*lines))
    below.end()
    with pytest.raises(HandshakeError) as refused:
        await accept(below, origins=HERE)

    allowed = "https://app.example.org, http://localhost:8080"
    text = f"pages of '{seen}' may not connect here, only those of {allowed}"
    assert str(refused.value) == f"WebSocket handshake: {text}"
    assert below.sent.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert below.sent.endswith(f"\r\n\r\n{text}\n".encode())


async def test_any_origin() -> None:
    """May connect if none is listed."""
    below = ScriptedWire()
    below.arrive(request("Origin: https://evil.example"))
    await accept(below)

    assert below.sent.startswith(b"HTTP/1.1 101 ")


async def test_choice_that_was_not_offered() -> None:
    """Is a mistake of this side."""
    below = ScriptedWire()
    below.arrive(request("Sec-WebSocket-Protocol: chat"))
    with pytest.raises(HandlerError, match=r"'mqtt' was chosen; offered were \('chat',\)"):
        await accept(below, choose=lambda _: "mqtt")


@pytest.mark.parametrize("how", ["end", "lose"])
async def test_break_at_every_byte(how: str) -> None:
    """Inside the handshake, an end or a reset is a loss."""
    texts = set()
    for count in range(len(request())):
        below = ScriptedWire()
        below.arrive(request()[:count])

        async def open_(below: ScriptedWire) -> None:
            with pytest.raises(ConnectionLost) as lost:
                await accept(below)
            texts.add(str(lost.value))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(open_, below)
            await wait_all_tasks_blocked()
            getattr(below, how)()

    ended = "the peer ended its stream inside the WebSocket handshake"
    assert texts == {ended if how == "end" else "lost by the test"}


@pytest.mark.parametrize("count", [1, 2])
async def test_cancel_at_every_await(count: int) -> None:
    """While the request is waited for, and while the response leaves."""
    below = ScriptedWire(room=10)
    below.arrive(request() if count == 2 else request()[:-1])
    with trio.move_on_after(0.01) as scope:
        await accept(below)

    assert scope.cancelled_caught
    assert not below.closed


# Frames that carry bytes


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536])
async def test_binary_message(size: int) -> None:
    """Of any length."""
    wire, below = await opened()
    below.arrive(frame(BINARY, MUCH[:size]) + frame(BINARY, b"."))

    assert read_all(wire) == MUCH[:size] + b"."


@pytest.mark.parametrize("size", [1, 125, 126, 16_384])
async def test_send(size: int) -> None:
    """One binary message for each step."""
    wire, below = await opened()

    assert wire.send_nowait(MUCH[:size]) == size
    assert frames_in(below.sent) == [(BINARY, MUCH[:size])]


async def test_send_much() -> None:
    """In several messages; their borders mean nothing."""
    wire, below = await opened()

    assert wire.send_nowait(MUCH) == len(MUCH)
    assert b"".join(payload for _, payload in frames_in(below.sent)) == MUCH


async def test_fragments() -> None:
    """Are handed on as they come, with control frames between them."""
    wire, below = await opened()
    below.arrive(frame(BINARY, b"a", fin=False))
    assert wire.read(100) == b"a"
    below.arrive(frame(PING, b"1"), frame(CONTINUATION, b"", fin=False))
    assert [wire.read(100), wire.read(100)] == [None, None]
    below.arrive(frame(CONTINUATION, b"b", fin=False) + frame(PONG) + frame(CONTINUATION, b"c"))
    assert wire.read(100) == b"bc"
    below.arrive(frame(BINARY, b"d"))
    assert wire.read(100) == b"d"

    assert frames_in(below.sent) == [(PONG, b"1")]


async def test_payload_is_handed_on_as_it_comes() -> None:
    """A message that is not complete is not held."""
    wire, below = await opened()
    raw = frame(BINARY, b"hello world")
    below.arrive(raw[:11])
    assert wire.read(100) == b"hello"
    below.arrive(raw[11:])

    assert wire.read(100) == b" world"


@given(
    messages=st.lists(st.lists(st.binary(max_size=300), min_size=1, max_size=4), max_size=6),
    pings=st.lists(st.none() | st.binary(max_size=125)),
    cuts=st.lists(st.integers(1, 50)),
    size=st.integers(1, 500),
)
@settings(deadline=None)
async def test_whatever_frames(
    messages: list[list[bytes]], pings: list[bytes | None], cuts: list[int], size: int
) -> None:
    """Bytes arrive intact, however they are framed and cut; each ping has its pong."""
    wire, below = await opened()
    raw, beside = b"", iter(pings)
    for fragments in messages:
        for number, fragment in enumerate(fragments):
            ping = next(beside, None)
            if ping is not None:
                raw += frame(PING, ping) + frame(PONG, ping)
            opcode = CONTINUATION if number else BINARY
            raw += frame(opcode, fragment, fin=number == len(fragments) - 1)
    count = sum(map(len, messages))
    for cut in cuts:
        below.arrive(raw[:cut])
        raw = raw[cut:]
    below.arrive(raw)
    below.arrive(close(1000))
    received = bytearray()
    with trio.fail_after(5):
        while (data := wire.read(size)) != b"":
            assert data is None or len(data) <= size
            received += data or b""
            await wire.readable()

    assert received == b"".join(b"".join(fragments) for fragments in messages)
    expected = [ping for ping in pings[:count] if ping is not None]
    assert frames_in(below.sent) == [(PONG, ping) for ping in expected]


@given(sizes=st.lists(st.integers(1, 40_000), max_size=5), takes=st.lists(st.integers(0, 20_000)))
@settings(deadline=None)
async def test_whatever_is_taken(sizes: list[int], takes: list[int]) -> None:
    """A client of wsproto gets the bytes, and counts are exact."""
    wire, below = await opened()
    below._takes = iter(takes)
    client = Connection(ConnectionType.CLIENT)
    sent = b""
    for number, size in enumerate(sizes):
        data = bytes([number]) * size
        told = wire.send_nowait(data)
        while told < size:
            told += await wire.push(memoryview(data)[told:])
        assert told == size
        sent += data
    client.receive_data(bytes(below.sent))
    received = [event.data for event in client.events() if hasattr(event, "data")]

    assert b"".join(received) == sent


@pytest.mark.parametrize("unit", [frame(BINARY), frame(BINARY, b"x"), frame(PING), frame(PONG)])
async def test_tiny_frames_take_linear_time(unit: bytes) -> None:
    """Eight times the frames take no more than some eight times as long."""

    async def seconds(count: int) -> float:
        wire, below = await opened()
        raw = unit * count
        below.arrive(raw)
        begin = time.thread_time()
        assert len(wire.read(len(raw)) or b"") in (0, count)
        return time.thread_time() - begin

    one = min([await seconds(2000) for _ in range(3)])
    eight = min([await seconds(16_000) for _ in range(3)])
    assert eight < 3 * 8 * one


# Pings


@pytest.mark.parametrize("size", [0, 1, 125])
async def test_ping(size: int) -> None:
    """Is answered with what it holds."""
    wire, below = await opened()
    below.arrive(frame(PING, MUCH[:size]))

    assert wire.read(1000) is None
    assert frames_in(below.sent) == [(PONG, MUCH[:size])]


async def test_pings_in_order() -> None:
    """Each is answered, behind data that was sent before."""
    wire, below = await opened()
    wire.send_nowait(b"data")
    below.arrive(b"".join(frame(PING, b"%d" % number) for number in range(3)))
    assert wire.read(1000) is None

    assert frames_in(below.sent) == [(BINARY, b"data"), (PONG, b"0"), (PONG, b"1"), (PONG, b"2")]


@pytest.mark.parametrize("raw", [frame(PING), frame(PONG), frame(BINARY), b"\x82"])
async def test_whatever_comes_is_heard(raw: bytes) -> None:
    """So that a peer that only pings is not idle; silence is not heard."""
    wire, below = await opened()
    before = wire.heard
    assert wire.read(1000) is None
    assert wire.heard == before
    below.arrive(raw)

    assert wire.read(1000) is None
    assert wire.heard == before + len(raw)


async def test_unasked_pong() -> None:
    """Means nothing."""
    wire, below = await opened()
    below.arrive(frame(PONG, b"x"))

    assert wire.read(1000) is None
    assert below.sent == b""


# Frames that are not allowed


async def breach(raw: bytes, **options: Any) -> tuple[ProtocolError, bytes]:
    """What reading raises behind a whole message, and the Close that the peer gets."""
    wire, below = await opened(**options)
    below.arrive(frame(BINARY, b"before") + raw)
    assert wire.read(2**20) == b"before"
    with trio.fail_after(5):
        await wire.readable()
    with pytest.raises(ProtocolError) as error:
        wire.read(2**20)
    assert below.sent == b""
    assert wire.send_nowait(b"reply") == 5
    await wire.send_eof()
    (reply, (opcode, payload)) = frames_in(below.sent)
    assert reply == (BINARY, b"reply")
    assert opcode == CLOSE
    assert below.eofs == 1
    below.arrive(frame(BINARY, b"thrown away"))
    assert wire.read(100) is None
    below.end()
    assert wire.read(100) == b""
    return error.value, payload


@pytest.mark.parametrize(
    "raw",
    [
        frame(BINARY, b"x", rsv=4),
        frame(BINARY, b"x", rsv=2),
        frame(BINARY, b"x", rsv=1),
        frame(PING, b"x", rsv=7),
        *[frame(opcode, b"x") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)],
        b"\x82\x01x",  # not masked
        b"\x89\x00",
        frame(PING, b"x", fin=False),
        frame(PONG, b"x", fin=False),
        frame(CLOSE, b"", fin=False),
        frame(PING, bytes(126)),
        frame(CLOSE, bytes(126)),
        frame(CONTINUATION, b"x"),
        frame(CONTINUATION, b"x", fin=False),
        frame(BINARY, b"", fin=False) + frame(BINARY, b"x"),
        b"\x82\xfe\x00\x7d" + MASK,  # 125 bytes, told in two
        b"\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff" + MASK,  # 65535 bytes, told in eight
        b"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00" + MASK,  # the highest bit
        frame(CLOSE, b"\x03"),
        *[close(code) for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000)],
    ],
    ids=lambda raw: raw[:10].hex(),
)
async def test_protocol_error(raw: bytes) -> None:
    """Is refused with 1002, behind the replies to what came before."""
    error, payload = await breach(raw)

    assert isinstance(error, MalformedFrame)
    assert str(error).startswith("WebSocket: ")
    assert payload[:2] == (1002).to_bytes(2, "big")
    assert payload[2:].decode() == str(error).removeprefix("WebSocket: ")


async def test_close_reason_that_is_no_text() -> None:
    """Is refused with 1007; the reason fits into a Close."""
    error, payload = await breach(close(1000, b"\xff" * 100))

    assert isinstance(error, MalformedFrame)
    assert payload[:2] == (1007).to_bytes(2, "big")
    assert len(payload) <= 125


async def test_long_reason() -> None:
    """Is cut, so that the Close is a Close."""
    wire, below = await opened()
    wire._refuse(1002, MalformedFrame("x" * 200))
    await wire.send_eof()

    assert frames_in(below.sent) == [(CLOSE, (1002).to_bytes(2, "big") + b"x" * 123)]


@pytest.mark.parametrize("fin", [True, False])
async def test_text(*, fin: bool) -> None:
    """Is refused with 1003."""
    error, payload = await breach(frame(TEXT, "grün".encode(), fin=fin))

    assert str(error) == "WebSocket: a text message; allowed are binary ones"
    assert payload == (1003).to_bytes(2, "big") + b"a text message; allowed are binary ones"


@pytest.mark.parametrize(
    "raw",
    [
        frame(BINARY, bytes(11)),
        frame(BINARY, bytes(5), fin=False) + frame(CONTINUATION, bytes(6)),
        b"".join([frame(BINARY, b"", fin=False), *[frame(CONTINUATION, b"x", fin=False)] * 11]),
    ],
)
async def test_message_over_the_limit(raw: bytes) -> None:
    """Is refused with 1009; in one frame or in several, complete or not."""
    wire, below = await opened(limit=10)
    below.arrive(frame(BINARY, bytes(10)), frame(BINARY, bytes(10)))
    assert read_all(wire) == bytes(20)
    below.arrive(raw)
    pieces: list[bytes] = []
    with pytest.raises(FrameTooLong, match="a message is longer than 10 bytes"):
        pieces.extend(arrived(wire, 100))
    assert len(b"".join(pieces)) <= 10
    await wire.send_eof()

    assert frames_in(below.sent) == [
        (CLOSE, (1009).to_bytes(2, "big") + b"a message is longer than 10 bytes")
    ]


# The end


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1011, 3000, 3999, 4000, 4999])
async def test_close_of_the_peer(code: int) -> None:
    """Reads as the end; replies still leave, then it is answered, with its code."""
    wire, below = await opened()
    below.arrive(frame(BINARY, b"ask") + close(code, "tschüß".encode()) + frame(BINARY, b"late"))
    assert wire.read(100) == b"ask"
    with trio.fail_after(5):
        await wire.readable()
    assert wire.read(100) == b""
    assert wire.read(100) == b""
    assert wire.send_nowait(b"reply") == 5
    await wire.send_eof()

    assert frames_in(below.sent) == [(BINARY, b"reply"), (CLOSE, code.to_bytes(2, "big"))]
    assert below.eofs == 1


async def test_close_without_a_code() -> None:
    """Is answered without one."""
    wire, below = await opened()
    below.arrive(frame(CLOSE))
    assert wire.read(100) == b""
    await wire.send_eof()

    assert frames_in(below.sent) == [(CLOSE, b"")]


async def test_close_of_this_side() -> None:
    """Reading goes on up to the peer's; pings are answered no more, and nothing can be sent."""
    wire, below = await opened()
    await wire.send_eof()
    assert frames_in(below.sent) == [(CLOSE, (1000).to_bytes(2, "big"))]
    assert below.eofs == 0
    below.arrive(frame(BINARY, b"late") + frame(PING, b"x") + close(1000))

    assert wire.read(100) == b"late"
    assert wire.read(100) == b""
    with pytest.raises(ConnectionLost, match="the WebSocket is closed"):
        wire.send_nowait(b"x")
    await wire.send_eof()
    assert len(frames_in(below.sent)) == 1
    assert below.eofs == 1


async def test_going_away() -> None:
    """Is told with 1001 (RFC 6455, 7.4.1)."""
    wire, below = await opened()
    wire.send_nowait(b"bye")
    await wire.send_eof(leaving=True)

    assert frames_in(below.sent) == [(BINARY, b"bye"), (CLOSE, (1001).to_bytes(2, "big"))]
    below.arrive(close(1001))
    assert wire.read(100) == b""


@pytest.mark.parametrize(
    ("raw", "code"), [(close(4000), 4000), (frame(TEXT, b"x"), 1003), (b"", 1000)]
)
async def test_going_away_when_all_is_said(raw: bytes, code: int) -> None:
    """The peer's own code, its mistake or its end comes first."""
    wire, below = await opened()
    below.arrive(raw)
    below.end()
    with suppress(ProtocolError):
        assert wire.read(100) == b""
    await wire.send_eof(leaving=True)

    ((opcode, payload),) = frames_in(below.sent)
    assert (opcode, payload[:2]) == (CLOSE, code.to_bytes(2, "big"))


async def test_end_without_a_close() -> None:
    """Is an end as well; the peer still gets what it is owed."""
    wire, below = await opened()
    below.arrive(frame(BINARY, b"ask"))
    below.end()
    assert wire.read(100) == b"ask"
    assert wire.read(100) == b""
    wire.send_nowait(b"reply")
    await wire.send_eof()

    assert frames_in(below.sent) == [(BINARY, b"reply"), (CLOSE, (1000).to_bytes(2, "big"))]
    assert below.eofs == 1


async def test_peer_that_goes_with_the_close() -> None:
    """Is no loss: nothing but the Close was left to send."""
    wire, below = await opened()
    below.arrive(close(1000))
    assert wire.read(100) == b""

    async def send_eof(*, leaving: bool = False) -> None:
        raise ConnectionLost("broken pipe")

    below.send_eof = send_eof  # type: ignore[method-assign]  # as a socket that was reset does
    await wire.send_eof()

    assert frames_in(below.sent) == [(CLOSE, (1000).to_bytes(2, "big"))]


async def test_abort() -> None:
    """Says nothing."""
    wire, below = await opened()
    await wire.close()

    assert below.closed
    assert below.sent == b""


@given(st.binary(max_size=200), st.lists(st.integers(1, 30)))
async def test_garbage(data: bytes, cuts: list[int]) -> None:
    """Costs the peer its connection at most."""
    wire, below = await opened()
    for cut in cuts:
        below.arrive(data[:cut])
        data = data[cut:]
    below.arrive(data)
    below.end()
    with suppress(ProtocolError), trio.fail_after(5):
        while wire.read(100) != b"":
            await wire.readable()
    await wire.send_eof()

    frames_in(below.sent)


# With a client that others wrote


@asynccontextmanager
async def with_client(
    call: Callable[[ClientConnection], object], **options: Any
) -> AsyncIterator[WebSocketWire]:
    """Run it in a thread, over TCP; the wire is the server's end."""
    with socket.create_server(("127.0.0.1", 0)) as listening, trio.fail_after(30):
        port = listening.getsockname()[1]

        def run() -> None:
            with connect(
                f"ws://127.0.0.1:{port}/mqtt", subprotocols=options.get("offer"), proxy=None
            ) as client:
                call(client)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, run)
            accepted, name = await trio.to_thread.run_sync(listening.accept)
            with accepted:
                accepted.setblocking(False)
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
                below = SocketWire(accepted, name, address_of(listening.getsockname()))
                wire = await accept(below, path="/mqtt")
                yield wire
                await wire.close()


async def read_up_to(wire: Wire, count: int) -> bytes:
    """So many bytes, or all up to the end."""
    received = bytearray()
    while len(received) < count:
        await wire.readable()
        data = wire.read(16_384)
        if data == b"":
            break
        received += data or b""
    return bytes(received)


async def test_client() -> None:
    """It sends and receives, pings, and closes in order."""
    heard: list[bytes] = []

    def talk(client: ClientConnection) -> None:
        client.send(MUCH)
        client.send([b"in ", b"frag", b"ments"])
        assert client.ping(b"?").wait(10)
        while len(b"".join(heard)) < len(MUCH):
            message = client.recv(10)
            assert isinstance(message, bytes)
            heard.append(message)
        client.close(4000, "done")
        assert client.close_code == 4000

    async with with_client(talk, offer=["mqtt"]) as wire:
        assert wire.info.subprotocol == "mqtt"
        received = await read_up_to(wire, len(MUCH) + 12)
        assert received == MUCH + b"in fragments"
        sent = wire.send_nowait(MUCH)
        while sent < len(MUCH):
            sent += await wire.push(memoryview(MUCH)[sent:])
        assert await read_up_to(wire, 1) == b""
        await wire.send_eof()

    assert b"".join(heard) == MUCH


async def test_client_that_sends_text() -> None:
    """Learns why it is refused."""
    told: list[websockets.exceptions.ConnectionClosed] = []

    def talk(client: ClientConnection) -> None:
        client.send("text")
        with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
            client.recv(10)
        told.append(closed.value)

    async with with_client(talk) as wire:
        with pytest.raises(ProtocolError, match="text"):
            await read_up_to(wire, 1)
        await wire.send_eof()

    assert told[0].rcvd is not None
    assert told[0].rcvd.code == 1003
    assert told[0].rcvd.reason == "a text message; allowed are binary ones"


async def test_client_that_is_told_to_go() -> None:
    """Answers, which reads as the end."""

    def talk(client: ClientConnection) -> None:
        with pytest.raises(websockets.exceptions.ConnectionClosedOK):
            client.recv(10)

    async with with_client(talk) as wire:
        await wire.send_eof()
        assert await read_up_to(wire, 1) == b""


async def test_refused_client() -> None:
    """Gets the status, not a reset."""
    with socket.create_server(("127.0.0.1", 0)) as listening, trio.fail_after(30):
        port = listening.getsockname()[1]

        def run() -> None:
            with pytest.raises(websockets.exceptions.InvalidStatus) as invalid:
                connect(f"ws://127.0.0.1:{port}/nowhere", proxy=None)
            assert invalid.value.response.status_code == 404

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, run)
            accepted, name = await trio.to_thread.run_sync(listening.accept)
            accepted.setblocking(False)
            below = SocketWire(accepted, name, address_of(listening.getsockname()))
            with pytest.raises(HandshakeError):
                await accept(below, path="/mqtt")
            await below.close()


async def test_threads_write_while_the_task_reads(nursery: trio.Nursery) -> None:
    """To a client that pings, reads slowly and writes all the time: all comes, in order."""
    each, writers = 2000, 3
    heard = bytearray()

    def talk(client: ClientConnection) -> None:
        pongs = [client.ping(b"%d" % number) for number in range(20)]
        for at in range(0, len(MUCH), 50_000):
            client.send(MUCH[at : at + 50_000])
            heard.extend(client.recv(10))  # type: ignore[arg-type]  # no text is sent
        while not heard.endswith(b"end"):
            heard.extend(client.recv(10))  # type: ignore[arg-type]  # no text is sent
        assert all(pong.wait(10) for pong in pongs)

    def write(who: int) -> None:
        for number in range(each):
            connection.replies.append(b"%d:%d%s," % (who, number, b" " * 100))
            connection.flush()

    async def read() -> None:
        received.append(await read_up_to(wire, len(MUCH)))

    received: list[bytes] = []
    async with with_client(talk) as wire:
        owner = WriterOwner(nursery)
        limits = Limits(unsent_high=10**8, unsent_bytes=10**8)
        connection = owner.connection = WireConnection(1, wire, owner, Border(), limits)
        async with trio.open_nursery() as inner:
            inner.start_soon(read)
            async with trio.open_nursery() as threads:
                for who in range(writers):
                    threads.start_soon(trio.to_thread.run_sync, write, who)
        connection.write(b"end")
        assert await read_up_to(wire, 1) == b""
        await connection.send_eof()

    assert received == [MUCH]
    lines = [line.split() for line in bytes(heard).split(b",")[:-1]]
    for who in range(writers):
        numbers = [int(line[0][2:]) for line in lines if line[0].startswith(b"%d:" % who)]
        assert numbers == list(range(each))


async def test_over_a_stream() -> None:
    """Any Trio stream will do; pings are answered there, too."""
    ours, theirs = trio.testing.lockstep_stream_pair()
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:

            async def serve() -> None:
                wire = await accept(StreamWire(ours, 16_384))
                assert await read_up_to(wire, 5) == b"hello"
                assert await read_up_to(wire, 1) == b""
                await wire.send_eof()

            nursery.start_soon(serve)
            await theirs.send_all(request() + frame(BINARY, b"hello"))
            assert (await theirs.receive_some()).startswith(b"HTTP/1.1 101 ")
            await theirs.send_all(frame(PING, b"x"))
            assert await theirs.receive_some() == b"\x8a\x01x"
            await theirs.send_all(close(1000))
            assert await theirs.receive_some() == b"\x88\x02\x03\xe8"
            assert await theirs.receive_some() == b""


async def test_over_tls() -> None:
    """One layer over another: every byte comes, and both ends say goodbye."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    heard = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listening, trio.fail_after(30):
        port = listening.getsockname()[1]

        def talk() -> None:
            uri = f"wss://localhost:{port}/mqtt"
            plain = socket.create_connection(("127.0.0.1", port))
            with connect(uri, sock=plain, ssl=trusting, proxy=None) as client:
                client.send(MUCH)
                while len(heard) < len(MUCH):
                    heard.extend(client.recv(10))  # type: ignore[arg-type]  # no text is sent

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, talk)
            accepted, name = await trio.to_thread.run_sync(listening.accept)
            accepted.setblocking(False)
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
            below = SocketWire(accepted, name, address_of(listening.getsockname()))
            wire = await accept(await accept_tls(below, server), path="/mqtt")
            assert await read_up_to(wire, len(MUCH)) == MUCH
            sent = wire.send_nowait(MUCH)
            while sent < len(MUCH):
                sent += await wire.push(memoryview(MUCH)[sent:])
            assert await read_up_to(wire, 1) == b""
            await wire.send_eof()
            await wire.close()

    assert heard == MUCH
