"""The topics of a bridge: names here and there."""

from __future__ import annotations

import pytest

from speedo_trio.mqtt import BridgeTopic
from speedo_trio.mqtt.bridging.topics import TopicMap

RULES = TopicMap(
    [
        BridgeTopic(filter="special", direction="out", qos=2, local_prefix="s/"),
        BridgeTopic(filter="#", direction="both", local_prefix="s/", remote_prefix="site/7/"),
        BridgeTopic(filter="+/x", direction="in", qos=0, remote_prefix="cloud/"),
        BridgeTopic(filter="plain", direction="out"),
    ]
)


@pytest.mark.parametrize(
    ("here", "there"),
    [
        (b"s/a/b", b"site/7/a/b"),
        (b"s/special", b"special"),
        (b"plain", b"plain"),
        (b"s", None),
        (b"other", None),
    ],
)
def test_outward(here: bytes, there: bytes | None) -> None:
    """The first rule that matches holds; what none matches stays."""
    assert RULES.outward(here) == there


@pytest.mark.parametrize(
    ("there", "here"),
    [
        (b"site/7/a", b"s/a"),
        (b"cloud/a/x", b"a/x"),
        (b"cloud/a", None),
        (b"special", None),
        (b"site/7", None),
    ],
)
def test_inward(there: bytes, here: bytes | None) -> None:
    """Only by rules for that direction."""
    assert RULES.inward(there) == here


def test_filters() -> None:
    """What to subscribe to, with the highest QoS of each; and how much longer topics get."""
    assert RULES.local_filters == {b"s/special": 2, b"s/#": 1, b"plain": 1}
    assert RULES.remote_filters == {b"site/7/#": 1, b"cloud/+/x": 0}
    assert RULES.growth == 5
    twice = TopicMap([BridgeTopic(filter="a", qos=each) for each in (0, 2, 1)])
    assert twice.local_filters == {b"a": 2}
    assert TopicMap([BridgeTopic(filter="a", direction="in")]).growth == 0
