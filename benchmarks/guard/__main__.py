"""Guards the work of a message: `python -m benchmarks.guard`.

Counts what a server does for a message, in each shape, and fails when that is a tenth more than
was recorded. Time is not measured, so a busy machine changes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys

from benchmarks.guard.counting import FIGURES
from benchmarks.guard.record import (
    ALLOWED,
    TRIO,
    Change,
    Work,
    changes,
    read_record,
    renew_record,
    this_python,
)
from benchmarks.guard.shapes import SHAPES, work_of
from benchmarks.servers import ROOT
from benchmarks.table import table

RENEW = "python -m benchmarks.guard --renew"
PATIENCE_SECONDS = 300


def main() -> int:
    """Count, print, compare; 1 when a shape is costlier, 2 when there is no record."""
    options = _options()
    if options.count is not None:
        print(json.dumps(work_of(SHAPES[options.count])))
        return 0
    works = {name: _counted(name) for name in options.shapes or SHAPES}
    print(table(("a message of", *FIGURES), [_row(name, works[name]) for name in works]))
    if options.renew:
        renew_record(works)
        return 0
    before = read_record()
    if before is None:
        print(f"\nno numbers for Python {this_python()} and this {TRIO}; {RENEW} makes them")
        return 2
    if missing := [name for name in works if name not in before]:
        print(f"\nnot recorded: {', '.join(missing)}; {RENEW} does that")
        return 2
    return _judge(list(changes(before, works, {name: SHAPES[name].slack for name in works})))


def _judge(found: list[Change]) -> int:
    if cheaper := [change for change in found if change.cheaper]:
        print(f"\ncheaper, so that {RENEW} would guard what was gained:")
        print("\n".join(f"  {change}" for change in cheaper))
    costlier = [change for change in found if change.costlier]
    if not costlier:
        print(f"\nnothing costs more than {ALLOWED} times what it did")
        return 0
    print("\nCOSTLIER:")
    print("\n".join(f"  {change}" for change in costlier))
    print(f"If a message is worth that, {RENEW} with each Python, and commit the numbers.")
    return 1


def _row(name: str, work: Work) -> list[str]:
    return [name, *(f"{work[figure]:,.2f}" for figure in FIGURES)]


def _counted(name: str) -> Work:
    """The least of its runs, each in a process that nothing ran in before."""
    runs = [_run(name) for _ in range(SHAPES[name].runs)]
    return {figure: min(run[figure] for run in runs) for figure in FIGURES}


def _run(name: str) -> Work:
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.guard", "--count", name],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        stdout=subprocess.PIPE,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    work: Work = json.loads(result.stdout)
    return work


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guard", description=__doc__)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, metavar="SHAPE")
    parser.add_argument("--renew", action="store_true", help="record what is counted now")
    parser.add_argument("--count", choices=SHAPES, metavar="SHAPE", help="only print its numbers")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
