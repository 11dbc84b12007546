"""A chat room whose server knows nothing of chat."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from types import ModuleType

import pytest
import trio

from speedo_trio import Broker, Server, TopicMessage, serve
from speedo_trio.simplepub import SimplePub, connect
from tests.examples.conftest import EXAMPLES, PATIENCE


@pytest.fixture
def broker() -> Broker:
    """What the server of `url` serves."""
    return Broker()


@pytest.fixture
async def url(broker: Broker, nursery: trio.Nursery) -> str:
    """Where the room's server is."""
    server: Server = await nursery.start(serve, SimplePub(broker), "tcp://127.0.0.1:0")
    return f"simplepub://127.0.0.1:{server.addresses[0].port}"


async def typed(*lines: str) -> AsyncIterator[str]:
    """Lines as they come from a terminal."""
    for line in lines:
        yield f"{line}\n"


async def test_a_newcomer_hears_who_is_there(
    example: ModuleType, url: str, nursery: trio.Nursery, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is said goes to all, and who is there is retained until they leave."""
    with trio.fail_after(PATIENCE):
        async with connect(url) as ann, connect(url) as ben:
            await ann.publish("chat/here/Ann", b"yes", retain=True)
            await ann.ping()
            await example.visit(ben, "Ben", typed("hello"))
            heard = [example.told(await anext(ben)) for _ in range(4)]

    assert heard == ["* Ann is here", "* Ben is here", "Ben: hello", "* Ben has left"]


def test_bytes_that_are_no_text(example: ModuleType) -> None:
    """Somebody else's client may send anything."""
    assert example.told(TopicMessage("chat/said/Eve", b"\xff")) == "Eve: \ufffd"


async def test_the_program(url: str, broker: Broker) -> None:
    """It says what is typed, prints what is said, and leaves nothing behind."""
    words = [sys.executable, str(EXAMPLES / "chatroom.py"), "Ann", url]
    with trio.fail_after(PATIENCE):
        async with broker.subscribe("chat/#") as messages:
            process = await trio.run_process(
                words, stdin=b"one\ntwo\n", capture_stdout=True, check=False
            )
            said = [(await anext(messages)).payload for _ in range(4)]

    assert process.returncode == 0
    assert said == [b"yes", b"one", b"two", b""]
    assert process.stdout.decode().splitlines() == [
        "* Ann is here",
        "Ann: one",
        "Ann: two",
        "* Ann has left",
    ]
    assert list(broker.retained("#")) == []


async def test_nobody_there() -> None:
    """One line tells that there is no server."""
    words = [sys.executable, str(EXAMPLES / "chatroom.py"), "Ann", "simplepub://127.0.0.1:1"]
    process = await trio.run_process(words, stdin=b"", capture_stderr=True, check=False)

    assert process.returncode == 1
    assert process.stderr.startswith(b"chatroom: ")
    assert process.stderr.count(b"\n") == 1
