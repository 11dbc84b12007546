"""What the tests of the admin endpoint share: a server to tell of."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from speedo_trio.admin.endpoint import Admin
from speedo_trio.echo import EchoProtocol
from speedo_trio.testing.driver import Driver
from speedo_trio.testing.memory import MemoryServer, serve_in_memory


@pytest.fixture
async def echo() -> AsyncIterator[MemoryServer]:
    """A server of echo that the endpoint tells of."""
    async with serve_in_memory(EchoProtocol) as server:
        yield server


@pytest.fixture
async def driver(echo: MemoryServer) -> Driver:
    """A client of an endpoint without a token, driven by hand."""
    return Driver(Admin(echo.server))


async def talk(server: MemoryServer, lines: int) -> trio.abc.Stream:
    """A client of echo that has sent some lines and got them back; it stays connected."""
    stream = server.connect()
    for number in range(lines):
        line = b"%d\n" % number
        await stream.send_all(line)
        assert await stream.receive_some() == line
    return stream
