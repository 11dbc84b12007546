"""An archive: what is in a store's file, to be looked at, copied out, put back and removed.

Looking and copying out may be done while a broker uses the file; the rest may not.

This ends the tour of the store.
"""

from __future__ import annotations

import json
import os
import sqlite3
from base64 import b64decode, b64encode
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final

from speedo_trio.errors import ConfigError, StoreError, TopicError
from speedo_trio.mqtt.store.lock import FileLock
from speedo_trio.mqtt.store.records import ESTATE, IDENTIFIERS, ROWS
from speedo_trio.mqtt.store.schema import VERSION, check, create_file, prepare
from speedo_trio.pubsub.topics import check_filter, matches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

FORMAT: Final = "trio-speedo mqtt store"

_SESSION: Final = (
    *("client_id", "expiry", "connected", "ends_at", "will_at"),
    *("will_topic", "will_payload", "will_flags", "will_properties", "passport"),
)
_SUBSCRIPTION: Final = ("filter", "qos", "no_local", "retain_as_published", "identifier")
_ROW: Final = ("packet", "flags", "size", "identifiers", "filter")
_MESSAGE: Final = ("topic", "payload", "flags", "properties", "received", "expires")
_RETAINED: Final = ("topic", "payload", "qos", "properties", "origin", "received", "expires")


@contextmanager
def reading(path: str) -> Iterator[sqlite3.Connection]:
    """A store to be read, as it is at this moment.

    Raises:
        StoreError: there is none, or it can't be read.
    """
    if not os.path.exists(path):  # noqa: PTH110  # a path is a text here
        raise StoreError(f"{path} is not there; allowed is the file of a store")
    with _telling(path):
        uri = f"file:{path.replace('%', '%25').replace('?', '%3f').replace('#', '%23')}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as database:
            _see_that_it_is_ours(database, path)
            database.execute("BEGIN")
            yield database


@contextmanager
def writing(path: str, *, new: bool = False) -> Iterator[sqlite3.Connection]:
    """A store to be changed, all at once at the end; with `new` it is made if there is none.

    Raises:
        StoreError: there is none, it is in use, or it can't be read or written.
    """
    if not new and not os.path.exists(path):  # noqa: PTH110  # the same
        raise StoreError(f"{path} is not there; allowed is the file of a store")
    lock = FileLock(f"{path}.lock")
    lock.take(path)
    try:
        with _telling(path):
            create_file(path)
            with closing(sqlite3.connect(path, isolation_level=None)) as database:
                check(database, path)
                prepare(database, path)
                database.execute("BEGIN IMMEDIATE")
                yield database
                database.execute("COMMIT")
    finally:
        lock.give_back()


def sessions_of(database: sqlite3.Connection) -> list[dict[str, Any]]:
    """All sessions: client identifier, deadline, filters, and how much waits."""
    found = []
    for row in database.execute("SELECT number, client_id, ends_at FROM session ORDER BY 2"):
        number, client_id, ends_at = row
        if client_id.startswith(ESTATE):
            continue
        rows = number * ROWS, (number + 1) * ROWS
        count, size = database.execute(
            "SELECT count(*), total(size) FROM queue WHERE key >= ? AND key < ?", rows
        ).fetchone()
        filters = database.execute("SELECT filter FROM subscription WHERE session = ?", (number,))
        found.append(
            {
                "client_id": client_id,
                "ends_at": ends_at,
                "filters": [each.decode() for (each,) in filters],
                "messages": count,
                "bytes": int(size),
            }
        )
    return found


def retained_messages(database: sqlite3.Connection) -> list[dict[str, Any]]:
    """All retained messages: topic, bytes, when they came."""
    query = "SELECT topic, length(payload), received FROM retained ORDER BY topic"
    return [
        {"topic": topic.decode(), "bytes": size, "received": received}
        for topic, size, received in database.execute(query)
    ]


def export(database: sqlite3.Connection) -> Iterator[str]:
    """All of it, as lines of JSON. Bytes that are no text are in base 64."""
    yield _line({"kind": FORMAT, "version": VERSION})
    columns = ", ".join(_RETAINED)
    for row in database.execute(f"SELECT {columns} FROM retained"):  # noqa: S608  # our own
        yield _line({"kind": "retained", **_named(_RETAINED, row)})
    columns = ", ".join(("number", *_SESSION))
    for number, *row in database.execute(f"SELECT {columns} FROM session"):  # noqa: S608  # the same
        yield _line({"kind": "session", **_named(_SESSION, row)} | _of_session(database, number))
        yield from map(_line, _queue(database, number))


def put_back(database: sqlite3.Connection, lines: Iterable[str], *, replace: bool) -> int:
    """Add what `export` gave; how many sessions and retained messages that were.

    Args:
        replace: What is there already is replaced, and else left as it is.

    Raises:
        StoreError: a line is none of an export; nothing is changed then.
    """
    importing = _Import(database, replace=replace)
    for number, line in enumerate(lines, 1):
        try:
            importing.take(json.loads(line))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise StoreError(f"line {number} is no line of an export: {error}") from error
    return importing.count


def purge_session(database: sqlite3.Connection, client_id: str) -> bool:
    """Remove a session and what waits for it; whether it was there."""
    found = database.execute("SELECT number FROM session WHERE client_id = ?", (client_id,))
    row = found.fetchone()
    if row is None:
        return False
    number = row[0]
    database.execute("DELETE FROM session WHERE number = ?", (number,))
    database.execute("DELETE FROM subscription WHERE session = ?", (number,))
    for table, width in (("queue", ROWS), ("held", IDENTIFIERS)):
        its = number * width, (number + 1) * width
        database.execute(f"DELETE FROM {table} WHERE key >= ? AND key < ?", its)  # noqa: S608  # ours
    return True


def check_topics(topic_filter: str) -> None:
    """See that a text is a filter.

    Raises:
        ConfigError: it is none.
    """
    try:
        check_filter(topic_filter.encode())
    except TopicError as error:
        raise ConfigError(f"--retained: {error}") from error


def purge_retained(database: sqlite3.Connection, topic_filter: str) -> int:
    """Remove the retained messages of the topics that a filter matches; how many."""
    wanted = topic_filter.encode()
    topics = [topic for (topic,) in database.execute("SELECT topic FROM retained")]
    gone = [(topic,) for topic in topics if matches(wanted, topic)]
    database.executemany("DELETE FROM retained WHERE topic = ?", gone)
    return len(gone)


def sweep(database: sqlite3.Connection) -> None:
    """Remove messages that nobody waits for any more, after sessions were purged."""
    database.execute("DELETE FROM message WHERE number NOT IN (SELECT message FROM queue)")


class _Import:
    """Puts records of an export into a store."""

    def __init__(self, database: sqlite3.Connection, *, replace: bool) -> None:
        self._database = database
        self._replace = replace
        self._session = 0  # the number of the one whose messages come; 0: they are left out
        self._row = 0
        self._next = self._after("session")
        self._message = self._after("message")
        self._kinds: dict[str, Callable[[dict[str, Any]], None]] = {
            FORMAT: self._see_version,
            "retained": self._take_retained,
            "session": self._take_session,
            "queued": self._take_queued,
        }
        self.count = 0

    def take(self, record: dict[str, Any]) -> None:
        self._kinds[record["kind"]](record)

    def _after(self, table: str) -> int:
        query = f"SELECT coalesce(max(number), 0) + 1 FROM {table}"  # noqa: S608  # our own
        number: int = self._database.execute(query).fetchone()[0]
        return number

    def _see_version(self, record: dict[str, Any]) -> None:
        if record["version"] > VERSION:
            raise ValueError(f"it has version {record['version']}; allowed is {VERSION}")

    def _take_retained(self, record: dict[str, Any]) -> None:
        values = _values(record, _RETAINED)
        how = "REPLACE" if self._replace else "INSERT OR IGNORE"
        done = _insert(self._database, f"{how} INTO retained ({', '.join(_RETAINED)})", values)
        self.count += done

    def _take_session(self, record: dict[str, Any]) -> None:
        values = _values({"passport": None, **record}, _SESSION)  # version 1 has none
        if self._replace:
            purge_session(self._database, record["client_id"])
        self._session, self._row = self._next, 0
        if not _insert(self._database, "INSERT OR IGNORE INTO session", [self._session, *values]):
            self._session = 0
            return
        self._next += 1
        self.count += 1
        for each in record["subscriptions"]:
            values = [self._session, *_values(each, _SUBSCRIPTION)]
            _insert(self._database, "INSERT INTO subscription", values)
        for packet_id in record["held"]:
            _insert(self._database, "INSERT INTO held", [self._session * IDENTIFIERS + packet_id])

    def _take_queued(self, record: dict[str, Any]) -> None:
        if not self._session:
            return
        number = 0
        if record["message"] is not None:
            number, self._message = self._message, self._message + 1
            values = [number, *_values(record["message"], _MESSAGE)]
            _insert(self._database, "INSERT INTO message", values)
        self._row += 1
        values = [self._session * ROWS + self._row, number, *_values(record, _ROW)]
        _insert(self._database, "INSERT INTO queue", values)


def _insert(database: sqlite3.Connection, how: str, values: Sequence[object]) -> int:
    marks = ", ".join("?" * len(values))
    return database.execute(f"{how} VALUES ({marks})", values).rowcount


def _of_session(database: sqlite3.Connection, number: int) -> dict[str, object]:
    columns = ", ".join(_SUBSCRIPTION)
    query = f"SELECT {columns} FROM subscription WHERE session = ?"  # noqa: S608  # our own
    held = number * IDENTIFIERS, (number + 1) * IDENTIFIERS
    keys = database.execute("SELECT key FROM held WHERE key >= ? AND key < ?", held)
    return {
        "subscriptions": [_named(_SUBSCRIPTION, row) for row in database.execute(query, (number,))],
        "held": [key % IDENTIFIERS for (key,) in keys],
    }


def _queue(database: sqlite3.Connection, number: int) -> Iterator[dict[str, object]]:
    columns = ", ".join(
        [f"queue.{each}" for each in _ROW] + [f"message.{each}" for each in _MESSAGE]
    )
    query = (
        f"SELECT {columns} FROM queue LEFT JOIN message ON message.number = queue.message "  # noqa: S608  # the same
        "WHERE key >= ? AND key < ? ORDER BY key"
    )
    for row in database.execute(query, (number * ROWS, (number + 1) * ROWS)):
        message = row[len(_ROW) :]
        yield {
            "kind": "queued",
            **_named(_ROW, row[: len(_ROW)]),
            "message": None if message[0] is None else _named(_MESSAGE, message),
        }


def _named(names: tuple[str, ...], values: Sequence[object]) -> dict[str, object]:
    return {name: _told(value) for name, value in zip(names, values, strict=True)}


def _told(value: object) -> object:
    """A value as JSON has it: bytes as text, or in base 64."""
    if not isinstance(value, bytes):
        return value
    try:
        return {"text": value.decode()}
    except UnicodeDecodeError:
        return {"base64": b64encode(value).decode()}


def _values(record: dict[str, Any], names: tuple[str, ...]) -> list[object]:
    return [_meant(record[name]) for name in names]


def _meant(value: object) -> object:
    if not isinstance(value, dict):
        return value
    if "text" in value:
        return str(value["text"]).encode()
    return b64decode(value["base64"], validate=True)


def _line(record: dict[str, object]) -> str:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


def _see_that_it_is_ours(database: sqlite3.Connection, path: str) -> None:
    """Raises StoreError: it is another program's, or of another version."""
    create_file(path)  # which sees whether it may be one of SQLite
    prepare(database, path, change=False)


@contextmanager
def _telling(path: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error
