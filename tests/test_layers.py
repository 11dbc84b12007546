"""A link at its door: what handlers, factories and observers learn of a peer's layers.

The layers are fakes here: one that shouts for TLS, one that asks for a subprotocol for WebSocket.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio
from attrs import define, evolve

from speedo_trio import (
    Cause,
    Connection,
    ConnectionLost,
    ConnectionOpened,
    HandlerError,
    HandshakeError,
    Message,
    ProtocolError,
    ProtocolHandler,
    TLSInfo,
    WebSocketInfo,
    shared,
)
from speedo_trio.events import Address
from speedo_trio.io import door, websocket
from speedo_trio.io.wire import Data, Wire
from tests.promises.scene import QUICK, Record, Run, Scripted, Stage, serving, until

TLS = TLSInfo(version="TLSv1.3", cipher="none", alpn="echo")
OFFERED = ("a", "b")
Choose = Callable[[tuple[str, ...]], str | None]


@define(slots=False)
class Shouting:
    """A layer that sends in capitals, so that one sees what went through it."""

    below: Wire
    info: Any

    @property
    def peer(self) -> Address:
        return self.below.peer

    @property
    def local(self) -> Address:
        return self.below.local

    def readable(self) -> Awaitable[None]:
        return self.below.readable()

    def read(self, size: int) -> bytes | None:
        return self.below.read(size)

    def unread(self) -> int:
        return self.below.unread()

    def send_nowait(self, data: Data) -> int:
        return self.below.send_nowait(bytes(data).upper())

    async def push(self, data: Data) -> int:
        return await self.below.push(bytes(data).upper())

    async def send_eof(self, *, leaving: bool = False) -> None:
        await self.below.send_eof(leaving=leaving)

    async def close(self) -> None:
        await self.below.close()


async def hello(below: Wire) -> bytes:
    """What the peer says first, on the wire below."""
    await below.readable()
    said = below.read(6)
    if not said:
        raise ConnectionLost("the peer ended its stream inside the handshake")
    return said


@pytest.fixture(autouse=True)
def layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fakes in place of the real ones; each wants a word of six bytes."""

    async def accept_tls(below: Wire, context: object, turns: object) -> Shouting:
        if await hello(below) != b"HELLO\n":
            raise HandshakeError("TLS handshake: wrong version number")
        return Shouting(below, TLS)

    async def accept_websocket(
        below: Wire, *, path: object, choose: Choose, origins: object
    ) -> Shouting:
        request = (await hello(below)).decode()
        chosen = choose(OFFERED)
        return Shouting(below, WebSocketInfo(path=request.strip(), subprotocol=chosen, headers=()))

    monkeypatch.setattr(door, "server_context", lambda files: object())
    monkeypatch.setattr(door, "accept_tls", accept_tls)
    monkeypatch.setattr(websocket, "accept_websocket", accept_websocket)


def tell(connection: Connection, line: bytes) -> Message:
    """A script that tells what was agreed on."""
    tls, websocket = connection.tls, connection.websocket
    agreed = f"{tls and tls.alpn} {websocket and websocket.subprotocol}"
    return Run(lambda: line + b" " + agreed.encode())


TLS_BIND = "tls://127.0.0.1:0?cert=c"
WS_BIND = "ws://127.0.0.1:0"


# What was agreed on


async def test_tls() -> None:
    """The protocol's bytes go through the layer, both those sent at once and those that wait."""
    async with serving(tell, bind=TLS_BIND) as stage:
        peer = await stage.peer()
        await peer.send(b"HELLO\nline\n")
        assert await peer.line() == b"LINE ECHO NONE"
        stage.server.connections[0].write(b"news\n")
        assert await peer.line() == b"NEWS"

        assert str(stage.server.addresses[0]).startswith("tls://127.0.0.1:")
        (opened,) = stage.record.events_of(ConnectionOpened)
        assert (opened.tls, opened.websocket, opened.proxy) == (TLS, None, None)
        assert opened.peer == peer.name
        stats = stage.server.connection_stats(1)
        assert (stats.tls, stats.received, stats.sent) == (TLS, 5, 20)


async def test_tls_behind_a_proxy() -> None:
    """Each layer adds to what is known."""
    async with serving(tell, bind="tls+proxy://127.0.0.1:0?cert=c") as stage:
        peer = await stage.peer()
        await peer.send(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nHELLO\nline\n")
        assert await peer.line() == b"LINE ECHO NONE"

        (opened,) = stage.record.events_of(ConnectionOpened)
        assert (opened.tls, opened.peer) == (TLS, Address("tcp", "192.0.2.1", 1))
        assert opened.proxy is not None
        assert opened.proxy.proxy == peer.name


class Choosing(Scripted):
    """Speaks b, and looks at it while it is made."""

    seen: Any = None

    def __init__(self, connection: Connection, script: Any, record: Record) -> None:
        super().__init__(connection, script, record)
        self.seen = connection.websocket

    @classmethod
    def choose_subprotocol(cls, offered: tuple[str, ...]) -> str | None:
        assert offered == OFFERED
        return "b"


class Speechless(ProtocolHandler):
    """One for all connections; speaks b and takes everything."""

    def __init__(self) -> None:
        pass  # it has no connection of its own

    @classmethod
    def choose_subprotocol(cls, offered: tuple[str, ...]) -> str | None:
        return "b"

    def handle(self, data: bytes) -> None:
        return None


def chooses(choose: Callable[..., Any], record: Record) -> Any:
    """A factory with a choice of its own."""

    def factory(connection: Connection) -> Scripted:
        return Scripted(connection, tell, record)

    factory.choose_subprotocol = choose  # type: ignore[attr-defined]  # as a class would have it
    return factory


async def served_by(stage: Stage) -> bytes:
    """What a WebSocket peer is told."""
    peer = await stage.peer()
    await peer.send(b"/path\nline\n")
    return await peer.line()


async def test_class_chooses_the_subprotocol() -> None:
    """Before the handler is made, which then knows it."""
    made: list[Choosing] = []

    class Factory(Choosing):
        def __init__(self, connection: Connection) -> None:
            super().__init__(connection, tell, Record())
            made.append(self)

    async with serving(factory=Factory, bind=WS_BIND) as stage:
        assert await served_by(stage) == b"LINE NONE B"
        assert made[0].seen == WebSocketInfo(path="/path", subprotocol="b", headers=())
        (opened,) = stage.record.events_of(ConnectionOpened)
        assert opened.websocket == made[0].seen


@pytest.mark.parametrize(
    "choice", ["none", "partial", "partial of a partial", "shared", "function"]
)
async def test_whatever_makes_the_handlers(choice: str) -> None:
    """A class is found in what makes its handlers; one without a choice of its own chooses none."""
    record = Record()
    one = partial(Choosing, script=tell, record=record)
    factories: dict[str, Any] = {
        "none": partial(Scripted, script=tell, record=record),
        "partial": one,
        "partial of a partial": partial(partial(Choosing, script=tell), record=record),
        "shared": shared(Speechless()),
        "function": one.__call__,  # nobody can see into it
    }
    async with serving(factory=factories[choice], bind=WS_BIND) as stage:
        expected = b"LINE NONE NONE" if choice in ("none", "function") else b"LINE NONE B"
        if choice == "shared":
            peer = await stage.peer()
            await peer.send(b"/path\n")
            await until(lambda: stage.record.events_of(ConnectionOpened) != [])
            (opened,) = stage.record.events_of(ConnectionOpened)
            assert opened.websocket is not None
            assert opened.websocket.subprotocol == "b"
        else:
            assert await served_by(stage) == expected


async def test_another_factory_chooses_for_new_peers() -> None:
    """Reconfiguring replaces the choice with the factory."""
    record = Record()
    async with serving(factory=chooses(lambda offered: "a", record), bind=WS_BIND) as stage:
        assert await served_by(stage) == b"LINE NONE A"
        stage.server.reconfigure(factory=chooses(lambda offered: "b", record))
        assert await served_by(stage) == b"LINE NONE B"


@pytest.mark.parametrize("choice", ["c", b"a", 1, True])
async def test_choice_that_was_not_offered(choice: Any) -> None:
    """It is the factory's mistake: reported, and nobody is served by it."""
    record = Record()
    async with serving(factory=chooses(lambda offered: choice, record), bind=WS_BIND) as stage:
        peer = await stage.peer()
        await peer.send(b"/path\nline\n")
        assert await peer.ended()
        await until(lambda: stage.server.stats().closed != {})

        (failed,) = stage.record.failures
        assert failed.reason.cause is Cause.HANDLER_ERROR
        assert isinstance(failed.reason.error, HandlerError)
        assert str(failed.reason.error) == (
            f"choose_subprotocol() gave {choice!r}; allowed is one of ('a', 'b')"
        )
        assert record.made == []


async def test_choice_that_refuses_the_peer() -> None:
    """It offers nothing that will do."""

    def refuse(offered: tuple[str, ...]) -> str:
        raise ProtocolError("allowed is mqtt")

    record = Record()
    async with serving(factory=chooses(refuse, record), bind=WS_BIND) as stage:
        peer = await stage.peer()
        await peer.send(b"/path\nline\n")
        assert await peer.ended()
        await until(lambda: stage.server.stats().closed != {})

        assert stage.server.stats().closed == {Cause.PROTOCOL_ERROR: 1}
        assert record.made == []


# Handshakes that are not over


async def test_handshake_that_fails() -> None:
    """There was nothing to open, and no handler is made."""
    async with serving(bind=TLS_BIND) as stage:
        peer = await stage.peer()
        await peer.send(b"GET / ")
        assert await peer.ended()
        await until(lambda: stage.server.stats().closed == {Cause.HANDSHAKE: 1})

        assert stage.record.made == []
        assert stage.record.events_of(ConnectionOpened) == []


async def test_peer_that_is_gone_in_the_handshake() -> None:
    """It is lost, which is no failure."""
    async with serving(bind=TLS_BIND) as stage:
        (await stage.peer()).close()
        await until(lambda: stage.server.stats().closed == {Cause.LOST: 1})

        assert stage.record.failures == []


@pytest.mark.alone
async def test_one_time_limit_for_all_of_it() -> None:
    """Who sends its header late has less for the rest."""
    config = evolve(QUICK, timeouts=evolve(QUICK.timeouts, handshake=0.4))
    async with serving(config=config, bind="tls+proxy://127.0.0.1:0?cert=c") as stage:
        peer = await stage.peer()
        began = trio.current_time()
        await trio.sleep(0.25)
        await peer.send(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n")
        assert await peer.ended()
        assert 0.35 < trio.current_time() - began < 0.6
        peer.close()
        await until(lambda: stage.server.stats().closed == {Cause.HANDSHAKE: 1})

        (failed,) = stage.record.failures
        assert failed.peer == Address("tcp", "192.0.2.1", 1)  # the header had told it


@pytest.mark.parametrize("end", ["stop", "drain"])
async def test_server_that_ends_in_a_handshake(end: str) -> None:
    """The connection is closed with it."""
    async with serving(bind=TLS_BIND) as stage:
        peer = await stage.peer()
        if end == "stop":
            stage.scope.cancel()
        else:
            stage.nursery.start_soon(stage.server.drain)
        assert await peer.ended()
        peer.close()
        await stage.stopped.wait()

        assert stage.record.made == []


async def test_address_counts_until_the_connection_ends() -> None:
    """Though the peer was only known after a while, and whatever ends the handshake after that."""
    limits = evolve(QUICK.limits, connections_per_address=1)
    async with serving(
        tell, config=evolve(QUICK, limits=limits), bind="tls+proxy://127.0.0.1:0?cert=c"
    ) as stage:
        for rest in (b"HELLO\nline\n", b"GET / ", b""):
            peer = await stage.peer()
            await peer.send(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + rest)
            await peer.end()
            assert (await peer.rest() != b"") == rest.startswith(b"HELLO")
            peer.close()
            await until(lambda: stage.server.stats().connections == 0)

        assert stage.server.stats().refused == 0
        assert not stage.server._house.guests._open
