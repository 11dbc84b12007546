"""Sessions, takeover, wills and time, with Paho's client for Python."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Literal

import pytest

from tests.judges.mqtt_broker import MQTTBroker
from tests.judges.program import PATIENCE
from tests.outside import need

need(modules=("paho", "trustme", "wsproto"))

from paho.mqtt.enums import MQTTProtocolVersion  # noqa: E402  # it may be missing
from paho.mqtt.packettypes import PacketTypes  # noqa: E402  # the same

from tests.judges.paho import V5, V31, V311, Paho, of, properties  # noqa: E402  # it needs paho

QoS = Literal[0, 1, 2]

EACH_VERSION = pytest.mark.parametrize("version", [V31, V311, V5], ids=["3.1", "3.1.1", "5.0"])


@pytest.mark.parametrize("expiry", [1000, 0xFFFF_FFFF])
def test_a_session_stays(broker: MQTTBroker, topic: str, expiry: int) -> None:
    """It is there for the client that comes back, with subscriptions and messages."""
    with Paho(broker, topic, stays=expiry) as client:
        assert not client.present
        client.subscribe(topic)
    with Paho(broker) as other:
        other.publish(topic, "while away", UserProperty=[("a", "b")])
    with Paho(broker, topic, clean=False, stays=expiry) as client:
        assert client.present
        message = client.message()

        assert message.payload == b"while away"
        assert properties(message).UserProperty == [("a", "b")]


def test_a_session_expires(broker: MQTTBroker, topic: str) -> None:
    """It ends so many seconds after the connection, and its subscriptions with it."""
    with Paho(broker, topic, stays=1) as client:
        client.subscribe(topic)
    broker.until(lambda: broker.subscribed(topic) == 0, "the session ends")

    with Paho(broker, topic, clean=False) as client:
        assert not client.present


@EACH_VERSION
def test_a_clean_session_ends(broker: MQTTBroker, topic: str, version: MQTTProtocolVersion) -> None:
    """Unless it is to stay, a session ends with its connection."""
    with Paho(broker, topic, version) as client:
        client.subscribe(topic)
    broker.until(lambda: broker.subscribed(topic) == 0, "the session ends")

    with Paho(broker, topic, version, clean=False) as client:
        assert not client.present
    with Paho(broker, topic, version) as client:  # leave nothing
        assert not client.present


def test_a_session_is_given_up(broker: MQTTBroker, topic: str) -> None:
    """A client that leaves may change how long its session stays."""
    with Paho(broker, topic, stays=1000) as client:
        client.subscribe(topic)
        client.leave(SessionExpiryInterval=0)
    broker.until(lambda: broker.subscribed(topic) == 0, "the session ends")


@pytest.fixture
def leaves_nothing(broker: MQTTBroker, topic: str) -> Iterator[None]:
    """Ends the session that the test has left."""
    yield
    with Paho(broker, topic):
        pass


@EACH_VERSION
@pytest.mark.usefixtures("leaves_nothing")
def test_sent_again(broker: MQTTBroker, topic: str, version: MQTTProtocolVersion) -> None:
    """What a client has not acknowledged comes again when it is back, marked as such, in order."""
    with Paho(broker, topic, version, clean=False, manual=True, stays=1000) as client:
        client.subscribe(topic, qos=1)
        with Paho(broker) as other:
            other.publish(topic, "one")
            other.publish(topic, "two")
        assert client.payloads(2) == [b"one", b"two"]
        client.cut()
    with Paho(broker, topic, version, clean=False, stays=1000) as client:
        assert client.present is (version is not V31)  # whose CONNACK doesn't tell
        came = [client.message() for _ in range(2)]

        assert [(message.payload, message.dup) for message in came] == [
            (b"one", True),
            (b"two", True),
        ]


@EACH_VERSION
@pytest.mark.usefixtures("leaves_nothing")
def test_released_once(broker: MQTTBroker, topic: str, version: MQTTProtocolVersion) -> None:
    """What a client has got with QoS 2, but not acknowledged to the end, doesn't come again."""
    with Paho(broker) as other:
        with Paho(broker, topic, version, clean=False, manual=True, stays=1000) as client:
            client.subscribe(topic)
            other.publish(topic, "one")
            assert client.payloads(1) == [b"one"]
            client.cut()
        other.publish(topic, "two")
        with Paho(broker, topic, version, clean=False, stays=1000) as client:
            assert client.payloads(1) == [b"two"]


@pytest.mark.usefixtures("leaves_nothing")
def test_exactly_once(broker: MQTTBroker, topic: str) -> None:
    """A publisher whose connection breaks again and again delivers each message once, in order."""
    with Paho(broker) as subscriber, Paho(broker, topic, V311, clean=False) as publisher:
        subscriber.subscribe(topic)
        for number in range(300):
            publisher.client.publish(topic, str(number), 2)
        for _ in range(3):
            for _ in range(30):
                publisher.published.get(timeout=PATIENCE)
            publisher.cut()
            publisher.client.reconnect()
            publisher.start()

        assert subscriber.payloads(300) == [b"%d" % number for number in range(300)]
        assert subscriber.nothing()


# Takeover and wills


@EACH_VERSION
@pytest.mark.usefixtures("leaves_nothing")
def test_a_takeover(broker: MQTTBroker, topic: str, version: MQTTProtocolVersion) -> None:
    """A second client of a name ends the first, which is told why if its version can."""
    with (
        Paho(broker, topic, version, clean=False, stays=1000) as first,
        Paho(broker) as other,
    ):
        first.subscribe(topic)
        with Paho(broker, topic, version, clean=False, stays=1000) as second:
            assert second.present is (version is not V31)  # whose CONNACK doesn't tell
            reason = first.disconnected.get(timeout=PATIENCE)
            assert reason == (0x8E if version is V5 else 0x80)  # Paho's own for a broken one
            other.publish(topic, "hello")
            assert second.payloads(1) == [b"hello"]


def with_will(client: Paho, topic: str, delay: int | None = None) -> Paho:
    """A client that has a will."""
    will = None
    if client.client.protocol is V5:
        given = {} if delay is None else {"WillDelayInterval": delay}
        will = of(PacketTypes.WILLMESSAGE, UserProperty=[("a", "b")], **given)
    client.client.will_set(topic, "gone", 1, retain=False, properties=will)
    return client


@pytest.fixture
def heir(broker: MQTTBroker, topic: str) -> Iterator[Paho]:
    """A client that is subscribed to the wills."""
    with Paho(broker) as heir:
        heir.subscribe(f"{topic}/will")
        yield heir


@EACH_VERSION
@pytest.mark.parametrize("by", ["tcp", "ws"])
def test_a_will(
    broker: MQTTBroker, topic: str, heir: Paho, version: MQTTProtocolVersion, by: str
) -> None:
    """It comes when the connection breaks, with its properties."""
    with with_will(Paho(broker, topic, version, by=by), f"{topic}/will") as client:
        client.cut()
        message = heir.message()

    assert (message.payload, message.qos) == (b"gone", 1)
    assert getattr(properties(message), "UserProperty", []) == [("a", "b")] * (version is V5)


def test_no_will(broker: MQTTBroker, topic: str, heir: Paho) -> None:
    """It doesn't come when the client leaves in good order."""
    with with_will(Paho(broker, topic), f"{topic}/will"):
        pass

    assert heir.nothing()


def test_a_will_on_takeover(broker: MQTTBroker, topic: str, heir: Paho) -> None:
    """It comes when somebody else takes over, as the connection ends without a goodbye."""
    with with_will(Paho(broker, topic), f"{topic}/will"), Paho(broker, topic):
        assert heir.payloads(1) == [b"gone"]


@pytest.mark.usefixtures("leaves_nothing")
def test_a_delayed_will(broker: MQTTBroker, topic: str, heir: Paho) -> None:
    """It comes after its delay."""
    client = with_will(Paho(broker, topic, stays=1000), f"{topic}/will", 1)
    with client:
        client.cut()
        began = time.monotonic()

    assert heir.nothing()
    assert heir.payloads(1) == [b"gone"]
    assert 0.9 < time.monotonic() - began < PATIENCE


def test_a_delayed_will_of_a_session_that_ends(broker: MQTTBroker, topic: str, heir: Paho) -> None:
    """It doesn't wait for longer than the session stays."""
    with with_will(Paho(broker, topic, stays=1), f"{topic}/will", 1000) as client:
        client.cut()

    assert heir.payloads(1) == [b"gone"]


def test_a_will_is_called_off(broker: MQTTBroker, topic: str, heir: Paho) -> None:
    """A client that is back before the delay is over hasn't gone."""
    client = with_will(Paho(broker, topic, stays=1000), f"{topic}/will", 1)
    with client:
        client.cut()
    with Paho(broker, topic, clean=False) as back:
        assert back.present
        time.sleep(1.2)

        assert heir.nothing()


# Time


def test_keep_alive(broker: MQTTBroker, topic: str, heir: Paho) -> None:
    """A client that is silent for one and a half times its keep alive is ended, and its will comes.

    Meanwhile one that has nothing to say but pings stays.
    """
    with Paho(broker, topic, keep_alive=1) as lively, ExitStack() as stack:
        for version in (V31, V311, V5):
            client = Paho(broker, f"{topic}-{version}", version, keep_alive=1)
            silent = stack.enter_context(with_will(client, f"{topic}/will"))
            silent.be_silent()
        began = time.monotonic()

        assert heir.payloads(3) == [b"gone"] * 3
        assert 1.3 < time.monotonic() - began < PATIENCE
        assert lively.nothing()
