"""MQTT publications: their forms, and their time."""

from __future__ import annotations

import pytest

from speedo_trio.mqtt.state.publication import FAMILIES, MQTTPublication, encode_5, encode_message
from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packets import Publish
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.versions import Version
from speedo_trio.pubsub.publication import FORMS, Publication

V5 = Version.MQTT_5_0


@pytest.mark.parametrize("version", Version)
@pytest.mark.parametrize("retain", [False, True])
def test_forms_are_what_the_codec_encodes(version: Version, retain: bool) -> None:  # noqa: FBT001  # a parameter
    """With QoS 0 and above, MQTT's publications and others."""
    packet = Publish(b"a/b", b"payload", 0, retain)
    for publication in (MQTTPublication(b"a/b", b"payload"), Publication(b"a/b", b"payload")):
        assert encode(packet, version) == encode_message(publication, version, retain=retain)
    shared = MQTTPublication(b"a/b", b"payload", 2).shared(version)
    packet = Publish(b"a/b", b"payload", 2, retain, packet_id=5)
    assert encode(packet, version) == shared.packet(5, 2, retain)


def test_a_form_is_encoded_once() -> None:
    """And found again by all that it depends on."""
    publication = MQTTPublication(b"a", b"x", 1, properties=Properties(message_expiry_interval=9))

    first, other = publication.shared(V5, 1, (2,)), publication.shared(V5, 2, (2,))

    assert first is publication.shared(V5, 1, (2,))
    assert first != other
    plain = publication.encoded(FAMILIES[V5], encode_5)
    assert plain is encode_message(publication, V5, retain=False)


def test_forms_are_bounded() -> None:
    """Beyond so many they are encoded each time."""
    publication = MQTTPublication(b"a", b"x", 1)
    made = [publication.shared(V5, 0, (number,)) for number in range(1, FORMS + 10)]

    assert made[-1] == publication.shared(V5, 0, (FORMS + 9,))
    assert made[-1] is not publication.shared(V5, 0, (FORMS + 9,))
    assert made[0] is publication.shared(V5, 0, (1,))


def test_what_stays_for_long_keeps_no_forms() -> None:
    """As `Publication.settle` says."""
    publication = MQTTPublication(b"a", b"x", 1, properties=Properties(content_type="t"))
    before = publication.shared(V5)
    publication.settle()

    again = publication.shared(V5)

    assert before == again
    assert before is not again is not publication.shared(V5)
    assert publication._body is None


def test_time() -> None:
    """[MQTT-3.3.2-5] [MQTT-3.3.2-6] Whole seconds count, and the last one is none."""
    publication = MQTTPublication(
        b"a", b"", 0, False, Properties(message_expiry_interval=10), None, 100
    )
    for_ever = MQTTPublication(b"a", b"", received_at=100)

    assert [(0, False), (0, False), (9, False), (10, True)] == [
        (publication.waited(now), publication.expired(now)) for now in (99, 100.9, 109.9, 110)
    ]
    assert (0, False, None) == (for_ever.waited(1e9), for_ever.expired(1e9), for_ever.expires_at)
    assert 110 == publication.expires_at


def test_its_size() -> None:
    """Of topic, payload and properties: they may be most of it."""
    properties = Properties(correlation_data=bytes(1000))
    assert 5 == MQTTPublication(b"ab", b"123").size
    assert 1005 <= MQTTPublication(b"ab", b"123", properties=properties).size < 1100
