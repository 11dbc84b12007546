"""Shows MQTT's requirements, and where the tree keeps them, on the page mqtt-clauses.

An extension of Sphinx. It makes the tables while the page is read, out of docs/mqtt-clauses.toml
and what the tree cites, so that they are never stale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.mqtt.clauses import CODE, TESTS, Clause, citations, clauses

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sphinx.application import Sphinx

PAGE = "mqtt-clauses"
MARKS = {
    "% The table of 5.0 stands here.": "MQTT-",
    "% The table of 3.1.1 stands here.": "MQTT3-",
}
"""Lines of the page, and how the ids of the table begin that takes their place."""


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("env-get-outdated", lambda *_: [PAGE])  # any file of the tree may have changed
    app.connect("source-read", fill_in)
    return {"parallel_read_safe": True}


def fill_in(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the tables into the page."""
    if page == PAGE:
        for mark, beginning in MARKS.items():
            source[0] = source[0].replace(mark, "\n".join(table(beginning)))


def table(beginning: str) -> Iterator[str]:
    """The lines of a table, in Markdown."""
    in_code, in_tests = citations(CODE), citations(TESTS)
    yield "| clause | binds | what the broker does | enforced by | tested by |"
    yield "|---|---|---|---|---|"
    for clause in clauses().values():
        if clause.id.startswith(beginning):
            enforced = places(in_code, clause)
            tested = places(in_tests, clause)
            yield f"| {clause.id} | {clause.binds} | {words(clause)} | {enforced} | {tested} |"


def words(clause: Clause) -> str:
    """What it asks, with which it is the same, or why it doesn't apply."""
    if clause.same:
        return f"as {', '.join(clause.same)}"
    return escaped(clause.asks or f"Nothing. {clause.why_not}")


def places(cited: dict[str, list[str]], clause: Clause) -> str:
    """Files with line or test, those of the clauses that say the same included."""
    found = dict.fromkeys(
        place for name in (clause.id, *clause.same) for place in cited.get(name, ())
    )
    return " ".join(f"`{place}`" for place in short(found))


def short(found: Iterable[str], most: int = 3) -> list[str]:
    """The first few places, and how many more there are."""
    every = [*found]
    return every if len(every) <= most else [*every[:most], f"+{len(every) - most}"]


def escaped(text: str) -> str:
    """Text in which nothing is a sign of Markdown."""
    return "".join(f"\\{sign}" if sign in "\\`*_#[]<>|$" else sign for sign in text)
