"""Blame: an error in one line, with the place that its owner can mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from speedo_trio.cli.blame import told


def tell(source: str) -> str:
    """What is told of an error in a user's file of this source."""
    path = Path.cwd() / "theirs.py"
    path.write_text(source)
    try:
        exec(compile(source, path, "exec"), {})
    except Exception as error:  # noqa: BLE001  # whatever it is
        return told(error).replace(f"{path}", "theirs.py")
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("\nimport no_such", "ModuleNotFoundError: No module named 'no_such' (theirs.py:2)"),
        ("def f(:\n", "SyntaxError: invalid syntax (theirs.py:1)"),
        ("def f():\n 1/0\nf()", "ZeroDivisionError: division by zero (theirs.py:2)"),
        ("raise KeyError", "KeyError (theirs.py:1)"),
    ],
)
def test_the_deepest_line_of_the_users_code(source: str, text: str) -> None:
    """Not the one that called it, nor that of the import machinery."""
    assert tell(source) == text


def test_their_line_rather_than_the_librarys() -> None:
    """What a library raised is blamed on the line that called the library."""
    text = "JSONDecodeError: Expecting value: line 1 column 1 (char 0) (theirs.py:2)"

    assert tell("import json\njson.loads('')") == text


def test_without_any_line() -> None:
    """An error that was raised nowhere has no place."""
    assert told(ValueError("x")) == "ValueError: x"
