"""Properties: every one that there is has its attribute and its bounds."""

from __future__ import annotations

from attrs import fields

from speedo_trio.mqtt.wire.properties import PROPERTIES, Properties, PropertyType, size_of


def test_every_property_has_its_attribute() -> None:
    """27 of them (section 2.2.2.2), in the order of their identifiers."""
    assert [each.name for each in fields(Properties)] == [each.name for each in PROPERTIES]
    assert len({each.identifier for each in PROPERTIES}) == 27
    assert sorted(each.identifier for each in PROPERTIES) == [
        each.identifier for each in PROPERTIES
    ]


def test_bounds_of_numbers() -> None:
    """A number may be all that its type can say, but where a section says less."""
    less = {each.name: (each.least, each.most) for each in PROPERTIES if each.least or each.most}
    flags = {each.name for each in PROPERTIES if each.type is PropertyType.FLAG}

    assert {less.pop(name) for name in flags} == {(0, 1)}
    assert less == {
        "payload_format_indicator": (0, 1),
        "message_expiry_interval": (0, 0xFFFF_FFFF),
        "subscription_identifiers": (1, 268_435_455),
        "session_expiry_interval": (0, 0xFFFF_FFFF),
        "server_keep_alive": (0, 0xFFFF),
        "will_delay_interval": (0, 0xFFFF_FFFF),
        "receive_maximum": (1, 0xFFFF),
        "topic_alias_maximum": (0, 0xFFFF),
        "topic_alias": (1, 0xFFFF),
        "maximum_qos": (0, 1),
        "maximum_packet_size": (1, 0xFFFF_FFFF),
    }


def test_the_size_of_what_is_long() -> None:
    """As it is in memory; numbers are no matter."""
    assert 0 == size_of(None) == size_of(Properties(message_expiry_interval=1))
    for long in (
        Properties(content_type="x" * 1000),
        Properties(response_topic="x" * 1000),
        Properties(correlation_data=bytes(1000)),
        Properties(reason_string="x" * 1000),
        Properties(authentication_method="x" * 1000),
        Properties(authentication_data=bytes(1000)),
    ):
        assert 1000 <= size_of(long) < 1100
    assert 4000 <= size_of(Properties(content_type="\N{SNAKE}" * 1000)) < 4100
    assert 150_000 <= size_of(Properties(user=(("a", "b"),) * 1000)) < 180_000
