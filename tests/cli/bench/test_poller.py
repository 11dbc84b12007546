"""The poller: called back while there is something to read, and not after."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator

import pytest
import trio

from speedo_trio.cli.bench.poller import Poller, open_poller


@pytest.fixture
def poller() -> Iterator[Poller]:
    """A poller that does not run."""
    poller = open_poller()
    assert poller is not None
    yield poller
    poller.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection."""
    pair = socket.socketpair()
    yield pair
    for end in pair:
        end.close()


async def test_it_calls_back_until_nobody_watches(
    poller: Poller, pair: tuple[socket.socket, socket.socket], nursery: trio.Nursery
) -> None:
    """Each time that there is something to read, as long as the block lasts."""
    ours, theirs = pair
    nursery.start_soon(poller.run)
    send, receive = trio.open_memory_channel[bytes](10)
    with poller.watching(ours, lambda: send.send_nowait(ours.recv(100))):
        for data in (b"a", b"b"):
            theirs.send(data)
            assert await receive.receive() == data
    theirs.send(b"c")
    await trio.testing.wait_all_tasks_blocked()

    assert ours.recv(100) == b"c"
    nursery.cancel_scope.cancel()


async def test_what_a_callback_raises_ends_it(
    poller: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    """It is a bug, and must be seen."""
    ours, theirs = pair
    theirs.send(b"a")

    def fail() -> None:
        raise ZeroDivisionError

    with poller.watching(ours, fail), pytest.raises(ZeroDivisionError):
        await poller.run()


def test_there_may_be_no_epoll(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then there is no poller."""
    monkeypatch.delattr(select, "epoll")

    assert open_poller() is None
