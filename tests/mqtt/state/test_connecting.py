"""CONNECT, AUTH and DISCONNECT: who comes in, with what, and how they go."""

from __future__ import annotations

from typing import Any

import pytest

from speedo_trio.errors import HandlerError
from speedo_trio.mqtt.state.asks import (
    ALLOW,
    Allow,
    AskAuth,
    AskConnect,
    Asking,
    Challenge,
    Grants,
    Refuse,
)
from speedo_trio.mqtt.state.capabilities import NEVER
from speedo_trio.mqtt.state.machine import State
from speedo_trio.mqtt.wire.packets import (
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    Will,
)
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reader import PacketReader
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.versions import Version
from tests.mqtt.state.world import V3, V5, V31, V311, Peer, World, only, publish, subscribe

ASKING = Asking(connect=True)
CONTINUE, AGAIN = ReasonCode.CONTINUE_AUTHENTICATION, ReasonCode.RE_AUTHENTICATE


def try_to_connect(world: World, version: Version = V5, **connect: Any) -> tuple[Peer, list[Any]]:
    """Send a CONNECT; what comes of it."""
    peer = world.open()
    connect.setdefault("client_id", "client")
    assert peer.send(Connect(version=version, **connect)) is None
    return peer, peer.take()


def code(peer: Peer) -> int | None:
    """The reason or return code of the CONNACK that was sent; None: none was."""
    data = b"".join(peer.line.frames)
    assert not data or data[:1] == b"\x20"
    return data[3] if data else None


# What is refused

REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], dict[Version, int | None]]] = {
    "[MQTT-3.2.2-12] the will's QoS": (
        {"maximum_qos": 1}, {"will": Will(b"w", qos=2)}, {V5: 0x9B, V311: None, V31: None}
    ),
    "[MQTT-3.2.2-13] a will to be retained": (
        {"retain_available": False}, {"will": Will(b"w", retain=True)}, {V5: 0x9A, V311: None}
    ),
    "[MQTT-3.1.3-8] [MQTT3-3.1.3-9] a long client identifier": (
        {"maximum_client_id_size": 100}, {"client_id": "x" * 101}, {V5: 0x85, V311: 2, V31: 2}
    ),
    "[MQTT3-3.1.3-9] longer than 3.1 allows": ({}, {"client_id": "x" * 24}, {V31: 2}),
    "[MQTT3-3.1.3-9] none, in 3.1": ({}, {"client_id": ""}, {V31: 2}),
    "[MQTT3-3.1.3-8] none, and a session that is kept": (
        {}, {"client_id": "", "clean_start": False}, {V311: 2}
    ),
    "[MQTT-3.1.3-8] none, and the server chooses none": (
        {"assign_client_ids": False}, {"client_id": ""}, {V5: 0x85, V311: 2}
    ),
    "a version that is not allowed": (
        {"versions": ("5.0",)}, {}, {V311: 1, V31: 1}
    ),
    "[MQTT-4.12.0-1] an authentication method": (
        {}, {"properties": Properties(authentication_method="m")}, {V5: 0x8C}
    ),
    "a client that takes no CONNACK": (
        {}, {"properties": Properties(maximum_packet_size=4)}, {V5: None}
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("why", "version"), [(why, version) for why, case in REFUSED.items() for version in case[2]]
)
def test_what_is_refused(why: str, version: Version) -> None:
    """[MQTT-3.2.2-7] [MQTT-3.1.4-1] [MQTT-3.2.2-12] [MQTT-3.2.2-13] [MQTT-3.1.3-8] [MQTT3-3.1.3-8].

    [MQTT3-3.1.3-9] [MQTT3-3.2.2-6] [MQTT-4.12.0-1] [MQTT-3.2.2-6] By CONNACK as the version can say
    it, and the connection closes. No session begins, and no earlier one ends.
    """
    capabilities, connect, answers = REFUSED[why]
    world = World(**capabilities)
    peer = world.open()

    peer.send(Connect(**{"client_id": "client", **connect}, version=version))

    assert (answers[version], State.OVER) == (code(peer), peer.client.state)
    assert (0, []) == (len(world.sessions), world.hub.wills)
    if peer.line.frames:
        (connack,) = peer.take()
        assert isinstance(connack, ConnAck)
        assert not connack.session_present


def test_a_client_that_is_refused_takes_no_session() -> None:
    """[MQTT-3.1.4-3] The one that is connected stays so."""
    world = World(maximum_qos=1)
    peer = world.connect()

    try_to_connect(world, will=Will(b"w", qos=2))

    assert (None, peer.client) == (peer.closed, peer.session.client)


# What is accepted


@pytest.mark.parametrize("version", [V311, V5])
def test_a_client_identifier_is_assigned(version: Version) -> None:
    """[MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT3-3.1.3-6] [MQTT-3.2.2-16] Clients of 5.0 learn it."""
    world = World()
    world.connect("auto-1")

    peer, (connack,) = try_to_connect(world, version, client_id="")

    assert "auto-2" == peer.client.client_id
    if version is V5:
        assert "auto-2" == connack.properties.assigned_client_identifier
    assert world.sessions.get("auto-2") is peer.client.session


def test_an_identifier_is_assigned_for_a_session_that_is_kept() -> None:
    """[MQTT-3.1.3-6] 5.0 doesn't ask for clean start."""
    _, (connack,) = try_to_connect(World(), client_id="", clean_start=False)

    assert (0, "auto-1") == (connack.reason, connack.properties.assigned_client_identifier)


def test_23_bytes_are_a_client_identifier() -> None:
    """[MQTT-3.1.3-5] Of letters and digits."""
    _, (connack,) = try_to_connect(World(), V31, client_id="0123456789abcdefABCDEFG")

    assert 0 == connack.reason


def test_connack_tells_what_differs() -> None:
    """[MQTT-3.2.2-9] [MQTT-3.1.3-7] [MQTT-4.12.0-6] Nothing where the server has the default."""
    plain = World(receive_maximum=65_535, topic_alias_maximum=0)
    special = World(
        maximum_qos=1,
        retain_available=False,
        wildcard_subscriptions=False,
        subscription_identifiers=False,
        shared_subscriptions=False,
        receive_maximum=10,
        maximum_packet_size=1000,
        topic_alias_maximum=3,
        server_keep_alive=0,
        maximum_session_expiry=5,
    )

    _, (first,) = try_to_connect(plain)
    properties = Properties(session_expiry_interval=6)
    _, (second,) = try_to_connect(special, properties=properties)

    assert Properties(maximum_packet_size=1_048_576) == first.properties
    assert (
        Properties(
            session_expiry_interval=5,
            receive_maximum=10,
            maximum_qos=1,
            retain_available=False,
            maximum_packet_size=1000,
            topic_alias_maximum=3,
            wildcard_subscription_available=False,
            subscription_identifier_available=False,
            shared_subscription_available=False,
            server_keep_alive=0,
        )
        == second.properties
    )


@pytest.mark.parametrize("version", Version)
def test_connack_comes_first(version: Version) -> None:
    """[MQTT-3.2.0-1] [MQTT-3.2.0-2] [MQTT-3.1.4-5] Once, before what waits for the client."""
    world = World()
    world.subscriber(version=version, client_id="client").drop()
    world.publish(qos=1)
    peer = world.open()

    peer.send(Connect(
        client_id="client", version=version, clean_start=False,
        properties=Properties(session_expiry_interval=60) if version is V5 else None,
    ))  # fmt: skip

    assert [ConnAck, Publish] == [type(packet) for packet in peer.take()]


@pytest.mark.parametrize("version", [V311, V5])
def test_session_present(version: Version) -> None:
    """[MQTT-3.2.2-2] [MQTT-3.2.2-3] [MQTT-3.1.2-4] [MQTT-3.1.2-5] [MQTT-3.1.2-6] [MQTT-3.1.4-4]."""
    world = World()

    def present(**connect: Any) -> bool:
        if version is V5:
            connect["properties"] = Properties(session_expiry_interval=60)
        _, (connack,) = try_to_connect(world, version, **connect)
        return bool(connack.session_present)

    assert [False, True, False, version is V5] == [
        present(clean_start=False),
        present(clean_start=False),
        present(clean_start=True),
        present(clean_start=False),
    ]


def test_the_session_expiry() -> None:
    """[MQTT-3.1.2-23] [MQTT3-3.1.2-4] [MQTT3-3.1.2-6] As asked for, up to the server's maximum."""
    world = World(maximum_session_expiry=100)
    endless = World(maximum_session_expiry=NEVER)

    asked: list[tuple[World, Version, dict[str, Any]]] = [
        (world, V5, {}),
        (world, V5, {"expiry": 50}),
        (world, V5, {"expiry": 101}),
        (world, V311, {"clean_start": True}),
        (world, V311, {"clean_start": False}),
        (endless, V31, {"clean_start": False}),
    ]

    expiries = [own.connect(version=version, **more).session.expiry for own, version, more in asked]
    assert [0, 50, 100, 0, 100, NEVER] == expiries


def test_no_more_aliases_are_used_than_the_server_likes() -> None:
    """[MQTT-3.1.2-26] Though the client allows more."""
    world = World(topic_aliases_sent=1)
    peer = world.connect(properties={"topic_alias_maximum": 10})
    peer.ask(subscribe(b"#"))
    for topic in (b"a", b"b", b"a", b"b"):
        world.publish(topic)

    assert [b"a", b"b", b"", b"b"] == [each.topic for each in only(peer.take(), Publish)]


# The host decides


@pytest.mark.parametrize("version", Version)
def test_the_host_is_asked_and_allows(version: Version) -> None:
    """[MQTT-3.1.4-2] Nothing is sent before; what came meanwhile is processed after CONNACK."""
    world = World()
    peer = world.open(ASKING)
    connect = Connect(client_id="client", version=version, user_name="u", password=b"p")

    ask = peer.send(connect, PingReq())

    assert isinstance(ask, AskConnect)
    assert (connect, "client", None) == (ask.connect, ask.client_id, ask.method)
    assert ([], 0) == (peer.line.frames, len(world.sessions))
    assert peer.client.answer(ask, ALLOW, world.now) is None
    assert [ConnAck, PingResp] == [type(packet) for packet in peer.take()]


@pytest.mark.parametrize(
    ("reason", "codes"),
    [
        (ReasonCode.BAD_USER_NAME_OR_PASSWORD, (4, 0x86)),
        (ReasonCode.NOT_AUTHORIZED, (5, 0x87)),
        (ReasonCode.SERVER_BUSY, (3, 0x89)),
        (ReasonCode.BANNED, (5, 0x8A)),
        (ReasonCode.SERVER_SHUTTING_DOWN, (None, 0x88)),
        (ReasonCode.USE_ANOTHER_SERVER, (None, 0x9C)),
        (ReasonCode.TOPIC_FILTER_INVALID, (None, 0x80)),
    ],
)
def test_the_host_refuses(reason: ReasonCode, codes: tuple[int | None, int]) -> None:
    """[MQTT-3.1.4-2] [MQTT-3.2.2-6] [MQTT-3.2.2-7] [MQTT-3.2.2-8] [MQTT3-3.2.2-6].

    [MQTT-3.1.4-6] What came meanwhile is dropped, and no will is published.
    """
    for version, expected in ((V311, codes[0]), (V5, codes[1])):
        world = World()
        peer = world.open(ASKING)
        ask = peer.send(Connect(client_id="c", version=version, will=Will(b"w")), publish(0))

        assert peer.client.answer(ask, Refuse(reason, "no"), world.now) is None

        assert (expected, reason, []) == (code(peer), peer.closed, world.hub.published)
        assert 0 == len(world.sessions)


def test_a_client_is_sent_to_another_server() -> None:
    """The reference is the verdict's, or that of the capabilities."""
    world = World(server_reference="here.example")
    references = []
    for named in ("there.example", None):
        peer = world.open(ASKING)
        ask = peer.send(Connect(client_id="c"))
        peer.client.answer(ask, Refuse(ReasonCode.SERVER_MOVED, "", named), 0)
        (connack,) = only(peer.take(), ConnAck)
        references.append(connack.properties.server_reference)

    assert ["there.example", "here.example"] == references


def test_a_reason_string_that_is_too_large_is_left_out() -> None:
    """[MQTT-3.2.2-19] [MQTT-3.1.2-24] What a client takes is no more than it says."""
    texts = []
    for size in (20, 200):
        peer = World().open(ASKING)
        ask = peer.send(Connect(client_id="c", properties=Properties(maximum_packet_size=size)))
        peer.client.answer(ask, Refuse(ReasonCode.BANNED, "x" * 50), 0)
        (connack,) = only(peer.take(), ConnAck)
        texts.append(connack.properties and connack.properties.reason_string)

    assert [None, "x" * 50] == texts


def test_a_connection_that_breaks_before_the_verdict() -> None:
    """[MQTT-3.1.2-8] It was never accepted: there is no session, and no will."""
    world = World()
    peer = world.open(ASKING)
    ask = peer.send(Connect(client_id="c", will=Will(b"w")))
    peer.drop()

    assert peer.client.answer(ask, ALLOW, 0) is None

    assert (0, []) == (len(world.sessions), world.hub.wills)


# Authentication in several steps


def begin(world: World) -> tuple[Peer, Any]:
    """A client that wants to authenticate; what the host is asked."""
    peer = world.open(ASKING)
    properties = Properties(authentication_method="m", authentication_data=b"1")
    return peer, peer.send(Connect(client_id="client", properties=properties))


def auth(reason: ReasonCode, method: str | None = "m", data: bytes | None = None) -> Auth:
    """An AUTH."""
    return Auth(reason, Properties(authentication_method=method, authentication_data=data))


def test_an_authentication() -> None:
    """[MQTT-4.12.0-2] [MQTT-4.12.0-5] [MQTT-3.15.2-1] AUTH 0x18 both ways, then CONNACK."""
    world = World()
    peer, ask = begin(world)
    assert "m" == ask.method

    assert peer.client.answer(ask, Challenge(b"2"), 0) is None
    assert [auth(CONTINUE, data=b"2")] == peer.take()
    step = peer.send(auth(CONTINUE, data=b"3"))
    assert isinstance(step, AskAuth)
    assert ("client", "m", b"3", False) == (step.client_id, step.method, step.data, step.again)
    peer.client.answer(step, Allow(b"4"), 0)

    (connack,) = only(peer.take(), ConnAck)
    assert (0, "m", b"4") == (
        connack.reason,
        connack.properties.authentication_method,
        connack.properties.authentication_data,
    )


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(auth(AGAIN), id="[MQTT-4.12.0-3]"),
        pytest.param(auth(CONTINUE, "other"), id="[MQTT-4.12.0-5] another method"),
        pytest.param(Auth(), id="[MQTT-4.12.0-5] no method"),
    ],
)
def test_an_auth_that_is_wrong(packet: Auth) -> None:
    """[MQTT-4.12.0-3] [MQTT-4.12.0-5] CONNACK 0x82, and the connection closes."""
    peer, ask = begin(World())
    peer.client.answer(ask, Challenge(), 0)
    peer.take()

    peer.send(packet)

    (connack,) = only(peer.take(), ConnAck)
    assert ReasonCode.PROTOCOL_ERROR is connack.reason is peer.closed


def test_an_authentication_that_fails() -> None:
    """[MQTT-4.12.0-4] CONNACK 0x80 or above, and the connection closes."""
    peer, ask = begin(World())
    peer.client.answer(ask, Challenge(), 0)
    step = peer.send(auth(CONTINUE))
    peer.take()

    peer.client.answer(step, Refuse(ReasonCode.NOT_AUTHORIZED), 0)

    (connack,) = only(peer.take(), ConnAck)
    assert ReasonCode.NOT_AUTHORIZED is connack.reason is peer.closed


def test_an_authentication_ends_some_time() -> None:
    """Its steps are bounded."""
    world = World(authentication_steps=2)
    peer, ask = begin(world)
    for _ in range(2):
        peer.client.answer(ask, Challenge(), 0)
        ask = peer.send(auth(CONTINUE))
    peer.client.answer(ask, Challenge(), 0)
    peer.take()

    assert peer.send(auth(CONTINUE)) is None

    assert ReasonCode.NOT_AUTHORIZED is peer.closed


def connected(world: World, **connect: Any) -> Peer:
    """A client that has authenticated."""
    peer = world.open(ASKING)
    properties = Properties(authentication_method="m")
    ask = peer.send(Connect(client_id="client", properties=properties, **connect))
    peer.client.answer(ask, ALLOW, 0)
    peer.take()
    return peer


def test_a_client_authenticates_again() -> None:
    """[MQTT-4.12.1-1] AUTH 0x19, then 0x18 both ways, then 0x00; other packets go on meanwhile."""
    peer = connected(World())
    for _ in range(2):
        first = peer.send(auth(AGAIN, data=b"1"))
        assert (True, True, b"1") == (first.again, first.first, first.data)
        peer.client.answer(first, Challenge(b"2"), 0)
        assert [auth(CONTINUE, data=b"2")] == peer.take()
        assert [PingResp()] == peer.ask(PingReq())
        second = peer.send(auth(CONTINUE))
        assert (True, False) == (second.again, second.first)
        peer.client.answer(second, Allow(b"3"), 0)
        assert [auth(ReasonCode.SUCCESS, data=b"3")] == peer.take()


@pytest.mark.parametrize(
    "packets",
    [
        pytest.param([auth(CONTINUE)], id="it has not begun"),
        pytest.param([auth(AGAIN, "other")], id="[MQTT-4.12.1-1] another method"),
        pytest.param([auth(AGAIN), auth(AGAIN)], id="it has begun already"),
    ],
)
def test_an_auth_again_that_is_wrong(packets: list[Auth]) -> None:
    """[MQTT-4.12.1-1] DISCONNECT 0x82, and the connection closes."""
    peer = connected(World())
    for packet in packets:
        ask = peer.send(packet)
        if ask is not None:
            peer.client.answer(ask, Challenge(), 0)

    (disconnect,) = only(peer.take(), Disconnect)
    assert ReasonCode.PROTOCOL_ERROR is disconnect.reason is peer.closed


def test_authenticating_again_fails() -> None:
    """[MQTT-4.12.1-2] DISCONNECT, and the connection closes; the will is published."""
    world = World()
    peer = connected(world, will=Will(b"w"))
    ask = peer.send(auth(AGAIN))

    peer.client.answer(ask, Refuse(ReasonCode.NOT_AUTHORIZED), 0)

    (disconnect,) = only(peer.take(), Disconnect)
    assert ReasonCode.NOT_AUTHORIZED is disconnect.reason
    assert 1 == len(world.hub.wills)


def test_auth_without_a_method() -> None:
    """[MQTT-4.12.0-7] [MQTT-4.12.0-6] A protocol error, and never the server's."""
    peer = World().connect()

    (disconnect,) = peer.ask(auth(AGAIN))
    assert ReasonCode.PROTOCOL_ERROR is disconnect.reason

    other = World().open(ASKING)
    ask = other.send(Connect(client_id="client"))
    with pytest.raises(HandlerError, match="gave no authentication method"):
        other.client.answer(ask, Challenge(), 0)


def test_a_verdict_on_a_client_that_is_none() -> None:
    """The host is told."""
    peer = World().open(ASKING)
    ask = peer.send(Connect(client_id="client"))

    with pytest.raises(HandlerError, match="no verdict on a client"):
        peer.client.answer(ask, Grants(()), 0)


# DISCONNECT


@pytest.mark.parametrize("version", Version)
def test_a_normal_disconnect_drops_the_will(version: Version) -> None:
    """[MQTT-3.14.4-3] [MQTT3-3.1.2-10] [MQTT-3.1.2-10] And nothing is sent back."""
    world = World()
    peer = world.keep(version=version, will=Will(b"w"))

    assert [] == peer.ask(Disconnect())
    world.later(1e9)

    assert ([], ReasonCode.NORMAL_DISCONNECTION) == (world.hub.wills, peer.closed)


@pytest.mark.parametrize(
    "reason", [0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99]
)
def test_a_disconnect_with_another_reason_publishes_the_will(reason: int) -> None:
    """[MQTT-3.1.2-8] Those that a client may give."""
    world = World()
    peer = world.connect(will=Will(b"w"))

    assert [] == peer.ask(Disconnect(ReasonCode(reason)))

    assert (reason, 1) == (peer.closed, len(world.hub.wills))


@pytest.mark.parametrize(
    "reason", [0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA2]
)
def test_a_disconnect_with_a_servers_reason(reason: int) -> None:
    """[MQTT-3.14.2-1] A protocol error."""
    peer = World().connect()

    (disconnect,) = peer.ask(Disconnect(ReasonCode(reason)))

    assert ReasonCode.PROTOCOL_ERROR is disconnect.reason


def test_a_disconnect_with_a_server_reference() -> None:
    """A protocol error: only a server sends one."""
    peer = World().connect()

    peer.ask(Disconnect(properties=Properties(server_reference="x")))

    assert ReasonCode.PROTOCOL_ERROR is peer.closed


@pytest.mark.parametrize(("asked", "changed"), [(0, 0), (5, 50), (50, 0), (5, 1000)])
def test_a_disconnect_changes_the_expiry(asked: int, changed: int) -> None:
    """[MQTT-3.1.2-23] [MQTT-4.1.0-2] Within the server's maximum; 0 ends the session at once."""
    world = World(maximum_session_expiry=100)
    peer = world.connect(expiry=asked)

    peer.ask(Disconnect(properties=Properties(session_expiry_interval=changed)))

    assert ReasonCode.NORMAL_DISCONNECTION is peer.closed
    assert bool(changed) == bool(len(world.sessions))
    assert (world.now + min(changed, 100) if changed else None) == world.sessions.deadline


def test_a_disconnect_with_a_reason_string() -> None:
    """It changes nothing."""
    peer = World().connect(expiry=50)

    peer.ask(Disconnect(properties=Properties(reason_string="bye")))

    assert (ReasonCode.NORMAL_DISCONNECTION, 1) == (peer.closed, len(peer.world.sessions))


def test_an_expiry_that_was_0_stays_so() -> None:
    """A protocol error else, and no valid DISCONNECT: the will is published."""
    world = World()
    peer = world.connect(will=Will(b"w"))

    (disconnect,) = peer.ask(Disconnect(properties=Properties(session_expiry_interval=1)))

    assert ReasonCode.PROTOCOL_ERROR is disconnect.reason
    assert (1, 0) == (len(world.hub.wills), len(world.sessions))


def test_a_server_says_no_session_expiry() -> None:
    """[MQTT-3.14.2-2] [MQTT-3.14.2-3] Its DISCONNECT has a reason and a text that fits."""
    texts = []
    for size in (30, 300):
        peer = World().connect(properties={"maximum_packet_size": size}, expiry=60)
        peer.client.fail(ReasonCode.DISCONNECT_WITH_WILL_MESSAGE, 0, "x" * 50)
        (disconnect,) = peer.take()
        assert isinstance(disconnect, Disconnect)
        assert ReasonCode.UNSPECIFIED_ERROR is disconnect.reason  # [MQTT-3.14.2-1]
        texts.append(disconnect.properties)

    assert [None, Properties(reason_string="x" * 50)] == texts


def test_a_text_that_no_string_can_carry_is_mended() -> None:
    """A reason string has no U+0000 and no surrogates, and an end."""
    peer = World().connect()

    peer.client.fail(ReasonCode.UNSPECIFIED_ERROR, 0, "a\0\ud800" + "x" * 5000)

    (disconnect,) = only(peer.take(), Disconnect)
    assert "a?" + "x" * 997 == disconnect.properties.reason_string


# Bridges


@pytest.mark.parametrize("version", V3)
def test_a_bridge_gets_nothing_back_and_retain_as_it_is(version: Version) -> None:
    """As from mosquitto: what it publishes itself doesn't come back; shared is as for others."""
    world = World()
    bridge = world.connect("bridge", version, bridge=True)
    bridge.ask(subscribe(b"#", 1))
    bridge.ask(subscribe(b"$share/g/b", 1))

    bridge.ask(publish(1, 5))
    assert [PubAck(5)] == bridge.ask(publish(1, 5))
    world.publish(retain=True)

    (forwarded,) = only(bridge.take(), Publish)
    assert forwarded.retain
    terms = bridge.session.subscriptions
    assert (True, False) == (terms[b"#"].no_local, terms[b"$share/g/b"].no_local)


def test_the_frames_of_3_1_have_no_session_present() -> None:
    """3.1 has no place for it."""
    world = World()
    world.keep(version=V31)
    peer = world.open()

    peer.send(Connect(client_id="client", version=V31, clean_start=False))

    assert [b"\x20\x02\0\0"] == peer.line.frames
    assert [ConnAck()] == [*PacketReader(V31).feed(peer.line.frames[0])]
