"""``trio-speedo mqtt``: list, export, import and purge what a broker keeps in its store."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from speedo_trio.cli.output import complain, say
from speedo_trio.errors import ConfigError, StoreError
from speedo_trio.events import counted
from speedo_trio.logs.text import printable
from speedo_trio.mqtt.store.archive import (
    check_topics,
    export,
    purge_retained,
    purge_session,
    put_back,
    reading,
    retained_messages,
    sessions_of,
    sweep,
    writing,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

FAILED, MISTAKE = 1, 2

_EPILOGUE = """FILE is the mqtt.store.path of a broker. list and export may be used while it serves;
import and purge need it stopped. Exit status: 0 it was done, 1 the store can't be used, 2 a
mistake in the arguments."""

app: App = App(
    name="mqtt",
    help="Tools for the MQTT broker: what it keeps in its store, coming from mosquitto.",
    help_epilogue=_EPILOGUE,
    config=(),
)

_File = Annotated[Path, Parameter(show_default=False)]


@app.command(name="list")
def list_store(file: _File) -> int:
    """Sessions and retained messages, a line each.

    Args:
        file: The store.
    """
    try:
        with reading(str(file)) as database:
            for each in sessions_of(database):
                say(_session_line(each))
            for each in retained_messages(database):
                say(f"retained {printable(each['topic'])}, {counted(each['bytes'], 'byte')}")
    except StoreError as error:
        return _failed(error)
    return 0


@app.command(name="export")
def export_store(file: _File) -> int:
    """Write all of it to stdout, as lines of JSON.

    Args:
        file: The store.
    """
    try:
        with reading(str(file)) as database:
            for line in export(database):
                sys.stdout.write(f"{line}\n")
    except StoreError as error:
        return _failed(error)
    return 0


@app.command(name="import")
def import_store(file: _File, *, replace: bool = False) -> int:
    """Read from stdin what export wrote, and add it to a store, that is made if there is none.

    Args:
        file: The store.
        replace: What the store has already is replaced; else it stays as it is.
    """
    try:
        with writing(str(file), new=True) as database:
            count = put_back(database, _lines(), replace=replace)
            sweep(database)
    except StoreError as error:
        return _failed(error)
    say(f"{counted(count, 'session or retained message')} added")
    return 0


@app.command(name="purge")
def purge_store(
    file: _File, *, session: tuple[str, ...] = (), retained: tuple[str, ...] = ()
) -> int:
    """Remove sessions with what waits for them, and retained messages.

    Args:
        file: The store.
        session: The client identifier of a session. Give it again for more.
        retained: A filter: the topics that it matches, such as sensors/#. Give it again for more.
    """
    if not (session or retained):
        raise ConfigError("nothing to purge; allowed are --session and --retained")
    for each in retained:
        check_topics(each)
    try:
        with writing(str(file)) as database:
            sessions = sum(purge_session(database, each) for each in session)
            messages = sum(purge_retained(database, each) for each in retained)
            sweep(database)
    except StoreError as error:
        return _failed(error)
    say(f"{counted(sessions, 'session')} and {counted(messages, 'retained message')} removed")
    return 0


def _session_line(session: dict[str, Any]) -> str:
    ends = session["ends_at"]
    left = "" if ends is None else f", ends in {max(0, int(ends - time.time()))} s"
    filters = " ".join(map(printable, session["filters"])) or "nothing"
    waiting = f"{counted(session['messages'], 'message')} of {counted(session['bytes'], 'byte')}"
    return f"session {printable(session['client_id'])}: {filters}; {waiting} waiting{left}"


def _lines() -> Iterator[str]:
    return (line for line in sys.stdin if line.strip())


def _failed(error: StoreError) -> int:
    complain(str(error))
    return FAILED
