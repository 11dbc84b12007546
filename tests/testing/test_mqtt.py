"""The broker for tests: what it remembers, what it waits for, and what it does to clients."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from speedo_trio.broker.message import TopicMessage
from speedo_trio.errors import BindError, ServerClosed, TopicError
from speedo_trio.mqtt.message import MQTTMessage
from speedo_trio.mqtt.record import Record
from speedo_trio.mqtt.wire.packets import Disconnect, PubAck, Publish, Will
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.testing.mqtt import MQTTTestBroker
from tests.mqtt.peers import blocking


@pytest.fixture
def broker() -> Iterator[MQTTTestBroker]:
    """One that runs."""
    with MQTTTestBroker() as broker:
        yield broker


def later(function: Callable[[], object]) -> threading.Timer:
    """Call something while the test waits."""
    timer = threading.Timer(0.05, function)
    timer.start()
    return timer


def test_what_clients_publish_is_remembered(broker: MQTTTestBroker) -> None:
    """In order, with all that is known of it."""
    with blocking(broker.port, "c1") as peer:
        peer.send(Publish(b"a/1", b"x", qos=1, retain=True, packet_id=1), Publish(b"b", b"y"))
        assert isinstance(peer.receive(), PubAck)
    broker.publish("a/2", b"z")

    first = MQTTMessage("a/1", b"x", qos=1, to_retain=True, client_id="c1")
    second = MQTTMessage("b", b"y", client_id="c1")
    assert broker.messages() == [first, second, MQTTMessage("a/2", b"z")]
    assert broker.messages("a/#") == [first, MQTTMessage("a/2", b"z")]
    assert broker.messages("c") == []
    broker.forget_messages()
    assert broker.messages() == []


def test_the_record_is_no_subscriber(broker: MQTTTestBroker) -> None:
    """To publishers and in statistics there is nobody."""
    assert broker.publish("a", b"") == 0
    assert broker.call(broker.server.broker.subscribers) == ()
    assert broker.call(broker.server.broker.subscribers, "a") == ()
    with blocking(broker.port) as peer:
        peer.send(Publish(b"a", b"", qos=1, packet_id=1))
        assert peer.receive() == PubAck(1, ReasonCode.NO_MATCHING_SUBSCRIBERS)


def test_wait_for_message(broker: MQTTTestBroker) -> None:
    """One that was there, then one that is to come; each once."""
    broker.publish("a", b"1")
    broker.publish("b", b"2")
    assert broker.wait_for_message("b").payload == b"2"
    assert broker.wait_for_message().payload == b"1"
    timer = later(lambda: broker.publish("b", b"3"))
    assert broker.wait_for_message("b").payload == b"3"
    timer.join()
    with pytest.raises(TimeoutError, match=r"no message of \+ within 0.01 s; published were a, b"):
        broker.wait_for_message("+", timeout=0.01)
    assert len(broker.messages()) == 3


@pytest.mark.parametrize("topic_filter", ["", "a/#/b", "a+"])
def test_filters_that_are_not_allowed(broker: MQTTTestBroker, topic_filter: str) -> None:
    """They are refused at once."""
    with pytest.raises(TopicError):
        broker.messages(topic_filter)
    with pytest.raises(TopicError):
        broker.wait_for_message(topic_filter)


def test_the_record_is_bounded() -> None:
    """The latest are kept."""
    with MQTTTestBroker() as broker:
        record = Record(2)
        broker.call(record.attach, broker.server.broker)
        for number in range(3):
            broker.publish("a", b"%d" % number)
    assert [each.payload for each in record.messages("#")] == [b"1", b"2"]


def test_wait_for_client(broker: MQTTTestBroker) -> None:
    """That one or any; those who have gone don't count."""
    with pytest.raises(TimeoutError, match=r"no client at all within 0.01 s; there are none"):
        broker.wait_for_client(timeout=0.01)
    with blocking(broker.port, "c1"), blocking(broker.port, "c2", stays=60) as peer:
        assert broker.wait_for_client("c2") == "c2"
        assert broker.wait_for_client() == "c1"
        assert [each.client_id for each in broker.sessions()] == ["c1", "c2"]
        peer.subscribe("a/#")
        broker.disconnect("c2")
        with pytest.raises(TimeoutError, match=r"there are c1 \[\], c2 \(away\) \['a/#'\]"):
            broker.wait_for_client("c2", timeout=0.01)


def test_wait_for_subscriber(broker: MQTTTestBroker) -> None:
    """So that what the test publishes isn't lost."""
    with blocking(broker.port, "c1") as peer:
        with pytest.raises(TimeoutError, match=r"no subscriber to a/1 .* there are c1"):
            broker.wait_for_subscriber("a/1", timeout=0.01)
        timer = later(lambda: peer.subscribe("a/+"))
        assert broker.wait_for_subscriber("a/1") == "mqtt c1"
        timer.join()
        assert broker.publish("a/1", b"") == 1
    with pytest.raises(TopicError):
        broker.wait_for_subscriber("a/#")


def test_disconnect(broker: MQTTTestBroker) -> None:
    """With a reason, or as if the network had failed; the will is remembered as what it is."""
    with blocking(broker.port, "c1", will=Will(b"will", b"gone")) as peer:
        assert broker.disconnect("c1", ReasonCode.SERVER_BUSY)
        assert peer.receive() == Disconnect(ReasonCode.SERVER_BUSY)
        assert broker.wait_for_message("will").client_id == "c1"
        assert not broker.disconnect("c1")
    with blocking(broker.port, "c1") as peer:
        assert broker.disconnect("c1", None)
        assert peer.receive() is None


def test_restart(broker: MQTTTestBroker) -> None:
    """On the same port, without sessions; what was published is still known."""
    url = broker.url
    broker.publish("a", b"1", retain=True)
    assert broker.retained() == [TopicMessage("a", b"1", retain=True)]
    with blocking(broker.port, stays=60) as peer:
        broker.restart()
        assert peer.receive() == Disconnect(ReasonCode.SERVER_SHUTTING_DOWN)
    assert broker.url == url
    assert broker.sessions() == ()
    assert broker.retained() == []
    with blocking(broker.port) as peer:
        peer.send(Publish(b"a", b"2"))
        assert [broker.wait_for_message("a").payload for _ in range(2)] == [b"1", b"2"]


def test_while_it_is_stopped(broker: MQTTTestBroker) -> None:
    """Clients are refused; what was published can be looked at."""
    broker.publish("a", b"1")
    broker.stop()
    with pytest.raises(ConnectionRefusedError), blocking(broker.port):
        pass
    assert broker.wait_for_message("a").payload == b"1"
    with pytest.raises(ServerClosed):
        broker.sessions()
    with pytest.raises(ServerClosed):
        broker.wait_for_client()
    broker.start()
    with blocking(broker.port, "c1"):
        assert broker.wait_for_client() == "c1"


def test_the_port_may_be_chosen(broker: MQTTTestBroker) -> None:
    """If it is free."""
    with pytest.raises(BindError):
        MQTTTestBroker(f"tcp://localhost:{broker.port}").start()
