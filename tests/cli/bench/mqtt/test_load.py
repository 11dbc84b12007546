"""Loads on a broker: right ones have no errors, and each fault is seen and told."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trustme
from attrs import evolve

from speedo_trio.cli.bench.connector import make_connector
from speedo_trio.cli.bench.failure import Failure, Kind
from speedo_trio.cli.bench.mqtt.load import MQTTLoad
from speedo_trio.mqtt.embedding import MQTTServer, serve_mqtt
from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packets import (
    ConnAck,
    Disconnect,
    Packet,
    PubAck,
    Publish,
    PubRec,
    SubAck,
)
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.versions import Version
from tests.cli.bench.conftest import PATIENCE, make_plan
from tests.cli.bench.mqtt.conftest import (
    END,
    NONSENSE,
    RESET,
    FakeBroker,
    Fault,
    run_load,
    serve_broker,
)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("shape", ["pairs", "fanout", "fanin", "wild", "shared"])
async def test_a_load_on_our_broker_has_no_errors(
    nursery: trio.Nursery, shape: str, qos: int, version: str
) -> None:
    """All that was published has come, once and in order."""
    server: MQTTServer = await nursery.start(serve_mqtt, "tcp://127.0.0.1:0")

    course = await run_load(
        server.url, clients=3, window=4, shape=shape, qos=qos, protocol_version=version
    )

    tally = course.tally
    copies = 3 if shape == "fanout" else 1
    assert ({}, True) == (tally.examples, tally.faultless)
    assert tally.latencies.count == tally.volume.requests * copies > 0


def only(kind: type[Packet], number: int, *instead: Packet | bytes) -> Fault:
    """Send these instead of the packet of this type that has this number."""

    def fault(count: int, packet: Packet) -> list[Packet | bytes]:
        return list(instead) if isinstance(packet, kind) and count == number else [packet]

    return fault


def twice(number: int, packet: Packet) -> list[Packet]:
    """The third message comes twice."""
    return [packet, packet] if isinstance(packet, Publish) and number == 3 else [packet]


def swapped() -> Fault:
    """The second message comes after the third."""
    kept: list[Packet] = []

    def fault(number: int, packet: Packet) -> list[Packet]:
        if isinstance(packet, Publish) and number == 2:
            kept.append(packet)
            return []
        return [packet, *kept] if isinstance(packet, Publish) and number == 3 else [packet]

    return fault


def spoiled(number: int, packet: Packet) -> list[Packet]:
    """A byte of the third message is another."""
    if isinstance(packet, Publish) and number == 3:
        return [evolve(packet, payload=packet.payload[:-1] + b"?")]
    return [packet]


FAULTS: dict[str, tuple[int, Fault, Kind, str]] = {
    "lost": (0, only(Publish, 3), Kind.LOST, "1 of publisher 0, which has published"),
    "twice": (0, twice, Kind.TWICE, "message 3 of publisher 0 came twice to bench-"),
    "swapped": (0, swapped(), Kind.DISORDER, "message 2 of publisher 0 came after 3 to"),
    "spoiled": (0, spoiled, Kind.WRONG, "was sent what nobody published"),
    "unacknowledged": (1, only(PubAck, 2), Kind.UNACKNOWLEDGED, "1 of publisher 0"),
    "refused": (
        1,
        only(PubAck, 1, PubAck(1, ReasonCode.QUOTA_EXCEEDED)),
        Kind.WRONG,
        "was sent PubAck(",
    ),
    "answer to nothing": (1, only(PubAck, 1, PubAck(9)), Kind.WRONG, "was sent PubAck("),
    "answer of another QoS": (1, only(PubAck, 1, PubRec(1)), Kind.WRONG, "was sent PubRec("),
    "disconnected": (
        0,
        only(Publish, 5, Disconnect(ReasonCode.SERVER_BUSY)),
        Kind.WRONG,
        "was sent Disconnect(",
    ),
    "ended": (0, only(Publish, 5, END), Kind.EOF, "the broker ended the connection of bench-"),
    "reset": (0, only(Publish, 5, RESET), Kind.RESET, "-s-0: Connection reset by peer"),
    "nonsense": (0, only(Publish, 5, NONSENSE), Kind.WRONG, "-s-0 was sent nonsense: "),
    "publisher sent to": (1, only(PubAck, 5, Publish(b"x")), Kind.WRONG, "-p-0 was sent Publish("),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_is_seen(nursery: trio.Nursery, broker: FakeBroker, name: str) -> None:
    """It is counted by its kind, and the first is told."""
    qos, broker.fault, kind, text = FAULTS[name]
    url = await serve_broker(nursery, broker)

    course = await run_load(url, clients=1, window=4, qos=qos)

    assert not course.tally.faultless
    assert kind in course.tally.failures
    assert text in course.tally.examples[kind]


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (only(ConnAck, 1, ConnAck(ReasonCode.NOT_AUTHORIZED)), "CONNECT of bench-"),
        (only(ConnAck, 4, ConnAck(ReasonCode.NOT_AUTHORIZED)), "CONNECT of bench-"),
        (only(SubAck, 1, SubAck(1, [ReasonCode.NOT_AUTHORIZED])), "SUBSCRIBE of bench-"),
        (only(ConnAck, 2), "no answer to bench-"),
        (only(ConnAck, 1, END), "the broker ended the connection of bench-"),
        (only(ConnAck, 1, RESET), "-s-0: Connection reset by peer"),
        (only(ConnAck, 1, NONSENSE), "-s-0 was sent nonsense: "),
        (only(ConnAck, 1, b"\x20", b"\x03\x00\x87\x00"), "CONNECT of bench-"),
    ],
)
async def test_who_is_refused_ends_it(
    nursery: trio.Nursery, broker: FakeBroker, fault: Fault, text: str
) -> None:
    """Before anything was measured: without all clients it isn't the load that was asked for."""
    broker.fault = fault
    url = await serve_broker(nursery, broker)

    with pytest.raises(Failure, match=text):
        await run_load(url, clients=2)


async def test_a_load_over_tls(nursery: trio.Nursery, tmp_path: Path) -> None:
    """It hears without the poller, which knows sockets only; more than a record fits is sent."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(
        tmp_path / "server.pem"
    )
    certificate = f"?cert={tmp_path}/server.pem"
    server: MQTTServer = await nursery.start(serve_mqtt, f"tls://localhost:0{certificate}")
    url = f"mqtts://localhost:{server.port}"

    course = await run_load(
        url, clients=2, window=40, size=50_000, qos=1, timeout=10.0, ca=tmp_path / "ca.pem"
    )

    assert ({}, True) == (course.tally.examples, course.tally.faultless)
    assert course.tally.latencies.count > 0


@pytest.mark.parametrize("name", ["ended", "reset", "swapped"])
async def test_a_fault_is_seen_without_a_poller(
    nursery: trio.Nursery,
    broker: FakeBroker,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the system has no epoll, each connection hears for itself."""
    monkeypatch.setattr("speedo_trio.cli.bench.mqtt.load.open_poller", lambda: None)
    _, broker.fault, kind, _ = FAULTS[name]
    if name == "swapped":
        broker.fault = swapped()
    url = await serve_broker(nursery, broker)

    course = await run_load(url, clients=1, window=4)

    assert kind in course.tally.failures


async def test_packets_come_in_parts(nursery: trio.Nursery, broker: FakeBroker) -> None:
    """The cutting of the bytes makes no difference."""

    def cut(number: int, packet: Packet) -> list[Packet | bytes]:
        data = encode(packet, Version.MQTT_5_0)
        return [data[:3], data[3:]] if isinstance(packet, Publish) else [packet]

    broker.fault = cut
    url = await serve_broker(nursery, broker)

    course = await run_load(url, clients=1)

    assert ({}, True) == (course.tally.examples, course.tally.faultless)


async def test_receive_maximum_is_kept(nursery: trio.Nursery, broker: FakeBroker) -> None:
    """No more is on its way with QoS 1 than the broker takes [MQTT-3.3.4-7]."""
    broker.receive_maximum = 2
    url = await serve_broker(nursery, broker)

    course = await run_load(url, clients=1, window=10, qos=1)

    assert course.tally.faultless
    assert 2 == broker.most_pending


async def test_more_than_the_kernel_takes_is_sent(nursery: trio.Nursery) -> None:
    """A window of megabytes: the rest waits, and comes in order."""
    server: MQTTServer = await nursery.start(serve_mqtt, "tcp://127.0.0.1:0")

    course = await run_load(server.url, clients=1, window=40, size=200_000, qos=1, timeout=10.0)

    assert ({}, True) == (course.tally.examples, course.tally.faultless)


async def test_an_interrupt_reports_what_was_measured(
    nursery: trio.Nursery, broker: FakeBroker
) -> None:
    """What is on its way then is not missed."""
    url = await serve_broker(nursery, broker)
    plan = make_plan(url, seconds=60.0, warm_up=0.0)
    load = MQTTLoad(plan, make_connector(plan))

    with trio.fail_after(PATIENCE):
        nursery.start_soon(load.run)
        while not load.course.tally.latencies.count:  # noqa: ASYNC110  # a load need not tell
            await trio.sleep(0.005)
        load.interrupt()

    assert load.course.tally.ended
    assert load.course.tally.faultless


async def test_an_interrupt_while_it_connects_ends_it(
    nursery: trio.Nursery, broker: FakeBroker
) -> None:
    """Nothing was measured."""
    broker.fault = only(ConnAck, 1)
    url = await serve_broker(nursery, broker)
    plan = make_plan(url, timeout=60.0)
    load = MQTTLoad(plan, make_connector(plan))

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as running:
            running.start_soon(load.run)
            await trio.testing.wait_all_tasks_blocked(0.05)
            load.interrupt()

    assert 0 == load.course.tally.seconds
