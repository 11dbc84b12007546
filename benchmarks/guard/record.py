"""The record: what a message cost when the numbers were last renewed, by Python."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

Work: TypeAlias = "dict[str, float]"
"""What a message costs, by figure."""

PATH = Path(__file__).with_name("record.json")
TRIO = "trio"  # whose release the numbers belong to
ALLOWED = 1.1
"""A shape may cost so many times what it did."""


def this_python() -> str:
    """The Python whose numbers these are."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


@frozen
class Change:
    """A figure of a shape, as it was and as it is."""

    shape: str
    figure: str
    before: float
    now: float
    slack: float = 0.0

    @property
    def costlier(self) -> bool:
        """By more than is allowed."""
        return self.now > self.before * ALLOWED + self.slack

    @property
    def cheaper(self) -> bool:
        """By as much."""
        return self.now < self.before / ALLOWED - self.slack

    def __str__(self) -> str:
        ratio = f"{self.now / self.before:.2f} times" if self.before else "from nothing to"
        return (
            f"{self.shape}: {ratio} the {self.figure} a message, {self.now:.2f} where there were "
            f"{self.before:.2f}"
        )


def read_record() -> dict[str, Work] | None:
    """The numbers of this Python, by shape; None when it has none for this release of Trio."""
    record = json.loads(PATH.read_text())
    if record[TRIO] != version(TRIO):
        return None
    works: dict[str, Work] | None = record["pythons"].get(this_python())
    return works


def renew_record(works: dict[str, Work]) -> None:
    """Have these as the numbers of this Python; with another Trio all others are gone."""
    try:
        record = json.loads(PATH.read_text())
    except FileNotFoundError:
        record = {}
    if record.get(TRIO) != version(TRIO):
        record = {TRIO: version(TRIO), "pythons": {}}
    rounded = {
        shape: {figure: round(number, 3) for figure, number in work.items()}
        for shape, work in works.items()
    }
    record["pythons"][this_python()] = {**record["pythons"].get(this_python(), {}), **rounded}
    PATH.write_text(json.dumps(record, indent=2, ensure_ascii=False, sort_keys=True) + "\n")


def changes(
    before: dict[str, Work], now: dict[str, Work], slack: dict[str, float]
) -> Iterator[Change]:
    """Every figure of the shapes that both have; `slack` is by shape."""
    for shape, work in now.items():
        for figure, number in work.items():
            if figure in before.get(shape, {}):
                yield Change(shape, figure, before[shape][figure], number, slack.get(shape, 0))
