"""One handler for all connections."""

from __future__ import annotations

from types import ModuleType

import trio

from speedo_trio import Server, serve
from speedo_trio.testing import check_splits
from tests.examples.conftest import Connect, Start


async def test_visitors_are_counted(
    example: ModuleType, connect: Connect, nursery: trio.Nursery
) -> None:
    """Each visitor gets the next number; who has gone is here no longer."""
    server: Server = await nursery.start(serve, example.visitors, "tcp://127.0.0.1:0")
    port = server.addresses[0].port

    async with connect(port) as first:
        assert await first.hear() == "You are visitor 1."
        async with connect(port) as second:
            assert await second.hear() == "You are visitor 2."
            await first.say("")
            assert await first.hear() == "2 here"
            assert await second.ask(b"\n\n") == b"2 here\n2 here\n"
        async with connect(port) as third:
            assert await third.hear() == "You are visitor 3."
            await third.say("how many?")
            assert await third.hear() == "2 here"


def test_a_line_is_answered_once_however_it_is_split(example: ModuleType) -> None:
    """A shared handler can keep no half line, so it must not need to."""

    def newcomer(connection: object) -> object:
        return example.Visitors()

    assert check_splits(newcomer, b"one\ntwo\n") == (  # type: ignore[arg-type]  # the module has no types here
        b"You are visitor 1.\n1 here\n1 here\n"
    )


async def test_the_command_serves_it(start: Start, connect: Connect) -> None:
    """As the docstring says; a drain says goodbye."""
    words = ("serve", "shared_handler:visitors", "--bind", "tcp://127.0.0.1:0")
    async with start("-m", "speedo_trio", *words) as program, connect(program.port) as peer:
        assert await peer.hear() == "You are visitor 1."
        async with trio.open_nursery() as nursery:
            nursery.start_soon(program.drain)
            assert await peer.rest() == b"Goodbye.\n"
            await peer.stream.aclose()

        assert program.process.returncode == 0
