"""Tokens as mosquitto's clients show them: as a password."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest

from speedo_trio.mqtt import Security, SecuritySettings
from tests.judges.conftest import Ends
from tests.judges.mosquitto import VERSIONS, Mosquitto, publish
from tests.judges.mqtt_broker import MQTTBroker
from tests.outside import need

need("mosquitto_sub", "mosquitto_pub")

SECRET = "a secret that is as long as it has to be"


def token(seconds: float) -> str:
    """One that is good for a while."""
    return jwt.encode({"sub": "alice", "exp": time.time() + seconds}, SECRET, "HS256")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MQTTBroker]:
    """A broker that wants tokens."""
    path: Path = tmp_path_factory.mktemp("keys") / "secret"
    path.write_text(SECRET)
    security = Security(SecuritySettings(jwt_key_file=str(path)))
    with MQTTBroker({"tcp": "tcp://127.0.0.1:0"}, hooks=security.hooks) as broker:
        yield broker


@pytest.mark.parametrize("version", VERSIONS)
def test_a_good_one(guarded: MQTTBroker, ends: Ends, topic: str, version: str) -> None:
    """Who has one is served."""
    how = ("-t", topic, "-V", version, "-u", "alice", "-P", token(100))
    subscriber = ends(Mosquitto(guarded, "sub", *how, "-C", "1"))
    guarded.until_subscribed(topic)
    publish(guarded, *how, "-m", "hello")

    assert subscriber.lines == ["hello"]


@pytest.mark.parametrize("version", VERSIONS)
def test_one_that_has_expired(guarded: MQTTBroker, ends: Ends, version: str) -> None:
    """It is told so."""
    how = ("-t", "a", "-m", "hello", "-V", version, "-u", "alice", "-P", token(-10))
    refused = ends(Mosquitto(guarded, "pub", *how))

    assert refused.end() != 0
    assert "bad user name or password" in refused.text.lower()
