"""Sockets that the server was started with: others accept there too, now or later.

Promise 6, for a server that is followed by another; `test_restart` has the whole of it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from attrs import evolve

from speedo_trio import BindError, Cause, Connection, EchoProtocol, Message, Timeouts, serve
from tests.promises.scene import (
    QUICK,
    Blocker,
    Peer,
    Run,
    Stage,
    connect,
    echo,
    serving,
    until,
)

FRESH = 1.0
"""Seconds that somebody who has just come gets for the first message."""
LATE = 0.5
"""How much later than due something may be seen here; a machine may be busy."""


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A socket of somebody who passes it on and keeps it."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def passed(listening: socket.socket) -> str:
    """A bind for a server's own copy of it."""
    return f"fd://{os.dup(listening.fileno())}"


async def knock(listening: socket.socket, stage: Stage, data: bytes) -> Peer:
    """A peer that nobody need have accepted yet."""
    peer = await connect(listening.getsockname())
    stage.peers.append(peer)
    await peer.send(data)
    return peer


async def test_serves_on_a_passed_socket(listening: socket.socket) -> None:
    """At the address that it has."""
    async with serving(bind=passed(listening)) as stage:
        (address,) = stage.server.addresses
        assert (address.host, address.port) == listening.getsockname()
        await stage.works()


async def test_two_servers_share_their_peers(listening: socket.socket) -> None:
    """Each peer is served by one of them."""
    async with (
        serving(bind=passed(listening)) as one,
        serving(bind=passed(listening)) as other,
    ):
        for number in range(50):
            peer = await knock(listening, one, b"%d\n" % number)
            assert await peer.line() == b"%d" % number
        assert one.server.stats().accepted + other.server.stats().accepted == 50


async def test_drain_leaves_the_queue_to_the_next(listening: socket.socket) -> None:
    """Who waits there is neither taken nor reset, and is served by who accepts next."""
    async with serving(bind=passed(listening)) as old:
        old.server.pause()
        waiting = [await knock(listening, old, b"%d\n" % number) for number in range(20)]
        assert (await old.server.drain()).connections == 0
        waiting += [await knock(listening, old, b"%d\n" % number) for number in range(20, 25)]
        async with serving(bind=passed(listening)):
            for number, peer in enumerate(waiting):
                assert await peer.line() == b"%d" % number


async def test_stop_leaves_the_queue_to_the_next(listening: socket.socket) -> None:
    """The hard one too."""
    async with serving(bind=passed(listening)) as old:
        old.server.pause()
        waiting = await knock(listening, old, b"hello\n")
        old.scope.cancel()
        await old.stopped.wait()
        async with serving(bind=passed(listening)):
            assert await waiting.line() == b"hello"


async def test_socket_of_our_own_has_no_next() -> None:
    """Its queue is taken in, for closing it would reset it."""
    async with serving() as stage:
        stage.server.pause()
        peer = await stage.peer(accepted=False)
        await peer.send(b"hello\n")
        stage.nursery.start_soon(stage.server.drain)
        assert await peer.rest() == b"hello\n"


async def test_file_of_a_passed_unix_socket(tmp_path: Path) -> None:
    """It is somebody else's, and stays."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        async with serving(bind=passed(listening)) as stage:
            assert [str(address) for address in stage.server.addresses] == [f"unix:{path}"]
            peer = Peer(await trio.open_unix_socket(str(path)))
            stage.peers.append(peer)
            await peer.send(b"hello\n")
            assert await peer.line() == b"hello"
            peer.close()
            await stage.server.drain()

        assert path.exists()
        await (await trio.open_unix_socket(str(path))).aclose()  # the kernel still queues


async def test_one_descriptor_for_two_binds(listening: socket.socket) -> None:
    """It is told before anything is opened."""
    bind = passed(listening)
    with pytest.raises(BindError, match="another bind has that descriptor"):
        await serve(EchoProtocol, bind, bind)

    os.close(int(bind.removeprefix("fd://")))


# Those who have just come


async def drained(stage: Stage, began: float) -> float:
    """How long the drain took; it lost nothing."""
    await stage.stopped.wait()
    assert stage.report is not None
    assert stage.report.clean
    return trio.current_time() - began


async def test_who_has_just_come_may_still_ask(listening: socket.socket) -> None:
    """Its request is on its way, and is answered; then it is drained, and nobody waits longer."""
    async with serving(bind=passed(listening)) as stage:
        fresh, later = await stage.peers_of(2)
        began = trio.current_time()
        stage.nursery.start_soon(stage.server.drain)
        await trio.sleep(0.2)
        await fresh.send(b"hello\n")
        assert await fresh.rest() == b"hello\n"
        await later.send(b"half")
        await trio.sleep(0.1)
        await later.send(b" a line\n")
        assert await later.rest() == b"half a line\n"
        for peer in (fresh, later):
            peer.close()

        assert await drained(stage, began) < FRESH
        assert stage.record.causes == [Cause.DRAINED] * 2


@pytest.mark.parametrize("data", [b"", b"half a line"], ids=["nothing", "half"])
async def test_who_never_asks(data: bytes, listening: socket.socket) -> None:
    """It is drained a second later."""
    async with serving(bind=passed(listening), config=evolve(QUICK, timeouts=Timeouts())) as stage:
        silent = await stage.peer()
        await silent.send(data)
        began = trio.current_time()
        stage.nursery.start_soon(stage.server.drain)
        assert await silent.rest() == b""
        silent.close()

        assert FRESH - 0.1 < await drained(stage, began) < FRESH + LATE


async def test_who_has_asked_before_is_drained_at_once(
    listening: socket.socket, blocker: Blocker
) -> None:
    """It knows how it ends, and asks another server; those who have just come don't keep it."""

    def script(connection: Connection, line: bytes) -> Message:
        return Run(blocker) if line == b"block" else echo(connection, line)

    async with serving(script, bind=passed(listening)) as stage:
        old, busy, _fresh = await stage.peers_of(3)
        await old.send(b"hello\n")
        await old.line()
        await busy.send(b"block\n")
        await blocker.reached()
        stage.nursery.start_soon(stage.server.drain)
        began = trio.current_time()
        assert await old.rest() == b""
        blocker.free()
        assert await busy.rest() == b"free\n"

        assert trio.current_time() - began < FRESH / 2


async def test_without_a_next_nobody_is_waited_for() -> None:
    """On a socket of our own nothing would be gained by it: all who come later are turned away."""
    async with serving() as stage:
        silent = await stage.peer()
        began = trio.current_time()
        stage.nursery.start_soon(stage.server.drain)
        assert await silent.rest() == b""
        silent.close()

        assert await drained(stage, began) < FRESH / 2


async def test_who_has_just_come_to_a_proxy(listening: socket.socket) -> None:
    """The handshake may still be on its way too."""
    bind = passed(listening).replace("fd:", "fd+proxy:")
    async with serving(bind=bind) as stage:
        fresh = await stage.peer()
        began = trio.current_time()
        stage.nursery.start_soon(stage.server.drain)
        for part in (b"PROXY TCP4 192.0.2.1 ", b"192.0.2.2 1 2\r\n", b"hello", b"\n"):
            await trio.sleep(0.05)
            await fresh.send(part)
        assert await fresh.rest() == b"hello\n"
        fresh.close()

        assert await drained(stage, began) < FRESH


async def test_who_goes_is_not_waited_for(listening: socket.socket) -> None:
    """Nor is one that ends its stream."""
    async with serving(bind=passed(listening)) as stage:
        gone, ended = await stage.peers_of(2)
        began = trio.current_time()
        stage.nursery.start_soon(stage.server.drain)
        await until(lambda: stage.server.stats().draining)
        gone.reset()
        await ended.end()
        assert await ended.rest() == b""
        ended.close()

        assert await drained(stage, began) < FRESH / 2


@pytest.mark.alone
@pytest.mark.parametrize("shortened", [False, True], ids=["given", "shortened"])
async def test_short_grace(listening: socket.socket, *, shortened: bool) -> None:
    """Half of it at most is waited, so that they finish in the other half."""
    async with serving(bind=passed(listening)) as stage:
        silent = await stage.peer()
        began = trio.current_time()
        stage.nursery.start_soon(stage.server.drain, 10 if shortened else 0.6)
        if shortened:
            await trio.sleep(0.05)
            stage.nursery.start_soon(stage.server.drain, 0.6)
        assert await silent.rest() == b""
        assert 0.25 < trio.current_time() - began < 0.6
        silent.close()

        assert await drained(stage, began) < 0.6 + LATE


async def test_no_grace_at_all(listening: socket.socket) -> None:
    """Then there is no time for them either; they end at once, in order if they are quick."""
    async with serving(bind=passed(listening)) as stage:
        await stage.peer()
        report = await stage.server.drain(0, 0)

        assert report.connections == 1
        assert report.seconds < 0.5
