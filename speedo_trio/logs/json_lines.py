"""JSON lines: a formatter for `logging` that writes each record as one object on one line."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, cast

from attrs import fields, has

from speedo_trio.events import Address
from speedo_trio.logs.text import safe

if TYPE_CHECKING:
    from collections.abc import Collection

    from attrs import AttrsInstance

_DEEPEST = 6
"""Levels of a value that are written; a value may contain itself."""

_MOST_BYTES = 64
"""Bytes of a value that are written."""


class JSONFormatter(logging.Formatter):
    """Writes each record as one line of JSON.

    The keys are ``time`` (RFC 3339, UTC), ``level``, ``logger``, ``message``, then the record's
    extras, and ``traceback`` if there is one. Of an event, ``event`` is the name of its class, and
    its fields follow; one whose name is taken already is ``event_message`` and the like. Addresses
    are text, errors have ``type`` and ``text``, bytes are hexadecimal, and what JSON can't express
    is its repr(). Bytes and reprs are cut where they are long; headers of a WebSocket handshake,
    which can hold secrets, are left out.

    ::

        handler = logging.StreamHandler()
        handler.setFormatter(JSONFormatter(service="stock"))
    """

    def __init__(self, **always: object) -> None:
        """Write `always` in each line, after ``message``."""
        super().__init__()
        self._always = always

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, object] = {
            "time": _time(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
            **self._always,
        }
        for name, value in vars(record).items():
            if name not in _STANDARD:
                _add(line, name, value)
        if record.exc_info and record.exc_info[0] is not None:
            line["traceback"] = self.formatException(record.exc_info)
        elif record.exc_text:  # it came through a QueueHandler
            line["traceback"] = record.exc_text
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps({name: _plain(value, _DEEPEST) for name, value in line.items()})


_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime"}
"""What every record has; the rest are extras."""


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, LookupError):  # its arguments don't fit
        return f"{record.msg} {safe(repr, record.args)}"


def _add(line: dict[str, object], name: str, value: object) -> None:
    if name != "event" or not _is_ours(value):
        line[f"extra_{name}" if name in line else name] = value
        return
    line["event"] = type(value).__name__
    for part, inner in _parts(value):
        line[f"event_{part}" if part in line else part] = inner


def _is_ours(value: object) -> bool:
    """Whether it is an event or what is in one, and not a text."""
    kind = type(value)
    return has(kind) and kind.__module__ == Address.__module__ and kind is not Address


def _parts(value: object) -> list[tuple[str, object]]:
    """The fields of an event, or of what is in one, but for headers: they can hold secrets."""
    kind = cast("type[AttrsInstance]", type(value))
    names = [attribute.name for attribute in fields(kind) if attribute.name != "headers"]
    return [(name, getattr(value, name)) for name in names]


def _plain(value: object, depth: int) -> object:
    """`value` as `json.dumps` takes it, however strange it is."""
    match value:
        case None | bool() | int() | float() if _has_json(value):
            return value
        case BaseException():
            return {"type": type(value).__name__, "text": _text(safe(str, value))}
        case Mapping() | list() | tuple() | set() | frozenset() if depth:
            return _plain_parts(value, depth - 1)
        case _ if depth and _is_ours(value):
            return {name: _plain(part, depth - 1) for name, part in _parts(value)}
    return _text(value)


def _has_json(value: float | None) -> bool:
    """Whether a number or None is the same in JSON, for whoever reads it."""
    if value is None:
        return True
    if isinstance(value, int):
        return abs(value) < 2**63 and not isinstance(value, Enum)
    return math.isfinite(value)


def _plain_parts(value: Collection[object], depth: int) -> object:
    try:
        if isinstance(value, Mapping):
            return {_text(key): _plain(part, depth) for key, part in value.items()}
        return [_plain(part, depth) for part in value]
    except (TypeError, ValueError, LookupError, RuntimeError):
        return _text(value)  # somebody's own, or one that a thread changes meanwhile


def _text(value: object) -> str:
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case bytes() | bytearray() | memoryview():
            cut = f"… ({len(value)} bytes)" if len(value) > _MOST_BYTES else ""
            return bytes(value[:_MOST_BYTES]).hex() + cut
        case Enum():
            return value.name
        case Address():
            return str(value)
    return _text(safe(repr, value))
