"""The table of MQTT's numbered requirements, and where the tree cites them.

The docs show both, so this imports nothing that only tests need.
"""

from __future__ import annotations

import ast
import re
import tomllib
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

from attrs import frozen

import speedo_trio

TREE = Path(__file__).parents[2]
TABLE = TREE / "docs" / "mqtt-clauses.toml"
CODE = Path(speedo_trio.__file__).parent
"""What is imported, which may be installed and not the tree."""
TESTS = TREE / "tests"

Citations: TypeAlias = dict[str, list[str]]
"""A clause's id, and the places that cite it: "file:line", or "file::test" inside a test."""

_CITATION = re.compile(r"\[(MQTT3?-[^\]\s]*)\]")


@frozen(kw_only=True)
class Clause:
    """A numbered requirement. docs/mqtt-clauses.toml says what the fields mean."""

    id: str
    binds: Literal["server", "client", "both"]
    asks: str = ""
    same: tuple[str, ...] = ()
    why_not: str = ""

    @property
    def applies(self) -> bool:
        """Whether the broker has something to do, by this clause or by those that say the same."""
        return not self.why_not


def clauses() -> dict[str, Clause]:
    """The table, in the order of the standards.

    Raises:
        TypeError: an entry has a field that no clause has.
    """
    table = tomllib.loads(TABLE.read_text("utf-8"))
    return {
        name: Clause(id=name, **{**entry, "same": tuple(entry.get("same", ()))})
        for name, entry in table.items()
    }


def citations(folder: Path) -> Citations:
    """All that the Python files in a folder cite in brackets, each place once, in order."""
    found: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for file in sorted(folder.rglob("*.py")):
        for clause, place in _cited_in(file, str(file.relative_to(folder.parent))):
            found[clause][place] = None
    return {clause: [*places] for clause, places in found.items()}


def _cited_in(file: Path, name: str) -> Iterator[tuple[str, str]]:
    text = file.read_text("utf-8")
    cited = [
        (match[1], text.count("\n", 0, match.start()) + 1) for match in _CITATION.finditer(text)
    ]
    tests = _tests_in(text) if cited else []
    for clause, line in cited:
        at = bisect_right(tests, line, key=lambda test: test[0]) - 1
        inside = at >= 0 and line <= tests[at][1]
        yield clause, f"{name}::{tests[at][2]}" if inside else f"{name}:{line}"


def _tests_in(text: str) -> list[tuple[int, int, str]]:
    """First line, last line and name of each test, in order."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return sorted(
        (node.lineno, node.end_lineno or node.lineno, node.name)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, functions) and node.name.startswith("test_")
    )
