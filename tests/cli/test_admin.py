"""The command's admin endpoint: where it listens, what it needs, and how long it lives."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import stat
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme

from speedo_trio.cli.admin import admin_url
from speedo_trio.events import Address
from tests.cli.test_reload import logged

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


def certify(folder: Path) -> ssl.SSLContext:
    """Write a certificate for localhost; what a client needs to trust it."""
    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(
        folder / "cert.pem"
    )
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_over_tls(start: Start, tmp_path: Path) -> None:
    """It is a bind like others, and the URL says so."""
    context = certify(tmp_path)
    bind = f"tls://127.0.0.1:0?cert={tmp_path}/cert.pem"
    process = start("serve", "--bind", "tcp://127.0.0.1:0", "--admin", bind)
    process.port()
    found = re.fullmatch(r"admin on https://127\.0\.0\.1:(\d+)/", process.line())
    assert found, process.end()
    url = f"https://localhost:{found[1]}/healthz"
    with urllib.request.urlopen(url, timeout=30, context=context) as response:
        body = response.read()
    process.send(signal.SIGTERM)

    assert body == b"ok\n"
    assert process.end()[0] == 0


def test_a_certificate_that_is_none(start: Start, tmp_path: Path) -> None:
    """It is seen before anybody is served."""
    (tmp_path / "cert.pem").write_text("none")
    bind = f"tls://127.0.0.1:0?cert={tmp_path}/cert.pem"
    status, out, err = start("serve", "--bind", "tcp://127.0.0.1:0", "--admin", bind).end()

    assert (status, out) == (1, "")
    assert f"{tmp_path}/cert.pem" in err


def ask_unix(path: Path) -> int:
    """The process that answers at a Unix socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(str(path))
        connection.sendall(b"GET /status HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    found: int = json.loads(answer.partition(b"\r\n\r\n")[2])["pid"]
    return found


def test_each_process_has_its_own(start: Start, tmp_path: Path) -> None:
    """They follow one another, and each logs where; one that is started again has the same."""
    path = tmp_path / "admin.sock"
    words = ("--bind", "tcp://127.0.0.1:0", "--processes", "2", "--admin", f"unix:{path}")
    process = start("serve", *words)
    process.port()
    assert process.line() == "with 2 processes"
    second = path.with_name("admin.sock.2")
    pids = ask_unix(path), ask_unix(second)
    os.kill(pids[1], signal.SIGKILL)
    assert process.popen.stderr is not None
    lines = [process.popen.stderr.readline() for _ in range(4)]
    again = ask_unix(path), ask_unix(second)
    process.send(signal.SIGTERM)
    status = process.end()[0]

    assert pids[0] != pids[1]
    assert again[0] == pids[0]
    assert again[1] not in pids
    assert lines[0].endswith(f"INFO [1] speedo_trio: admin on unix:{path}\n")
    assert lines[1].endswith(f"INFO [2] speedo_trio: admin on unix:{second}\n")
    assert lines[3].endswith(f"INFO [2] speedo_trio: admin on unix:{second}\n")
    assert status == 0
    assert list(tmp_path.glob("admin.sock*")) == []


def test_it_stays_where_it_is(start: Start) -> None:
    """A reload that would move it, or change its token, says that it needs a restart."""
    Path("given.toml").write_text('admin = "tcp://127.0.0.1:0"\n')
    process = start("serve", "--bind", "tcp://127.0.0.1:0", "--config", "given.toml")
    _, admin = ports(process)
    Path("token").write_text(TOKEN)
    Path("given.toml").write_text('admin = "unix:/run/x"\nadmin_token_file = "token"\n')
    process.send(signal.SIGHUP)

    assert logged(process).endswith("nothing changed")
    assert logged(process) == (
        "WARNING speedo_trio: admin, admin_token_file changed: need a restart"
    )
    assert fetch(admin, "/status")[0] == 200
    process.send(signal.SIGTERM)
    assert process.end()[0] == 0


def test_as_json(start: Start) -> None:
    """Then it is in the log."""
    process = start("serve", *LOCAL, "--log-format", "json")
    assert process.popen.stderr is not None
    messages = [json.loads(process.popen.stderr.readline())["message"] for _ in range(2)]
    process.send(signal.SIGTERM)
    process.end()

    assert messages[0].startswith("listening on ")
    assert messages[1].startswith("admin on http://127.0.0.1:")
