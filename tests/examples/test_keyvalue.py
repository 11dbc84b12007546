"""A key-value store on SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio

from speedo_trio import LengthPrefixFramer, Server, serve
from speedo_trio.testing import check_splits
from tests.examples.conftest import EXAMPLES, Connect, Start


def framed(*commands: bytes) -> bytes:
    """The frames that carry the commands."""
    return b"".join(map(LengthPrefixFramer(4).encode, commands))


@pytest.fixture
def store(example: ModuleType, tmp_path: Path) -> Iterator[Any]:
    """An empty store."""
    with closing(example.Store(str(tmp_path / "store.sqlite"))) as opened:
        yield opened


@pytest.fixture
async def port(example: ModuleType, store: Any, nursery: trio.Nursery) -> int:
    """Where the store is served."""
    factory = partial(example.KeyValueProtocol, store)
    server: Server = await nursery.start(serve, factory, "tcp://127.0.0.1:0")
    return server.addresses[0].port


async def test_what_was_set_is_got(port: int, connect: Connect) -> None:
    """The commands are executed in order, and answered in order."""
    commands = framed(b"GET a", b"SET a 1", b"GET a", b"SET a x y\nz", b"GET a")
    more = framed(b"DEL a", b"DEL a", b"GET a")
    async with connect(port) as peer:
        assert await peer.ask(commands + more) == framed(
            b"NONE", b"OK", b"VALUE 1", b"OK", b"VALUE x y\nz", b"OK", b"NONE", b"NONE"
        )


@pytest.mark.parametrize("wrong", [b"", b"GET", b"GET a b", b"SET a", b"get a", b"DEL a b"])
async def test_a_wrong_command_is_answered_and_the_next_executed(
    port: int, connect: Connect, wrong: bytes
) -> None:
    """An error costs a reply, not the connection."""
    async with connect(port) as peer:
        assert await peer.ask(framed(wrong, b"GET a")) == framed(
            b"ERROR allowed are GET key, SET key value and DEL key", b"NONE"
        )


async def test_what_sqlite_refuses_is_answered(port: int, store: Any, connect: Connect) -> None:
    """SQLite's error is the reply."""
    with store._connection() as database:
        database.execute("DROP TABLE pairs")
        database.execute("PRAGMA user_version = 1")

    async with connect(port) as peer:
        assert await peer.ask(framed(b"GET a")) == framed(b"ERROR no such table: pairs")


async def test_many_may_write_at_once(port: int, store: Any, connect: Connect) -> None:
    """No write is lost, and none is refused."""
    clients, each = 20, 10

    async def write(client: int) -> None:
        async with connect(port) as peer:
            commands = [b"SET %d-%d x" % (client, number) for number in range(each)]
            assert await peer.ask(framed(*commands)) == framed(b"OK") * each

    async with trio.open_nursery() as nursery:
        for client in range(clients):
            nursery.start_soon(write, client)

    keys = [b"%d-%d" % (client, number) for client in range(clients) for number in range(each)]
    assert {store.get(key) for key in keys} == {b"x"}


def test_how_the_bytes_are_split_makes_no_difference(example: ModuleType, store: Any) -> None:
    """Frames are put together however they come."""
    sent = check_splits(
        partial(example.KeyValueProtocol, store), framed(b"SET a 1", b"GET a", b"DEL a")
    )

    assert sent == framed(b"OK", b"VALUE 1", b"OK")


def test_the_file_is_set_up_to_be_durable(store: Any) -> None:
    """A commit waits for the disk; readers don't wait for the writer."""
    with store._connection() as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


async def test_the_program_keeps_what_it_was_told(
    start: Start, connect: Connect, tmp_path: Path
) -> None:
    """Another run finds what the first one stored; a signal drains."""
    program_file = str(EXAMPLES / "keyvalue.py")
    async with start(program_file, "tcp://127.0.0.1:0") as program:
        async with connect(program.port) as peer:
            # What the docstring pipes into nc.
            sent = b"\0\0\0\014SET name Ann\0\0\0\010GET name"
            assert await peer.ask(sent) == framed(b"OK", b"VALUE Ann")
        status, printed = await program.drain()
    assert status == 0
    assert "nothing dropped" in printed

    async with (
        start(program_file, "tcp://127.0.0.1:0") as again,
        connect(again.port) as peer,
    ):
        assert await peer.ask(framed(b"GET name")) == framed(b"VALUE Ann")
    with closing(sqlite3.connect(tmp_path / "keyvalue.sqlite")) as database:
        assert database.execute("SELECT key, value FROM pairs").fetchall() == [(b"name", b"Ann")]
