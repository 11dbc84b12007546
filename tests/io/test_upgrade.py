"""The request that opens a WebSocket: what is taken, and what is answered to the rest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.io.upgrade import BadRequest, UpgradeRequest

LINES = (
    "GET /mqtt?client=7 HTTP/1.1",
    "Host: example.org",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
)
"""The example of RFC 6455, 1.3."""


def request(*more: str, without: str = "", first: str = LINES[0]) -> bytes:
    """A request: the example, without the line that begins so, and with some more."""
    lines = [first, *LINES[1:]]
    kept = [line for line in lines if not without or not line.startswith(without)]
    return "\r\n".join((*kept, *more, "", "")).encode("latin-1")


def fed(data: bytes) -> UpgradeRequest:
    """A request that was fed whole."""
    upgrade = UpgradeRequest()
    assert upgrade.feed(data)
    return upgrade


def refused(data: bytes) -> tuple[int, str, dict[str, str]]:
    """Status, text and headers of the answer."""
    with pytest.raises(BadRequest) as bad:
        UpgradeRequest().feed(data)
    head, _, body = bad.value.response.partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert first.startswith("HTTP/1.1 ")
    assert headers["Content-Length"] == str(len(body))
    assert "close" in headers["Connection"]
    text = body.decode()
    assert text == f"{bad.value}\n"
    return int(first.split()[1]), text.rstrip("\n"), headers


def test_request() -> None:
    """What it asks for is told; headers come in their order, repeated ones repeatedly."""
    upgrade = fed(
        request(
            "Cookie: a=b",
            "X-Odd: gr\xfcn",
            "Sec-WebSocket-Protocol: mqtt,, mqttv3.1",
            "Sec-WebSocket-Protocol: chat",
        )
    )

    assert upgrade.target == "/mqtt?client=7"
    assert upgrade.path == "/mqtt"
    assert upgrade.subprotocols == ("mqtt", "mqttv3.1", "chat")
    assert upgrade.headers == (
        ("host", "example.org"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
        ("cookie", "a=b"),
        ("x-odd", "gr\xfcn"),
        ("sec-websocket-protocol", "mqtt,, mqttv3.1"),
        ("sec-websocket-protocol", "chat"),
    )
    assert upgrade.rest == b""


def test_origins() -> None:
    """They are compared without regard to case, so in lower case; a client has none or one."""
    assert fed(request()).origins == ()
    assert fed(request("Origin: HTTPS://A.Example")).origins == ("https://a.example",)
    assert fed(request("Origin: a", "Origin: b")).origins == ("a", "b")


def test_accept() -> None:
    """The key's proof is that of RFC 6455, 1.3."""
    upgrade = fed(request())

    assert upgrade.accept(None) == (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        b"\r\n"
    )
    assert b"\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n" in upgrade.accept("mqtt")


@given(cuts=st.lists(st.integers(1, 100)))
def test_request_in_pieces(cuts: list[int]) -> None:
    """It is complete with its last byte."""
    upgrade, data = UpgradeRequest(), request()
    for cut in cuts:
        piece, data = data[:cut], data[cut:]
        if piece:
            assert upgrade.feed(piece) is (not data)
    assert not data or upgrade.feed(data)

    assert upgrade.path == "/mqtt"


def test_rest() -> None:
    """What comes behind the request is not part of it."""
    assert fed(request() + b"\x82\x80more").rest == b"\x82\x80more"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/", "/"),
        ("/?x=/y", "/"),
        ("/a//b%20c", "/a//b%20c"),
        ("//a/b", "//a/b"),
        ("http://example.org/a?b", "/a"),
        ("ws://example.org", "/"),
        ("*", "*"),
    ],
)
def test_path(target: str, path: str) -> None:
    """Without the query, in either form of a target; nothing in it is changed."""
    upgrade = fed(request(first=f"GET {target} HTTP/1.1"))

    assert upgrade.path == path
    assert upgrade.target == target


@pytest.mark.parametrize(
    "lines",
    [
        ("upgrade: WebSocket", "connection: keep-alive, UPGRADE"),
        ("Upgrade: h2c, websocket", "Connection: keep-alive", "Connection: upgrade"),
    ],
)
def test_tokens(lines: tuple[str, ...]) -> None:
    """Lists, in one line or several, are read without regard to case (RFC 6455, 4.2.1)."""
    data = request(*lines).replace(b"Upgrade: websocket\r\nConnection: Upgrade\r\n", b"", 1)

    assert fed(data).path == "/mqtt"


@pytest.mark.parametrize("method", ["POST", "HEAD", "OPTIONS", "CONNECT"])
def test_method(method: str) -> None:
    """Only GET will do."""
    status, text, headers = refused(request(first=f"{method} /mqtt HTTP/1.1"))

    assert (status, headers["Allow"]) == (405, "GET")
    assert text == f"{method} opens no WebSocket; allowed is GET"


def test_old_http() -> None:
    """Knows no upgrade."""
    assert refused(request(first="GET /mqtt HTTP/1.0"))[:2] == (
        400,
        "HTTP/1.0 opens no WebSocket; allowed is HTTP/1.1",
    )


@pytest.mark.parametrize("without", ["Upgrade", "Connection"])
def test_ordinary_request(without: str) -> None:
    """A browser that was pointed here learns what is here."""
    status, text, headers = refused(request(without=without))

    assert (status, headers["Upgrade"], headers["Connection"]) == (
        426,
        "websocket",
        "Upgrade, close",
    )
    assert text.startswith("this is a WebSocket: ask for it with")


@pytest.mark.parametrize("more", [(), ("Sec-WebSocket-Version: 8",)])
def test_version(more: tuple[str, ...]) -> None:
    """The one that is spoken is told (RFC 6455, 4.4)."""
    status, text, headers = refused(request(*more, without="Sec-WebSocket-Version"))

    assert (status, headers["Sec-WebSocket-Version"]) == (426, "13")
    assert text == "allowed is Sec-WebSocket-Version: 13, once"


@pytest.mark.parametrize("key", [None, "", "short", "dGhlIHNhbXBsZSBub25jZQ==!", "AAAA", "\xfc"])
def test_key(key: str | None) -> None:
    """It must be 16 bytes in base64."""
    more = () if key is None else (f"Sec-WebSocket-Key: {key}",)

    assert refused(request(*more, without="Sec-WebSocket-Key"))[:2] == (
        400,
        "allowed is one Sec-WebSocket-Key, of 16 bytes in base64",
    )


def test_two_keys() -> None:
    """One is enough."""
    assert refused(request("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))[0] == 400


@pytest.mark.parametrize("line", ["Content-Length: 5", "Transfer-Encoding: chunked"])
def test_body(line: str) -> None:
    """Has no place in it: what follows is frames."""
    assert refused(request(line))[:2] == (400, "a request for a WebSocket has no body")


def test_empty_body() -> None:
    """Is none."""
    assert fed(request("Content-Length: 0")).path == "/mqtt"


@pytest.mark.parametrize(
    "data",
    [
        b"\x10\x0c\x00\x04MQTT\x05\x02\x00\x3c\x00\x00",  # MQTT
        b"\x16\x03\x01\x02\x00",  # TLS
        b"hello\r\n\r\n",
        request(without="Host"),
        request("Host: another.example"),
        request("no colon"),
        request(first="GET /\x00 HTTP/1.1"),
    ],
)
def test_no_http(data: bytes) -> None:
    """Is told apart as soon as it can be."""
    status, text, _ = refused(data)

    assert status == 400
    assert text.startswith("not HTTP: ")


def test_endless_request() -> None:
    """Is refused at 16 KiB."""
    assert refused(request()[:-2] + b"X-Long: " + b"x" * 16_384)[0] == 431


def test_impossible_target() -> None:
    """Is refused as any other mistake."""
    assert refused(request(first="GET http://[/ HTTP/1.1"))[:2] == (
        400,
        "no target of a request: http://[/",
    )


@given(st.binary(max_size=300))
def test_garbage(data: bytes) -> None:
    """Is refused, or waited on; nothing else happens."""
    try:
        assert not UpgradeRequest().feed(data)
    except BadRequest:
        pass


@given(st.binary(max_size=40), st.integers(0, len(request())))
def test_damage(data: bytes, at: int) -> None:
    """Anywhere in a request, too."""
    whole = request()
    try:
        UpgradeRequest().feed(whole[:at] + data + whole[at:])
    except BadRequest:
        pass
