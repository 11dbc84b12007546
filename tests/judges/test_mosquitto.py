"""MQTT as mosquitto's clients speak it."""

from __future__ import annotations

import signal
import time
from itertools import product
from pathlib import Path

import pytest

from tests.judges.authority import Authority
from tests.judges.conftest import Ends
from tests.judges.mosquitto import VERSIONS, Mosquitto, publish
from tests.judges.mqtt_broker import MQTTBroker
from tests.outside import need

need("mosquitto_sub", "mosquitto_pub", "mosquitto_rr", modules=("trustme", "wsproto"))

MEGABYTE = 1_000_000


def user_properties(*pairs: tuple[str, str]) -> list[str]:
    """Options of a message with user properties."""
    return [word for pair in pairs for word in ("-D", "publish", "user-property", *pair)]


@pytest.mark.parametrize(("version", "qos"), [*product(VERSIONS, "012")])
def test_both_ways(broker: MQTTBroker, ends: Ends, topic: str, version: str, qos: str) -> None:
    """A message goes with its QoS to the broker and from there to a subscriber."""
    how = ("-t", topic, "-V", version, "-q", qos)
    subscriber = ends(Mosquitto(broker, "sub", *how, "-C", "1", "-F", "%q %r %p"))
    broker.until_subscribed(topic)
    publish(broker, *how, "-m", "hello")

    assert subscriber.lines == [f"{qos} 0 hello"]


@pytest.mark.parametrize("version", VERSIONS)
def test_versions_mix(broker: MQTTBroker, ends: Ends, topic: str, version: str) -> None:
    """What one version publishes reaches subscribers of all."""
    how = ("sub", "-t", topic, "-q", "1", "-C", "1", "-F", "%q %p")
    subscribers = [ends(Mosquitto(broker, *how, "-V", each)) for each in VERSIONS]
    broker.until_subscribed(topic, len(VERSIONS))
    publish(broker, "-t", topic, "-q", "2", "-m", "hello", "-V", version)

    assert [["1 hello"]] * 3 == [each.lines for each in subscribers]


@pytest.mark.parametrize(("published", "asked"), [*product("012", "012")])
def test_the_lower_qos(
    broker: MQTTBroker, ends: Ends, topic: str, published: str, asked: str
) -> None:
    """A subscriber gets a message with the QoS that it asked for, or the publisher's if lower."""
    subscriber = ends(Mosquitto(broker, "sub", "-t", topic, "-q", asked, "-C", "1", "-F", "%q"))
    broker.until_subscribed(topic)
    publish(broker, "-t", topic, "-q", published, "-m", "hello")

    assert subscriber.lines == [min(published, asked)]


@pytest.mark.parametrize("qos", ["0", "1", "2"])
def test_many_in_order(broker: MQTTBroker, ends: Ends, topic: str, qos: str) -> None:
    """Thousands of messages come, each once and in their order."""
    count = 3000 if qos == "0" else 900  # no more than may wait for one that is slow
    subscriber = ends(Mosquitto(broker, "sub", "-t", topic, "-q", qos, "-C", str(count)))
    broker.until_subscribed(topic)
    publisher = ends(Mosquitto(broker, "pub", "-t", topic, "-q", qos, "-l"))
    publisher.tell("".join(f"{number}\n" for number in range(count)))

    assert publisher.lines == []
    assert subscriber.lines == [str(number) for number in range(count)]


@pytest.mark.parametrize("version", VERSIONS)
def test_wildcards(broker: MQTTBroker, ends: Ends, topic: str, version: str) -> None:
    """They match levels, and one subscriber gets one copy of what several filters match."""
    filters = ("-t", f"{topic}/+/c", "-t", f"{topic}/a/#")
    how = ("-V", version, "-C", "3", "-F", "%t")
    subscriber = ends(Mosquitto(broker, "sub", *filters, *how))
    broker.until_subscribed(f"{topic}/a")
    broker.until_subscribed(f"{topic}/x/c")
    for name in ("a/c", "b/c", "b/d", "a"):
        publish(broker, "-t", f"{topic}/{name}", "-m", "hello", "-V", version)

    assert subscriber.lines == [f"{topic}/a/c", f"{topic}/b/c", f"{topic}/a"]


@pytest.mark.parametrize("version", VERSIONS)
def test_retained(broker: MQTTBroker, ends: Ends, topic: str, version: str) -> None:
    """Who subscribes later gets the last of the retained messages, and is told that it is one."""
    for payload in ("first", "last"):
        publish(broker, "-t", topic, "-r", "-q", "1", "-m", payload, "-V", version)
    how = ("-t", topic, "-V", version, "-C", "1", "-F", "%r %p")

    assert ends(Mosquitto(broker, "sub", *how)).lines == ["1 last"]


@pytest.mark.parametrize("version", VERSIONS)
def test_retained_no_more(broker: MQTTBroker, ends: Ends, topic: str, version: str) -> None:
    """An empty retained message deletes what is retained; a subscriber gets it as any other."""
    subscriber = ends(Mosquitto(broker, "sub", "-t", topic, "-C", "2", "-F", "%r [%p]"))
    broker.until_subscribed(topic)
    publish(broker, "-t", topic, "-r", "-m", "something", "-V", version)
    broker.until_retained(topic, b"something")
    publish(broker, "-t", topic, "-r", "-n", "-V", version)
    broker.until_retained(topic, None)

    assert subscriber.lines == ["0 [something]", "0 []"]


def test_retained_are_removed(broker: MQTTBroker, ends: Ends, topic: str) -> None:
    """mosquitto_sub's own sweep finds them all and removes them."""
    for name in ("a", "b/c"):
        publish(broker, "-t", f"{topic}/{name}", "-r", "-m", name, "-q", "1")
    sweep = ends(Mosquitto(broker, "sub", "-t", f"{topic}/#", "--remove-retained", "-W", "1"))

    sweep.end()
    assert sorted(sweep.text.split()[:2]) == ["a", "b/c"]
    broker.until_retained(f"{topic}/#", None)


def test_retained_as_published(broker: MQTTBroker, ends: Ends, topic: str) -> None:
    """In 5.0 a subscriber may see whether what is published just now is to be retained."""
    how = ("-t", topic, "-V", "5", "--retain-as-published", "-C", "2", "-F", "%r %p")
    subscriber = ends(Mosquitto(broker, "sub", *how))
    broker.until_subscribed(topic)
    publish(broker, "-t", topic, "-m", "passing")
    publish(broker, "-t", topic, "-m", "kept", "-r")

    assert subscriber.lines == ["0 passing", "1 kept"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_will(broker: MQTTBroker, ends: Ends, topic: str, version: str) -> None:
    """It is published with its QoS when a client has died, and retained if it is to be."""
    heir = ends(Mosquitto(broker, "sub", "-t", topic, "-q", "2", "-C", "1", "-F", "%q %p"))
    broker.until_subscribed(topic)
    will = ("--will-topic", topic, "--will-payload", "gone", "--will-qos", "2", "--will-retain")
    dying = ends(Mosquitto(broker, "sub", "-t", f"{topic}/other", "-V", version, *will))
    broker.until_subscribed(f"{topic}/other")
    dying.kill()

    assert heir.lines == ["2 gone"]
    broker.until_retained(topic, b"gone")


@pytest.mark.parametrize("version", VERSIONS)
def test_no_will(broker: MQTTBroker, ends: Ends, topic: str, version: str) -> None:
    """A client that says goodbye has none."""
    heir = ends(Mosquitto(broker, "sub", "-t", topic, "-C", "1"))
    broker.until_subscribed(topic)
    will = ("--will-topic", topic, "--will-payload", "gone")
    how = ("-t", f"{topic}/other", "-V", version, "-E")

    assert ends(Mosquitto(broker, "sub", *how, *will)).lines == []
    publish(broker, "-t", topic, "-m", "after that")
    assert heir.lines == ["after that"]


def test_a_goodbye_with_a_will(broker: MQTTBroker, ends: Ends, topic: str) -> None:
    """In 5.0 a client may ask for its will as it leaves, as mosquitto's do when they are ended."""
    heir = ends(Mosquitto(broker, "sub", "-t", topic, "-C", "1"))
    broker.until_subscribed(topic)
    will = ("--will-topic", topic, "--will-payload", "gone")
    leaving = ends(Mosquitto(broker, "sub", "-t", f"{topic}/other", "-V", "5", *will))
    broker.until_subscribed(f"{topic}/other")
    leaving.send(signal.SIGTERM)

    assert heir.lines == ["gone"]


def test_a_will_that_is_not_allowed(broker: MQTTBroker, ends: Ends, topic: str) -> None:
    """A will is for no topic under which the client could not publish."""
    theirs = f"$SYS/{topic}"
    heir = ends(Mosquitto(broker, "sub", "-t", theirs, "-t", topic, "-C", "1", "-F", "%t %p"))
    broker.until_subscribed(theirs)
    will = ("--will-topic", theirs, "--will-payload", "forged", "--will-retain")
    dying = ends(Mosquitto(broker, "sub", "-t", f"{topic}/other", *will))
    broker.until_subscribed(f"{topic}/other")
    dying.kill()
    broker.until(lambda: broker.subscribed(f"{topic}/other") == 0, "it is dead")
    publish(broker, "-t", topic, "-m", "after that")

    assert heir.lines == [f"{topic} after that"]
    broker.until_retained(theirs, None)


@pytest.mark.parametrize(("version", "qos"), [*product(VERSIONS, "12")])
def test_a_session_stays(
    broker: MQTTBroker, ends: Ends, topic: str, version: str, qos: str
) -> None:
    """What is published while its client is away waits, in order; but not with QoS 0."""
    how = ("-i", topic, "-c", "-t", topic, "-q", qos, "-V", version)
    assert ends(Mosquitto(broker, "sub", *how, "-E")).lines == []
    for number in range(3):
        publish(broker, "-t", topic, "-q", qos, "-m", str(number))
    publish(broker, "-t", topic, "-q", "0", "-m", "lost")
    back = ends(Mosquitto(broker, "sub", *how, "-C", "4", "-F", "%q %p"))
    broker.until(lambda: broker.waits_for(topic) == 0, "what waited was sent")
    publish(broker, "-t", topic, "-q", qos, "-m", "new")

    assert back.lines == [f"{qos} 0", f"{qos} 1", f"{qos} 2", f"{qos} new"]


def test_versions_share_a_session(broker: MQTTBroker, ends: Ends, topic: str) -> None:
    """A session may be begun with one version and be taken up with another."""
    how = ("-i", topic, "-c", "-t", topic, "-q", "1")
    assert ends(Mosquitto(broker, "sub", *how, "-E", "-V", "mqttv311")).lines == []
    publish(broker, "-t", topic, "-q", "1", "-m", "one", "-V", "5", *user_properties(("a", "b")))
    shown = ("-C", "1", "-F", "%P %p")

    assert ends(Mosquitto(broker, "sub", *how, "-V", "5", *shown)).lines == ["a:b one"]
    publish(broker, "-t", topic, "-q", "1", "-m", "two", "-V", "5", *user_properties(("a", "b")))
    assert ends(Mosquitto(broker, "sub", *how, "-V", "mqttv311", *shown)).lines == [" two"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_clean_start(broker: MQTTBroker, ends: Ends, topic: str, version: str) -> None:
    """It ends the session that there was, with what waited in it."""
    how = ("-i", topic, "-t", topic, "-q", "1", "-V", version)
    assert ends(Mosquitto(broker, "sub", *how, "-c", "-E")).lines == []
    publish(broker, "-t", topic, "-q", "1", "-m", "lost")
    assert broker.waits_for(topic) == 1
    clean = ends(Mosquitto(broker, "sub", *how, "-C", "1"))
    broker.until(lambda: broker.waits_for(topic) == 0, "the session has begun anew")
    publish(broker, "-t", topic, "-q", "1", "-m", "new")

    assert clean.lines == ["new"]
    broker.until(lambda: broker.waits_for(topic) is None, "the session has ended")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_shared_subscription(broker: MQTTBroker, ends: Ends, topic: str, version: str) -> None:
    """Each message goes to one of the group, and all of them are given some."""
    how = ("sub", "-t", f"$share/group/{topic}", "-q", "1", "-V", version, "-C", "5")
    members = [ends(Mosquitto(broker, *how)) for _ in range(2)]
    broker.until_subscribed(topic, 2)
    publisher = ends(Mosquitto(broker, "pub", "-t", topic, "-q", "1", "-l"))
    publisher.tell("".join(f"{number}\n" for number in range(10)))

    assert publisher.lines == []
    assert sorted(line for each in members for line in each.lines) == list("0123456789")


def test_properties(broker: MQTTBroker, ends: Ends, topic: str) -> None:
    """A message's own reach its subscribers; user properties keep order and repeats."""
    shown = "%C|%D|%F|%R|%P|%p"
    subscriber = ends(Mosquitto(broker, "sub", "-t", topic, "-V", "5", "-C", "1", "-F", shown))
    broker.until_subscribed(topic)
    pairs = [("b", "1"), ("a", "2"), ("b", "1"), ("a", "1"), ("ü", "€")]
    others = {
        "content-type": "text/plain",
        "correlation-data": "number 1",
        "payload-format-indicator": "1",
        "response-topic": f"{topic}/answer",
    }
    words = [word for pair in others.items() for word in ("-D", "publish", *pair)]
    publish(broker, "-t", topic, "-V", "5", "-m", "hello", *words, *user_properties(*pairs))

    assert subscriber.lines == [f"text/plain|number 1|1|{topic}/answer|b:1 a:2 b:1 a:1 ü:€|hello"]


def test_subscription_identifiers(broker: MQTTBroker, ends: Ends, topic: str) -> None:
    """A subscriber is told which of its subscriptions a message is for."""
    how = ("-V", "5", "-D", "subscribe", "subscription-identifier", "300", "-C", "1", "-F", "%S")
    subscriber = ends(Mosquitto(broker, "sub", "-t", topic, *how))
    broker.until_subscribed(topic)
    publish(broker, "-t", topic, "-m", "hello")

    assert subscriber.lines == ["300"]


def test_topic_aliases(broker: MQTTBroker, ends: Ends, topic: str) -> None:
    """A publisher may use one; the subscriber sees the topic."""
    how = ("-V", "5", "-C", "2", "-F", "%t %p")
    subscriber = ends(Mosquitto(broker, "sub", "-t", topic, *how))
    broker.until_subscribed(topic)
    alias = ("-V", "5", "-D", "publish", "topic-alias", "7")
    publisher = ends(Mosquitto(broker, "pub", "-t", topic, *alias, "-l"))
    publisher.tell("one\ntwo\n")

    assert publisher.lines == []
    assert subscriber.lines == [f"{topic} one", f"{topic} two"]


def test_messages_expire(broker: MQTTBroker, ends: Ends, topic: str) -> None:
    """One whose time is over doesn't come; of the others what is left of the time is told."""
    how = ("-i", topic, "-c", "-t", topic, "-q", "1", "-V", "5")
    assert ends(Mosquitto(broker, "sub", *how, "-E")).lines == []
    for seconds in ("1", "100"):
        expiry = ("-D", "publish", "message-expiry-interval", seconds)
        publish(broker, "-t", topic, "-q", "1", "-V", "5", "-m", seconds, *expiry)
    time.sleep(1.1)

    [left, payload] = ends(Mosquitto(broker, "sub", *how, "-C", "1", "-F", "%E\n%p")).lines
    assert payload == "100"
    assert 90 <= int(left) <= 99


def test_a_request_and_its_answer(broker: MQTTBroker, ends: Ends, topic: str) -> None:
    """mosquitto_rr asks, and gets what was published at its response topic."""
    how = ("-t", topic, "-V", "5", "-C", "1", "-F", "%R %p")
    responder = ends(Mosquitto(broker, "sub", *how))
    broker.until_subscribed(topic)
    asking = ends(
        Mosquitto(broker, "rr", "-V", "5", "-t", topic, "-e", f"{topic}/answer", "-m", "why?")
    )
    [asked] = responder.lines
    assert asked == f"{topic}/answer why?"
    publish(broker, "-V", "5", "-t", asked.split()[0], "-m", "because")

    assert asking.lines == ["because"]


@pytest.mark.parametrize("qos", ["0", "1", "2"])
def test_a_megabyte(broker: MQTTBroker, ends: Ends, topic: str, qos: str, tmp_path: Path) -> None:
    """A large message comes whole."""
    file = tmp_path / "large"
    file.write_bytes(b"0123456789" * (MEGABYTE // 10))
    how = ("-t", topic, "-q", qos)
    subscriber = ends(Mosquitto(broker, "sub", *how, "-C", "1"))
    broker.until_subscribed(topic)
    publish(broker, *how, "-f", str(file))

    assert subscriber.lines == [file.read_text()]


@pytest.fixture
def too_large(tmp_path: Path) -> str:
    """A file that doesn't fit into a packet that the broker takes."""
    file = tmp_path / "large"
    file.write_bytes(b"0" * 2 * MEGABYTE)
    return str(file)


def test_too_large(broker: MQTTBroker, ends: Ends, topic: str, too_large: str) -> None:
    """A client of 5.0 knows what is too large, and doesn't send it."""
    how = ("-t", topic, "-V", "5", "-f", too_large, "-d")
    publisher = ends(Mosquitto(broker, "pub", *how))
    publisher.end()

    assert "received CONNACK (0)" in publisher.text
    assert "sending PUBLISH" not in publisher.text


def test_too_large_for_the_broker(
    broker: MQTTBroker, ends: Ends, topic: str, too_large: str
) -> None:
    """One that can't know is ended as soon as that is seen."""
    publisher = ends(Mosquitto(broker, "pub", "-t", topic, "-q", "1", "-f", too_large, "-d"))
    publisher.end()

    [failure] = broker.take_failures()
    assert f"PUBLISH has {2 * MEGABYTE + 8 + len(topic)} bytes; allowed are 1048576" in failure
    assert "The connection was lost." in publisher.text


@pytest.mark.parametrize("by", ["tls", "unix"])
def test_other_ways(
    broker: MQTTBroker, ends: Ends, topic: str, by: str, authority: Authority
) -> None:
    """Over TLS, with a certificate that is verified, and over a Unix socket; they meet by TCP."""
    trust = ("--cafile", authority.file) if by == "tls" else ()
    subscriber = ends(Mosquitto(broker, "sub", "-t", topic, "-C", "2", *trust, by=by))
    broker.until_subscribed(topic)
    publish(broker, "-t", topic, "-m", "by another way", *trust, by=by)
    publish(broker, "-t", topic, "-m", "by TCP")

    assert subscriber.lines == ["by another way", "by TCP"]


def test_refused(broker: MQTTBroker, ends: Ends) -> None:
    """A client of 5.0 is told that it may not publish there."""
    how = ("-t", "$SYS/broker/uptime", "-m", "1", "-q", "1", "-V", "5")
    publisher = ends(Mosquitto(broker, "pub", *how))
    publisher.end()

    assert "Not authorized" in publisher.text


def test_a_long_client_identifier(broker: MQTTBroker, ends: Ends, topic: str) -> None:
    """In 3.1 more than 23 characters are refused, and later versions take them."""
    long = topic + "x" * 24
    how = ("-t", topic, "-m", "hello", "-i", long)
    refused = ends(Mosquitto(broker, "pub", *how, "-V", "mqttv31"))

    assert refused.end() != 0
    assert "Connection error: Connection Refused: identifier rejected" in refused.text
    publish(broker, *how, "-V", "mqttv311")
