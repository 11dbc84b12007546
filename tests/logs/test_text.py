"""Texts for a log: one line, bounded, and never an error."""

from __future__ import annotations

from speedo_trio.logs.text import LONGEST, printable, safe


class Broken:
    """Something whose texts raise."""

    def __repr__(self) -> str:
        raise RuntimeError("no text for you")


def test_control_characters_become_escapes() -> None:
    """A file name or an error's text cannot move the cursor or start a new line."""
    assert printable("a\nb\x1b[31m\x9b é\udcff") == r"a\nb\x1b[31m\x9b é\udcff"


def test_long_texts_are_cut() -> None:
    """They tell how long they were."""
    assert safe(str, "x" * LONGEST) == "x" * LONGEST
    assert safe(str, "x" * 1000) == "x" * LONGEST + "… (1000 characters)"
    assert safe(repr, b"x" * 1000).endswith("… (1003 characters)")


def test_what_raises_is_named() -> None:
    """A text that can't be had is no error of the log."""
    assert safe(repr, Broken()) == "<Broken, whose repr() raises>"
