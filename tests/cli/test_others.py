"""Several protocols in one process: what they share, how they begin and end, and reloads."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from speedo_trio.cli.app import run
from speedo_trio.cli.settings import Settings, also_binds
from speedo_trio.errors import ConfigError
from speedo_trio.simplepub.frames import encode_pub, encode_sub
from tests.cli.conftest import PATIENCE, Start
from tests.cli.test_brokers import ask, connect, exactly
from tests.cli.test_reload import logged, reload
from tests.cli.test_run import LOCAL, STUCK
from tests.mqtt.peers import blocking
from tests.mqtt.wired import publish

SUB = encode_sub([b"#"])


def test_brokers_share_their_topics(start: Start) -> None:
    """What a client of MQTT publishes reaches one of SimplePub, and what is kept is the same."""
    process = start("serve", "mqtt", *LOCAL, "--also", "simplepub=tcp://127.0.0.1:0")
    port, other = process.port(), process.port()
    with blocking(port) as theirs:
        theirs.send(publish("a", b"kept", retain=True))
        with connect(other) as ours:
            ask(
                ours,
                encode_sub([b"a"]),
                encode_sub([b"a"]) + encode_pub(b"a", b"kept", retain=True),
            )
            theirs.send(publish("a", b"now"))
            now = encode_pub(b"a", b"now")
            assert exactly(ours, len(now)) == now
    process.send(signal.SIGTERM)
    status, out, err = process.end()

    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert {line.partition(": ")[0] for line in lines} == {"mqtt", "simplepub"}
    assert sum(": drained " in line for line in lines) == 2


def test_any_protocols(start: Start) -> None:
    """Those without a broker too; one may have several addresses."""
    also = ("--also", "log=tcp://127.0.0.1:0", "--also", "discard=tcp://127.0.0.1:0")
    process = start("serve", *LOCAL, *also, "--also", "discard=tcp://127.0.0.1:0")
    first = [process.line() for _ in range(4)]
    assert [line.split()[1] for line in first] == ["echo", "log", "discard", "discard"]
    ports = [int(line.rpartition(":")[2]) for line in first]
    with connect(ports[0]) as connection:
        ask(connection, b"hello\n", b"hello\n")
    process.send(signal.SIGTERM)

    assert process.end()[0] == 0


def test_an_address_that_is_in_use(start: Start) -> None:
    """Then nothing is served."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        status, _, err = start("serve", *LOCAL, "--also", f"discard={bind}").end()

    assert status == 1
    assert err.startswith(f"trio-speedo: cannot listen on {bind}")


def test_an_end_at_once(start: Start) -> None:
    """The connections of all are counted."""
    Path("stuck.py").write_text(STUCK)
    process = start("serve", *LOCAL, "--also", "stuck:Stuck=tcp://127.0.0.1:0")
    process.port()
    with connect(process.port()) as connection:
        ask(connection, b"x\n", b"asleep\n")
        process.send(signal.SIGTERM)
        while "stuck:Stuck: draining" not in process.line():
            pass
        process.send(signal.SIGTERM)
        status, out, _ = process.end()

    assert status == 3
    assert "stopped at once: cut 1 connection" in out


@pytest.fixture
def file() -> Path:
    """The file of --config, in the test's directory."""
    path = Path("server.toml")
    path.write_text(FILE.format(subscriptions=5, interval=10, more=""))
    return path


FILE = """
protocol = "mqtt"
bind = ["tcp://127.0.0.1:0"]
also = ["simplepub=tcp://127.0.0.1:0"{more}]
[simplepub]
subscriptions = {subscriptions}
[mqtt]
sys_interval = {interval}
"""


def test_a_reload(start: Start, file: Path) -> None:
    """All get the new settings; who is served beside needs a restart."""
    process = start("serve", "--config", "server.toml")
    process.port()
    other = process.port()
    file.write_text(FILE.format(subscriptions=1, interval=20, more=""))
    told = "INFO speedo_trio: reconfigured: simplepub.subscriptions, mqtt.sys_interval"
    assert reload(process) == told
    with connect(other) as client:
        ask(client, SUB, SUB)
        client.sendall(encode_sub([b"a"]))
        assert b"allowed are 1" in client.recv(1000)
    assert "a subscription more than 1" in logged(process)
    assert reload(process) == "INFO speedo_trio: reconfigured: nothing changed"
    file.write_text(FILE.format(subscriptions=1, interval=20, more=', "echo"'))
    assert reload(process) == "INFO speedo_trio: reconfigured: nothing changed"
    assert logged(process) == "WARNING speedo_trio: also changed: needs a restart"


def test_sys_topics_follow_a_reload(start: Start, file: Path) -> None:
    """What was never told is told when the interval says so."""
    file.write_text(FILE.format(subscriptions=5, interval=0, more=""))
    process = start("serve", "--config", "server.toml")
    process.port()
    with connect(process.port()) as client:
        ask(client, encode_sub([b"$SYS/broker/version"]), encode_sub([b"$SYS/broker/version"]))
        file.write_text(FILE.format(subscriptions=5, interval=10, more=""))
        assert reload(process) == "INFO speedo_trio: reconfigured: mqtt.sys_interval"
        client.settimeout(PATIENCE)
        assert b"speedo_trio version" in client.recv(1000)


# Without a process

MISTAKES = {
    "check --also =tcp://:1": "--also is '=tcp://:1'; allowed is a protocol, or PROTOCOL=URL",
    "check --also echo=": "--also is 'echo='; allowed is a protocol, or PROTOCOL=URL such as",
    "check log --also echo=tcp:1": "--also: 'tcp:1' is no address to listen on; allowed are",
    "check mqtt --also mqtt": "--also has mqtt, which is served already; bind gives it more",
    "check mqtt --also nothing": "--also: unknown protocol 'nothing'. There are discard, ec",
    "check --also log --processes 2": "--processes is 2; allowed is 1 where several protocols",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_mistakes(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line tells the flag, what was seen and what is allowed."""
    assert run(words.split()) == 2
    assert capsys.readouterr().err.startswith(f"trio-speedo: {MISTAKES[words]}")


def test_the_settings_are_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a file that is read back, from a variable too."""
    monkeypatch.setenv("TRIO_SPEEDO_ALSO", "simplepub=tcp://:1 echo")
    assert run(["check", "mqtt"]) == 0

    assert 'also = ["simplepub=tcp://:1", "echo"]' in capsys.readouterr().out


def test_where_they_listen() -> None:
    """Where it is said, or by default."""
    assert also_binds(("echo", "mqtt", "echo=tcp://:7")) == {
        "echo": ("tcp://localhost:9292", "tcp://:7"),
        "mqtt": ("tcp://localhost:1883",),
    }
    assert Settings("mqtt", also=("echo",)).protocols == ("mqtt", "echo")
    with pytest.raises(ConfigError, match="also is 5; allowed is a list such as"):
        Settings(also=5)  # type: ignore[arg-type]  # as a file may have it
