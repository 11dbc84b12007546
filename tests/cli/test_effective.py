"""The effective configuration: a file that gives the same configuration again."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from speedo_trio.cli.app import run

GIVEN = """
protocol = "log"
[limits]
when_full = "refuse"
[timeouts]
idle = 60
"""


def test_the_output_is_a_file_for_config(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read back, it gives the same values, all from the file."""
    Path("given.toml").write_text(GIVEN)
    monkeypatch.setenv("TRIO_SPEEDO_WORKERS_TURN_SECONDS", "1e-5")
    bind = 'unix:/tmp/"\x7f\\é💡'
    words = ["--config", "given.toml", "--timeouts.write", "none", "--bind", bind]
    assert run(["check", *words, "--bind", "tcp://[::]:1"]) == 0
    first = capsys.readouterr().out
    Path("effective.toml").write_text(first)
    monkeypatch.delenv("TRIO_SPEEDO_WORKERS_TURN_SECONDS")
    assert run(["check", "--config", "effective.toml"]) == 0
    second = capsys.readouterr().out
    table = tomllib.loads(second)

    assert table == tomllib.loads(first)
    assert table["bind"] == [bind, "tcp://[::]:1"]
    assert table["timeouts"]["idle"] == 60
    assert table["workers"]["turn_seconds"] == 1e-5
    assert second.count("# effective.toml") == second.count(" = ")


def test_each_line_tells_where_its_value_came_from(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flag, argument, variable, file and default."""
    Path("given.toml").write_text(GIVEN)
    monkeypatch.setenv("TRIO_SPEEDO_TIMEOUTS_LINGER", "2")
    run(["check", "echo", "--config", "given.toml", "--workers.count", "3"])
    origins = {
        line.split(" = ")[0]: line.split("  # ")[1]
        for line in capsys.readouterr().out.splitlines()
        if " = " in line
    }

    assert origins["protocol"] == "argument PROTOCOL"
    assert origins["count"] == "flag --workers.count"
    assert origins["linger"] == "default"  # that of workers, the last of the two
    assert origins["when_full"] == "given.toml"
    assert origins["grace"] == "default"


def test_a_file_name_cannot_break_out_of_its_comment(capsys: pytest.CaptureFixture[str]) -> None:
    """A newline in it stays in the comment."""
    path = 'a\nprotocol = "log"'
    Path(path).write_text('bind = ["tcp://:1"]')
    run(["check", "--config", path])

    assert tomllib.loads(capsys.readouterr().out)["protocol"] == "echo"
