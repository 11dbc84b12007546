"""The arguments of ``bench``: help, and each kind of mistake in one line."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import fields

from speedo_trio.cli.app import run
from speedo_trio.cli.bench.plan import Plan
from tests.cli.conftest import Start


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Any:  # Any: a function with any arguments
    """Runs ``bench`` up to where the load would begin; gives the plan."""
    plans: list[Plan] = []

    def note(plan: Plan) -> int:
        plans.append(plan)
        return 0

    def planned(*words: str) -> Plan:
        assert run(["bench", *words]) == 0
        return plans.pop()

    monkeypatch.setattr("speedo_trio.cli.bench.run.run_bench", note)
    return planned


def test_a_url_is_enough(planned: Any) -> None:
    """Everything else has a default."""
    assert planned("tcp://x:1") == Plan("tcp://x:1")


def test_every_flag(planned: Any) -> None:
    """Each reaches the plan; a text that looks like a flag or a number stays a text."""
    words = "tls://x:1 --clients 2 --window 3 --seconds 4 --requests 5 --warm-up 6 --rate 7.5"
    words += " --timeout 8 --send -9 --expect 10 --insecure --cert a --key b --histogram --json"
    plan = planned(*words.split(), "--quiet")

    assert (plan.clients, plan.window, plan.seconds, plan.requests) == (2, 3, 4, 5)
    assert (plan.warm_up, plan.rate, plan.timeout) == (6, 7.5, 8)
    assert (plan.send, plan.expect) == ("-9", "10")
    assert (str(plan.cert), str(plan.key)) == ("a", "b")
    assert plan.insecure
    assert plan.histogram
    assert plan.json
    assert plan.quiet
    assert planned("tcp://x:1", "--connect-each").connect_each
    assert planned("tcp://x:1", "--size", "99").size == 99
    assert str(planned("tls://x:1", "--ca", "c").ca) == "c"


def test_every_flag_of_mqtt(planned: Any) -> None:
    """A version is a text, whatever it looks like."""
    plan = planned("mqtt://x", *["--shape", "fanout", "--qos", "2", "--protocol-version", "3.1.1"])

    assert (plan.shape_name, plan.qos, plan.version) == ("fanout", 2, 4)
    assert planned("mqtt://x", "--protocol-version", "5").version == 5
    assert (planned("mqtt://x").shape_name, planned("mqtt://x").version) == ("pairs", 5)


def test_variables_and_files_of_servers_are_nothing_to_it(
    planned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell in which a server is configured can load it."""
    monkeypatch.setenv("TRIO_SPEEDO_BIND", "tcp://:1")
    monkeypatch.setenv("TRIO_SPEEDO_CONFIG", "no.toml")
    monkeypatch.setenv("TRIO_SPEEDO_CLIENTS", "3")

    assert planned("tcp://x:1").clients == 50


MISTAKES = {
    "": 'Command "bench" parameter --url requires an argument.',
    "localhost": "URL: 'localhost' is no server to load; allowed are tcp://host:port, tls://",
    "--url x": "--url: 'x' is no server to load; allowed are",
    "tcp://x:1 --clients 2.6": "--clients is 2.6; allowed is a whole number from 1 to 65536",
    "tcp://x:1 --clients none": "--clients is None; allowed is a whole number from 1 to 65536",
    "tcp://x:1 --warm-up -1": "--warm-up is -1; allowed is a number of seconds from 0 to 86400",
    "tcp://x:1 --cleints 3": "Unknown option: --cleints. Did you mean --clients?",
    "tcp://x:1 tcp://x:2": "unexpected argument 'tcp://x:2'; trio-speedo bench --help tells",
    "tcp://x:1 --expect x": "--expect is for --send, which is not given",
    "tls://x:1 --ca no.pem": "--ca no.pem: No such file or directory",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_in_the_arguments(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line tells the flag, what was seen and what is allowed; the status is 2."""
    status = run(["bench", *words.split()])
    out, err = capsys.readouterr()

    assert (status, out) == (2, "")
    assert err.startswith(f"trio-speedo: {MISTAKES[words]}")
    assert err.count("\n") == 1


def test_help_tells_all(capsys: pytest.CaptureFixture[str]) -> None:
    """Every flag is there, within 80 columns, and so are the exit statuses."""
    assert run(["bench", "--help"]) == 0
    out = capsys.readouterr().out

    for attribute in fields(Plan):
        assert f"--{attribute.name.replace('_', '-')} " in out
    text = " ".join(out.replace("│", " ").split())  # as if it had no lines
    assert "coordinated omission" in text
    assert "Exit status: 0 all replies or messages were right, 1 cannot" in text
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("words", [["--help"], ["bench", "--help"], ["bench", "x"]])
def test_words_load_nothing(
    start: Start, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Help and mistakes come at once: what puts the load on is not imported for them."""
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    _, _, err = start(*words).end()

    imported = {line.rpartition("|")[2].strip() for line in err.splitlines()}
    assert "speedo_trio.cli.app" in imported
    assert ("speedo_trio.cli.bench.plan" in imported) == ("bench" in words)
    assert imported & {"speedo_trio.cli.bench.load", "rich.progress", "wsproto"} == set()
