"""The load: from the first connection to the last reply, at a rate or as fast as it can."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
import trio

from speedo_trio.cli.bench.course import Phase
from speedo_trio.cli.bench.failure import Failure, Kind
from speedo_trio.cli.bench.load import Load
from speedo_trio.echo import EchoProtocol
from speedo_trio.server import serve
from tests.cli.bench.conftest import PATIENCE, Serve, echo, make_load, reach, run_load


async def test_a_speedo_server_is_right(nursery: trio.Nursery) -> None:
    """All lines of all clients come back as they were."""
    server = await nursery.start(serve, EchoProtocol, "tcp://127.0.0.1:0")
    url = str(server.addresses[0])
    course = await run_load(url, clients=20, window=16, requests=10_000)
    await server.drain()

    assert course.tally.faultless
    assert course.tally.counted.requests == course.tally.counted.replies == 10_000
    assert course.tally.connects.count == 20
    assert course.tally.latencies.count == 10_000
    assert course.tally.seconds > 0


async def test_time_ends_it(serve_tcp: Serve) -> None:
    """After the warm-up it is measured for as long as was asked for."""
    course = await run_load(await serve_tcp(echo), seconds=0.2, warm_up=0.1)

    assert 0.2 <= course.tally.seconds < 2
    assert course.tally.counted.replies > 0
    assert course.tally.faultless


@pytest.mark.alone
async def test_a_warm_up_does_not_count(serve_tcp: Serve) -> None:
    """A server that is slow at first is as fast as it is afterwards."""
    fast = trio.Event()

    async def slow_at_first(stream: trio.SocketStream) -> None:
        async for data in stream:
            with trio.move_on_after(0.15):
                await fast.wait()
            fast.set()
            await stream.send_all(data)

    course = await run_load(await serve_tcp(slow_at_first), requests=100, warm_up=0.3)

    assert course.tally.counted.requests == 100
    assert course.tally.latencies.most < 0.15e9


async def test_whichever_end_comes_first(serve_tcp: Serve) -> None:
    """With a time and a number, a server that is too slow for the number is not waited for."""

    async def silence(stream: trio.SocketStream) -> None:
        async for data in stream:
            await trio.sleep(0.1)
            await stream.send_all(data)

    url = await serve_tcp(silence)
    assert (await run_load(url, requests=1000, seconds=0.3)).tally.seconds < 1
    assert (await run_load(url, requests=2, seconds=60)).tally.counted.replies == 2


@pytest.mark.alone
async def test_the_end_of_the_requests_is_the_last_reply(serve_tcp: Serve) -> None:
    """What is waited for in vain after it does not make the others slower."""
    answered = 0

    async def not_the_last(stream: trio.SocketStream) -> None:
        nonlocal answered
        async for data in stream:
            answered += 1
            if answered < 100:
                await stream.send_all(data)

    course = await run_load(await serve_tcp(not_the_last), requests=100, timeout=0.5)

    assert course.tally.counted.replies == 99
    assert course.tally.lost == 1
    assert course.tally.seconds < 0.5


async def test_the_last_replies_are_waited_for(serve_tcp: Serve) -> None:
    """They are slow, not lost: their latencies count, and the rate has none of them."""
    end = trio.Event()

    async def late(stream: trio.SocketStream) -> None:
        async for data in stream:
            await end.wait()
            await stream.send_all(data)

    load = make_load(await serve_tcp(late), seconds=0.05, warm_up=0)
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load.run)
            await reach(load, Phase.FINISHING)
            end.set()

    assert load.course.tally.faultless
    assert load.course.tally.counted.replies == 0
    assert load.course.tally.latencies.count == 2


async def test_nothing_listens() -> None:
    """The first connection tells."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(Failure, match="Connection refused"):
            await run_load(url)


async def test_fewer_connections_than_clients(nursery: trio.Nursery) -> None:
    """Those that can't connect are counted, and the others go on."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")

    async def serve_one() -> None:
        stream = await listener.accept()
        await listener.aclose()
        async with stream:
            await echo(stream)

    nursery.start_soon(serve_one)
    url = f"tcp://127.0.0.1:{listener.socket.getsockname()[1]}"
    course = await run_load(url, clients=3, seconds=0.2, warm_up=0)
    nursery.cancel_scope.cancel()

    assert course.tally.connects.count == 1
    assert course.tally.counted.replies > 0
    assert set(course.tally.failures) <= {Kind.REFUSED, Kind.RESET}
    assert course.tally.failures[Kind.REFUSED] >= 2


async def test_only_some_connect_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the server's queue is not flooded; in the end all have connected."""
    monkeypatch.setattr("speedo_trio.cli.bench.load._CONNECTING_AT_ONCE", 3)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    load = make_load(f"tcp://127.0.0.1:{listener.socket.getsockname()[1]}", clients=10, requests=10)
    connecting, most = 0, 0
    real = load.course.connector.open

    async def open_and_count() -> Any:
        nonlocal connecting, most
        connecting += 1
        most = max(most, connecting)
        await trio.lowlevel.checkpoint()
        opened = await real()
        connecting -= 1
        return opened

    monkeypatch.setattr(type(load.course.connector), "open", lambda self: open_and_count())
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, echo, [listener])
            await load.run()
            nursery.cancel_scope.cancel()

    assert most == 3
    assert load.course.tally.connects.count == 10


# Rates


async def test_a_rate_is_kept(serve_tcp: Serve) -> None:
    """Evenly: as many as are due are sent, whatever the server could do."""
    course = await run_load(await serve_tcp(echo), rate=500, seconds=0.4, warm_up=0)

    due = 500 * course.tally.seconds
    assert course.tally.counted.requests + course.unsent == pytest.approx(due, abs=3)
    assert course.tally.faultless


async def test_a_slow_rate_ends_in_time(serve_tcp: Serve) -> None:
    """Clients that wait for their turn, with nothing in flight, don't hold it up."""
    with trio.fail_after(3):
        course = await run_load(await serve_tcp(echo), rate=0.01, seconds=0.1, warm_up=0)

    assert course.tally.volume.requests == 1


@pytest.mark.alone
async def test_requests_that_had_to_wait_count(serve_tcp: Serve) -> None:
    """A server that stalls once: without a rate one slow reply, with one all that were due."""

    def stalling() -> Callable[[trio.SocketStream], Any]:
        async def handle(stream: trio.SocketStream) -> None:
            stalled = False
            async for data in stream:
                if not stalled:
                    stalled = True
                    await trio.sleep(0.3)
                await stream.send_all(data)

        return handle

    url = await serve_tcp(stalling())
    closed = await run_load(url, clients=1, requests=100)
    opened = await run_load(url, clients=1, requests=100, rate=200)

    assert closed.tally.latencies.percentile(90) < 0.1e9  # the mistake: coordinated omission
    assert opened.tally.latencies.percentile(50) > 0.02e9
    assert opened.tally.latencies.most > 0.29e9


async def test_a_rate_that_the_server_cannot_follow(serve_tcp: Serve) -> None:
    """What was due and found no room is told; it ends in time."""

    async def slowly(stream: trio.SocketStream) -> None:
        async for data in stream:
            await trio.sleep(0.02)
            await stream.send_all(data)

    course = await run_load(await serve_tcp(slowly), rate=10_000, seconds=0.2, warm_up=0)

    assert course.unsent > 1000
    assert course.tally.counted.requests < 100


async def test_a_rate_goes_on_after_a_failure(serve_tcp: Serve) -> None:
    """The next connection sends what has become due meanwhile, from the time that it was."""
    served = 0

    async def first_fails(stream: trio.SocketStream) -> None:
        nonlocal served
        served += 1
        if served > 1:
            await echo(stream)

    course = await run_load(await serve_tcp(first_fails), clients=1, rate=200, requests=60)

    assert course.tally.failures[Kind.EOF] + course.tally.failures[Kind.RESET] == 1
    assert course.tally.volume.requests == 60
    assert course.tally.volume.replies + course.tally.lost == 60


async def test_a_rate_of_connections(serve_tcp: Serve) -> None:
    """Each client connects when its request is due."""
    url = await serve_tcp(echo)
    course = await run_load(url, rate=100, requests=20, connect_each=True)

    assert course.tally.volume.replies == 20
    assert course.tally.faultless
    assert course.tally.seconds >= 0.19


async def test_a_slow_rate_of_connections_ends_in_time(serve_tcp: Serve) -> None:
    """Clients that wait for their turn, without a connection, don't hold it up."""
    with trio.fail_after(3):
        url = await serve_tcp(echo)
        await run_load(url, rate=0.01, seconds=0.1, warm_up=0, connect_each=True)


# Interrupts


async def interrupt_in(load: Load, phase: Phase) -> None:
    """Run a load, and interrupt it in that phase."""
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load.run)
            await reach(load, phase)
            load.interrupt()
            load.interrupt()


async def silence(stream: trio.SocketStream) -> None:
    """Read, and say nothing."""
    async for _ in stream:
        pass


@pytest.mark.parametrize("phase", [Phase.WARMING_UP, Phase.MEASURING, Phase.FINISHING])
@pytest.mark.parametrize("settings", [{}, {"rate": 100}, {"connect_each": True, "rate": 3}])
async def test_an_interrupt_ends_it_at_once(
    serve_tcp: Serve, phase: Phase, settings: dict[str, Any]
) -> None:
    """Nothing is waited for, and what is in flight is not lost."""
    warm_up = 60 if phase is Phase.WARMING_UP else 0
    seconds = 0.05 if phase is Phase.FINISHING else 60
    load = make_load(await serve_tcp(silence), warm_up=warm_up, seconds=seconds, **settings)
    await interrupt_in(load, phase)

    assert load.course.interrupted
    assert load.course.tally.faultless
    assert (load.course.tally.seconds == 0) == (phase is Phase.WARMING_UP)


async def test_an_interrupt_while_connecting(tmp_path: Any) -> None:
    """Also of those who wait to connect; nothing was measured."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "x"))
        listening.listen(0)
        load = make_load(f"unix:{tmp_path}/x", clients=5)
        await interrupt_in(load, Phase.CONNECTING)

    assert load.course.interrupted
    assert load.course.tally.seconds == 0


async def test_an_interrupt_while_connecting_again(tmp_path: Any) -> None:
    """A client without a connection is not waited for."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "x"))
        listening.listen(0)
        load = make_load(f"unix:{tmp_path}/x", clients=5, connect_each=True, seconds=60, warm_up=0)
        await interrupt_in(load, Phase.MEASURING)

    assert load.course.tally.faultless
