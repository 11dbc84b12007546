"""Doors: which layers a peer goes through, in which order, and what is known of it then."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
import trio
import trio.testing
from attrs import define, field

from speedo_trio.errors import BindError, ConfigError, HandshakeError
from speedo_trio.events import Address, ProxyInfo, TLSInfo, WebSocketInfo
from speedo_trio.io import door as room
from speedo_trio.io import websocket
from speedo_trio.io.binds import parse_bind
from speedo_trio.io.door import Door, Introduction
from speedo_trio.io.tls import TLSFiles
from speedo_trio.io.wire import StreamWire

PROXY = Address("tcp", "127.0.0.1", 50_000)
CLIENT, SERVER = Address("tcp", "192.0.2.1", 56_324), Address("tcp", "198.51.100.7", 443)
LINE = b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"
BLOCK = (
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x11"
    b"\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb"
    b"\x02\x00\x02ex"
)
BLOCK_OF_THE_PROXY = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"

TLS = TLSInfo(version="TLSv1.3", cipher="none", alpn="mqtt")
WEBSOCKET = WebSocketInfo(path="/mqtt", subprotocol="mqtt", headers=())


class Wrapped:
    """A layer that only says what is below it, and what it was made with."""

    def __init__(self, below: Any, info: object, **made_with: object) -> None:
        self.below = below
        self.info = info
        self.made_with = made_with


@define(eq=False)
class Layers:
    """Stands for the layers: remembers in which order they shook hands."""

    loaded: list[TLSFiles] = field(factory=list)
    broken: bool = False
    """Whether certificates can't be used."""
    lacking: bool = False
    """Whether there is no library for WebSocket."""
    contexts: list[Any] = field(factory=list)
    order: list[str] = field(factory=list)

    def server_context(self, files: TLSFiles) -> Any:
        if self.broken:
            raise ConfigError(f"{files.cert}: there is no certificate in it")
        self.loaded.append(files)
        self.contexts.append(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        return self.contexts[-1]

    async def accept_tls(self, below: object, context: object, turns: object) -> Wrapped:
        self.order.append("tls")
        return Wrapped(below, TLS, context=context)

    def require_wsproto(self) -> None:
        if self.lacking:
            raise ConfigError("WebSocket needs wsproto")

    async def accept_websocket(self, below: object, **made_with: object) -> Wrapped:
        self.order.append("websocket")
        return Wrapped(below, WEBSOCKET, **made_with)


@pytest.fixture
def layers(monkeypatch: pytest.MonkeyPatch) -> Layers:
    """Fakes in place of TLS and WebSocket: a door only leads through."""
    layers = Layers()
    for name in ("server_context", "accept_tls"):
        monkeypatch.setattr(room, name, getattr(layers, name))
    for name in ("require_wsproto", "accept_websocket"):
        monkeypatch.setattr(websocket, name, getattr(layers, name))
    return layers


def door_of(text: str) -> Door:
    """The door of a bind."""
    return Door(parse_bind(text))


def choose(offered: tuple[str, ...]) -> str | None:
    """Chooses nothing."""
    return None


class WireOf(StreamWire):
    """A wire that knows its peer's address, as one of a socket does."""

    def __init__(self, stream: trio.abc.Stream, peer: Address) -> None:
        super().__init__(stream, 1000)
        self.peer = peer


@define
class Peer:
    """Somebody at the door: what is sent, and the wire that it comes by."""

    client: trio.abc.Stream
    wire: WireOf


@pytest.fixture
def peer() -> Peer:
    """A peer of which the wire says that it is a proxy on this machine."""
    ours, theirs = trio.testing.memory_stream_pair()
    return Peer(ours, WireOf(theirs, PROXY))


# What a bind's door is like


@pytest.mark.parametrize(
    ("text", "scheme", "proxied"),
    [
        ("tcp+proxy://:1", "tcp", True),
        ("tls://:1?cert=c", "tls", False),
        ("tls+proxy://:1?cert=c", "tls", True),
        ("ws://:1", "ws", False),
        ("wss+proxy://:1?cert=c", "wss", True),
        ("fd+tls+ws://3?cert=c", "wss", False),
        ("systemd+proxy:web", "tcp", True),
    ],
)
def test_door_of_a_bind(text: str, scheme: str, *, proxied: bool, layers: Layers) -> None:
    """The scheme is for those who connect; a proxy is not one of them."""
    door = door_of(text)

    assert (door.scheme, door.proxied) == (scheme, proxied)
    assert len(layers.loaded) == ("tls" in text or "wss" in text)


def test_certificates_are_loaded_at_once(layers: Layers) -> None:
    """A mistake is told before anything listens."""
    door = door_of("tls://:1?cert=c&key=k&ca=a&alpn=mqtt")

    assert layers.loaded == [TLSFiles(cert="c", key="k", ca="a", alpn=("mqtt",))]
    assert door.context is layers.contexts[0]


def test_certificates_that_cannot_be_used(layers: Layers) -> None:
    """The text names the bind."""
    layers.broken = True
    with pytest.raises(BindError) as refused:
        door_of("tls://:1?cert=c")

    assert str(refused.value) == "tls://:1?cert=c: c: there is no certificate in it"
    assert isinstance(refused.value.__cause__, ConfigError)


def test_websocket_without_its_library(layers: Layers) -> None:
    """It is told before anything listens; others don't need it."""
    layers.lacking = True
    door_of("tls+proxy://:1?cert=c")
    with pytest.raises(ConfigError, match="WebSocket needs wsproto"):
        door_of("ws://:1")


def test_load_changes_nothing(layers: Layers) -> None:
    """Who loads certificates anew decides whether to use them; without TLS there are none."""
    door = door_of("tls://:1?cert=c")
    old = door.context
    new = door.load()
    assert door.context is old is not new

    layers.broken = True
    with pytest.raises(BindError):
        door.load()
    assert door.context is old
    assert door_of("ws+proxy://:1").load() is None


# The header


async def test_no_header_is_expected(layers: Layers, peer: Peer) -> None:
    """Then nothing is read."""
    await peer.client.send_all(LINE)

    assert await door_of("ws://:1").header(peer.wire) == Introduction()
    await peer.wire.readable()
    assert peer.wire.read(100) == LINE


@pytest.mark.parametrize(
    ("header", "version", "tlvs"),
    [(LINE, 1, ()), (BLOCK, 2, ((2, b"ex"),))],
    ids=["version 1", "version 2"],
)
async def test_header_tells_who_the_peer_is(
    header: bytes, version: int, tlvs: tuple[tuple[int, bytes], ...], peer: Peer
) -> None:
    """And by whom that was told; what follows it stays unread."""
    await peer.client.send_all(header + b"hello")

    assert await door_of("tcp+proxy://:1").header(peer.wire) == Introduction(
        peer=CLIENT, local=SERVER, proxy=ProxyInfo(proxy=PROXY, version=version, tlvs=tlvs)
    )
    await peer.wire.readable()
    assert peer.wire.read(100) == b"hello"


@pytest.mark.parametrize(
    ("header", "version"), [(b"PROXY UNKNOWN\r\n", 1), (BLOCK_OF_THE_PROXY, 2)]
)
async def test_proxy_that_speaks_for_itself(header: bytes, version: int, peer: Peer) -> None:
    """The wire knows its address already."""
    await peer.client.send_all(header)

    assert await door_of("tcp+proxy://:1").header(peer.wire) == Introduction(
        proxy=ProxyInfo(proxy=PROXY, version=version)
    )


async def test_header_of_somebody_who_is_not_trusted(peer: Peer) -> None:
    """It is not even read; the text says who is."""
    peer.wire.peer = Address("tcp", "192.0.2.66", 6666)
    await peer.client.send_all(LINE)
    with pytest.raises(HandshakeError) as refused:
        await door_of("tcp+proxy://:1?trust=10.0.0.0/8,::1").header(peer.wire)

    assert str(refused.value) == (
        "tcp://192.0.2.66:6666 is not trusted to be a proxy; trusted are 10.0.0.0/8,::1"
    )
    await peer.wire.readable()
    assert peer.wire.read(100) == LINE


async def test_no_header_where_one_is_required(peer: Peer) -> None:
    """Whether one is there is never guessed."""
    await peer.client.send_all(b"hello, I am no proxy\n")
    with pytest.raises(HandshakeError, match="PROXY header"):
        await door_of("tcp+proxy://:1").header(peer.wire)


# Entering


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("tcp+proxy://:1", []),
        ("tls://:1?cert=c", ["tls"]),
        ("ws://:1", ["websocket"]),
        ("ws+tls+proxy://:1?cert=c", ["tls", "websocket"]),
    ],
)
async def test_layers_lie_one_upon_the_other(
    text: str, order: list[str], layers: Layers, peer: Peer
) -> None:
    """TLS over the socket, WebSocket over that, and what each has agreed on."""
    wire, tls, websocket = await door_of(text).enter(peer.wire, choose)

    assert layers.order == order
    assert tls == (TLS if "tls" in order else None)
    assert websocket == (WEBSOCKET if "websocket" in order else None)
    lowest: Any = wire
    for _ in order:
        lowest = lowest.below
    assert lowest is peer.wire


@pytest.mark.parametrize(
    ("text", "path", "origins"),
    [
        ("ws://:1", None, ()),
        ("ws://:1/", None, ()),
        ("ws://:1/mqtt", "/mqtt", ()),
        ("ws://:1?origin=https://a,https://b", None, ("https://a", "https://b")),
    ],
)
async def test_websocket_is_told_what_the_bind_says(
    text: str, path: str | None, origins: tuple[str, ...], layers: Layers, peer: Peer
) -> None:
    """Without a path any will do, and without origins any of them."""
    wire, _, _ = await door_of(text).enter(peer.wire, choose)

    assert isinstance(wire, Wrapped)
    assert wire.made_with == {"path": path, "choose": choose, "origins": origins}


async def test_new_certificates_are_for_new_peers(layers: Layers, peer: Peer) -> None:
    """Those of the moment in which a peer comes."""
    door = door_of("tls://:1?cert=c")
    before, _, _ = await door.enter(peer.wire, choose)
    door.context = door.load()
    after, _, _ = await door.enter(peer.wire, choose)

    assert isinstance(before, Wrapped)
    assert isinstance(after, Wrapped)
    assert [before.made_with["context"], after.made_with["context"]] == layers.contexts


async def test_handshake_that_fails_ends_it(
    layers: Layers, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next layer is not tried."""

    async def fail(below: object, context: object, turns: object) -> None:
        raise HandshakeError("TLS handshake: no shared cipher")

    monkeypatch.setattr(room, "accept_tls", fail)
    with pytest.raises(HandshakeError, match="no shared cipher"):
        await door_of("wss://:1?cert=c").enter(peer.wire, choose)

    assert layers.order == []
