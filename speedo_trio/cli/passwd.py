"""The command ``trio-speedo passwd``: who is in a password file.

A password is asked for, or read from stdin: on the command line others of the machine could see it.
"""

from __future__ import annotations

import sys
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from attrs import field, frozen
from cyclopts import App, Parameter

from speedo_trio.cli.flags import checking, whole
from speedo_trio.cli.mistakes import Mistake
from speedo_trio.cli.output import say
from speedo_trio.events import counted
from speedo_trio.mqtt.security.hashes import COST, LEAST_COST, MOST_COST, Scrypt
from speedo_trio.mqtt.security.users import (
    check_name,
    parse_users,
    read_file,
    replace_file,
    with_user,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_EPILOGUE = """The file is replaced in one step, and is for its owner only (0600). A running server
reads it again on SIGHUP. Exit status: 0 it was done, 2 it was not, and why is told."""


@frozen(kw_only=True)
class PasswdPlan:
    """What is to be done."""

    delete: bool = False
    """Remove the user."""
    batch: bool = False
    """Read lines of NAME:PASSWORD from stdin, and set them all."""
    cost: int = field(default=COST, validator=whole(LEAST_COST, MOST_COST))
    """How hard the password is to guess: each more doubles the time and memory that a login
    takes, 50 ms and 16 MiB for 14."""


_CHANGE = PasswdPlan()
_File = Annotated[Path, Parameter(metavar="FILE")]


def passwd(
    file: _File,
    user: str | None = None,
    /,
    *,
    plan: Annotated[PasswdPlan, Parameter(name="*")] = _CHANGE,
) -> int:
    """Set a user's password in a password file of the MQTT broker.

    Args:
        file: The password file; it is made if it isn't there.
        user: Whose password; it is asked for, or the first line of stdin.
    """
    if plan.batch == (user is not None):
        seen = "USER with --batch" if user else "no USER"
        raise Mistake(f"{seen}; allowed is a user, or --batch and names on stdin")
    if plan.batch and plan.delete:
        raise Mistake("--batch and --delete; allowed is one of them")
    text = _read(file)
    known = parse_users(text, str(file))
    if user is None:
        pairs = dict(_pairs())
        for name, password in pairs.items():
            text = with_user(text, name, Scrypt.make(password.encode(), plan.cost))
        told = f"{counted(len(pairs), 'user')} set, {len(parse_users(text))} in all"
    elif plan.delete:
        if user not in known:
            raise Mistake(f"{file} has no user {user!r}")
        text, told = with_user(text, user, None), f"{user} is removed"
    else:
        check_name(user)
        text = with_user(text, user, Scrypt.make(_password(), plan.cost))
        told = f"{user} has a new password" if user in known else f"{user} is added"
    _write(file, text)
    say(f"{file}: {told}")
    return 0


def _read(file: Path) -> str:
    return read_file(file) if file.exists() else ""


def _write(file: Path, text: str) -> None:
    try:
        replace_file(file, text)
    except OSError as error:
        raise Mistake(f"cannot write {file}: {error.strerror or error}") from error


def _password() -> bytes:
    """Ask for it, twice; or take the first line of a stdin that is no terminal."""
    if not sys.stdin.isatty():
        return _given(sys.stdin.readline().rstrip("\r\n"))
    first = getpass("Password: ")
    if getpass("Again: ") != first:
        raise Mistake("the passwords differ; nothing was changed")
    return _given(first)


def _given(password: str) -> bytes:
    if not password:
        raise Mistake("the password is empty; allowed is one with a character or more")
    return password.encode()


def _pairs() -> Iterator[tuple[str, str]]:
    lines = (each.rstrip("\r\n") for each in sys.stdin)
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        name, colon, password = line.partition(":")
        if not colon or not password:
            raise Mistake(f"stdin, line {number}: allowed is NAME:PASSWORD; nothing was changed")
        check_name(name)
        yield name, password


app: App = App(
    name="passwd",
    usage="trio-speedo passwd FILE USER [OPTIONS]",
    help_epilogue=_EPILOGUE,
    config=(checking(PasswdPlan),),
)
app.default(passwd)
