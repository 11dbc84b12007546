"""The command that keeps password files."""

from __future__ import annotations

import io
import stat
from pathlib import Path

import pytest

from speedo_trio.cli import passwd
from speedo_trio.cli.app import run
from speedo_trio.mqtt.security.users import parse_users

QUICK = ("--cost", "4")


class Terminal(io.StringIO):
    """A stdin at which somebody sits."""

    def isatty(self) -> bool:
        return True


def given(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """What comes by a pipe."""
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def users() -> dict[str, object]:
    """Who is in the file."""
    return dict(parse_users(Path("users").read_text()))


def test_add_change_and_delete(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A password comes by stdin; the file is for its owner only, and other lines stay."""
    Path("users").write_text("# staff\n")
    for password, told in (("one", "alice is added"), ("two", "alice has a new password")):
        given(monkeypatch, f"{password}\nmore\n")
        assert run(["passwd", "users", "alice", *QUICK]) == 0
        assert capsys.readouterr() == (f"users: {told}\n", "")

    text = Path("users").read_text()
    assert text.startswith("# staff\nalice:$scrypt$ln=4,r=8,p=1$")
    assert parse_users(text)["alice"].check(b"two")
    assert stat.S_IMODE(Path("users").stat().st_mode) == 0o600

    assert run(["passwd", "users", "alice", "--delete"]) == 0
    assert Path("users").read_text() == "# staff\n"


def test_a_terminal_is_asked_twice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is typed must be the same both times."""
    answers = iter(["one", "one", "one", "two"])
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr(passwd, "getpass", lambda prompt: next(answers))

    assert run(["passwd", "users", "alice", *QUICK]) == 0
    before = users()
    assert run(["passwd", "users", "alice", *QUICK]) == 2
    assert capsys.readouterr().err == ("trio-speedo: the passwords differ; nothing was changed\n")
    assert users() == before


def test_many_at_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A password may have colons; with a mistake in one line nothing is done."""
    given(monkeypatch, "alice:one\n\nbob:t:wo\r\n")
    assert run(["passwd", "users", "--batch", *QUICK]) == 0
    assert capsys.readouterr().out == "users: 2 users set, 2 in all\n"
    found = parse_users(Path("users").read_text())
    assert found["bob"].check(b"t:wo")

    given(monkeypatch, "carol:x\ndave\n")
    assert run(["passwd", "users", "--batch", *QUICK]) == 2
    assert "stdin, line 2: allowed is NAME:PASSWORD" in capsys.readouterr().err
    assert {*users()} == {"alice", "bob"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["users"], "no USER; allowed is a user, or --batch"),
        (["users", "a", "--batch"], "USER with --batch"),
        (["users", "--batch", "--delete"], "--batch and --delete; allowed is one of them"),
        (["users", "nobody", "--delete"], "users has no user 'nobody'"),
        (["users", "a:b"], "the user name is 'a:b'"),
        (["users", "a"], "the password is empty"),
        (["users", "a", "--cost", "3"], "--cost is 3; allowed is a whole number from 4 to 20"),
        (["no/users", "a"], "cannot write no/users: No such file or directory"),
        (["odd", "a"], "odd, line 1: no colon in it"),
    ],
)
def test_mistakes(
    words: list[str],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """They are told in one line, and nothing is changed."""
    Path("odd").write_text("odd")
    given(monkeypatch, "x\n" if "no/users" in words else "")

    assert run(["passwd", *words]) == 2
    assert told in capsys.readouterr().err
    assert not Path("users").exists()
