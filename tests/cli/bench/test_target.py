"""Targets: which URLs there are, and each kind of mistake."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.cli.bench.target import Target, parse_target
from speedo_trio.errors import ConfigError

TARGETS = {
    "tcp://localhost:9292": Target(scheme="tcp", host="localhost", port=9292),
    "tcp://[2001:db8::7]:1": Target(scheme="tcp", host="2001:db8::7", port=1),
    "tcp://[fe80::1%eth0]:1": Target(scheme="tcp", host="fe80::1%eth0", port=1),
    "tls://example.com:65535": Target(scheme="tls", host="example.com", port=65535),
    "unix:/run/x.sock": Target(scheme="unix", path="/run/x.sock"),
    "unix:x": Target(scheme="unix", path="x"),
    "ws://example.com/a/b?c=d": Target(scheme="ws", host="example.com", port=80, path="/a/b?c=d"),
    "ws://example.com:8080/": Target(scheme="ws", host="example.com", port=8080, path="/"),
    "mqtt://example.com": Target(scheme="mqtt", host="example.com", port=1883),
    "mqtts://[::1]": Target(scheme="mqtts", host="::1", port=8883),
    "mqtt://x:1": Target(scheme="mqtt", host="x", port=1),
    "mqtt+unix:/run/x.sock": Target(scheme="mqtt+unix", path="/run/x.sock"),
    "wss://[::1]/": Target(scheme="wss", host="::1", port=443, path="/"),
}


@pytest.mark.parametrize("url", TARGETS)
def test_a_url_is_its_target(url: str) -> None:
    """It is read, and told again as it was."""
    target = parse_target(url)

    assert target == TARGETS[url]
    assert str(target) == url


def test_a_websocket_needs_no_path_and_no_port() -> None:
    """They have defaults (RFC 6455, 3); a port that is the default's is not told."""
    assert parse_target("ws://x") == Target(scheme="ws", host="x", port=80, path="/")
    assert str(parse_target("wss://x:443")) == "wss://x/"


def test_a_query_needs_no_path() -> None:
    """As in every URL of HTTP, it may follow the host."""
    assert parse_target("ws://x?a=1").path == "/?a=1"


MISTAKES = {
    "": "'' is no server to load; allowed are tcp://host:port, tls://host:port, unix:/path, ws",
    "localhost:9292": "is no server to load",
    "http://x:1": "is no server to load",
    "TCP://x:1": "is no server to load",
    "mqtt:x:1": "is no server to load",
    "mqtt://x/y": "has a path, which mqtt does not",
    "mqtt+unix:": "has no path",
    "tcp:x:1": "is no server to load",
    "tcp://": "has no host and port",
    "tcp://:9292": "has no host and port",
    "tcp://x": "has no port",
    "tcp://x:": "has no host and port",
    "tcp://x:0": "has port 0; allowed is 1 to 65535",
    "tcp://x:65536": "has port 65536; allowed is 1 to 65535",
    "tcp://x:-1": "has no host and port",
    "tcp://x:1\n": "has no host and port",
    "tcp://x:²": "has no host and port",
    "tcp://::1:1": "has no host and port",
    "tcp://[::1:1": "has no host and port",
    "tcp://a@x:1": "has no host and port",
    "tcp://x y:1": "has no host and port",
    "tcp://x:1?a": "has a path, which tcp does not",
    "tcp://x:1/": "has a path, which tcp does not",
    "tls://x:1/y": "has a path, which tls does not",
    "unix:": "has no path",
    "unix:/x?mode=660": "has a query, which is for who listens",
    "ws://x/ y": "has a fragment, a blank or another character",
    "ws://x/#y": "has a fragment, a blank or another character",
    "ws://x/é": "has a fragment, a blank or another character",
    "ws://x/\r\nHost: y": "has a fragment, a blank or another character",
}


@pytest.mark.parametrize("url", MISTAKES)
def test_a_mistake_is_told(url: str) -> None:
    """What was seen, what is wrong with it, and what is allowed."""
    with pytest.raises(ConfigError) as mistake:
        parse_target(url)

    assert MISTAKES[url] in str(mistake.value)
    assert repr(url) in str(mistake.value)
    assert "allowed" in str(mistake.value)


@given(st.text() | st.text().map("tcp://".__add__) | st.text().map("ws://".__add__))
def test_whatever_is_typed(url: str) -> None:
    """It is a target or a mistake, never another error."""
    try:
        target = parse_target(url)
    except ConfigError:
        return

    assert parse_target(str(target)) == target
