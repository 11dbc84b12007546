"""An MQTT server inside a Trio program: from its start to its end."""

from __future__ import annotations

import gc
import socket
import warnings
from contextlib import suppress
from functools import partial
from itertools import count

import pytest
import trio

from speedo_trio.broker.broker import Broker
from speedo_trio.broker.limits import BrokerLimits
from speedo_trio.config import Config, Timeouts
from speedo_trio.errors import BindError, ConfigError
from speedo_trio.events import Address, Drained, DrainReport, Event, Listening, MessageDropped
from speedo_trio.mqtt import embedding
from speedo_trio.mqtt.embedding import MQTTServer, client_url, serve_mqtt
from speedo_trio.mqtt.service import MQTT
from speedo_trio.mqtt.state.capabilities import Capabilities
from speedo_trio.mqtt.wire.packets import Disconnect, PubAck, Publish, Will
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.server import serve
from speedo_trio.simplepub.client import connect as connect_simplepub
from speedo_trio.simplepub.protocol import SimplePub
from tests.mqtt.peers import Peer, connected

FREE = "tcp://127.0.0.1:0"


async def test_publish_and_subscribe(nursery: trio.Nursery) -> None:
    """In both directions, and drained when asked to."""
    mqtt: MQTTServer = await nursery.start(serve_mqtt, FREE)
    async with connected(mqtt.port) as peer, mqtt.subscribe("up/#", name="me") as messages:
        await peer.subscribe("down/#", qos=2)
        assert mqtt.publish("down/1", b"x", qos=2) == 1
        assert (await peer.message()).qos == 2
        await peer.send(Publish(b"up/1", b"y"))
        assert (await anext(messages)).client_id == "peer"
        assert {each.name for each in mqtt.broker.subscribers()} == {"me", "mqtt peer"}
        report = await mqtt.drain(5)
        assert await peer.receive() == Disconnect(ReasonCode.SERVER_SHUTTING_DOWN)
        assert await peer.receive() is None

    assert report.connections == 1
    assert mqtt.server.ended


async def test_it_listens_on_1883_by_default(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As MQTT does."""
    assert embedding.DEFAULT_BIND == "tcp://localhost:1883"
    monkeypatch.setattr(embedding, "DEFAULT_BIND", "tcp://localhost:0")
    mqtt: MQTTServer = await nursery.start(serve_mqtt)

    assert mqtt.addresses == mqtt.server.addresses
    assert mqtt.port == mqtt.addresses[0].port > 0
    assert mqtt.url == f"mqtt://127.0.0.1:{mqtt.port}"
    nursery.cancel_scope.cancel()


async def test_a_server_without_addresses() -> None:
    """It is reached by `Server.serve_stream`."""
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, MQTT())
        mqtt = MQTTServer(MQTT(), server)
        assert mqtt.port == 0
        with pytest.raises(LookupError):
            _ = mqtt.url
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("address", "url"),
    [
        (Address("tcp", "127.0.0.1", 1883), "mqtt://127.0.0.1:1883"),
        (Address("tls", "192.0.2.1", 8883), "mqtts://192.0.2.1:8883"),
        (Address("tcp", "0.0.0.0", 1883), "mqtt://127.0.0.1:1883"),
        (Address("ws", "::", 9001), "ws://[::1]:9001"),
        (Address("wss", "::1", 9001), "wss://[::1]:9001"),
        (Address("unix", path="/run/mqtt.sock"), "unix:/run/mqtt.sock"),
    ],
)
def test_client_url(address: Address, url: str) -> None:
    """The scheme that clients know, and a host that can be connected to."""
    assert client_url(address) == url


async def test_capabilities_config_and_limits_reach_it(nursery: trio.Nursery) -> None:
    """Each where it belongs."""
    mqtt: MQTTServer = await nursery.start(
        partial(
            serve_mqtt,
            FREE,
            capabilities=Capabilities(maximum_qos=1),
            config=Config(timeouts=Timeouts(grace=0.5)),
            limits=BrokerLimits(topic_levels=2),
        )
    )
    assert mqtt.mqtt.capabilities.maximum_qos == 1
    assert mqtt.server.config.timeouts.grace == 0.5
    with pytest.raises(Exception, match="levels"):
        mqtt.publish("a/b/c", b"")
    async with connected(mqtt.port) as peer:
        await peer.subscribe("a", qos=2)
        mqtt.publish("a", b"", qos=2)
        assert (await peer.message()).qos == 1
    nursery.cancel_scope.cancel()


async def test_a_shared_broker(nursery: trio.Nursery) -> None:
    """Two protocols meet at it."""
    broker = Broker()
    mqtt: MQTTServer = await nursery.start(partial(serve_mqtt, FREE, broker=broker))
    other = await nursery.start(serve, SimplePub(broker), FREE)
    assert mqtt.broker is broker
    url = f"simplepub://127.0.0.1:{other.addresses[0].port}"
    async with connect_simplepub(url) as client:
        await client.subscribe("a")
        async with connected(mqtt.port) as peer:
            await peer.send(Publish(b"a", b"1", qos=1, packet_id=1))
            assert (await anext(client)).payload == b"1"
    nursery.cancel_scope.cancel()


async def test_the_observer_gets_the_events_of_both(nursery: trio.Nursery) -> None:
    """Of the server and of its broker."""
    events: list[Event] = []
    mqtt: MQTTServer = await nursery.start(partial(serve_mqtt, FREE, observer=events.append))
    async with mqtt.subscribe("a", waiting_messages=1):
        for _ in range(3):
            mqtt.publish("a", b"")
    await mqtt.drain()

    kinds = [type(event) for event in events]
    assert kinds[0] is Listening
    assert MessageDropped in kinds
    assert kinds[-1] is Drained


async def test_nobody_may_observe(nursery: trio.Nursery, caplog: pytest.LogCaptureFixture) -> None:
    """With None nothing is logged; else by a log of its own."""
    with caplog.at_level("DEBUG"):
        quiet: MQTTServer = await nursery.start(partial(serve_mqtt, FREE, observer=None))
        assert not caplog.records
        loud: MQTTServer = await nursery.start(serve_mqtt, FREE)
        assert caplog.records
    await quiet.drain()
    await loud.drain()


# Starts that fail


async def test_an_address_in_use() -> None:
    """Nothing is left of it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BindError, match=str(port)):
            await serve_mqtt(FREE, f"tcp://127.0.0.1:{port}")


async def test_a_broker_and_limits() -> None:
    """It would be unclear whose hold."""
    with pytest.raises(ConfigError, match="limits and a broker"):
        await serve_mqtt(FREE, broker=Broker(), limits=BrokerLimits())


# Ends


async def test_it_gives_what_the_drain_did() -> None:
    """As `MQTTServer.drain` does."""
    reports: list[DrainReport] = []

    async def run(task_status: trio.TaskStatus[MQTTServer]) -> None:
        reports.append(await serve_mqtt(FREE, task_status=task_status))

    async with trio.open_nursery() as nursery:
        mqtt: MQTTServer = await nursery.start(run)
        report = await mqtt.drain()
    assert reports == [report]


async def test_a_cancel_ends_it_and_publishes_wills() -> None:
    """Clients aren't told, but the program still gets what they left."""
    broker = Broker()
    async with trio.open_nursery() as nursery, broker.subscribe("will") as wills:
        mqtt: MQTTServer = await nursery.start(partial(serve_mqtt, FREE, broker=broker))
        async with connected(mqtt.port, will=Will(b"will", b"gone")) as peer:
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                assert await peer.receive() is None
                assert (await anext(wills)).payload == b"gone"
    assert mqtt.server.ended


async def flood(peer: Peer) -> None:
    """Publish with QoS 1 until the connection ends."""
    with suppress(trio.BrokenResourceError):
        for number in count():
            packet_id = number % 65_535 + 1
            await peer.send(Publish(b"a", b"%d" % number, qos=1, packet_id=packet_id))


async def test_a_drain_while_clients_publish() -> None:
    """What was acknowledged was published, and the clients learn of the end."""
    acknowledged = 0

    async def client(port: int, *, task_status: trio.TaskStatus[None]) -> None:
        nonlocal acknowledged
        async with connected(port, "") as peer, trio.open_nursery() as nursery:
            nursery.start_soon(flood, peer)
            while isinstance(packet := await peer.receive(), PubAck):
                acknowledged += 1
                if packet.packet_id == 10:
                    task_status.started()
            assert packet == Disconnect(ReasonCode.SERVER_SHUTTING_DOWN)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        mqtt: MQTTServer = await nursery.start(serve_mqtt, FREE)
        for _ in range(3):
            await nursery.start(client, mqtt.port)
        report = await mqtt.drain(5)

    assert report.connections == 3
    assert 30 <= acknowledged <= mqtt.broker.stats().published


async def test_a_cancel_at_any_step_leaves_nothing() -> None:
    """No task, no socket and no port: it can listen there again at once."""
    reached = set()
    for steps in range(40):
        state = "starting"
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_after, scope, steps)
                mqtt: MQTTServer = await nursery.start(serve_mqtt, f"tcp://127.0.0.1:{port}")
                state = "subscribing"
                async with mqtt.subscribe("#") as messages:
                    mqtt.publish("a", b"1")
                    state = "taking"
                    await anext(messages)
                    state = "draining"
                    await mqtt.drain()
                    state = "over"
                nursery.cancel_scope.cancel()
        reached.add(state)
        socket.create_server(("127.0.0.1", port)).close()

    assert {"starting", "over"} < reached


async def _cancel_after(scope: trio.CancelScope, steps: int) -> None:
    for _ in range(steps):
        await trio.lowlevel.checkpoint()
    scope.cancel()


def test_no_socket_is_left_open() -> None:
    """Neither by a start that fails nor by one that is cancelled."""

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(BindError):
            await serve_mqtt(FREE, f"tcp://127.0.0.1:{taken.getsockname()[1]}")
        async with trio.open_nursery() as nursery:
            await nursery.start(serve_mqtt, FREE)
            nursery.cancel_scope.cancel()

    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        trio.run(main)
        gc.collect()
