"""WebSockets as the package websockets sees them, direct and behind proxies."""

from __future__ import annotations

import json
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.judges.authority import Authority
from tests.judges.command import TELL, Command
from tests.judges.conftest import Ends
from tests.judges.fronts import HAProxy, NginxForHTTP
from tests.judges.program import PATIENCE, Program
from tests.judges.told import back, telling
from tests.outside import need

need(modules=("websockets", "wsproto"))

from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402  # it may be missing
from websockets.sync.client import ClientConnection, connect  # noqa: E402  # the same

Talk = Callable[[ClientConnection], Any]

LINES = b"".join(b"%063d\n" % number for number in range(2**14))
"""Lines of 64 bytes."""


@pytest.fixture(scope="module")
def server() -> Iterator[Command]:
    """An echo at a path."""
    with Command("echo", "ws://127.0.0.1:0/echo") as server:
        yield server


@pytest.fixture(scope="module")
def teller() -> Iterator[Command]:
    """Tells at any path what it knows."""
    with Command(TELL, "ws://127.0.0.1:0") as server:
        yield server


def client(server: Command, path: str = "/echo", **options: Any) -> ClientConnection:
    """A client of the server, without the proxies of the environment."""
    url = f"{server.address}{path}"
    client: ClientConnection = connect(url, proxy=None, open_timeout=PATIENCE, **options)
    return client


def receive(websocket: ClientConnection, size: int) -> bytes:
    """So many bytes, of whatever messages."""
    received = b""
    while len(received) < size:
        message = websocket.recv(PATIENCE)
        assert isinstance(message, bytes)
        received += message
    return received


def asks(websocket: ClientConnection) -> dict[str, Any]:
    """What the server knows of the client."""
    websocket.send(b"who am I?\n")
    told: dict[str, Any] = json.loads(websocket.recv(PATIENCE))
    return told


@pytest.mark.parametrize("size", [1, 126, 65_536, len(LINES)])
def test_messages_of_any_size(server: Command, size: int) -> None:
    """A megabyte of lines comes back byte for byte, whatever messages it is cut into."""
    total = min(len(LINES), size * 500) // 64 * 64
    with client(server) as websocket:
        for start in range(0, total, size):
            websocket.send(LINES[start : min(start + size, total)])

        assert receive(websocket, total) == LINES[:total]


def test_a_fragmented_message(server: Command) -> None:
    """Its fragments are one stream, and a ping between them is answered."""
    with client(server) as websocket:

        def fragments() -> Iterator[bytes]:
            yield b"in "
            assert websocket.ping().wait(PATIENCE)
            yield b"pieces\n"

        websocket.send(fragments())

        assert receive(websocket, 10) == b"in pieces\n"


@pytest.mark.parametrize("code", [1000, 4001])
def test_close_codes(server: Command, code: int) -> None:
    """The client's own code comes back, behind all that it was owed."""
    with client(server) as websocket:
        websocket.send(b"last words\n")
        websocket.close(code, "enough")

        assert websocket.close_code == code
        assert receive(websocket, 11) == b"last words\n"


def test_a_text_message(server: Command) -> None:
    """It is refused with the code for that, and the reason says what is allowed."""
    with client(server) as websocket:
        websocket.send("text")
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv(PATIENCE)

        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1003
        assert closed.value.rcvd.reason == "a text message; allowed are binary ones"


def test_another_path(server: Command) -> None:
    """It is told so, as HTTP does."""
    with pytest.raises(InvalidStatus) as invalid:
        client(server, "/elsewhere")

    assert invalid.value.response.status_code == 404
    assert invalid.value.response.body == b"there is nothing at /elsewhere\n"


def test_origins(ends: Ends) -> None:
    """Pages of the origin that is listed are served, and who sends none; others are told."""
    server = ends(Command("echo", "ws://127.0.0.1:0?origin=https://app.example.org"))
    for origin in ("https://app.example.org", None):
        with client(server, "/", origin=origin) as websocket:
            websocket.send(b"hello\n")
            assert receive(websocket, 6) == b"hello\n"
    with pytest.raises(InvalidStatus) as invalid:
        client(server, "/", origin="https://evil.example")

    assert invalid.value.response.status_code == 403
    assert b"'https://evil.example' may not connect" in (invalid.value.response.body or b"")


def test_a_drain_says_goodbye(ends: Ends) -> None:
    """A client is told by a Close that the server goes away, and the server waits for its own."""
    server = ends(Command("echo", "ws://127.0.0.1:0"))
    with client(server, "/any") as websocket:
        websocket.send(b"hello\n")
        assert receive(websocket, 6) == b"hello\n"
        server.send(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv(PATIENCE)

        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
    assert server.end() == 0
    server.wait_for("drained 1 connection in .* nothing dropped\n")


@pytest.mark.parametrize(
    ("offered", "chosen"), [(["other", "tell"], "tell"), (["other"], None), (None, None)]
)
def test_subprotocols(teller: Command, offered: list[str] | None, chosen: str | None) -> None:
    """Both sides know what was agreed on; the protocol also sees path, query and headers."""
    headers = {"X-Judge": "websockets"}
    options: dict[str, Any] = {"subprotocols": offered, "additional_headers": headers}
    with client(teller, "/room?name=1", **options) as websocket:
        known = asks(websocket)["websocket"]

        assert websocket.subprotocol == chosen
        assert known["subprotocol"] == chosen
        assert known["path"] == "/room?name=1"
        assert ["x-judge", "websockets"] in known["headers"]


def test_over_tls(ends: Ends, authority: Authority) -> None:
    """``wss`` is all of it over TLS."""
    server = ends(Command(TELL, f"wss://127.0.0.1:0/secret?cert={authority.server('wss')}"))
    context = ssl.create_default_context(cafile=authority.file)
    with client(server, "/secret", ssl=context) as websocket:
        known = asks(websocket)

        assert known["tls"]["version"] == "TLSv1.3"
        assert known["websocket"]["path"] == "/secret"


def test_curl_is_told_what_is_missing(server: Command, ends: Ends) -> None:
    """Who comes with plain HTTP gets an answer in it."""
    need("curl")
    url = f"http://127.0.0.1:{server.port}/echo"
    curl = ends(Program("curl", "--silent", "--include", "--noproxy", "*", url))

    assert curl.end() == 0
    assert "HTTP/1.1 426 Upgrade Required\r\n" in curl.text
    assert "Upgrade: websocket\r\n" in curl.text


async def talk_through(port: int, talk: Talk) -> Any:
    """Have a client with an address of its own talk, in a thread; what that gave."""

    def run() -> Any:
        with closing(socket.socket()) as connected:
            connected.bind(("127.0.0.5", 0))
            connected.connect(("127.0.0.1", port))
            with connect(f"ws://127.0.0.1:{port}/", sock=connected, proxy=None) as websocket:
                return talk(websocket)

    return await trio.to_thread.run_sync(run)


def both_ways(websocket: ClientConnection) -> dict[str, Any]:
    """Ask a thousand times at once; the last answer."""
    websocket.send(b"?\n" * 1000)
    answers = b""
    while answers.count(b"\n") < 1000:
        answers += partial(receive, size=1)(websocket)
    told: dict[str, Any] = json.loads(answers.splitlines()[-1])
    return told


async def test_behind_haproxy(ends: Ends, tmp_path: Path) -> None:
    """HAProxy passes the stream on, with a header before it."""
    need("haproxy")
    async with telling("ws+proxy://127.0.0.1:0") as stage:
        front = ends(HAProxy(tmp_path, back(stage), "send-proxy-v2"))
        known = await talk_through(front.port, both_ways)

        assert known["peer"].startswith("tcp://127.0.0.5:")
        assert known["proxy"]["version"] == 2


async def test_behind_nginx(ends: Ends, tmp_path: Path) -> None:
    """nginx asks for the upgrade by itself; the client is in the header that it adds."""
    need("nginx")
    async with telling("ws://127.0.0.1:0/") as stage:
        front = ends(NginxForHTTP(tmp_path, back(stage)))
        known = await talk_through(front.port, both_ways)

        assert ["x-forwarded-for", "127.0.0.5"] in known["websocket"]["headers"]
