"""Packets and their bytes, written by hand from the standards' tables, for both directions."""

from __future__ import annotations

from typing import NamedTuple

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
    Publish,
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

V3, V4, V5 = Version.MQTT_3_1, Version.MQTT_3_1_1, Version.MQTT_5_0


class Example(NamedTuple):
    """A packet, its bytes in a version, and both ways."""

    version: Version
    data: bytes
    packet: Packet


# Fixed header and protocol name of a CONNECT; the level and what follows come after.
MQTT = b"\x00\x04MQTT"
MQISDP = b"\x00\x06MQIsdp"

EVERY_PROPERTY_OF_CONNACK = (
    b"\x11\x00\x00\x0e\x10"  # session expiry interval
    b"\x12\x00\x01c"  # assigned client identifier
    b"\x13\x00\x3c"  # server keep alive
    b"\x15\x00\x01m"  # authentication method
    b"\x16\x00\x01\xff"  # authentication data
    b"\x1a\x00\x02r/"  # response information
    b"\x1c\x00\x01s"  # server reference
    b"\x1f\x00\x01w"  # reason string
    b"\x21\x00\x0a"  # receive maximum
    b"\x22\x00\x0b"  # topic alias maximum
    b"\x24\x01"  # maximum QoS
    b"\x25\x00"  # retain available
    b"\x26\x00\x01k\x00\x01v"  # user property
    b"\x27\x00\x01\x00\x00"  # maximum packet size
    b"\x28\x01"  # wildcard subscription available
    b"\x29\x00"  # subscription identifier available
    b"\x2a\x01"  # shared subscription available
)

EVERY_PROPERTY_OF_PUBLISH = (
    b"\x01\x01"  # payload format indicator
    b"\x02\x00\x00\x00\x3c"  # message expiry interval
    b"\x03\x00\x04text"  # content type
    b"\x08\x00\x03r/1"  # response topic
    b"\x09\x00\x02\x00\x01"  # correlation data
    b"\x0b\x07"  # subscription identifier
    b"\x0b\xff\xff\xff\x7f"  # subscription identifier, the largest
    b"\x23\x00\x05"  # topic alias
    b"\x26\x00\x01b\x00\x011"  # user property
    b"\x26\x00\x01a\x00\x00"  # user property
    b"\x26\x00\x01b\x00\x011"  # user property, again
)

BOTH_WAYS: dict[str, Example] = {
    "CONNECT 3.1": Example(
        V3,
        b"\x10\x0f" + MQISDP + b"\x03\x02\x00\x3c\x00\x01c",
        Connect(version=V3, client_id="c", keep_alive=60),
    ),
    "CONNECT 3.1.1": Example(
        V4,
        b"\x10\x0c" + MQTT + b"\x04\x02\x00\x00\x00\x00",
        Connect(version=V4, client_id=""),
    ),
    "CONNECT 5.0": Example(
        V5,
        b"\x10\x0e" + MQTT + b"\x05\x00\xff\xff\x00\x00\x01c",
        Connect(client_id="c", clean_start=False, keep_alive=65535),
    ),
    "CONNECT 3.1, a bridge": Example(
        V3,
        b"\x10\x0f" + MQISDP + b"\x83\x00\x00\x3c\x00\x01c",
        Connect(version=V3, client_id="c", keep_alive=60, clean_start=False, bridge=True),
    ),
    "CONNECT 3.1.1, a bridge": Example(
        V4,
        b"\x10\x0d" + MQTT + b"\x84\x00\x00\x3c\x00\x01c",
        Connect(version=V4, client_id="c", keep_alive=60, clean_start=False, bridge=True),
    ),
    "CONNECT 3.1.1, all of it": Example(
        V4,
        b"\x10\x1a" + MQTT + b"\x04\xf6\x00\x0a\x00\x01c\x00\x01w\x00\x02\x00\xff"
        b"\x00\x01u\x00\x01\x80",
        Connect(
            version=V4,
            client_id="c",
            keep_alive=10,
            user_name="u",
            password=b"\x80",
            will=Will(b"w", b"\x00\xff", 2, retain=True),
        ),
    ),
    "CONNECT 3.1.1, a user name and no password": Example(
        V4,
        b"\x10\x10" + MQTT + b"\x04\x82\x00\x00\x00\x01c\x00\x01u",
        Connect(version=V4, client_id="c", user_name="u"),
    ),
    "CONNECT 5.0, a password and no user name": Example(
        V5,
        b"\x10\x11" + MQTT + b"\x05\x42\x00\x00\x00\x00\x01c\x00\x01p",
        Connect(client_id="c", password=b"p"),
    ),
    "CONNECT 5.0, empty user name and password": Example(
        V5,
        b"\x10\x12" + MQTT + b"\x05\xc2\x00\x00\x00\x00\x01c\x00\x00\x00\x00",
        Connect(client_id="c", user_name="", password=b""),
    ),
    "CONNECT 5.0, all of its properties": Example(
        V5,
        b"\x10\x34" + MQTT + b"\x05\x02\x00\x00"
        b"\x24"  # property length
        b"\x11\xff\xff\xff\xff"  # session expiry interval
        b"\x15\x00\x01m"  # authentication method
        b"\x16\x00\x02\x00\xff"  # authentication data
        b"\x17\x00"  # request problem information
        b"\x19\x01"  # request response information
        b"\x21\xff\xff"  # receive maximum
        b"\x22\x00\x00"  # topic alias maximum
        b"\x26\x00\x01k\x00\x01v"  # user property
        b"\x27\x00\x00\x00\x01"  # maximum packet size
        b"\x00\x03\xc3\xa9c",
        Connect(
            client_id="éc",
            properties=Properties(
                session_expiry_interval=0xFFFF_FFFF,
                authentication_method="m",
                authentication_data=b"\x00\xff",
                request_problem_information=False,
                request_response_information=True,
                receive_maximum=65535,
                topic_alias_maximum=0,
                user=(("k", "v"),),
                maximum_packet_size=1,
            ),
        ),
    ),
    "CONNECT 5.0, a will and all of its properties": Example(
        V5,
        b"\x10\x3a" + MQTT + b"\x05\x0e\x00\x00\x00\x00\x01c"
        b"\x24"  # length of the will properties
        b"\x01\x00"  # payload format indicator
        b"\x02\x00\x00\x00\x00"  # message expiry interval
        b"\x03\x00\x00"  # content type
        b"\x08\x00\x01r"  # response topic
        b"\x09\x00\x01d"  # correlation data
        b"\x18\x00\x00\x00\x05"  # will delay interval
        b"\x26\x00\x01k\x00\x00"  # user property
        b"\x26\x00\x01k\x00\x01\x21"  # user property
        b"\x00\x03a/b\x00\x00",
        Connect(
            client_id="c",
            will=Will(
                topic=b"a/b",
                qos=1,
                properties=Properties(
                    payload_format_indicator=0,
                    message_expiry_interval=0,
                    content_type="",
                    response_topic="r",
                    correlation_data=b"d",
                    will_delay_interval=5,
                    user=(("k", ""), ("k", "!")),
                ),
            ),
        ),
    ),
    "CONNACK 3.1": Example(V3, b"\x20\x02\x00\x00", ConnAck()),
    "CONNACK 3.1, refused": Example(
        V3, b"\x20\x02\x00\x02", ConnAck(ReasonCode.CLIENT_IDENTIFIER_NOT_VALID)
    ),
    "CONNACK 3.1.1": Example(V4, b"\x20\x02\x00\x00", ConnAck()),
    "CONNACK 3.1.1, a session": Example(V4, b"\x20\x02\x01\x00", ConnAck(session_present=True)),
    "CONNACK 3.1.1, 1": Example(
        V4, b"\x20\x02\x00\x01", ConnAck(ReasonCode.UNSUPPORTED_PROTOCOL_VERSION)
    ),
    "CONNACK 3.1.1, 3": Example(V4, b"\x20\x02\x00\x03", ConnAck(ReasonCode.SERVER_UNAVAILABLE)),
    "CONNACK 3.1.1, 4": Example(
        V4, b"\x20\x02\x00\x04", ConnAck(ReasonCode.BAD_USER_NAME_OR_PASSWORD)
    ),
    "CONNACK 3.1.1, 5": Example(V4, b"\x20\x02\x00\x05", ConnAck(ReasonCode.NOT_AUTHORIZED)),
    "CONNACK 5.0": Example(V5, b"\x20\x03\x01\x00\x00", ConnAck(session_present=True)),
    "CONNACK 5.0, refused": Example(V5, b"\x20\x03\x00\x8a\x00", ConnAck(ReasonCode.BANNED)),
    "CONNACK 5.0, all of its properties": Example(
        V5,
        b"\x20\x40\x00\x00\x3d" + EVERY_PROPERTY_OF_CONNACK,
        ConnAck(
            properties=Properties(
                session_expiry_interval=3600,
                assigned_client_identifier="c",
                server_keep_alive=60,
                authentication_method="m",
                authentication_data=b"\xff",
                response_information="r/",
                server_reference="s",
                reason_string="w",
                receive_maximum=10,
                topic_alias_maximum=11,
                maximum_qos=1,
                retain_available=False,
                user=(("k", "v"),),
                maximum_packet_size=65536,
                wildcard_subscription_available=True,
                subscription_identifier_available=False,
                shared_subscription_available=True,
            )
        ),
    ),
    "PUBLISH 3.1": Example(V3, b"\x30\x05\x00\x03a/b", Publish(b"a/b")),
    "PUBLISH 3.1.1": Example(V4, b"\x30\x07\x00\x03a/b\x00\xff", Publish(b"a/b", b"\x00\xff")),
    "PUBLISH 3.1.1, retained": Example(
        V4, b"\x31\x06\x00\x03a/bp", Publish(b"a/b", b"p", retain=True)
    ),
    "PUBLISH 3.1.1, QoS 1": Example(
        V4, b"\x32\x08\x00\x03a/b\x00\x0ap", Publish(b"a/b", b"p", 1, packet_id=10)
    ),
    "PUBLISH 3.1.1, QoS 2, all flags": Example(
        V4,
        b"\x3d\x07\x00\x03a/b\xff\xff",
        Publish(b"a/b", b"", 2, retain=True, dup=True, packet_id=65535),
    ),
    "PUBLISH 3.1.1, a length of two bytes": Example(
        V4, b"\x30\x80\x01\x00\x01a" + b"x" * 125, Publish(b"a", b"x" * 125)
    ),
    "PUBLISH 3.1.1, the longest length of two bytes": Example(
        V4, b"\x30\xff\x7f\x00\x01a" + b"x" * 16380, Publish(b"a", b"x" * 16380)
    ),
    "PUBLISH 3.1.1, a length of three bytes": Example(
        V4, b"\x30\x80\x80\x01\x00\x01a" + b"x" * 16381, Publish(b"a", b"x" * 16381)
    ),
    "PUBLISH 3.1.1, a length of four bytes": Example(
        V4, b"\x30\x80\x80\x80\x01\x00\x01a" + b"x" * 2097149, Publish(b"a", b"x" * 2097149)
    ),
    "PUBLISH 3.1.1, the longest topic name": Example(
        V4, b"\x30\x81\x80\x04\xff\xff" + b"t" * 65535, Publish(b"t" * 65535)
    ),
    "PUBLISH 5.0": Example(V5, b"\x30\x07\x00\x03a/b\x00p", Publish(b"a/b", b"p")),
    "PUBLISH 5.0, nothing in it": Example(V5, b"\x30\x04\x00\x01a\x00", Publish(b"a")),
    "PUBLISH 5.0, QoS 1": Example(
        V5, b"\x32\x07\x00\x01a\x00\x0a\x00p", Publish(b"a", b"p", 1, packet_id=10)
    ),
    "PUBLISH 5.0, QoS 2, DUP": Example(
        V5, b"\x3c\x06\x00\x01a\x00\x0a\x00", Publish(b"a", b"", 2, dup=True, packet_id=10)
    ),
    "PUBLISH 5.0, a topic alias for a topic": Example(
        V5,
        b"\x30\x07\x00\x00\x03\x23\x00\x01p",
        Publish(b"", b"p", properties=Properties(topic_alias=1)),
    ),
    "PUBLISH 5.0, all of its properties": Example(
        V5,
        b"\x34\x3e\x00\x01a\x00\x0a\x37" + EVERY_PROPERTY_OF_PUBLISH + b"p",
        Publish(
            b"a",
            b"p",
            2,
            packet_id=10,
            properties=Properties(
                payload_format_indicator=1,
                message_expiry_interval=60,
                content_type="text",
                response_topic="r/1",
                correlation_data=b"\x00\x01",
                subscription_identifiers=(7, 268_435_455),
                topic_alias=5,
                user=(("b", "1"), ("a", ""), ("b", "1")),
            ),
        ),
    ),
    "PUBACK 3.1": Example(V3, b"\x40\x02\x00\x0a", PubAck(10)),
    "PUBACK 3.1.1": Example(V4, b"\x40\x02\x01\x00", PubAck(256)),
    "PUBACK 5.0": Example(V5, b"\x40\x02\xff\xff", PubAck(65535)),
    "PUBACK 5.0, a reason": Example(
        V5, b"\x40\x03\x00\x0a\x10", PubAck(10, ReasonCode.NO_MATCHING_SUBSCRIBERS)
    ),
    "PUBACK 5.0, properties": Example(
        V5,
        b"\x40\x0f\x00\x0a\x87\x0b\x1f\x00\x01w\x26\x00\x01k\x00\x01v",
        PubAck(10, ReasonCode.NOT_AUTHORIZED, Properties(reason_string="w", user=(("k", "v"),))),
    ),
    "PUBACK 5.0, properties and success": Example(
        V5,
        b"\x40\x08\x00\x0a\x00\x04\x1f\x00\x01w",
        PubAck(10, properties=Properties(reason_string="w")),
    ),
    "PUBREC 3.1.1": Example(V4, b"\x50\x02\x00\x0a", PubRec(10)),
    "PUBREC 5.0": Example(V5, b"\x50\x02\x00\x0a", PubRec(10)),
    "PUBREC 5.0, a reason": Example(
        V5, b"\x50\x03\x00\x0a\x97", PubRec(10, ReasonCode.QUOTA_EXCEEDED)
    ),
    "PUBREL 3.1.1": Example(V4, b"\x62\x02\x00\x0a", PubRel(10)),
    "PUBREL 5.0": Example(V5, b"\x62\x02\x00\x0a", PubRel(10)),
    "PUBREL 5.0, a reason": Example(
        V5, b"\x62\x03\x00\x0a\x92", PubRel(10, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND)
    ),
    "PUBCOMP 3.1.1": Example(V4, b"\x70\x02\x00\x0a", PubComp(10)),
    "PUBCOMP 5.0": Example(V5, b"\x70\x02\x00\x0a", PubComp(10)),
    "PUBCOMP 5.0, a reason": Example(
        V5, b"\x70\x03\x00\x0a\x92", PubComp(10, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND)
    ),
    "SUBSCRIBE 3.1.1": Example(
        V4,
        b"\x82\x0e\x00\x0a\x00\x03a/b\x01\x00\x03c/d\x02",
        Subscribe(10, [(b"a/b", SubscriptionOptions(1)), (b"c/d", SubscriptionOptions(2))]),
    ),
    "SUBSCRIBE 3.1.1, shared means nothing": Example(
        V4,
        b"\x82\x0f\x00\x0a\x00\x0a$share/g/a\x00",
        Subscribe(10, [(b"$share/g/a", SubscriptionOptions())]),
    ),
    "SUBSCRIBE 5.0": Example(
        V5,
        b"\x82\x0f\x00\x0a\x00\x00\x03a/#\x01\x00\x03+/d\x2e",
        Subscribe(
            10,
            [
                (b"a/#", SubscriptionOptions(1)),
                (
                    b"+/d",
                    SubscriptionOptions(
                        2, no_local=True, retain_as_published=True, retain_handling=2
                    ),
                ),
            ],
        ),
    ),
    "SUBSCRIBE 5.0, properties": Example(
        V5,
        b"\x82\x11\x00\x0a\x0a\x0b\x80\x01\x26\x00\x01k\x00\x01v\x00\x01a\x10",
        Subscribe(
            10,
            [(b"a", SubscriptionOptions(retain_handling=1))],
            Properties(subscription_identifiers=(128,), user=(("k", "v"),)),
        ),
    ),
    "SUBACK 3.1.1": Example(
        V4,
        b"\x90\x06\x00\x0a\x00\x01\x02\x80",
        SubAck(
            10,
            [
                ReasonCode.GRANTED_QOS_0,
                ReasonCode.GRANTED_QOS_1,
                ReasonCode.GRANTED_QOS_2,
                ReasonCode.UNSPECIFIED_ERROR,
            ],
        ),
    ),
    "SUBACK 5.0": Example(
        V5,
        b"\x90\x09\x00\x0a\x04\x1f\x00\x01w\x02\xa2",
        SubAck(
            10,
            [ReasonCode.GRANTED_QOS_2, ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED],
            Properties(reason_string="w"),
        ),
    ),
    "UNSUBSCRIBE 3.1.1": Example(
        V4, b"\xa2\x0c\x00\x0a\x00\x03a/b\x00\x03c/d", Unsubscribe(10, [b"a/b", b"c/d"])
    ),
    "UNSUBSCRIBE 5.0": Example(
        V5,
        b"\xa2\x0d\x00\x0a\x07\x26\x00\x01k\x00\x01v\x00\x01#",
        Unsubscribe(10, [b"#"], Properties(user=(("k", "v"),))),
    ),
    "UNSUBACK 3.1.1": Example(V4, b"\xb0\x02\x00\x0a", UnsubAck(10)),
    "UNSUBACK 5.0": Example(
        V5,
        b"\xb0\x05\x00\x0a\x00\x00\x11",
        UnsubAck(10, [ReasonCode.SUCCESS, ReasonCode.NO_SUBSCRIPTION_EXISTED]),
    ),
    "PINGREQ": Example(V4, b"\xc0\x00", PingReq()),
    "PINGRESP": Example(V4, b"\xd0\x00", PingResp()),
    "DISCONNECT 3.1.1": Example(V4, b"\xe0\x00", Disconnect()),
    "DISCONNECT 5.0": Example(V5, b"\xe0\x00", Disconnect()),
    "DISCONNECT 5.0, a reason": Example(
        V5, b"\xe0\x01\x04", Disconnect(ReasonCode.DISCONNECT_WITH_WILL_MESSAGE)
    ),
    "DISCONNECT 5.0, all of its properties": Example(
        V5,
        b"\xe0\x16\x00\x14\x11\x00\x00\x00\x01\x1c\x00\x01s\x1f\x00\x01w\x26\x00\x01k\x00\x01v",
        Disconnect(
            properties=Properties(
                session_expiry_interval=1,
                server_reference="s",
                reason_string="w",
                user=(("k", "v"),),
            )
        ),
    ),
    "AUTH": Example(V5, b"\xf0\x00", Auth()),
    "AUTH, all of its properties": Example(
        V5,
        b"\xf0\x15\x18\x13\x15\x00\x01m\x16\x00\x01\xff\x1f\x00\x01w\x26\x00\x01k\x00\x01v",
        Auth(
            ReasonCode.CONTINUE_AUTHENTICATION,
            Properties(
                authentication_method="m",
                authentication_data=b"\xff",
                reason_string="w",
                user=(("k", "v"),),
            ),
        ),
    ),
}
"""What is written like this and read like this."""

READ_ONLY: dict[str, Example] = {
    "[MQTT-2.2.1-5] PUBACK 5.0, success said": Example(V5, b"\x40\x03\x00\x0a\x00", PubAck(10)),
    "PUBACK 5.0, success and no properties said": Example(
        V5, b"\x40\x04\x00\x0a\x00\x00", PubAck(10)
    ),
    "DISCONNECT 5.0, normal said": Example(V5, b"\xe0\x01\x00", Disconnect()),
    "DISCONNECT 5.0, normal and no properties said": Example(V5, b"\xe0\x02\x00\x00", Disconnect()),
    "properties in another order": Example(
        V5,
        b"\x30\x10\x00\x01a\x0c\x26\x00\x01k\x00\x01v\x02\x00\x00\x00\x01",
        Publish(b"a", properties=Properties(message_expiry_interval=1, user=(("k", "v"),))),
    ),
    "3.1 lets a PUBREL be repeated": Example(V3, b"\x6a\x02\x00\x0a", PubRel(10)),
    "3.1 lets a SUBSCRIBE be repeated": Example(
        V3, b"\x8a\x06\x00\x0a\x00\x01a\x00", Subscribe(10, [(b"a", SubscriptionOptions())])
    ),
    "3.1 lets an UNSUBSCRIBE be repeated": Example(
        V3, b"\xaa\x05\x00\x0a\x00\x01a", Unsubscribe(10, [b"a"])
    ),
    "3.1 lets user name and password be announced and left out": Example(
        V3,
        b"\x10\x0f" + MQISDP + b"\x03\xc2\x00\x3c\x00\x01c",
        Connect(version=V3, client_id="c", keep_alive=60),
    ),
    "3.1 lets a password be announced and left out": Example(
        V3,
        b"\x10\x12" + MQISDP + b"\x03\xc2\x00\x3c\x00\x01c\x00\x01u",
        Connect(version=V3, client_id="c", keep_alive=60, user_name="u"),
    ),
    "[MQTT-1.5.4-3] U+FEFF is a character": Example(
        V4, b"\x30\x06\x00\x04\xef\xbb\xbfa", Publish("\N{ZERO WIDTH NO-BREAK SPACE}a".encode())
    ),
}
"""What is read like this, though it is written in another way."""
