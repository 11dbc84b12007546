"""Output: one line stays one line, and a stream that is gone is no error."""

from __future__ import annotations

from pathlib import Path

import pytest

from speedo_trio.cli.output import complain, say


def test_complaints_have_the_commands_name(capsys: pytest.CaptureFixture[str]) -> None:
    """They go to stderr, in one line."""
    complain("x\ny")

    assert capsys.readouterr() == ("", "trio-speedo: x\\ny\n")


def test_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any failure to write is as good as a reader that has gone."""
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stdout", full)
        say("x")
        say("y")


def test_a_closed_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a closed one raise."""
    with Path("/dev/null").open("w") as closed:
        monkeypatch.setattr("sys.stdout", closed)
    say("x")
