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


def test_a_run_is_taken_as_a_whole() -> None:
    """With QoS 2 each takes a place; with QoS 1 there must be one."""
    incoming = attached(most=3)

    assert [True, False] == [incoming.takes_run(range(1, last), 2) for last in (4, 5)]
    assert not incoming.takes_run([1, 1], 2)
    incoming.hold_run([1, 2, 3])
    assert {1, 2, 3} == incoming.held
    assert [False, False] == [incoming.takes_run([4, 5], qos) for qos in (1, 2)]
    assert 2 == incoming.release_run([1, 2, 4, 3])
    assert {3} == incoming.held
    assert [True, True, False] == [
        incoming.takes_run(ids, qos) for ids, qos in (([4, 4], 1), ([4, 5], 2), ([3, 4], 2))
    ]
