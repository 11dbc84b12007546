"""A chat room."""

from __future__ import annotations

import logging
from functools import partial
from types import ModuleType

import pytest
import trio

from speedo_trio import Config, Limits, Server, serve
from tests.examples.conftest import PATIENCE, Connect, Peer, Start


@pytest.fixture
async def port(example: ModuleType, nursery: trio.Nursery) -> int:
    """Where a room is served whose guests may have 64 KiB unsent."""
    config = Config(limits=Limits(unsent_bytes=65_536))
    server: Server = await nursery.start(
        partial(serve, example.room, "tcp://127.0.0.1:0", config=config)
    )
    return server.addresses[0].port


async def come_in(peer: Peer, name: str) -> str:
    """Give the name; who is there."""
    assert await peer.hear() == "What is your name?"
    await peer.say(name)
    return await peer.hear()


async def test_what_one_says_is_pushed_to_the_others(port: int, connect: Connect) -> None:
    """A line reaches everybody but its speaker, by the speaker's name."""
    async with connect(port) as ann, connect(port) as bob, connect(port) as eve:
        assert await come_in(ann, "Ann") == "* here: Ann"
        assert await come_in(bob, "Bob") == "* here: Ann, Bob"
        assert await come_in(eve, "Eve") == "* here: Ann, Bob, Eve"

        await eve.say("hello")
        await bob.say("hi")

        assert [await ann.hear() for _ in range(2)] == ["* Bob has joined", "* Eve has joined"]
        assert {await ann.hear() for _ in range(2)} == {"Eve: hello", "Bob: hi"}
        assert [await bob.hear() for _ in range(2)] == ["* Eve has joined", "Eve: hello"]
        assert await eve.hear() == "Bob: hi"


async def test_who_goes_is_told_of(port: int, connect: Connect) -> None:
    """The others hear it, and the name is free again."""
    async with connect(port) as ann:
        await come_in(ann, "Ann")
        async with connect(port) as bob:
            await come_in(bob, "Bob")
            assert await ann.hear() == "* Bob has joined"
        assert await ann.hear() == "* Bob has left"

        async with connect(port) as another_bob:
            assert await come_in(another_bob, "Bob") == "* here: Ann, Bob"


@pytest.mark.parametrize("name", ["Ann", "", "\x1b\x07"])
async def test_a_name_that_wont_do_is_asked_for_again(
    port: int, connect: Connect, name: str
) -> None:
    """One that is taken, empty, or nothing that can be printed."""
    async with connect(port) as ann, connect(port) as bob:
        await come_in(ann, "Ann")

        assert await come_in(bob, name) == "Another name, please."
        await bob.say("Bob")
        assert await bob.hear() == "* here: Ann, Bob"


async def test_a_name_and_a_line_may_come_at_once(port: int, connect: Connect) -> None:
    """The second line is said by the name in the first."""
    async with connect(port) as ann, connect(port) as bob:
        await come_in(ann, "Ann")
        await bob.say("Bob", "hello")

        assert [await ann.hear() for _ in range(2)] == ["* Bob has joined", "Bob: hello"]


async def test_nobody_plays_tricks_on_a_terminal(port: int, connect: Connect) -> None:
    """What can't be printed is left out of what others get."""
    async with connect(port) as ann, connect(port) as bob:
        await come_in(ann, "Ann")
        await come_in(bob, "Bob")
        await bob.stream.send_all(b"\x1b[2Jgo\xffne\r\r\n")

        assert [await ann.hear() for _ in range(2)] == ["* Bob has joined", "Bob: [2Jgo\ufffdne"]


async def test_who_doesnt_read_harms_nobody_else(port: int, connect: Connect) -> None:
    """A guest who never reads is aborted; who reads gets every line."""
    lines = [f"{number:0100}" for number in range(100_000)]  # more than the kernel holds for Bob

    async def talk(speaker: Peer) -> None:
        for start in range(0, len(lines), 1000):
            await speaker.say(*lines[start : start + 1000])

    async with connect(port) as ann, connect(port) as bob, connect(port) as eve:
        await come_in(ann, "Ann")
        await come_in(bob, "Bob")
        await come_in(eve, "Eve")
        with trio.fail_after(6 * PATIENCE):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(talk, eve)
                heard = [await ann.hear() for _ in range(len(lines) + 3)]

    assert [f"Eve: {line}" for line in lines] == [line for line in heard if line[0] != "*"]
    assert {line for line in heard if line[0] == "*"} == {
        "* Bob has joined",
        "* Eve has joined",
        "* Bob has left",
    }


async def test_the_room_closes(
    example: ModuleType, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """A drain says so to everybody, and nothing else."""
    caplog.set_level(logging.WARNING)
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, example.room, "tcp://127.0.0.1:0")
        port = server.addresses[0].port
        async with connect(port) as ann, connect(port) as bob:
            await come_in(ann, "Ann")
            await come_in(bob, "Bob")
            nursery.start_soon(server.drain)

            assert await bob.rest() == b"* the room closes\n"
            assert await ann.rest() == b"* Bob has joined\n* the room closes\n"

    assert caplog.records == []


async def test_the_command_serves_it(start: Start, connect: Connect) -> None:
    """As the docstring says; a signal drains."""
    words = ("serve", "chat:room", "--limits.unsent-bytes", "65536", "--bind", "tcp://127.0.0.1:0")
    async with start("-m", "speedo_trio", *words) as program:
        async with connect(program.port) as ann:
            assert await come_in(ann, "Ann") == "* here: Ann"
        status, printed = await program.drain()

    assert status == 0
    assert "nothing dropped" in printed
