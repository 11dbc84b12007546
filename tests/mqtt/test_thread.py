"""An MQTT server in a thread, for programs that don't run on Trio."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from speedo_trio.config import Config, Timeouts
from speedo_trio.errors import (
    BindError,
    ConfigError,
    ServerClosed,
    StoreError,
    SubscriberTooSlow,
    TopicError,
)
from speedo_trio.events import Drained, Event, Listening
from speedo_trio.mqtt.message import MQTTMessage
from speedo_trio.mqtt.state.capabilities import Capabilities
from speedo_trio.mqtt.store.sqlite import SQLiteStore
from speedo_trio.mqtt.thread import MQTTThread, run_in_thread
from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packets import ConnAck, Connect, Disconnect, PubAck, Publish
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reader import PacketReader
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.versions import Version
from tests.mqtt.peers import blocking

FREE = "tcp://127.0.0.1:0"
SOON = Config(timeouts=Timeouts(grace=0.2, kill_after=0.2))


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No thread of a server, and no socket."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        yield
        gc.collect()
    assert "mqtt" not in {each.name for each in threading.enumerate()}


def test_it_serves_in_a_thread() -> None:
    """From the entering of the block to its end."""
    with run_in_thread(FREE) as broker:
        assert broker.running
        assert broker.url == f"mqtt://127.0.0.1:{broker.port}"
        assert [str(each) for each in broker.addresses] == [f"tcp://127.0.0.1:{broker.port}"]
        with blocking(broker.port) as peer, broker.subscribe("up") as messages:
            peer.subscribe("down", qos=1)
            assert broker.publish("down", b"1", qos=1) == 1
            assert peer.receive() == Publish(b"down", b"1", qos=1, packet_id=1)
            peer.send(PubAck(1), Publish(b"up", b"2"))
            assert messages.get(10) == MQTTMessage("up", b"2", client_id="peer")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", broker.port))


def test_clients_are_told_of_the_end() -> None:
    """It drains."""
    with run_in_thread(FREE, config=SOON) as broker, blocking(broker.port) as peer:
        broker.stop()
        assert peer.receive() == Disconnect(ReasonCode.SERVER_SHUTTING_DOWN)
        assert peer.receive() is None


def test_an_exception_ends_it_too() -> None:
    """And goes on."""
    with pytest.raises(KeyError, match="own"), run_in_thread(FREE) as broker:
        raise KeyError("own")
    assert not broker.running


def test_an_address_in_use() -> None:
    """The error is raised where the block would be entered."""
    with run_in_thread(FREE) as broker, pytest.raises(BindError, match=str(broker.port)):
        run_in_thread(f"tcp://127.0.0.1:{broker.port}").start()


def test_an_interrupt_after_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left, as the block was not entered."""

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    broker = run_in_thread(FREE)
    with monkeypatch.context() as context:
        context.setattr("speedo_trio.mqtt.thread._places", interrupted)
        with pytest.raises(KeyboardInterrupt):
            broker.start()
    with pytest.raises(ServerClosed):
        broker.call(int)


def test_two_at_once() -> None:
    """They know nothing of one another."""
    with run_in_thread(FREE) as one, run_in_thread(FREE) as two:
        assert one.port != two.port
        with one.subscribe("#") as messages:
            two.publish("a", b"two")
            one.publish("a", b"one")
            assert messages.get(10).payload == b"one"


def test_options_reach_it() -> None:
    """As of `serve_mqtt`."""
    events: list[Event] = []
    capabilities = Capabilities(maximum_qos=1)
    with run_in_thread(FREE, capabilities=capabilities, observer=events.append) as broker:
        assert broker.server.mqtt.capabilities is capabilities
    assert [type(event) for event in (events[0], events[-1])] == [Listening, Drained]


def test_call_reaches_all_of_it() -> None:
    """For whatever has no method here."""
    with run_in_thread(FREE) as broker, blocking(broker.port, "c1"):
        (session,) = broker.call(broker.server.mqtt.sessions)
        assert session.client_id == "c1"
        assert broker.call(broker.server.server.stats).accepted == 1
        with pytest.raises(TopicError):
            broker.call(broker.server.broker.subscribers, "a/#")


def test_errors_reach_the_caller() -> None:
    """As they are."""
    with run_in_thread(FREE) as broker:
        with pytest.raises(TopicError):
            broker.publish("a/#", b"")
        with pytest.raises(TopicError):
            broker.subscribe("a/#/b")
        with pytest.raises(ConfigError):
            broker.subscribe()
        with pytest.raises(ConfigError):
            broker.publish("a", b"", qos=3)
        with pytest.raises(RuntimeError, match="runs already"):
            broker.start()


def test_before_the_start_and_after_the_end() -> None:
    """Nothing can be asked of it; ending it again is no error."""
    broker = MQTTThread(FREE)
    broker.stop()
    for _ in range(2):
        with pytest.raises(ServerClosed):
            broker.publish("a", b"")
        with pytest.raises(ServerClosed):
            broker.subscribe("a")
        with pytest.raises(ServerClosed):
            broker.call(int)
        with pytest.raises(ServerClosed):
            _ = broker.server
        with broker:
            assert broker.call(int) == 0


def test_a_new_start_listens_where_it_did() -> None:
    """On the ports that were found, and with nothing of what was."""
    broker = run_in_thread("tcp://localhost:0", FREE)
    with broker:
        addresses = broker.addresses
        broker.publish("a", b"1", retain=True)
    with broker:
        assert broker.addresses == addresses
        assert broker.call(lambda: list(broker.server.broker.retained("a"))) == []


def test_a_port_that_is_named_stays() -> None:
    """Beside one that was found."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    broker = run_in_thread(f"tcp://127.0.0.1:{port}", FREE, "ws://127.0.0.1:0")
    with broker:
        addresses = broker.addresses
    with broker:
        assert broker.addresses == addresses
        assert broker.port == port


def test_publish_from_many_threads() -> None:
    """Each is done whole."""
    with (
        run_in_thread(FREE) as broker,
        ThreadPoolExecutor(8) as threads,
        broker.subscribe("#") as messages,
    ):
        counts = list(threads.map(lambda each: broker.publish("a", b"%d" % each), range(400)))
        got = {messages.get(10).payload for _ in range(400)}
    assert counts == [1] * 400
    assert len(got) == 400


# Subscriptions


def test_get_gives_up_in_time() -> None:
    """And loses nothing."""
    with run_in_thread(FREE) as broker, broker.subscribe("a") as messages:
        with pytest.raises(TimeoutError, match=r"no message within 0\.01 s"):
            messages.get(0.01)
        with pytest.raises(TimeoutError):
            messages.get(0)
        broker.publish("a", b"1", properties=Properties(content_type="x"))
        assert messages.get(0.5) == MQTTMessage("a", b"1", properties=Properties(content_type="x"))


def test_get_with_no_patience_gives_what_is_there() -> None:
    """Zero seconds are enough for that."""
    with run_in_thread(FREE) as broker, broker.subscribe("a") as messages:
        broker.publish("a", b"1")
        assert messages.get(0).payload == b"1"


def test_a_subscription_holds_from_its_making() -> None:
    """Without a block too, and retained messages come first."""
    with run_in_thread(FREE) as broker:
        broker.publish("a", b"0", retain=True)
        messages = broker.subscribe("a", name="me")
        broker.publish("a", b"1")
        assert [each.name for each in broker.call(broker.server.broker.subscribers)] == ["me"]
        assert [messages.get(10).payload for _ in range(2)] == [b"0", b"1"]
        messages.close()
        messages.close()
        assert broker.call(broker.server.broker.subscribers) == ()
        with pytest.raises(ServerClosed):
            messages.get(10)


def test_the_iteration_ends_with_the_server() -> None:
    """Whoever waits learns of it."""
    broker = run_in_thread(FREE)
    broker.start()
    got: list[bytes] = []
    messages = broker.subscribe("a")
    reading = threading.Thread(target=lambda: got.extend(each.payload for each in messages))
    reading.start()
    broker.publish("a", b"1")
    while not got:
        time.sleep(0.001)
    broker.stop()
    reading.join(10)
    assert got == [b"1"]
    with pytest.raises(ServerClosed):
        messages.get(1)
    assert list(messages) == []
    messages.close()


def test_the_iteration_ends_when_it_is_closed() -> None:
    """By another thread."""
    with run_in_thread(FREE) as broker:
        with broker.subscribe("a") as messages:
            reading = threading.Thread(target=list, args=(messages,))
            reading.start()
        reading.join(10)
        assert not reading.is_alive()


def test_messages_taken_too_slowly() -> None:
    """The policy is the subscription's."""
    with run_in_thread(FREE) as broker:
        messages = broker.subscribe("a", waiting_messages=1, overflow="disconnect")
        for _ in range(2):
            broker.publish("a", b"")
        with pytest.raises(SubscriberTooSlow):
            list(messages)


# Where it is used


def test_in_asyncio() -> None:
    """A client in the same thread's loop, while the server runs beside it."""

    async def main(port: int) -> ConnAck:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(encode(Connect(client_id="c1"), Version.MQTT_5_0))
        (connack,) = PacketReader(Version.MQTT_5_0).feed(await reader.read(1000))
        writer.write(encode(Publish(b"a", b"1"), Version.MQTT_5_0))
        message = await asyncio.to_thread(messages.get, 10)
        assert message.payload == b"1"
        writer.close()
        await writer.wait_closed()
        assert isinstance(connack, ConnAck)
        return connack

    with run_in_thread(FREE) as broker, broker.subscribe("a") as messages:
        assert asyncio.run(main(broker.port)).reason is ReasonCode.SUCCESS


@pytest.mark.alone
def test_a_client_that_never_closes() -> None:
    """The grace bounds the end."""
    with run_in_thread(FREE) as broker, blocking(broker.port) as peer:
        began = time.monotonic()
        broker.stop(0.1)
        assert time.monotonic() - began < 0.9  # an end without it is waited for for a second
        assert peer.receive() == Disconnect(ReasonCode.SERVER_SHUTTING_DOWN)


INTERRUPTED = """
import threading, time
from speedo_trio.mqtt import run_in_thread
try:
    with run_in_thread("tcp://127.0.0.1:0") as broker:
        print(broker.port, flush=True)
        messages = broker.subscribe("a")
        {wait}
except KeyboardInterrupt:
    print("interrupted", broker.running, threading.active_count(), flush=True)
"""


@pytest.mark.parametrize("wait", ["time.sleep(60)", "messages.get()", "messages.get(60)"])
def test_ctrl_c_in_the_main_thread(wait: str) -> None:
    """It ends the block as anywhere, and the server drains."""
    words = [sys.executable, "-c", INTERRUPTED.format(wait=wait)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        with blocking(int(program.stdout.readline())) as peer:
            program.send_signal(signal.SIGINT)
            assert peer.receive() == Disconnect(ReasonCode.SERVER_SHUTTING_DOWN)
        printed, _ = program.communicate(timeout=30)
    assert printed == "interrupted False 1\n"
    assert program.returncode == 0


def test_a_store_outlasts_a_restart(tmp_path: Path) -> None:
    """Each start is a new server; what was retained is there again."""
    thread = run_in_thread(FREE, store=SQLiteStore(tmp_path / "mqtt.db"))
    with thread:
        thread.publish("a", b"1", retain=True)
    with thread:
        assert thread.call(lambda: [each.topic for each in thread.server.broker.retained("a")])
    with pytest.raises(StoreError, match="nowhere"):
        run_in_thread(FREE, store=SQLiteStore(tmp_path / "nowhere" / "mqtt.db")).start()
