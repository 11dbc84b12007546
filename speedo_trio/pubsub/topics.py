"""Topic names and filters: what they may be, and which filter matches which name.

The rules are those of MQTT 5.0, section 4.7; 3.1 and 3.1.1 have the same. A name or filter is the
`bytes` of its UTF-8, as it comes off the wire: levels are compared byte for byte, which is what
character for character means in UTF-8, and nothing is normalised [MQTT-4.7.3-4].

Next: `speedo_trio.pubsub.tree`, which finds the filters that match a name.
"""

from __future__ import annotations

from typing import NamedTuple

from attrs import field, frozen

from speedo_trio.errors import TopicError
from speedo_trio.pubsub.bounds import bound

SEPARATOR = b"/"
ONE_LEVEL = b"+"
ALL_LEVELS = b"#"
HIDDEN = b"$"
"""A name that begins with it is not matched by a filter that begins with a wildcard."""
SHARED = b"$share/"
"""What a shared subscription's filter begins with."""

MOST_BYTES = 65_535
"""The longest name or filter that the standard allows [MQTT-4.7.3-3]."""
MOST_LEVELS = MOST_BYTES + 1
"""As many levels as fit: the standard has no other limit."""

_SHOWN_BYTES = 80  # of a name or filter in the text of an error


@frozen(kw_only=True)
class TopicBounds:
    """How long names and filters may be. The defaults are what the standard allows at most.

    A broker does well to allow less: taking a name of 32,000 levels apart takes two milliseconds.
    """

    bytes: int = field(default=MOST_BYTES, validator=bound(1, MOST_BYTES))
    levels: int = field(default=MOST_LEVELS, validator=bound(1, MOST_LEVELS))


STANDARD = TopicBounds()
"""What the standard allows."""


class SharedFilter(NamedTuple):
    """A shared subscription's filter, taken apart."""

    group: bytes
    """The ShareName: whose members share what matches."""
    topic_filter: bytes
    """What is matched."""


def check_name(name: bytes, bounds: TopicBounds = STANDARD) -> None:
    """See that `name` is a topic name.

    Raises:
        TopicError: It is none, or is over the bounds.
    """
    if ONE_LEVEL in name or ALL_LEVELS in name:  # [MQTT-4.7.0-1]
        raise _refused("name", name, "has a wildcard; allowed is a name without + and #")
    _check_text("name", name, bounds)


def check_filter(topic_filter: bytes, bounds: TopicBounds = STANDARD) -> None:
    """See that `topic_filter` is a topic filter, with wildcards or without.

    A shared subscription's is one too; `parse_shared` tells more about it.

    Raises:
        TopicError: It is none, or is over the bounds.
    """
    _check_text("filter", topic_filter, bounds)
    place = topic_filter.find(ALL_LEVELS)
    if place >= 0:  # [MQTT-4.7.1-1]
        if place != len(topic_filter) - 1:
            raise _refused("filter", topic_filter, "goes on after #; allowed is # at the end only")
        if place and not topic_filter.endswith(SEPARATOR + ALL_LEVELS):
            raise _refused("filter", topic_filter, "has # inside a level; allowed is # alone")
    if ONE_LEVEL in topic_filter:  # [MQTT-4.7.1-2]
        for level in topic_filter.split(SEPARATOR):
            if ONE_LEVEL in level and level != ONE_LEVEL:
                raise _refused("filter", topic_filter, "has + inside a level; allowed is + alone")


def parse_shared(topic_filter: bytes, bounds: TopicBounds = STANDARD) -> SharedFilter | None:
    """Take `$share/group/filter` apart; None when `topic_filter` does not begin like that.

    The bounds are for the whole. MQTT before 5.0 has no shared subscriptions; it is for the caller
    to know whether a filter that looks like one is one.

    Raises:
        TopicError: It has no group or no filter, or one of them is not allowed.
    """
    if not topic_filter.startswith(SHARED):
        return None
    _check_text("filter", topic_filter, bounds)
    group, _, rest = topic_filter[len(SHARED) :].partition(SEPARATOR)
    if not group:  # [MQTT-4.8.2-1]
        raise _refused("filter", topic_filter, "has an empty group; allowed is one that is not")
    if ONE_LEVEL in group or ALL_LEVELS in group:  # [MQTT-4.8.2-2]
        raise _refused("filter", topic_filter, "has a wildcard in its group; allowed is none")
    if not rest:  # [MQTT-4.8.2-2]
        raise _refused("filter", topic_filter, "ends after its group; allowed is /filter after it")
    check_filter(rest, bounds)
    return SharedFilter(group, rest)


def has_wildcard(topic_filter: bytes) -> bool:
    """Whether a filter may match more than one name."""
    return ONE_LEVEL in topic_filter or ALL_LEVELS in topic_filter


def matches(topic_filter: bytes, name: bytes) -> bool:
    """Whether a filter matches a name, both of them allowed.

    The plain way, level by level: for tests, and for where there are few.
    """
    wild = topic_filter.startswith((ONE_LEVEL, ALL_LEVELS))
    if wild and name.startswith(HIDDEN):  # [MQTT-4.7.2-1]
        return False
    return levels_match(topic_filter.split(SEPARATOR), name.split(SEPARATOR), 0)


def levels_match(wanted: list[bytes], levels: list[bytes], depth: int) -> bool:
    """Whether a filter's levels match a name's, from `depth` on. Those before are taken to."""
    for level in wanted[depth:]:
        if level == ALL_LEVELS:
            return True  # with no level left too: "a/#" matches the parent "a"
        if depth == len(levels):
            return False
        if level != levels[depth] and level != ONE_LEVEL:  # [MQTT-4.7.3-4]
            return False
        depth += 1
    return len(wanted) == len(levels)


def _check_text(what: str, text: bytes, bounds: TopicBounds) -> None:
    """What names and filters have in common."""
    if not text:  # [MQTT-4.7.3-1]
        raise TopicError(f"the topic {what} is empty; allowed is one character or more")
    if len(text) > bounds.bytes:  # [MQTT-4.7.3-3]
        raise _refused(what, text, f"has {len(text)} bytes; allowed are {bounds.bytes}")
    if b"\0" in text:  # [MQTT-4.7.3-2]
        raise _refused(what, text, "has the character U+0000; allowed is any other")
    if len(text) >= bounds.levels and (levels := text.count(SEPARATOR) + 1) > bounds.levels:
        raise _refused(what, text, f"has {levels} levels; allowed are {bounds.levels}")
    if not text.isascii():
        _check_utf_8(what, text)


def _check_utf_8(what: str, text: bytes) -> None:
    try:
        text.decode()  # Python's decoder refuses surrogates and overlong forms: [MQTT-1.5.4-1]
    except UnicodeDecodeError as error:
        wrong = f"is not UTF-8 at byte {error.start} ({error.reason}); allowed is UTF-8"
        raise _refused(what, text, wrong) from error


def _refused(what: str, text: bytes, wrong: str) -> TopicError:
    shown = repr(text if len(text) <= _SHOWN_BYTES else text[:_SHOWN_BYTES] + b"...")
    return TopicError(f"the topic {what} {shown} {wrong}")
