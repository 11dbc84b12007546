"""Blame: which line of whose code raised."""

from __future__ import annotations

import importlib
import sysconfig
import traceback


def told(error: BaseException) -> str:
    """The error in one line, with the place that raised it when it is known."""
    text = (error.msg if isinstance(error, SyntaxError) else str(error)).strip()
    place = _place(error)
    return type(error).__name__ + (f": {text}" if text else "") + (f" ({place})" if place else "")


def _place(error: BaseException) -> str | None:
    """File and line of the deepest frame, outside of installed code if there is such a frame."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    machinery = ("<frozen", importlib.__file__)
    frames = [  # the first is the frame that caught it, which is ours
        frame
        for frame in traceback.extract_tb(error.__traceback__)[1:]
        if not frame.filename.startswith(machinery)
    ]
    theirs = [frame for frame in frames if not frame.filename.startswith(_installed())]
    deepest = (theirs or frames)[-1:]
    return f"{deepest[0].filename}:{deepest[0].lineno}" if deepest else None


def _installed() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple(paths[name] for name in ("stdlib", "purelib", "platlib"))
