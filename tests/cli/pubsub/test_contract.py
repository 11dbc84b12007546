"""The contract: which protocols there are, and that their clients keep it."""

from __future__ import annotations

import pytest

from speedo_trio.cli.pubsub.contract import SCHEMES, SECURE, PubSubClient, scheme_of
from speedo_trio.errors import ConfigError
from speedo_trio.simplepub import Client
from speedo_trio.simplepub.target import parse_target


def test_schemes() -> None:
    """They are those that the protocol's own client knows, with TLS where it has it."""
    for name, scheme in SCHEMES.items():
        url = f"{name}:/path" if name.endswith("unix") else f"{name}://localhost"
        assert scheme_of(url) is scheme
        assert parse_target(url).secure == scheme.secure
    assert SECURE == "simplepub+tls://"


@pytest.mark.parametrize("url", ["", "localhost", "mqtts://x", "simplepub"[:-1] + "://x"])
def test_a_scheme_that_nothing_speaks(url: str) -> None:
    """The error tells what there is."""
    with pytest.raises(ConfigError, match="allowed are URLs of simplepub, simplepub\\+tls, simpl"):
        scheme_of(url)


def keeps(client: Client) -> PubSubClient:
    """Something for the type checker to see: SimplePub's client keeps the contract."""
    return client
