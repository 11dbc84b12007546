"""SimplePub as the command serves it: what a reload keeps, and what it can't change."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest
from attrs import evolve

from speedo_trio.broker.limits import BrokerLimits
from speedo_trio.cli.brokers import make_simplepub, protocol_changes, successor
from speedo_trio.cli.settings import Settings
from speedo_trio.echo import EchoProtocol
from speedo_trio.simplepub.frames import (
    encode_disconnect,
    encode_pub,
    encode_sub,
)
from speedo_trio.simplepub.protocol import SimplePub
from speedo_trio.simplepub.settings import SimplePubSettings
from tests.cli.conftest import PATIENCE, Start
from tests.cli.test_reload import logged, reload
from tests.cli.test_run import LOCAL

SUB = encode_sub([b"#"])
KEPT = encode_pub(b"a", b"kept", retain=True)
PING = encode_sub([])
CHANGED = """
protocol = "simplepub"
[simplepub]
subscriptions = 1
[broker]
retained_messages = 9
"""


def exactly(connection: socket.socket, size: int) -> bytes:
    """So many bytes."""
    got = b""
    while len(got) < size:
        part = connection.recv(size - len(got))
        assert part, f"the end after {got!r}"
        got += part
    return got


def ask(connection: socket.socket, sent: bytes, expected: bytes) -> None:
    """Send, and see what comes."""
    connection.sendall(sent)
    assert exactly(connection, len(expected)) == expected


def connect(port: int) -> socket.socket:
    """A client."""
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


@pytest.fixture
def file() -> Path:
    """The file of --config, in the test's directory."""
    path = Path("server.toml")
    path.write_text('protocol = "simplepub"\n')
    return path


def test_serves(start: Start) -> None:
    """Clients meet in one broker, with the settings that are asked for."""
    process = start("serve", "simplepub", *LOCAL, "--simplepub.subscriptions", "1")
    port = process.port()
    with connect(port) as first, connect(port) as second:
        ask(first, SUB, SUB)
        ask(second, KEPT + PING, PING)
        assert exactly(first, len(KEPT)) == encode_pub(b"a", b"kept")
        ask(
            first,
            encode_sub([b"a"]),
            encode_disconnect("a subscription more than 1; allowed are 1"),
        )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_says_goodbye(start: Start, number: signal.Signals) -> None:
    """With a DISCONNECT after what waits; the exit status is 0."""
    process = start("serve", "simplepub", *LOCAL)
    with process.connect() as connection:
        ask(connection, SUB, SUB)
        process.send(number)
        goodbye = encode_disconnect("the server is going away")
        assert exactly(connection, len(goodbye)) == goodbye
        assert connection.recv(1) == b""
    assert process.end()[0] == 0


def test_a_reload_keeps_the_broker(start: Start, file: Path) -> None:
    """What is retained and who is subscribed stays; new settings are for new connections."""
    process = start("serve", *LOCAL, "--config", "server.toml")
    port = process.port()
    with connect(port) as before:
        ask(before, SUB + KEPT, SUB + encode_pub(b"a", b"kept"))
        file.write_text(CHANGED)
        assert reload(process) == "INFO speedo_trio: reconfigured: simplepub.subscriptions"
        assert logged(process) == (
            "WARNING speedo_trio: broker.retained_messages changed: needs a restart"
        )
        with connect(port) as after:
            ask(after, SUB, SUB + KEPT)
            ask(after, encode_pub(b"b", b"1"), encode_pub(b"b", b"1"))
            ask(before, PING, encode_pub(b"b", b"1") + PING)
            text = "a subscription more than 1; allowed are 1"
            ask(after, encode_sub([b"x"]), encode_disconnect(text))
        ask(before, encode_sub([b"x", b"y"]), encode_sub([b"x", b"y"]))


def test_a_reload_of_another_protocol(start: Start, file: Path) -> None:
    """A broker that comes with it has the settings of then, so nothing needs a restart later."""
    file.write_text('protocol = "echo"\n')
    process = start("serve", *LOCAL, "--config", "server.toml")
    port = process.port()
    file.write_text('protocol = "simplepub"\n[broker]\nretained_messages = 1\n')
    assert reload(process) == "INFO speedo_trio: reconfigured: factory"
    with connect(port) as client:
        ask(client, KEPT + PING, PING)
        text = "no room to retain a message of 4 bytes: 1 messages of 5 bytes are retained"
        ask(client, encode_pub(b"b", b"kept", retain=True), encode_disconnect(text))
    assert text in logged(process)
    assert reload(process) == "INFO speedo_trio: reconfigured: nothing changed"
    file.write_text('protocol = "simplepub"\n[broker]\nretained_messages = 2\n')
    assert reload(process) == "INFO speedo_trio: reconfigured: nothing changed"
    assert logged(process).endswith("broker.retained_messages changed: needs a restart")


def test_settings_of_a_protocol_that_is_not_served(start: Start, file: Path) -> None:
    """Nobody needs to hear of them."""
    file.write_text("")
    process = start("serve", *LOCAL, "--config", "server.toml")
    process.port()
    file.write_text(CHANGED.replace('simplepub"', 'echo"'))
    assert reload(process) == "INFO speedo_trio: reconfigured: nothing changed"


@pytest.mark.parametrize("command", ["serve", "check"])
def test_several_processes_are_refused(start: Start, command: str) -> None:
    """Their clients would not meet."""
    status, out, err = start(command, "simplepub", "--processes", "2").end()

    assert (status, out) == (2, "")
    assert "--processes is 2; allowed is 1 for simplepub, whose clients meet in one process" in err


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[simplepub]\noverflow = "wait"\n', "overflow is 'wait'; allowed is"),
        (
            "[simplepub]\npayload_bytes = 99999999\n",
            "payload_bytes is 99999999; allowed is a whole",
        ),
        ("[broker]\ntopic_levels = 0\n", "topic_levels is 0; allowed is a whole number from 1"),
    ],
)
def test_settings_that_are_not_allowed(start: Start, file: Path, text: str, why: str) -> None:
    """The file, the name and what is allowed are told."""
    file.write_text(text)
    status, _, err = start("check", "--config", "server.toml").end()

    assert status == 2
    assert "server.toml: " in err
    assert why in " ".join(err.split())


# Without a process


def test_it_is_made_from_settings() -> None:
    """Of the broker and of the protocol."""
    settings = Settings(
        broker=BrokerLimits(retained_messages=1), simplepub=SimplePubSettings(subscriptions=2)
    )
    made = make_simplepub(settings)

    assert made.settings == settings.simplepub
    assert made.broker is not make_simplepub(settings).broker


def test_successor() -> None:
    """The same broker with new settings; the very same factory when they are the same."""
    running, same = SimplePub(), SimplePub()
    changed = SimplePub(settings=SimplePubSettings(subscriptions=2))
    following = successor(running, changed)

    assert successor(running, same) is running
    assert isinstance(following, SimplePub)
    assert (following.broker, following.settings) == (running.broker, changed.settings)
    assert successor(running, EchoProtocol) is EchoProtocol
    assert successor(EchoProtocol, running) is running


def test_changes() -> None:
    """By name; of another protocol none."""
    old = Settings(protocol="simplepub")
    new = evolve(
        old,
        broker=BrokerLimits(topic_levels=3, route_bytes=1),
        simplepub=SimplePubSettings(overflow="disconnect"),
    )

    assert protocol_changes(old, old) == ([], [])
    assert protocol_changes(old, new) == (
        ["simplepub.overflow"],
        ["broker.topic_levels", "broker.route_bytes"],
    )
    assert protocol_changes(old, evolve(new, protocol="echo")) == ([], [])
    assert protocol_changes(evolve(old, protocol="echo"), evolve(new, protocol="echo")) == ([], [])
