"""The command's admin endpoint: where it listens, what it needs, and how long it lives."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from speedo_trio.cli.admin import admin_bind, admin_url
from speedo_trio.cli.app import run
from speedo_trio.cli.mistakes import Mistake
from speedo_trio.events import Address

if TYPE_CHECKING:
    from tests.cli.conftest import Process, Start

LOCAL = ("--bind", "tcp://127.0.0.1:0", "--admin", "tcp://127.0.0.1:0")
TOKEN = "s3cret"


def ports(process: Process) -> tuple[int, int]:
    """Those of the server and of its endpoint."""
    port = process.port()
    found = re.fullmatch(r"admin on http://127\.0\.0\.1:(\d+)/", process.line())
    assert found, process.end()
    return port, int(found[1])


def fetch(port: int, path: str, token: str = "") -> tuple[int, bytes]:
    """Status and body."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def complaint(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What `check` says about a mistake; `serve` says the same."""
    assert run(["check", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_it_tells_of_the_server(start: Start) -> None:
    """Numbers, timings and metrics agree with what a client did."""
    port, admin = ports(process := start("serve", *LOCAL))
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"hello\n")
        assert connection.recv(10) == b"hello\n"
        status = json.loads(fetch(admin, "/status")[1])
        metrics = fetch(admin, "/metrics")[1].decode()
        process.send(signal.SIGTERM)
    end = process.end()

    assert status["addresses"] == [f"tcp://127.0.0.1:{port}"]
    assert status["messages"]["executed"] == status["timings"]["executed"]["count"] == 1
    assert "\nspeedo_trio_messages_executed_total 1.0\n" in metrics
    assert (end[0], end[2]) == (0, "")


def test_it_stays_while_the_server_drains(start: Start) -> None:
    """And says so; it ends after it."""
    Path("slow.py").write_text(SLOW)
    port, admin = ports(process := start("serve", "slow:Slow", *LOCAL))
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"wait\n")
        assert connection.recv(10) == b"waiting\n"
        before = fetch(admin, "/readyz")
        process.send(signal.SIGTERM)
        assert process.line().startswith("draining 1 connection")
        during = fetch(admin, "/readyz"), fetch(admin, "/healthz")
        Path("go").touch()
        assert connection.recv(10) == b"done\n"
    status, out, err = process.end()

    assert before == (200, b"ready\n")
    assert during == ((503, b"draining\n"), (200, b"ok\n"))
    assert (status, err) == (0, "")
    assert "nothing dropped" in out
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", admin), timeout=30)


SLOW = """
from pathlib import Path
import trio
from attrs import define
from speedo_trio.protocol.framed import LineProtocol
from speedo_trio.protocol.message import Message

@define
class Wait(Message):
    connection: object
    async def execute(self):
        self.connection.write(b"waiting\\n")
        while not Path("go").exists():
            await trio.sleep(0.01)
        return b"done"

class Slow(LineProtocol):
    def frame(self, payload):
        return Wait(self.connection)
"""


def test_the_second_signal_ends_it_too(start: Start) -> None:
    """At once."""
    Path("slow.py").write_text(SLOW)
    port, _ = ports(process := start("serve", "slow:Slow", *LOCAL))
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"wait\n")
        assert connection.recv(10) == b"waiting\n"
        process.send(signal.SIGTERM)
        process.line()
        process.send(signal.SIGTERM)
        status, out, err = process.end()

    assert (status, err) == (3, "")
    assert "stopped at once" in out


def test_its_clients_are_not_logged(start: Start) -> None:
    """Neither good ones nor bad ones: they are not the service."""
    _, admin = ports(process := start("serve", *LOCAL))
    with socket.create_connection(("127.0.0.1", admin), timeout=30) as connection:
        connection.sendall(b"garbage\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")
    process.send(signal.SIGTERM)

    assert process.end()[2] == ""


def test_a_port_in_use(start: Start) -> None:
    """It is the same as for the server: one line, and status 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        end = start("serve", "--bind", "tcp://127.0.0.1:0", "--admin", bind).end()

    assert end == (1, "", f"trio-speedo: cannot listen on {bind}: Address already in use\n")


def test_a_unix_socket(start: Start, tmp_path: Path) -> None:
    """With permissions of its own, and gone at the end."""
    path = tmp_path / "admin.sock"
    process = start("serve", "--bind", "tcp://127.0.0.1:0", "--admin", f"unix:{path}?mode=660")
    process.port()

    assert process.line() == f"admin on unix:{path}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: whatever\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
    process.send(signal.SIGTERM)
    assert process.end()[0] == 0
    assert not path.exists()


def test_the_token(start: Start) -> None:
    """It is the file's line, and is needed for all but the health."""
    Path("token").write_text(f"{TOKEN}\n")
    _, admin = ports(process := start("serve", *LOCAL, "--admin-token-file", "token"))
    statuses = [
        fetch(admin, "/status")[0],
        fetch(admin, "/status", "wrong")[0],
        fetch(admin, "/status", TOKEN)[0],
        fetch(admin, "/healthz")[0],
    ]
    process.send(signal.SIGTERM)
    process.end()

    assert statuses == [401, 401, 200, 200]


def test_with_the_token_others_may_reach_it(start: Start) -> None:
    """On every address."""
    Path("token").write_text(TOKEN)
    words = ("--admin", "tcp://0.0.0.0:0", "--admin-token-file", "token")
    process = start("serve", "--bind", "tcp://127.0.0.1:0", *words)
    process.port()

    assert process.line().startswith("admin on http://0.0.0.0:")
    process.send(signal.SIGTERM)
    assert process.end()[0] == 0


@pytest.mark.parametrize(
    "bind", ["tcp://:9293", "tcp://0.0.0.0:9293", "tcp://192.0.2.7:9293", "tcp://a.example:9293"]
)
def test_what_others_can_reach_needs_a_token(capsys: pytest.CaptureFixture[str], bind: str) -> None:
    """It is a mistake not to have one."""
    assert complaint(capsys, "--admin", bind) == (
        f"trio-speedo: --admin: others can reach {bind}, so a token is needed; "
        "set admin_token_file, or listen on localhost or a Unix socket\n"
    )


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2", "[::1]"])
def test_loopback_needs_none(capsys: pytest.CaptureFixture[str], host: str) -> None:
    """Nor do Unix sockets and such as were passed, which are looked at when they are there."""
    for bind in f"tcp://{host}:9293", "unix:/run/admin.sock", "fd://3", "systemd:admin":
        assert run(["check", "--admin", bind]) == 0
        assert f'admin = "{bind}"' in capsys.readouterr().out


def test_a_passed_socket_that_others_can_reach_needs_one(start: Start) -> None:
    """It is seen when it is there; the server doesn't go on."""
    with socket.create_server(("0.0.0.0", 0)) as passed:
        number = passed.fileno()
        words = ("--bind", "tcp://127.0.0.1:0", "--admin", f"fd://{number}")
        status, out, err = start("serve", *words, pass_fds=[number]).end()

    assert (status, out) == (2, "")
    assert "a token is needed" in err


def test_a_passed_socket(start: Start) -> None:
    """On loopback."""
    with socket.create_server(("127.0.0.1", 0)) as passed:
        number = passed.fileno()
        words = ("--bind", "tcp://127.0.0.1:0", "--admin", f"fd://{number}")
        process = start("serve", *words, pass_fds=[number])
        ports(process)

        assert fetch(passed.getsockname()[1], "/healthz") == (200, b"ok\n")
        process.send(signal.SIGTERM)
        assert process.end()[0] == 0


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "cannot read token: No such file or directory"),
        (b"", "token: the token is not allowed; allowed are printable ASCII and no blanks"),
        (b"\n", "token: the token is not allowed"),
        (b"two words\n", "token: the token is not allowed"),
        (b"two\nlines\n", "token: the token is not allowed"),
        (b"\xff\n", "token: the token is not allowed"),
    ],
)
def test_files_that_hold_no_token(
    capsys: pytest.CaptureFixture[str], content: bytes | None, text: str
) -> None:
    """The place and the file are told, what is in it is not."""
    if content is not None:
        Path("token").write_bytes(content)
    told = complaint(capsys, "--admin", "tcp://:1", "--admin-token-file", "token")

    assert told.startswith("trio-speedo: --admin-token-file: ")
    assert text in told
    assert "two" not in told


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    """As with any file."""
    Path("token").touch(mode=0)

    assert "Permission denied" in complaint(
        capsys, "--admin", "tcp://:1", "--admin-token-file", "token"
    )


def test_a_path_that_no_system_has(capsys: pytest.CaptureFixture[str]) -> None:
    """It is told like any other."""
    Path("given.toml").write_text('admin = "tcp://:1"\nadmin_token_file = "a\\u0000b"\n')

    assert "cannot read" in complaint(capsys, "--config", "given.toml")


def test_the_token_is_in_no_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """Only its file is; so `check` has nothing to hide, and can be read back."""
    Path("token").write_text(TOKEN)
    words = ["--admin", "tcp://:9293", "--admin-token-file", "token"]
    assert run(["check", *words]) == 0
    out = capsys.readouterr().out
    Path("effective.toml").write_text(out)

    assert TOKEN not in out
    assert 'admin_token_file = "token"' in out
    assert run(["check", "--config", "effective.toml"]) == 0


def test_none_is_none(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In a flag, a variable and a file."""
    Path("given.toml").write_text('admin = "none"\nadmin_token_file = "none"\n')
    monkeypatch.setenv("TRIO_SPEEDO_ADMIN", "tcp://:1")

    assert run(["check", "--admin", "None"]) == 0
    monkeypatch.setenv("TRIO_SPEEDO_ADMIN", "none")
    assert run(["check", "--config", "given.toml"]) == 0
    assert 'admin = "none"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--admin", "localhost:9293"], "--admin: 'localhost:9293' is no address to listen on"),
        (["--admin", "ws://localhost:1"], "--admin is 'ws://localhost:1'; allowed is an address"),
        (["--admin-token-file", ""], "--admin-token-file is ''; allowed is a path, or none"),
    ],
)
def test_settings_that_are_not_allowed(
    capsys: pytest.CaptureFixture[str], words: list[str], text: str
) -> None:
    """The flag is told."""
    assert text in complaint(capsys, *words)


@pytest.mark.parametrize("line", ["admin = 5", "admin = true", "admin_token_file = []"])
def test_values_of_another_type(capsys: pytest.CaptureFixture[str], line: str) -> None:
    """A file can have them."""
    Path("given.toml").write_text(line)

    assert "allowed is" in complaint(capsys, "--config", "given.toml")


def test_without_h11(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It tells what to install."""
    monkeypatch.setitem(sys.modules, "h11", None)

    assert complaint(capsys, "--admin", "tcp://localhost:1") == (
        "trio-speedo: --admin: it needs h11: pip install 'speedo_trio[admin]'\n"
    )


@pytest.mark.parametrize(
    ("bind", "child", "expected"),
    [
        ("tcp://localhost:9293", 1, "tcp://localhost:9293"),
        ("tcp://localhost:9293", 3, "tcp://localhost:9295"),
        ("tcp://[::1]:65534", 2, "tcp://[::1]:65535"),
        ("tcp://localhost:0", 2, "tcp://localhost:0"),
        ("unix:/run/a.sock?mode=660", 1, "unix:/run/a.sock?mode=660"),
        ("unix:/run/a.sock?mode=660", 2, "unix:/run/a.sock.2?mode=660"),
        ("tls://a.example:1?cert=/c.pem", 2, "tls://a.example:2?cert=/c.pem"),
        ("fd://3", 1, "fd://3"),
    ],
)
def test_several_processes_have_one_each(bind: str, child: int, expected: str) -> None:
    """The ports that follow, or paths with a number."""
    assert admin_bind(bind, child) == expected


@pytest.mark.parametrize("bind", ["tcp://localhost:65535", "fd://3", "systemd:admin"])
def test_what_can_be_had_once(bind: str) -> None:
    """There is no port after the last one, and a passed socket is one."""
    with pytest.raises(Mistake, match="admin: "):
        admin_bind(bind, 2)


@pytest.mark.parametrize(
    ("address", "url"),
    [
        (Address("tcp", host="::1", port=1), "http://[::1]:1/"),
        (Address("tls", host="192.0.2.7", port=1), "https://192.0.2.7:1/"),
        (Address("unix", path="/run/a.sock"), "unix:/run/a.sock"),
    ],
)
def test_urls(address: Address, url: str) -> None:
    """As a browser wants them."""
    assert admin_url(address) == url
