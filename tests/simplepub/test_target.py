"""Targets: what URLs stand for, and what goes wrong with connecting to them."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest
import trio
import trustme

from speedo_trio.errors import ConfigError, ConnectionLost
from speedo_trio.simplepub.target import Target, open_stream, parse_target, why

URLS: dict[str, dict[str, object]] = {
    "simplepub://localhost:9292": {"host": "localhost", "port": 9292},
    "simplepub://example.org": {"host": "example.org", "port": 9292},
    "simplepub://192.0.2.7:1/": {"host": "192.0.2.7", "port": 1},
    "simplepub://[2001:db8::7]:65535": {"host": "2001:db8::7", "port": 65_535},
    "simplepub://[fe80::1%eth0]": {"host": "fe80::1%eth0", "port": 9292},
    "simplepub+tls://example.org:9293": {"host": "example.org", "port": 9293, "secure": True},
    "simplepub+unix:/run/pub.sock": {"path": "/run/pub.sock"},
    "simplepub+unix:pub.sock": {"path": "pub.sock"},
}

ALLOWED = "allowed are simplepub://host:port, simplepub+tls://host:port and simplepub+unix:/path"

MISTAKES = {
    "": f"'' is no SimplePub server; {ALLOWED}",
    "localhost": f"'localhost' is no SimplePub server; {ALLOWED}",
    "tcp://localhost:9292": f"'tcp://localhost:9292' is no SimplePub server; {ALLOWED}",
    "simplepub:host": f"'simplepub:host' has no host and port that can be read; {ALLOWED}",
    "simplepub://": f"'simplepub://' has no host and port that can be read; {ALLOWED}",
    "simplepub://a:b": f"'simplepub://a:b' has no host and port that can be read; {ALLOWED}",
    "simplepub://a:1/b": f"'simplepub://a:1/b' has no host and port that can be read; {ALLOWED}",
    "simplepub://u@a": f"'simplepub://u@a' has no host and port that can be read; {ALLOWED}",
    "simplepub://::1": f"'simplepub://::1' has no host and port that can be read; {ALLOWED}",
    "simplepub://a:0": "'simplepub://a:0' has port 0; allowed is 1 to 65535",
    "simplepub://a:65536": "'simplepub://a:65536' has port 65536; allowed is 1 to 65535",
    "simplepub+unix:": f"'simplepub+unix:' has no path; {ALLOWED}",
}


@pytest.mark.parametrize("url", URLS)
def test_what_a_url_stands_for(url: str) -> None:
    """Without a port it is the server's default."""
    expected: dict[str, object] = {"host": "", "port": 0, "path": "", "secure": False, **URLS[url]}
    target = parse_target(url)

    assert target.url == url
    assert expected == {name: getattr(target, name) for name in expected}


@pytest.mark.parametrize("url", MISTAKES)
def test_a_url_that_stands_for_nothing(url: str) -> None:
    """The error tells what was seen and what is allowed."""
    with pytest.raises(ConfigError) as caught:
        parse_target(url)

    assert MISTAKES[url] == str(caught.value)


async def refused(target: Target, context: ssl.SSLContext | None = None) -> str:
    """The text with which connecting fails."""
    with trio.fail_after(5), pytest.raises(ConnectionLost) as caught:
        await open_stream(target, context)
    assert caught.value.__cause__ is not None
    return str(caught.value)


async def test_nobody_listens(tmp_path: Path) -> None:
    """The error is one of ours, has the URL, and one reason for all addresses of a name."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"simplepub://127.0.0.1:{unused.getsockname()[1]}"

        assert await refused(parse_target(url)) == f"cannot connect to {url}: Connection refused"
    url = f"simplepub+unix:{tmp_path}/no.sock"
    assert await refused(parse_target(url)) == f"cannot connect to {url}: No such file or directory"


async def test_a_name_that_is_none() -> None:
    """Neither for the resolver nor for the DNS's encoding."""
    url = f"simplepub://{'a' * 70}.example"

    assert (await refused(parse_target(url))).startswith(f"cannot connect to {url}: ")


async def test_a_context_without_tls() -> None:
    """It is a mistake: the connection would not be as safe as somebody thinks."""
    with pytest.raises(ConfigError, match="ssl_context is for simplepub"):
        await open_stream(parse_target("simplepub://localhost"), ssl.create_default_context())


async def test_a_server_without_tls() -> None:
    """A handshake that is not understood tells why, without where in OpenSSL."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    url = f"simplepub+tls://127.0.0.1:{listener.socket.getsockname()[1]}"

    async def answer() -> None:
        stream = await listener.accept()
        await stream.send_all(b"\x04\x00\x00\x00")
        await stream.receive_some()
        await stream.aclose()

    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        text = await refused(parse_target(url))

    assert text.startswith(f"cannot connect to {url}: ")
    assert "[SSL" not in text
    assert "_ssl.c" not in text


async def test_a_certificate_that_is_not_trusted() -> None:
    """The default context checks it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    url = f"simplepub+tls://127.0.0.1:{listener.socket.getsockname()[1]}"

    async def answer() -> None:
        stream = trio.SSLStream(await listener.accept(), context, server_side=True)
        with pytest.raises(trio.BrokenResourceError):
            await stream.do_handshake()
        await trio.aclose_forcefully(stream)

    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        text = await refused(parse_target(url))

    assert text.startswith(f"cannot connect to {url}: certificate verify failed: ")


def test_why() -> None:
    """The deepest cause tells; what has no text is told by its class."""
    broken = trio.BrokenResourceError("a pipe")
    broken.__cause__ = ConnectionResetError(104, "[Errno 104] some text of Trio's")

    assert why(broken) == "Connection reset by peer"
    assert why(trio.ClosedResourceError()) == "ClosedResourceError"
    assert why(socket.gaierror(-2, "Name or service not known")) == "Name or service not known"
