"""Any packet that may be sent, for each version, as Hypothesis makes them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from speedo_trio.mqtt.wire.decoder import OPTIONS, SHARED
from speedo_trio.mqtt.wire.packet_types import PacketType
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
from speedo_trio.mqtt.wire.properties import (
    PROPERTIES,
    WILL,
    Place,
    Properties,
    Property,
    PropertyType,
)
from speedo_trio.mqtt.wire.reason_codes import ALLOWED_REASONS, CONNECT_REASONS, GRANTED
from speedo_trio.mqtt.wire.versions import Version

V5 = Version.MQTT_5_0

versions = st.sampled_from(Version)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
names = st.text(
    st.characters(exclude_characters="\0+#", exclude_categories=["Cs"]), min_size=1, max_size=12
)
topics = names.map(str.encode)
filters = st.one_of(topics, st.sampled_from([b"#", b"a/+/b", b"$share/g/a", b"+"]))
payloads = st.one_of(st.binary(max_size=12), st.binary(min_size=100, max_size=300))
packet_ids = st.integers(1, 0xFFFF)
flags = st.booleans()


def values(known: Property) -> st.SearchStrategy[Any]:
    """What a property may be."""
    match known.type:
        case PropertyType.FLAG:
            return flags
        case PropertyType.TEXT:
            return texts
        case PropertyType.TOPIC:
            return names
        case PropertyType.BINARY:
            return st.binary(max_size=8)
        case PropertyType.PAIR:
            return st.tuples(texts, texts)
        case _:
            return st.integers(known.least, known.most)


def properties(place: Place, *always: str) -> st.SearchStrategy[Properties | None]:
    """What a packet or will may have of them; None for none."""
    choices: dict[str, st.SearchStrategy[Any]] = {}
    for known in PROPERTIES:
        if place in known.places:
            choice = values(known)
            if known.type is PropertyType.PAIR or known.name.endswith("identifiers"):
                most = 3 if place in known.several else 1
                choice = st.lists(choice, min_size=1, max_size=most).map(tuple)
            choices[known.name] = choice
    some = st.fixed_dictionaries({name: choices.pop(name) for name in always}, optional=choices)
    return some.map(lambda chosen: Properties(**chosen) if chosen else None)


def reasons(kind: PacketType) -> st.SearchStrategy[Any]:
    """The reason codes of a type in 5.0."""
    return st.sampled_from(sorted(ALLOWED_REASONS[kind].values()))


def in_five(
    version: Version, strategy: st.SearchStrategy[Any], otherwise: Any = None
) -> st.SearchStrategy[Any]:
    """The strategy in 5.0, and one value before."""
    return strategy if version is V5 else st.just(otherwise)


@st.composite
def connects(draw: st.DrawFn, version: Version) -> Connect:
    """Any CONNECT."""
    user_name = draw(st.none() | texts)
    password = draw(st.none() | st.binary(max_size=8))
    has_data = draw(flags)
    always = ("authentication_method",) if has_data else ()
    found = draw(in_five(version, properties(PacketType.CONNECT, *always)))
    if found is not None and found.authentication_method is None:
        found.authentication_data = None
    if found == Properties():
        found = None
    wills = st.builds(
        *(Will, topics, st.binary(max_size=8), st.integers(0, 2), flags),
        in_five(version, properties(WILL)),
    )
    return Connect(
        client_id=draw(texts),
        version=version,
        clean_start=draw(flags),
        keep_alive=draw(st.integers(0, 0xFFFF)),
        user_name=user_name,
        password=None if version < V5 and user_name is None else password,
        will=draw(st.none() | wills),
        properties=found,
        bridge=version < V5 and draw(flags),
    )


@st.composite
def connacks(draw: st.DrawFn, version: Version) -> ConnAck:
    """Any CONNACK."""
    any_reason = reasons(PacketType.CONNACK)
    if version < V5:
        any_reason = st.sampled_from(list(CONNECT_REASONS.values()))
    reason = draw(any_reason)
    present = not reason and version > Version.MQTT_3_1 and draw(flags)
    return ConnAck(reason, present, draw(in_five(version, properties(PacketType.CONNACK))))


@st.composite
def publishes(draw: st.DrawFn, version: Version) -> Publish:
    """Any PUBLISH."""
    qos = draw(st.integers(0, 2))
    found = draw(in_five(version, properties(PacketType.PUBLISH)))
    alias = found is not None and found.topic_alias is not None
    return Publish(
        topic=b"" if alias and draw(flags) else draw(topics),
        payload=draw(payloads),
        qos=qos,
        retain=draw(flags),
        dup=qos > 0 and draw(flags),
        packet_id=draw(packet_ids) if qos else 0,
        properties=found,
    )


def answers(version: Version) -> st.SearchStrategy[Any]:
    """Any PUBACK, PUBREC, PUBREL or PUBCOMP."""
    kinds: dict[Any, PacketType] = {
        PubAck: PacketType.PUBACK,
        PubRec: PacketType.PUBREC,
        PubRel: PacketType.PUBREL,
        PubComp: PacketType.PUBCOMP,
    }
    each: list[st.SearchStrategy[Any]] = [
        st.builds(
            *(make, packet_ids, in_five(version, reasons(kind), ALLOWED_REASONS[kind][0])),
            in_five(version, properties(kind)),
        )
        for make, kind in kinds.items()
    ]
    return st.one_of(each)


def subscribes(version: Version) -> st.SearchStrategy[Subscribe]:
    """Any SUBSCRIBE."""
    options = st.sampled_from([*OPTIONS.values()])
    if version < V5:
        options = st.integers(0, 2).map(SubscriptionOptions)
    subscriptions = st.tuples(filters, options).filter(
        lambda each: not (each[1].no_local and each[0].startswith(SHARED))
    )
    return st.builds(
        *(Subscribe, packet_ids, st.lists(subscriptions, min_size=1, max_size=4)),
        in_five(version, properties(PacketType.SUBSCRIBE)),
    )


def subacks(version: Version) -> st.SearchStrategy[SubAck]:
    """Any SUBACK."""
    reason = reasons(PacketType.SUBACK)
    if version < V5:
        reason = st.sampled_from(list(GRANTED.values()))
    return st.builds(
        *(SubAck, packet_ids, st.lists(reason, min_size=1, max_size=4)),
        in_five(version, properties(PacketType.SUBACK)),
    )


def packets(version: Version) -> st.SearchStrategy[Packet]:
    """Any packet but CONNECT."""
    kinds: list[st.SearchStrategy[Any]] = [
        connacks(version),
        publishes(version),
        answers(version),
        subscribes(version),
        subacks(version),
        st.builds(
            *(Unsubscribe, packet_ids, st.lists(filters, min_size=1, max_size=4)),
            in_five(version, properties(PacketType.UNSUBSCRIBE)),
        ),
        st.builds(
            *(UnsubAck, packet_ids),
            in_five(version, st.lists(reasons(PacketType.UNSUBACK), min_size=1, max_size=4), []),
            in_five(version, properties(PacketType.UNSUBACK)),
        ),
        st.builds(PingReq),
        st.builds(PingResp),
        st.builds(
            *(Disconnect, in_five(version, reasons(PacketType.DISCONNECT), Disconnect().reason)),
            in_five(version, properties(PacketType.DISCONNECT)),
        ),
    ]
    if version is V5:
        kinds += [
            st.just(Auth()),
            st.builds(
                *(Auth, reasons(PacketType.AUTH)),
                properties(PacketType.AUTH, "authentication_method"),
            ),
        ]
    return st.one_of(kinds)


def conversations(version: Version) -> st.SearchStrategy[list[Packet]]:
    """A CONNECT, and packets after it."""
    return st.builds(
        lambda first, rest: [first, *rest],
        connects(version),
        st.lists(packets(version), max_size=5),
    )
