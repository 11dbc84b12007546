"""The settings of a bridge: what is allowed, and what goes together."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from speedo_trio import ConfigError
from speedo_trio.mqtt import BridgeSettings, BridgeTopic
from speedo_trio.mqtt.bridging.settings import check_bridges

TOPICS = [BridgeTopic(filter="a/#")]
GOOD: dict[str, Any] = {"name": "b", "url": "mqtts://host", "topics": TOPICS}


def test_defaults() -> None:
    """Little is enough; who it is on either side follows from its name."""
    settings = BridgeSettings(name="cloud", url="mqtt://host", topics=TOPICS)

    assert settings.topics == tuple(TOPICS)
    assert (settings.remote_id, settings.local_id) == (
        f"{socket.gethostname()}.cloud",
        "bridge.cloud",
    )
    named = BridgeSettings(**GOOD, client_id="c", local_client_id="l")
    assert (named.remote_id, named.local_id) == ("c", "l")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"name": "a/b"}, "name is 'a/b'; allowed is one level of a topic"),
        ({"name": ""}, "name is ''; allowed is one level"),
        ({"url": "tcp://host"}, "'tcp://host' is no MQTT server; allowed are mqtt://"),
        ({"topics": ()}, "topics is"),
        ({"topics": ["a"]}, "topics is"),
        ({"version": "5"}, "version is '5'; allowed is one of '3.1', '3.1.1', '5.0'"),
        ({"keep_alive": 0}, "keep_alive is 0; allowed is a whole number from 1"),
        ({"clean_start": 1}, "clean_start is 1; allowed is true or false"),
        ({"user_name": 5}, "user_name is 5; allowed is a text"),
        ({"password": 5}, "password is none; allowed is a text"),
        ({"password": "a", "password_file": "b"}, "password and password_file are there"),
        ({"reconnect_min": 0}, "reconnect_min is 0; allowed is a number of seconds, over 0"),
        ({"reconnect_min": 9, "reconnect_max": 8}, "reconnect_max is 8; allowed is reconnect_min"),
        ({"url": "mqtt://host", "ca": "x"}, "ca is for mqtts and wss, and url is 'mqtt://host'"),
        ({"ca": "x", "insecure": True}, "ca and insecure contradict one another"),
        ({"key": "x"}, "key is for cert, which is not there"),
        ({"maximum_packet_size": 1}, "maximum_packet_size is 1; allowed is a whole number"),
    ],
)
def test_what_is_not_allowed(given: dict[str, Any], why: str) -> None:
    """The error tells what was seen, and what is allowed; no password is shown."""
    with pytest.raises(ConfigError) as caught:
        BridgeSettings(**{**GOOD, **given})
    assert str(caught.value).startswith(why)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"filter": "a#"}, "local_prefix and filter: the filter b'a#'"),
        ({"filter": ""}, "local_prefix and filter: "),
        ({"filter": 5}, "filter is 5; allowed is a text"),
        ({"local_prefix": "+/"}, "local_prefix and filter: the topic name b'+/' has a wildcard"),
        ({"remote_prefix": "a"}, "remote_prefix and filter: the filter b'a#'"),
        ({"filter": "$share/g/a"}, "filter is '$share/g/a'; allowed is one that is not shared"),
        ({"direction": "up"}, "direction is 'up'; allowed is one of 'in', 'out', 'both'"),
        ({"qos": 3}, "qos is 3; allowed is a whole number from 0 to 2"),
    ],
)
def test_topics_that_are_not_allowed(given: dict[str, Any], why: str) -> None:
    """With each prefix the filter must be one."""
    with pytest.raises(ConfigError) as caught:
        BridgeTopic(**{"filter": "#", **given})
    assert why.partition(": ")[0] in str(caught.value)


def test_a_password_is_not_shown() -> None:
    """Not in a log."""
    assert "secret" not in repr(BridgeSettings(**GOOD, password="secret"))


def test_bridges_have_names_of_their_own() -> None:
    """And sessions."""
    one, two = BridgeSettings(**GOOD), BridgeSettings(**{**GOOD, "name": "c"})
    assert check_bridges([one, two]) == (one, two)
    with pytest.raises(ConfigError, match="two bridges have the name 'b'; allowed is one"):
        check_bridges([one, one])
    three = BridgeSettings(**{**GOOD, "name": "d"}, local_client_id="bridge.b")
    with pytest.raises(ConfigError, match=r"two bridges have the local_id 'bridge.b'"):
        check_bridges([one, three])
