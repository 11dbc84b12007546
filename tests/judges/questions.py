"""Questions about rights, made by chance, and brokers that are asked them as clients ask."""

from __future__ import annotations

from random import Random
from typing import NamedTuple, Self

import trio

from speedo_trio.mqtt.wire.packets import (
    ConnAck,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    SubAck,
)
from tests.mqtt.wired import Wired, connect, publish, subscribe

USERS = {"alice": "wonderland", "bob": "builder", "we+ird": "a#b", "root": "toor", "x/y": ""}
"""Their passwords. The last one can't have one that is empty, so it gets another."""
PASSWORDS = {name: password or "slash" for name, password in USERS.items()}
ROOT = ("root", PASSWORDS["root"])
CLIENT_IDS = ("c1", "a", "b", "c/d", "p+q", "h#", "%u", "$c")
LEVELS = ("a", "b", "", "c1", "alice", "bob", "x", "$b", "$a", "c", "d", "y", "%c", "%u")
ACCESS = ("", "", "read ", "read ", "write ", "write ", "readwrite ", "deny ")


class Question(NamedTuple):
    """What a client asks."""

    kind: str
    """connect, publish, subscribe, receive or retained."""
    client_id: str
    user: str | None
    password: str | None
    topic: str


def make_topic(chance: Random) -> str:
    """A topic name that both brokers take."""
    while not (topic := "/".join(chance.choices(LEVELS, k=chance.randint(1, 4)))):
        pass
    return topic


def make_filter(chance: Random, *names: str) -> str:
    """A filter, with wildcards often."""
    levels = chance.choices((*LEVELS, "+", "+", *names), k=chance.randint(1, 3))
    if chance.random() < 0.3:
        levels.append("#")
    return "/".join(levels) or "#"


def make_acl(chance: Random) -> str:
    """An ACL file. Root may do everything."""
    lines = ["# made by chance", ""]
    for user in chance.sample([None, *PASSWORDS], k=chance.randint(2, 5)):
        if user == "root":
            continue
        if user is not None:
            lines.append(f"user {user}")
        elif "user" in "".join(lines):
            continue
        lines += [
            f"topic {chance.choice(ACCESS)}{make_filter(chance)}"
            for _ in range(chance.randint(1, 6))
        ]
    lines += ["user root", "topic readwrite #", "topic readwrite $a/#", "topic readwrite $b/#"]
    if chance.random() < 0.8:
        lines += [
            f"pattern {chance.choice(ACCESS)}{make_filter(chance, '%c', '%c', '%u', 'a')}"
            for _ in range(chance.randint(1, 5))
        ]
    return "\n".join(lines) + "\n"


def make_question(chance: Random) -> Question:
    """Any."""
    kind = chance.choice(
        ("connect", "publish", "publish", "receive", "receive", "retained", "subscribe")
    )
    user = chance.choice((None, None, *(name for name in PASSWORDS if name != "root")))
    password = None if user is None else PASSWORDS[user]
    if kind == "connect" and user is not None:
        user, password = chance.choice(
            (
                (user, password),
                (user, "wrong"),
                (user, None),
                (user, PASSWORDS["alice"]),
                ("nobody", "x"),
            )
        )
    topic = make_topic(chance) if kind != "subscribe" else make_filter(chance)
    return Question(kind, chance.choice(CLIENT_IDS), user, password, topic)


class Asked:
    """A broker that is asked."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._root: Wired | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._root is not None:
            await self._root.stream.aclose()

    async def _client(self, client_id: str, user: str | None, password: str | None) -> Wired | None:
        """A client that is connected; None: it was refused."""
        stream = await trio.open_tcp_stream("127.0.0.1", self._port)
        client = Wired(stream)
        secret = None if password is None else password.encode()
        await client.send(connect(client_id, user_name=user, password=secret))
        answer = await client.get(ConnAck)
        if answer.reason >= 0x80:
            await stream.aclose()
            return None
        return client

    async def _publish(self, client: Wired, topic: str, payload: bytes, **given: bool) -> bool:
        """Whether it was allowed."""
        await client.send(publish(topic, payload, 1, **given))
        return (await client.get(PubAck)).reason < 0x80

    async def root(self) -> Wired:
        """A client that may do everything."""
        if self._root is None:
            self._root = await self._client("root", *ROOT)
        assert self._root is not None
        return self._root

    async def ask(self, question: Question) -> bool:
        """Whether it is allowed."""
        client = await self._client(question.client_id, question.user, question.password)
        if client is None:
            return False
        async with client.stream:
            match question.kind:
                case "publish":
                    return await self._publish(client, question.topic, b"asked")
                case "subscribe":
                    return await self._subscribe(client, question.topic)
                case "receive":
                    await self._subscribe(client, question.topic)
                    return await self._gets(client, question.topic, retain=False)
                case "retained":
                    return await self._gets(client, question.topic, retain=True)
                case _:
                    return True

    async def _subscribe(self, client: Wired, topic_filter: str) -> bool:
        await client.send(subscribe(topic_filter, qos=1))
        while not isinstance(packet := await client.packet(), SubAck):
            assert packet is not None
        return packet.reasons[0] < 0x80

    async def _gets(self, client: Wired, topic: str, *, retain: bool) -> bool:
        """Whether the client gets what root publishes, before the answer to a ping."""
        root = await self.root()
        if not await self._publish(root, topic, b"news", retain=retain):
            return False  # a pattern forbids it
        if retain:
            await client.send(subscribe(topic, qos=0))
        await client.send(PingReq())
        got = False
        while not isinstance(packet := await client.packet(), PingResp):
            assert packet is not None
            got = got or (isinstance(packet, Publish) and packet.payload == b"news")
        if retain:
            await self._publish(root, topic, b"", retain=True)
        return got
