"""Rounds: in each one every program is measured once, in a fresh process.

So the programs of a round had the same neighbours on the machine, and ratios within it are fair.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeVar

from benchmarks.compiled import LoadError
from benchmarks.results import Measurement
from benchmarks.servers import ServerError, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from benchmarks.contenders import Program
    from benchmarks.results import Figures, Shape
    from benchmarks.servers import Server

AnyProgram = TypeVar("AnyProgram", bound="Program")
AnyShape = TypeVar("AnyShape", bound="Shape")


def in_rounds(
    programs: Sequence[AnyProgram],
    shapes: Iterable[AnyShape],
    rounds: int,
    measure: Callable[[Server, AnyProgram, AnyShape], Figures],
) -> Iterator[Measurement]:
    """Measure each program on each shape so often; who fails is told on stderr, as who doesn't.

    Args:
        measure: Puts load on the server of a program. It may raise `LoadError` and `ServerError`.
    """
    for shape in shapes:
        for number in range(1, rounds + 1):
            for program in _rotated(programs, number - 1):
                yield _measured(program, shape, number, measure)


def _rotated(programs: Sequence[AnyProgram], places: int) -> list[AnyProgram]:
    """Each round begins with another server, so that none always follows the same one."""
    places %= max(len(programs), 1)
    return [*programs[places:], *programs[:places]]


def _measured(
    program: AnyProgram,
    shape: AnyShape,
    number: int,
    measure: Callable[[Server, AnyProgram, AnyShape], Figures],
) -> Measurement:
    figures, failure = None, None
    try:
        with running(program) as server:
            figures = measure(server, program, shape)
            server.check()
    except (LoadError, ServerError) as error:
        figures, failure = None, str(error)
    said = f"{figures.rate:,.0f} {shape.unit}" if figures else f"FAILED: {failure}"
    print(f"{shape} round {number} {program.name}: {said}", file=sys.stderr)
    return Measurement(
        server=program.name, shape=shape, round=number, figures=figures, failure=failure
    )
