"""mosquitto as a bridge: a broker that is a client of ours, and passes on what its own have."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.judges.conftest import Ends
from tests.judges.mosquitto import Bridge, Mosquitto, publish
from tests.judges.mqtt_broker import MQTTBroker
from tests.outside import need

need("mosquitto", "mosquitto_sub", "mosquitto_pub", modules=("trustme", "wsproto"))

each_version = pytest.mark.parametrize("version", ["mqttv31", "mqttv311", "mqttv50"])


@each_version
def test_out(broker: MQTTBroker, ends: Ends, topic: str, version: str, tmp_path: Path) -> None:
    """What its clients publish reaches ours."""
    bridge = ends(Bridge(tmp_path, broker, topic, version))
    how = ("-t", f"{topic}/out/#", "-q", "2", "-C", "2", "-F", "%t %q %p")
    subscriber = ends(Mosquitto(broker, "sub", *how))
    broker.until_subscribed(f"{topic}/out")
    for qos in ("0", "2"):
        publish(bridge, "-t", f"out/{qos}", "-q", qos, "-m", "hello")

    assert subscriber.lines == [f"{topic}/out/0 0 hello", f"{topic}/out/2 2 hello"]


@each_version
def test_in(broker: MQTTBroker, ends: Ends, topic: str, version: str, tmp_path: Path) -> None:
    """What ours publish reaches its clients."""
    bridge = ends(Bridge(tmp_path, broker, topic, version))
    how = ("-t", "in/#", "-q", "2", "-C", "2", "-F", "%t %q %p", "-d")
    subscriber = ends(Mosquitto(bridge, "sub", *how))
    subscriber.wait_for("Subscribed")
    for qos in ("0", "2"):
        publish(broker, "-t", f"{topic}/in/{qos}", "-q", qos, "-m", "hello")

    assert [line for line in subscriber.lines if line.startswith("in")] == [
        "in/0 0 hello",
        "in/2 2 hello",
    ]


@each_version
def test_no_loop(broker: MQTTBroker, ends: Ends, topic: str, version: str, tmp_path: Path) -> None:
    """What goes both ways comes once: a bridge doesn't get back what it has passed on."""
    bridge = ends(Bridge(tmp_path, broker, topic, version))
    theirs = ends(Mosquitto(bridge, "sub", "-t", "both/#", "-C", "3", "-d"))
    theirs.wait_for("Subscribed")
    ours = ends(Mosquitto(broker, "sub", "-t", f"{topic}/both/#", "-C", "3"))
    broker.until_subscribed(f"{topic}/both", 2)
    publish(bridge, "-t", "both/a", "-q", "1", "-m", "theirs")
    ours.wait_for("theirs")
    publish(broker, "-t", f"{topic}/both/a", "-q", "1", "-m", "ours")
    theirs.wait_for("ours\n")
    publish(broker, "-t", f"{topic}/both/a", "-q", "1", "-m", "last")

    assert ours.lines == ["theirs", "ours", "last"]
    assert [line for line in theirs.lines if " " not in line] == ["theirs", "ours", "last"]


@each_version
def test_retained(broker: MQTTBroker, ends: Ends, topic: str, version: str, tmp_path: Path) -> None:
    """A bridge learns what is to be retained, and passes it on as such, in both directions."""
    publish(broker, "-t", f"{topic}/in/before", "-q", "1", "-r", "-m", "before")
    bridge = ends(Bridge(tmp_path, broker, topic, version))
    publish(broker, "-t", f"{topic}/in/while", "-q", "1", "-r", "-m", "while")
    publish(bridge, "-t", "out/theirs", "-q", "1", "-r", "-m", "theirs")

    broker.until_retained(f"{topic}/out/theirs", b"theirs")
    bridge.wait_for("Received PUBLISH from .*'in/while'")
    how = ("-t", "in/#", "--retained-only", "-C", "2", "-F", "%r %p")
    assert sorted(ends(Mosquitto(bridge, "sub", *how)).lines) == ["1 before", "1 while"]


@pytest.mark.parametrize("version", ["mqttv31", "mqttv311"])  # in 5.0 it asks for no such session
def test_what_waited(
    broker: MQTTBroker, ends: Ends, topic: str, version: str, tmp_path: Path
) -> None:
    """A bridge that was away gets what came meanwhile."""
    ends(Bridge(tmp_path, broker, topic, version)).kill()
    publish(broker, "-t", f"{topic}/in/a", "-q", "1", "-r", "-m", "while away")
    assert broker.waits_for(topic) == 1
    bridge = ends(Bridge(tmp_path, broker, topic, version))
    bridge.wait_for("Received PUBLISH from .*'in/a'")

    assert ends(Mosquitto(bridge, "sub", "-t", "in/#", "-C", "1")).lines == ["while away"]


def test_a_megabyte(broker: MQTTBroker, ends: Ends, topic: str, tmp_path: Path) -> None:
    """A large message goes out, and comes back on another topic."""
    bridge = ends(Bridge(tmp_path, broker, topic, "mqttv50"))
    file = tmp_path / "large"
    file.write_bytes(b"0123456789" * 100_000)
    subscriber = ends(Mosquitto(broker, "sub", "-t", f"{topic}/out/#", "-C", "1"))
    broker.until_subscribed(f"{topic}/out")
    publish(bridge, "-t", "out/large", "-q", "2", "-f", str(file))

    assert subscriber.lines == [file.read_text()]
