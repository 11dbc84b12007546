"""Texts of values for a log: on one line, bounded, and there whatever their repr() does."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST = 500
"""Characters of a value that are written. A message can be as long as a frame, and a log is no
place to keep what peers send."""


def printable(text: str) -> str:
    """`text` with its control characters as escapes: it stays on its line and harms no terminal."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def safe(to_text: Callable[[object], str], value: object) -> str:
    """What `to_text`, `str` or `repr`, makes of the value, cut if it is long.

    What it raises is no error: the text then tells whose it was.
    """
    try:
        text = to_text(value)
    except Exception:  # noqa: BLE001  # anybody's code, and no reason not to log the rest
        return f"<{type(value).__name__}, whose {to_text.__name__}() raises>"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"
