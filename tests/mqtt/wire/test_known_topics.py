"""Known topics: one object for each name, of names that are allowed, and not too many."""

from __future__ import annotations

import pytest

from speedo_trio.errors import MalformedPacket
from speedo_trio.mqtt.wire import known_topics
from speedo_trio.mqtt.wire.known_topics import KNOWN, LONGEST_NAME, learn


def test_a_name_is_one_object() -> None:
    """The first of equal names is what all later ones become."""
    first = learn(bytes([97, 47, 98]))

    assert learn(bytes([97, 47, 98])) is first
    assert KNOWN[b"a/b"] is first


@pytest.mark.parametrize("topic", [b"", b"a/#", b"+", b"\xff", b"a\0b"])
def test_what_is_no_name_is_not_learnt(topic: bytes) -> None:
    """It is refused, each time."""
    for _ in range(2):
        with pytest.raises(MalformedPacket, match="the topic name"):
            learn(topic)
    assert topic not in KNOWN


def test_a_long_name_is_not_kept() -> None:
    """What is held has a bound in bytes too."""
    assert learn(b"a" * LONGEST_NAME) in KNOWN
    assert learn(b"a" * (LONGEST_NAME + 1)) not in KNOWN


def test_there_are_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one more than there is room for, the others are forgotten."""
    monkeypatch.setattr(known_topics, "MOST_NAMES", 10)
    KNOWN.clear()
    for number in range(95):
        assert learn(b"%d" % number) == b"%d" % number
        assert len(KNOWN) <= 10
    assert len(KNOWN) == 5
