"""What a server says, in words."""

from __future__ import annotations

import pytest

from speedo_trio.mqtt.client.telling import refused
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reason_codes import ReasonCode


@pytest.mark.parametrize(
    ("reason", "properties", "text"),
    [
        (ReasonCode.SUCCESS, Properties(), "gone"),
        (ReasonCode.NOT_AUTHORIZED, Properties(), "gone: not authorized"),
        (ReasonCode.BANNED, Properties(reason_string="go!"), "gone: banned: go!"),
        (
            ReasonCode.SERVER_MOVED,
            Properties(server_reference="there"),
            "gone: server moved: another server is there",
        ),
    ],
)
def test_refused(reason: ReasonCode, properties: Properties, text: str) -> None:
    """The reason, what the server added, and where else to go."""
    assert refused("gone", reason, properties) == text
