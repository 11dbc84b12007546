"""Users: the lines of a password file, ``NAME:HASH`` each; a ``#`` begins a comment line.

Next: `speedo_trio.mqtt.security.password_file`.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from speedo_trio.errors import ConfigError
from speedo_trio.mqtt.security.hashes import parse_hash

if TYPE_CHECKING:
    from speedo_trio.mqtt.security.hashes import PasswordHash

MOST_NAME = 65_535
"""Bytes of a name: what a CONNECT can carry."""


def read_file(path: str | os.PathLike[str]) -> str:
    """The text of a file.

    Raises:
        ConfigError: it can't be read, or is not UTF-8.
    """
    try:
        return Path(path).read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {os.fspath(path)}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{os.fspath(path)}: byte {error.start} is not UTF-8") from error


def check_name(name: str) -> None:
    """See that a user may be called so.

    Raises:
        ConfigError: not in a password file.
    """
    odd = not name.isprintable() or name != name.strip() or ":" in name or name.startswith("#")
    if not name or odd or len(name.encode(errors="replace")) > MOST_NAME:
        raise ConfigError(
            f"the user name is {name[:100]!r}; allowed is a text without colons, without blanks "
            "around it and without # before it"
        )


def parse_users(text: str, place: str = "password file") -> dict[str, PasswordHash]:
    """Read a password file.

    Args:
        place: what it is, for errors.

    Raises:
        ConfigError: a line is none; the text tells which.
    """
    users: dict[str, PasswordHash] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, rest = line.partition(":")
        name = name.strip()
        try:
            if not colon:
                raise ConfigError("no colon in it; allowed is NAME:HASH")
            check_name(name)
            if name in users:
                raise ConfigError(f"the user {name!r} once more; allowed is one line each")
            users[name] = parse_hash(rest.strip())
        except ConfigError as error:
            raise ConfigError(f"{place}, line {number}: {error}") from None
    return users


def with_user(text: str, name: str, password: PasswordHash | None) -> str:
    """The text of a password file with a user's line changed, added or, without one, left out.

    All other lines stay as they are, comments too.
    """
    lines = [each for each in text.split("\n") if each]
    own = [number for number, each in enumerate(lines) if _name_of(each) == name]
    if password is None:
        lines = [each for number, each in enumerate(lines) if number not in own]
    elif own:
        lines[own[0]] = f"{name}:{password}"
    else:
        lines.append(f"{name}:{password}")
    return "".join(f"{each}\n" for each in lines)


def replace_file(path: str | os.PathLike[str], text: str) -> None:
    """Replace a file in one step: who reads it sees the old one or the new one.

    It is for its owner only (0600); a file that was there keeps its owner, as far as may be.

    Raises:
        OSError: it can't be written; the old one is as it was.
    """
    target = Path(path).resolve()  # what a link points to, and not the link
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")  # 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            _keep_owner(target, file.fileno())
            os.fsync(file.fileno())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _name_of(line: str) -> str | None:
    return None if line.startswith("#") else line.partition(":")[0].strip()


def _keep_owner(target: Path, descriptor: int) -> None:
    """Give the new file to who owns the old one: a server that runs as another user reads it."""
    try:
        old = target.stat()
        os.fchown(descriptor, old.st_uid, old.st_gid)
    except OSError:
        pass  # there is none, or it isn't ours to give


def _sync_folder(folder: Path) -> None:
    """See that the new name outlasts a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
