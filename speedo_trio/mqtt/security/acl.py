"""Access rules as mosquitto has them: who may publish what, and get what.

A file of lines::

    topic read news/#          # of clients without a user name, as it stands before any "user"
    user alice
    topic readwrite house/#
    topic deny house/safe
    pattern write clients/%c/+ # of all; %c is the client identifier and %u the user name

What no rule allows is forbidden. Of a user's rules those that deny count first, then those that
allow; then come the patterns, likewise. Every subscription is granted: what is read is decided for
each message. All of that is decided as mosquitto 2.0 decides it.

Next: `speedo_trio.mqtt.security.acl_file`.
"""

from __future__ import annotations

from enum import Flag
from typing import TYPE_CHECKING, Final

from attrs import define, field, frozen

from speedo_trio.errors import ConfigError, TopicError
from speedo_trio.pubsub.topics import check_filter, matches

if TYPE_CHECKING:
    from speedo_trio.mqtt.hooks import TopicRights


class Access(Flag):
    """What a rule allows."""

    DENY = 0
    """Nothing: it forbids both."""
    READ = 1
    """To get messages."""
    WRITE = 2
    """To publish."""
    BOTH = 3


_WORDS: Final = {
    "read": Access.READ,
    "write": Access.WRITE,
    "readwrite": Access.BOTH,
    "deny": Access.DENY,
}


@frozen
class Rule:
    """A line with a topic filter."""

    topic_filter: bytes
    access: Access

    def of(self, client_id: bytes, user_name: bytes | None) -> Rule | None:
        """A pattern as it is for a client; None: it is not for one without a user name."""
        text = self.topic_filter
        if user_name is None and b"%u" in text:
            return None
        parts = []
        position = 0
        while (found := text.find(b"%", position)) >= 0:
            kind = text[found + 1 : found + 2]
            put = client_id if kind == b"c" else user_name if kind == b"u" else None
            parts += [text[position:found], b"%" if put is None else put]
            position = found + (1 if put is None else 2)
        return Rule(b"".join((*parts, text[position:])), self.access)


@frozen
class Rights:
    """What a client may do, by its rules in the order in which they count."""

    rules: tuple[Rule, ...]
    patterns: tuple[Rule, ...]
    barred: bool = False
    """Whether no pattern is for it, as its names have wildcards that would widen it."""

    def may_publish(self, topic: str, /) -> bool:
        """Whether it may publish there."""
        return self._allows(topic.encode(), Access.WRITE)

    def may_receive(self, topic: str, /) -> bool:
        """Whether it may get what is published there."""
        return self._allows(topic.encode(), Access.READ)

    def may_subscribe(self, topic_filter: str, /) -> bool:
        """It may always."""
        return True

    def _allows(self, topic: bytes, access: Access) -> bool:
        for rules in (self.rules, () if self.barred else self.patterns):
            for rule in rules:
                denies = not rule.access
                if (denies or rule.access & access) and matches(rule.topic_filter, topic):
                    return not denies
        return False


@frozen
class Both:
    """What two say: a client may do what both allow."""

    one: TopicRights
    other: TopicRights

    def may_publish(self, topic: str, /) -> bool:
        """Whether it may publish there."""
        return self.one.may_publish(topic) and self.other.may_publish(topic)

    def may_receive(self, topic: str, /) -> bool:
        """Whether it may get what is published there."""
        return self.one.may_receive(topic) and self.other.may_receive(topic)

    def may_subscribe(self, topic_filter: str, /) -> bool:
        """Whether it may subscribe."""
        return self.one.may_subscribe(topic_filter) and self.other.may_subscribe(topic_filter)


@define(eq=False)
class ACL:
    """All rules of a file."""

    users: dict[str | None, list[Rule]] = field(factory=dict)
    """By user name; those of clients without one by None."""
    patterns: list[Rule] = field(factory=list)

    def rights(self, client_id: str, user_name: str | None) -> Rights:
        """What a client may do."""
        name = None if user_name is None else user_name.encode()
        own = client_id.encode()
        mine = [each.of(own, name) for each in self.patterns]
        return Rights(
            tuple(self.users.get(user_name, ())),
            tuple(each for each in mine if each is not None),
            barred=bool({*"+#"} & {*client_id, *(user_name or "")}),
        )


def parse_acl(text: str, place: str = "ACL file") -> ACL:
    """Read a file.

    Args:
        place: what it is, for errors.

    Raises:
        ConfigError: a line is none; the text tells which.
    """
    acl = ACL()
    user: str | None = None
    lines = (each.rstrip() for each in text.split("\n"))
    for number, line in enumerate(lines, 1):
        words = line.lstrip(" ")
        if line.startswith("#") or not words:
            continue
        try:
            word, _, rest = words.partition(" ")
            if word == "user":
                user = rest.strip()
                if not user:
                    raise ConfigError("no user name; allowed is user NAME")
            elif word == "topic":
                _add(acl.users.setdefault(user, []), _rule(rest))
            elif word == "pattern":
                _add(acl.patterns, _rule(rest))
            else:
                raise ConfigError(f"{word[:100]!r} begins it; allowed are user, topic and pattern")
        except ConfigError as error:
            raise ConfigError(f"{place}, line {number}: {error}") from None
    return acl


def _add(rules: list[Rule], rule: Rule) -> None:
    """Put it where it counts: what denies goes first."""
    if rule.access is Access.DENY:
        rules.insert(0, rule)
    else:
        rules.append(rule)


def _rule(rest: str) -> Rule:
    word, blank, topic_filter = rest.lstrip(" ").partition(" ")
    access = Access.BOTH
    if blank:
        if word not in _WORDS:
            raise ConfigError(f"the access is {word[:100]!r}; allowed are {', '.join(_WORDS)}")
        access, word = _WORDS[word], topic_filter.lstrip(" ")
    try:
        check_filter(word.encode())
    except TopicError as error:
        raise ConfigError(str(error)) from None
    return Rule(word.encode(), access)
