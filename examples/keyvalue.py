r"""A key-value store on SQLite, in frames that begin with their length.

Shows blocking work done right: the commands run in worker threads, each thread borrows an SQLite
connection for one statement, and a statement that SQLite refuses becomes a reply by `failed`,
after which the connection goes on.

A frame is a length of four bytes, the highest first, and a command:

    SET key value     OK
    GET key           VALUE value, or NONE
    DEL key           OK, or NONE

A key holds no space; a value may hold anything. What ``OK`` was said for is on the disk.

Run it with ``python keyvalue.py``, then type

    printf '\0\0\0\014SET name Ann\0\0\0\010GET name' | nc -N localhost 9292 | od -c

SIGINT and SIGTERM drain: what was received is executed and answered first.
"""

from __future__ import annotations

import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial

import trio
from attrs import define

from speedo_trio import (
    Connection,
    FramedProtocol,
    LengthPrefixFramer,
    Message,
    Server,
    SpeedoError,
    serve,
)


class Store:
    """A table of keys and values in an SQLite file. For any number of threads.

    An SQLite connection is used by one thread at a time. There are never more of them than threads
    that needed one at once, and none is bound to a thread: those come and go.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._idle: list[sqlite3.Connection] = []  # append and pop are atomic
        with self._connection() as database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS pairs (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID"
            )

    def get(self, key: bytes) -> bytes | None:
        with self._connection() as database:
            row = database.execute("SELECT value FROM pairs WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def set(self, key: bytes, value: bytes) -> None:
        with self._connection() as database:
            database.execute("INSERT OR REPLACE INTO pairs VALUES (?, ?)", (key, value))

    def delete(self, key: bytes) -> bool:
        with self._connection() as database:
            return database.execute("DELETE FROM pairs WHERE key = ?", (key,)).rowcount > 0

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            database = self._idle.pop()
        except IndexError:
            database = self._open()
        try:
            yield database
        finally:
            self._idle.append(database)

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(
            self._file,
            timeout=5.0,  # seconds that one writer waits for another
            isolation_level=None,  # each statement is a transaction
            check_same_thread=False,  # one at a time, by _idle
        )
        database.execute("PRAGMA journal_mode = WAL")  # readers don't wait for the writer
        database.execute("PRAGMA synchronous = FULL")  # a commit returns when it is on the disk
        return database


class CommandError(SpeedoError):
    """A frame that is no command; the text is for the peer."""


@define
class Command(Message):
    """One frame, executed in a worker thread."""

    store: Store
    text: bytes

    def execute(self) -> bytes:
        match self.text.split(b" ", 2):
            case [b"GET", key]:
                value = self.store.get(key)
                return b"NONE" if value is None else b"VALUE " + value
            case [b"SET", key, value]:
                self.store.set(key, value)
                return b"OK"
            case [b"DEL", key]:
                return b"OK" if self.store.delete(key) else b"NONE"
        raise CommandError("allowed are GET key, SET key value and DEL key")


class KeyValueProtocol(FramedProtocol):
    """Commands in, replies out, both in frames with their length before them."""

    def __init__(self, store: Store, connection: Connection) -> None:
        super().__init__(connection)
        self.store = store

    def make_framer(self) -> LengthPrefixFramer:
        return LengthPrefixFramer(4, limit=2**20)

    def frame(self, payload: bytes) -> Command:
        return Command(self.store, payload)

    def failed(self, message: Message, error: BaseException) -> bytes | None:
        if isinstance(error, CommandError | sqlite3.Error):
            return f"ERROR {error}".encode()
        return None  # a bug: the connection ends, and the error is logged with its traceback


async def main(file: str, *binds: str) -> None:
    """Serve the store in a file until a signal."""
    with (
        closing(Store(file)) as store,
        trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals,
    ):
        async with trio.open_nursery() as nursery:
            server: Server = await nursery.start(serve, partial(KeyValueProtocol, store), *binds)
            print("serving", file, "on", *server.addresses, flush=True)
            await anext(signals)
            print(await server.drain())


if __name__ == "__main__":
    trio.run(main, "keyvalue.sqlite", *(sys.argv[1:] or ["tcp://localhost:9292"]))
