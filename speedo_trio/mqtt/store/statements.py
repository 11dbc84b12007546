"""Statements for many rows. One statement with many values is one step of SQLite.

Between two steps a thread asks for the interpreter's lock again, and beside a busy thread that
takes longer than the step.

Next: `speedo_trio.mqtt.store.sqlite`.
"""

from __future__ import annotations

from functools import cache
from itertools import chain, islice
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

T = TypeVar("T")

_SIZES: Final = (128, 16, 4, 1)
"""Rows of a statement. There are few kinds, so that SQLite has compiled them all."""


def insert_many(
    database: sqlite3.Connection, table: str, width: int, rows: Iterable[Sequence[object]]
) -> None:
    """Insert rows, or replace those that have the same key.

    Args:
        width: The columns of the table.
    """
    waiting = iter(rows)
    while chunk := list(islice(waiting, _SIZES[0])):
        for part in _parts(chunk):
            database.execute(_insert(table, width, len(part)), [*chain.from_iterable(part)])


def delete_many(database: sqlite3.Connection, table: str, column: str, keys: Sequence[int]) -> None:
    """Delete the rows that have these keys."""
    for part in _parts(keys):
        database.execute(_delete(table, column, len(part)), part)


def _parts(rows: Sequence[T]) -> Iterable[Sequence[T]]:
    begin = 0
    for size in _SIZES:
        while len(rows) - begin >= size:
            yield rows[begin : begin + size]
            begin += size


@cache
def _insert(table: str, width: int, count: int) -> str:
    row = f"({', '.join('?' * width)})"
    return f"REPLACE INTO {table} VALUES {', '.join([row] * count)}"  # noqa: S608  # the same


@cache
def _delete(table: str, column: str, count: int) -> str:
    return f"DELETE FROM {table} WHERE {column} IN ({', '.join('?' * count)})"  # noqa: S608  # ours
