"""Groups: each publication goes to one member, whoever joins, leaves, refuses or fails."""

from __future__ import annotations

from collections import Counter

import pytest

from speedo_trio.pubsub.publication import Publication
from speedo_trio.pubsub.routes import Routes
from speedo_trio.pubsub.shared import SharedGroup, SharedGroups
from speedo_trio.pubsub.subscriber import Subscriber
from speedo_trio.pubsub.topics import SharedFilter
from speedo_trio.pubsub.tree import SubscriptionTree
from tests.pubsub.clients import Client, Failures, failing

Group = SharedGroup[Publication, int]

PUBLICATION = Publication(b"a", b"1")


@pytest.fixture
def failures() -> Failures:
    """What is reported."""
    return Failures()


@pytest.fixture
def group(failures: Failures) -> Group:
    """A group without members, who take turns."""
    return SharedGroup(failures.report)


def clients(names: str) -> list[Client]:
    """A client for each letter."""
    return [Client(name) for name in names]


def join(group: Group, members: list[Client]) -> None:
    """Let all join."""
    for value, member in enumerate(members):
        group.join(member, value)


def chosen(group: Group, times: int) -> str:
    """The names of those whose turn it is, so many times."""
    choices = [group.choose() for _ in range(times)]
    return "".join("-" if choice is None else str(choice[0]) for choice in choices)


def test_members_take_turns(group: Group) -> None:
    """In the order in which they joined, round and round; each with its own value."""
    join(group, clients("xyz"))

    assert chosen(group, 7) == "xyzxyzx"
    assert [("y", 1), ("z", 2), ("x", 0)] == [(str(who), value) for who, value in group]


def test_nobody() -> None:
    """A group without members chooses none and delivers nothing."""
    group: Group = SharedGroup(Failures().report)

    assert group.choose() is None
    assert not group.deliver(PUBLICATION, None)


def test_joining_and_leaving(group: Group) -> None:
    """A new member comes last; the turns of the others go on."""
    x, y, z = clients("xyz")
    join(group, [x, y])

    assert chosen(group, 1) == "x"
    assert group.join(z, 5) is None
    assert chosen(group, 4) == "yxzy"
    assert group.leave(x) == 0
    assert group.leave(x) is None
    assert chosen(group, 3) == "zyz"
    assert len(group) == 2


def test_joining_again(group: Group) -> None:
    """It gives the member another value, and neither a second place nor another turn."""
    members = clients("xy")
    join(group, members)

    assert chosen(group, 1) == "x"
    assert group.join(members[1], 7) == 1
    assert chosen(group, 3) == "yxy"
    assert group.leave(members[1]) == 7
    assert chosen(group, 2) == "xx"


@pytest.mark.parametrize("loads", [True, False])
def test_who_cannot_take_more_is_skipped(*, loads: bool) -> None:
    """Without losing its place for later; when none can, none is chosen."""
    able = {"x", "z"}
    group: Group = SharedGroup(
        Failures().report,
        can_take=lambda member: str(member) in able,
        load=(lambda member: 1) if loads else None,
    )
    join(group, clients("xyz"))

    assert chosen(group, 4) == "xzxz"
    able.add("y")
    assert Counter("xyz") == Counter(chosen(group, 3))
    able.clear()
    assert chosen(group, 2) == "--"


def test_when_none_can_take_more_all_are_asked() -> None:
    """In turn; who refuses is asked once."""
    group: Group = SharedGroup(Failures().report, can_take=lambda member: str(member) == "y")
    x, y, z = clients("xyz")
    join(group, [x, y, z])
    y.takes = False

    assert [group.deliver(PUBLICATION, None) for _ in range(3)] == [True] * 3
    assert [len(each.got) for each in (x, y, z)] == [2, 0, 1]


def test_the_least_load() -> None:
    """The member with the least is chosen; among equals they take turns."""
    loads = {"x": 2.0, "y": 1.0, "z": 1.0}
    group: Group = SharedGroup(Failures().report, load=lambda member: loads[str(member)])
    join(group, clients("xyz"))

    assert chosen(group, 4) == "yzyz"
    loads["x"] = 0
    assert chosen(group, 2) == "xx"


def test_delivering(group: Group) -> None:
    """One member gets it, with the value of its own subscription."""
    members = clients("xy")
    join(group, members)

    assert [True, True, True] == [group.deliver(PUBLICATION, 9) for _ in range(3)]
    assert [[(b"1", 0), (b"1", 0)], [(b"1", 1)]] == [member.got for member in members]


@pytest.mark.parametrize("loads", [True, False])
def test_who_refuses_or_fails_is_passed_over(failures: Failures, *, loads: bool) -> None:
    """The next one gets it; a failure is reported as the member's, not the group's."""
    group: Group = SharedGroup(failures.report, load=(lambda member: 1) if loads else None)
    bad, full, good = failing("bad"), Client("full"), Client("good")
    full.takes = False
    join(group, [bad, full, good])

    assert group.deliver(PUBLICATION, 0)
    assert [(b"1", 2)] == good.got
    assert [(bad, b"1", "bad failed")] == failures
    group.leave(good)
    assert not group.deliver(PUBLICATION, 0)


@pytest.mark.parametrize("loads", [True, False])
def test_members_that_leave_while_it_delivers(*, loads: bool) -> None:
    """Who has left isn't tried."""
    group: Group = SharedGroup(Failures().report, load=(lambda member: 1) if loads else None)
    members = clients("xyz")

    def leave(publication: Publication) -> None:
        for member in members:
            group.leave(member)

    members[0].act, members[0].takes = leave, False
    join(group, members)

    assert not group.deliver(PUBLICATION, 0)
    assert [[], [], []] == [member.got for member in members]


class TestGroups:
    """The groups of an exchange."""

    @pytest.fixture
    def tree(self) -> SubscriptionTree[Subscriber[Publication, int], int]:
        """An empty tree."""
        return SubscriptionTree()

    @pytest.fixture
    def groups(
        self, tree: SubscriptionTree[Subscriber[Publication, int], int], failures: Failures
    ) -> SharedGroups[Publication, int]:
        """Groups on routes of that tree."""
        return SharedGroups(Routes(tree), failures.report)

    def test_a_group_is_one_subscriber(
        self,
        tree: SubscriptionTree[Subscriber[Publication, int], int],
        groups: SharedGroups[Publication, int],
    ) -> None:
        """It is there from its first member to its last [MQTT-4.8.2-1]."""
        shared = SharedFilter(b"g", b"a/+")
        x, y = clients("xy")

        assert [None, None, 0] == [groups.join(shared, *who) for who in [(x, 0), (y, 1), (x, 2)]]
        ((group, _),) = tree.match(b"a/b")
        assert [(shared, group)] == list(groups)
        assert groups.leave(shared, x) == 2
        assert groups.leave(shared, x) is None
        assert tree.match(b"a/b")[0][0] is group
        assert groups.leave(shared, y) == 1
        assert groups.leave(shared, y) is None
        assert (0, 0) == (len(groups), len(tree))

    def test_groups_are_apart(
        self,
        tree: SubscriptionTree[Subscriber[Publication, int], int],
        groups: SharedGroups[Publication, int],
    ) -> None:
        """By name and by filter, even with the same members (4.8.2)."""
        x = Client("x")
        for name, topic_filter in [(b"g", b"a/+"), (b"h", b"a/+"), (b"g", b"#")]:
            groups.join(SharedFilter(name, topic_filter), x, 1)

        assert len(groups) == 3
        assert len({id(group) for group, _ in tree.match(b"a/b")}) == 3
