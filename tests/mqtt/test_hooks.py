"""Hooks: each of them as a `def` and as an `async def`, and what goes wrong with them."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from attrs import evolve

from speedo_trio import Broker, Config, ConfigError, Server, Timeouts, serve
from speedo_trio.mqtt import (
    MQTT,
    Accepted,
    AuthenticationRequest,
    Challenge,
    ClientConnected,
    ClientDisconnected,
    ClientRefused,
    ConnectRequest,
    EventsMissed,
    Grant,
    HookFailed,
    Hooks,
    MQTTEvent,
    PublishRequest,
    ReasonCode,
    Refused,
    SessionEnded,
    Subscribed,
    SubscribeRequest,
    Unsubscribed,
)
from speedo_trio.mqtt.calls import Threads
from speedo_trio.mqtt.wire.packets import (
    Auth,
    ConnAck,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    PubRec,
    SubAck,
    UnsubAck,
    Unsubscribe,
    Will,
)
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.testing import MemoryServer, serve_in_memory
from tests.conftest import Gate
from tests.mqtt.wired import PATIENCE, V5, V311, Wired, connect, publish, subscribe
from tests.promises.scene import until

R = ReasonCode
QUICK = Config(timeouts=Timeouts(linger=0.05))


class Scene:
    """A server with hooks, and clients."""

    def __init__(self, server: MemoryServer, mqtt: MQTT) -> None:
        self.server = server
        self.mqtt = mqtt
        self.broker = mqtt.broker

    def client(self, version: Any = V5) -> Wired:
        return Wired(self.server.connect(), version)

    async def connected(self, client_id: str = "c", version: Any = V5, **given: Any) -> Wired:
        client = self.client(version)
        assert (await client.connect(client_id, **given)).reason is R.SUCCESS
        return client


@asynccontextmanager
async def scene(**hooks: Any) -> AsyncIterator[Scene]:
    """A server in memory."""
    mqtt = MQTT(Broker(), hooks=Hooks(**hooks), sys_interval=0)
    with trio.fail_after(PATIENCE):
        async with serve_in_memory(mqtt, observer=None) as server:
            yield Scene(server, mqtt)


class Notes(list[Any]):
    """Notes what it is called with, in whatever thread."""

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._arrivals = trio.Semaphore(0)

    def __call__(self, given: Any) -> bool:
        self.append(given)
        self._token.run_sync_soon(self._arrivals.release)
        return True

    async def grown(self, count: int) -> None:
        """Wait until as many were noted, since this was last waited for."""
        for _ in range(count):
            await self._arrivals.acquire()


Dyed = Callable[[Callable[..., Any]], Callable[..., Any]]


@pytest.fixture(params=["def", "async def"])
def dyed(request: pytest.FixtureRequest) -> Dyed:
    """Makes of a function a hook of either colour."""

    def dye(function: Callable[..., Any]) -> Callable[..., Any]:
        async def hook(*given: Any) -> Any:
            await trio.lowlevel.checkpoint()
            return function(*given)

        return hook if request.param == "async def" else function

    return dye


async def stuck(request: object) -> bool:
    """A hook that hangs."""
    await trio.sleep_forever()


def raising(request: object) -> bool:
    """A hook that raises."""
    raise RuntimeError("the database is on fire")


# Who may connect


def let_alice_in(request: ConnectRequest) -> bool:
    """Nobody else."""
    return request.user_name == "alice" and request.password == b"secret"


async def test_a_function_lets_clients_in(dyed: Dyed) -> None:
    """True connects; False is told as bad user name or password."""
    async with scene(authenticate=dyed(let_alice_in)) as it:
        good, bad, anonymous = it.client(), it.client(), it.client()

        assert (await good.connect("1", user_name="alice", password=b"secret")).reason == 0
        assert (await bad.connect("2", user_name="alice", password=b"guess")).reason is (
            R.BAD_USER_NAME_OR_PASSWORD
        )
        assert (await anonymous.connect("3")).reason is R.NOT_AUTHORIZED
        assert await bad.rest() == []


async def test_an_old_client_is_refused_with_a_return_code() -> None:
    """3.1.1 says bad user name or password, too."""
    async with scene(authenticate=let_alice_in) as it:
        told = await it.client(V311).connect("1", user_name="alice", password=b"guess")

        assert told.reason is R.BAD_USER_NAME_OR_PASSWORD


async def test_the_request_tells_who_asks(dyed: Dyed) -> None:
    """Client identifier, address, version, will and more."""
    requests: list[ConnectRequest] = []

    def note(request: ConnectRequest) -> bool:
        requests.append(request)
        return True

    async with scene(authenticate=dyed(note)) as it:
        user = Properties(user=(("k", "v"),))
        await it.connected(
            "me", user_name="u", password=b"p", keep_alive=9, will=Will(b"w"), properties=user
        )
        (request,) = requests

        assert ("me", "u") == (request.client.client_id, request.user_name)
        assert ("w", 9) == (request.will_topic, request.keep_alive)
        assert (("k", "v"),) == request.user_properties
        assert request.clean_start
        assert (V5, "stream") == (request.client.version, request.client.peer.scheme)
        assert "'p'" not in repr(request)


async def test_a_refusal_says_why() -> None:
    """Its reason and text reach the client."""

    def ban(request: ConnectRequest) -> Refused:
        return Refused(R.BANNED, "come back never")

    async with scene(authenticate=ban) as it:
        told = await it.client().connect()

        assert told.reason is R.BANNED
        assert told.properties is not None
        assert told.properties.reason_string == "come back never"


async def test_what_was_found_out_stays_with_the_client(dyed: Dyed) -> None:
    """The identity of `Accepted` is there when the client publishes."""
    seen: list[object] = []

    def accept(request: ConnectRequest) -> Accepted:
        return Accepted(identity={"role": "admin"})

    def note(request: PublishRequest) -> bool:
        seen.append(request.client.identity)
        return True

    async with scene(authenticate=dyed(accept), authorise_publish=dyed(note)) as it:
        client = await it.connected()
        await client.send(publish("a"))
        await client.settled()

        assert seen == [{"role": "admin"}]


@pytest.mark.parametrize("answer", [None, 1, "yes", Grant(qos=1), Challenge(b"?")])
async def test_what_is_no_answer_is_a_no(answer: object, caplog: pytest.LogCaptureFixture) -> None:
    """A hook that forgets to return, say, lets nobody in, and is logged."""
    async with scene(authenticate=lambda request: answer) as it:
        assert (await it.client().connect()).reason is R.SERVER_UNAVAILABLE

    (record,) = caplog.records
    assert "the hook authenticate failed for client 'c'" in record.getMessage()


async def test_a_hook_that_raises_costs_its_request_only(
    dyed: Dyed, caplog: pytest.LogCaptureFixture
) -> None:
    """The client is refused, others are not, and there is one report with a traceback."""

    def moody(request: ConnectRequest) -> bool:
        return request.client.client_id == "good" or raising(request)

    async with scene(authenticate=dyed(moody)) as it:
        for version in (V5, V311):
            assert (await it.client(version).connect("bad")).reason is R.SERVER_UNAVAILABLE
        await it.connected("good")

    first, _ = caplog.records
    assert (logging.ERROR, "speedo_trio.mqtt") == (first.levelno, first.name)
    assert first.exc_info is not None
    assert "on fire" in str(first.exc_info[1])


@pytest.mark.parametrize(
    "error",
    [SystemExit(3), asyncio.CancelledError(), BaseExceptionGroup("both", [SystemExit()])],
    ids=repr,
)
async def test_no_hook_ends_the_server(
    dyed: Dyed, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    """Whatever it raises: also where no connection stands around it, as for wills and events."""

    def exits(_: object) -> bool:
        raise error

    hook = dyed(exits)
    async with scene(authorise_publish=hook, observe=hook) as it:
        await leave_badly(it, Will(b"bad"))
        await it.connected("other")
        await until(lambda: len(caplog.records) >= 4)  # three events, and the will

    assert all(repr(error) in str(each.exc_info) for each in caplog.records)


async def test_a_hook_that_raises_something_odd_refuses(dyed: Dyed) -> None:
    """As one that raises an Exception does."""

    def exits(_: object) -> bool:
        raise SystemExit(3)

    async with scene(authenticate=dyed(exits)) as it:
        assert (await it.client().connect("bad")).reason is R.SERVER_UNAVAILABLE


async def test_a_hook_that_hangs_is_over_after_its_deadline(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The client is refused then, and not before."""
    async with scene(authenticate=stuck, deadline=7.0) as it:
        began = trio.current_time()

        assert (await it.client().connect()).reason is R.SERVER_UNAVAILABLE
        assert trio.current_time() - began == pytest.approx(7.0)
    assert "TimeoutError: no answer within 7 s" in caplog.text


async def test_a_thread_that_hangs_is_left_to_itself(gate: Gate) -> None:
    """The client is refused while the thread is still in the hook."""

    def hold(request: ConnectRequest) -> bool:
        gate.hold()
        return True

    async with scene(authenticate=hold, deadline=0.05) as it:
        client = it.client()
        await client.send(connect())
        await gate.arrival()

        assert (await client.get(ConnAck)).reason is R.SERVER_UNAVAILABLE


async def test_threads_that_hang_dont_stop_others_for_ever(gate: Gate) -> None:
    """With one thread, the next client has its turn when the deadline of the first is over."""

    def moody(request: ConnectRequest) -> bool:
        if request.client.client_id == "bad":
            gate.hold()
        return True

    async with scene(authenticate=moody, deadline=0.2, threads=1) as it:
        bad, good = it.client(), it.client()
        await bad.send(connect("bad"))
        await gate.arrival()
        bad_told, good_told = await bad.get(ConnAck), await good.connect("good")

        assert (R.SERVER_UNAVAILABLE, R.SUCCESS) == (bad_told.reason, good_told.reason)


async def test_there_is_a_bound_to_threads_that_hang(gate: Gate) -> None:
    """One that works and four that were given up; the next is not begun."""
    threads, begun = Threads(1), []

    def hold() -> None:
        begun.append(1)
        gate.hold()

    for _ in range(7):
        with trio.move_on_after(0.02):
            await threads.run(hold)

    assert len(begun) == 5


async def test_so_many_threads_work_and_no_more(gate: Gate, nursery: trio.Nursery) -> None:
    """The third call waits for its turn."""
    threads, begun = Threads(2), []

    def hold() -> None:
        begun.append(1)
        gate.hold()

    for _ in range(3):
        nursery.start_soon(threads.run, hold)
    await gate.arrival()
    await gate.arrival()
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert len(begun) == 2
    gate.open()
    await gate.arrival()


async def test_strangers_dont_take_the_threads_of_clients(gate: Gate) -> None:
    """While a CONNECT has the only thread of those, a client publishes."""

    def moody(request: ConnectRequest) -> bool:
        if request.client.client_id == "stranger":
            gate.hold()
        return True

    hooks = {"authenticate": moody, "authorise_publish": lambda _: True}
    async with scene(**hooks, threads=1, deadline=1000) as it:
        client = await it.connected()
        stranger = it.client()
        await stranger.send(connect("stranger"))
        await gate.arrival()
        await client.send(publish("a", packet_id=1))

        assert (await client.get(PubAck)).packet_id == 1


async def test_a_client_that_is_gone_cancels_an_async_hook(nursery: trio.Nursery) -> None:
    """When the connection is reset, nobody waits for the verdict any more."""
    begun, cancelled = trio.Event(), trio.Event()

    async def hook(request: ConnectRequest) -> bool:
        begun.set()
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    mqtt = MQTT(hooks=Hooks(authenticate=hook), sys_interval=0)
    start = partial(serve, mqtt, observer=None)
    server: Server = await nursery.start(start, "tcp://127.0.0.1:0")
    stream = await trio.open_tcp_stream("127.0.0.1", server.addresses[0].port)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await Wired(stream).send(connect())
    with trio.fail_after(PATIENCE):
        await begun.wait()
        await stream.aclose()
        await cancelled.wait()
    nursery.cancel_scope.cancel()


async def test_what_was_sent_before_the_end_is_done(dyed: Dyed) -> None:
    """A client that publishes, disconnects and closes at once has published."""
    async with (
        scene(authorise_publish=dyed(lambda _: True)) as it,
        it.broker.subscribe("a") as messages,
    ):
        client = await it.connected()
        await client.send(publish("a", b"1"), publish("a", b"2"), Disconnect())
        await client.stream.aclose()

        assert [b"1", b"2"] == [(await anext(messages)).payload for _ in range(2)]


async def test_a_takeover_cancels_the_hook_of_the_old_connection() -> None:
    """Its client is told, and does not wait for the verdict."""
    begun, cancelled = trio.Event(), trio.Event()

    async def hook(request: PublishRequest) -> bool:
        begun.set()
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    async with scene(authorise_publish=hook, deadline=1000) as it:
        old = await it.connected()
        await old.send(publish("a", packet_id=1))
        await begun.wait()
        await it.connected()

        assert [Disconnect(R.SESSION_TAKEN_OVER)] == await old.rest()
        assert cancelled.is_set()


# What is published


def no_secrets(request: PublishRequest) -> bool:
    """Anything else."""
    return not request.topic.startswith("secret/")


async def test_publishing_is_authorised(dyed: Dyed) -> None:
    """QoS 1 and 2 are told; what is refused reaches nobody."""
    async with (
        scene(authorise_publish=dyed(no_secrets)) as it,
        it.broker.subscribe("#") as messages,
    ):
        client = await it.connected()
        await client.send(
            publish("secret/0"),
            publish("secret/1", packet_id=1),
            publish("secret/2", packet_id=2, qos=2),
            publish("free/1", packet_id=3),
        )

        assert R.NOT_AUTHORIZED is (await client.get(PubAck)).reason
        assert R.NOT_AUTHORIZED is (await client.get(PubRec)).reason
        assert R.SUCCESS is (await client.get(PubAck)).reason
        assert (await anext(messages)).topic == "free/1"


async def test_before_5_0_a_refused_message_is_acknowledged() -> None:
    """The answer can't tell [MQTT3-3.3.5-2]."""
    async with scene(authorise_publish=no_secrets) as it, it.broker.subscribe("#") as messages:
        client = await it.connected(version=V311)
        await client.send(publish("secret/1", packet_id=1), publish("a", packet_id=2))

        assert [1, 2] == [(await client.get(PubAck)).packet_id for _ in range(2)]
        assert (await anext(messages)).topic == "a"


async def test_a_publish_hook_that_fails_refuses(
    dyed: Dyed, caplog: pytest.LogCaptureFixture
) -> None:
    """With 0x83; the connection goes on."""
    async with scene(authorise_publish=dyed(raising)) as it:
        client = await it.connected()
        await client.send(publish("a", packet_id=1))

        assert (await client.get(PubAck)).reason is R.IMPLEMENTATION_SPECIFIC_ERROR
        await client.settled()
    assert len(caplog.records) == 1


async def test_the_order_of_a_connection_is_kept(gate: Gate) -> None:
    """What comes behind a message that waits for a verdict waits too, also from later reads."""

    def slow_first(request: PublishRequest) -> bool:
        if request.payload == b"1":
            gate.hold()
        return True

    async with scene(authorise_publish=slow_first) as it, it.broker.subscribe("a") as messages:
        client = await it.connected()
        await client.send(publish("a", b"1", packet_id=1), publish("a", b"2"))
        await gate.arrival()
        await client.send(publish("a", b"3", packet_id=3), PingReq())
        await trio.testing.wait_all_tasks_blocked()
        gate.open()

        assert [b"1", b"2", b"3"] == [(await anext(messages)).payload for _ in range(3)]
        assert [1, 3] == [(await client.get(PubAck)).packet_id for _ in range(2)]
        await client.get(PingResp)


async def test_others_are_not_delayed(gate: Gate) -> None:
    """While one client's verdict is out, another one publishes and subscribes."""

    def slow_bad(request: PublishRequest) -> bool:
        if request.client.client_id == "bad":
            gate.hold()
        return True

    async with scene(authorise_publish=slow_bad) as it:
        bad, good = await it.connected("bad"), await it.connected("good")
        await bad.send(publish("a", packet_id=1))
        await gate.arrival()

        assert [2] == await good.subscribe("b")
        await good.send(publish("c", packet_id=1))
        await good.get(PubAck)


async def test_nothing_is_asked_without_a_hook() -> None:
    """What arrives in one read is done in it: no message goes to a worker."""
    async with scene() as it:
        client = await it.connected()
        await client.send(publish("a", packet_id=1), subscribe("b"))
        await client.get(PubAck)
        await client.get(SubAck)

        assert it.server.server.stats().executed == 0


# Wills


@pytest.mark.parametrize("allowed", [True, False])
async def test_wills_are_authorised(dyed: Dyed, *, allowed: bool) -> None:  # a parameter
    """The hook is asked when their time has come, and knows whose they are."""
    requests = Notes()

    def judge(request: PublishRequest) -> bool:
        return requests(request) and (allowed or not request.will)

    async with scene(authorise_publish=dyed(judge)) as it, it.broker.subscribe("#") as messages:
        await leave_badly(it, Will(b"w", b"gone", 1))
        watcher = await it.connected("watcher")
        await watcher.send(publish("last", packet_id=1))
        await watcher.get(PubAck)
        await requests.grown(2)
        topics = sorted(each.topic for each in requests)

        assert ["last", "w"] == topics
        will = next(each for each in requests if each.will)
        assert ("mortal", b"gone", 1) == (will.client.client_id, will.payload, will.qos)
        got = {(await anext(messages)).topic for _ in range(1 + allowed)}
        assert got == ({"last", "w"} if allowed else {"last"})


async def leave_badly(it: Scene, will: Will) -> None:
    """A client comes with a will and goes without a word."""
    mortal = await it.connected("mortal", will=will)
    await mortal.stream.aclose()


async def test_a_will_that_hangs_holds_up_no_other(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not published after its deadline; others are at once."""

    async def moody(request: PublishRequest) -> bool:
        return request.topic != "bad" or await stuck(request)

    async with scene(authorise_publish=moody) as it, it.broker.subscribe("#") as messages:
        await leave_badly(it, Will(b"bad"))
        await trio.testing.wait_all_tasks_blocked()
        await leave_badly(it, Will(b"good"))

        assert (await anext(messages)).topic == "good"
        await trio.sleep(11)
        it.broker.publish("end", b"")
        assert (await anext(messages)).topic == "end"
    assert "no answer within 10 s" in caplog.text


async def test_no_will_is_published_under_sys() -> None:
    """$SYS is the server's own, with a hook or without."""
    async with scene() as it, it.broker.subscribe("$SYS/#", "#") as messages:
        await leave_badly(it, Will(b"$SYS/broker/uptime", b"no"))
        await leave_badly(it, Will(b"fine"))

        assert (await anext(messages)).topic == "fine"


async def test_wills_that_wait_when_the_server_ends_are_still_judged(dyed: Dyed) -> None:
    """What the last clients leave behind is published, as far as hooks are quick."""
    broker = Broker()
    hooks = Hooks(authorise_publish=dyed(lambda _: True))
    with trio.fail_after(PATIENCE):
        async with serve_in_memory(
            MQTT(broker, hooks=hooks, sys_interval=0), QUICK, observer=None
        ) as server:
            await Wired(server.connect()).connect(will=Will(b"w", b"gone", retain=True))
            await server.server.drain()

    assert [b"gone"] == [each.payload for each in broker.retained("w")]


# Transforming


def shout(request: PublishRequest) -> PublishRequest | None:
    """Make it loud; but not all of it."""
    if request.payload == b"spam":
        return None
    if request.payload == b"same":
        return request
    return evolve(request, topic=f"loud/{request.topic}", payload=request.payload.upper())


async def test_messages_are_transformed_or_dropped(dyed: Dyed) -> None:
    """A client isn't told that nobody got its message."""
    async with scene(transform=dyed(shout)) as it, it.broker.subscribe("#") as messages:
        client = await it.connected()
        await client.send(
            publish("a", b"spam", packet_id=1),
            publish("a", b"same", packet_id=2),
            publish("a", b"hey", packet_id=3),
        )
        got = [await anext(messages) for _ in range(2)]

        assert [("a", b"same"), ("loud/a", b"HEY")] == [(g.topic, g.payload) for g in got]
        acks = [await client.get(PubAck) for _ in range(3)]
        assert [R.SUCCESS] * 3 == [a.reason for a in acks]


async def test_properties_are_transformed() -> None:
    """Those that stay reach subscribers, too."""

    def stamp(request: PublishRequest) -> PublishRequest:
        return evolve(request, user_properties=(*request.user_properties, ("seen", "yes")))

    async with scene(transform=stamp) as it:
        client = await it.connected()
        await client.subscribe("a")
        properties = Properties(content_type="text/plain", user=(("k", "v"),))
        await client.send(publish("a", properties=properties))
        got = await client.packet()

        expected = Properties(content_type="text/plain", user=(("k", "v"), ("seen", "yes")))
        assert expected == getattr(got, "properties", None)


@pytest.mark.parametrize(
    "wrong", [{"payload": "text"}, {"qos": 3}, {"content_type": "\0"}, {"topic": "a/#"}]
)
async def test_a_transform_that_makes_what_cant_be_published(wrong: dict[str, Any]) -> None:
    """The message is refused, and nobody gets it."""
    async with scene(transform=lambda request: evolve(request, **wrong)) as it:
        client = await it.connected()
        await client.send(publish("a", packet_id=1))

        assert (await client.get(PubAck)).reason >= 0x80
        await client.settled()


async def test_what_was_refused_is_not_transformed() -> None:
    """First it is authorised."""
    seen: list[str] = []

    def note(request: PublishRequest) -> PublishRequest:
        seen.append(request.topic)
        return request

    async with scene(authorise_publish=no_secrets, transform=note) as it:
        client = await it.connected()
        await client.send(publish("secret/1"), publish("free"))
        await client.settled()

        assert seen == ["free"]


# Subscribing


def judge_filter(request: SubscribeRequest) -> bool | Grant | Refused:
    """A verdict of each kind."""
    match request.topic_filter:
        case "free":
            return True
        case "low":
            return Grant(qos=0)
        case "later":
            return Refused(R.QUOTA_EXCEEDED, "you have enough")
        case _:
            return False


async def test_each_filter_is_authorised(dyed: Dyed) -> None:
    """With its own verdict, and the QoS that is granted."""
    async with scene(authorise_subscribe=dyed(judge_filter)) as it:
        client = await it.connected()
        reasons = await client.subscribe("free", "low", "later", "secret")

        assert [2, 0, R.QUOTA_EXCEEDED, R.NOT_AUTHORIZED] == reasons
        assert {b"free", b"low"} == set(it.mqtt._service.sessions.get("c").subscriptions)  # type: ignore[union-attr]  # it is there


async def test_a_single_refusal_says_why() -> None:
    """Its text reaches the client."""
    async with scene(authorise_subscribe=judge_filter) as it:
        client = await it.connected()
        await client.send(subscribe("later"))
        told = (await client.get(SubAck)).properties

        assert told is not None
        assert told.reason_string == "you have enough"


async def test_the_filter_of_a_shared_subscription_is_what_is_asked_about() -> None:
    """A rule for filters holds for those that are shared, too."""
    requests: list[SubscribeRequest] = []

    def note(request: SubscribeRequest) -> bool:
        requests.append(request)
        return True

    async with scene(authorise_subscribe=note) as it:
        client = await it.connected()
        await client.subscribe("$share/g/a/#", "b", qos=1)

        assert [("a/#", "g", 1), ("b", None, 1)] == [
            (each.topic_filter, each.group, each.qos) for each in requests
        ]


async def test_a_subscribe_hook_that_fails_refuses_that_filter(dyed: Dyed) -> None:
    """Others of the same SUBSCRIBE are granted."""

    def moody(request: SubscribeRequest) -> bool:
        return request.topic_filter == "good" or raising(request)

    async with scene(authorise_subscribe=dyed(moody)) as it:
        client = await it.connected()

        assert [R.IMPLEMENTATION_SPECIFIC_ERROR, 2] == await client.subscribe("bad", "good")


# Authentication in steps


class Countdown:
    """Wants to be told 3, 2, 1; remembers where it is."""

    def __init__(self, request: AuthenticationRequest) -> None:
        self.left = 3

    def step(self, data: bytes | None) -> bool | Accepted | Challenge:
        if data != b"%d" % self.left:
            return False
        self.left -= 1
        if not self.left:
            return Accepted(identity="astronaut", data=b"lift off")
        return Challenge(b"go on")


class AsyncCountdown:
    """The same in the other colour."""

    def __init__(self, request: AuthenticationRequest) -> None:
        self.countdown = Countdown(request)

    async def step(self, data: bytes | None) -> object:
        await trio.lowlevel.checkpoint()
        return self.countdown.step(data)


def auth_properties(data: bytes, method: str = "COUNT") -> Properties:
    """Those of a step."""
    return Properties(authentication_method=method, authentication_data=data)


def step(data: bytes, reason: ReasonCode = R.CONTINUE_AUTHENTICATION) -> Auth:
    """A step, of either side."""
    return Auth(reason, auth_properties(data))


async def count_down(client: Wired) -> ConnAck:
    """All steps as they should be."""
    await client.send(connect(properties=auth_properties(b"3")))
    for data in (b"2", b"1"):
        told = await client.get(Auth)
        assert step(b"go on") == told
        await client.send(step(data))
    return await client.get(ConnAck)


@pytest.mark.parametrize("make", [Countdown, AsyncCountdown])
async def test_authentication_in_steps(make: Any) -> None:
    """Each connection has its own; the end tells the client its last word."""
    identities: list[object] = []

    def note(request: PublishRequest) -> bool:
        identities.append(request.client.identity)
        return True

    async with scene(enhanced={"COUNT": make}, authorise_publish=note) as it:
        client = it.client()
        told = await count_down(client)

        assert told.reason is R.SUCCESS
        assert told.properties is not None
        assert told.properties.authentication_data == b"lift off"
        await client.send(publish("a"))
        await client.settled()
        assert identities == ["astronaut"]


@pytest.mark.parametrize("make", [Countdown, AsyncCountdown])
async def test_authenticating_again(make: Any) -> None:
    """A new one is made for it; one that fails ends the connection."""
    async with scene(enhanced={"COUNT": make}) as it:
        client = it.client()
        await count_down(client)
        await client.send(step(b"3", R.RE_AUTHENTICATE))
        assert step(b"go on") == await client.get(Auth)
        await client.send(step(b"2"))
        await client.get(Auth)
        await client.send(step(b"1"))

        assert step(b"lift off", R.SUCCESS) == await client.get(Auth)
        await client.settled()
        await client.send(step(b"?", R.RE_AUTHENTICATE))
        assert (await client.get(Disconnect)).reason is R.NOT_AUTHORIZED
        assert await client.rest() == []


async def test_authentication_in_steps_refuses() -> None:
    """A wrong answer, a method that is not known, and a client that names none."""
    async with scene(enhanced={"COUNT": Countdown}) as it:
        wrong, unknown, without = it.client(), it.client(), it.client()

        told = await wrong.connect("1", properties=auth_properties(b"4"))
        assert told.reason is R.NOT_AUTHORIZED
        told = await unknown.connect("2", properties=auth_properties(b"3", "PLAIN"))
        assert told.reason is R.BAD_AUTHENTICATION_METHOD
        assert (await without.connect("3")).reason is R.NOT_AUTHORIZED


async def test_an_authentication_that_raises() -> None:
    """When it is made, or at a step: the client can't connect."""

    class Broken:
        def __init__(self, request: AuthenticationRequest) -> None:
            if request.method == "MAKE":
                raise RuntimeError("not made")

        def step(self, data: bytes | None) -> bool:
            raise RuntimeError("no step")

    async with scene(enhanced={"MAKE": Broken, "STEP": Broken}) as it:
        for method in ("MAKE", "STEP"):
            told = await it.client().connect(properties=auth_properties(b"", method))
            assert told.reason is R.SERVER_UNAVAILABLE


# Observing


async def test_a_clients_life_is_observed(dyed: Dyed) -> None:
    """In order: it connects, subscribes, unsubscribes, disconnects, and its session ends."""
    diary = Notes()
    async with scene(observe=dyed(diary)) as it:
        client = await it.connected("me", user_name="u")
        await client.subscribe("a", qos=1)
        await client.send(Unsubscribe(1, [b"a"]))
        await client.get(UnsubAck)
        await client.subscribe("b")
        await client.send(Disconnect())
        await diary.grown(6)

        assert [type(each) for each in diary] == [
            *(ClientConnected, Subscribed, Unsubscribed, Subscribed),
            *(SessionEnded, ClientDisconnected),
        ]
        connected, subscribed, *_, left = diary
        assert isinstance(connected, ClientConnected)
        assert (("me", "u"), False) == (
            (connected.client.client_id, connected.client.user_name),
            connected.session_present,
        )
        assert Subscribed(client=connected.client, topic_filter="a", qos=1) == subscribed
        assert isinstance(left, ClientDisconnected)
        assert left.reason is R.NORMAL_DISCONNECTION


async def test_refusals_and_bad_ends_are_observed() -> None:
    """Who was refused, taken over or went without a word; each once."""
    diary = Notes()
    async with scene(observe=diary, authenticate=let_alice_in) as it:
        given = {"user_name": "alice", "password": b"secret"}
        bad = it.client()
        await bad.connect("bad")
        first = await it.connected("same", **given)
        second = await it.connected("same", **given)
        for client in (bad, first):
            await client.rest()
            await client.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        await second.stream.aclose()
        await diary.grown(7)
        told = [
            (type(each), each.client.client_id, each.reason)
            for each in diary
            if isinstance(each, ClientRefused | ClientDisconnected)
        ]

        assert told == [
            (ClientRefused, "bad", R.NOT_AUTHORIZED),
            (ClientDisconnected, "same", R.SESSION_TAKEN_OVER),
            (ClientDisconnected, "same", None),
        ]


async def test_hooks_that_fail_are_observed() -> None:
    """With the error."""
    diary = Notes()
    async with scene(observe=diary, authenticate=raising) as it:
        await it.client().connect()
        await diary.grown(2)
        failed = diary[0]

        assert isinstance(failed, HookFailed)
        assert ("authenticate", "the database is on fire") == (failed.hook, str(failed.error))


async def test_an_observer_that_raises_harms_nobody(
    dyed: Dyed, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and gets the next event."""
    diary = Notes()

    def moody(event: MQTTEvent) -> None:
        diary(event)
        raising(event)

    async with scene(observe=dyed(moody)) as it:
        client = await it.connected()
        await client.subscribe("a")
        await diary.grown(2)
        await client.settled()

    assert "the hook observe failed on ClientConnected" in caplog.text


async def test_an_observer_that_hangs_harms_nobody(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Events are told later then, or counted when there are too many."""
    diary = Notes()

    async def slow(event: MQTTEvent) -> None:
        diary(event)
        if len(diary) == 1:
            await trio.sleep_forever()

    async with scene(observe=slow) as it:
        client = await it.connected()
        assert [2] == await client.subscribe("a")
        for _ in range(15_000):
            it.mqtt._service.tell(SessionEnded(client_id="x"))  # type: ignore[misc]  # it is there
        await trio.sleep(11)
        missed = [each for each in diary if isinstance(each, EventsMissed)]

        assert [EventsMissed(count=5_001)] == missed
        assert 10_000 + 1 + len(missed) == len(diary)
    assert "the hook observe took over 10 s" in caplog.text


async def test_the_last_events_are_told_when_the_server_ends() -> None:
    """Clients that the end disconnects are observed."""
    diary = Notes()
    with trio.fail_after(PATIENCE):
        async with serve_in_memory(
            MQTT(hooks=Hooks(observe=diary), sys_interval=0), QUICK, observer=None
        ) as server:
            await Wired(server.connect()).connect()
            await server.server.drain()

    assert ClientDisconnected in [type(each) for each in diary]


# The structure


@pytest.mark.parametrize(
    "wrong",
    [
        {"authenticate": True},
        {"enhanced": {"PLAIN": None}},
        {"enhanced": None},
        {"deadline": 0},
        {"threads": 0},
    ],
)
def test_what_is_no_hook_is_told(wrong: dict[str, Any]) -> None:
    """When the structure is made, and not when it is needed."""
    with pytest.raises(ConfigError):
        Hooks(**wrong)


def test_a_refusal_has_a_reason_for_that() -> None:
    """Success is none."""
    with pytest.raises(ConfigError):
        Refused(R.SUCCESS)
    with pytest.raises(ConfigError):
        Grant(qos=3)


class WithCall:
    """An object that is called as an async function."""

    async def __call__(self, request: ConnectRequest) -> bool:
        await trio.lowlevel.checkpoint()
        return True


async def test_an_object_may_be_a_hook() -> None:
    """Its `__call__` tells which colour it has."""
    hook: Callable[[ConnectRequest], Awaitable[bool]] = WithCall()
    async with scene(authenticate=hook) as it:
        await it.connected()
