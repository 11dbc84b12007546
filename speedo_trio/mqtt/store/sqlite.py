"""The store in SQLite: one file, beside which SQLite keeps a log (WAL) while it is in use.

Next: `speedo_trio.mqtt.store.convert`.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from speedo_trio.errors import StoreError
from speedo_trio.mqtt.store.contract import Image, Removed, Swept
from speedo_trio.mqtt.store.lock import FileLock
from speedo_trio.mqtt.store.records import (
    IDENTIFIERS,
    ROWS,
    Fetched,
    MessageRecord,
    SubscriptionRecord,
    Waiting,
)
from speedo_trio.mqtt.store.rows import (
    MESSAGE,
    RETAINED,
    message_of,
    message_rows,
    retained_of,
    retained_row,
    session_of,
    session_row,
)
from speedo_trio.mqtt.store.schema import check, create_file, prepare
from speedo_trio.mqtt.store.settings import PENDING_BYTES, check_durability, check_maximum
from speedo_trio.mqtt.store.statements import delete_many, insert_many

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from speedo_trio.mqtt.store.batch import Batch
    from speedo_trio.mqtt.store.settings import Durability

_SYNCHRONOUS: Final = {"process": "NORMAL", "power": "FULL"}
_EXPIRED: Final = (
    "FROM queue WHERE key > ? AND key < ? AND packet = 0 AND message IN "
    "(SELECT number FROM message WHERE expires <= ?)"
)
"""What waits for a session behind a row, and has expired."""
_PAGE: Final = 4096
_CACHE_KIB: Final = 16_384
_CHECKPOINT_PAGES: Final = 4000  # 16 MB of log: an fsync for each of "process"


class SQLiteStore:
    """A `Store` in a file of SQLite."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Durability = "process",
        pending_bytes: int = PENDING_BYTES,
        maximum_bytes: int | None = None,
    ) -> None:
        """Nothing is opened yet.

        Args:
            path: the file. It is made if there is none; its folder must be there.
            durability: "process": what was acknowledged is there after the process was killed.
                After a loss of power the last of it may be missing. "power": it is there too, and
                each acknowledgement waits for the disk.
            pending_bytes: what may wait to be written, about, until publishers wait.
            maximum_bytes: the file takes so many at most; None: as many as the disk has.

        Raises:
            ConfigError: a value that is not allowed.
        """
        check_durability(self, None, durability)
        check_maximum(self, None, maximum_bytes)
        self.path: Final = os.fspath(path)
        """The file."""
        self.durability: Final[Durability] = durability
        """What it withstands."""
        self.pending_bytes: Final = pending_bytes
        """What may wait to be written."""
        self._maximum_bytes = maximum_bytes
        self._lock = FileLock(f"{self.path}.lock")
        self._database: sqlite3.Connection | None = None

    def __repr__(self) -> str:
        return f"SQLiteStore({self.path!r}, durability={self.durability!r})"

    def __str__(self) -> str:
        return self.path

    # The contract

    def open(self) -> Image:
        """Take possession of the file, and give what is there.

        Raises:
            StoreError: another process has it, it can't be opened or read, is damaged, is no store
                of this program, or of a later version. It was not changed.
        """
        self._lock.take(self.path)
        try:
            return self._open()
        except BaseException:
            self.close()
            raise

    def commit(self, batch: Batch) -> Removed:
        """Write a batch, in one transaction."""
        database = self._opened()
        try:
            database.execute("BEGIN IMMEDIATE")
            removed = self._apply(database, batch)
            database.execute("COMMIT")
        except sqlite3.Error as error:
            if database.in_transaction:
                with suppress(sqlite3.Error):
                    database.execute("ROLLBACK")
            raise self._failed(error) from error
        return removed

    def fetch(self, session: int, after: int, messages: int, size: int) -> Sequence[Fetched]:
        """Read some of what waits for a session."""
        first, last = session * ROWS + after, (session + 1) * ROWS
        try:
            return list(self._read_waiting(first, last, messages, size))
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def bodies(self, numbers: Sequence[int]) -> Sequence[MessageRecord]:
        """Read messages."""
        query = f"SELECT {MESSAGE} FROM message WHERE number = ?"  # noqa: S608  # of our own
        try:
            found = [self._opened().execute(query, (each,)).fetchone() for each in numbers]
        except sqlite3.Error as error:
            raise self._failed(error) from error
        return [message_of(row) for row in found if row is not None]

    def expire(self, now: float) -> int:
        """Remove retained messages whose time is over."""
        try:
            return (
                self._opened().execute("DELETE FROM retained WHERE expires <= ?", (now,)).rowcount
            )
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Close the file, and let others have it."""
        database, self._database = self._database, None
        if database is not None:
            with suppress(sqlite3.Error):
                database.close()
        self._lock.give_back()

    # How

    def _open(self) -> Image:
        create_file(self.path)
        try:
            database = sqlite3.connect(
                self.path, isolation_level=None, check_same_thread=False, timeout=5.0
            )
        except sqlite3.Error as error:
            raise self._failed(error) from error
        self._database = database
        try:
            check(database, self.path)
            prepare(database, self.path)
            self._tune(database)
            tidy(database, time.time())
            return load(database)
        except sqlite3.Error as error:
            raise StoreError(
                f"{self.path} can't be read: {error}; it was not changed. If it is damaged, "
                "restore a copy, or move it away to begin with nothing"
            ) from error

    def _tune(self, database: sqlite3.Connection) -> None:
        database.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[self.durability]}")
        database.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        database.execute("PRAGMA journal_size_limit = 67108864")
        if self._maximum_bytes is not None:
            pages = self._maximum_bytes // _PAGE
            database.execute(f"PRAGMA max_page_count = {pages}")

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            raise StoreError(f"{self.path} is not open")
        return self._database

    def _failed(self, error: sqlite3.Error) -> StoreError:
        return StoreError(f"{self.path}: {error}")

    def _apply(self, database: sqlite3.Connection, batch: Batch) -> Removed:
        """Make the changes, in the order of `Batch`."""
        delete_many(database, "session", "number", batch.ended)
        insert_many(database, "session", 11, map(session_row, batch.sessions.values()))
        self._subscribe(database, batch)
        insert_many(database, "message", 7, message_rows(batch.messages, batch.drift))
        delete_many(database, "queue", "key", batch.removed)
        insert_many(database, "queue", 7, batch.inserted.values())
        insert_many(database, "queue", 7, batch.updated.values())
        delete_many(database, "message", "number", batch.forgotten)
        if batch.settled:
            database.execute("DELETE FROM orphan")
        delete_many(database, "held", "key", list(batch.released))
        insert_many(database, "held", 1, ((key,) for key in batch.held))
        self._retain(database, batch)
        orphans: list[int] = []
        swept, soonest = self._sweep(database, batch, orphans)
        for each in batch.ended:
            orphans += self._end(database, batch, each)
        return Removed(messages=orphans, swept=swept, soonest=soonest)

    def _sweep(
        self, database: sqlite3.Connection, batch: Batch, orphans: list[int]
    ) -> tuple[dict[int, Swept], float | None]:
        """Remove what has expired of what waits; by session, and when the next will have."""
        swept: dict[int, Swept] = {}
        if not batch.swept:
            return swept, None
        now = time.time()
        for session, after in batch.swept.items():
            rows = session * ROWS + after, (session + 1) * ROWS, now
            found = database.execute(f"SELECT message, size {_EXPIRED}", rows).fetchall()  # ours
            if found:
                database.execute(f"DELETE {_EXPIRED}", rows)  # the same
            numbers = [number for number, _ in found]
            database.executemany("INSERT INTO orphan VALUES (?)", ((each,) for each in numbers))
            orphans += numbers
            swept[session] = Swept(len(found), sum(size for _, size in found))
        query = "SELECT min(expires) FROM message WHERE expires > ?"
        (soonest,) = database.execute(query, (now,)).fetchone()
        return swept, soonest

    def _subscribe(self, database: sqlite3.Connection, batch: Batch) -> None:
        gone = [key for key, record in batch.subscriptions.items() if record is None]
        database.executemany("DELETE FROM subscription WHERE session = ? AND filter = ?", gone)
        records = [record for record in batch.subscriptions.values() if record is not None]
        insert_many(database, "subscription", 6, records)

    def _retain(self, database: sqlite3.Connection, batch: Batch) -> None:
        gone = [(topic,) for topic, record in batch.retained.items() if record is None]
        database.executemany("DELETE FROM retained WHERE topic = ?", gone)
        records = [record for record in batch.retained.values() if record is not None]
        insert_many(database, f"retained ({RETAINED})", 7, map(retained_row, records))

    def _end(self, database: sqlite3.Connection, batch: Batch, session: int) -> list[int]:
        """Remove all that a session has; the messages of rows that nobody knew of."""
        rows = session * ROWS, (session + 1) * ROWS
        orphans: list[int] = []
        if session in batch.spilled:
            found = database.execute(
                "SELECT message FROM queue WHERE key >= ? AND key < ? AND message", rows
            ).fetchall()
            orphans = [number for (number,) in found]
            database.executemany("INSERT INTO orphan VALUES (?)", found)
            database.execute("DELETE FROM queue WHERE key >= ? AND key < ?", rows)
        database.execute("DELETE FROM subscription WHERE session = ?", (session,))
        held = session * IDENTIFIERS, (session + 1) * IDENTIFIERS
        database.execute("DELETE FROM held WHERE key >= ? AND key < ?", held)
        return orphans

    def _read_waiting(self, first: int, last: int, messages: int, size: int) -> Iterator[Fetched]:
        cursor = self._opened().execute(
            "SELECT key, message, packet, queue.flags, size, identifiers, filter, "  # noqa: S608  # as above
            f"{MESSAGE} FROM queue JOIN message ON message.number = queue.message "
            "WHERE key > ? AND key < ? AND packet = 0 ORDER BY key LIMIT ?",
            (first, last, messages),
        )
        for row in cursor:
            yield Fetched(row[:7], message_of(row[7:]))
            size -= row[4]
            if size <= 0:
                break
        cursor.close()


def tidy(database: sqlite3.Connection, now: float) -> None:
    """Remove what has expired, and messages of a session whose end was not done with."""
    database.execute("BEGIN IMMEDIATE")
    database.execute("DELETE FROM retained WHERE expires <= ?", (now,))
    database.execute(
        "INSERT INTO orphan SELECT DISTINCT message FROM queue WHERE packet = 0 AND message IN "
        "(SELECT number FROM message WHERE expires <= ?)",
        (now,),
    )
    if database.execute("SELECT 1 FROM orphan LIMIT 1").fetchone() is not None:
        database.execute(
            "DELETE FROM queue WHERE packet = 0 AND message IN "
            "(SELECT number FROM message WHERE expires <= ?)",
            (now,),
        )
        database.execute(
            "DELETE FROM message WHERE number IN (SELECT message FROM orphan) "
            "AND number NOT IN (SELECT message FROM queue)"
        )
        database.execute("DELETE FROM orphan")
    database.execute("COMMIT")


def load(database: sqlite3.Connection) -> Image:
    """Read all but the bodies of messages that wait."""
    query = database.execute
    queues = query(
        "SELECT key / ?, max(key), sum(packet = 0), sum(size * (packet = 0)), "
        "max(filter IS NOT NULL) FROM queue "
        "GROUP BY key / ?",
        (ROWS, ROWS),
    ).fetchall()
    shared = query(
        "SELECT message, count(*) FROM queue WHERE message > 0 GROUP BY message HAVING count(*) > 1"
    )
    retained = query(f"SELECT {RETAINED} FROM retained")  # noqa: S608  # of our own
    return Image(
        sessions=[session_of(row) for row in query("SELECT * FROM session ORDER BY ends_at")],
        subscriptions=[
            SubscriptionRecord(number, name, qos, bool(local), bool(retain), identifier)
            for number, name, qos, local, retain, identifier in query("SELECT * FROM subscription")
        ],
        flights=query("SELECT * FROM queue WHERE packet > 0 ORDER BY key").fetchall(),
        waiting={
            number: Waiting(count, size, bool(shared))
            for number, _, count, size, shared in queues
            if count
        },
        last_rows={number: key % ROWS for number, key, *_ in queues},
        held=[key for (key,) in query("SELECT key FROM held")],
        retained=[retained_of(row) for row in retained],
        shared=dict(shared.fetchall()),
        last_message=query("SELECT max(number) FROM message").fetchone()[0] or 0,
        soonest=query("SELECT min(expires) FROM message WHERE expires > 0").fetchone()[0],
    )
