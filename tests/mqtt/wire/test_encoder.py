"""The encoder: the bytes that the standards show, back and forth, and what it refuses."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.errors import HandlerError, UnsendablePacket
from speedo_trio.mqtt.wire.decoder import decode
from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packets import (
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
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
from speedo_trio.mqtt.wire.reason_codes import CONNECT_RETURN_CODES, ReasonCode
from speedo_trio.mqtt.wire.versions import Version
from tests.mqtt.wire import strategies
from tests.mqtt.wire.examples import BOTH_WAYS, V3, V4, V5
from tests.mqtt.wire.streams import whole

WORD = Properties(reason_string="w")
LOCAL = SubscriptionOptions(no_local=True)


class Unsendable(NamedTuple):
    """What may not be sent, to whom, and the beginning of what the error says."""

    version: Version
    packet: Packet
    text: str


UNSENDABLE: dict[str, Unsendable] = {
    "CONNECT of another version": Unsendable(
        V4, Connect(client_id="c"), "CONNECT has the version MQTT_5_0; allowed is MQTT_3_1_1"
    ),
    "[MQTT-3.2.2-6] CONNACK": Unsendable(
        *(V5, ConnAck(ReasonCode.BANNED, session_present=True)),
        "CONNACK has a session with the reason code 0x8A",
    ),
    "[MQTT-3.2.2-8] CONNACK": Unsendable(
        V5, ConnAck(ReasonCode.GRANTED_QOS_1), "CONNACK has the reason code 0x01; allowed are 00, 8"
    ),
    "[MQTT3-3.2.2-6] CONNACK": Unsendable(
        *(V4, ConnAck(ReasonCode.SERVER_MOVED)),
        "CONNACK has the reason code 0x9D, which MQTT_3_1_1 can't say; allowed are 00, 84, 85, 86,",
    ),
    "CONNACK, properties in 3.1.1": Unsendable(
        V4, ConnAck(properties=WORD), "CONNACK has properties; they are allowed in MQTT 5.0 only"
    ),
    "[MQTT-3.3.2-2] PUBLISH": Unsendable(
        V4, Publish(b"a/#"), "the topic name b'a/#' has a wildcard"
    ),
    "[MQTT-3.3.2-1] PUBLISH": Unsendable(
        V5, Publish(b"\xff"), "the topic name b'\\xff' is not UTF"
    ),
    "[MQTT-4.7.3-1] PUBLISH": Unsendable(V5, Publish(b""), "the topic name is empty"),
    "[MQTT-4.7.3-1] PUBLISH with other properties": Unsendable(
        V5, Publish(b"", properties=Properties(content_type="t")), "the topic name is empty"
    ),
    "[MQTT-3.3.2-2] PUBLISH with a topic alias": Unsendable(
        *(V5, Publish(b"a/#", properties=Properties(topic_alias=1))),
        "the topic name b'a/#' has a wildcard",
    ),
    "[MQTT-4.7.3-3] PUBLISH": Unsendable(
        V4, Publish(b"t" * 65536), "the topic name has 65536 bytes; allowed are 65535"
    ),
    "[MQTT-3.3.1-4] PUBLISH": Unsendable(
        V5, Publish(b"a", qos=3, packet_id=1), "the QoS is 3; allowed are 0 to 2"
    ),
    "[MQTT-3.3.1-2] PUBLISH": Unsendable(
        V4, Publish(b"a", dup=True), "PUBLISH has QoS 0 and is marked DUP"
    ),
    "[MQTT-2.2.1-2] PUBLISH": Unsendable(
        V4, Publish(b"a", packet_id=1), "PUBLISH has QoS 0 and is marked DUP or has a packet ident"
    ),
    "[MQTT-2.2.1-4] PUBLISH": Unsendable(
        V4, Publish(b"a", qos=1), "PUBLISH has the packet identifier 0; allowed are 1 to 65535"
    ),
    "PUBLISH, properties in 3.1.1": Unsendable(
        V4, Publish(b"a", properties=Properties(content_type="t")), "PUBLISH has properties"
    ),
    "2.1.4: PUBLISH": Unsendable(
        *(V4, Publish(b"abc", bytes(268_435_451))),
        "the length is 268435456; allowed are 0 to 268435455",
    ),
    "[MQTT-3.4.2-1] PUBACK": Unsendable(
        V5, PubAck(1, ReasonCode.BANNED), "PUBACK has the reason code 0x8A; allowed are 00, 10, 80,"
    ),
    "[MQTT-3.5.2-1] PUBREC": Unsendable(
        V5, PubRec(1, ReasonCode.GRANTED_QOS_1), "PUBREC has the reason code 0x01"
    ),
    "[MQTT-3.6.2-1] PUBREL": Unsendable(
        V4, PubRel(1, ReasonCode.NOT_AUTHORIZED), "PUBREL has the reason code 0x87; allowed are 00,"
    ),
    "[MQTT-3.7.2-1] PUBCOMP": Unsendable(
        V5, PubComp(1, ReasonCode.NOT_AUTHORIZED), "PUBCOMP has the reason code 0x87"
    ),
    "[MQTT-2.2.1-5] PUBACK 0": Unsendable(V5, PubAck(0), "PUBACK has the packet identifier 0"),
    "[MQTT-2.2.1-5] PUBACK 65536": Unsendable(
        V4, PubAck(65536), "PUBACK has the packet identifier 65536; allowed are 1 to 65535"
    ),
    "PUBACK, properties in 3.1.1": Unsendable(
        V4, PubAck(1, properties=WORD), "PUBACK has properties; they are allowed in MQTT 5.0 only"
    ),
    "[MQTT-3.8.3-2] SUBSCRIBE": Unsendable(V5, Subscribe(1, []), "SUBSCRIBE has no topic filter"),
    "[MQTT-4.7.3-1] SUBSCRIBE": Unsendable(
        V5, Subscribe(1, [(b"", SubscriptionOptions())]), "the topic filter is empty"
    ),
    "[MQTT-3.8.3-1] SUBSCRIBE": Unsendable(
        V4, Subscribe(1, [(b"\x80", SubscriptionOptions())]), "the topic filter b'\\x80' is not UTF"
    ),
    "3.8.3.1: SUBSCRIBE, QoS 3": Unsendable(
        V5, Subscribe(1, [(b"a", SubscriptionOptions(3))]), "MQTT_5_0 has no SubscriptionOptions("
    ),
    "3.8.3.1: SUBSCRIBE, Retain Handling 3": Unsendable(
        V5, Subscribe(1, [(b"a", SubscriptionOptions(retain_handling=3))]), "MQTT_5_0 has no Subsc"
    ),
    "SUBSCRIBE, No Local in 3.1.1": Unsendable(
        V4, Subscribe(1, [(b"a", LOCAL)]), "MQTT_3_1_1 has no SubscriptionOptions(qos=0, no_local=T"
    ),
    "[MQTT-3.8.3-4] SUBSCRIBE": Unsendable(
        V5, Subscribe(1, [(b"$share/g/a", LOCAL)]), "b'$share/g/a' is shared and No Local"
    ),
    "3.8.2.1.2: SUBSCRIBE, two identifiers": Unsendable(
        *(
            V5,
            Subscribe(
                1, [(b"a", SubscriptionOptions())], Properties(subscription_identifiers=(1, 2))
            ),
        ),
        "SUBSCRIBE has the property subscription_identifiers 2 times; allowed is 1",
    ),
    "[MQTT-3.8.4-6] SUBACK": Unsendable(V4, SubAck(1, []), "SUBACK has no reason code; allowed is"),
    "[MQTT-3.9.3-2] SUBACK": Unsendable(
        V4, SubAck(1, [ReasonCode.BANNED]), "SUBACK has the reason code 0x8A; allowed are 00, 01,"
    ),
    "[MQTT-3.10.3-2] UNSUBSCRIBE": Unsendable(V4, Unsubscribe(1, []), "UNSUBSCRIBE has no topic "),
    "3.11.3: UNSUBACK": Unsendable(V5, UnsubAck(1), "UNSUBACK has no reason code"),
    "[MQTT-3.11.3-2] UNSUBACK": Unsendable(
        V5, UnsubAck(1, [ReasonCode.GRANTED_QOS_1]), "UNSUBACK has the reason code 0x01"
    ),
    "[MQTT-3.14.2-1] DISCONNECT": Unsendable(
        V5, Disconnect(ReasonCode.BANNED), "DISCONNECT has the reason code 0x8A; allowed are 00, 04"
    ),
    "DISCONNECT, a reason in 3.1.1": Unsendable(
        *(V4, Disconnect(ReasonCode.SERVER_SHUTTING_DOWN)),
        "DISCONNECT has the reason code 0x8B, which MQTT_3_1_1 can't say; allowed is 0x00",
    ),
    "AUTH in 3.1.1": Unsendable(V4, Auth(), "MQTT_3_1_1 has no AUTH; it is allowed in MQTT 5.0"),
    "3.15.2.2.2: AUTH": Unsendable(
        V5, Auth(ReasonCode.CONTINUE_AUTHENTICATION), "AUTH has no authentication method"
    ),
    "3.15.2.2.2: AUTH, success": Unsendable(
        V5, Auth(properties=WORD), "AUTH has no authentication method; allowed is one"
    ),
    "[MQTT-3.15.2-1] AUTH": Unsendable(
        V5, Auth(ReasonCode.BANNED, Properties(authentication_method="m")), "AUTH has the reason co"
    ),
}


@pytest.mark.parametrize("name", BOTH_WAYS)
def test_a_packet_has_its_bytes(name: str) -> None:
    """The packet of the table becomes the bytes beside it."""
    version, data, packet = BOTH_WAYS[name]

    assert data == encode(packet, version)


@pytest.mark.parametrize("name", UNSENDABLE)
def test_what_may_not_be_sent(name: str) -> None:
    """It is refused, with what was seen and what is allowed."""
    version, packet, text = UNSENDABLE[name]
    with pytest.raises(UnsendablePacket) as caught:
        encode(packet, version)

    assert isinstance(caught.value, HandlerError)
    assert str(caught.value).startswith(text)
    assert "allowed" in str(caught.value)


@given(strategies.versions.flatmap(lambda each: st.tuples(st.just(each), strategies.packets(each))))
def test_every_packet_comes_back(case: tuple[Version, Packet]) -> None:
    """What is decoded is what was encoded, in every version."""
    version, packet = case

    assert packet == decode(*whole(encode(packet, version)), version)


@pytest.mark.parametrize("version", [V3, V4])
@pytest.mark.parametrize(
    ("packet", "data"),
    [
        (PubAck(10, ReasonCode.NOT_AUTHORIZED), b"\x40\x02\x00\x0a"),
        (PubComp(10, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND), b"\x70\x02\x00\x0a"),
        (UnsubAck(10, [ReasonCode.NOT_AUTHORIZED]), b"\xb0\x02\x00\x0a"),
        (
            SubAck(10, [ReasonCode.NOT_AUTHORIZED, ReasonCode.GRANTED_QOS_2]),
            b"\x90\x04\0\x0a\x80\2",
        ),
        (ConnAck(properties=Properties()), b"\x20\x02\0\0"),
    ],
)
def test_what_old_versions_have_no_place_for(packet: Any, data: bytes, version: Version) -> None:
    """3.1 and 3.1.1 get an answer without a reason, and 0x80 for a subscription that failed."""
    assert data == encode(packet, version)


def test_3_1_has_no_session_present() -> None:
    """The byte is reserved there."""
    assert encode(ConnAck(session_present=True), V3) == b"\x20\x02\0\0"


@pytest.mark.parametrize("reason", CONNECT_RETURN_CODES)
def test_return_codes(reason: ReasonCode) -> None:
    """Each reason that 3.1.1 has a code for is sent as that."""
    assert encode(ConnAck(reason), V4) == b"\x20\x02\0%c" % CONNECT_RETURN_CODES[reason]


def test_properties_that_are_empty_are_none() -> None:
    """They are written as none are, and read as none."""
    empty = Publish(b"a", properties=Properties())

    assert encode(Publish(b"a"), V5) == encode(empty, V5)
    assert encode(Publish(b"a"), V4) == encode(empty, V4)
