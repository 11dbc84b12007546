"""Lines of a mosquitto.conf, with those of the files that it includes, in their order.

Next: `speedo_trio.cli.mosquitto.scopes`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from speedo_trio.cli.mistakes import Mistake

if TYPE_CHECKING:
    from collections.abc import Iterator


@frozen
class Option:
    """A line that says something."""

    file: Path
    line: int
    name: str
    value: str
    """The rest of the line; empty if there is none."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.name}"


def read_options(file: Path, *, included: bool = False) -> Iterator[Option]:
    """Read a file. Only the main one may include others: all ``*.conf`` of a folder, by name.

    Raises:
        Mistake: a file can't be read.
    """
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Mistake(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from error
    for number, line in enumerate(lines, 1):
        name, _, value = line.strip().partition(" ")
        if not name or name.startswith("#"):
            continue
        option = Option(file, number, name, value.strip())
        if name == "include_dir" and not included:
            for each in _included(option):
                yield from read_options(each, included=True)
        else:
            yield option


def _included(option: Option) -> list[Path]:
    folder = Path(option.value)
    if not folder.is_dir():
        raise Mistake(f"{option} {option.value!r} is no folder")
    return sorted(each for each in folder.iterdir() if each.suffix == ".conf")
