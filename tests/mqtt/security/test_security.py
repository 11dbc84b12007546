"""Security at a whole server: who comes in, what it may do, and what a change of the files does."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from attrs import evolve

from speedo_trio import Broker, ConfigError, serve
from speedo_trio.mqtt import (
    MQTT,
    ACLFile,
    ConnectRequest,
    Hooks,
    PasswordFile,
    Proof,
    ReasonCode,
    Refused,
    Security,
    SecuritySettings,
    User,
)
from speedo_trio.mqtt.security.hashes import Scrypt
from speedo_trio.mqtt.wire.packets import (
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    Will,
)
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.testing import MemoryServer, serve_in_memory
from tests.mqtt.wired import PATIENCE, V5, V311, Wired, publish

R = ReasonCode
ALICE: dict[str, Any] = {"user_name": "alice", "password": b"wonderland"}


def line(name: str, password: bytes) -> str:
    """A line of a password file, of the cheapest kind."""
    return f"{name}:{Scrypt.make(password, 4)}\n"


@pytest.fixture
def passwords(tmp_path: Path) -> Path:
    """A file with two users."""
    path = tmp_path / "passwords"
    path.write_text(line("alice", b"wonderland") + line("bob", b"builder"))
    return path


@pytest.fixture
def acl(tmp_path: Path) -> Path:
    """A file with rules for alice, and for those without a name."""
    path = tmp_path / "acl"
    path.write_text("topic read open/#\nuser alice\ntopic readwrite a/#\ntopic write w\n")
    return path


class Scene:
    """A server, and clients."""

    def __init__(self, server: MemoryServer, mqtt: MQTT) -> None:
        self.server = server
        self.mqtt = mqtt

    async def reason(self, client_id: str = "c", version: Any = V5, **given: Any) -> ReasonCode:
        """What a client is told that connects."""
        client = Wired(self.server.connect(), version)
        return (await client.connect(client_id, **given)).reason

    async def client(self, client_id: str = "c", **given: Any) -> Wired:
        client = Wired(self.server.connect())
        assert (await client.connect(client_id, **given)).reason is R.SUCCESS
        return client


@asynccontextmanager
async def scene(hooks: Hooks) -> AsyncIterator[Scene]:
    """A server in memory."""
    mqtt = MQTT(Broker(), hooks=hooks, sys_interval=0)
    with trio.fail_after(PATIENCE):
        async with serve_in_memory(mqtt, observer=None) as server:
            yield Scene(server, mqtt)


async def gets(client: Wired) -> list[bytes]:
    """The payloads that have come, up to the answer to a ping."""
    await client.send(PingReq())
    found = []
    while not isinstance(packet := await client.packet(), PingResp):
        assert packet is not None
        if isinstance(packet, Publish):
            found.append(packet.payload)
    return found


async def publishes(client: Wired, topic: str, **given: Any) -> ReasonCode:
    """What a client is told that publishes with QoS 1."""
    await client.send(publish(topic, packet_id=1, **given))
    return (await client.get(PubAck)).reason


def write(path: Path, text: str) -> None:
    """Change a file."""
    path.write_text(text)


def read(path: Path) -> str:
    """A file's text."""
    return path.read_text()


# Passwords


async def test_a_password_file(passwords: Path) -> None:
    """Who is in it comes in with its password; nobody else does, nor without a name."""
    async with scene(Hooks(authenticate=PasswordFile(passwords))) as on:
        assert await on.reason(**ALICE) is R.SUCCESS
        assert await on.reason(**ALICE) is R.SUCCESS  # remembered
        assert await on.reason(user_name="alice", password=b"x") is R.BAD_USER_NAME_OR_PASSWORD
        assert await on.reason(user_name="alice") is R.BAD_USER_NAME_OR_PASSWORD
        assert await on.reason(user_name="carol", password=b"x") is R.BAD_USER_NAME_OR_PASSWORD
        assert await on.reason() is R.NOT_AUTHORIZED
        assert await on.reason(version=V311, clean_start=True, **ALICE) is R.SUCCESS


async def test_what_is_remembered_is_forgotten_with_the_line(passwords: Path) -> None:
    """A changed password counts at once, and the old one no more."""
    file = PasswordFile(passwords)
    assert await file.check("alice", b"wonderland") is True
    write(passwords, line("alice", b"new") + line("carol", b"x"))

    assert file.reload() == {"alice", "bob"}
    assert await file.check("alice", b"wonderland") is False
    assert await file.check("alice", b"new") is True
    assert await file.check("bob", b"builder") is False


async def test_a_crowd_is_bounded(passwords: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When too many wait for a thread, more are told to come back later."""
    monkeypatch.setattr("speedo_trio.mqtt.security.threads._WAITING", 2)
    file = PasswordFile(passwords, threads=1)
    answers: list[object] = []

    async def log_in(password: bytes) -> None:
        answers.append(await file.check("alice", password))

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(log_in, b"%d" % number)

    assert answers.count(False) == 2
    busy = [each for each in answers if isinstance(each, Refused)]
    assert [each.reason for each in busy] == [R.SERVER_BUSY] * 3


def test_threads(passwords: Path) -> None:
    """There must be one."""
    with pytest.raises(ConfigError, match="threads is 0; allowed is a whole number from 1"):
        PasswordFile(passwords, threads=0)


# Whom to let in


async def behind_a_proxy(
    hooks: Hooks, source: str = "203.0.113.5", **given: Any
) -> tuple[ReasonCode, str]:
    """What a client is told that a proxy on this machine brings along."""
    async with trio.open_nursery() as nursery:
        mqtt = MQTT(hooks=hooks, sys_interval=0)
        server = await nursery.start(serve, mqtt, "tcp+proxy://127.0.0.1:0")
        stream = await trio.open_tcp_stream("127.0.0.1", server.addresses[0].port)
        async with stream:
            await stream.send_all(f"PROXY TCP4 {source} 127.0.0.1 50000 1883\r\n".encode())
            reason = (await Wired(stream).connect(**given)).reason
        nursery.cancel_scope.cancel()
    return reason, source


@pytest.mark.parametrize(
    ("policy", "source", "reason"),
    [
        ("local", "203.0.113.5", R.NOT_AUTHORIZED),
        ("local", "127.0.0.1", R.SUCCESS),
        ("always", "203.0.113.5", R.SUCCESS),
        ("never", "127.0.0.1", R.NOT_AUTHORIZED),
    ],
)
@pytest.mark.parametrize("kind", ["hooks", "security"])
async def test_without_credentials(
    policy: Any, source: str, reason: ReasonCode, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By default only clients of this machine; the log says once what would let others in."""
    caplog.set_level(logging.WARNING, "speedo_trio.mqtt")
    hooks = (
        Hooks(allow_anonymous=policy)
        if kind == "hooks"
        else Security(SecuritySettings(allow_anonymous=policy)).hooks
    )

    assert await behind_a_proxy(hooks, source) == (reason, source)
    told = [each.getMessage() for each in caplog.records if "is refused" in each.getMessage()]
    assert len(told) == (reason is not R.SUCCESS)
    assert all(f'allow_anonymous is "{policy}"' in text for text in told)


async def test_it_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """A crowd doesn't fill the log; in 3.1.1 it is return code 5."""
    caplog.set_level(logging.WARNING, "speedo_trio.mqtt")
    for hooks in (
        Hooks(allow_anonymous="never"),
        Security(SecuritySettings(allow_anonymous="never")).hooks,
    ):
        caplog.clear()
        async with scene(hooks) as on:
            for _ in range(3):
                assert await on.reason(version=V311, clean_start=True) is R.NOT_AUTHORIZED
        assert len(caplog.records) == 1


async def test_a_hook_decides_alone() -> None:
    """With `Hooks.authenticate` it is the hook's, wherever clients are."""
    assert (await behind_a_proxy(Hooks(authenticate=lambda _: True)))[0] is R.SUCCESS


async def test_a_name_needs_its_password(passwords: Path) -> None:
    """With a password file a name without the right one is refused, even where none is needed."""
    settings = SecuritySettings(password_file=str(passwords), allow_anonymous="always")
    async with scene(Security(settings).hooks) as on:
        assert await on.reason(user_name="alice") is R.BAD_USER_NAME_OR_PASSWORD
        assert await on.reason() is R.SUCCESS
        assert await on.reason(**ALICE) is R.SUCCESS


async def test_who_fails_too_often(passwords: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is refused unseen, with the right password too, and 3.1.1 is told to try later."""
    caplog.set_level(logging.WARNING, "speedo_trio.mqtt")
    security = Security(SecuritySettings(password_file=str(passwords), failed_logins=2))
    wrong: dict[str, Any] = {"user_name": "alice", "password": b"x"}
    async with scene(security.hooks) as on:
        assert await on.reason(**wrong) is R.BAD_USER_NAME_OR_PASSWORD
        assert await on.reason(**ALICE) is R.SUCCESS
        assert await on.reason(**wrong) is R.BAD_USER_NAME_OR_PASSWORD
        assert await on.reason(**ALICE) is R.CONNECTION_RATE_EXCEEDED
        assert await on.reason(version=V311, clean_start=True, **ALICE) is R.SERVER_UNAVAILABLE

    assert (security.failed_logins, security.refused_logins) == (2, 2)
    assert ["too many logins from" in each.getMessage() for each in caplog.records] == [True]


# What they may do


async def test_an_acl(passwords: Path, acl: Path) -> None:
    """It decides on what is published and on what is got; a subscription is granted always."""
    hooks = Hooks(authenticate=PasswordFile(passwords), authorise=ACLFile(acl))
    async with scene(hooks) as on:
        alice = await on.client(**ALICE)
        assert await alice.subscribe("#") == [R.GRANTED_QOS_2]
        assert await publishes(alice, "b", payload=b"no") is R.NOT_AUTHORIZED
        assert await publishes(alice, "w", payload=b"no") is R.NO_MATCHING_SUBSCRIBERS
        on.mqtt.publish("b", b"no", qos=1)
        on.mqtt.publish("a/b", b"yes")
        on.mqtt.publish("a/b", b"again", qos=1)

        assert await gets(alice) == [b"yes", b"again"]


async def test_retained_and_wills(passwords: Path, acl: Path) -> None:
    """What is retained is got only where that is allowed, and a will goes only where it may."""
    hooks = Hooks(authenticate=PasswordFile(passwords), authorise=ACLFile(acl))
    async with scene(hooks) as on:
        for topic in ("a/x", "b/x"):
            on.mqtt.publish(topic, topic.encode(), retain=True)
        alice = await on.client(**ALICE)
        await alice.subscribe("+/x")
        assert await gets(alice) == [b"a/x"]
        for topic in ("b/will", "a/will"):
            dying = await on.client(topic, will=Will(topic.encode(), topic.encode()), **ALICE)
            await dying.stream.aclose()
        async with on.mqtt.subscribe("+/will") as wills:
            for topic in ("b/will", "a/will"):
                dying = await on.client(topic, will=Will(topic.encode(), b"x"), **ALICE)
                await dying.stream.aclose()
            assert (await anext(aiter(wills))).topic == "a/will"


async def test_who_may_not_get_it_isnt_given_the_groups_share(passwords: Path, acl: Path) -> None:
    """Of a shared subscription a member gets it that may."""
    hooks = Hooks(authenticate=lambda _: True, authorise=ACLFile(acl))
    async with scene(hooks) as on:
        alice, bob = await on.client("1", user_name="alice"), await on.client("2", user_name="bob")
        for client in (alice, bob):
            await client.subscribe("$share/g/#")
        for _ in range(4):
            assert on.mqtt.publish("a/b", b"x") == 1

        assert (len(await gets(alice)), len(await gets(bob))) == (4, 0)


async def test_a_filter_may_be_refused() -> None:
    """Rights of one's own may refuse subscriptions; of a shared one the filter counts."""

    class Few:
        def may_publish(self, topic: str, /) -> bool:
            return True

        may_receive = may_publish

        def may_subscribe(self, topic_filter: str, /) -> bool:
            return topic_filter == "a"

    async with scene(Hooks(authorise=lambda _: Few())) as on:
        client = await on.client()

        assert await client.subscribe("a", "b", "$share/g/a", "$share/g/b") == [
            *(R.GRANTED_QOS_2, R.NOT_AUTHORIZED, R.GRANTED_QOS_2, R.NOT_AUTHORIZED)
        ]


async def test_a_hook_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """It allows nothing, and harms nobody else."""

    class Broken:
        def may_publish(self, topic: str, /) -> bool:
            raise RuntimeError("on fire")

        may_receive = may_subscribe = may_publish

    def authorise(client: Any) -> Any:
        if client.client_id == "worse":
            raise RuntimeError("on fire")
        return Broken()

    async with scene(Hooks(authorise=authorise)) as on:
        for client_id in ("bad", "worse"):
            client = await on.client(client_id)
            assert await client.subscribe("a") == [R.NOT_AUTHORIZED]
            assert await publishes(client, "a") is R.NOT_AUTHORIZED

    assert "the hook authorise failed for client 'worse'" in caplog.text


# Changes


async def test_rules_that_change_hold_at_once(passwords: Path, acl: Path) -> None:
    """For live subscriptions, for what waits, for publishing, and back again."""
    file = ACLFile(acl)
    hooks = Hooks(authenticate=PasswordFile(passwords), authorise=file)
    before = read(acl)
    async with scene(hooks) as on:
        alice = await on.client(**ALICE)
        await alice.subscribe("a/#")
        on.mqtt.publish("a/x", b"1")
        write(acl, "user alice\ntopic read b/#\n")
        file.reload()
        on.mqtt.refresh_rights()
        on.mqtt.publish("a/x", b"2")
        on.mqtt.publish("a/x", b"2", qos=1)
        assert await gets(alice) == [b"1"]
        assert await publishes(alice, "a/x") is R.NOT_AUTHORIZED

        write(acl, before)
        file.reload()
        on.mqtt.refresh_rights()
        on.mqtt.publish("a/x", b"3")
        assert await gets(alice) == [b"3"]


async def test_what_waits_is_not_sent_any_more(passwords: Path, acl: Path) -> None:
    """Messages of a client that was away are dropped when it may not get them any more."""
    file = ACLFile(acl)
    hooks = Hooks(authenticate=PasswordFile(passwords), authorise=file)
    stays: dict[str, Any] = {
        "clean_start": False,
        "properties": Properties(session_expiry_interval=100),
        **ALICE,
    }
    async with scene(hooks) as on:
        alice = await on.client(**stays)
        await alice.subscribe("a/#")
        await alice.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert not on.mqtt.sessions()[0].connected
        on.mqtt.publish("a/x", b"1", qos=1)
        on.mqtt.publish("a/y", b"2", qos=1)
        write(acl, "user alice\ntopic read a/y\n")
        file.reload()
        on.mqtt.refresh_rights()
        alice = await on.client(**stays)

        assert await gets(alice) == [b"2"]


def settings(path: Path | None, **more: Any) -> SecuritySettings:
    """With a password file, or without one."""
    return SecuritySettings(password_file=None if path is None else str(path), **more)


Change = Callable[[Path], SecuritySettings]


def drop_alice(path: Path) -> SecuritySettings:
    """Her line goes."""
    path.write_text(path.read_text().splitlines()[1])
    return settings(path)


def change_alice(path: Path) -> SecuritySettings:
    """Her password is another."""
    path.write_text(line("alice", b"new") + path.read_text().splitlines()[1])
    return settings(path)


@pytest.mark.parametrize(
    ("change", "left"),
    [
        (drop_alice, ["bob", "nobody"]),
        (change_alice, ["bob", "nobody"]),
        (settings, ["alice", "bob", "nobody"]),
        (lambda path: settings(path, allow_anonymous="never"), ["alice", "bob"]),
        (lambda _: settings(None), ["nobody"]),
    ],
)
async def test_who_would_not_come_in_any_more(
    passwords: Path, change: Change, left: list[str]
) -> None:
    """Whose password has gone or changed is disconnected, and who needs one now; others stay."""
    security = Security(settings(passwords))
    async with scene(security.hooks) as on:
        clients = {
            "alice": await on.client("alice", **ALICE),
            "bob": await on.client("bob", user_name="bob", password=b"builder"),
            "nobody": await on.client("nobody"),
        }
        must_go = security.adopt(Security(change(passwords)))
        on.mqtt.refresh_rights()
        gone = on.mqtt.disconnect_where(must_go, R.NOT_AUTHORIZED)

        assert gone == 3 - len(left)
        for name, client in clients.items():
            if name in left:
                await client.settled()
            else:
                assert (await client.get(Disconnect)).reason is R.NOT_AUTHORIZED


async def test_a_password_file_that_comes_later(passwords: Path) -> None:
    """Who gave a name that nobody looked at has to log in; who gave none may stay."""
    security = Security(settings(None))
    async with scene(security.hooks) as on:
        named, nameless = await on.client("1", user_name="alice"), await on.client("2")
        must_go = security.adopt(Security(settings(passwords)))

        assert on.mqtt.disconnect_where(must_go) == 1
        assert (await named.get(Disconnect)).reason is R.ADMINISTRATIVE_ACTION
        await nameless.settled()
        assert await on.reason("3", user_name="alice") is R.BAD_USER_NAME_OR_PASSWORD


async def test_who_a_client_is(passwords: Path) -> None:
    """Its identity tells, to hooks that are asked later; others are left alone by a change."""
    seen: list[object] = []

    async def note(request: Any) -> bool:
        seen.append(request.client.identity)
        return True

    security = Security(settings(passwords))
    async with scene(evolve(security.hooks, authorise_publish=note)) as on:
        alice = await on.client(**ALICE)
        await publishes(alice, "a")

    assert seen == [User("alice", Proof.PASSWORD)]


async def test_a_client_of_another_hook_stays(passwords: Path) -> None:
    """Whom security didn't let in it doesn't send away."""

    def authenticate(request: ConnectRequest) -> bool:
        return True

    security = Security(settings(passwords))
    async with scene(Hooks(authenticate=authenticate)) as on:
        client = await on.client(**ALICE)
        assert on.mqtt.disconnect_where(security.adopt(Security(settings(None)))) == 0
        await client.settled()
