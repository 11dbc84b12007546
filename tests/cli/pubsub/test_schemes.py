"""The schemes: which protocols there are, and that their clients keep the contract."""

from __future__ import annotations

import pytest

from speedo_trio.cli.pubsub.contract import PubSubClient
from speedo_trio.cli.pubsub.mqtt import MQTTPubSubClient
from speedo_trio.cli.pubsub.schemes import SCHEMES, SECURE, scheme_of
from speedo_trio.errors import ConfigError
from speedo_trio.mqtt.client.target import parse_target as parse_mqtt_target
from speedo_trio.simplepub import Client
from speedo_trio.simplepub.target import parse_target


def test_schemes() -> None:
    """They are those that the protocol's own client knows, with TLS where it has it."""
    for name, scheme in SCHEMES.items():
        url = f"{name}:/path" if name.endswith("unix") else f"{name}://localhost"
        assert scheme_of(url) is scheme
        target = parse_mqtt_target(url) if scheme.mqtt else parse_target(url)
        assert target.secure == scheme.secure
    assert SECURE == "simplepub+tls://, mqtts://, wss://"


@pytest.mark.parametrize("url", ["", "localhost", "mqtt5://x", "simplepub"[:-1] + "://x"])
def test_a_scheme_that_nothing_speaks(url: str) -> None:
    """The error tells what there is."""
    with pytest.raises(ConfigError, match="allowed are URLs of simplepub, simplepub\\+tls, simpl"):
        scheme_of(url)


def keep(client: Client | MQTTPubSubClient) -> PubSubClient:
    """Something for the type checker to see: the clients keep the contract."""
    return client
