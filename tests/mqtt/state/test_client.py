"""A client: each packet in each state, the order of things, time, and how it ends."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from speedo_trio.errors import HandlerError, MQTTError, RetainedFull
from speedo_trio.mqtt.state.asks import ALLOW, MORE, Asking, AskPublish
from speedo_trio.mqtt.state.client import TRANSITIONS
from speedo_trio.mqtt.state.machine import State
from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packets import (
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionOptions,
    UnsubAck,
    Unsubscribe,
    Will,
)
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.versions import Version
from tests.mqtt.state.world import V5, V31, V311, Peer, World, payloads, publish, subscribe

CONNECT = Connect(client_id="again", version=V5)
WRONG = ReasonCode.PROTOCOL_ERROR

PACKETS: dict[str, Packet] = {
    "CONNECT": CONNECT,
    "CONNACK": ConnAck(),
    "PUBLISH 0": publish(0),
    "PUBLISH 1": publish(1, 7),
    "PUBLISH 2": publish(2, 7),
    "PUBACK": PubAck(7),
    "PUBREC": PubRec(7),
    "PUBREL": PubRel(7),
    "PUBCOMP": PubComp(7),
    "SUBSCRIBE": Subscribe(7, [(b"a", SubscriptionOptions(1))]),
    "SUBACK": SubAck(7, [ReasonCode.GRANTED_QOS_0]),
    "UNSUBSCRIBE": Unsubscribe(7, [b"a"]),
    "UNSUBACK": UnsubAck(7, [ReasonCode.SUCCESS]),
    "PINGREQ": PingReq(),
    "PINGRESP": PingResp(),
    "DISCONNECT": Disconnect(),
    "AUTH": Auth(ReasonCode.CONTINUE_AUTHENTICATION, Properties(authentication_method="m")),
}

_NO_TAKER = ReasonCode.NO_MATCHING_SUBSCRIBERS
_UNKNOWN = ReasonCode.PACKET_IDENTIFIER_NOT_FOUND

# What comes back in 5.0, and before it; what is not here ends the connection.
CONNECTED: dict[str, tuple[list[Packet], list[Packet]]] = {
    "PUBLISH 0": ([], []),
    "PUBLISH 1": ([PubAck(7, _NO_TAKER)], [PubAck(7)]),
    "PUBLISH 2": ([PubRec(7, _NO_TAKER)], [PubRec(7)]),
    "PUBACK": ([], []),
    "PUBREC": ([PubRel(7, _UNKNOWN)], [PubRel(7)]),
    "PUBREL": ([PubComp(7, _UNKNOWN)], [PubComp(7)]),
    "PUBCOMP": ([], []),
    "SUBSCRIBE": ([SubAck(7, [ReasonCode.GRANTED_QOS_1])], [SubAck(7, [ReasonCode.GRANTED_QOS_1])]),
    "UNSUBSCRIBE": ([UnsubAck(7, [ReasonCode.NO_SUBSCRIPTION_EXISTED])], [UnsubAck(7)]),
    "PINGREQ": ([PingResp()], [PingResp()]),
}


def authenticating(world: World) -> Peer:
    """A client of 5.0 in the midst of an authentication."""
    from speedo_trio.mqtt.state.asks import Challenge

    peer = world.open(Asking(connect=True))
    properties = Properties(authentication_method="m")
    ask = peer.send(Connect(client_id="client", properties=properties, will=Will(b"w")))
    assert peer.client.answer(ask, Challenge(b"?"), world.now) is None
    peer.take()
    return peer


@pytest.mark.parametrize("name", [name for name in PACKETS if name != "CONNECT"])
def test_before_connect_nothing_is_allowed(name: str) -> None:
    """[MQTT-3.1.0-1] The connection closes, and nothing is sent."""
    peer = World().open()

    peer.send(PACKETS[name])

    assert ([], WRONG) == (peer.line.frames, peer.closed)


@pytest.mark.parametrize(("name", "version"), [*product(PACKETS, Version)])
def test_each_packet_of_a_client_that_is_connected(name: str, version: Version) -> None:
    """[MQTT-3.3.4-1] [MQTT-3.8.4-1] [MQTT-3.10.4-4] [MQTT-3.12.4-1] It is answered, or ends it.

    [MQTT-3.1.0-2] A second CONNECT ends the connection. [MQTT-4.13.1-1] What is not allowed is
    told to clients of 5.0 only, and the will is published.
    """
    world = World()
    peer = world.connect(version=version, will=Will(b"w"))

    answers = peer.ask(PACKETS[name])

    if name == "DISCONNECT":
        assert ([], ReasonCode.SUCCESS, []) == (answers, peer.closed, world.hub.wills)
    elif name in CONNECTED:
        assert CONNECTED[name][version is not V5] == answers
        assert peer.closed is None
    else:
        told = [type(packet) for packet in answers]
        assert ([Disconnect] if version is V5 else []) == told
        assert WRONG is peer.closed
        assert [b"w"] == [will.topic for will in world.hub.wills]


@pytest.mark.parametrize("name", PACKETS)
def test_each_packet_of_a_client_that_authenticates(name: str) -> None:
    """[MQTT-3.1.2-30] Only AUTH and DISCONNECT are allowed; others are refused in CONNACK.

    [MQTT-3.14.0-1] No DISCONNECT is sent before the CONNACK.
    """
    world = World()
    peer = authenticating(world)

    outcome = peer.send(PACKETS[name])

    if name == "AUTH":
        assert (outcome.method, outcome.data) == ("m", None)
    elif name == "DISCONNECT":
        assert ([], ReasonCode.SUCCESS) == (peer.take(), peer.closed)
    else:
        (connack,) = peer.take()
        assert isinstance(connack, ConnAck)
        assert (WRONG, False) == (connack.reason, connack.session_present)
        assert WRONG is peer.closed
    assert [] == world.hub.wills


@pytest.mark.parametrize("name", PACKETS)
def test_nothing_is_processed_after_the_end(name: str) -> None:
    """[MQTT-3.14.4-1] [MQTT-3.14.4-2] Nor is anything sent, and it closes once."""
    world = World()
    peer = world.connect()
    peer.ask(Disconnect())

    assert peer.ask(PACKETS[name]) == []
    assert [] == world.hub.published


def test_what_follows_a_disconnect_in_the_same_read_is_not_processed() -> None:
    """[MQTT-3.14.4-1] The packets behind it are dropped, what is wrong among them too."""
    world = World()
    peer = world.connect()

    assert peer.send(Disconnect(), publish(0), ConnAck()) is None

    assert ([], ReasonCode.SUCCESS, False) == (world.hub.published, peer.closed, peer.client.busy)


def test_every_state_has_its_table() -> None:
    """None is forgotten, and no packet that only a server sends is in one."""
    assert set(State) == set(TRANSITIONS)
    for table in TRANSITIONS.values():
        assert table.keys().isdisjoint({ConnAck, SubAck, UnsubAck, PingResp})


# Bytes


def test_bytes_cut_anywhere_do_the_same() -> None:
    """A byte a read gives the same answers as one read for all."""
    data = encode(CONNECT, V5) + b"".join(
        encode(PACKETS[name], V5) for name in ("SUBSCRIBE", "PUBLISH 1", "PINGREQ")
    )
    whole, cut = World().open(), World().open()

    whole.client.receive_data(data, 0)
    for byte in data:
        cut.client.receive_data(bytes((byte,)), 0)

    assert whole.take() == cut.take()


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        pytest.param(b"\x10\x0c\0\4MQTT\6\2\0\0\0\0", b"\x20\3\0\x84\0", id="MQTT 6"),
        pytest.param(b"\x10\x0c\0\4MQTT\3\2\0\0\0\0", b"\x20\2\0\1", id="MQTT 3"),
        pytest.param(b"\x10\x0e\0\6MQIsdp\4\2\0\0\0\0", b"\x20\2\0\1", id="MQIsdp 4"),
        pytest.param(b"\x10\x0c\0\4MQTX\5\2\0\0\0\0", b"", id="another name"),
        pytest.param(b"\x30\x03\0\1a", b"", id="PUBLISH"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", b"", id="HTTP"),
        pytest.param(b"\x10\x0c\0\4MQTT\4\1\0\0\0\0", b"", id="malformed, 3.1.1"),
        pytest.param(b"\x10\x0d\0\4MQTT\5\1\0\0\0\0\0", b"\x20", id="malformed, 5.0"),
    ],
)
def test_a_connect_that_is_none_is_answered_as_its_version_can(data: bytes, answer: bytes) -> None:
    """[MQTT-3.1.2-1] [MQTT-3.1.2-2] [MQTT3-3.1.2-2] [MQTT3-3.1.4-1] Or not at all."""
    peer = World().open()

    peer.client.receive_data(data, 0)

    sent = b"".join(peer.line.frames)
    assert sent == answer or (answer == b"\x20" and sent[3] == ReasonCode.MALFORMED_PACKET)
    assert peer.closed is not None


def test_an_error_behind_packets_ends_the_connection_after_them() -> None:
    """[MQTT-4.13.1-1] What came before counts, and is answered before the DISCONNECT."""
    world = World()
    peer = world.connect()

    peer.client.receive_data(encode(publish(1, 3), V5) + b"\x00\x00", 0)

    answers = peer.take()
    assert [PubAck, Disconnect] == [type(packet) for packet in answers]
    assert ReasonCode.MALFORMED_PACKET is peer.closed


def test_a_packet_over_the_limit_is_refused_by_its_length() -> None:
    """[MQTT-3.2.2-15] Before its body has come."""
    world = World(maximum_packet_size=64)
    peer = world.connect()

    peer.client.receive_data(b"\x30\x80\x01", 0)

    (disconnect,) = peer.take()
    assert isinstance(disconnect, Disconnect)
    assert ReasonCode.PACKET_TOO_LARGE is disconnect.reason


# Turns, and asks


def test_the_turn_of_one_client_ends() -> None:
    """After so many messages and deliveries others are to have their turn; then it goes on."""
    world = World()
    world.subscriber(b"a", 0)
    peer = world.connect()

    outcome = peer.client.receive_many([publish(0)] * 10, 0, turn=8)

    assert (MORE, 4) == (outcome, len(world.hub.published))
    assert peer.client.deadline is None
    assert MORE is peer.client.proceed(0, turn=8)
    assert peer.client.proceed(0, turn=8) is None
    assert 10 == len(world.hub.published)


def test_plain_messages_have_turns_too() -> None:
    """Also those that take the short way."""
    world = World()
    peer = world.connect()
    packets = [publish(0, raw=b"raw")] * 10

    assert MORE is peer.client.receive_many(packets, 0, turn=6)

    assert 6 == len(world.hub.published)


def test_packets_wait_for_a_verdict() -> None:
    """[MQTT-4.6.0-2] [MQTT-4.6.0-3] Those behind an ask are dealt with after it, in order."""
    world = World()
    peer = world.connect(asking=Asking(publish=True))

    ask = peer.send(publish(1, 1), publish(2, 2), PingReq())

    assert isinstance(ask, AskPublish)
    assert [] == peer.take()
    assert peer.client.deadline is None
    second = peer.client.answer(ask, ALLOW, 0)
    assert isinstance(second, AskPublish)
    assert peer.client.answer(second, ALLOW, 0) is None
    assert [PubAck, PubRec, PingResp] == [type(packet) for packet in peer.take()]


def test_a_host_that_decides_is_asked_about_each_message() -> None:
    """Plain ones too, which go the short way else."""
    world = World()
    peer = world.connect(asking=Asking(publish=True))

    ask = peer.client.receive_data(encode(publish(0), V5), 0)

    assert isinstance(ask, AskPublish)
    assert [] == world.hub.published
    peer.client.answer(ask, ALLOW, 0)
    assert [ask.publication] == world.hub.published


def test_a_message_that_ends_the_connection_when_it_is_allowed() -> None:
    """An error behind the verdict is answered as one before it would be."""
    world = World()
    peer = world.connect(version=V311, asking=Asking(publish=True))
    ask = peer.send(publish(1), PingReq())
    world.hub.error = RetainedFull("full")

    assert peer.client.answer(ask, ALLOW, world.now) is None

    assert (ReasonCode.QUOTA_EXCEEDED, []) == (peer.closed, peer.take())


def test_an_answer_that_no_client_can_take_is_left_out() -> None:
    """[MQTT-3.1.2-24] As many reason codes as filters are more than it takes."""
    peer = World(receive_maximum=65_535, topic_alias_maximum=0).connect(
        properties={"maximum_packet_size": 20}
    )
    filters = [(b"%d" % number, SubscriptionOptions()) for number in range(20)]

    assert [] == peer.ask(Subscribe(1, filters))
    assert [PingResp()] == peer.ask(PingReq())


def test_the_time_that_a_host_takes_is_not_the_clients() -> None:
    """[MQTT-3.1.2-22] The keep alive counts from the verdict."""
    world = World()
    peer = world.connect(asking=Asking(publish=True), keep_alive=10)
    ask = peer.send(publish(0))
    world.now += 100

    peer.client.answer(ask, ALLOW, world.now)

    assert world.now + 15 == peer.client.deadline


def test_a_host_that_errs_is_told() -> None:
    """Packets or turns while an ask waits, an answer to another ask, a verdict that is none."""
    world = World()
    peer = world.connect(asking=Asking(publish=True))
    ask = peer.send(publish(0))

    with pytest.raises(HandlerError, match="allowed is answer"):
        peer.send(PingReq())
    with pytest.raises(HandlerError, match="while an ask waits"):
        peer.client.proceed(0)
    with pytest.raises(HandlerError, match="asked is"):
        peer.client.answer(AskPublish("client", ask.publication), ALLOW, 0)
    wrong: Any = object()
    with pytest.raises(HandlerError, match="no verdict"):
        peer.client.answer(ask, wrong, 0)


def test_a_verdict_that_comes_after_the_end_does_nothing() -> None:
    """The connection broke while the host decided."""
    world = World()
    peer = world.connect(asking=Asking(publish=True))
    ask = peer.send(publish(1), PingReq())
    peer.drop()
    assert not peer.client.busy

    assert peer.client.answer(ask, ALLOW, 0) is None
    assert peer.client.proceed(0) is None

    assert ([], [], None) == (world.hub.published, peer.line.frames, peer.closed)


# Time


@pytest.mark.parametrize("version", Version)
def test_keep_alive(version: Version) -> None:
    """[MQTT-3.1.2-22] One and a half times without a packet ends it; the will is published."""
    world = World()
    peer = world.connect(version=version, keep_alive=10, will=Will(b"w"))
    world.now += 14
    peer.ask(PingReq())
    world.now += 14.9
    peer.client.expire(world.now)
    assert "CONNECTED" == peer.client.state.name

    assert peer.client.deadline == 1000 + 14 + 15
    world.now += 0.1
    peer.client.expire(world.now)

    assert ReasonCode.KEEP_ALIVE_TIMEOUT is peer.closed
    assert [ReasonCode.KEEP_ALIVE_TIMEOUT] * (version is V5) == [
        packet.reason for packet in peer.take() if isinstance(packet, Disconnect)
    ]
    assert 1 == len(world.hub.wills)


def test_bytes_that_are_no_packet_yet_do_not_keep_alive() -> None:
    """[MQTT-3.1.2-22] It is complete packets that count."""
    world = World()
    peer = world.connect(keep_alive=10)

    peer.client.receive_data(b"\x30\x05\0", world.now + 14)

    assert world.now + 15 == peer.client.deadline


def test_no_keep_alive() -> None:
    """[MQTT-3.1.2-22] 0 turns it off."""
    peer = World().connect(keep_alive=0)

    assert peer.client.deadline is None
    peer.client.expire(1e9)
    assert peer.closed is None


def test_the_servers_keep_alive_is_told_and_counts() -> None:
    """[MQTT-3.2.2-22] [MQTT-3.1.2-22] To clients of 5.0; others keep theirs."""
    world = World(server_keep_alive=20)

    five, three = world.connect(keep_alive=10), world.connect("3", V311, keep_alive=10)

    assert (world.now + 30, world.now + 15) == (five.client.deadline, three.client.deadline)


def test_what_the_server_does_not_read_is_not_the_clients_fault() -> None:
    """The keep alive counts from when it reads again."""
    world = World()
    peer = world.connect(keep_alive=10)

    peer.client.touch(world.now + 100)

    assert world.now + 115 == peer.client.deadline


def test_connect_must_come_in_time() -> None:
    """[MQTT-3.1.0-1] Else the connection closes, and nothing is sent."""
    world = World(connect_timeout=5)
    peer = world.open()

    assert world.now + 5 == peer.client.deadline
    peer.client.expire(world.now + 5)

    assert ([], State.OVER) == (peer.line.frames, peer.client.state)
    assert peer.closed is not None
    assert peer.client.deadline is None


def test_an_authentication_must_end_in_time() -> None:
    """It is refused then; the time begins with CONNECT."""
    world = World(connect_timeout=5)
    peer = authenticating(world)

    peer.client.expire(world.now + 4.9)
    assert peer.closed is None
    peer.client.expire(world.now + 5)

    (connack,) = peer.take()
    assert isinstance(connack, ConnAck)
    assert ReasonCode.NOT_AUTHORIZED is connack.reason


# The end


@pytest.mark.parametrize("version", Version)
def test_the_host_ends_it(version: Version) -> None:
    """[MQTT-3.14.4-2] [MQTT-4.13.2-1] Clients of 5.0 are told why; the will is published."""
    world = World()
    peer = world.connect(version=version, will=Will(b"w"))

    peer.client.fail(ReasonCode.SERVER_SHUTTING_DOWN, world.now, "it ends")
    peer.client.fail(ReasonCode.ADMINISTRATIVE_ACTION, world.now)

    told = [(packet.reason, packet.properties.reason_string) for packet in peer.take()]  # type: ignore[union-attr]  # DISCONNECTs
    assert [(ReasonCode.SERVER_SHUTTING_DOWN, "it ends")] * (version is V5) == told
    assert (ReasonCode.SERVER_SHUTTING_DOWN, 1) == (peer.closed, len(world.hub.wills))


def test_a_connection_that_breaks() -> None:
    """[MQTT-3.1.2-8] The will is published; nothing is sent, and nothing is closed again."""
    world = World()
    peer = world.connect(will=Will(b"w"))

    peer.drop()
    peer.drop()

    assert ([], None, 1) == (peer.line.frames, peer.closed, len(world.hub.wills))


def test_an_error_of_the_reader_raises_nothing() -> None:
    """Whatever iterating over the packets raises as an MQTTError ends the connection only."""

    def packets() -> Any:
        yield publish(0)
        raise MQTTError("wrong", ReasonCode.TOPIC_ALIAS_INVALID)

    world = World()
    peer = world.connect()

    assert peer.client.receive_many(packets(), 0) is None

    assert (ReasonCode.TOPIC_ALIAS_INVALID, "wrong") == (peer.closed, peer.text)
    assert 1 == len(world.hub.published)


def test_a_publication_that_ends_its_own_connection() -> None:
    """The rest of the read is dropped, and nothing is answered any more."""
    world = World()
    peer = world.connect(expiry=60)

    class End:
        def deliver(self, publication: object, terms: object) -> bool:
            peer.client.fail(ReasonCode.ADMINISTRATIVE_ACTION, world.now)
            return True

    world.hub.exchange.subscribe(b"a", End(), subscribe_terms())

    assert peer.send(publish(1), publish(1, 2)) is None

    assert [Disconnect] == [type(packet) for packet in peer.take()]
    assert 1 == len(world.hub.published)


def test_a_line_that_ends_the_connection_while_it_is_written_to() -> None:
    """As a mailbox does that has too many answers: nothing is said twice."""
    world = World()
    peer = world.connect()
    line = peer.line

    def answer(frame: bytes) -> None:
        line.frames.append(frame)
        peer.client.fail(ReasonCode.QUOTA_EXCEEDED, world.now)

    line.answer = answer  # type: ignore[method-assign]  # a line of another kind

    assert peer.send(PingReq(), PingReq()) is None

    assert [PingResp, PingResp, Disconnect] == [type(packet) for packet in peer.take()]


def subscribe_terms() -> Any:
    """For QoS 0."""
    from speedo_trio.mqtt.state.terms import MQTTTerms

    return MQTTTerms(0)


def test_versions_share_a_session() -> None:
    """A session of 5.0 is taken up by 3.1.1 and back; each gets packets of its version."""
    world = World()
    peer = world.keep(version=V311)
    peer.ask(subscribe(b"a", 1))
    peer.drop()
    world.publish(qos=1, payload=b"1", properties=Properties(content_type="text/plain"))

    five = world.keep(version=V5)
    (first,) = five.take()
    five.ask(PubAck(1))
    world.publish(qos=1, payload=b"2")
    five.drop()
    three = world.keep(version=V31)

    assert Properties(content_type="text/plain") == first.properties  # type: ignore[union-attr]  # a PUBLISH
    assert [b"2"] == payloads(three.take())
