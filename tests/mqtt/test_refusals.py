"""Every packet that a standard forbids, sent to a whole server: what leaves, and who notices."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio

from speedo_trio import Broker, Config, Timeouts, serve
from speedo_trio.events import Cause, ConnectionEnded
from speedo_trio.mqtt import MQTT, Capabilities, Hooks
from speedo_trio.mqtt.wire.packets import PingReq, PingResp, Publish
from speedo_trio.testing import MemoryServer, serve_in_memory
from tests.mqtt.refused_connects import FIRST, First, connect
from tests.mqtt.refused_connects import FORBIDDEN as FORBIDDEN_CONNECTS
from tests.mqtt.refused_packets import FORBIDDEN, LATER, MALFORMED, Later, publish
from tests.mqtt.wired import PATIENCE, Wired

QUICK = Config(timeouts=Timeouts(linger=0.01))
STRICT = Capabilities(
    receive_maximum=2, maximum_packet_size=1024, topic_alias_maximum=2, maximum_client_id_size=23
)
POOR = Capabilities(maximum_qos=1, retain_available=False, topic_alias_maximum=0)
CONNACK, DISCONNECT = 0x20, 0xE0


class Scene:
    """A server, one who looks on, and how connections ended."""

    def __init__(
        self, server: MemoryServer, bystander: Wired, ended: list[ConnectionEnded]
    ) -> None:
        self.server = server
        self.bystander = bystander
        self.ended = ended

    async def say(self, data: bytes, *, slowly: bool) -> bytes:
        """What the server sends to one who sends this, until it closes."""
        if slowly:
            return await _byte_by_byte(self.server, data)
        async with self.server.connect() as stream:
            await stream.send_all(data)
            return b"".join([bytes(part) async for part in stream])

    async def seen(self) -> list[bytes]:
        """The topics that the bystander has got, the culprit's own ones aside."""
        await self.bystander.send(PingReq())
        topics = []
        while not isinstance(packet := await self.bystander.packet(), PingResp):
            assert isinstance(packet, Publish)
            topics.append(packet.topic)
        return [topic for topic in topics if topic != b"own"]


async def _byte_by_byte(server: MemoryServer, data: bytes) -> bytes:
    """Each byte is a read of its own: a send waits until it was taken."""
    got = bytearray()
    async with server.connect_lockstep() as stream, trio.open_nursery() as nursery:

        async def send() -> None:
            try:
                for byte in data:
                    await stream.send_all(bytes((byte,)))
            except trio.BrokenResourceError:  # the server has closed before the end
                pass

        nursery.start_soon(send)
        async for part in stream:
            got += part
        nursery.cancel_scope.cancel()
    return bytes(got)


async def _allow(request: Any) -> bool:
    await trio.lowlevel.checkpoint()
    return True


HOOKS = Hooks(authorise_publish=_allow, authorise_subscribe=_allow)


@asynccontextmanager
async def scene(
    capabilities: Capabilities = STRICT, hooks: Hooks | None = None
) -> AsyncIterator[Scene]:
    """A server in memory, and one who is subscribed to everything."""
    events: list[Any] = []
    mqtt = MQTT(Broker(), capabilities, hooks=hooks or Hooks(), sys_interval=0)
    with trio.fail_after(PATIENCE):
        async with serve_in_memory(mqtt, QUICK, events.append) as server:
            bystander = Wired(server.connect())
            await bystander.connect("bystander")
            await bystander.subscribe("#")
            ended: list[ConnectionEnded] = []
            yield Scene(server, bystander, ended)
    ended += (event for event in events if isinstance(event, ConnectionEnded))


def packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """First byte and body of each, taken apart by hand; they are short."""
    while data:
        size, start = data[1], 2
        if size > 0x7F:
            size, start = size + (data[2] - 1 << 7), 3
        body, rest = data[start : start + size], data[start + size :]
        assert size == len(body), data
        yield data[0], body
        data = rest


def reason_of(answer: bytes) -> int:
    """The reason code of a CONNACK of 5.0, which is all that there is."""
    ((head, body),) = packets(answer)
    assert (CONNACK, 0) == (head, body[0])  # without a session [MQTT-3.2.2-6]
    return body[1]


WAYS = pytest.mark.parametrize("slowly", [False, True], ids=["whole", "byte by byte"])


async def refuse_first(capabilities: Capabilities, it: First, *, slowly: bool) -> None:
    """A first packet, with a message behind it that must not be published."""
    version = 4 if it.answer == b"" else 5
    async with scene(capabilities) as world:
        answer = await world.say(it.data + publish(version, b"after"), slowly=slowly)
        if isinstance(it.answer, bytes):
            assert it.answer == answer
        else:
            assert it.answer == reason_of(answer)
        assert [] == await world.seen()
    refused(world)


def refused(world: Scene) -> None:
    """It was closed by the server, which didn't err itself."""
    culprit, bystander = (event.reason.cause for event in world.ended)
    assert culprit in (Cause.PROTOCOL_ERROR, Cause.CLOSED)
    assert bystander is Cause.ABORTED


@WAYS
@pytest.mark.parametrize("name", FIRST)
async def test_a_first_packet_that_is_refused(name: str, *, slowly: bool) -> None:
    """[MQTT-3.1.4-1] [MQTT-3.1.4-6] [MQTT-3.2.2-7] The answer of its version, or none; a close."""
    await refuse_first(STRICT, FIRST[name], slowly=slowly)


@WAYS
@pytest.mark.parametrize("name", FORBIDDEN_CONNECTS)
async def test_a_will_that_the_server_does_not_take(name: str, *, slowly: bool) -> None:
    """[MQTT-3.2.2-12] [MQTT-3.2.2-13] The reason tells what it doesn't."""
    await refuse_first(POOR, FORBIDDEN_CONNECTS[name], slowly=slowly)


def hello(version: int) -> bytes:
    """CONNECT with a will, and a message with QoS 1."""
    will = b"\0\4will\0\4gone"
    fields = b"\0\1c" + (b"\0" if version == 5 else b"") + will
    return connect(version, 6, fields) + publish(version, b"before", 1, 0x1234)


async def refuse_later(
    capabilities: Capabilities, it: Later, *, slowly: bool, hooks: Hooks | None = None
) -> None:
    """A packet behind others that are allowed, and before one that must not be published."""
    data = hello(it.version) + it.before + it.data + publish(it.version, b"after")
    async with scene(capabilities, hooks) as world:
        first, *others = packets(await world.say(data, slowly=slowly))
        assert (CONNACK, b"\0\0") == (first[0], first[1][:2])
        assert (0x40, b"\x12\x34") in others
        told = [body[0] for head, body in others if head == DISCONNECT]
        assert ([it.reason] if it.version == 5 else []) == told
        assert not told or DISCONNECT == others[-1][0]
        assert [b"before", b"will"] == await world.seen()
    refused(world)


@WAYS
@pytest.mark.parametrize("name", LATER)
async def test_a_packet_that_ends_the_connection(name: str, *, slowly: bool) -> None:
    """[MQTT-4.13.1-1] [MQTT-3.14.4-1] [MQTT-3.1.2-8] What came before it holds, nothing after it.

    DISCONNECT tells why, in 5.0 only; others get what the client had published, and its will.
    """
    await refuse_later(STRICT, LATER[name], slowly=slowly)


@pytest.mark.parametrize("name", LATER)
async def test_the_same_while_hooks_decide(name: str) -> None:
    """[MQTT-4.13.1-1] What waits behind a verdict is refused like what doesn't."""
    await refuse_later(STRICT, LATER[name], slowly=False, hooks=HOOKS)


@WAYS
@pytest.mark.parametrize("name", FORBIDDEN)
async def test_a_message_that_the_server_does_not_take(name: str, *, slowly: bool) -> None:
    """[MQTT-3.2.2-11] [MQTT-3.2.2-14] A client that was told what it may not, and does it."""
    await refuse_later(POOR, FORBIDDEN[name], slowly=slowly)


@pytest.mark.parametrize("name", ["5.0, [MQTT-3.1.2-3] the reserved flag", "hello"])
async def test_one_who_sends_on_is_told_all_the_same(name: str) -> None:
    """[MQTT-4.13.2-1] A close with bytes unread would have the kernel take the answer back."""
    wrong = {**FIRST, "hello": First(hello(5) + b"\xc1\x00", MALFORMED)}[name]
    async with trio.open_nursery() as nursery:
        start = partial(serve, MQTT(sys_interval=0), "tcp://127.0.0.1:0", observer=None)
        server = await nursery.start(start)
        stream = await trio.open_tcp_stream("127.0.0.1", server.addresses[0].port)
        with trio.fail_after(PATIENCE):
            async with stream:
                await stream.send_all(wrong.data + bytes(2_000_000))
                got = b"".join([bytes(part) async for part in stream])
        nursery.cancel_scope.cancel()

    *_, (head, body) = packets(got)
    assert (CONNACK if name != "hello" else DISCONNECT) == head
    assert MALFORMED == body[head == CONNACK]
