"""MQTT's requirements: each is cited where it is enforced, and by a test that breaks without."""

from __future__ import annotations

from collections import defaultdict

from tests.mqtt.clauses import CODE, TESTS, citations, clauses

CLAUSES = clauses()
ASKED = {clause.id for clause in CLAUSES.values() if clause.asks}
IN_CODE = citations(CODE)
IN_TESTS = citations(TESTS)


def test_all_clauses_are_there() -> None:
    """252 of MQTT 5.0, 141 of 3.1.1; in each section their numbers have no gap."""
    numbers = defaultdict(list)
    for name in CLAUSES:
        section, _, number = name.rpartition("-")
        numbers[section].append(int(number))
    numbers["MQTT-2.2.1"].insert(0, 1)  # a number that the standard left out

    assert {section: [*range(1, len(of) + 1)] for section, of in numbers.items()} == numbers
    assert (252, 141) == (
        sum(name.startswith("MQTT-") for name in CLAUSES),
        sum(name.startswith("MQTT3-") for name in CLAUSES),
    )


def test_a_clause_asks_or_is_the_same_or_says_why_not() -> None:
    """One of the three; and what is the same as others leads to some that ask."""
    wrong = [
        clause.id
        for clause in CLAUSES.values()
        if clause.binds not in {"server", "client", "both"}
        or sum(map(bool, (clause.asks, clause.same, clause.why_not))) != 1
        or not ASKED.issuperset(clause.same)
    ]

    assert [] == wrong


def test_what_is_cited_applies() -> None:
    """No id is misspelt, and none is cited of which the table says that it doesn't apply."""
    applying = {clause.id for clause in CLAUSES.values() if clause.applies}

    assert {} == {name: at for name, at in IN_CODE.items() if name not in applying}
    assert {} == {name: at for name, at in IN_TESTS.items() if name not in applying}


def test_every_clause_is_enforced_and_tested() -> None:
    """Each has a line of code that cites it and a test that does."""
    assert [] == sorted(ASKED - IN_CODE.keys()), "no code cites these"
    assert [] == sorted(ASKED - IN_TESTS.keys()), "no test cites these"
