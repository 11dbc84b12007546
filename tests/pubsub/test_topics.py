"""What may be a topic name or filter and which matches which: the standard's words as tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedo_trio.errors import ConfigError, ProtocolError, TopicError
from speedo_trio.pubsub.topics import (
    MOST_BYTES,
    MOST_LEVELS,
    SharedFilter,
    TopicBounds,
    check_filter,
    check_name,
    has_wildcard,
    matches,
    parse_shared,
)

NAMES = [
    b"a",
    b"/",
    b"//",
    b"/finance",
    b"finance/",
    b"sport/tennis/player1",
    b"ACCOUNTS",
    b"Accounts payable",
    b"$SYS/monitor/Clients",
    b"$",
    b"$share/consumer/sport",
    "Straße/größe/°C".encode(),
    "\N{ZERO WIDTH NO-BREAK SPACE}a".encode(),  # [MQTT-1.5.4-3]: no mark of a byte order
    "\N{GRINNING FACE}".encode(),
    b"a\x7f\x01",  # control characters: they should not be, but may be
    b"x" * MOST_BYTES,
    b"/" * MOST_BYTES,
]

FILTERS = [
    *NAMES,
    b"#",
    b"+",
    b"+/+",
    b"/+",
    b"/#",
    b"+/",
    b"+/tennis/#",
    b"sport/tennis/#",
    b"sport/tennis/player1/#",
    b"sport/+/player1",
    b"sport/+",
    b"$SYS/#",
    b"$SYS/monitor/+",
    b"+/" * 32_767 + b"#",
]

NO_TEXT = {
    "[MQTT-4.7.3-1] at least one character": b"",
    "[MQTT-4.7.3-2] the null character": b"a\0b",
    "[MQTT-4.7.3-2] nothing but the null character": b"\0",
    "[MQTT-4.7.3-3] more than 65,535 bytes": b"x" * (MOST_BYTES + 1),
    "[MQTT-1.5.4-1] a lone continuation byte": b"a/\x80",
    "[MQTT-1.5.4-1] a sequence cut off": b"a/\xe2\x82",
    "[MQTT-1.5.4-1] a surrogate": b"\xed\xa0\x80",
    "[MQTT-1.5.4-1] the last surrogate": b"\xed\xbf\xbf",
    "[MQTT-1.5.4-1] a pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
    "[MQTT-1.5.4-1] an overlong slash": b"a\xc0\xafb",
    "[MQTT-1.5.4-1] an overlong null": b"\xc0\x80",
    "[MQTT-1.5.4-1] beyond U+10FFFF": b"\xf4\x90\x80\x80",
    "[MQTT-1.5.4-1] a byte that is never in UTF-8": b"\xff",
}

NO_NAMES = {
    **NO_TEXT,
    "[MQTT-4.7.0-1] +": b"sport/+/player1",
    "[MQTT-4.7.0-1] #": b"sport/#",
    "[MQTT-4.7.0-1] + inside a level": b"sport+",
    "[MQTT-4.7.0-1] # inside a level": b"sport#1",
}

NO_FILTERS = {
    **NO_TEXT,
    "[MQTT-4.7.1-1] # not alone in its level": b"sport/tennis#",
    "[MQTT-4.7.1-1] # not last": b"sport/tennis/#/ranking",
    "[MQTT-4.7.1-1] # not last, though at the end too": b"#/#",
    "[MQTT-4.7.1-1] # twice": b"##",
    "[MQTT-4.7.1-1] # before a separator": b"#/",
    "[MQTT-4.7.1-1] # after +": b"+#",
    "[MQTT-4.7.1-2] + at the end of a level": b"sport+",
    "[MQTT-4.7.1-2] + at the beginning of a level": b"a/+b/c",
    "[MQTT-4.7.1-2] + twice": b"++",
    "[MQTT-4.7.1-2] + in a level, after a good one": b"+/a+",
}

MATCHES = [
    # 4.7.1.2
    (b"sport/tennis/player1/#", b"sport/tennis/player1"),
    (b"sport/tennis/player1/#", b"sport/tennis/player1/ranking"),
    (b"sport/tennis/player1/#", b"sport/tennis/player1/score/wimbledon"),
    (b"sport/#", b"sport"),
    (b"#", b"sport/tennis"),
    (b"#", b"/"),
    # 4.7.1.3
    (b"sport/tennis/+", b"sport/tennis/player1"),
    (b"sport/tennis/+", b"sport/tennis/player2"),
    (b"sport/+", b"sport/"),
    (b"+/tennis/#", b"sport/tennis"),
    (b"+/tennis/#", b"sport/tennis/player1/ranking"),
    (b"sport/+/player1", b"sport/tennis/player1"),
    (b"+", b"sport"),
    (b"+/+", b"/finance"),
    (b"/+", b"/finance"),
    # 4.7.2
    (b"$SYS/#", b"$SYS/monitor/Clients"),
    (b"$SYS/#", b"$SYS"),
    (b"$SYS/monitor/+", b"$SYS/monitor/Clients"),
    (b"a/#", b"a/$b"),  # only the first level hides
    (b"+/+", b"a/$b"),
    # 4.7.3, and empty levels
    (b"Accounts payable", b"Accounts payable"),
    (b"/finance", b"/finance"),
    (b"/", b"/"),
    (b"+/+", b"/"),
    (b"/#", b"/"),
    (b"/#", b"//"),
    (b"a//b", b"a//b"),
    (b"a/+/b", b"a//b"),
    (b"a/b/", b"a/b/"),
    (b"a/b/+", b"a/b/"),
    (b"a/b/#", b"a/b/"),
    (b"+/#", b"a"),
    (b"+/+/#", b"a/b"),
]

NO_MATCHES = [
    # 4.7.1.3
    (b"sport/tennis/+", b"sport/tennis/player1/ranking"),
    (b"sport/+", b"sport"),
    (b"+", b"/finance"),
    (b"+", b"/"),
    # 4.7.2 [MQTT-4.7.2-1]
    (b"#", b"$SYS/monitor/Clients"),
    (b"#", b"$"),
    (b"+", b"$SYS"),
    (b"+/#", b"$SYS"),
    (b"+/monitor/Clients", b"$SYS/monitor/Clients"),
    # 4.7.3 [MQTT-4.7.3-4]
    (b"ACCOUNTS", b"Accounts"),
    (b"/finance", b"finance"),
    (b"finance", b"/finance"),
    (b"finance/", b"finance"),
    (b"/", b"//"),
    (b"a/b", b"a//b"),
    (b"sport/tennis/#", b"sport/tennis2"),
    (b"sport/tennis/#", b"sport"),
    (b"+/+/#", b"a"),
    ("\N{LATIN SMALL LETTER E WITH ACUTE}".encode(), "e\N{COMBINING ACUTE ACCENT}".encode()),
]

SHARED = {
    b"$share/consumer1/sport/tennis/+": (b"consumer1", b"sport/tennis/+"),
    b"$share/consumer2/sport/tennis/+": (b"consumer2", b"sport/tennis/+"),
    b"$share/consumer1//finance": (b"consumer1", b"/finance"),
    b"$share/g/#": (b"g", b"#"),
    b"$share/g//": (b"g", b"/"),
    b"$share/g/$SYS/#": (b"g", b"$SYS/#"),
    b"$share/a group/a": (b"a group", b"a"),
    b"$share/$share/a": (b"$share", b"a"),
    b"$share/g/$share/h/a": (b"g", b"$share/h/a"),
}

NOT_SHARED = [b"$share", b"$Share/g/a", b"$shared/g/a", b"share/g/a", b"/$share/g/a", b"#", b"a"]

NO_SHARED = {
    "[MQTT-4.8.2-1] no group": b"$share/",
    "[MQTT-4.8.2-1] an empty group": b"$share//a",
    "[MQTT-4.8.2-2] + as the group": b"$share/+/a",
    "[MQTT-4.8.2-2] # as the group": b"$share/#",
    "[MQTT-4.8.2-2] a wildcard in the group": b"$share/g+/a",
    "[MQTT-4.8.2-2] no separator after the group": b"$share/g",
    "[MQTT-4.8.2-2] no filter after the group": b"$share/g/",
    "[MQTT-4.8.2-2] no filter allowed after the group": b"$share/g/a/#/b",
    "[MQTT-1.5.4-1] a group that is not UTF-8": b"$share/\xff/a",
    "[MQTT-1.5.4-2] the null character in the group": b"$share/\0/a",
}

texts = st.lists(st.sampled_from(["", "a", "b", "$a", "+", "#", "a+", "#b", "ä"]), min_size=1)
topics = texts.map(lambda levels: "/".join(levels).encode())


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name[:20]))
def test_names(name: bytes) -> None:
    """A name is any text but the empty one, without wildcards."""
    check_name(name)


@pytest.mark.parametrize("topic_filter", FILTERS, ids=lambda text: repr(text[:20]))
def test_filters(topic_filter: bytes) -> None:
    """A filter is any text but the empty one, with wildcards that are alone in their level."""
    check_filter(topic_filter)


@pytest.mark.parametrize("name", NO_NAMES.values(), ids=NO_NAMES)
def test_no_names(name: bytes) -> None:
    """[MQTT-4.7.0-1] and the rules for all topics are enforced on names, as the peer's error."""
    with pytest.raises(TopicError, match=r"the topic name .*allowed") as refused:
        check_name(name)
    assert isinstance(refused.value, ProtocolError)


@pytest.mark.parametrize("topic_filter", NO_FILTERS.values(), ids=NO_FILTERS)
def test_no_filters(topic_filter: bytes) -> None:
    """[MQTT-4.7.1-1], [MQTT-4.7.1-2] and the rules for all topics are enforced on filters."""
    with pytest.raises(TopicError, match=r"the topic filter .*allowed"):
        check_filter(topic_filter)


def test_an_error_shows_a_long_topic_in_part() -> None:
    """A log line stays a line, whatever a peer sends."""
    with pytest.raises(TopicError) as refused:
        check_name(b"+" * MOST_BYTES)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("check", [check_name, check_filter, parse_shared])
def test_the_bounds(check: type) -> None:
    """As many bytes and levels as the bounds say, and no more."""
    check(b"$share/g/a", TopicBounds(bytes=10))
    check(b"$share/g/a", TopicBounds(levels=3))
    with pytest.raises(TopicError, match="has 10 bytes; allowed are 9"):
        check(b"$share/g/a", TopicBounds(bytes=9))
    with pytest.raises(TopicError, match="has 3 levels; allowed are 2"):
        check(b"$share/g/a", TopicBounds(levels=2))


def test_levels_may_be_empty() -> None:
    """Each of them counts for the bound, so a text may have more levels than bytes."""
    check_name(b"//", TopicBounds(levels=3))
    with pytest.raises(TopicError, match="has 3 levels; allowed are 2"):
        check_name(b"//", TopicBounds(levels=2))


@pytest.mark.parametrize("bounds", [{"bytes": 0}, {"bytes": MOST_BYTES + 1}, {"levels": 0}])
def test_bounds_that_are_not_allowed(bounds: dict[str, int]) -> None:
    """More than the standard allows is none, and so is nothing."""
    with pytest.raises(ConfigError):
        TopicBounds(**bounds)
    assert MOST_LEVELS == TopicBounds().levels


@pytest.mark.parametrize(("topic_filter", "name"), MATCHES)
def test_matches(topic_filter: bytes, name: bytes) -> None:
    """[MQTT-4.7.1-1], [MQTT-4.7.1-2]: # is any number of levels, the parent too, + is one."""
    check_filter(topic_filter)
    check_name(name)

    assert matches(topic_filter, name)


@pytest.mark.parametrize(("topic_filter", "name"), NO_MATCHES)
def test_no_matches(topic_filter: bytes, name: bytes) -> None:
    """[MQTT-4.7.2-1], [MQTT-4.7.3-4]: a leading $ hides, and each byte counts."""
    check_filter(topic_filter)
    check_name(name)

    assert not matches(topic_filter, name)


@given(topic=topics)
def test_a_name_is_a_filter_without_wildcards(topic: bytes) -> None:
    """What passes as a name passes as a filter, has no wildcard, and matches itself only."""
    try:
        check_name(topic)
    except TopicError:
        assert b"+" in topic or b"#" in topic or not topic
    else:
        check_filter(topic)
        assert not has_wildcard(topic)
        assert matches(topic, topic)


@pytest.mark.parametrize("topic_filter", [b"+", b"#", b"a/+", b"a/#", b"+/a"])
def test_wildcards(topic_filter: bytes) -> None:
    """Both of them, wherever they are."""
    assert has_wildcard(topic_filter)


@pytest.mark.parametrize(("topic_filter", "parts"), SHARED.items())
def test_shared_filters(topic_filter: bytes, parts: tuple[bytes, bytes]) -> None:
    """[MQTT-4.8.2-1], [MQTT-4.8.2-2]: $share/, the group, and a filter as any other."""
    assert SharedFilter(*parts) == parse_shared(topic_filter)


@pytest.mark.parametrize("topic_filter", NOT_SHARED)
def test_filters_that_are_not_shared(topic_filter: bytes) -> None:
    """What doesn't begin with $share/ is a filter like others."""
    assert parse_shared(topic_filter) is None


@pytest.mark.parametrize("topic_filter", NO_SHARED.values(), ids=NO_SHARED)
def test_no_shared_filters(topic_filter: bytes) -> None:
    """[MQTT-4.8.2-1], [MQTT-4.8.2-2]: a group of a character or more, and a filter after it."""
    with pytest.raises(TopicError, match=r"the topic filter .*allowed"):
        parse_shared(topic_filter)
