"""Our own bridges, judged by mosquitto as the other broker, and by another broker of ours."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from speedo_trio.mqtt import BridgeSettings, BridgeTopic
from speedo_trio.testing import MQTTTestBroker
from tests.judges.authority import Authority
from tests.judges.command import Command
from tests.judges.conftest import Ends
from tests.judges.mosquitto import Mosquitto, MosquittoBroker, publish
from tests.judges.program import PATIENCE, Program
from tests.outside import need

need("mosquitto", "mosquitto_sub", "mosquitto_pub", modules=("trustme",))

each_version = pytest.mark.parametrize("version", ["3.1", "3.1.1", "5.0"])
BOTH = BridgeTopic(
    filter="#", direction="both", qos=2, local_prefix="here/", remote_prefix="there/"
)
COUNT = 300


class Reached:
    """A broker of ours, for mosquitto's clients."""

    def __init__(self, port: int) -> None:
        self._port = port

    def port(self, bind: str = "tcp") -> int:
        return self._port

    def path(self, bind: str) -> str | None:
        return None


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MosquittoBroker]:
    """mosquitto as the other broker."""
    with MosquittoBroker(tmp_path_factory.mktemp("mosquitto")) as broker:
        yield broker


@contextmanager
def bridged(
    url: str, client_id: str, *topics: BridgeTopic, **given: Any
) -> Iterator[MQTTTestBroker]:
    """A broker of ours that is connected to that one."""
    settings = BridgeSettings(
        name="judged",
        url=url,
        topics=topics or (BOTH,),
        client_id=client_id,
        reconnect_min=0.05,
        reconnect_max=0.5,
        **given,
    )
    with MQTTTestBroker(bridges=[settings]) as broker:
        wait_until_up(broker)
        yield broker


def wait_until_up(broker: MQTTTestBroker) -> None:
    """Wait for the bridge."""
    over = time.monotonic() + PATIENCE
    while state(broker) != [b"1"]:
        assert time.monotonic() < over, state(broker)
        time.sleep(0.01)


def state(broker: MQTTTestBroker) -> list[bytes]:
    """What is told of the bridge."""
    return [each.payload for each in broker.retained("$SYS/broker/connection/judged/state")]


def listening(ends: Ends, broker: MosquittoBroker, *how: str) -> Mosquitto:
    """A subscriber at mosquitto that is there."""
    subscriber = ends(Mosquitto(broker, "sub", *how, "-d"))
    subscriber.wait_for("Subscribed")
    return subscriber


def messages(subscriber: Mosquitto) -> list[str]:
    """What has come to it, without what it tells of packets."""
    return [line for line in subscriber.lines if line.startswith(("> ", "here/", "there/"))]


@each_version
def test_both_ways(theirs: MosquittoBroker, ends: Ends, topic: str, version: str) -> None:
    """Each QoS; what goes both ways comes once."""
    how = ("-t", f"there/{topic}/#", "-q", "2", "-F", "%t %q %p", "-C", "7")
    subscriber = listening(ends, theirs, *how)
    with bridged(theirs.url, topic, version=version) as broker:
        for qos in (0, 1, 2):
            broker.publish(f"here/{topic}/ours", b"%d" % qos, qos=qos)
            publish(theirs, "-t", f"there/{topic}/theirs", "-q", str(qos), "-m", str(qos))
        publish(theirs, "-t", f"there/{topic}/last", "-q", "2", "-m", "2")
        broker.wait_for_message(f"here/{topic}/last")
        came = messages(subscriber)
        found = [
            (each.topic, each.qos, each.payload) for each in broker.messages(f"here/{topic}/#")
        ]

    assert sorted(came) == sorted(
        [f"there/{topic}/{side} {qos} {qos}" for side in ("ours", "theirs") for qos in (0, 1, 2)]
        + [f"there/{topic}/last 2 2"]
    )
    assert sorted(found) == sorted(
        [(f"here/{topic}/{side}", q, b"%d" % q) for side in ("ours", "theirs") for q in (0, 1, 2)]
        + [(f"here/{topic}/last", 2, b"2")]
    )


@each_version
def test_retained(theirs: MosquittoBroker, topic: str, version: str, ends: Ends) -> None:
    """What is retained on one side is on the other."""
    publish(theirs, "-t", f"there/{topic}/before", "-q", "1", "-r", "-m", "before")
    with bridged(theirs.url, topic, version=version) as broker:
        publish(theirs, "-t", f"there/{topic}/while", "-q", "1", "-r", "-m", "while")
        broker.publish(f"here/{topic}/ours", b"ours", qos=1, retain=True)
        broker.wait_for_message(f"here/{topic}/before")
        broker.wait_for_message(f"here/{topic}/while")
        how = ("-t", f"there/{topic}/ours", "-C", "1", "-F", "%r %p")
        kept = {each.topic: each.payload for each in broker.retained(f"here/{topic}/#")}
        assert ends(Mosquitto(theirs, "sub", *how)).lines[0].endswith(" ours")
    assert kept == {f"here/{topic}/{name}": name.encode() for name in ("before", "while", "ours")}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("version", ["3.1.1", "5.0"])
def test_the_other_is_away_for_a_while(
    tmp_path: Path, ends: Ends, topic: str, number: signal.Signals, qos: int, version: str
) -> None:
    """Nothing is lost that it has not acknowledged; QoS 2 comes once, as far as it remembers.

    A mosquitto that is killed forgets what it has acknowledged, so nothing is on its way then.
    """
    settings = ("persistence true", f"persistence_location {tmp_path}/", "max_queued_messages 0")
    with MosquittoBroker(tmp_path, *settings) as theirs:
        session = ("-i", "judge", "-c", "-q", "2", "-t", "there/out/#")
        ends(Mosquitto(theirs, "sub", *session, "-E")).end()
        with bridged(theirs.url, topic, version=version) as broker:
            if number == signal.SIGKILL:  # a moment at which all that it knows is on the disk
                theirs.stop(signal.SIGTERM)
                theirs.again()
                wait_until_up(broker)
                theirs.stop(number)
            for count in range(COUNT):
                broker.publish("here/out/a", b"%d" % count, qos=qos)
                if count == COUNT // 2 and number == signal.SIGTERM:
                    theirs.stop(number)
            theirs.again()
            wait_until_up(broker)
            how = (*session, "-F", "> %p", *(("-C", str(COUNT)) if qos == 2 else ()))
            subscriber = ends(Mosquitto(theirs, "sub", *how))
            subscriber.wait_for(f"> {COUNT - 1}\n")
            if qos == 2:  # else nobody knows how many come
                subscriber.end()
            lines = subscriber.text.splitlines()
    came = [line for line in lines if line.startswith("> ")]

    assert list(dict.fromkeys(came)) == [f"> {count}" for count in range(COUNT)]
    if qos == 2:
        assert len(came) == COUNT


@pytest.mark.parametrize("version", ["3.1.1", "5.0"])
def test_we_are_away_for_a_while(
    theirs: MosquittoBroker, topic: str, version: str, ends: Ends
) -> None:
    """What is published there meanwhile waits there."""
    inward = BridgeTopic(filter=f"{topic}/#", direction="in", qos=2)
    with bridged(theirs.url, topic, inward, version=version):
        pass
    for count in range(20):
        publish(theirs, "-t", f"{topic}/a", "-q", "2", "-m", str(count))
    with bridged(theirs.url, topic, inward, version=version) as broker:
        came = [broker.wait_for_message(f"{topic}/#").payload for _ in range(20)]

    assert came == [b"%d" % count for count in range(20)]


def test_tls_and_a_password(tmp_path: Path, topic: str, ends: Ends, authority: Authority) -> None:
    """As mosquitto wants them."""
    passwords, certificate = tmp_path / "passwords", authority.server()
    ends(Program("mosquitto_passwd", "-b", "-c", str(passwords), "me", "secret")).end()
    (tmp_path / "own").write_text("secret\n")
    settings = (
        f"certfile {certificate}",
        f"keyfile {certificate}",
        f"password_file {passwords}",
    )
    with MosquittoBroker(tmp_path, *settings, anonymous=False) as theirs:
        url = f"mqtts://localhost:{theirs.port()}"
        own = {"user_name": "me", "password_file": str(tmp_path / "own"), "ca": str(authority.file)}
        with bridged(url, topic, **own) as broker:
            assert state(broker) == [b"1"]


@each_version
def test_two_of_ours(ends: Ends, topic: str, version: str) -> None:
    """Both ways, each message once; the other is restarted, and what waited comes."""
    with MQTTTestBroker() as other, bridged(other.url, topic, version=version) as broker:
        for count in range(50):
            broker.publish("here/ours", b"%d" % count, qos=count % 3)
            other.publish("there/theirs", b"%d" % count, qos=count % 3)
        broker.publish("here/last/ours", b"", qos=2)
        other.publish("there/last/theirs", b"", qos=2)
        other.wait_for_message("there/last/ours")
        broker.wait_for_message("here/last/theirs")
        expected = sorted(b"%d" % count for count in range(50))
        assert sorted(each.payload for each in other.messages("there/ours")) == expected
        assert sorted(each.payload for each in broker.messages("here/theirs")) == expected
        assert len(broker.messages("here/ours")) == 50
        other.stop()
        broker.publish("here/while", b"away", qos=1)
        other.start()
        assert other.wait_for_message("there/while", timeout=PATIENCE).payload == b"away"


def test_a_command(theirs: MosquittoBroker, topic: str, ends: Ends, tmp_path: Path) -> None:
    """As `trio-speedo serve` has it in a file; a drain says goodbye."""
    (tmp_path / "file.toml").write_text(
        f'[mqtt.bridges.judged]\nurl = "{theirs.url}"\nclient_id = "{topic}"\n'
        f'topics = [{{filter = "{topic}/#", direction = "both", qos = 2}}]\n'
    )
    server = ends(Command("mqtt", "tcp://127.0.0.1:0", "--config", str(tmp_path / "file.toml")))
    server.wait_for("bridge judged: connected to mqtt://")
    subscriber = listening(ends, theirs, "-t", f"{topic}/#", "-C", "1", "-F", "> %p")
    publish(Reached(server.port), "-t", f"{topic}/a", "-q", "1", "-m", "hello")

    assert messages(subscriber) == ["> hello"]
    assert server.drain() == 0
