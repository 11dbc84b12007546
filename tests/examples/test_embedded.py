"""A server as one part of a Trio application."""

from __future__ import annotations

from functools import partial
from types import ModuleType

import trio

from speedo_trio import Server, serve
from speedo_trio.testing import Driver
from tests.examples.conftest import EXAMPLES, Connect, Start


async def test_a_reading_is_waited_for(
    example: ModuleType, connect: Connect, nursery: trio.Nursery
) -> None:
    """A query may wait for the sampler, and others are answered meanwhile."""
    sampler = example.Sampler(period=0.01)
    sampler.readings.append(-1.0)
    factory = partial(example.ReadingsProtocol, sampler)
    server: Server = await nursery.start(serve, factory, "tcp://127.0.0.1:0")
    port = server.addresses[0].port

    async with connect(port) as waiting, connect(port) as other:
        await waiting.say("next", "last")
        await other.say("last")
        assert await other.hear() == "-1.00"

        nursery.start_soon(sampler.run)
        assert float(await waiting.hear()) >= 0
        assert float(await waiting.hear()) >= 0


def test_queries(example: ModuleType) -> None:
    """The last reading, the mean of all, and help for who asks for something else."""
    sampler = example.Sampler(period=20)
    sampler.readings.extend([1.0, 2.0, 3.0, 4.5])
    driver = Driver(partial(example.ReadingsProtocol, sampler))

    assert driver.feed(b"last\nmean\n?\n") == b"4.50\n3.17\nlast, next or mean?\n"


async def test_the_program_answers_before_it_ends(start: Start, connect: Connect) -> None:
    """A query that waits when the drain begins gets its reading."""
    async with (
        start(str(EXAMPLES / "embedded.py"), "tcp://127.0.0.1:0") as program,
        connect(program.port) as peer,
    ):
        await peer.say("last", "next")
        await peer.hear()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(program.drain)
            assert float(await peer.hear()) >= 0
            assert await peer.rest() == b""
            await peer.stream.aclose()

        assert program.process.returncode == 0
