"""The login: what stands in CONNECT."""

from __future__ import annotations

import pytest

from speedo_trio import ConfigError
from speedo_trio.mqtt.client.login import Login
from speedo_trio.mqtt.wire.properties import Properties
from tests.mqtt.client.scene import V5, V311


def test_5() -> None:
    """Limits and the stay of the session are properties."""
    connect = Login(
        client_id="c", session_expiry=7, receive_maximum=9, maximum_packet_size=99, bridge=True
    ).packet()

    assert (connect.client_id, connect.version, connect.bridge) == ("c", V5, False)
    assert connect.properties == Properties(
        session_expiry_interval=7, receive_maximum=9, maximum_packet_size=99
    )


def test_3() -> None:
    """There are none, but a bit for bridges."""
    connect = Login(client_id="c", version=V311, session_expiry=7, bridge=True).packet()

    assert (connect.properties, connect.bridge) == (None, True)


def test_a_password_is_not_shown() -> None:
    """Not in a log, nor in an error."""
    assert "secret" not in repr(Login(user_name="u", password=b"secret"))


@pytest.mark.parametrize("name", ["keep_alive", "session_expiry", "receive_maximum"])
def test_numbers_have_bounds(name: str) -> None:
    """The error tells them."""
    with pytest.raises(ConfigError, match=f"{name} is -1; allowed is a whole number from"):
        Login(**{name: -1})  # type: ignore[arg-type]  # the name is the test's
