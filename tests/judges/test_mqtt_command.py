"""``trio-speedo pub`` and ``sub`` judged by mosquitto: as the server, and as the other side."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.judges.authority import Authority
from tests.judges.conftest import Ends
from tests.judges.mosquitto import Mosquitto, MosquittoBroker, publish
from tests.judges.program import Program
from tests.outside import need

need("mosquitto", "mosquitto_sub", "mosquitto_pub", modules=("trustme",))

every_version = pytest.mark.parametrize("version", ["mqttv31", "mqttv311", "mqttv5"])


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MosquittoBroker]:
    """mosquitto as the broker."""
    with MosquittoBroker(tmp_path_factory.mktemp("mosquitto")) as broker:
        yield broker


def speedo(*words: str) -> Program:
    """Our command."""
    return Program(sys.executable, "-m", "speedo_trio", *words)


@every_version
@pytest.mark.parametrize("qos", ["0", "1", "2"])
def test_pub(theirs: MosquittoBroker, ends: Ends, topic: str, version: str, qos: str) -> None:
    """What it publishes reaches mosquitto_sub."""
    how = ("-t", topic, "-q", "2", "-C", "1", "-F", "%q %r %p", "-d")
    subscriber = ends(Mosquitto(theirs, "sub", *how))
    subscriber.wait_for("Subscribed")
    pub = ends(speedo("pub", topic, "hello", "-q", qos, "-V", version, "--url", theirs.url))

    assert (pub.end(), pub.text) == (0, "")
    subscriber.wait_for(f"{qos} 0 hello")


@every_version
def test_sub(theirs: MosquittoBroker, ends: Ends, topic: str, version: str) -> None:
    """It writes what mosquitto_pub publishes, what is retained first."""
    publish(theirs, "-t", f"{topic}/kept", "-r", "-q", "1", "-m", "before")
    words = ("-V", version, "-q", "2", "-C", "2", "-v", "--url", theirs.url)
    sub = ends(speedo("sub", f"{topic}/#", *words))
    sub.wait_for("before")
    publish(theirs, "-t", f"{topic}/new", "-q", "2", "-m", "after")

    assert (sub.end(), sub.text) == (0, f"{topic}/kept before\n{topic}/new after\n")


def test_properties(theirs: MosquittoBroker, ends: Ends, topic: str) -> None:
    """They go to mosquitto_sub, and come from mosquitto_pub."""
    publish(theirs, "-t", topic, "-r", "-V", "5", "-m", "kept")
    subscriber = ends(Mosquitto(theirs, "sub", "-t", topic, "-V", "5", "-C", "2", "-F", "%P", "-d"))
    subscriber.wait_for("Subscribed")
    sub = ends(speedo("sub", topic, "--format", "json", "-C", "3", "--url", theirs.url))
    sub.wait_for("kept")
    pub = ends(speedo("pub", topic, "x", "-D", "user-property=a=1", "--url", theirs.url))
    assert pub.end() == 0
    subscriber.wait_for("a:1")
    publish(theirs, "-t", topic, "-m", "y", "-V", "5", "-D", "publish", "user-property", "b", "2")

    assert sub.end() == 0
    lines = [json.loads(line)["properties"]["user"] for line in sub.text.splitlines()[1:]]
    assert lines == [[["a", "1"]], [["b", "2"]]]


def test_a_password(tmp_path: Path, ends: Ends) -> None:
    """mosquitto takes the right one, and refuses another."""
    passwords = tmp_path / "passwords"
    ends(Program("mosquitto_passwd", "-b", "-c", str(passwords), "me", "secret")).end()
    own = tmp_path / "own"
    own.write_text("secret\n")
    wrong = tmp_path / "wrong"
    wrong.write_text("other\n")
    with MosquittoBroker(tmp_path, f"password_file {passwords}", anonymous=False) as broker:
        words = ("pub", "a", "x", "-u", "me", "--url", broker.url, "--password-file")
        assert ends(speedo(*words, str(own))).end() == 0
        refused = ends(speedo(*words, str(wrong)))
        assert refused.end() == 1

    assert "the server refused: not authorized" in refused.text


def test_tls(tmp_path: Path, ends: Ends, authority: Authority) -> None:
    """With a certificate that is trusted, and not with another."""
    certificate = authority.server()
    settings = (f"certfile {certificate}", f"keyfile {certificate}")
    with MosquittoBroker(tmp_path, *settings) as broker:
        url = f"mqtts://localhost:{broker.port()}"
        words = ("pub", "a", "x", "-q", "1", "--url", url)
        assert ends(speedo(*words, "--ca", str(authority.file))).end() == 0
        refused = ends(speedo(*words))
        assert refused.end() == 1

    assert "certificate verify failed" in refused.text
