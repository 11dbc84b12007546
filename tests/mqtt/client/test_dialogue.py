"""The dialogue: packets in, events and packets out."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedo_trio import ConfigError, ConnectionClosed, FrameTooLong, MQTTError
from speedo_trio.mqtt.client.dialogue import Dialogue
from speedo_trio.mqtt.client.events import Arrived, ClientEvent, Ponged, Settled, Welcomed
from speedo_trio.mqtt.client.login import Login
from speedo_trio.mqtt.client.memory import Memory
from speedo_trio.mqtt.client.message import Arrival
from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionOptions,
    UnsubAck,
    Unsubscribe,
)
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reader import PacketReader
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.versions import Version
from tests.mqtt.client.scene import V5, V311

NOT_FOUND = ReasonCode.PACKET_IDENTIFIER_NOT_FOUND


class Talk:
    """A dialogue, and the server's part in it."""

    def __init__(
        self,
        login: Login | None = None,
        memory: Memory | None = None,
        *,
        present: bool = False,
        properties: Properties | None = None,
    ) -> None:
        login = login or Login(client_id="c")
        self.version = login.version
        self.dialogue = Dialogue(login, 0.0, memory)
        self._reader = PacketReader()
        (connect,) = self.sent()
        assert isinstance(connect, Connect)
        self.connect = connect
        (self.welcomed,) = self.hear(ConnAck(session_present=present, properties=properties))

    def sent(self) -> list[Packet]:
        """What the client has sent since this was asked last."""
        return list(self._reader.feed(self.dialogue.data_to_send()))

    def hear(self, *packets: Packet) -> list[ClientEvent]:
        """What packets of the server are to the client."""
        data = b"".join(encode(each, self.version) for each in packets)
        return list(self.dialogue.receive_data(data, 0.0))

    def may_publish(self) -> bool:
        """Whether the server takes one more."""
        return self.dialogue.may_publish

    def publish(self, qos: int = 1, payload: bytes = b"x") -> int:
        """Publish something; its identifier."""
        assert not qos or self.may_publish()
        return self.dialogue.publish(b"t", payload, qos, None, retain=False)


def arrivals(events: Iterable[ClientEvent]) -> list[Arrival]:
    """What is to be acknowledged."""
    found = [each.message.arrival for each in events if isinstance(each, Arrived)]
    assert None not in found
    return [each for each in found if each is not None]


def test_the_welcome() -> None:
    """What the server tells is there, and its keep alive holds."""
    told = Properties(server_keep_alive=5)
    talk = Talk(properties=told)

    assert talk.welcomed == Welcomed(session_present=False, properties=told)
    assert talk.dialogue.pulse.deadline == 5.0


def test_a_refusal() -> None:
    """It ends the connection, and tells why."""
    dialogue = Dialogue(Login(), 0.0)
    refusal = encode(ConnAck(ReasonCode.BANNED, properties=Properties(reason_string="why")), V5)
    with pytest.raises(ConnectionClosed, match="the server refused: banned: why"):
        list(dialogue.receive_data(refusal, 0.0))


@pytest.mark.parametrize("packet", [PingResp(), Publish(b"a"), Disconnect()])
def test_connack_comes_first(packet: Packet) -> None:
    """Anything else is a protocol error."""
    dialogue = Dialogue(Login(), 0.0)
    with pytest.raises(MQTTError, match="allowed is CONNACK first"):
        list(dialogue.receive_data(encode(packet, V5), 0.0))


@pytest.mark.parametrize(
    "packet",
    [
        *(PingReq(), ConnAck(), SubAck(1, [ReasonCode.SUCCESS]), UnsubAck(9, [ReasonCode.SUCCESS])),
        *(Subscribe(1, [(b"a", SubscriptionOptions())]), Unsubscribe(1, [b"a"])),
    ],
)
def test_what_a_server_may_not_send(packet: Packet) -> None:
    """It is told so."""
    talk = Talk()
    with pytest.raises(MQTTError, match=r"the server sent [A-Z]+; allowed is"):
        talk.hear(packet)
    assert talk.sent() == [Disconnect(ReasonCode.PROTOCOL_ERROR)]


def test_a_goodbye_of_the_server() -> None:
    """Its reason is the error."""
    with pytest.raises(ConnectionClosed, match="closed the connection: session taken over"):
        Talk().hear(Disconnect(ReasonCode.SESSION_TAKEN_OVER))


@pytest.mark.parametrize("version", Version)
def test_qos_1(version: Version) -> None:
    """PUBACK settles it; a reason is kept."""
    talk = Talk(Login(client_id="c", version=version))
    number = talk.publish()
    assert talk.sent() == [Publish(b"t", b"x", 1, packet_id=number)]
    reason = ReasonCode.QUOTA_EXCEEDED if version is V5 else ReasonCode.SUCCESS

    assert talk.hear(PubAck(number, reason)) == [Settled(number, (reason,))]


@pytest.mark.parametrize("version", Version)
def test_qos_2(version: Version) -> None:
    """PUBREC is answered, PUBCOMP settles it."""
    talk = Talk(Login(client_id="c", version=version))
    number = talk.publish(2)
    talk.sent()
    assert talk.hear(PubRec(number)) == []
    assert talk.sent() == [PubRel(number)]
    assert talk.hear(PubRec(number)) == []
    assert talk.sent() == [PubRel(number)]

    assert talk.hear(PubComp(number)) == [Settled(number, (ReasonCode.SUCCESS,))]


def test_qos_2_refused() -> None:
    """Then PUBREC settles it."""
    talk = Talk()
    number = talk.publish(2)

    assert talk.hear(PubRec(number, ReasonCode.NOT_AUTHORIZED)) == [
        Settled(number, (ReasonCode.NOT_AUTHORIZED,))
    ]


def test_answers_to_nothing() -> None:
    """They are borne, as sessions may be lost; those of another kind are not."""
    talk = Talk()
    talk.sent()
    assert talk.hear(PubAck(7), PubComp(7), PubRec(7)) == []
    assert talk.sent() == [PubRel(7, NOT_FOUND)]
    number = talk.publish(1)
    with pytest.raises(MQTTError, match="PUBREC; allowed is an answer to what was sent"):
        talk.hear(PubRec(number))


def test_the_quota() -> None:
    """No more messages than the server takes; each end makes room for one."""
    talk = Talk(properties=Properties(receive_maximum=2))
    first, second = talk.publish(1), talk.publish(2)
    assert not talk.may_publish()
    talk.hear(PubRec(second))
    assert not talk.may_publish()
    talk.hear(PubAck(first))
    assert talk.may_publish()
    talk.publish()
    talk.hear(PubComp(second))

    assert talk.may_publish()


def test_the_quota_before_5() -> None:
    """The server can't tell how many it takes; more than mosquitto does would end it."""
    talk = Talk(Login(client_id="c", version=V311))
    for _ in range(20):
        talk.publish()

    assert not talk.may_publish()


def test_what_the_server_does_not_take() -> None:
    """It is refused here, and nothing is sent."""
    talk = Talk(properties=Properties(maximum_qos=1, retain_available=False, maximum_packet_size=9))
    talk.sent()
    with pytest.raises(ConfigError, match="qos is 2; the server allows 1"):
        talk.publish(2)
    with pytest.raises(ConfigError, match="to be retained; the server allows none"):
        talk.dialogue.publish(b"t", b"x", 0, None, retain=True)
    with pytest.raises(FrameTooLong, match="a packet of 10 bytes; the server allows 9"):
        talk.publish(0, b"1234")
    talk.publish(0, b"123")

    assert talk.sent() == [Publish(b"t", b"123")]


def test_questions() -> None:
    """Each answer settles its identifier; those in use are not given out."""
    talk = Talk()
    options = SubscriptionOptions(1)
    numbers = {
        talk.dialogue.subscribe([(b"a", options), (b"b", options)]),
        talk.dialogue.unsubscribe([b"a"]),
        talk.publish(),
    }
    assert numbers == {1, 2, 3}
    talk.dialogue.ping()
    granted = (ReasonCode.GRANTED_QOS_1, ReasonCode.NOT_AUTHORIZED)

    assert talk.hear(SubAck(1, list(granted)), UnsubAck(2, [ReasonCode.SUCCESS]), PingResp()) == [
        Settled(1, granted),
        Settled(2, (ReasonCode.SUCCESS,)),
        Ponged(),
    ]


def test_a_message() -> None:
    """All that was sent is there; with QoS 0 nothing is to be acknowledged."""
    talk = Talk()
    properties = Properties(user=(("k", "v"),))
    (event,) = talk.hear(Publish(b"a/b", b"x", retain=True, properties=properties))

    assert isinstance(event, Arrived)
    message = event.message
    assert (message.topic, message.payload, message.retain) == ("a/b", b"x", True)
    assert (message.properties, message.arrival) == (properties, None)


def test_acknowledgements_keep_the_order() -> None:
    """Of the messages, whatever the order in which they are dealt with."""
    talk = Talk()
    first, second, third = arrivals(
        talk.hear(*(Publish(b"a", b"", qos, packet_id=9 - qos) for qos in (1, 2)))
        + talk.hear(Publish(b"a", b"", 1, packet_id=3))
    )
    talk.sent()
    talk.dialogue.acknowledge(third)
    talk.dialogue.acknowledge(second)
    assert talk.sent() == []
    talk.dialogue.acknowledge(first)

    assert talk.sent() == [PubAck(8), PubRec(7), PubAck(3)]


def test_qos_2_comes_once() -> None:
    """From the acknowledgement to PUBREL; before, it comes again."""
    talk = Talk()
    publish = Publish(b"a", b"", 2, packet_id=5)
    (arrival,) = arrivals(talk.hear(publish))
    talk.dialogue.acknowledge(arrival)
    assert talk.hear(Publish(b"a", b"", 2, dup=True, packet_id=5)) == []
    assert talk.sent() == [PubRec(5), PubRec(5)]
    talk.hear(PubRel(5))
    assert talk.sent() == [PubComp(5)]
    assert len(talk.hear(publish)) == 1
    talk.hear(PubRel(6))

    assert talk.sent() == [PubComp(6, NOT_FOUND)]


def test_a_server_that_sends_too_much() -> None:
    """More than the client said that it takes."""
    talk = Talk(Login(client_id="c", receive_maximum=2))
    first, _ = arrivals(talk.hear(*(Publish(b"a", b"", 2, packet_id=each) for each in (1, 2))))
    talk.dialogue.acknowledge(first)
    with pytest.raises(MQTTError, match="more than 2 messages that were not acknowledged"):
        talk.hear(Publish(b"a", b"", 1, packet_id=3))


def test_a_topic_alias() -> None:
    """The client has not said that it knows what to do with one."""
    with pytest.raises(MQTTError, match="the topic alias 1; allowed is none") as caught:
        Talk().hear(Publish(b"a", properties=Properties(topic_alias=1)))
    assert caught.value.reason == ReasonCode.TOPIC_ALIAS_INVALID


def test_a_session_goes_on() -> None:
    """What was in flight is sent again, in its order and as far as the server takes it."""
    memory = Memory()
    talk = Talk(memory=memory)
    first, second, third = talk.publish(1), talk.publish(2), talk.publish(1)
    talk.hear(PubRec(second))
    talk.hear(Publish(b"a", b"", 2, packet_id=5))
    (arrival,) = arrivals(talk.hear(Publish(b"a", b"", 2, packet_id=6)))
    talk.dialogue.acknowledge(arrival)  # the first has not been

    again = Talk(memory=memory, present=True, properties=Properties(receive_maximum=1))
    assert again.sent() == [PubRel(second), Publish(b"t", b"x", 1, dup=True, packet_id=first)]
    assert not again.may_publish()
    again.hear(PubComp(second))
    assert not again.may_publish()  # its PUBREL took nothing of the quota
    again.hear(PubAck(first))
    assert again.sent() == [Publish(b"t", b"x", 1, dup=True, packet_id=third)]
    again.hear(PubAck(third))
    assert again.may_publish()
    assert len(again.hear(Publish(b"a", b"", 2, dup=True, packet_id=6))) == 1
    again.dialogue.acknowledge(arrival)  # of the connection before

    assert again.sent() == []


def test_a_session_that_is_gone() -> None:
    """Nothing is sent again, and the server's identifiers are new."""
    memory = Memory(held={5})
    Talk(memory=memory).publish()
    talk = Talk(memory=memory)
    talk.hear(Publish(b"a", b"", 2, packet_id=5))

    assert talk.sent() == []


@pytest.mark.parametrize(("version", "reason"), [(V5, 0x00), (V5, 0x81), (V311, 0x00)])
def test_goodbye(version: Version, reason: int) -> None:
    """With its reason, where there is a place for it."""
    talk = Talk(Login(client_id="c", version=version))
    talk.dialogue.disconnect(ReasonCode(reason))

    assert talk.sent() == [Disconnect(ReasonCode(reason))]


def test_a_complaint_before_5() -> None:
    """It can't be said: a DISCONNECT would be a goodbye, and the will is to be published."""
    talk = Talk(Login(client_id="c", version=V311))
    talk.dialogue.disconnect(ReasonCode.PROTOCOL_ERROR)

    assert talk.sent() == []


@given(st.lists(st.integers(1, 60), max_size=12))
def test_bytes_may_come_in_any_pieces(sizes: list[int]) -> None:
    """The events are the same."""
    talk = Talk()
    talk.publish(2)
    packets: list[Packet] = [
        Publish(b"a", b"x" * 200, 1, packet_id=3),
        PubRec(1),
        PubComp(1),
        PingResp(),
    ]
    data = b"".join(encode(each, V5) for each in packets)
    events: list[ClientEvent] = []
    for size in (*sizes, len(data)):
        events += talk.dialogue.receive_data(data[:size], 0.0)
        data = data[size:]

    assert [type(each) for each in events] == [Arrived, Settled, Ponged]
