"""The report of a load on a broker, and the command as a process."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packets import ConnAck, Connect, Publish, SubAck, Subscribe
from speedo_trio.mqtt.wire.reader import PacketReader
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.versions import Version
from tests.cli.conftest import Start

SHORT = ("--clients", "2", "--warm-up", "0", "--seconds", "0.2", "--timeout", "1")


@pytest.fixture
def broker(start: Start) -> str:
    """Our broker; its URL."""
    serving = start("serve", "mqtt", "--bind", "tcp://127.0.0.1:0")
    return f"mqtt://127.0.0.1:{serving.line().rpartition(':')[2].strip()}"


class Forgetful(threading.Thread):
    """A broker of one pair that forgets the second message."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self._listening.getsockname()[1]}"
        self._published = 0
        self._subscriber: socket.socket

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        reader = PacketReader()
        with connection:
            while data := connection.recv(65_536):
                for packet in reader.feed(data):
                    match packet:
                        case Connect():
                            connection.sendall(encode(ConnAck(), Version.MQTT_5_0))
                        case Subscribe():
                            self._subscriber = connection
                            answer = SubAck(packet.packet_id, [ReasonCode.SUCCESS])
                            connection.sendall(encode(answer, Version.MQTT_5_0))
                        case Publish():
                            self._published += 1
                            if self._published != 2:
                                self._subscriber.sendall(encode(packet, Version.MQTT_5_0))
                        case _:
                            pass

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.join()


@pytest.fixture
def forgetful() -> Iterator[Forgetful]:
    """One that runs."""
    broker = Forgetful()
    broker.start()
    yield broker
    broker.close()


def test_all_is_right(start: Start, broker: str) -> None:
    """The report on stdout, nothing on stderr, status 0."""
    words = ("--qos", "1", "--window", "4", "--shape", "fanin", "--histogram")
    status, out, err = start("bench", broker, *SHORT, *words).end()

    assert (status, err) == (0, "")
    first, _, *rows = out.splitlines()
    assert first == f"{broker}: fanin of 2, 4 each, QoS 1, MQTT 5.0, 64 bytes"
    names = [row[:10].strip() for row in rows[:8]]
    assert names == ["messages", "", "latency", "", "connect", "", "", "errors"]
    assert rows[7] == "errors    none"
    assert "latency from messages" in rows


def test_json_is_all_there_is_on_stdout(start: Start, broker: str) -> None:
    """For programs."""
    words = ("--protocol-version", "3.1.1", "--json", "--histogram")
    status, out, err = start("bench", broker, *SHORT, *words).end()

    assert (status, err) == (0, "")
    told = json.loads(out)
    assert told["delivered"] > 0
    assert (told["shape"], told["protocol_version"], told["errors"]) == ("pairs", "3.1.1", {})
    assert "histogram" not in json.loads(start("bench", broker, *SHORT, "--json").end()[1])
    assert sum(bucket["messages"] for bucket in told["histogram"]) == told["latency_us"]["count"]


def test_a_lost_message_is_status_3(start: Start, forgetful: Forgetful) -> None:
    """The report tells whose it was."""
    words = ("--clients", "1", "--window", "3", *SHORT[2:])
    status, out, _ = start("bench", forgetful.url, *words).end()

    assert status == 3
    assert "errors    1 × lost; the first: 1 of publisher 0, which has published" in out


def test_nothing_listens(start: Start) -> None:
    """One line and status 1."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"mqtt://127.0.0.1:{unused.getsockname()[1]}"
        status, out, err = start("bench", url).end()

    assert (status, out) == (1, "")
    assert err == f"trio-speedo: cannot connect to {url}: Connection refused\n"


def test_a_signal_ends_it_early(start: Start, broker: str) -> None:
    """What was measured is reported."""
    process = start("bench", broker, "--seconds", "60", "--warm-up", "0")
    watcher = start("sub", "#", "--url", broker, "--count", "1", "--format", "json")
    assert watcher.end()[0] == 0  # a message of the load has come
    process.send(signal.SIGINT)
    status, out, err = process.end()

    assert (status, err) == (0, "")
    assert out.endswith("interrupted: what was on its way is not missed\n")
