"""The link: what is put leaves in order, joined, and tells when there is room."""

from __future__ import annotations

import pytest
import trio
from trio.testing import (
    lockstep_stream_pair,
    memory_stream_pair,
    wait_all_tasks_blocked,
)

from speedo_trio import ConnectionLost
from speedo_trio.mqtt.client.link import FULL_BYTES, Link


async def test_what_waits_is_joined() -> None:
    """While one batch is on its way the next gathers."""
    ours, theirs = lockstep_stream_pair()
    left: list[str] = []
    link = Link(ours, lambda: left.append("x"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.write)
        link.put(b"a")
        await wait_all_tasks_blocked()
        for data in (b"b", b"", b"c"):
            link.put(data)
        assert await theirs.receive_some() == b"a"
        assert await theirs.receive_some() == b"bc"
        await link.room(1)
        assert left == ["x", "x"]
        nursery.cancel_scope.cancel()


async def test_room() -> None:
    """There is some again when enough has left."""
    ours, theirs = lockstep_stream_pair()
    link = Link(ours, lambda: None)
    link.put(bytes(FULL_BYTES))
    full = [link.full]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.write)
        nursery.start_soon(theirs.receive_some, FULL_BYTES)
        await link.room()
        nursery.cancel_scope.cancel()
    full.append(link.full)

    assert full == [True, False]


async def test_a_stream_that_broke() -> None:
    """Both directions say so."""
    ours, theirs = memory_stream_pair()
    await theirs.aclose()
    link = Link(ours, lambda: None)
    link.put(b"x")
    with pytest.raises(ConnectionLost, match="the connection broke"):
        await link.write()
    await link.close(1)
    with pytest.raises(ConnectionLost, match="the connection broke"):
        await link.read()
