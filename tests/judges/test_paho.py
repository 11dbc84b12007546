"""MQTT as Paho's client for Python speaks it, over TCP and WebSocket."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Literal

import pytest

from speedo_trio.mqtt.state.capabilities import Capabilities
from tests.judges.authority import Authority
from tests.judges.mqtt_broker import MQTTBroker
from tests.judges.program import PATIENCE
from tests.outside import need

need(modules=("paho", "trustme", "wsproto"))

from paho.mqtt.enums import MQTTProtocolVersion  # noqa: E402  # it may be missing
from paho.mqtt.packettypes import PacketTypes  # noqa: E402  # the same

from tests.judges.paho import V5, V31, V311, Paho, of, properties  # noqa: E402  # it needs paho

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


# Sessions


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


def test_the_keep_alive_of_the_server() -> None:
    """A client of 5.0 is told to keep alive by the server's, and does."""
    with (
        MQTTBroker(TCP, Capabilities(server_keep_alive=1)) as broker,
        Paho(broker, keep_alive=1000) as client,
    ):
        assert client.told.ServerKeepAlive == 1


# Other servers


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
