"""Access rules: what is read, and what it allows. mosquitto itself judges in tests/judges."""

from __future__ import annotations

import pytest

from speedo_trio import ConfigError
from speedo_trio.mqtt.security.acl import Rights, parse_acl

FILE = """# for all who have no name
topic read news/#
topic  plain

user alice
topic readwrite house/#
topic deny house/safe
topic write  blanks before
user bob smith
topic read house/safe
user alice
topic read later

pattern write clients/%c/+
pattern read users/%u/#
pattern deny clients/%c/secret
"""


def rights(client_id: str = "c", user: str | None = None, text: str = FILE) -> Rights:
    """What a client may do by a file."""
    return parse_acl(text).rights(client_id, user)


@pytest.mark.parametrize(
    ("user", "topic", "may"),
    [
        (None, "news/a", "r"),
        (None, "plain", "rw"),
        (None, "house/a", ""),
        (None, "clients/c/a", "w"),
        (None, "clients/c/secret", ""),
        (None, "clients/d/a", ""),
        (None, "users/%u/a", ""),
        ("alice", "house/a/b", "rw"),
        ("alice", "house/safe", ""),
        ("alice", "blanks before", "w"),
        ("alice", "later", "r"),
        ("alice", "news/a", ""),
        ("alice", "users/alice", "r"),
        ("alice", "users/bob", ""),
        ("bob smith", "house/safe", "r"),
        ("carol", "users/carol/x", "r"),
        ("carol", "plain", ""),
    ],
)
def test_what_is_allowed(user: str | None, topic: str, may: str) -> None:
    """A user's own rules, those that deny first, and then the patterns for all."""
    found = rights(user=user)

    assert found.may_receive(topic) is ("r" in may)
    assert found.may_publish(topic) is ("w" in may)
    assert found.may_subscribe(topic)


@pytest.mark.parametrize(
    ("client_id", "user"), [("a+b", None), ("#", None), ("c", "u+"), ("c", "#")]
)
def test_names_with_wildcards(client_id: str, user: str | None) -> None:
    """They would make a pattern wider than it is, so that none is for them."""
    text = f"pattern readwrite all/%c/%u/#\npattern read own/%c\nuser {user}\ntopic read x"

    assert not rights(client_id, user, text).may_receive(f"own/{client_id}")
    assert rights(client_id, user, text).may_receive("x") is (user is not None)


def test_hidden_topics() -> None:
    """A leading wildcard doesn't match what begins with a dollar sign."""
    found = rights(text="topic readwrite #\ntopic read +/a\ntopic read $SYS/#")

    assert not found.may_publish("$SYS/a")
    assert found.may_receive("$SYS/a")
    assert not found.may_receive("$other/a")


def test_nothing_is_allowed_by_an_empty_file() -> None:
    """As with mosquitto."""
    assert not rights(text="").may_receive("a")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("user", "no user name"),
        ("topic", "filter"),
        ("topic wread a", "the access is 'wread'; allowed are read, write, readwrite, deny"),
        ("topic read a/#/b", "goes on after #"),
        ("pattern a%c#", "has # inside a level"),
        (" # comment", "'#' begins it; allowed are user, topic and pattern"),
        ("topic\tread a", "begins it"),
    ],
)
def test_a_line_that_is_none(line: str, told: str) -> None:
    """The error tells which line it is."""
    with pytest.raises(ConfigError, match=r"^acl, line 2: ") as refused:
        parse_acl(f"# x\n{line}", "acl")

    assert told in str(refused.value)
