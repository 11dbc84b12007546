"""A factory's own task, beside its server's."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from attrs import define, field
from trio.testing import wait_all_tasks_blocked

from speedo_trio.echo import EchoProtocol
from speedo_trio.events import CloseReason
from speedo_trio.protocol.handler import Connection, ProtocolHandler
from speedo_trio.server import serve
from speedo_trio.testing import serve_in_memory


@define(eq=False)
class Attended:
    """Makes echo handlers, and notes what its task and its connections do."""

    told: list[str] = field(factory=list)

    def __call__(self, connection: Connection, /) -> ProtocolHandler:
        self.told.append("opened")
        return Noting(connection, self.told)

    async def attend(self) -> None:
        """Do nothing, until cancelled."""
        self.told.append("attended")
        try:
            await trio.sleep_forever()
        finally:
            self.told.append("left")


class Noting(EchoProtocol):
    """Notes its end."""

    def __init__(self, connection: Connection, told: list[str]) -> None:
        super().__init__(connection)
        self.told = told

    def closed(self, reason: CloseReason) -> None:
        self.told.append("closed")


async def test_it_runs_from_before_the_first_connection_to_after_the_last() -> None:
    """A drain ends the connections first."""
    factory = Attended()
    async with serve_in_memory(factory) as server:
        await wait_all_tasks_blocked()
        assert factory.told == ["attended"]
        server.connect()
        await wait_all_tasks_blocked()
        await server.server.drain(1, 1)

    assert factory.told == ["attended", "opened", "closed", "left"]


async def test_a_new_factory_is_attended_too() -> None:
    """Once each, and the old one goes on: its connections may be there still."""
    first, second = Attended(), Attended()
    async with serve_in_memory(first) as server:
        server.server.reconfigure(factory=second)
        server.server.reconfigure(factory=first)
        server.server.reconfigure(factory=second)
        await wait_all_tasks_blocked()
        assert (first.told, second.told) == (["attended"], ["attended"])

    assert (first.told, second.told) == (["attended", "left"], ["attended", "left"])


class Broken(Attended):
    """Its task raises."""

    async def attend(self) -> None:
        raise OSError("no clock")


async def test_what_it_raises_ends_the_server() -> None:
    """It is no connection's, so somebody has to see it."""
    with pytest.RaisesGroup(pytest.RaisesExc(OSError, match="no clock")):
        await serve(Broken())


async def test_most_factories_have_none() -> None:
    """A class, or a partial of one."""
    async with serve_in_memory(partial(EchoProtocol)) as server:
        client = server.connect()
        await client.send_all(b"hello\n")
        assert await client.receive_some() == b"hello\n"
