"""Terms: what holds where filters of one client overlap."""

from __future__ import annotations

from speedo_trio.mqtt.state.terms import MQTTTerms
from speedo_trio.pubsub.subscriber import merge


def test_overlapping() -> None:
    """[MQTT-3.3.4-2] [MQTT-3.3.4-4] The highest QoS, all identifiers, RETAIN if any wants it."""
    merged = merge([
        MQTTTerms(1, identifiers=(5,)),
        MQTTTerms(2),
        MQTTTerms(0, identifiers=(7,), retain_as_published=True),
    ])  # fmt: skip

    assert isinstance(merged, MQTTTerms)
    assert (2, (5, 7), True, False) == (
        merged.qos,
        merged.identifiers,
        merged.retain_as_published,
        merged.no_local,
    )


def test_no_local() -> None:
    """[MQTT-3.8.3-3] What the client published itself comes by the others only, if there are."""
    some = merge([MQTTTerms(2, no_local=True, identifiers=(1,)), MQTTTerms(1, identifiers=(2,))])
    all_of_them = merge([MQTTTerms(2, no_local=True), MQTTTerms(1, no_local=True)])

    assert isinstance(some, MQTTTerms)
    assert isinstance(all_of_them, MQTTTerms)
    assert (2, (1, 2), True) == (some.qos, some.identifiers, some.no_local)
    assert some.for_own is not None
    assert (1, (2,), False) == (some.for_own.qos, some.for_own.identifiers, some.for_own.no_local)
    assert (True, None) == (all_of_them.no_local, all_of_them.for_own)


def test_plain() -> None:
    """What goes out depends on the message alone."""
    terms = [
        MQTTTerms(2),
        MQTTTerms(0, no_local=True),
        MQTTTerms(0, identifiers=(1,)),
        MQTTTerms(0, retain_as_published=True),
    ]

    assert [True, True, False, False] == [each.plain for each in terms]
