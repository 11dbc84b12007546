"""The client: its calls, its iteration, and every way in which a connection ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio
from trio.testing import memory_stream_pair, wait_all_tasks_blocked

from speedo_trio import (
    ConfigError,
    ConnectionClosed,
    ConnectionLost,
    MQTTError,
    ProtocolError,
    TopicError,
)
from speedo_trio.mqtt.client.client import MQTTClient, connect, connect_stream, granted
from speedo_trio.mqtt.client.link import Link
from speedo_trio.mqtt.client.login import Login
from speedo_trio.mqtt.wire.packets import (
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
    UnsubAck,
    Unsubscribe,
)
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from tests.mqtt.client.scene import V5, V311, Desk, connected

LOGIN = Login(client_id="c", keep_alive=0)

CALLS: dict[str, Callable[[MQTTClient], Awaitable[object]]] = {
    "publish": lambda client: client.publish("a", b"x", qos=1),
    "subscribe": lambda client: client.subscribe("a"),
    "unsubscribe": lambda client: client.unsubscribe("a"),
    "ping": lambda client: client.ping(),
    "iteration": anext,
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


class Oops(Exception):
    """The block's own."""


# Calls


async def test_publish() -> None:
    """With QoS 0 it is handed over, with 1 and 2 the server has it when it returns."""
    async with connected(LOGIN) as (client, desk), trio.open_nursery() as nursery:
        assert await client.publish("a", b"0") == ReasonCode.SUCCESS
        assert await desk.get(Publish) == Publish(b"a", b"0")
        nursery.start_soon(partial(client.publish, "a", b"1", qos=1, retain=True))
        first = await desk.get(Publish)
        assert (first.qos, first.retain) == (1, True)
        await desk.send(PubAck(first.packet_id))

        async def second() -> None:
            assert await client.publish("a", b"2", qos=2) == ReasonCode.SUCCESS

        nursery.start_soon(second)
        packet_id = (await desk.get(Publish)).packet_id
        await desk.send(PubRec(packet_id))
        await desk.get(PubRel)
        await desk.send(PubComp(packet_id))


async def test_publish_is_refused() -> None:
    """What the server says is the result: it concerns this message only."""
    async with connected(LOGIN) as (client, desk), trio.open_nursery() as nursery:

        async def refuse() -> None:
            await desk.send(PubAck((await desk.get(Publish)).packet_id, ReasonCode.NOT_AUTHORIZED))

        nursery.start_soon(refuse)
        assert await client.publish("a", b"x", qos=1) == ReasonCode.NOT_AUTHORIZED


async def test_publish_waits_for_the_server() -> None:
    """It takes no more than it said; a cancel while waiting has sent nothing."""
    told = Properties(receive_maximum=1)
    async with connected(LOGIN, properties=told) as (client, desk), trio.open_nursery() as nursery:
        nursery.start_soon(partial(client.publish, "a", b"1", qos=1))
        first = await desk.get(Publish)
        with trio.move_on_after(0.01):
            await client.publish("a", b"cancelled", qos=1)
        nursery.start_soon(partial(client.publish, "a", b"2", qos=1))
        await wait_all_tasks_blocked()
        await desk.send(PubAck(first.packet_id))
        second = await desk.get(Publish)
        assert second.payload == b"2"
        await desk.send(PubAck(second.packet_id))


async def test_publish_waits_while_the_server_does_not_read() -> None:
    """The memory for what waits is bounded."""
    async with connected(LOGIN, lockstep=True) as (client, desk):
        with trio.move_on_after(1) as scope:
            for _ in range(10):
                await client.publish("a", bytes(60_000))
        assert scope.cancelled_caught
        assert (await desk.get(Publish)).topic == b"a"


async def test_questions() -> None:
    """Each waits for its own answer; pings that keep the connection alive are not mixed up."""
    async with connected(LOGIN) as (client, desk), trio.open_nursery() as nursery:

        async def answer() -> None:
            number = (await desk.get(Subscribe)).packet_id
            reasons = [ReasonCode.GRANTED_QOS_1, ReasonCode.NOT_AUTHORIZED]
            await desk.send(SubAck(number, reasons))
            number = (await desk.get(Unsubscribe)).packet_id
            await desk.send(UnsubAck(number, [ReasonCode.SUCCESS]))
            await desk.get(PingReq)
            await desk.send(PingResp())

        nursery.start_soon(answer)
        reasons = await client.subscribe("a", "$share/g/b", qos=1)
        assert reasons == (ReasonCode.GRANTED_QOS_1, ReasonCode.NOT_AUTHORIZED)
        assert not granted(reasons)
        await client.unsubscribe("a")
        await client.ping()


async def test_too_few_answers() -> None:
    """A server that doesn't answer each filter is not to be trusted."""
    async with connected(LOGIN) as (client, desk), trio.open_nursery() as nursery:

        async def answer() -> None:
            await desk.send(SubAck((await desk.get(Subscribe)).packet_id, [ReasonCode.SUCCESS]))

        nursery.start_soon(answer)
        with pytest.raises(ConnectionClosed, match="1 answers to 2 filters"):
            await client.subscribe("a", "b")


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda client: client.publish("a/#", b""), TopicError),
        (lambda client: client.publish("\ud800", b""), TopicError),
        (lambda client: client.publish("a", b"", qos=3), ConfigError),
        (lambda client: client.subscribe("a#"), TopicError),
        (lambda client: client.subscribe("$share/g"), TopicError),
        (lambda client: client.subscribe(), ConfigError),
        (lambda client: client.subscribe("a", qos=3), ConfigError),
        (lambda client: client.unsubscribe(), ConfigError),
    ],
)
async def test_mistakes(
    call: Callable[[MQTTClient], Awaitable[object]], error: type[Exception]
) -> None:
    """They are told here; nothing is sent."""
    async with connected(LOGIN) as (client, desk):
        with pytest.raises(error):
            await call(client)
        await client.publish("a", b"next")
        assert (await desk.get(Publish)).payload == b"next"


# Messages


async def test_messages_are_acknowledged_when_taken() -> None:
    """Those that still wait are not: they would come again."""
    async with connected(LOGIN) as (client, desk):
        for number in (1, 2):
            await desk.send(Publish(b"a", b"%d" % number, 1, packet_id=number))
        assert (await anext(client)).payload == b"1"
        assert await desk.packet() == PubAck(1)
        await client.publish("b", b"")
        assert await desk.packet() == Publish(b"b", b"")


async def test_the_receiver_acknowledges() -> None:
    """When it has dealt with the message, where it wants to say so."""
    async with connected(LOGIN, acknowledges=False) as (client, desk):
        await desk.send(Publish(b"a", b"", 2, packet_id=1), Publish(b"a", b""))
        first, second = await anext(client), await anext(client)
        await client.publish("b", b"before")
        assert isinstance(await desk.packet(), Publish)
        client.acknowledge(second)
        client.acknowledge(first)
        assert await desk.packet() == PubRec(1)


async def test_the_buffer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is full the client doesn't read, unless a call waits for an answer."""
    reads: list[bytes] = []
    read = Link.read

    async def count(link: Link) -> bytes:
        reads.append(await read(link))
        return reads[-1]

    monkeypatch.setattr(Link, "read", count)
    async with connected(LOGIN, buffer=2) as (client, desk), trio.open_nursery() as nursery:
        for _ in range(5):
            await desk.send(Publish(b"a"))
            await wait_all_tasks_blocked()
        assert len(reads) == 1 + 2

        async def answer() -> None:
            await desk.get(PingReq)
            await desk.send(PingResp())

        nursery.start_soon(answer)
        await client.ping()
        for _ in range(5):
            await anext(client)


# The end


@every_call
async def test_the_server_hangs_up(call: Callable[[MQTTClient], Awaitable[object]]) -> None:
    """Every call that waits raises it, and every later one."""
    async with connected(LOGIN) as (client, desk), trio.open_nursery() as nursery:

        async def hang_up() -> None:
            await wait_all_tasks_blocked()
            await desk.hang_up()

        nursery.start_soon(hang_up)
        for _ in range(2):
            with pytest.raises(ConnectionLost, match="closed the connection without a reason"):
                await call(client)


@every_call
async def test_the_server_says_why(call: Callable[[MQTTClient], Awaitable[object]]) -> None:
    """Its reason is the error."""
    async with connected(LOGIN) as (client, desk):
        await desk.send(Disconnect(ReasonCode.ADMINISTRATIVE_ACTION))
        with pytest.raises(ConnectionClosed, match="connection: administrative action"):
            await call(client)


async def test_half_a_packet() -> None:
    """The connection broke; what came before is given."""
    async with connected(LOGIN) as (client, desk):
        await desk.send(Publish(b"a", b"x"))
        await desk.stream.send_all(b"\x30")
        await desk.hang_up()
        assert (await anext(client)).payload == b"x"
        with pytest.raises(ConnectionLost, match="the stream ended 1 bytes into a packet"):
            await anext(client)


async def test_a_fault_of_the_server() -> None:
    """The server is told, then the connection ends."""
    async with connected(LOGIN) as (client, desk):
        await desk.stream.send_all(b"\x00\x00")
        with pytest.raises(ProtocolError):
            await anext(client)
        assert await desk.packet() == Disconnect(ReasonCode.MALFORMED_PACKET)


async def test_a_server_that_refuses() -> None:
    """The block is not entered."""
    ours, theirs = memory_stream_pair()
    await Desk(theirs, V311).send(ConnAck(ReasonCode.NOT_AUTHORIZED))
    with pytest.raises(ConnectionClosed, match="the server refused: not authorized"):
        async with connect_stream(ours, Login(version=V311)):
            raise AssertionError


async def test_a_server_that_speaks_something_else() -> None:
    """What it said is told."""
    ours, theirs = memory_stream_pair()
    await theirs.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(MQTTError, match="PUBACK"):
        async with connect_stream(ours, Login()):
            raise AssertionError


async def test_a_login_that_may_not_be_sent() -> None:
    """The stream doesn't stay open."""
    ours, theirs = memory_stream_pair()
    with pytest.raises(Exception, match="a password and no user name"):
        async with connect_stream(ours, Login(version=V311, password=b"x")):
            raise AssertionError
    assert await theirs.receive_some() == b""


async def test_leaving_says_goodbye() -> None:
    """After what was sent before; the server's end is waited for."""
    ours, theirs = memory_stream_pair()
    desk = Desk(theirs)
    packets: list[Packet] = []

    async def serve() -> None:
        await desk.welcome()
        packets.append(await desk.get(Publish))
        packets.append(await desk.get(Disconnect))
        await desk.hang_up()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        async with connect_stream(ours, LOGIN) as client:
            await client.publish("a", b"x")
    assert packets == [Publish(b"a", b"x"), Disconnect()]


async def test_leaving_a_server_that_does_not_close(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It gets a second."""
    ours, theirs = memory_stream_pair()
    desk = Desk(theirs)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.welcome)
        async with connect_stream(ours, LOGIN):
            began = trio.current_time()
    assert trio.current_time() - began <= 2


async def test_an_exception_leaves_the_block_as_it_is() -> None:
    """Not in a group, and without a goodbye: the will is to be published."""
    ours, theirs = memory_stream_pair()
    desk = Desk(theirs)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.welcome)
        with pytest.raises(Oops):
            async with connect_stream(ours, LOGIN):
                raise Oops
    assert await desk.packet() is None


async def test_a_cancel_leaves_the_block() -> None:
    """At once, with the stream closed; while connecting too."""
    ours, theirs = memory_stream_pair()
    with trio.fail_after(0.5), trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_then, scope.cancel)
            async with connect_stream(ours, LOGIN):
                raise AssertionError
    desk = Desk(theirs)
    await desk.get(Connect)
    assert await desk.packet() is None


async def wait_then(act: Callable[[], object]) -> None:
    """Do it when all others wait."""
    await wait_all_tasks_blocked()
    act()


# Keep alive


async def test_keep_alive(autojump_clock: trio.testing.MockClock) -> None:
    """It asks when nothing was sent for so long, as the server may have told."""
    told = Properties(server_keep_alive=7)
    async with connected(Login(client_id="c", keep_alive=60), properties=told) as (_, desk):
        for number in (7, 14):
            await desk.get(PingReq)
            assert trio.current_time() == pytest.approx(number)
            await desk.send(PingResp())


async def test_a_server_that_is_gone(autojump_clock: trio.testing.MockClock) -> None:
    """Its silence after the question ends the connection."""
    async with connected(Login(client_id="c", keep_alive=5)) as (client, _):
        with pytest.raises(ConnectionLost, match="has not answered PINGREQ in 5 s"):
            await anext(client)
        assert trio.current_time() == pytest.approx(10)


async def test_a_client_that_does_not_read(autojump_clock: trio.testing.MockClock) -> None:
    """It keeps the connection alive, and doesn't take its own silence for the server's."""
    login = Login(client_id="c", keep_alive=2)
    async with connected(login, buffer=1) as (client, desk):
        await desk.send(Publish(b"a"))
        for _ in range(4):
            await desk.get(PingReq)
        await desk.send(PingResp())
        await anext(client)
        await client.publish("b", b"")
        assert isinstance(await desk.packet(), Publish)


async def test_connect_checks_first() -> None:
    """Before anything is connected."""
    with pytest.raises(ConfigError, match="buffer is 0"):
        async with connect("mqtt+unix:/no/such/server", Login(version=V5), buffer=0):
            raise AssertionError
