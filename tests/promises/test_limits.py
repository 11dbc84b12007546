"""Who may come in, how fast, and how much may wait: each limit at its bound, and who is not hurt.

Promises 2 and 7, for what a stranger's peers can do together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from attrs import evolve

from speedo_trio import (
    Address,
    Cause,
    Config,
    Connection,
    ConnectionEnded,
    ConnectionOpened,
    ConnectionRefused,
    Limits,
    Message,
    Refusal,
    Workers,
)
from tests.promises.scene import (
    QUICK,
    QUIET,
    Await,
    Blocker,
    Peer,
    Run,
    Scripted,
    Stage,
    at_rest,
    echo,
    echo_async,
    serving,
    until,
)

PROXIED = "tcp+proxy://127.0.0.1:0"


def limited(**limits: Any) -> Config:
    """Quick ends, and these limits."""
    return evolve(QUICK, limits=Limits(**limits))


def header(host: str, port: int = 40_000) -> bytes:
    """What a proxy says of a client."""
    family, own = ("TCP6", "2001:db8::7") if ":" in host else ("TCP4", "198.51.100.7")
    return f"PROXY {family} {host} {own} {port} 443\r\n".encode()


async def talks(peer: Peer) -> None:
    """See that it is served."""
    await peer.send(b"hello\n")
    assert await peer.line() == b"hello"


async def client(stage: Stage, host: str, port: int = 40_000) -> Peer:
    """One that comes through the proxy."""
    peer = await stage.peer()
    await peer.send(header(host, port))
    return peer


def refusals(stage: Stage) -> list[tuple[Refusal, str, float]]:
    """Who was refused, why, and at which limit."""
    events = stage.record.events_of(ConnectionRefused)
    return [(event.why, event.peer.host, event.limit) for event in events]


# Connections of an address


async def test_connections_of_an_address() -> None:
    """One more is refused at once; other addresses are not, and one that goes makes room."""
    async with serving(config=limited(connections_per_address=2)) as stage:
        first, second = await stage.peers_of(2)
        for _ in range(3):
            assert await (await stage.peer(accepted=False)).ended()
        assert refusals(stage) == [(Refusal.ADDRESS_FULL, "127.0.0.1", 2)] * 3
        await talks(await stage.peer(source="127.0.0.2"))
        await talks(second)

        first.close()
        await until(lambda: stage.server.stats().connections == 2)
        await talks(await stage.peer())
        stats = stage.server.stats()
        assert stats.refusals == {Refusal.ADDRESS_FULL: 3}
        assert (stats.refused, stats.accepted, stats.closed) == (3, 4, {Cause.EOF: 1})


async def test_connections_of_an_address_do_not_wait() -> None:
    """Even where those that are too many in all do: one peer's would hold up the others."""
    async with serving(config=limited(connections_per_address=1, connections=2)) as stage:
        await stage.peer()
        assert await (await stage.peer(accepted=False)).ended()
        await talks(await stage.peer(source="127.0.0.2"))


async def test_connections_of_a_client_behind_a_proxy() -> None:
    """The client's address counts, which the proxy tells, and not the proxy's."""
    config = limited(connections_per_address=1)
    async with serving(config=config, bind=PROXIED) as stage:
        first = await client(stage, "192.0.2.1", 1000)
        await talks(first)
        over = await client(stage, "192.0.2.1", 2000)
        assert await over.ended()
        for number in range(2, 6):
            await talks(await client(stage, f"192.0.2.{number}"))

        (refused,) = stage.record.events_of(ConnectionRefused)
        assert refused == ConnectionRefused(
            peer=Address("tcp", "192.0.2.1", 2000), why=Refusal.ADDRESS_FULL, limit=1
        )
        assert stage.server.stats().closed == {Cause.REFUSED: 1}
        assert len(stage.record.made) == len(stage.record.events_of(ConnectionOpened)) == 5
        first.close()
        await until(lambda: stage.server.stats().connections == 4)
        await talks(await client(stage, "192.0.2.1", 3000))
        await until(lambda: len(stage.record.events_of(ConnectionEnded)) == 1)


@pytest.mark.parametrize(
    ("first", "same", "another"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:a:b:c:d", "2001:db8:1:3::1"),
        ("192.0.2.1", "::ffff:192.0.2.1", "::ffff:192.0.2.2"),
    ],
    ids=["64 bits of IPv6", "IPv4, mapped"],
)
async def test_what_one_client_is(first: str, same: str, another: str) -> None:
    """Not every address that it could take for itself."""
    async with serving(config=limited(connections_per_address=1), bind=PROXIED) as stage:
        await talks(await client(stage, first))
        assert await (await client(stage, same)).ended()
        await talks(await client(stage, another))


async def test_peers_without_an_address(tmp_path: Any) -> None:
    """Who may connect to a Unix socket is decided by its permissions."""
    config = limited(connections_per_address=1, rate_per_address=0.001, burst_per_address=1)
    async with serving(config=config, bind=f"unix:{tmp_path}/s") as stage:
        for _ in range(5):
            peer = Peer(await trio.open_unix_socket(f"{tmp_path}/s"))
            stage.peers.append(peer)
            await talks(peer)


async def test_counts_of_addresses_go_with_their_connections() -> None:
    """However they end: what is kept of a thousand clients is nothing."""
    config = limited(connections_per_address=2)
    async with serving(config=config, bind=PROXIED) as stage:
        for number in range(1, 100):
            host = f"192.0.2.{number}"
            one, other = await client(stage, host), await client(stage, host)
            for peer in (one, other):
                await talks(peer)
            over = await client(stage, host)
            assert await over.ended()
            one.reset()
            other.close()
        nobody = await stage.peer()
        await nobody.send(b"no header\n")
        nobody.close()
        await until(lambda: stage.server.stats().connections == 0)

        assert not stage.server._house.guests._open


# Rates


@pytest.mark.alone
async def test_rate_at_which_peers_are_let_in() -> None:
    """After the burst the others wait their turn in the kernel; all are served, none is refused."""
    async with serving(config=limited(rate=20.0, burst=3)) as stage:
        began = trio.current_time()
        peers = [await stage.peer(accepted=False) for _ in range(9)]
        for peer in peers[:3]:
            await talks(peer)
        assert trio.current_time() - began < 0.25
        await at_rest()
        for peer in peers[3:]:
            await talks(peer)

        assert trio.current_time() - began >= 6 / 20 - 0.01
        assert stage.server.stats().refused == 0


async def test_rate_at_which_peers_are_refused() -> None:
    """Where they don't wait; each that comes later than its token is served."""
    async with serving(config=limited(rate=4.0, burst=2, when_full="refuse")) as stage:
        for _ in range(2):
            await talks(await stage.peer())
        over = await stage.peer(accepted=False)
        assert await over.ended()
        assert refusals(stage) == [(Refusal.RATE, "127.0.0.1", 4.0)]

        await trio.sleep(0.3)
        await talks(await stage.peer())
        assert stage.server.stats().refusals == {Refusal.RATE: 1}


async def test_rate_of_an_address() -> None:
    """Who connects too often is refused until it has waited; others are not."""
    config = limited(rate_per_address=4.0, burst_per_address=2)
    async with serving(config=config) as stage:
        for _ in range(2):
            peer = await stage.peer()
            await talks(peer)
            peer.close()
        assert await (await stage.peer(accepted=False)).ended()
        await talks(await stage.peer(source="127.0.0.2"))
        assert refusals(stage) == [(Refusal.ADDRESS_RATE, "127.0.0.1", 4.0)]

        await trio.sleep(0.3)
        await talks(await stage.peer())


async def test_rate_of_a_client_behind_a_proxy() -> None:
    """The client's, not the proxy's; the rate in all holds for whatever is accepted."""
    config = limited(rate_per_address=0.001, burst_per_address=1)
    async with serving(config=config, bind=PROXIED) as stage:
        await talks(await client(stage, "192.0.2.1"))
        assert await (await client(stage, "192.0.2.1")).ended()
        await talks(await client(stage, "192.0.2.2"))

        assert refusals(stage) == [(Refusal.ADDRESS_RATE, "192.0.2.1", 0.001)]
        assert stage.server.stats().closed == {Cause.REFUSED: 1}


@pytest.mark.parametrize(
    "header",
    [b"PROXY UNKNOWN\r\n", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"],
    ids=["version 1", "version 2"],
)
async def test_proxy_that_speaks_for_itself_is_not_limited(header: bytes) -> None:
    """Its health checks come from one address, as often as it likes: it is trusted."""
    limits = {"connections_per_address": 1, "rate_per_address": 0.001, "burst_per_address": 1}
    async with serving(config=limited(**limits), bind=PROXIED) as stage:
        for _ in range(5):
            peer = await stage.peer()
            await peer.send(header)
            await talks(peer)
        assert refusals(stage) == []
        for peer in stage.peers:
            peer.close()
        await until(lambda: stage.server.stats().connections == 0)

        assert not stage.server._house.guests._open


# The bytes of all connections


@asynccontextmanager
async def crowded(
    blocker: Callable[[], bytes], count: int, **limits: Any
) -> Any:  # an async generator, but mypy wants more of it than a reader
    """So many peers that send lines of 1 KB without end; `blocker` executes them."""
    alive: list[int] = [0, 0]  # bytes in messages now, and at most

    class Counted(Run):
        __slots__ = ("size",)

        def __init__(self, size: int) -> None:
            super().__init__(blocker)
            self.size = size
            alive[0] += size
            alive[1] = max(alive)

        def __del__(self) -> None:
            alive[0] -= self.size

    def script(connection: Connection, line: bytes) -> Message:
        return Counted(len(line) + 1)

    config = evolve(limited(**limits), workers=Workers(count=2))
    async with serving(script, config=config) as stage:
        peers = await stage.peers_of(count)
        yield stage, peers, alive


LINE = b"x" * 1023 + b"\n"


async def test_bytes_of_all_connections(blocker: Blocker) -> None:
    """No more than the limit, and a read of each, is held; all of it is answered in the end."""
    sizes = {"bytes": 50_000, "read_bytes": 4096}
    async with crowded(blocker, 20, **sizes) as (stage, peers, alive):
        sent = [await peer.flood(LINE, 500_000) for peer in peers[:2]]
        async with trio.open_nursery() as nursery:
            for peer in peers[2:]:
                nursery.start_soon(peer.send, LINE * 100)
            await blocker.reached(2)
            await trio.sleep(QUIET)
            assert 50_000 <= stage.server.stats().received < 50_000 + 21 * 4096
            assert alive[1] < 50_000 + 21 * 4096
            await at_rest()
            blocker.free()

        for peer, size in zip(peers, [*sent, *[100 * 1024] * 18], strict=True):
            lines = await peer.lines(size // 1024)
            assert set(lines) == {b"free"}
        assert alive[1] < 2 * (50_000 + 21 * 4096)


async def test_without_the_limit_on_bytes_more_is_held(blocker: Blocker) -> None:
    """The test above is one of that limit and of no other."""
    async with crowded(blocker, 20, bytes=2**40, read_bytes=4096) as (stage, peers, _):
        for peer in peers:
            stage.nursery.start_soon(peer.send, LINE * 100)
        await blocker.reached(2)
        await until(lambda: stage.server.stats().received == 20 * 100 * 1024)


@pytest.mark.parametrize("script", [echo, echo_async], ids=["threads", "tasks"])
async def test_one_byte_in_all(script: Callable[[Connection, bytes], Message]) -> None:
    """The smallest limit is always met, and nothing stops: a read of each at a time."""
    async with serving(script, config=limited(bytes=1, read_bytes=100)) as stage:
        peers = await stage.peers_of(10)

        async def talk(peer: Peer, name: bytes) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(peer.send, b"".join(b"%s%d\n" % (name, i) for i in range(500)))
                assert await peer.lines(500) == [b"%s%d" % (name, i) for i in range(500)]

        async with trio.open_nursery() as nursery:
            for number, peer in enumerate(peers):
                nursery.start_soon(talk, peer, b"%d:" % number)


async def test_connection_without_messages_is_read_from(blocker: Blocker) -> None:
    """Whatever the others hold: who has nothing waiting is served at once."""

    def script(connection: Connection, line: bytes) -> Message:
        return Run(blocker) if len(line) > 100 else echo_async(connection, line)

    config = evolve(limited(bytes=10_000), workers=Workers(count=1))
    async with serving(script, config=config) as stage:
        for peer in await stage.peers_of(5):
            await peer.send(LINE * 16)
        await blocker.reached()
        await until(lambda: stage.server.stats().received >= 10_000)

        quiet = await stage.peer()
        began = trio.current_time()
        for _ in range(20):
            await talks(quiet)
        assert trio.current_time() - began < 2


async def test_half_a_line_holds_nothing(blocker: Blocker) -> None:
    """It is no message that could be executed to make room: a peer may always finish its line."""
    async with crowded(blocker, 4, bytes=1000, read_bytes=512) as (stage, peers, _):
        for peer in peers[:3]:
            await peer.send(LINE)
        await blocker.reached(2)
        slow = peers[3]
        for _ in range(20):
            await slow.send(b"y" * 200)
            await trio.sleep(0.005)
        await until(lambda: stage.server.stats().received == 3 * 1024 + 20 * 200)

        await slow.send(b"\n")
        blocker.free()
        assert await slow.line() == b"free"


async def test_bytes_that_the_house_counts(blocker: Blocker) -> None:
    """It never takes them for less than they are, on whatever way they come and go."""
    limits = {"bytes": 30_000, "read_bytes": 2048}
    async with crowded(blocker, 10, **limits) as (stage, peers, _):
        house, spare = stage.server._house, list[int]()

        class Checker(trio.abc.Instrument):
            def after_task_step(self, task: object) -> None:
                truth = sum(link.held for link in house.links.values())
                spare.append(house.held - truth)

        checker = Checker()
        trio.lowlevel.add_instrument(checker)
        for peer in peers[:5]:
            await peer.flood(LINE, 100_000)
        peers[0].reset()
        stage.nursery.start_soon(peers[5].send, LINE * 50)
        await trio.sleep(QUIET / 2)
        stage.nursery.start_soon(stage.server.drain)
        await trio.sleep(QUIET / 2)
        blocker.free()
        await stage.stopped.wait()
        trio.lowlevel.remove_instrument(checker)

        assert min(spare) >= 0
        assert len(spare) > 50


async def test_bytes_that_a_drain_takes_in(blocker: Blocker) -> None:
    """What the kernel has received is handled, but not more at a time than without a drain."""

    class Patient(Scripted):
        limit = 2**20

        def opened(self) -> Iterator[Message]:
            async def wait() -> None:
                await begun.wait()

            yield Await(wait)

    begun = trio.Event()
    alive = most = 0

    class Counted(Run):
        def __init__(self, function: Callable[[], bytes]) -> None:
            nonlocal alive, most
            super().__init__(function)
            alive += 1024
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1024

    def script(connection: Connection, line: bytes) -> Message:
        return Counted(blocker)

    config = evolve(limited(lane_bytes=20_000, read_bytes=4096), workers=Workers(turn_messages=4))
    async with serving(script, kind=Patient, config=config) as stage:
        peer = await stage.peer()
        sent = await peer.flood(LINE, 3_000_000)
        assert sent > 100_000
        stage.nursery.start_soon(stage.server.drain, 10)
        await trio.sleep(QUIET)
        begun.set()
        await blocker.reached()
        await trio.sleep(QUIET)
        blocker.free()
        received = await peer.rest()
        await stage.stopped.wait()

        assert most < 20_000 + 2 * 4096 + 8 * 1024
        answered = len(received) // 5
        assert received == b"free\n" * answered
        assert 100_000 // 1024 < answered <= sent // 1024
        assert stage.report is not None
        assert stage.report.clean
