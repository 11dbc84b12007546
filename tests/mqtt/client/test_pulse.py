"""The pulse: when to ask, and when the server is gone."""

from __future__ import annotations

from math import inf

import pytest

from speedo_trio import ConnectionLost
from speedo_trio.mqtt.client.pulse import Pulse


def test_it_asks_when_nothing_was_sent() -> None:
    """After the keep alive, also when the server sends all the time."""
    pulse = Pulse(10, 0.0)
    pulse.sent(5.0)
    pulse.heard(14.0)

    assert pulse.deadline == 15.0
    assert not pulse.look(14.9)
    assert pulse.look(15.0)


def test_it_asks_when_nothing_was_heard() -> None:
    """Also when this side sends all the time: it wants to know that somebody listens."""
    pulse = Pulse(10, 0.0)
    pulse.sent(9.0)

    assert pulse.look(10.0)


def test_silence_is_the_end() -> None:
    """After another keep alive; anything that comes is an answer."""
    pulse = Pulse(10, 0.0)
    assert pulse.look(10.0)
    pulse.sent(10.0)
    assert not pulse.look(19.9)
    pulse.heard(19.9)
    assert pulse.deadline == 20.0
    assert pulse.look(20.0)
    with pytest.raises(ConnectionLost, match="has not answered PINGREQ in 10 s"):
        pulse.look(30.0)


def test_without_keep_alive() -> None:
    """It never asks."""
    assert Pulse(0, 0.0).deadline == inf
