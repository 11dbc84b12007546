"""What the tests of ``bench`` share: servers that are right or wrong, and loads on them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio

from speedo_trio.cli.bench.connector import make_connector
from speedo_trio.cli.bench.course import Course, Phase
from speedo_trio.cli.bench.load import Load
from speedo_trio.cli.bench.plan import Plan

PATIENCE = 20.0
"""Seconds after which a load that should have ended has failed its test."""

Handler = Callable[[trio.SocketStream], Awaitable[None]]
Serve = Callable[[Handler], Awaitable[str]]


async def echo(stream: trio.abc.Stream) -> None:
    """Send everything back, as it comes."""
    async for data in stream:
        await stream.send_all(data)


def by_line(answer: Callable[[int, bytes], bytes]) -> Handler:
    """A handler that answers each line, which it gets with its number on the connection."""

    async def handle(stream: trio.SocketStream) -> None:
        rest, number = b"", 0
        async for data in stream:
            *lines, rest = (rest + bytes(data)).split(b"\n")
            replies = [answer(number + n, line) for n, line in enumerate(lines)]
            number += len(lines)
            await stream.send_all(b"".join(replies))

    return handle


@pytest.fixture
def serve_tcp(nursery: trio.Nursery) -> Serve:
    """Serves a handler on a free port; gives the URL. What breaks a connection is no error."""

    async def serve_tcp(handler: Handler) -> str:
        async def handle(stream: trio.SocketStream) -> None:
            try:
                await handler(stream)
            except trio.BrokenResourceError:
                pass

        start = partial(trio.serve_tcp, handle, 0, host="127.0.0.1")
        listeners = await nursery.start(start)
        return f"tcp://127.0.0.1:{listeners[0].socket.getsockname()[1]}"

    return serve_tcp


def make_plan(url: str, **settings: Any) -> Plan:
    """A plan with two clients unless told."""
    return Plan(url, **{"clients": 2, **settings})


def make_load(url: str, **settings: Any) -> Load:
    """A load that has not run."""
    plan = make_plan(url, **settings)
    return Load(plan, make_connector(plan))


async def reach(load: Load, phase: Phase) -> None:
    """Wait until a load is that far, and all its tasks have found something to wait for."""
    while load.course.phase is not phase:  # noqa: ASYNC110  # a load has no need to tell
        await trio.sleep(0.005)
    await trio.testing.wait_all_tasks_blocked()


async def run_load(url: str, **settings: Any) -> Course:
    """Put a load on a server, from its first connection to its end."""
    load = make_load(url, **settings)
    with trio.fail_after(PATIENCE):
        await load.run()
    return load.course
