"""Users: a password file is read line by line, changed in one place, and replaced in one step."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from speedo_trio import ConfigError
from speedo_trio.mqtt.security.hashes import Scrypt
from speedo_trio.mqtt.security.users import (
    check_name,
    parse_users,
    read_file,
    replace_file,
    with_user,
)

HASH = Scrypt(4, 8, 1, b"salt", bytes(32))
OTHER = Scrypt(4, 8, 1, b"pepper", bytes(32))


def test_lines_comments_and_blanks() -> None:
    """Comments and empty lines count for nothing, blanks around a name neither."""
    text = f"# staff\n\n  alice : {HASH} \r\nbob smith:{OTHER}"

    assert parse_users(text) == {"alice": HASH, "bob smith": OTHER}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("alice", "no colon in it"),
        (f":{HASH}", "the user name is ''"),
        (f"al\tice:{HASH}", "the user name is 'al\\tice'"),
        ("alice:secret", "not hashed"),
        (f"bob:{HASH}\nbob:{HASH}", "'bob' once more"),
    ],
)
def test_a_line_that_is_none(line: str, told: str) -> None:
    """The error tells which line it is."""
    with pytest.raises(ConfigError, match=r"^the file, line [23]: ") as refused:
        parse_users(f"#\n{line}", "the file")

    assert told in str(refused.value)


@pytest.mark.parametrize("name", ["", " a", "a ", "#a", "a:b", "a\nb", "a\0", "x" * 65_536])
def test_a_name_that_is_none(name: str) -> None:
    """What could not be read back is not taken."""
    with pytest.raises(ConfigError, match="allowed is a text without colons"):
        check_name(name)


def test_a_change_leaves_the_rest() -> None:
    """A user is changed in its place, added at the end or left out; the other lines stay."""
    text = f"# staff\nalice:{HASH}\n#alice:old\nbob:{HASH}"
    changed = with_user(text, "alice", OTHER)

    assert changed == f"# staff\nalice:{OTHER}\n#alice:old\nbob:{HASH}\n"
    assert with_user(changed, "carol", HASH) == f"{changed}carol:{HASH}\n"
    assert with_user(text, "bob", None) == f"# staff\nalice:{HASH}\n#alice:old\n"


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """The error names it."""
    (tmp_path / "odd").write_bytes(b"a\xff")

    with pytest.raises(ConfigError, match=r"cannot read .*nothing: No such file"):
        read_file(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="odd: byte 1 is not UTF-8"):
        read_file(tmp_path / "odd")


def test_a_file_is_replaced(tmp_path: Path) -> None:
    """It is another file, for its owner only; a link still points there."""
    path, link = tmp_path / "users", tmp_path / "link"
    path.write_text("old")
    path.chmod(0o644)
    link.symlink_to(path)
    before = path.stat().st_ino
    replace_file(link, "new")

    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_ino != before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link", "users"]


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full leaves no half of a file, and no file beside it."""

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "users"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(OSError, match="No space left"):
        replace_file(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
