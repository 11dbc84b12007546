"""A reload: SIGHUP to a real process, and what can go wrong while it reads."""

from __future__ import annotations

import re
import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
import trustme

from speedo_trio.cli.log import CommandLog
from speedo_trio.cli.mistakes import Mistake
from speedo_trio.cli.notify import Notifier
from speedo_trio.cli.origins import Origins
from speedo_trio.cli.reading import Reading
from speedo_trio.cli.reload import Reloader
from speedo_trio.cli.settings import Settings
from speedo_trio.cli.voice import OwnVoice
from speedo_trio.config import Limits, Workers
from speedo_trio.echo import EchoProtocol
from speedo_trio.errors import BindError
from speedo_trio.logs.event_log import EventLog
from speedo_trio.testing import serve_in_memory
from tests.cli.conftest import Process, Start
from tests.cli.test_run import LOCAL, ask


def reload(process: Process) -> str:
    """Send SIGHUP; the level and text of the first line that is logged."""
    process.send(signal.SIGHUP)
    return logged(process)


def logged(process: Process) -> str:
    """The next line on stderr, without its time."""
    assert process.popen.stderr is not None
    line = process.popen.stderr.readline()
    return re.sub(r"^\S+ \S+ ", "", line).rstrip("\n")


@pytest.fixture
def file() -> Path:
    """The file of --config, in the test's directory."""
    path = Path("server.toml")
    path.write_text("")
    return path


def test_new_limits_are_for_new_connections(start: Start, file: Path) -> None:
    """A changed value of the file applies without a restart, and the change is logged."""
    process = start("serve", *LOCAL, "--config", "server.toml", "--limits.when-full", "refuse")
    port = process.port()
    with socket.create_connection(("127.0.0.1", port)) as first:
        ask(first, b"x\n")
        file.write_text("[limits]\nconnections = 1\n")
        assert reload(process) == "INFO speedo_trio: reconfigured: limits.connections"
        with socket.create_connection(("127.0.0.1", port)) as second:
            assert second.recv(1) == b""
        assert ask(first, b"y\n") == b"y\n"
    process.send(signal.SIGTERM)

    assert process.end()[0] == 0


def test_flags_still_win(start: Start, file: Path) -> None:
    """All sources are read again, with the same precedence."""
    process = start("serve", *LOCAL, "--config", "server.toml", "--limits.connections", "5")
    process.port()
    file.write_text("[limits]\nconnections = 1\n")

    assert reload(process) == "INFO speedo_trio: reconfigured: nothing changed"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[limits]\nconnections = 0\n", "server.toml: limits.connections is 0; allowed is a whole"),
        ("[limits]\nconections = 1\n", "server.toml: limits.conections is no setting; did you"),
        ("[limits\n", "server.toml is no TOML: "),
        ('protocol = "ecoh"\n', "server.toml: protocol: unknown protocol 'ecoh'; did you mean"),
        (
            'protocol = "missing:X"\n[limits]\nconnections = 1',
            "server.toml: protocol: cannot import",
        ),
    ],
)
def test_a_mistake_changes_nothing(start: Start, file: Path, text: str, why: str) -> None:
    """It is one line, and the server goes on with what it had; a later reload can be right."""
    process = start("serve", *LOCAL, "--config", "server.toml", "--limits.when-full", "refuse")
    port = process.port()
    file.write_text(text)
    assert reload(process).startswith(f"ERROR speedo_trio: not reloaded: {why}")
    with (
        socket.create_connection(("127.0.0.1", port)) as first,
        socket.create_connection(("127.0.0.1", port)) as second,
    ):
        assert ask(first, b"x\n") == b"x\n"
        assert ask(second, b"x\n") == b"x\n"
    file.write_text("[limits]\nconnections = 7\n")
    assert reload(process) == "INFO speedo_trio: reconfigured: limits.connections"
    process.send(signal.SIGTERM)
    assert process.end()[0] == 0


def test_what_needs_a_restart_is_named_each_time(start: Start, file: Path) -> None:
    """The rest applies; until it is restarted, or the value is back, every reload says it."""
    process = start("serve", "--config", "server.toml", env={"TRIO_SPEEDO_BIND": LOCAL[1]})
    process.port()
    file.write_text("processes = 2\n[workers]\ncount = 3\n[limits]\nlane_messages = 9\n")
    assert reload(process) == "INFO speedo_trio: reconfigured: limits.lane_messages"
    for _ in range(2):
        assert logged(process) == (
            "WARNING speedo_trio: processes, workers.count changed: need a restart"
        )
        assert reload(process) == "INFO speedo_trio: reconfigured: nothing changed"
    file.write_text("[workers]\ncount = 3\n")
    logged(process)
    assert reload(process) == "INFO speedo_trio: reconfigured: limits.lane_messages"
    assert logged(process) == "WARNING speedo_trio: workers.count changed: needs a restart"


def test_another_protocol_is_for_new_connections(start: Start, file: Path) -> None:
    """Those open keep their handler."""
    file.write_text('protocol = "echo"\n')
    process = start("serve", *LOCAL, "--config", "server.toml")
    port = process.port()
    with socket.create_connection(("127.0.0.1", port)) as first:
        ask(first, b"x\n")
        file.write_text('protocol = "discard"\n')
        assert reload(process) == "INFO speedo_trio: reconfigured: factory"
        with socket.create_connection(("127.0.0.1", port)) as second:
            second.sendall(b"x\n")
            second.shutdown(socket.SHUT_WR)
            assert second.recv(1) == b""
        assert ask(first, b"y\n") == b"y\n"


def test_the_log_changes_too(start: Start, file: Path) -> None:
    """Its level, and its form."""
    process = start("serve", *LOCAL, "--config", "server.toml")
    port = process.port()
    file.write_text('log_level = "debug"\n')
    assert reload(process) == "INFO speedo_trio: reconfigured: log_level"
    with socket.create_connection(("127.0.0.1", port)):
        assert logged(process).startswith("DEBUG speedo_trio: connection 1 from tcp://127.0.0.1:")
    assert "closed after" in logged(process)
    file.write_text('log_format = "json"\n')
    process.send(signal.SIGHUP)
    assert process.popen.stderr is not None

    assert '"event": "Reconfigured"' in process.popen.stderr.readline()


def issue(authority: trustme.CA, name: str) -> None:
    """A new certificate in cert.pem, with its key."""
    issued = authority.issue_cert("localhost", common_name=name)
    issued.private_key_and_cert_chain_pem.write_to_path("cert.pem")


def common_name(context: ssl.SSLContext, port: int) -> str:
    """Whom the server's certificate is for, as a new connection sees it."""
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        subject: Any = (secured.getpeercert() or {})["subject"]
        return str(dict(pair for (pair,) in subject)["commonName"])


@pytest.mark.parametrize("processes", ["1", "2"])
def test_renewed_certificates_are_taken(start: Start, processes: str) -> None:
    """Nothing else need have changed; one that is broken changes nothing."""
    authority, context = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(context)
    issue(authority, "old")
    bind = "tls://127.0.0.1:0?cert=cert.pem"
    process = start("serve", "--bind", bind, "--processes", processes)
    found = re.fullmatch(r"serving echo on tls://127.0.0.1:(\d+)", process.line())
    assert found
    port = int(found[1])
    assert common_name(context, port) == "old"
    issue(authority, "new")
    assert reload(process) == "INFO speedo_trio: reconfigured: certificates"
    assert {common_name(context, port) for _ in range(20)} == {"new"}
    Path("cert.pem").write_text("nonsense")
    assert reload(process).startswith("ERROR speedo_trio: not reloaded: ")
    assert {common_name(context, port) for _ in range(20)} == {"new"}
    process.send(signal.SIGTERM)
    assert process.end()[0] == 0


def test_the_manager_is_told(start: Start, file: Path, tmp_path: Path) -> None:
    """That it is ready, reloads, is ready again also after a mistake, and that it stops."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        process = start(
            "serve", *LOCAL, "--config", "server.toml", env={"NOTIFY_SOCKET": manager.getsockname()}
        )

        def heard() -> list[str]:
            return manager.recv(4096).decode().split("\n")

        ready = ["READY=1", f"MAINPID={process.popen.pid}"]
        assert heard() == [*ready, "STATUS=0 connections"]
        process.send(signal.SIGHUP)
        assert heard()[0] == "RELOADING=1"
        assert heard()[:2] == ready
        file.write_text("nonsense")
        process.send(signal.SIGHUP)
        assert heard()[0] == "RELOADING=1"
        assert heard()[:2] == ready
        process.send(signal.SIGTERM)
        assert heard() == [
            "STOPPING=1",
            "EXTEND_TIMEOUT_USEC=16000000",
            "STATUS=draining 0 connections",
        ]
        assert process.end()[0] == 0


# Without a process


class Told(OwnVoice):
    """Keeps what is told."""

    def __init__(self) -> None:
        super().__init__(Settings(), EventLog())
        self.events: list[Any] = []

    def reloaded(self, event: object) -> None:
        self.events.append(event)

    def not_reloaded(self, why: str) -> None:
        self.events.append(why)


def reloader(read: Callable[[], Settings], voice: Told, running: Settings) -> Reloader:
    """One whose sources are a function."""

    def reread() -> Reading:
        return Reading(read(), Origins())

    return Reloader(running, EchoProtocol, reread, CommandLog(None, None), voice, Notifier())


async def test_a_log_that_is_not_ours_needs_a_restart() -> None:
    """When the protocol's module has configured logging, a changed level can't apply."""
    voice, new = Told(), Settings(log_level="debug", workers=Workers(count=3), processes=2)
    async with serve_in_memory(EchoProtocol) as server:
        await reloader(lambda: new, voice, Settings()).reload(server.server)

    (event,) = voice.events
    assert event.changed == ()
    assert event.needs_restart == ("processes", "log_level", "workers.count")


async def test_a_server_that_refuses_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as when a certificate can't be loaded; the next reload compares with what still runs."""
    voice, limits = Told(), Limits(connections=1)

    def refuse(**_: object) -> None:
        raise BindError("no certificate")

    async with serve_in_memory(EchoProtocol) as server:
        ours = reloader(lambda: Settings(bind=("tcp://:1",), limits=limits), voice, Settings())
        with monkeypatch.context() as broken:
            broken.setattr(server.server, "reconfigure", refuse)
            await ours.reload(server.server)
        await ours.reload(server.server)

    assert voice.events[0] == "no certificate"
    assert voice.events[1].changed == ("limits.connections",)
    assert voice.events[1].needs_restart == ("bind",)


async def test_the_server_runs_on_while_settings_are_read() -> None:
    """Reading is slow when it imports a module; and a cancel, as by a drain, waits for nothing."""
    voice, go_on = Told(), trio.Event()
    reading = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def read() -> Settings:
        trio.from_thread.run_sync(reading.set, trio_token=token)
        trio.from_thread.run(go_on.wait, trio_token=token)
        raise Mistake("late")

    async with serve_in_memory(EchoProtocol) as server:
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(reloader(read, voice, Settings()).reload, server.server)
                await reading.wait()
                client = server.connect()
                await client.send_all(b"x\n")
                assert await client.receive_some() == b"x\n"
                nursery.cancel_scope.cancel()
        go_on.set()

    assert voice.events == []
