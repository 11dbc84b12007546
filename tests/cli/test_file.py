"""The configuration file: every kind of mistake in it is one line with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from speedo_trio.cli.app import run

MISTAKES = {
    "[limits]\nconections = 3": "limits.conections is no setting; did you mean limits.connections?",
    "[limit]": "limit is no setting; did you mean limits?",
    "connections = 3": "connections is no setting; did you mean limits.connections?",
    "serve = 1": "serve is no setting",
    "zzz = 1": "zzz is no setting; trio-speedo serve --help tells all there are",
    "config = 'x'": "config is no setting",
    "limits = 3": "limits is 3; allowed is a table: [limits]",
    "[[limits]]\nbacklog = 1": "limits is [{'backlog': 1}]; allowed is a table: [limits]",
    "[limits]\nbacklog = '12'": "limits.backlog is '12'; allowed is a whole number from 1 to 65535",
    "[limits]\nbacklog = 12.0": "limits.backlog is 12.0; allowed is a whole number",
    "[limits]\nbacklog = true": "limits.backlog is True; allowed is a whole number",
    "[limits.backlog]\nx = 1": "limits.backlog is {'x': 1}; allowed is a whole number",
    "[limits]\nwhen_full = 1": "limits.when_full is 1; allowed is 'wait' or 'refuse'",
    "[timeouts]\nidle = 'x'": "timeouts.idle is 'x'; allowed is a number of seconds",
    "[timeouts]\nidle = inf": "timeouts.idle is inf; allowed is a number of seconds",
    "[timeouts]\ngrace = 2020-01-01": "timeouts.grace is datetime.date(2020, 1, 1); allowed is",
    "protocol = 3": "protocol is 3; allowed is a name or package.module:Factory",
    "bind = 'tcp://:1'": "bind is 'tcp://:1'; allowed is a list such as [\"tcp://localhost:9292\"]",
    "bind = [1]": "bind is [1]; allowed is a list",
    "bind = []": "bind is []; allowed is a list",
    "bind = {a = 1}": "bind is {'a': 1}; allowed is a list",
    "bind = ['x']": "bind: 'x' is no address to listen on; allowed are tcp://host:port",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_in_the_file(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line tells the file, the key, what was seen and what is allowed; the status is 2."""
    Path("a.toml").write_text(text)
    status = run(["check", "--config", "a.toml"])
    out, err = capsys.readouterr()

    assert (status, out) == (2, "")
    assert err.startswith(f"trio-speedo: a.toml: {MISTAKES[text]}")
    assert err.count("\n") == 1


def test_an_overridden_mistake_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    """A flag that wins does not hide what is wrong in the file."""
    Path("a.toml").write_text("[workers]\ncount = 0")

    assert run(["check", "--config", "a.toml", "--workers.count", "2"]) == 2
    assert "a.toml: workers.count is 0" in capsys.readouterr().err


def test_text_that_is_no_toml(capsys: pytest.CaptureFixture[str]) -> None:
    """The line number is told."""
    Path("a.toml").write_text("bind = ['tcp://:1']\n[limits\n")

    assert run(["check", "--config", "a.toml"]) == 2
    assert capsys.readouterr().err == (
        "trio-speedo: a.toml is no TOML: Expected ']' at the end of a table declaration "
        "(at line 2, column 8)\n"
    )


def test_bytes_that_are_no_text(capsys: pytest.CaptureFixture[str]) -> None:
    """A file in another encoding is a mistake too."""
    Path("a.toml").write_bytes(b"# caf\xe9")

    assert run(["check", "--config", "a.toml"]) == 2
    assert capsys.readouterr().err == "trio-speedo: a.toml is no TOML: byte 5 is not UTF-8\n"


@pytest.mark.parametrize(
    ("path", "reason"), [("no.toml", "No such file or directory"), (".", "Is a directory")]
)
def test_an_unreadable_file(path: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The reason is the system's."""
    assert run(["check", "--config", path]) == 2
    assert capsys.readouterr().err == f"trio-speedo: cannot read {path}: {reason}\n"
