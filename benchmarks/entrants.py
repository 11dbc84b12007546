"""The contenders that can take part: installed, started once, and seen to serve."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeVar

from benchmarks.servers import ServerError, running

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.contenders import Program

AnyProgram = TypeVar("AnyProgram", bound="Program")


def entrants(programs: Iterable[AnyProgram]) -> list[AnyProgram]:
    """The programs that take part; a note on stderr for each that doesn't."""
    return [program for program in programs if _takes_part(program)]


def _takes_part(program: Program) -> bool:
    try:
        _try_out(program)
    except ServerError as error:
        print(f"SKIPPED {program.name}: {error}", file=sys.stderr)
        return False
    return True


def _try_out(program: Program) -> None:
    if (obstacle := program.obstacle) is not None:
        raise ServerError(obstacle)
    with running(program):
        pass
