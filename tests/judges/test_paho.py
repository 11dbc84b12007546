"""MQTT as Paho's client for Python speaks it, over TCP and WebSocket."""

from __future__ import annotations

import time
from typing import Literal

import pytest

from speedo_trio.mqtt.state.capabilities import Capabilities
from tests.judges.authority import Authority
from tests.judges.mqtt_broker import MQTTBroker
from tests.judges.program import PATIENCE
from tests.outside import need

need(modules=("paho", "trustme", "wsproto"))

from paho.mqtt.enums import MQTTProtocolVersion  # noqa: E402  # it may be missing

from tests.judges.paho import V5, V31, V311, Paho, properties  # noqa: E402  # it needs paho

TCP = {"tcp": "tcp://127.0.0.1:0"}

QoS = Literal[0, 1, 2]

EACH_VERSION = pytest.mark.parametrize("version", [V31, V311, V5], ids=["3.1", "3.1.1", "5.0"])


@EACH_VERSION
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("by", ["tcp", "ws"])
def test_both_ways(
    broker: MQTTBroker, topic: str, version: MQTTProtocolVersion, qos: QoS, by: str
) -> None:
    """A message goes with its QoS to the broker and back, whatever stands between."""
    with Paho(broker, topic, version, by=by) as client:
        assert client.subscribe(topic, qos=qos) == [qos]
        assert client.publish(topic, "hello", qos) == 0

        message = client.message()
        assert (message.topic, message.payload) == (topic, b"hello")
        assert (message.qos, message.retain, message.dup) == (qos, False, False)


def test_over_websocket_and_tls(broker: MQTTBroker, topic: str, authority: Authority) -> None:
    """Both layers, with a certificate that is verified."""
    with Paho(broker, by="wss", trust=authority.file) as client:
        client.subscribe(topic)
        client.publish(topic, "hello")

        assert client.payloads(1) == [b"hello"]


@pytest.mark.parametrize("by", ["tcp", "ws"])
def test_a_megabyte(broker: MQTTBroker, topic: str, by: str) -> None:
    """A large message comes whole, as do the small ones around it."""
    large = bytes(range(250)) * 4000
    with Paho(broker, by=by) as client:
        client.subscribe(topic)
        for payload in (b"before", large, b"after"):
            client.publish(topic, payload)

        assert client.payloads(3) == [b"before", large, b"after"]


def test_many_at_once(broker: MQTTBroker, topic: str) -> None:
    """Hundreds on their way at once come in their order, each once."""
    with Paho(broker, by="ws") as subscriber, Paho(broker, window=500) as publisher:
        subscriber.subscribe(topic)
        for number in range(500):
            publisher.client.publish(topic, str(number), 2)

        assert subscriber.payloads(500) == [b"%d" % number for number in range(500)]


# What the broker tells


def test_what_connack_tells(broker: MQTTBroker) -> None:
    """Where the broker differs from the defaults of the standard, and the identifier it chose."""
    with Paho(broker) as client:
        assert client.told.AssignedClientIdentifier
        assert client.told.ReceiveMaximum == Capabilities().receive_maximum
        assert client.told.MaximumPacketSize == Capabilities().maximum_packet_size
        assert client.told.TopicAliasMaximum == Capabilities().topic_alias_maximum


def test_reason_codes(broker: MQTTBroker, topic: str) -> None:
    """Each subscription and each publication is answered."""
    with Paho(broker) as client:
        assert client.publish(topic, "to nobody", 1) == 0x10  # No matching subscribers
        assert client.publish("$SYS/mine", "to nobody", 1) == 0x87  # Not authorized
        assert client.subscribe(topic, f"{topic}/#", qos=1) == [1, 1]
        assert client.publish(topic, "to somebody", 1) == 0
        assert client.unsubscribe(topic, "other", f"{topic}/#") == [0, 0x11, 0]
        assert client.publish(topic, "to nobody", 1) == 0x10


def test_unsubscribed(broker: MQTTBroker, topic: str) -> None:
    """Nothing comes any more for what is unsubscribed, and the rest does."""
    with Paho(broker, version=V311) as client:
        client.subscribe(f"{topic}/a", f"{topic}/b")
        client.unsubscribe(f"{topic}/a")
        client.publish(f"{topic}/a", "not wanted")
        client.publish(f"{topic}/b", "wanted")

        assert client.payloads(1) == [b"wanted"]


# Retained


@pytest.mark.parametrize(("handling", "first", "again"), [(0, 1, 1), (1, 1, 0), (2, 0, 0)])
def test_retain_handling(
    broker: MQTTBroker, topic: str, handling: int, first: int, again: int
) -> None:
    """What is retained comes with each subscription, with a new one only, or never."""
    with Paho(broker) as client:
        client.publish(topic, "kept", retain=True)
        for times in (first, again):
            client.subscribe(topic, retainHandling=handling)
            assert client.payloads(times) == [b"kept"] * times
            assert client.nothing()


def test_retained_keep_their_properties(broker: MQTTBroker, topic: str) -> None:
    """A retained message has QoS and properties as it was published, and its expiry counts."""
    with Paho(broker) as client:
        pairs = [("b", "1"), ("a", "2"), ("b", "1")]
        client.publish(topic, "kept", 1, retain=True, UserProperty=pairs, MessageExpiryInterval=100)
        client.subscribe(topic)

        message = client.message()
        assert (message.qos, message.retain) == (1, True)
        assert properties(message).UserProperty == pairs
        assert 90 <= properties(message).MessageExpiryInterval <= 100


def test_retained_expire(broker: MQTTBroker, topic: str) -> None:
    """A retained message whose time is over is there no more."""
    with Paho(broker) as client:
        client.publish(topic, "kept", retain=True, MessageExpiryInterval=1)
        time.sleep(1.1)
        client.subscribe(topic)

        assert client.nothing()


# Subscriptions


def test_no_local(broker: MQTTBroker, topic: str) -> None:
    """A client may be spared what it has published itself."""
    with Paho(broker) as client, Paho(broker) as other:
        client.subscribe(topic, noLocal=True)
        client.publish(topic, "mine")
        other.publish(topic, "theirs")

        assert client.payloads(1) == [b"theirs"]


def test_overlapping_subscriptions(broker: MQTTBroker, topic: str) -> None:
    """One copy comes, with the highest QoS and the identifiers of all that match."""
    with Paho(broker) as client:
        client.subscribe(f"{topic}/#", qos=0, identifier=1)
        client.subscribe(f"{topic}/+", qos=2, identifier=268_435_455)
        client.subscribe(f"{topic}/other", qos=2, identifier=3)
        client.publish(f"{topic}/a", "hello")

        message = client.message()
        assert message.qos == 2
        assert sorted(properties(message).SubscriptionIdentifier) == [1, 268_435_455]
        assert client.nothing()


def test_a_group_and_others(broker: MQTTBroker, topic: str) -> None:
    """Members of a group share, and who is subscribed outside of it gets everything."""
    with Paho(broker) as one, Paho(broker, version=V311) as two, Paho(broker) as outsider:
        one.subscribe(f"$share/group/{topic}")
        two.subscribe(f"$share/group/{topic}")
        outsider.subscribe(topic)
        for number in range(6):
            outsider.publish(topic, str(number))

        assert outsider.payloads(6) == [b"0", b"1", b"2", b"3", b"4", b"5"]
        assert sorted(one.payloads(3) + two.payloads(3)) == [b"0", b"1", b"2", b"3", b"4", b"5"]


def test_a_member_leaves(broker: MQTTBroker, topic: str) -> None:
    """The rest of its group gets everything."""
    with Paho(broker) as publisher, Paho(broker) as staying:
        staying.subscribe(f"$share/group/{topic}")
        with Paho(broker) as leaving:
            leaving.subscribe(f"$share/group/{topic}")
        broker.until(lambda: broker.subscribed(topic) == 1, "one has left")
        for number in range(4):
            publisher.publish(topic, str(number))

        assert staying.payloads(4) == [b"0", b"1", b"2", b"3"]


def test_a_request_and_its_answer(broker: MQTTBroker, topic: str) -> None:
    """The one who answers finds where to, and what to send along."""
    with Paho(broker) as asking, Paho(broker) as answering:
        answering.subscribe(topic)
        asking.subscribe(f"{topic}/answers")
        asking.publish(topic, "why?", ResponseTopic=f"{topic}/answers", CorrelationData=b"\x00\xff")
        asked = properties(answering.message())
        answering.publish(asked.ResponseTopic, "because", CorrelationData=asked.CorrelationData)

        answer = asking.message()
        assert answer.payload == b"because"
        assert properties(answer).CorrelationData == b"\x00\xff"


# What a client takes


def test_aliases_of_a_publisher(broker: MQTTBroker, topic: str) -> None:
    """An alias stands for the topic that it was given with, until it gets another."""
    with Paho(broker) as client:
        client.subscribe(f"{topic}/#")
        for name in ("a", "", "b", ""):
            client.publish(name and f"{topic}/{name}", "hello", TopicAlias=16)

        topics = [client.message().topic for _ in range(4)]
        assert topics == [f"{topic}/a", f"{topic}/a", f"{topic}/b", f"{topic}/b"]


def test_aliases_of_the_broker(broker: MQTTBroker, topic: str) -> None:
    """A client that allows aliases gets a topic's name once."""
    with Paho(broker, TopicAliasMaximum=5) as client:
        client.subscribe(topic)
        for _ in range(3):
            client.publish(topic, "hello")
        came = [client.message() for _ in range(3)]

        assert [message.topic for message in came] == [topic, "", ""]
        aliases = {properties(message).TopicAlias for message in came}
        assert aliases < {1, 2, 3, 4, 5}
        assert len(aliases) == 1


def test_the_receive_maximum(broker: MQTTBroker, topic: str) -> None:
    """So many messages come, and the next when one has been acknowledged."""
    with Paho(broker, manual=True, ReceiveMaximum=2) as client, Paho(broker) as other:
        client.subscribe(topic, qos=1)
        for number in range(4):
            other.publish(topic, str(number))
        first = client.message()
        assert client.payloads(1) == [b"1"]
        assert client.nothing()
        client.client.ack(first.mid, first.qos)

        assert client.payloads(1) == [b"2"]
        assert client.nothing()


def test_the_maximum_packet_size(broker: MQTTBroker, topic: str) -> None:
    """What is too large for a client is not sent to it, and the rest is."""
    with Paho(broker, MaximumPacketSize=200) as client, Paho(broker) as other:
        client.subscribe(topic)
        for qos in (0, 1, 2):
            other.publish(topic, "x" * 200, qos)
            other.publish(topic, str(qos), qos)

        assert client.payloads(3) == [b"0", b"1", b"2"]


# Other servers


def test_the_keep_alive_of_the_server() -> None:
    """A client of 5.0 is told to keep alive by the server's, and does."""
    with (
        MQTTBroker(TCP, Capabilities(server_keep_alive=1)) as broker,
        Paho(broker, keep_alive=1000) as client,
    ):
        assert client.told.ServerKeepAlive == 1


def test_what_a_server_does_not_do(topic: str) -> None:
    """CONNACK tells what is not to be had, and a subscription is granted what is."""
    limited = Capabilities(
        maximum_qos=1,
        retain_available=False,
        wildcard_subscriptions=False,
        subscription_identifiers=False,
        shared_subscriptions=False,
    )
    with MQTTBroker(TCP, limited) as broker, Paho(broker) as client:
        told = client.told
        assert told.MaximumQoS == 1
        assert told.RetainAvailable == 0
        assert told.WildcardSubscriptionAvailable == 0
        assert told.SubscriptionIdentifierAvailable == 0
        assert told.SharedSubscriptionAvailable == 0
        assert client.subscribe(topic, f"{topic}/#", f"$share/a/{topic}") == [1, 0xA2, 0x9E]


def test_a_packet_that_is_not_allowed(topic: str) -> None:
    """A client that sends what it was told not to is ended, and told why."""
    with (
        MQTTBroker(TCP, Capabilities(retain_available=False)) as broker,
        Paho(broker) as client,
    ):
        client.client.publish(topic, "kept", 1, retain=True)

        assert client.disconnected.get(timeout=PATIENCE) == 0x9A  # Retain not supported


@EACH_VERSION
def test_a_drain(version: MQTTProtocolVersion) -> None:
    """A server that ends says so to clients of 5.0, and sends what they were owed before."""
    with MQTTBroker(TCP) as broker, Paho(broker, "drained", version) as client:
        client.subscribe("a")
        client.publish("a", "last")
        broker.drain()

        assert client.payloads(1) == [b"last"]
        reason = client.disconnected.get(timeout=PATIENCE)
        assert reason == (0x8B if version is V5 else 0x80)
