"""Sessions that have come back from a store are still somebody's: what they may do holds."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from speedo_trio.mqtt import (
    Accepted,
    ClientInfo,
    ConnectRequest,
    Hooks,
    Proof,
    PublishRequest,
    SQLiteStore,
    TopicRights,
    User,
)
from speedo_trio.mqtt.wire.packets import Will
from speedo_trio.mqtt.wire.properties import Properties
from tests.mqtt.peers import connected
from tests.mqtt.store.scene import serving
from tests.mqtt.store.test_keeper import silent

DELAYED = Properties(will_delay_interval=1)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where there is nothing yet."""
    return str(tmp_path / "mqtt.db")


class Own:
    """The right to topics below the own name."""

    def __init__(self, name: object) -> None:
        self._name = f"{name}/"

    def may_publish(self, topic: str) -> bool:
        return topic.startswith(self._name)

    def may_receive(self, topic: str) -> bool:
        return topic.startswith(self._name)

    def may_subscribe(self, topic_filter: str) -> bool:
        return True


def by_identity(identity: object) -> Hooks:
    """Clients are what a hook says; their rights are those of their names there."""

    async def authenticate(request: ConnectRequest) -> Accepted:
        return Accepted(identity=identity)

    def authorise(client: ClientInfo) -> TopicRights | None:
        who = client.identity
        if who == "everybody":
            return None
        return Own(who.name if isinstance(who, User) else who)

    return Hooks(authenticate=authenticate, authorise=authorise)


@pytest.mark.parametrize("identity", [User("ann", Proof.PASSWORD), "ann"])
async def test_what_waits_for_a_session_is_what_it_may_get(path: str, identity: object) -> None:
    """Also while its client has not come back."""
    hooks = by_identity(identity)
    async with (
        serving(SQLiteStore(path), hooks=hooks) as server,
        connected(server.port, "s", stays=100) as peer,
    ):
        await peer.subscribe("#", qos=1)
    async with serving(SQLiteStore(path), hooks=hooks) as server:
        assert server.publish("ann/1", b"yes", qos=1) == 1
        assert server.publish("bob/1", b"no", qos=1) == 0
        async with connected(server.port, "s", stays=100) as peer:
            assert (await peer.message()).topic == b"ann/1"
            assert await silent(peer)


@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        (User("ann", Proof.PASSWORD), [b"ann/gone"]),
        ("ann", [b"ann/gone"]),
        ("everybody", [b"ann/gone", b"bob/gone"]),
        (object(), []),
        (User("ann", Proof.TOKEN, rights=Own("ann")), []),
    ],
)
async def test_wills(path: str, identity: object, expected: list[bytes]) -> None:
    """They are published if their clients may; of whom nobody knows any more may nothing."""
    hooks = by_identity(identity)
    async with serving(SQLiteStore(path), hooks=hooks) as server:
        for topic in ("ann", "bob"):
            will = Will(f"{topic}/gone".encode(), b"1", 1, properties=DELAYED)
            async with connected(server.port, f"w {topic}", stays=100, will=will):
                pass
    async with serving(SQLiteStore(path), hooks=hooks) as server:
        with trio.move_on_after(1.5 if len(expected) < 2 else 10):
            async with server.subscribe("#") as messages:
                for name in expected:
                    assert (await anext(messages)).topic == name.decode()
                if len(expected) < 2:
                    raise AssertionError(await anext(messages))


async def test_a_hook_that_authorises_wills_knows_whose_they_are(path: str) -> None:
    """It is asked with the user's name, its address and its identity."""
    asked: list[ClientInfo] = []

    async def authenticate(request: ConnectRequest) -> Accepted:
        return Accepted(identity={"roles": ["sensor"], "level": 3})

    async def authorise(request: PublishRequest) -> bool:
        asked.append(request.client)
        return True

    hooks = Hooks(authenticate=authenticate, authorise_publish=authorise)
    async with serving(SQLiteStore(path), hooks=hooks) as server:
        will = Will(b"gone", b"1", 1, properties=DELAYED)
        async with connected(server.port, "w", stays=100, will=will):
            pass
    async with serving(SQLiteStore(path), hooks=hooks) as server, server.subscribe("#") as messages:
        with trio.fail_after(10):
            assert (await anext(messages)).payload == b"1"
    (client,) = asked

    assert (client.client_id, client.user_name, client.connection) == ("w", None, 0)
    assert (client.peer.scheme, client.peer.host) == ("tcp", "127.0.0.1")
    assert client.identity == {"roles": ["sensor"], "level": 3}


async def test_who_nobody_knows_gets_what_waits_when_it_is_back(path: str) -> None:
    """Its messages wait, and what it may get is sent then."""
    sessions = by_identity(object())

    def authorise(client: ClientInfo) -> TopicRights:
        return Own("ann")

    hooks = Hooks(authenticate=sessions.authenticate, authorise=authorise)
    async with (
        serving(SQLiteStore(path), hooks=hooks) as server,
        connected(server.port, "s", stays=100) as peer,
    ):
        await peer.subscribe("#", qos=1)
    async with serving(SQLiteStore(path), hooks=hooks) as server:
        assert server.publish("bob/1", b"no", qos=1) == 1
        assert server.publish("ann/1", b"yes", qos=1) == 1
        async with connected(server.port, "s", stays=100) as peer:
            assert (await peer.message()).topic == b"ann/1"
            assert await silent(peer)
    async with serving(SQLiteStore(path)) as server:
        assert [each.waiting for each in server.mqtt.sessions()] == [0]
