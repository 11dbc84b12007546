"""The target: URLs, and streams to what they stand for."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest
import trio
import trustme

from speedo_trio import ConfigError, ConnectionLost
from speedo_trio.mqtt.client.dialing import open_stream
from speedo_trio.mqtt.client.target import Target, parse_target

GOOD = {
    "mqtt://host": ("mqtt", "host", 1883, ""),
    "mqtt://host/": ("mqtt", "host", 1883, ""),
    "mqtt://[::1]:99": ("mqtt", "::1", 99, ""),
    "mqtts://host": ("mqtts", "host", 8883, ""),
    "mqtt+unix:/run/s": ("mqtt+unix", "", 0, "/run/s"),
    "ws://host": ("ws", "host", 80, "/"),
    "wss://host:8084/mqtt?a=b": ("wss", "host", 8084, "/mqtt?a=b"),
}


@pytest.mark.parametrize("url", GOOD)
def test_urls(url: str) -> None:
    """Each scheme has its port, and WebSockets have a path."""
    scheme, host, port, path = GOOD[url]

    assert parse_target(url) == Target(url=url, scheme=scheme, host=host, port=port, path=path)
    assert parse_target(url).secure == (scheme in {"mqtts", "wss"})


@pytest.mark.parametrize(
    "url",
    [
        *("", "host", "tcp://host", "mqtt:", "mqtt://", "mqtt://host/path", "mqtt+unix:"),
        *("mqtt://user@host", "mqtt://host:0", "mqtt://host:65536", "ws://host/a b"),
    ],
)
def test_urls_that_are_none(url: str) -> None:
    """The error tells what is allowed; passwords don't belong there."""
    with pytest.raises(ConfigError, match=r"allowed (are mqtt://host:port, mqtts|is 1 to 65535)"):
        parse_target(url)


def test_the_authority() -> None:
    """A request names the port only where it isn't the scheme's."""
    assert parse_target("ws://host:80/").authority == "host"
    assert parse_target("wss://[::1]:80/").authority == "[::1]:80"


def test_websockets_need_wsproto(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the error says what to install."""
    monkeypatch.setattr("speedo_trio.mqtt.client.target.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'speedo_trio\[ws\]'"):
        parse_target("ws://host")


async def test_nobody_listens(tmp_path: Path) -> None:
    """The error tells the URL and why."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"mqtt://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ConnectionLost, match=f"cannot connect to {url}: Connection refused"):
            await open_stream(parse_target(url), None)
    with pytest.raises(ConnectionLost, match="No such file or directory"):
        await open_stream(parse_target(f"mqtt+unix:{tmp_path}/none"), None)


async def test_a_context_for_nothing() -> None:
    """It would be a mistake to leave it out in silence."""
    with pytest.raises(ConfigError, match="ssl_context is for mqtts and wss, and the server is"):
        await open_stream(parse_target("mqtt://localhost"), ssl.create_default_context())


async def test_a_certificate_that_is_not_trusted() -> None:
    """It is told as OpenSSL tells it, and nothing stays open."""
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(theirs)
    (listener,) = await trio.open_ssl_over_tcp_listeners(0, theirs, host="127.0.0.1")
    url = f"mqtts://127.0.0.1:{listener.transport_listener.socket.getsockname()[1]}"  # type: ignore[attr-defined]  # a listener over sockets

    async def shake_hands() -> None:
        async with await listener.accept() as stream:
            with pytest.raises(trio.BrokenResourceError):
                await stream.do_handshake()

    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(shake_hands)
        with pytest.raises(ConnectionLost, match=f"{url}: certificate verify failed"):
            await open_stream(parse_target(url), None)
