"""The corpus: packets of clients, all of them allowed, from which the fuzzer starts.

Few names and identifiers, so that clients meet: they take over each other's sessions, publish what
others are subscribed to, and answer what was really sent.

Next: `tests.mqtt.fuzz.streams`.
"""

from __future__ import annotations

from itertools import product
from typing import Final

from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packets import (
    Auth,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Subscribe,
    SubscriptionOptions,
    Unsubscribe,
    Will,
)
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.versions import Version

V3, V4, V5 = Version.MQTT_3_1, Version.MQTT_3_1_1, Version.MQTT_5_0

CLIENTS: Final = ("c0", "c1", "c2", "c3", "c4", "c5")
TOPICS: Final = (b"a", b"a/b", b"a/b/c", b"b", b"no", b"\xc3\xa4/b", b"$SYS/x", b"$x/a")
FILTERS: Final = (
    *(b"a", b"a/b", b"a/+", b"+/b", b"#", b"a/#", b"+/+/c", b"no", b"$SYS/#", b"$x/+"),
    *(b"$share/g/a/#", b"$share/g/#", b"$share/h/+/b", b"$share/h/a"),
)
IDS: Final = (1, 2, 3, 4, 5, 6, 65_535)
METHOD: Final = "m"
"""An authentication method that some brokers know."""


def connects(version: Version) -> list[bytes]:
    """CONNECT packets."""
    made: list[Connect] = []
    for number, (client_id, clean) in enumerate(product((*CLIENTS, ""), (True, False, False))):
        if client_id or version is V5 or (clean and version is V4):
            connect = Connect(client_id=client_id, version=version, clean_start=clean)
            connect.keep_alive = (0, 10, 60)[number % 3]
            connect.will = _WILLS[number % len(_WILLS)]
            if number % 4 == 3:
                connect.user_name, connect.password = "user", b"word"
            connect.bridge = version < V5 and number % 5 == 4
            if version is V5:
                connect.properties = _CONNECT_PROPERTIES[number % len(_CONNECT_PROPERTIES)]
            elif connect.will is not None:
                connect.will = Will(b"a/b", b"will", connect.will.qos, connect.will.retain)
            made.append(connect)
    return [encode(each, version) for each in made]


_WILLS: Final = (
    None,
    None,
    Will(b"a/b", b"will", 1),
    Will(b"a", b"will", 2, retain=True, properties=Properties(will_delay_interval=20)),
    Will(b"no", b"", 0, retain=True, properties=Properties(message_expiry_interval=5)),
)

_CONNECT_PROPERTIES: Final = (
    None,
    Properties(session_expiry_interval=30),
    Properties(session_expiry_interval=0xFFFFFFFF, topic_alias_maximum=2),
    Properties(session_expiry_interval=100, receive_maximum=1),
    Properties(session_expiry_interval=30, maximum_packet_size=40, topic_alias_maximum=9),
    Properties(request_problem_information=False, request_response_information=True),
    Properties(authentication_method=METHOD, authentication_data=b"d", user=(("k", "v"),)),
)

_PUBLISH_PROPERTIES: Final = (
    Properties(topic_alias=1),
    Properties(topic_alias=2, message_expiry_interval=3),
    Properties(message_expiry_interval=1, payload_format_indicator=1, content_type="t"),
    Properties(response_topic="r/1", correlation_data=b"\0\1", user=(("k", "v"), ("k", "w"))),
)


def requests(version: Version) -> list[bytes]:
    """Packets of a client that is connected, but for those that end it; and runs of some."""
    runs = [b"".join(encode(each, version) for each in run) for run in _runs()]
    return [encode(each, version) for each in _requests(version)] + 2 * runs


def _requests(version: Version) -> list[Packet]:
    made: list[Packet] = [PingReq(), PingReq()]
    for number, (topic, qos) in enumerate(product(TOPICS, (0, 0, 1, 2))):
        packet_id, payload = IDS[number % len(IDS)], b"payload"[: number % 8]
        made.append(Publish(topic, payload, qos, number % 5 == 1, packet_id=packet_id * bool(qos)))
        if version is V5:
            properties = _PUBLISH_PROPERTIES[number % len(_PUBLISH_PROPERTIES)]
            name = b"" if properties.topic_alias is not None and number % 3 else topic
            used = packet_id * bool(qos)
            made.append(Publish(name, payload, qos, packet_id=used, properties=properties))
    for number, topic_filter in enumerate(FILTERS):
        shared = topic_filter.startswith(b"$share/")
        options = SubscriptionOptions(number % 3)
        given = None
        if version is V5:
            options = SubscriptionOptions(
                number % 3, not shared and number % 4 == 1, number % 4 == 2, number % 3
            )
            given = Properties(subscription_identifiers=(number + 1,)) if number % 2 else None
        made.append(Subscribe(10 + number, [(topic_filter, options)], given))
        made.append(Unsubscribe(30 + number, [topic_filter]))
    every = [(each, SubscriptionOptions(2)) for each in FILTERS[:6]]
    made += [Subscribe(50, every), Unsubscribe(51, [*FILTERS])]
    for packet_id in IDS:
        made += [PubAck(packet_id), PubRec(packet_id), PubRel(packet_id), PubComp(packet_id)]
    if version is V5:
        made += _answers_5()
    return made


def _runs() -> list[list[Packet]]:
    made: list[list[Packet]] = []
    for number, (topic, qos) in enumerate(product(TOPICS[:4], (0, 1, 2))):
        sizes = (7, 7, 7) if number % 2 else (1, 200, 1, 1)
        ids = IDS if number % 3 else IDS[::-1]
        made.append(
            [
                Publish(topic, bytes(size), qos, packet_id=packet_id * bool(qos))
                for size, packet_id in zip(sizes, ids, strict=False)
            ]
        )
    made += [[kind(each) for each in IDS[:4]] for kind in (PubAck, PubRec, PubRel, PubComp)]
    return made


def _answers_5() -> list[Packet]:
    refused, missing = ReasonCode.QUOTA_EXCEEDED, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
    told = Properties(reason_string="why", user=(("k", "v"),))
    method = Properties(authentication_method=METHOD, authentication_data=b"d")
    return [
        PubAck(1, refused, told),
        PubRec(1, refused),
        PubRec(2, ReasonCode.NO_MATCHING_SUBSCRIBERS),
        PubRel(1, missing),
        PubComp(2, missing, told),
        Auth(ReasonCode.RE_AUTHENTICATE, method),
        Auth(ReasonCode.CONTINUE_AUTHENTICATION, method),
    ]


def ends(version: Version) -> list[bytes]:
    """DISCONNECT packets."""
    made = [Disconnect()]
    if version is V5:
        stays = Properties(session_expiry_interval=50)
        made += [
            Disconnect(ReasonCode.DISCONNECT_WITH_WILL_MESSAGE),
            Disconnect(properties=stays),
            Disconnect(properties=Properties(session_expiry_interval=0)),
        ]
    return [encode(each, version) for each in made]
