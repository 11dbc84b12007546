"""Bridges in the configuration file: what is read, what is a mistake, and reloads."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from speedo_trio.cli.app import run
from speedo_trio.cli.bridges import bridges_toml, read_bridges
from speedo_trio.mqtt import BridgeSettings, BridgeTopic
from speedo_trio.testing import MQTTTestBroker
from tests.cli.conftest import Start
from tests.cli.test_reload import logged, reload
from tests.mqtt.peers import blocking
from tests.mqtt.wired import publish

FILE = """
protocol = "mqtt"
bind = ["tcp://127.0.0.1:0"]
[mqtt]
maximum_qos = 1
[mqtt.bridges.cloud]
url = "{url}"
topics = [{{filter = "a/#", direction = "both", qos = 2, remote_prefix = "there/"}}]
keep_alive = {keep_alive}
"""


@pytest.fixture
def file() -> Path:
    """The file of --config, in the test's directory."""
    return Path("server.toml")


def test_it_is_served(start: Start, file: Path) -> None:
    """Messages go over; the bridge is told of, and other settings of it need a restart."""
    with MQTTTestBroker() as other:
        file.write_text(FILE.format(url=other.url, keep_alive=60))
        process = start("serve", "--config", "server.toml")
        port = process.port()
        assert logged(process) == (f"INFO speedo_trio.mqtt: bridge cloud: connected to {other.url}")
        with blocking(port) as client:
            client.send(publish("a/b", b"x"))
            assert other.wait_for_message("there/a/b").payload == b"x"
        file.write_text(FILE.format(url=other.url, keep_alive=9))
        assert reload(process) == "INFO speedo_trio: reconfigured: nothing changed"
        assert logged(process) == "WARNING speedo_trio: mqtt.bridges changed: needs a restart"


def test_what_is_printed_is_read_back(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """But for a password, which is not shown."""
    text = FILE.format(url="mqtts://x", keep_alive=9) + 'password = "secret"\n'
    file.write_text(text + 'insecure = true\n[mqtt.bridges."a b"]\nurl = "mqtt://y"\ntopics = []\n')
    assert run(["check", "--config", "server.toml"]) == 2
    capsys.readouterr()
    file.write_text(text + "insecure = true\n")
    assert run(["check", "--config", "server.toml"]) == 0
    out = capsys.readouterr().out
    assert "secret" not in out
    again = tomllib.loads(out)["mqtt"]["bridges"]

    assert again == {
        "cloud": {
            "url": "mqtts://x",
            "keep_alive": 9,
            "insecure": True,
            "topics": [{"filter": "a/#", "direction": "both", "qos": 2, "remote_prefix": "there/"}],
        }
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[mqtt]\nbridges = 5\n", "mqtt.bridges is 5; allowed are tables: [mqtt.bridges.NAME]"),
        ("[mqtt.bridges]\na = 5\n", "mqtt.bridges is {'a': 5}; allowed are tables"),
        (
            '[mqtt.bridges.a]\nurl = "mqtt://x"\n',
            "mqtt.bridges.a: topics is None; allowed is a",
        ),
        ("[mqtt.bridges.a]\ntopics = [5]\n", "mqtt.bridges.a: topics is [5]; allowed is a list"),
        ('[mqtt.bridges.a]\ntopics = [{filter = "a"}]\n', "mqtt.bridges.a: url is missing"),
        ("[mqtt.bridges.a]\ntopics = [{}]\n", "mqtt.bridges.a: topics[0]: filter is missing"),
        (
            '[mqtt.bridges.a]\ntopics = [{fliter = "a"}]\n',
            "mqtt.bridges.a: topics[0]: fliter is no setting; did you mean filter?",
        ),
        (
            '[mqtt.bridges.a]\nurl = "mqtt://x"\nkeepalive = 1\ntopics = [{filter = "a"}]\n',
            "mqtt.bridges.a: keepalive is no setting; did you mean keep_alive?",
        ),
        (
            '[mqtt.bridges.a]\nurl = "tcp://x"\ntopics = [{filter = "a"}]\n',
            "mqtt.bridges.a: 'tcp://x' is no MQTT server",
        ),
        ('[mqtt.bridges.a]\nname = "b"\n', "mqtt.bridges.a: name is no setting; the name is a"),
    ],
)
def test_mistakes(text: str, why: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line tells the file, the key, what was seen and what is allowed."""
    file.write_text(text)
    assert run(["check", "mqtt", "--config", "server.toml"]) == 2
    assert f"server.toml: {why}" in capsys.readouterr().err


def test_two_with_one_session() -> None:
    """They would take it from one another."""
    topics = [{"filter": "a"}]
    tables = {
        name: {"url": "mqtt://x", "topics": topics, "local_client_id": "same"} for name in "ab"
    }
    with pytest.raises(Exception, match=r"f: mqtt.bridges: two bridges have the local_id 'same'"):
        read_bridges("f", tables)


def test_names_that_need_quotes() -> None:
    """They get them."""
    topics = (BridgeTopic(filter="a"),)
    lines = bridges_toml([BridgeSettings(name='a "b"', url="mqtt://x", topics=topics)])
    text = "\n".join(lines)

    assert list(tomllib.loads(text)["mqtt"]["bridges"]) == ['a "b"']
