"""The schema: the tables of a store's file, and what is done to files of other versions.

Next: `speedo_trio.mqtt.store.statements`.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from typing import Final

from speedo_trio.errors import StoreError

APPLICATION_ID: Final = 0x54535044
"""What SQLite keeps in the header of a file to tell whose it is."""
VERSION: Final = 2
"""The version of the tables; `PRAGMA user_version` of the file."""
_MAGIC: Final = b"SQLite format 3\0"
_OLDEST: Final = (3, 32, 0)

_TABLES: Final = """
CREATE TABLE session (
    number INTEGER PRIMARY KEY,
    client_id TEXT NOT NULL UNIQUE,
    expiry INTEGER NOT NULL,
    connected INTEGER NOT NULL,
    ends_at REAL,
    will_at REAL,
    will_topic BLOB,
    will_payload BLOB,
    will_flags INTEGER,
    will_properties BLOB,
    passport TEXT
);
CREATE TABLE subscription (
    session INTEGER NOT NULL,
    filter BLOB NOT NULL,
    qos INTEGER NOT NULL,
    no_local INTEGER NOT NULL,
    retain_as_published INTEGER NOT NULL,
    identifier INTEGER NOT NULL,
    PRIMARY KEY (session, filter)
) WITHOUT ROWID;
CREATE TABLE message (
    number INTEGER PRIMARY KEY,
    topic BLOB NOT NULL,
    payload BLOB NOT NULL,
    flags INTEGER NOT NULL,
    properties BLOB,
    received REAL,
    expires REAL
);
CREATE TABLE queue (
    key INTEGER PRIMARY KEY,
    message INTEGER NOT NULL,
    packet INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    size INTEGER NOT NULL,
    identifiers TEXT,
    filter BLOB
);
CREATE TABLE orphan (message INTEGER NOT NULL);
CREATE TABLE held (key INTEGER PRIMARY KEY);
CREATE TABLE retained (
    number INTEGER PRIMARY KEY,
    topic BLOB NOT NULL UNIQUE,
    payload BLOB NOT NULL,
    qos INTEGER NOT NULL,
    properties BLOB,
    origin TEXT,
    received REAL NOT NULL,
    expires REAL
);
CREATE INDEX message_expires ON message (expires) WHERE expires IS NOT NULL;
CREATE INDEX retained_expires ON retained (expires) WHERE expires IS NOT NULL;
"""

CHECKED_BYTES: Final = 268_435_456
"""Files up to this are checked for damage when they are opened, in less than a second. Of larger
ones only what is read at the start shows it: all but the bodies of messages."""

MIGRATIONS: dict[int, str] = {1: "ALTER TABLE session ADD COLUMN passport TEXT;"}
"""What makes of a file of a version one of the next."""


def create_file(path: str) -> None:
    """Make the file, for its owner only, if there is none.

    Raises:
        StoreError: it can't be made, or what is there can't be a store.
    """
    try:
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        with open(path, "r+b") as file:  # noqa: PTH123  # a path is a text here
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise StoreError(f"{path} can't be opened: {error}") from error
    if magic and magic != _MAGIC:
        raise _foreign(path, "no file of SQLite, or a damaged one")


def check(database: sqlite3.Connection, path: str) -> None:
    """See that a file is not damaged; of a large one that would take too long.

    Raises:
        StoreError: it is damaged.
        sqlite3.Error: it is damaged so much that it can't be told how.
    """
    if os.stat(path).st_size <= CHECKED_BYTES:  # noqa: PTH116  # a path is a text here
        (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise StoreError(
                f"{path} is damaged: {found}. It was not changed; restore a copy, or move it away "
                "to begin with nothing"
            )


def prepare(database: sqlite3.Connection, path: str, *, change: bool = True) -> None:
    """See whose the file is, make its tables if it is new, and bring those of older versions.

    Args:
        change: Whether tables may be made and brought. Without it a file must be as it should be.

    Raises:
        StoreError: it is another program's, or of a later version. It was not changed.
        sqlite3.Error: it can't be read or written.
    """
    if sqlite3.sqlite_version_info < _OLDEST:
        raise StoreError(f"SQLite is {sqlite3.sqlite_version}; allowed is 3.32 or later")
    (owner,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if change and not (owner or version or tables):
        _create(database)
    elif owner != APPLICATION_ID:
        raise _foreign(path, "a file of another program")
    elif version > VERSION:
        raise StoreError(
            f"{path} has version {version}, of a later trio-speedo; allowed is {VERSION} or "
            "earlier. It was not changed"
        )
    elif change:
        _migrate(database, version)
    elif version < VERSION:
        raise StoreError(f"{path} has version {version}; a broker that opens it makes it {VERSION}")
    if change:
        database.execute("PRAGMA journal_mode = WAL")


def _create(database: sqlite3.Connection) -> None:
    """Make the tables, all or none."""
    database.executescript(
        f"BEGIN IMMEDIATE; {_TABLES} PRAGMA application_id = {APPLICATION_ID}; "
        f"PRAGMA user_version = {VERSION}; COMMIT;"
    )


def _migrate(database: sqlite3.Connection, version: int) -> None:
    for each in range(version, VERSION):
        database.executescript(
            f"BEGIN IMMEDIATE; {MIGRATIONS[each]} PRAGMA user_version = {each + 1}; COMMIT;"
        )


def _foreign(path: str, what: str) -> StoreError:
    return StoreError(
        f"{path} is {what}; allowed is a store of trio-speedo, or a path where nothing is. It was "
        "not changed"
    )
