"""A mosquitto.conf becomes a file for --config; what has no counterpart is named with its line."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from speedo_trio.cli.app import run

Import = Any  # a function of a text that gives the table and the notes


@pytest.fixture
def translated(capsys: pytest.CaptureFixture[str]) -> Import:
    """Translates a text; gives the settings and the comments."""

    def translated(text: str) -> tuple[dict[str, Any], list[str]]:
        Path("mosquitto.conf").write_text(text)
        assert run(["mqtt", "import-mosquitto", "mosquitto.conf"]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        notes = [line.removeprefix("# ") for line in out.splitlines() if line.startswith("#")]
        return tomllib.loads(out), notes

    return translated


@pytest.mark.parametrize(
    ("text", "binds", "anonymous"),
    [
        ("", ["tcp://localhost:1883"], "local"),
        ("port 1884", ["tcp://:1884"], "never"),
        ("port 1884\nbind_address 127.0.0.1", ["tcp://127.0.0.1:1884"], "never"),
        ("listener 1884 ::1\nallow_anonymous true", ["tcp://[::1]:1884"], "always"),
        ("port 1\nlistener 2", ["tcp://:1", "tcp://:2"], "never"),
        ("listener 9001\nprotocol websockets", ["ws://:9001"], "never"),
        ("listener 0 /run/m.sock", ["unix:/run/m.sock?mode=666"], "never"),
        ("listener 1\ncertfile c\nkeyfile k", ["tls://:1?cert=c&key=k"], "never"),
        (
            "listener 1\ncertfile c\ncafile a\nrequire_certificate true\nprotocol websockets",
            ["wss://:1?cert=c&ca=a"],
            "never",
        ),
    ],
)
def test_listeners(translated: Import, text: str, binds: list[str], anonymous: str) -> None:
    """Each is a bind. Without any mosquitto serves its own machine, and lets all of it in."""
    table, notes = translated(text)

    assert table["bind"] == binds
    assert table["mqtt"]["security"]["allow_anonymous"] == anonymous
    assert notes == []


def test_limits(translated: Import) -> None:
    """Numbers, with 0 for as much as there may be; periods; flags."""
    table, notes = translated(
        "max_inflight_messages 0\nmax_queued_messages 7\nmax_packet_size 1000\nretain_available "
        "false\npersistent_client_expiration 2w\nmax_qos 1\nmax_connections 9\nlog_type all\n"
        "message_size_limit 100000\nsys_interval 60\n"
    )

    assert table["mqtt"] == {
        "maximum_inflight": 65_535,
        "queue_messages": 7,
        "maximum_packet_size": 165_536,
        "retain_available": False,
        "maximum_session_expiry": 1_209_600,
        "sys_interval": 60,
        "maximum_qos": 1,
        "security": {"allow_anonymous": "local"},
    }
    assert (table["limits"], table["log_level"]) == ({"connections": 9}, "debug")
    assert [note.partition(" ")[0] for note in notes] == ["mosquitto.conf:9:"]


def test_listeners_that_differ(translated: Import) -> None:
    """What is a listener's there and the server's here is told of, and the stricter one counts."""
    table, notes = translated(
        "per_listener_settings true\nlistener 1\nallow_anonymous true\npassword_file a\n"
        "max_connections 5\nlistener 2\nallow_anonymous false\npassword_file b\nmount_point x/\n"
        "use_subject_as_username true\n"
    )

    assert table["mqtt"]["security"] == {
        "password_file": "a",
        "allow_anonymous": "never",
        "certificate_user": "subject",
    }
    assert [note.split()[1] for note in notes] == [
        *("mount_point", "max_connections", "password_file"),
        *("allow_anonymous", "allow_anonymous"),
    ]


def test_a_bridge_and_a_store(translated: Import) -> None:
    """They have sections of their own."""
    table, notes = translated(
        "persistence true\npersistence_location /var/lib/m/\nconnection cloud\n"
        "address example.org\n"
        'bridge_cafile ca.pem\ntopic # both 1 local/ remote/\ntopic a/+\ntopic b in 2 "" up/\n'
        "remote_username me\nremote_password secret\nremote_clientid id\ncleansession true\n"
        "keepalive_interval 30\nbridge_protocol_version mqttv50\nbridge_insecure false\n"
        "notifications false\n"
    )
    topics = table["mqtt"]["bridges"]["cloud"].pop("topics")

    assert table["mqtt"]["store"] == {"path": "/var/lib/m/speedo_trio.db"}
    assert table["mqtt"]["bridges"]["cloud"] == {
        "url": "mqtts://example.org:8883",
        "version": "5.0",
        "ca": "ca.pem",
        "user_name": "me",
        "password": "secret",
        "client_id": "id",
        "clean_start": True,
        "keep_alive": 30,
        "insecure": False,
    }
    assert [tuple(each.values()) for each in topics] == [
        *(("#", "both", 1, "local/", "remote/"), ("a/+", "out", 0, "", "")),
        ("b", "in", 2, "", "up/"),
    ]
    assert [note.split()[1] for note in notes] == ["persistence", "notifications"]


def test_files_that_are_included(translated: Import) -> None:
    """All of a folder, by name; a note tells which of them it is about."""
    Path("conf.d").mkdir()
    Path("conf.d/b.conf").write_text("\nplugin x.so\n")
    Path("conf.d/a.conf").write_text("listener 1884")
    Path("conf.d/README").write_text("nonsense")
    table, notes = translated("include_dir conf.d\n")

    assert table["bind"] == ["tcp://:1884"]
    assert notes == ["conf.d/b.conf:2: plugin has no counterpart here"]


def test_what_is_written_passes_the_check(capsys: pytest.CaptureFixture[str]) -> None:
    """As far as it needs no certificates, which the check would look for."""
    Path("passwords").write_text("alice:$6$c2FsdA==$aGFzaA==\n")
    Path("acl").write_text("topic read #\n")
    Path("mosquitto.conf").write_text(
        "listener 1883\npassword_file passwords\nacl_file acl\nmax_queued_messages 5\n"
        "max_topic_alias 3\nallow_zero_length_clientid false\nmax_keepalive 5\n"
    )
    assert run(["mqtt", "import-mosquitto", "mosquitto.conf", "-o", "server.toml"]) == 0
    assert run(["check", "--config", "server.toml"]) == 0
    assert capsys.readouterr().err == ""
    assert Path("server.toml").read_text().startswith("# mosquitto.conf:7: max_keepalive")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("max_inflight_messages many", "mosquitto.conf:1: max_inflight_messages is 'many'"),
        ("\npersistent_client_expiration 2", "mosquitto.conf:2: persistent_client_expiration"),
        ("connection x", "mosquitto.conf:1: connection x has no address"),
        ("connection x\naddress y\ntopic # up", "mosquitto.conf:3: topic '# up'; allowed is"),
        ("include_dir none/such", "'none/such' is no folder"),
    ],
)
def test_mistakes(text: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """They are told with file and line."""
    Path("mosquitto.conf").write_text(text)

    assert run(["mqtt", "import-mosquitto", "mosquitto.conf"]) == 2
    assert told in capsys.readouterr().err


def test_files_that_are_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """One to read, and one to write."""
    assert run(["mqtt", "import-mosquitto", "nothing"]) == 2
    assert "cannot read nothing: No such file" in capsys.readouterr().err
    Path("m").write_text("")
    assert run(["mqtt", "import-mosquitto", "m", "-o", "no/where"]) == 2
    assert "cannot write no/where" in capsys.readouterr().err
