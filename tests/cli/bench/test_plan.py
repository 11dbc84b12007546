"""Plans: defaults that depend on one another, and what does not go together."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from speedo_trio.cli.bench.plan import Plan, check_plan, text_bytes
from speedo_trio.errors import ConfigError


def make(url: str = "tcp://x:1", **settings: Any) -> Plan:
    """A plan for a server that is not there."""
    return Plan(url, **settings)


def test_time_ends_it_unless_told() -> None:
    """Half a second of warm-up, five of measurement."""
    assert (make().warm_up_seconds, make().measuring_seconds) == (0.5, 5)
    assert make(seconds=2).measuring_seconds == 2


def test_a_number_of_requests_is_the_number_that_is_sent() -> None:
    """So there is no warm-up, and no other end, unless they are asked for."""
    assert make(requests=3).warm_up_seconds == 0
    assert make(requests=3).measuring_seconds == math.inf
    assert make(requests=3, warm_up=1).warm_up_seconds == 1
    assert make(requests=3, seconds=2).measuring_seconds == 2


def test_the_size_of_a_request() -> None:
    """64 bytes for an echo, else what the line has in bytes, with its newline."""
    assert make().line_bytes == 64
    assert make(size=100).line_bytes == 100
    assert make(send="é").line_bytes == 3


def test_arguments_may_be_any_bytes() -> None:
    """What was typed is what is sent."""
    assert text_bytes("é\udcff") == b"\xc3\xa9\xff"


WRONG_VALUES: list[tuple[dict[str, Any], str]] = [
    ({"clients": 0}, "clients is 0; allowed is a whole number from 1 to 65536"),
    ({"clients": True}, "clients is True; allowed is a whole number from 1 to 65536"),
    ({"window": 100_001}, "window is 100001; allowed is a whole number from 1 to 100000"),
    ({"shape": "star"}, "shape is 'star'; allowed is pairs, fanout, fanin, wild, shared"),
    ({"qos": 3}, "qos is 3; allowed is a whole number from 0 to 2"),
    ({"protocol_version": "3.1"}, "protocol_version is '3.1'; allowed is 5 or 3.1.1"),
    ({"size": 15}, "size is 15; allowed is a whole number from 16 to 16777216"),
    ({"requests": 0}, "requests is 0; allowed is a whole number from 1 to 1000000000000"),
    ({"seconds": 0}, "seconds is 0; allowed is a number of seconds from 0.01 to 86400"),
    ({"warm_up": -1}, "warm_up is -1; allowed is a number of seconds from 0 to 86400"),
    ({"rate": math.nan}, "rate is nan; allowed is requests a second from 0.001 to 1e+07"),
    ({"timeout": None}, "timeout is None; allowed is a number of seconds from 0.001 to 86400"),
    ({"timeout": "x"}, "timeout is 'x'; allowed is a number of seconds from 0.001 to 86400"),
    ({"url": "x"}, "'x' is no server to load; allowed are tcp://host:port"),
]


@pytest.mark.parametrize(("settings", "text"), WRONG_VALUES)
def test_values_have_bounds(settings: dict[str, Any], text: str) -> None:
    """The text tells what was seen and what is allowed."""
    with pytest.raises(ConfigError) as mistake:
        make(**settings)

    assert str(mistake.value).startswith(text)


CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"send": "a\nb"}, "--send is 'a\\nb'; allowed is one line without its newline"),
    ({"send": "a", "expect": "\n"}, "--expect is '\\n'; allowed is one line without its newline"),
    ({"expect": "a"}, "--expect is for --send, which is not given; an echo is always compared"),
    ({"send": "a", "size": 64}, "--size is for lines to an echo server; with --send they have"),
    ({"connect_each": True, "window": 2}, "--window is 2; with --connect-each allowed is 1"),
    (
        {"url": "mqtt://x", "send": "a"},
        "--send is for servers of lines, and the target is mqtt://x",
    ),
    ({"url": "mqtt://x", "connect_each": True}, "--connect-each is for servers of lines"),
    ({"qos": 0}, "--qos is for servers of MQTT, and the target is tcp://x:1"),
    ({"protocol_version": "5"}, "--protocol-version is for servers of MQTT"),
    (
        {"insecure": True},
        "--insecure is for tls://, wss:// and mqtts://, and the target is tcp://x:1",
    ),
    ({"ca": Path("a")}, "--ca is for tls://, wss:// and mqtts://"),
    ({"url": "ws://x", "cert": Path("a")}, "--cert is for tls://, wss:// and mqtts://"),
    (
        {"url": "tls://x:1", "ca": Path("a"), "insecure": True},
        "--ca and --insecure contradict one another; allowed is one of them",
    ),
    ({"url": "tls://x:1", "key": Path("a")}, "--key is for --cert, which is not given"),
    (
        {"window": 1025, "size": 65_536},
        "a window of 1025 lines has 67174400 bytes; allowed are 67108864 for a client",
    ),
    (
        {"window": 1024, "size": 65_536, "clients": 17},
        "17 windows have 1140850688 bytes; allowed are 1073741824 in all",
    ),
]


@pytest.mark.parametrize(("settings", "text"), CONTRADICTIONS)
def test_what_does_not_go_together(settings: dict[str, Any], text: str) -> None:
    """Each value is allowed by itself; the text names the flags."""
    plan = make(**settings)
    with pytest.raises(ConfigError) as mistake:
        check_plan(plan)

    assert str(mistake.value).startswith(text)


FINE: list[dict[str, Any]] = [
    {},
    {"send": "a", "expect": ""},
    {"url": "tls://x:1", "ca": Path("a"), "cert": Path("b"), "key": Path("c")},
    {"url": "wss://x", "insecure": True},
    {"window": 1024, "size": 65_536, "clients": 16},
    {"connect_each": True, "rate": 5, "requests": 3, "seconds": 2},
]


@pytest.mark.parametrize("settings", FINE)
def test_what_goes_together(settings: dict[str, Any]) -> None:
    """It is accepted."""
    check_plan(make(**settings))
