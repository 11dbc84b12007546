"""Peers behind a proxy: who they are, for all who ask, and whose word is taken for it."""

from __future__ import annotations

import random
import socket
from pathlib import Path

import pytest
import trio
from attrs import evolve

from speedo_trio import (
    Address,
    Cause,
    Connection,
    ConnectionFailed,
    ConnectionOpened,
    HandshakeError,
    Message,
    ProxyInfo,
    Timeouts,
)
from tests.promises.scene import QUICK, Await, Peer, Run, Stage, at_rest, serving, until

PROXIED = "tcp+proxy://127.0.0.1:0"
LINE = b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
FIELDS = b"\x01\x00\x02h2" + b"\x02\x00\x07example" + b"\xe0\x00\x00"
BLOCK = SIGNATURE + b"\x21\x11" + (12 + len(FIELDS)).to_bytes(2, "big")
BLOCK += socket.inet_aton("192.0.2.1") + socket.inet_aton("198.51.100.7") + b"\xdc\x04\x01\xbb"
BLOCK += FIELDS
BLOCK_OF_THE_PROXY = SIGNATURE + b"\x20\x00\x00\x00"

CLIENT, SERVER = Address("tcp", "192.0.2.1", 56_324), Address("tcp", "198.51.100.7", 443)


def who(connection: Connection, line: bytes) -> Message:
    """A script that tells who the peer is, in a thread or in a task."""

    def tell() -> bytes:
        proxy = connection.proxy
        told = None if proxy is None else (str(proxy.proxy.scheme), proxy.version, proxy.tlvs)
        return f"{connection.peer} {connection.local} {told}".encode()

    async def tell_async() -> bytes:
        return tell()

    return Await(tell_async) if line == b"async" else Run(tell)


@pytest.mark.parametrize(
    ("header", "version", "tlvs"),
    [(LINE, 1, ()), (BLOCK, 2, ((1, b"h2"), (2, b"example"), (0xE0, b"")))],
    ids=["version 1", "version 2"],
)
async def test_who_the_peer_is(
    header: bytes, version: int, tlvs: tuple[tuple[int, bytes], ...]
) -> None:
    """Handlers, messages, observers and statistics all have the client and not the proxy."""
    async with serving(who, bind=PROXIED) as stage:
        peer = await stage.peer()
        await peer.send(header + b"who?\nasync\n")
        told = f"tcp://192.0.2.1:56324 tcp://198.51.100.7:443 {('tcp', version, tlvs)}".encode()
        assert await peer.lines(2) == [told, told]

        proxy = ProxyInfo(proxy=peer.name, version=version, tlvs=tlvs)
        assert stage.record.events_of(ConnectionOpened) == [
            ConnectionOpened(connection=1, peer=CLIENT, local=SERVER, proxy=proxy)
        ]
        stats = stage.server.connection_stats(1)
        assert (stats.peer, stats.local, stats.proxy) == (CLIENT, SERVER, proxy)
        assert (stats.received, stats.executed, stats.sent) == (11, 2, 2 * len(told) + 2)


@pytest.mark.parametrize(
    "header",
    [LINE, BLOCK, b"PROXY UNKNOWN\r\n", BLOCK_OF_THE_PROXY],
    ids=["version 1", "version 2", "unknown", "local"],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_header_may_come_in_parts(header: bytes, size: int) -> None:
    """Byte by byte or together with what follows: nothing of the protocol's bytes is lost."""
    data = header + b"".join(b"line %d\n" % number for number in range(20))
    async with serving(bind=PROXIED) as stage:
        peer = await stage.peer()
        for at in range(0, len(data), size):
            peer.send_nowait(data[at : at + size])
            await trio.lowlevel.checkpoint()

        assert await peer.lines(20) == [b"line %d" % number for number in range(20)]


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", BLOCK_OF_THE_PROXY])
async def test_proxy_that_speaks_for_itself(header: bytes) -> None:
    """A health check: it is the socket's other end then."""
    async with serving(who, bind=PROXIED) as stage:
        peer = await stage.peer()
        await peer.send(header + b"who?\n")
        told = await peer.line()

        assert told.startswith(f"{peer.name} {stage.server.addresses[0]} ('tcp', ".encode())


async def test_proxy_on_a_unix_socket(tmp_path: Path) -> None:
    """Who may connect there may speak for others."""
    async with serving(who, bind=f"unix+proxy:{tmp_path}/s?trust=10.0.0.0/8") as stage:
        peer = Peer(await trio.open_unix_socket(f"{tmp_path}/s"))
        stage.peers.append(peer)
        await peer.send(LINE + b"who?\n")

        assert await peer.line() == (
            b"tcp://192.0.2.1:56324 tcp://198.51.100.7:443 ('unix', 1, ())"
        )


async def test_until_the_header_has_come_nothing_is_written() -> None:
    """An application that writes to all connections doesn't write to those that have none yet."""
    async with serving(bind=PROXIED) as stage:
        late, early = await stage.peers_of(2)
        await early.send(LINE + b"hello\n")
        assert await early.line() == b"hello"
        for connection in stage.server.connections:
            connection.write(b"news\n")
        assert await early.line() == b"news"
        assert len(stage.server.connections) == 1
        assert stage.server.stats().connections == 2

        await late.send(LINE + b"hello\n")
        assert await late.line() == b"hello"
        assert len(stage.server.connections) == 2


# Those who are not believed


async def refused(stage: Stage, peer: Peer, connection: int) -> str:
    """See that it gets nothing but the end, and is reported once as itself; the report's text."""
    assert await peer.ended()
    peer.close()
    await until(lambda: stage.record.failures != [])
    (failed,) = stage.record.failures
    assert (failed.connection, failed.peer.host) == (connection, "127.0.0.1")
    assert failed.reason.cause is Cause.HANDSHAKE
    assert isinstance(failed.reason.error, HandshakeError)
    return str(failed.reason.error)


@pytest.mark.parametrize("header", [LINE, BLOCK], ids=["version 1", "version 2"])
async def test_forged_header(header: bytes) -> None:
    """A peer that is no trusted proxy can't say who it is; nobody else notices."""
    config = evolve(QUICK, timeouts=Timeouts(linger=0.05))
    async with serving(who, config=config, bind=f"{PROXIED}?trust=127.0.0.2") as stage:
        proxy = await stage.peer(source="127.0.0.2")
        await proxy.send(LINE + b"who?\n")
        assert (await proxy.line()).startswith(b"tcp://192.0.2.1:56324 ")
        forger = await stage.peer()
        name = forger.name
        await forger.send(header + b"who?\n")
        text = await refused(stage, forger, connection=2)

        assert text == f"{name} is not trusted to be a proxy; trusted are 127.0.0.2"
        await proxy.send(b"still?\n")
        assert (await proxy.line()).startswith(b"tcp://192.0.2.1:56324 ")
        assert stage.record.made == [1]
        assert stage.server.stats().closed == {Cause.HANDSHAKE: 1}


async def test_header_where_none_is_expected() -> None:
    """It is the protocol's bytes as any others, and says nothing of the peer."""
    async with serving(who) as stage:
        peer = await stage.peer()
        await peer.send(LINE)

        assert await peer.line() == f"{peer.name} {stage.server.addresses[0]} None".encode()


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"PROXY TCP4 192.0.2.256 198.51.100.7 56324 443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 65536\r\n",
        b"PROXY UDP4 192.0.2.1 198.51.100.7 56324 443\r\n",
        LINE[:-2] + b" " * 200,
        SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12),
        SIGNATURE + b"\x21\x11\xff\xff" + bytes(65_535),
        SIGNATURE + b"\x21\x11\x00\x0b" + bytes(11),
    ],
    ids=["HTTP", "address", "port", "UDP", "long line", "version 3", "long block", "short block"],
)
async def test_header_that_is_not_allowed(data: bytes) -> None:
    """It ends the connection before there is a handler."""
    async with serving(bind=PROXIED) as stage:
        peer = await stage.peer()
        await peer.send(data)
        try:
            await peer.end()
        except trio.BrokenResourceError:
            pass  # the server was quicker
        await refused(stage, peer, connection=1)

        assert stage.record.made == []


async def test_many_that_are_not_allowed() -> None:
    """Hundreds at the same time: each is reported once, and the proxy's clients are served."""
    async with serving(bind=PROXIED) as stage:
        good = await stage.peer()
        await good.send(LINE)
        seeded = random.Random(5)
        for number in range(300):
            peer = await stage.peer(accepted=False)
            await peer.send(seeded.randbytes(seeded.randrange(1, 60)))
            (peer.reset if number % 2 else peer.close)()
            await good.send(b"%d\n" % number)
            assert await good.line() == b"%d" % number
        await until(lambda: stage.server.stats().connections == 1)

        told = stage.record.events_of(ConnectionFailed)
        ends = stage.server.stats().closed
        assert set(ends) <= {Cause.HANDSHAKE, Cause.LOST}
        assert sum(ends.values()) == 300
        assert len({event.connection for event in told}) == len(told) == ends[Cause.HANDSHAKE]
        assert stage.record.made == [1]
        await at_rest()
