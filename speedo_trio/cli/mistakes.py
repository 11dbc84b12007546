"""Mistakes: what a user typed, set or wrote that is not allowed, told in one line."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from cyclopts import UnusedCliTokensError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cyclopts import CycloptsError


class Mistake(Exception):
    """The user erred. The text is the line to show; the cause, if any, is the user's own error."""


ALL = "; trio-speedo serve --help tells all there are"


def suggestion(word: str, allowed: Iterable[str]) -> str:
    """``"; did you mean …?"`` with what is closest to `word`; empty when nothing is close."""
    close = difflib.get_close_matches(word, list(allowed), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def explain(error: CycloptsError) -> str:
    """What was wrong with the command line, in one line."""
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        command = " ".join(("trio-speedo", *(error.command_chain or ())))
        unexpected = error.unused_tokens[0]
        return f"unexpected argument {unexpected!r}; {command} --help tells what is allowed"
    return " ".join(str(error).split())
