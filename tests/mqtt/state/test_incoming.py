"""What a client has published and not brought to its end."""

from __future__ import annotations

import pytest

from speedo_trio.errors import MQTTError
from speedo_trio.mqtt.state.incoming import Arrival, Incoming
from speedo_trio.mqtt.wire.reason_codes import ReasonCode


def attached(most: int = 2) -> Incoming:
    """One with a connection."""
    incoming = Incoming()
    incoming.attach(most, 0)
    return incoming


def test_a_message_is_held_until_it_is_released() -> None:
    """[MQTT-4.3.3-10] [MQTT-4.3.3-12] It is new before and after."""
    incoming = attached()
    assert Arrival.NEW is incoming.arrive(1, 2)
    incoming.hold(1)
    assert [Arrival.HELD, Arrival.IN_USE] == [incoming.arrive(1, qos) for qos in (2, 1)]

    assert [True, False] == [incoming.release(1), incoming.release(1)]

    assert Arrival.NEW is incoming.arrive(1, 2)


def test_what_is_refused_is_not_held() -> None:
    """[MQTT-4.3.3-9] Nor counted."""
    incoming = attached()
    for _ in range(5):
        assert Arrival.NEW is incoming.arrive(1, 2)


def test_the_receive_maximum() -> None:
    """[MQTT-3.3.4-7] 0x93 for one more."""
    incoming = attached()
    for packet_id in (1, 2):
        incoming.arrive(packet_id, 2)
        incoming.hold(packet_id)

    for qos in (1, 2):
        with pytest.raises(MQTTError, match="2 are not at their end; allowed are 2") as caught:
            incoming.arrive(3, qos)
        assert ReasonCode.RECEIVE_MAXIMUM_EXCEEDED == caught.value.reason


def test_a_connection_begins_with_none() -> None:
    """[MQTT-3.3.4-7] What is held counts when it comes again."""
    incoming = attached()
    incoming.hold(1)
    incoming.hold(2)
    incoming.detach()
    incoming.attach(2, 0)

    assert [Arrival.NEW, Arrival.HELD, Arrival.HELD] == [
        incoming.arrive(packet_id, 2) for packet_id in (3, 1, 2)
    ]
    with pytest.raises(MQTTError):
        incoming.arrive(3, 2)
