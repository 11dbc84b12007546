"""The errors of the codec carry a reason code, and can be made again from their arguments."""

from __future__ import annotations

import pickle

import pytest

from speedo_trio import MalformedPacket, MQTTError, ProtocolError


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MQTTError("text"), 0x82),
        (MQTTError("text", 0x95), 0x95),
        (MalformedPacket("text"), 0x81),
    ],
)
def test_text_and_reason(error: MQTTError, reason: int) -> None:
    """They stay what they are through a copy, a pickle and a second making."""
    for same in (error, type(error)(*error.args), pickle.loads(pickle.dumps(error))):
        assert isinstance(same, ProtocolError)
        assert type(same) is type(error)
        assert str(same) == "text"
        assert same.reason == reason
