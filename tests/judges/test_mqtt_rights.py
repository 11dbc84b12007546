"""Who may connect, publish and subscribe, as mosquitto's clients see it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from speedo_trio.mqtt.hooks import Hooks
from speedo_trio.mqtt.requests import ConnectRequest, PublishRequest, SubscribeRequest
from speedo_trio.mqtt.verdicts import Grant
from tests.judges.conftest import Ends
from tests.judges.mosquitto import VERSIONS, Mosquitto, publish
from tests.judges.mqtt_broker import MQTTBroker
from tests.outside import need

need("mosquitto_sub", "mosquitto_pub")

KNOWN = ("-u", "alice", "-P", "wonderland")


def authenticate(request: ConnectRequest) -> bool:
    """One client is known."""
    return (request.user_name, request.password) == ("alice", b"wonderland")


async def authorise_publish(request: PublishRequest) -> bool:
    """Some topics are not for clients."""
    return not request.topic.startswith("secret/")


def authorise_subscribe(request: SubscribeRequest) -> bool | Grant:
    """Some filters are allowed with QoS 0 only, some not at all."""
    if request.topic_filter.startswith("low/"):
        return Grant(qos=0)
    return not request.topic_filter.startswith("secret/")


@pytest.fixture(scope="module")
def guarded() -> Iterator[MQTTBroker]:
    """A broker that doesn't allow everything."""
    hooks = Hooks(
        authenticate=authenticate,
        authorise_publish=authorise_publish,
        authorise_subscribe=authorise_subscribe,
    )
    with MQTTBroker({"tcp": "tcp://127.0.0.1:0"}, hooks=hooks) as broker:
        yield broker


@pytest.mark.parametrize("version", VERSIONS)
def test_a_password(guarded: MQTTBroker, ends: Ends, topic: str, version: str) -> None:
    """Who has the right one is served."""
    how = ("-t", topic, "-V", version, *KNOWN)
    subscriber = ends(Mosquitto(guarded, "sub", *how, "-C", "1"))
    guarded.until_subscribed(topic)
    publish(guarded, *how, "-m", "hello")

    assert subscriber.lines == ["hello"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("shown", "told"),
    [
        (("-u", "alice", "-P", "sesame"), "bad user name or password"),
        (("-u", "alice"), "bad user name or password"),
        ((), "not authori"),
    ],
    ids=["wrong", "none", "nobody"],
)
def test_a_wrong_password(
    guarded: MQTTBroker, ends: Ends, version: str, shown: tuple[str, ...], told: str
) -> None:
    """Who has none, or a wrong one, is told so."""
    refused = ends(Mosquitto(guarded, "pub", "-t", "a", "-m", "hello", "-V", version, *shown))

    assert refused.end() != 0
    assert told in refused.text.lower()


@pytest.mark.parametrize(("qos", "told"), [("0", ""), ("1", "Not authorized"), ("2", "")])
def test_a_topic_that_is_not_allowed(
    guarded: MQTTBroker, ends: Ends, topic: str, qos: str, told: str
) -> None:
    """What is published there reaches nobody, and the client stays connected."""
    secret = f"secret/{topic}"
    publisher = ends(
        Mosquitto(guarded, "pub", "-t", secret, "-r", "-m", "1", "-q", qos, "-V", "5", *KNOWN)
    )
    publisher.end()

    assert told in publisher.text
    guarded.until_retained(secret, None)


def test_a_filter_that_is_not_allowed(guarded: MQTTBroker, ends: Ends) -> None:
    """A client of 3.1.1 and one of 5.0 learn which of their subscriptions is refused."""
    for version, code in (("mqttv311", "128"), ("mqttv5", "135")):
        how = ("-t", "secret/a", "-t", "open/a", "-q", "1", "-V", version, "-d", "-E", *KNOWN)
        subscriber = ends(Mosquitto(guarded, "sub", *how))
        subscriber.end()

        assert f"Subscribed (mid: 1): {code}, 1\n" in subscriber.text


def test_a_lower_qos(guarded: MQTTBroker, ends: Ends, topic: str) -> None:
    """A subscription may be granted with less than was asked for."""
    how = ("-t", f"low/{topic}", "-q", "2", *KNOWN)
    subscriber = ends(Mosquitto(guarded, "sub", *how, "-C", "1", "-F", "%q %p"))
    guarded.until_subscribed(f"low/{topic}")
    publish(guarded, *how, "-m", "hello")

    assert subscriber.lines == ["0 hello"]


def test_a_will_that_is_not_allowed(guarded: MQTTBroker, ends: Ends, topic: str) -> None:
    """A will is asked for when its time has come, and dropped."""
    wills = [f"secret/{topic}", f"open/{topic}"]
    for will in wills:
        options = ("--will-topic", will, "--will-payload", "gone", "--will-retain")
        dying = ends(Mosquitto(guarded, "sub", "-t", topic, *options, *KNOWN))
        guarded.until_subscribed(topic)
        dying.kill()
        guarded.until(lambda: guarded.subscribed(topic) == 0, "it is dead")
    guarded.until_retained(wills[1], b"gone")

    guarded.until_retained(wills[0], None)


def test_figures_of_the_broker(broker: MQTTBroker, ends: Ends) -> None:
    """They are where users of mosquitto look for them."""
    names = ("version", "uptime", "clients/connected")
    filters = [word for name in names for word in ("-t", f"$SYS/broker/{name}")]
    figures = ends(Mosquitto(broker, "sub", *filters, "-C", "3", "-F", "%t %p"))

    found = dict(line.split(maxsplit=1) for line in figures.lines)
    assert {*found} == {f"$SYS/broker/{name}" for name in names}
    assert found["$SYS/broker/version"].startswith("speedo_trio")
