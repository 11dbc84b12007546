"""WebSockets as a browser sees them: Chromium without a window, driven by Selenium."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.judges.command import TELL, Command
from tests.judges.conftest import Ends
from tests.outside import need

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

need("chromium", "chromedriver", modules=("selenium", "wsproto"))

ECHO = """
const [url, size, code, done] = arguments;
const sent = new Uint8Array(size).map((_, at) => at % 100 == 99 ? 10 : 32 + at % 95);
const socket = new WebSocket(url);
socket.binaryType = "arraybuffer";
let received = 0, wrong = 0;
socket.onopen = () => socket.send(sent);
socket.onmessage = ({data}) => {
    for (const byte of new Uint8Array(data)) wrong += byte != sent[received++];
    if (received >= size) socket.close(code, "enough");
};
socket.onclose = ({code, wasClean}) => done({received, wrong, code, wasClean});
"""
"""Sends many lines as one message and sees whether they come back; then closes."""

ASK = """
const [url, offered, done] = arguments;
const socket = new WebSocket(url, offered);
socket.onopen = () => socket.send(new Blob(["who am I?\\n"]));
socket.onmessage = async ({data}) => {
    done({chosen: socket.protocol, known: JSON.parse(await data.text())});
};
socket.onclose = ({code}) => done({code});
"""

TEXT = """
const [url, done] = arguments;
const socket = new WebSocket(url);
socket.onopen = () => socket.send("text");
socket.onclose = ({code, reason, wasClean}) => done({code, reason, wasClean});
"""

STAY = """
const [url, done] = arguments;
window.gone = new Promise(tell => {
    const socket = new WebSocket(url);
    socket.onopen = () => done("open");
    socket.onclose = ({code, wasClean}) => tell({code, wasClean});
});
"""

GONE = "window.gone.then(arguments[0])"


@pytest.fixture(scope="module")
def server() -> Iterator[Command]:
    """An echo."""
    with Command("echo", "ws://127.0.0.1:0/echo") as server:
        yield server


@pytest.fixture(scope="module")
def teller() -> Iterator[Command]:
    """Tells what it knows, and logs who comes."""
    with Command(TELL, "ws://127.0.0.1:0", "--log-level", "debug") as server:
        yield server


def run(chrome: Chrome, script: str, *arguments: object) -> Any:
    """What the page's script gives to `done`."""
    return chrome.execute_async_script(script, *arguments)


@pytest.mark.parametrize(("size", "code"), [(100, 1000), (2**20 // 100 * 100, 4001)])
def test_echo(chrome: Chrome, server: Command, size: int, code: int) -> None:
    """One binary message, up to a megabyte, comes back; the page's close has its code."""
    result = run(chrome, ECHO, f"{server.address}/echo", size, code)

    assert result == {"received": size, "wrong": 0, "code": code, "wasClean": True}


@pytest.mark.parametrize(("offered", "chosen"), [(["other", "tell"], "tell"), ([], "")])
def test_subprotocols(chrome: Chrome, teller: Command, offered: list[str], chosen: str) -> None:
    """What was chosen is known to the page and to the protocol, which also sees the origin."""
    result = run(chrome, ASK, f"{teller.address}/room?name=1", offered)

    assert result["chosen"] == chosen
    known = result["known"]["websocket"]
    assert (known["subprotocol"] or "") == chosen
    assert known["path"] == "/room?name=1"
    assert dict(known["headers"])["origin"] == "null"  # as files have none


def test_a_subprotocol_that_nobody_speaks(chrome: Chrome, teller: Command) -> None:
    """A browser insists on one of those that it offers; without, it closes by itself."""
    assert run(chrome, ASK, f"{teller.address}/other", ["other"]) == {"code": 1006}

    teller.wait_for("opened, WebSocket /other\n")


def test_text(chrome: Chrome, server: Command) -> None:
    """The page learns why it is refused."""
    assert run(chrome, TEXT, f"{server.address}/echo") == {
        "code": 1003,
        "reason": "a text message; allowed are binary ones",
        "wasClean": True,
    }


def test_a_page_from_elsewhere(chrome: Chrome, ends: Ends) -> None:
    """It doesn't get through: a file's origin is ``null``, and another one is allowed."""
    bind = "ws://127.0.0.1:0?origin=https://app.example.org"
    server = ends(Command("echo", bind, "--log-level", "debug"))

    assert run(chrome, TEXT, server.address) == {"code": 1006, "reason": "", "wasClean": False}
    server.wait_for("pages of 'null' may not connect here")


def test_a_drain(chrome: Chrome, ends: Ends) -> None:
    """A page that stays is told that the server goes away, and the server's end is clean."""
    server = ends(Command("echo", "ws://127.0.0.1:0"))
    assert run(chrome, STAY, server.address) == "open"
    server.send(signal.SIGTERM)

    assert run(chrome, GONE) == {"code": 1001, "wasClean": True}
    assert server.end() == 0
    server.wait_for("drained 1 connection in .* nothing dropped\n")


def test_a_page_that_is_left(chrome: Chrome, ends: Ends) -> None:
    """It goes without a word, as pages do, which is no error."""
    server = ends(Command("echo", "ws://127.0.0.1:0", "--log-level", "debug"))
    assert run(chrome, STAY, server.address) == "open"
    chrome.refresh()
    server.wait_for("closed after")

    assert server.drain() == 0
    assert {line.split()[0] for line in server.log} == {"DEBUG"}
