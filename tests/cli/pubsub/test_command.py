"""The arguments of ``pub`` and ``sub``: help, and each kind of mistake in one line."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import fields

from speedo_trio.cli.app import run
from speedo_trio.cli.pubsub.plan import PubPlan, SubPlan
from tests.cli.conftest import Start


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Any:  # Any: a function with any arguments
    """Runs a command up to where it would connect; gives what it was given."""
    given: list[tuple[Any, ...]] = []

    def note(*arguments: Any) -> int:
        given.append(arguments)
        return 0

    def planned(*words: str) -> tuple[Any, ...]:
        assert run(words) == 0
        return given.pop()

    monkeypatch.setattr("speedo_trio.cli.pubsub.publish.run_pub", note)
    monkeypatch.setattr("speedo_trio.cli.pubsub.subscribe.run_sub", note)
    return planned


def test_little_is_enough(planned: Any) -> None:
    """Everything else has a default."""
    assert planned("pub", "a", "b") == ("a", "b", PubPlan())
    assert planned("sub", "a", "b/#") == (("a", "b/#"), SubPlan())
    assert PubPlan().url == "simplepub://localhost:9292"


@pytest.mark.parametrize("message", ["", "-5", "--", "-x", "none", "7"])
def test_any_text_is_a_message(planned: Any, message: str) -> None:
    """Also one that is empty or looks like something else; after -- one that is a flag."""
    words = ["--", "a", message] if message == "--" else ["a", message]

    assert planned("pub", *words)[:2] == ("a", message)
    assert planned("pub", "--", "a", "--retain")[1] == "--retain"


def test_every_flag(planned: Any) -> None:
    """Each reaches the plan."""
    words = "--url simplepub+tls://x:1 --timeout 8 --cert a --key b --insecure"
    _, _, pub = planned("pub", "a", "--file", "f", "--retain", *words.split())
    _, sub = planned("sub", "a", "--count", "3", "--seconds", "0.5", "--topics", *words.split())

    for plan in (pub, sub):
        assert (plan.url, plan.timeout, plan.insecure) == ("simplepub+tls://x:1", 8, True)
        assert (str(plan.cert), str(plan.key)) == ("a", "b")
    assert (str(pub.file), pub.retain) == ("f", True)
    assert (sub.count, sub.seconds, sub.topics, sub.format) == (3, 0.5, True, "text")
    assert planned("pub", "a", "--lines")[2].lines
    assert str(planned("pub", "a", "--file", "-")[2].file) == "-"
    assert str(planned("pub", "a", "b", "--url", "simplepub+tls://x", "--ca", "c")[2].ca) == "c"
    assert planned("sub", "a", "--format", "json", "--no-retained")[1].no_retained
    assert planned("sub", "a", "--only-retained")[1].only_retained


def test_every_flag_of_mqtt(planned: Any) -> None:
    """Each reaches the plan, by the names that mosquitto's clients have for it too."""
    words = "--url mqtt://x -q 2 -V mqttv311 -i me -k 9 -u you -P secret --will-topic t"
    more = "--will-payload p --will-qos 1 --will-retain"
    pub = planned("pub", "a", "b", "-r", *words.split(), *more.split())[2]
    _, sub = planned("sub", "a", "-C", "3", "-W", "2", "-v", "-R", "-c", *words.split())

    for plan in (pub, sub):
        assert (plan.qos, plan.protocol_version, plan.id, plan.keep_alive) == (
            2,
            "mqttv311",
            "me",
            9,
        )
        assert (plan.user, plan.password, plan.will_topic) == ("you", "secret", "t")
    assert (pub.retain, pub.will_payload, pub.will_qos, pub.will_retain) == (True, "p", 1, True)
    assert (sub.count, sub.seconds, sub.topics, sub.no_retained) == (3, 2, True, True)
    assert sub.keep_session
    given = ("-D", "user-property=a=b=c", "--property", "content-type=7")
    assert planned("pub", "a", "b", "--url", "mqtt://x", *given)[2].property == given[1::2]
    more = "--url ws://x/mqtt -c -i 7 -x 60"
    assert planned("sub", "a", *more.split())[1].session_expiry == 60


def test_variables_and_files_of_servers_are_nothing_to_them(
    planned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell in which a server is configured can use it."""
    monkeypatch.setenv("TRIO_SPEEDO_BIND", "tcp://:1")
    monkeypatch.setenv("TRIO_SPEEDO_CONFIG", "no.toml")
    monkeypatch.setenv("TRIO_SPEEDO_COUNT", "3")

    assert planned("sub", "a")[1].count is None


SOURCES = "allowed is one of MESSAGE, --file and --lines"
MISTAKES = {
    "pub": 'Command "pub" parameter TOPIC requires an argument.',
    "pub a": f"there is nothing to publish; {SOURCES}",
    "pub a b --file c": f"there is MESSAGE and --file; {SOURCES}",
    "pub a b --file c --lines": f"there is MESSAGE and --file and --lines; {SOURCES}",
    "pub a b c": "unexpected argument 'c'; trio-speedo pub --help tells what is allowed",
    "pub a b --timeout 0": "--timeout is 0; allowed is a number of seconds from 0.001 to 86400",
    "pub a b --url tcp://x:1": "--url is 'tcp://x:1'; allowed are URLs of simplepub, simplepub+tls",
    "pub a b --ca c": "--ca is for simplepub+tls://, mqtts://, wss://, and the server is simplepub://localhost:9292",
    "pub a b --url simplepub://:1": "'simplepub://:1' has no host and port that can be read; allo",
    "pub a b --url simplepub+tls://x --ca no": "--ca no: No such file or directory; allowed is a f",
    "pub a --file no": "--file no: No such file or directory",
    "pub a b --retian": "Unknown option: --retian. Did you mean --retain?",
    "sub": "there is nothing to subscribe to; allowed is one FILTER or more",
    "sub a --count 0": "--count is 0; allowed is a whole number from 1 to 1000000000000",
    "sub a --count 2.6": "--count is 2.6; allowed is a whole number from 1 to 1000000000000",
    "sub a --seconds x": "--seconds is 'x'; allowed is a number of seconds from 0.001 to 86400",
    "sub a --format xml": "--format is 'xml'; allowed is text or json or raw",
    "sub a --no-retained --only-retained": "--no-retained and --only-retained leave nothing; allow",
    "sub a --topics --format raw": "--topics is for --format text, and it is raw",
    "sub a --url simplepub+tls://x --cert no": "--cert no: No such file or directory; allowed is a",
    "sub a --url simplepub://x:99999": "'simplepub://x:99999' has port 99999; allowed is 1 to 655",
}

_MQTT = "--url mqtt://x"
MISTAKES |= {
    "pub a b --qos 1": "--qos is for servers of MQTT, and the server is simplepub://localhost:9292",
    "sub a -c -i x": "--id is for servers of MQTT, and the server is simplepub://localhost:9292",
    f"pub a b --qos 3 {_MQTT}": "--qos is 3; allowed is a whole number from 0 to 2",
    f"pub a b -q one {_MQTT}": "-q is 'one'; allowed is a whole number from 0 to 2",
    f"pub a b -V 4 {_MQTT}": "-V is '4'; allowed is 5, 3.1.1 or 3.1",
    f"pub a b -D x {_MQTT}": "-D is 'x'; allowed is NAME=VALUE with NAME one of content-type, corr",
    f"pub a b -D user-property=x {_MQTT}": "-D is 'user-property=x'; allowed is NAME=VALUE with",
    f"pub a b -D message-expiry-interval=x {_MQTT}": "-D is 'message-expiry-interval=x'; allowed i",
    f"pub a b -D content-type=x -V 311 {_MQTT}": "--property is for MQTT 5, and --protocol-version",
    f"pub a b --will-qos 1 {_MQTT}": "--will-qos is for --will-topic, which is not given",
    f"pub a b -P x --password-file y {_MQTT}": "--password and --password-file are given; allowed",
    f"pub a b -P x -V 3.1.1 {_MQTT}": "a password without --user is for MQTT 5; allowed is both",
    f"pub a b --password-file no {_MQTT}": "--password-file no: No such file or directory",
    f"pub a b --password-file /dev/null {_MQTT}": "--password-file /dev/null: allowed is one line",
    f"sub a -c {_MQTT}": "--keep-session is for --id, which is not given",
    f"sub a -x 5 {_MQTT}": "--session-expiry is for --keep-session, which is not given",
    "pub a b --url mqtt://x/y": "'mqtt://x/y' has no host and port that can be read; allowed are m",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_in_the_arguments(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line tells the flag, what was seen and what is allowed; the status is 2."""
    status = run(words.split())
    out, err = capsys.readouterr()

    assert (status, out) == (2, "")
    assert err.startswith(f"trio-speedo: {MISTAKES[words]}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(("command", "plan"), [("pub", PubPlan), ("sub", SubPlan)])
def test_help_tells_all(command: str, plan: type, capsys: pytest.CaptureFixture[str]) -> None:
    """Every flag is there, within 80 columns, and so are the exit statuses."""
    assert run([command, "--help"]) == 0
    out = capsys.readouterr().out

    for attribute in fields(plan):
        assert f"--{attribute.name.replace('_', '-')} " in out
    assert "Exit status: 0" in " ".join(out.split()) or "Exit status: 0" in out.replace("\n", " ")
    assert max(len(line.rstrip()) for line in out.splitlines()) <= 80


@pytest.mark.parametrize("words", [["--help"], ["pub", "--help"], ["sub"], ["serve", "--help"]])
def test_words_connect_to_nothing(
    start: Start, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Help and mistakes come at once: what does the work is not imported for them."""
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    _, _, err = start(*words).end()

    imported = {line.rpartition("|")[2].strip() for line in err.splitlines()}
    assert "speedo_trio.cli.app" in imported
    assert ("speedo_trio.cli.pubsub.plan" in imported) == (words[0] in {"pub", "sub"})
    assert imported & {"speedo_trio.cli.pubsub.run"} == set()
