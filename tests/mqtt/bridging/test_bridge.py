"""The bridge: what goes over it, what waits, how it comes back, and how it ends."""

from __future__ import annotations

import logging
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from speedo_trio import ConfigError
from speedo_trio.mqtt import (
    MQTT,
    BridgeSettings,
    BridgeTopic,
    Capabilities,
    Properties,
    ReasonCode,
    bridge,
)
from speedo_trio.mqtt.bridging.bridge import Backoff
from speedo_trio.mqtt.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubscriptionOptions,
)
from speedo_trio.testing import serve_in_memory
from tests.mqtt.bridging.scene import BOTH, bridged
from tests.mqtt.client.scene import PATIENCE, V31, V311
from tests.mqtt.wired import Wired, publish

OUT = BridgeTopic(filter="a", direction="out", qos=1)


# What goes over


async def test_the_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As the settings say; the session is to stay. It subscribes without what is its own."""
    (tmp_path / "password").write_text("secret\n")
    given: dict[str, Any] = {
        "user_name": "u",
        "password_file": str(tmp_path / "password"),
        "keep_alive": 7,
    }
    async with bridged(monkeypatch, **given) as scene:
        desk = await scene.far.desks.receive()
        connect = await desk.welcome()
        subscribe = await scene.granted(desk)

        assert (connect.client_id, connect.clean_start, connect.bridge) == ("id", False, False)
        assert (connect.user_name, connect.password, connect.keep_alive) == ("u", b"secret", 7)
        assert connect.properties is not None
        assert connect.properties.session_expiry_interval == 0xFFFF_FFFF
        options = SubscriptionOptions(2, True, True, 1)  # in their order
        assert subscribe.subscriptions == [(b"there/#", options)]
        assert scene.state == b"1"


async def test_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each QoS, with properties and whether it is to be retained; acknowledged it is forgotten."""
    async with bridged(monkeypatch) as scene:
        desk = await scene.desk()
        client = await scene.client()
        properties = Properties(user=(("k", "v"),))
        await client.send(publish("here/a", b"0", retain=True, properties=properties))
        await client.send(publish("here/a", b"1", 1), publish("here/a", b"2", 2, qos=2))
        first = await desk.get(Publish)
        assert (first.topic, first.payload, first.retain) == (b"there/a", b"0", True)
        assert first.properties == properties
        second, third = await desk.get(Publish), await desk.get(Publish)
        assert [(each.payload, each.qos) for each in (second, third)] == [(b"1", 1), (b"2", 2)]
        assert scene.mqtt.sessions()[0].inflight == 2
        await desk.send(PubAck(second.packet_id), PubRec(third.packet_id))
        assert await desk.get(PubRel) == PubRel(third.packet_id)
        await desk.send(PubComp(third.packet_id))
        await wait_all_tasks_blocked()

        assert scene.mqtt.sessions()[0].inflight == 0


async def test_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each QoS, with properties; it is acknowledged when it has been published. Nothing returns."""
    async with bridged(monkeypatch) as scene:
        desk = await scene.desk()
        client = await scene.client()
        await client.subscribe("#")
        properties = Properties(user=(("k", "v"),))
        await desk.send(Publish(b"there/a", b"0", retain=True, properties=properties))
        await desk.send(Publish(b"there/a", b"1", 1, packet_id=5))
        await desk.send(Publish(b"there/a", b"2", 2, packet_id=6), PubRel(6))
        came = [await client.get(Publish) for _ in range(3)]

        assert [(each.topic, each.payload, each.qos) for each in came] == [
            (b"here/a", b"%d" % qos, qos) for qos in (0, 1, 2)
        ]
        assert came[0].properties == properties
        assert [await desk.packet() for _ in range(3)] == [PubAck(5), PubRec(6), PubComp(6)]
        (kept,) = scene.mqtt.broker.retained("here/#")
        assert kept.payload == b"0"
        await client.send(publish("here/next"))
        assert (await desk.get(Publish)).topic == b"there/next"


async def test_what_is_retained_goes_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the session begins; what follows is among what waits."""
    async with bridged(monkeypatch) as scene:
        scene.far.down = True
        scene.mqtt.publish("here/a", b"kept", qos=1, retain=True)
        scene.far.down = False
        desk = await scene.desk()
        message = await desk.get(Publish)
        assert (message.payload, message.retain) == (b"kept", True)
        await desk.send(PubAck(message.packet_id))
        await desk.hang_up()
        desk = await scene.desk(present=True)
        scene.mqtt.publish("here/b", b"")
        assert (await desk.get(Publish)).topic == b"there/b"


async def test_what_no_rule_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a subscription of earlier settings may bring it: it is answered and left."""
    async with bridged(monkeypatch) as scene:
        desk = await scene.desk()
        await desk.send(Publish(b"x", b"", 1, packet_id=5), Publish(b"x", b"", 2, packet_id=6))
        assert [await desk.packet() for _ in range(2)] == [PubAck(5), PubRec(6)]
        await desk.send(PubRel(6))
        assert (await desk.get(PubComp)).packet_id == 6


async def test_what_the_other_broker_does_not_take(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What is too long is not sent, a refusal is told once, and neither holds up the rest."""
    async with bridged(monkeypatch) as scene:
        desk = await scene.desk(properties=Properties(maximum_packet_size=40, maximum_qos=1))
        client = await scene.client()
        await client.send(publish("here/a", bytes(50)), publish("here/a", bytes(50), 1))
        await client.send(publish("here/a", b"2", 2, qos=2))
        for number in (3, 4):
            await client.send(publish("here/a", b"", number))
            message = await desk.get(Publish)
            assert (message.payload, message.qos) == (b"", 1)
            await desk.send(PubAck(message.packet_id, ReasonCode.NOT_AUTHORIZED))
        await wait_all_tasks_blocked()

        assert scene.mqtt.sessions()[0].inflight == 0
    assert caplog.messages.count("bridge b: the other broker refuses messages: not authorized") == 1


async def test_a_filter_that_is_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told; what goes out goes all the same."""
    async with bridged(monkeypatch) as scene:
        desk = await scene.desk(reason=ReasonCode.NOT_AUTHORIZED)
        client = await scene.client()
        await client.send(publish("here/a"))
        await desk.get(Publish)
    assert "bridge b: the other broker refuses 'there/#': not authorized" in caplog.messages


async def test_hooks_and_limits_are_not_for_bridges(monkeypatch: pytest.MonkeyPatch) -> None:
    """What clients may not do, a bridge may: who wrote its settings has allowed it."""
    own = Capabilities(
        versions=("3.1.1",),
        wildcard_subscriptions=False,
        maximum_session_expiry=0,
        maximum_offline_sessions=0,
        maximum_qos=1,
    )
    async with bridged(monkeypatch, capabilities=own) as scene:
        desk = await scene.far.desks.receive()
        await desk.welcome()
        subscribe = await scene.granted(desk)
        assert subscribe.subscriptions[0][1].qos == 1
        await desk.hang_up()
        scene.mqtt.publish("here/a", b"x", qos=1)
        desk = await scene.desk()
        assert (await desk.get(Publish)).payload == b"x"


# Before 5.0


async def test_the_bit_of_bridges(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried first; a broker that doesn't know it is asked again at once, without."""
    async with bridged(monkeypatch, version="3.1.1") as scene:
        desk = await scene.far.desks.receive()
        connect = await desk.get(Connect)
        assert (connect.version, connect.bridge, connect.clean_start) == (V311, True, False)
        desk.version = V311
        await desk.send(ConnAck(ReasonCode.UNSUPPORTED_PROTOCOL_VERSION))
        desk = await scene.far.desks.receive()
        connect = await desk.welcome()
        assert (connect.version, connect.bridge) == (V311, False)
        subscribe = await scene.granted(desk)
        assert subscribe.subscriptions == [(b"there/#", SubscriptionOptions(2))]
        client = await scene.client()
        properties = Properties(user=(("k", "v"),))
        await client.send(publish("here/a", b"x", 1, properties=properties))
        assert await desk.get(Publish) == Publish(b"there/a", b"x", 1, packet_id=1)
        assert scene.far.attempts[0] == pytest.approx(scene.far.attempts[1], abs=0.4)


async def test_3_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is spoken too."""
    async with bridged(monkeypatch, version="3.1") as scene:
        desk = await scene.far.desks.receive()
        assert (await desk.welcome()).version is V31
        await scene.granted(desk)
        assert scene.state == b"1"


# What waits, and comes again


async def test_what_is_published_while_the_other_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """QoS 1 and 2 wait in a session, within its bounds; QoS 0 doesn't."""
    own = Capabilities(queue_messages=2)
    async with bridged(monkeypatch, capabilities=own, reconnect_min=0.01) as scene:
        scene.far.down = True
        await wait_all_tasks_blocked()
        for number in range(4):
            scene.mqtt.publish("here/a", b"%d" % number, qos=number and 1)
        (session,) = scene.mqtt.sessions()
        assert (session.client_id, session.connected) == ("bridge.b", True)
        assert (session.waiting, session.dropped) == (2, 1)
        scene.far.down = False
        desk = await scene.desk()
        assert [(await desk.get(Publish)).payload for _ in range(2)] == [b"1", b"2"]


async def test_what_was_not_acknowledged_goes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """With DUP and the same identifiers, PUBRELs first, then what came meanwhile."""
    async with bridged(monkeypatch, reconnect_min=0.01) as scene:
        desk = await scene.desk()
        for payload, qos in ((b"1", 1), (b"2", 2), (b"3", 2)):
            scene.mqtt.publish("here/a", payload, qos=qos)
        first, second, third = [await desk.get(Publish) for _ in range(3)]
        await desk.send(PubRec(third.packet_id))
        await desk.get(PubRel)
        await desk.hang_up()
        await wait_all_tasks_blocked()
        assert scene.state == b"0"
        scene.mqtt.publish("here/a", b"4", qos=1)
        desk = await scene.far.desks.receive()
        await desk.welcome(present=True)
        assert await desk.packet() == PubRel(third.packet_id)
        await scene.granted(desk)
        again = [await desk.get(Publish) for _ in range(3)]

        assert [(each.packet_id, each.dup) for each in again[:2]] == [
            (first.packet_id, True),
            (second.packet_id, True),
        ]
        assert (again[2].payload, again[2].dup) == (b"4", False)


async def test_qos_2_comes_in_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Across connections, while the other broker has its session; then identifiers are new."""
    async with bridged(monkeypatch, reconnect_min=0.01) as scene:
        client = await scene.client()
        await client.subscribe("#")
        desk = await scene.desk()
        message = Publish(b"there/a", b"x", 2, packet_id=6)
        await desk.send(message)
        assert await desk.packet() == PubRec(6)
        await desk.hang_up()
        desk = await scene.desk(present=True)
        await desk.send(Publish(b"there/a", b"x", 2, dup=True, packet_id=6))
        assert await desk.packet() == PubRec(6)
        await desk.hang_up()
        desk = await scene.desk(present=False)
        await desk.send(message)
        assert await desk.packet() == PubRec(6)
        came = [await client.get(Publish) for _ in range(2)]
        await client.settled()

        assert [each.payload for each in came] == [b"x", b"x"]


async def test_the_other_broker_sets_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more messages are on their way than it takes."""
    async with bridged(monkeypatch) as scene:
        desk = await scene.desk(properties=Properties(receive_maximum=1))
        for payload in (b"1", b"2"):
            scene.mqtt.publish("here/a", payload, qos=1)
        first = await desk.get(Publish)
        await wait_all_tasks_blocked()
        assert scene.mqtt.sessions()[0].waiting == 1
        await desk.send(PubAck(first.packet_id))
        assert (await desk.get(Publish)).payload == b"2"


async def test_the_pace_before_5(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other broker can't tell it, so a setting does."""
    async with bridged(monkeypatch, version="3.1.1", maximum_inflight=2) as scene:
        await scene.desk()
        for _ in range(3):
            scene.mqtt.publish("here/a", b"", qos=1)
        await wait_all_tasks_blocked()
        (session,) = scene.mqtt.sessions()

        assert (session.inflight, session.waiting) == (2, 1)


async def test_identifiers_of_subscriptions_are_free_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """None that a message has which was not acknowledged."""
    async with bridged(monkeypatch, reconnect_min=0.01) as scene:
        desk = await scene.desk()
        scene.mqtt.publish("here/a", b"", qos=1)
        used = (await desk.get(Publish)).packet_id
        await desk.hang_up()
        desk = await scene.far.desks.receive()
        await desk.welcome(present=True)
        assert (await scene.granted(desk)).packet_id != used


async def test_other_rules() -> None:
    """Filters of the session that no rule has any more are dropped; what waits stays."""
    mqtt = MQTT(sys_interval=0)
    async with serve_in_memory(mqtt, observer=None) as server, trio.open_nursery() as nursery:
        before = Wired(server.connect())
        stays = Properties(session_expiry_interval=60)
        await before.connect("bridge.b", clean_start=False, properties=stays)
        await before.subscribe("old/#", "a")
        await before.send(publish("z", b"", 1, qos=2))  # the identifier is in use from now on
        await before.get(PubRec)
        await before.stream.aclose()
        await wait_all_tasks_blocked()
        mqtt.publish("a", b"x", qos=1)
        settings = BridgeSettings(name="b", url="mqtt+unix:/no/such/server", topics=[OUT])
        nursery.start_soon(bridge, mqtt, settings)
        await trio.sleep(0.1)
        (session,) = mqtt.sessions()
        assert (session.filters, session.waiting) == (("a",), 1)
        nursery.cancel_scope.cancel()


# How it ends, and begins again


async def test_it_tries_again(
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Later and later, up to a bound; the same failure is told once."""
    async with bridged(monkeypatch, reconnect_min=1, reconnect_max=8, patience=200) as scene:
        scene.far.down = True
        await trio.sleep(100)
        scene.far.down = False
        desk = await scene.desk()
        attempts = scene.far.attempts
        waits = [after - before for before, after in pairwise(attempts)]
        for wait, most in zip(waits, (1, 2, 4, 8, 8, 8), strict=False):
            assert most / 2 <= wait <= most
        await desk.hang_up()
        now = trio.current_time()
        await scene.far.desks.receive()
        assert trio.current_time() - now <= 1
    assert [each for each in caplog.messages if "is down" in each] == [
        "bridge b: cannot connect: it is down"
    ]


def test_not_all_at_the_same_time() -> None:
    """Bridges that have lost the same broker don't come back together."""
    assert len({Backoff(1, 60).next() for _ in range(20)}) > 10


async def test_a_broker_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """Neither CONNECT nor SUBSCRIBE: after a time it is tried again."""
    async with bridged(monkeypatch, connect_timeout=5, patience=50) as scene:
        silent = await scene.far.desks.receive()
        desk = await scene.far.desks.receive()
        assert 5 <= trio.current_time() - scene.far.attempts[0] <= 6.1
        await silent.get(Connect)
        assert await silent.packet() is None
        await desk.welcome()
        await scene.far.desks.receive()
        assert scene.state == b"0"


async def test_keep_alive(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """The other broker is asked, and is gone when it doesn't answer."""
    async with bridged(monkeypatch, keep_alive=10, patience=50) as scene:
        desk = await scene.desk()
        await desk.get(PingReq)
        await scene.far.desks.receive()
        assert 20 <= trio.current_time() - scene.far.attempts[0] <= 22


@pytest.mark.parametrize(
    ("data", "reason"), [(b"\x00\x00", 0x81), (b"\xc0\x00", 0x82), (b"\x20\x03\x00\x00\x00", 0x82)]
)
async def test_a_broker_that_breaks_the_protocol(
    monkeypatch: pytest.MonkeyPatch, data: bytes, reason: int
) -> None:
    """It is told, and tried again."""
    async with bridged(monkeypatch, reconnect_min=0.01) as scene:
        desk = await scene.desk()
        await desk.stream.send_all(data)
        assert await desk.packet() == Disconnect(ReasonCode(reason))
        assert await desk.packet() is None
        await scene.desk()


async def test_a_goodbye_of_the_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its reason is logged."""
    async with bridged(monkeypatch, reconnect_min=0.01) as scene:
        desk = await scene.desk()
        await desk.send(Disconnect(ReasonCode.SERVER_SHUTTING_DOWN))
        await scene.desk()
    text = "bridge b: the other broker closed the connection: server shutting down"
    assert text in caplog.messages


async def test_a_cancel_says_goodbye(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state is told, and the session waits, whatever holds for those of clients."""
    own = Capabilities(maximum_session_expiry=0)
    async with bridged(monkeypatch, capabilities=own) as scene:
        desk = await scene.desk()
        with trio.CancelScope(shield=True):
            scene.stop.cancel()
            await wait_all_tasks_blocked()
            assert await desk.packet() == Disconnect()
            assert await desk.packet() is None
            assert scene.state == b"0"
            assert [each.connected for each in scene.mqtt.sessions()] == [False]


async def test_the_session_is_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody uses its client identifier here, or ends it: it is taken up again."""
    async with bridged(monkeypatch, reconnect_min=0.01) as scene:
        await scene.desk()
        await scene.client("bridge.b")
        await scene.desk()
        scene.mqtt.disconnect("bridge.b")
        await scene.desk()
        scene.mqtt.disconnect("bridge.b", None)
        desk = await scene.desk()
        scene.mqtt.publish("here/a", b"x", qos=1)
        assert (await desk.get(Publish)).payload == b"x"
    ends = [each for each in caplog.messages if "the session here has ended" in each]
    assert len(ends) == 3


async def test_a_slow_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it doesn't read waits in the session, or is dropped with QoS 0."""
    async with bridged(monkeypatch, capabilities=Capabilities(queue_bytes=10**9)) as scene:
        desk = await scene.desk()
        for number in range(50):
            scene.mqtt.publish("here/a", b"%d" % number + bytes(10_000), qos=1)
            scene.mqtt.publish("here/b", bytes(10_000))
        (session,) = scene.mqtt.sessions()
        assert session.waiting > 30
        seen, dropped = 0, 50
        while seen < 50:
            message = await desk.get(Publish)
            if not message.qos:
                dropped -= 1
            else:
                assert message.payload.startswith(b"%d\x00" % seen)
                seen += 1
                await desk.send(PubAck(message.packet_id))
        assert dropped > 30


# Mistakes


async def until_told(caplog: pytest.LogCaptureFixture, words: str) -> None:
    """Wait for a line of the log; files are read in threads, which ring no bell."""
    with trio.fail_after(PATIENCE):
        while not any(words in each for each in caplog.messages):  # noqa: ASYNC110  # as it says
            await trio.sleep(0.01)


@pytest.mark.parametrize("content", ["", "a\nb"])
async def test_a_password_file_that_is_none(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    content: str,
) -> None:
    """It is told, and tried again: somebody may mend it."""
    file = tmp_path / "password"
    file.write_text(content)
    given: dict[str, Any] = {"user_name": "u", "password_file": str(file), "reconnect_min": 0.01}
    async with bridged(monkeypatch, **given) as scene:
        await until_told(caplog, "allowed is one line with the password")
        assert scene.far.attempts == []
        file.write_text("good")
        await scene.desk()


async def test_a_certificate_that_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The same."""
    given: dict[str, Any] = {
        "url": "mqtts://there",
        "ca": str(tmp_path / "none"),
        "reconnect_min": 0.01,
    }
    async with bridged(monkeypatch, **given) as scene:
        await until_told(caplog, "No such file or directory")
        assert scene.far.attempts == []


def test_two_of_one_name() -> None:
    """They are refused where they are given."""
    settings = BridgeSettings(name="b", url="mqtt://there", topics=[BOTH])
    assert MQTT(bridges=[settings]).bridges == (settings,)
    with pytest.raises(ConfigError, match="two bridges have the name 'b'"):
        MQTT(bridges=[settings, settings])


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> None:
    """All that is told."""
    caplog.set_level(logging.INFO, "speedo_trio.mqtt")
