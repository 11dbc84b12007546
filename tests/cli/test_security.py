"""Security as the command has it: settings, and files that are read again by SIGHUP."""

from __future__ import annotations

import re
import signal
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from speedo_trio.cli.app import run
from speedo_trio.mqtt.security.hashes import Scrypt
from speedo_trio.mqtt.wire.packets import Disconnect, PubAck
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from tests.mqtt.wired import PATIENCE, Wired, publish

if TYPE_CHECKING:
    from tests.cli.conftest import Process, Start

R = ReasonCode
FILES = (
    *("--mqtt.security.password-file", "passwords", "--mqtt.security.acl-file", "acl"),
    *("--bind", "tcp://127.0.0.1:0"),
)


def write(name: str, text: str) -> None:
    """Write a file."""
    Path(name).write_text(text)


@pytest.fixture(autouse=True)
def files() -> None:
    """Two users and what one may do."""
    users = {"alice": b"wonderland", "bob": b"builder"}
    write("passwords", "".join(f"{name}:{Scrypt.make(users[name], 4)}\n" for name in users))
    write("acl", "user alice\ntopic readwrite a\n")


async def connected(port: int, name: str, password: bytes) -> Wired:
    """A client that came in."""
    client = Wired(await trio.open_tcp_stream("127.0.0.1", port))
    assert (await client.connect(name, user_name=name, password=password)).reason is R.SUCCESS
    return client


def reload(process: Process) -> str:
    """Have the settings read again; what is logged of it."""
    process.send(signal.SIGHUP)
    assert process.popen.stderr is not None
    while not re.search("reload|nothing", line := process.popen.stderr.readline()):
        assert line
    return line


async def test_files_are_read_again(start: Start) -> None:
    """Rules hold at once for who is there, and who has no password any more has to go."""
    process = start("serve", "mqtt", *FILES)
    port = process.port()
    with trio.fail_after(PATIENCE):
        alice = await connected(port, "alice", b"wonderland")
        bob = await connected(port, "bob", b"builder")
        async with alice.stream, bob.stream:
            await alice.send(publish("a", packet_id=1))
            assert (await alice.get(PubAck)).reason is R.NO_MATCHING_SUBSCRIBERS
            lines = Path("passwords").read_text().splitlines()  # noqa: ASYNC240  # a small file
            write("passwords", lines[0])
            write("acl", "user alice\ntopic read a\n")
            reload(process)

            assert (await bob.get(Disconnect)).reason is R.NOT_AUTHORIZED
            await alice.send(publish("a", packet_id=2))
            assert (await alice.get(PubAck)).reason is R.NOT_AUTHORIZED


async def test_a_mistake_changes_nothing(start: Start) -> None:
    """A file with a mistake in it is told of, and the one before goes on to hold."""
    process = start("serve", "mqtt", *FILES)
    port = process.port()
    with trio.fail_after(PATIENCE):
        alice = await connected(port, "alice", b"wonderland")
        async with alice.stream:
            write("acl", "topic\n")
            told = reload(process)
            await alice.send(publish("a", packet_id=2))

            assert "mqtt.security: acl, line 1: " in told
            assert (await alice.get(PubAck)).reason is R.NO_MATCHING_SUBSCRIBERS


@pytest.mark.parametrize("words", [FILES, ("--mqtt.security.allow-anonymous", "always")])
def test_check(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """The settings and the files are looked at without serving."""
    assert run(["check", "mqtt", *words]) == 0
    assert "[mqtt.security]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[mqtt.security]\nacl_file = "none/such"', "mqtt.security: cannot read none/such"),
        ("[mqtt.security]\nallow_anonymous = true", "allow_anonymous is True; allowed is"),
        ("[mqtt]\nsecurity = 1", "mqtt.security is 1; allowed is a table: [mqtt.security]"),
        (
            "[mqtt.security]\nacl = 1",
            "mqtt.security.acl is no setting; did you mean mqtt.security.",
        ),
        ("[mqtt.security]\nfailed_logins = 0", "failed_logins is 0; allowed is"),
        ("[mqtt.security]\npassword_threads = 65", "password_threads is 65; allowed is"),
        ("[mqtt.security]\ncertificate_user = 'dn'", "certificate_user is 'dn'; allowed is"),
        ("[mqtt.security]\npassword_file = ''", "password_file is ''; allowed is a path"),
    ],
)
def test_mistakes(text: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each in one line."""
    write("server.toml", text)

    assert run(["check", "mqtt", "--config", "server.toml"]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("by", ["flag", "variable"])
def test_a_flag_leaves_the_rest_of_the_files_section(
    by: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thing of a section within a section is set otherwise; all others are as in the file."""
    write("server.toml", '[mqtt]\nmaximum_qos = 1\n[mqtt.security]\nacl_file = "acl"\n')
    words: list[str] = ["--mqtt.security.failed-logins", "7"] if by == "flag" else []
    if by == "variable":
        monkeypatch.setenv("TRIO_SPEEDO_MQTT_SECURITY_FAILED_LOGINS", "7")

    assert run(["check", "mqtt", "--config", "server.toml", *words]) == 0
    table = tomllib.loads(capsys.readouterr().out)["mqtt"]
    assert (table["maximum_qos"], table["security"]["acl_file"]) == (1, "acl")
    assert table["security"]["failed_logins"] == 7
