"""The list of protocols."""

from __future__ import annotations

from pathlib import Path

import pytest

from speedo_trio.cli.app import run


def test_shipped_and_plugins(capsys: pytest.CaptureFixture[str], plugin: Path) -> None:
    """Each has a line: name, source, first line of its docstring. A broken one breaks no other."""
    assert run(["protocols"]) == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    told = {(name, *text.split("  ", 1)) for name, text in lines}

    assert ("shout", "shout-plugin 1.5", "Answers in capitals.") in told
    assert ("broken", "shout-plugin 1.5", BROKEN.format(plugin)) in told
    assert ("echo", "shout-plugin 1.5", HIDDEN) in told
    assert [name for name, _ in lines] == [
        "discard",
        "echo",
        "log",
        "mqtt",
        "simplepub",
        "broken",
        "echo",
        "shout",
    ]


BROKEN = (
    "broken: cannot import breaking: ModuleNotFoundError: "
    "No module named 'no_such_library' ({}/breaking.py:1)"
)
HIDDEN = "hidden by the shipped protocol; serve it as shouting:Shout"


def test_without_plugins(capsys: pytest.CaptureFixture[str]) -> None:
    """What is shipped has descriptions."""
    run(["protocols"])
    lines = capsys.readouterr().out.splitlines()

    assert "echo       shipped  Sends each line back as it came" in lines[1]
    assert not any("no description" in line or "broken" in line for line in lines)
