"""The exchange: alone, and against a naive model in any order of calls."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from speedo_trio.errors import TopicError
from speedo_trio.pubsub.exchange import Exchange
from speedo_trio.pubsub.publication import Publication
from speedo_trio.pubsub.retained import RetainedLimits, Retention
from speedo_trio.pubsub.routes import MATCH_BYTES, NAME_BYTES
from speedo_trio.pubsub.topics import TopicBounds, matches, parse_shared
from tests.pubsub.clients import Client, Failures, failing
from tests.pubsub.strategies import filters, names


@pytest.fixture
def failures() -> Failures:
    """What is reported."""
    return Failures()


@pytest.fixture
def exchange(failures: Failures) -> Exchange[Publication, int]:
    """An empty exchange."""
    return Exchange(failures.report)


def publish(exchange: Exchange[Publication, int], topic: bytes, payload: bytes = b"1") -> int:
    """Publish something."""
    return exchange.publish(Publication(topic, payload))


def test_all_that_match_get_it(exchange: Exchange[Publication, int]) -> None:
    """Once for each filter, with its value; how many took it is told."""
    x, y, z = Client("x"), Client("y"), Client("z")
    exchange.subscribe(b"a/+", x, 1)
    exchange.subscribe(b"#", x, 2)
    exchange.subscribe(b"a/b", y, 3)
    exchange.subscribe(b"b/#", z, 4)

    assert publish(exchange, b"a/b") == 3
    assert ([1, 2], [3], []) == tuple(sorted(v for _, v in client.got) for client in (x, y, z))
    assert publish(exchange, b"c", b"2") == 1
    assert publish(exchange, b"$SYS") == 0


def test_overlapping_filters_may_be_merged(failures: Failures) -> None:
    """Then a subscriber gets one copy for itself, and what it gets as a member beside (4.8.2)."""
    exchange: Exchange[Publication, int] = Exchange(failures.report, merge=max)
    x = Client("x")
    for value, topic_filter in enumerate([b"a/b", b"a/#", b"$share/g/#", b"$share/h/a/b"]):
        exchange.subscribe(topic_filter, x, value)

    assert publish(exchange, b"a/b") == 3
    assert [1, 2, 3] == sorted(value for _, value in x.got)


def test_who_does_not_take_it_is_not_counted(exchange: Exchange[Publication, int]) -> None:
    """Whoever publishes can tell its client that nobody got it."""
    x = Client("x")
    x.takes = False
    exchange.subscribe(b"a", x, 1)

    assert publish(exchange, b"a") == 0


@pytest.mark.parametrize("cached", [True, False])
def test_who_fails_costs_only_itself(
    exchange: Exchange[Publication, int], failures: Failures, *, cached: bool
) -> None:
    """The others get it, and so does it the next time; each failure is reported once."""
    x, bad, y, worse = Client("x"), failing("bad"), Client("y"), failing("worse")
    for client in (x, bad, y, worse):
        exchange.subscribe(b"a", client, 1)
    for _ in range(2 * cached):
        exchange.routes[b"a"]

    assert publish(exchange, b"a", b"1") == 2
    assert publish(exchange, b"a", b"2") == 2
    assert [(b"1", 1), (b"2", 1)] == x.got == y.got
    expected = [
        (client, payload, f"{client} failed") for payload in (b"1", b"2") for client in (bad, worse)
    ]
    assert sorted(expected, key=repr) == sorted(failures, key=repr)


def test_an_interrupt_is_nobodys_failure(
    exchange: Exchange[Publication, int], failures: Failures
) -> None:
    """It is the user's, and goes up."""

    def interrupt(publication: Publication) -> None:
        raise KeyboardInterrupt

    exchange.subscribe(b"a", Client("x", interrupt), 1)

    with pytest.raises(KeyboardInterrupt):
        publish(exchange, b"a")
    assert not failures


def test_a_report_that_fails() -> None:
    """All others still get the publication, and are reported; then it is raised."""
    reports = []

    def report(subscriber: object, publication: Publication, error: Exception) -> None:
        reports.append(subscriber)
        if len(reports) == 1:
            raise ValueError("no report")

    exchange: Exchange[Publication, int] = Exchange(report)
    x = Client("x")
    for client in (failing("bad"), failing("worse"), x):
        exchange.subscribe(b"a", client, 1)

    with pytest.raises(ValueError, match="no report"):
        publish(exchange, b"a")
    assert [(b"1", 1)] == x.got
    assert len(reports) == 2


def test_who_comes_or_goes_meanwhile_changes_nothing(exchange: Exchange[Publication, int]) -> None:
    """A publication goes to those who were subscribed when it began."""
    late = Client("late")

    def change(publication: Publication) -> None:
        exchange.subscribe(b"#", late, 1)
        exchange.unsubscribe(b"a", y)

    x, y = Client("x", change), Client("y")
    exchange.subscribe(b"a", x, 1)
    exchange.subscribe(b"a", y, 1)

    assert publish(exchange, b"a") == 2
    assert not late.got
    assert publish(exchange, b"a", b"2") == 2
    assert [(b"2", 1)] == late.got
    assert [(b"1", 1)] == y.got


def test_publishing_while_publishing(exchange: Exchange[Publication, int]) -> None:
    """A subscriber may publish what it gets somewhere else, at once."""

    def pass_on(publication: Publication) -> None:
        publish(exchange, b"b", b"2")

    x, y = Client("x", pass_on), Client("y")
    exchange.subscribe(b"a", x, 1)
    exchange.subscribe(b"#", y, 1)

    assert publish(exchange, b"a") == 2
    assert {(b"1", 1), (b"2", 1)} == set(y.got)


@pytest.mark.parametrize("topic", [b"", b"a/+", b"a/b/c", b"\xff"])
def test_what_is_no_name_is_not_published(topic: bytes) -> None:
    """Nobody gets it, nor is it retained; the bounds hold too."""
    exchange: Exchange[Publication, int] = Exchange(Failures().report, bounds=TopicBounds(levels=2))
    x = Client("x")
    exchange.subscribe(b"#", x, 1)

    for _ in range(3):
        with pytest.raises(TopicError):
            publish(exchange, topic)
    with pytest.raises(TopicError):
        exchange.retain(Publication(topic, b"1"), now=0)
    with pytest.raises(TopicError):
        exchange.retain(Publication(topic, b""), now=0)
    assert not x.got
    assert len(exchange.retained) == 0


@pytest.mark.parametrize(
    "topic_filter", [b"", b"a#", b"a/b/c", b"\xff", b"$share/g", b"$share/g/a"]
)
def test_what_is_no_filter_is_refused(topic_filter: bytes) -> None:
    """Wherever a filter is asked for; the bounds hold too."""
    exchange: Exchange[Publication, int] = Exchange(Failures().report, bounds=TopicBounds(levels=2))
    x = Client("x")

    with pytest.raises(TopicError):
        exchange.subscribe(topic_filter, x, 1)
    with pytest.raises(TopicError):
        exchange.unsubscribe(topic_filter, x)
    with pytest.raises(TopicError):
        exchange.retained_for(topic_filter, 0)
    assert (0, 0) == (len(exchange.subscriptions), len(exchange.groups))


def test_shared_subscriptions(exchange: Exchange[Publication, int], failures: Failures) -> None:
    """A group counts as one; its members may be subscribed for themselves too (4.8.2)."""
    x, y, bad = Client("x"), Client("y"), failing("bad")
    for client in (bad, x, y):
        exchange.subscribe(b"$share/g/a/+", client, 1)
    exchange.subscribe(b"a/b", x, 2)
    taken = [publish(exchange, b"a/b", b"%d" % number) for number in range(4)]

    assert [2, 2, 2, 2] == taken
    assert 4 == sum(value == 1 for client in (x, y) for _, value in client.got)
    assert [b"0", b"1", b"2", b"3"] == sorted(payload for payload, value in x.got if value == 2)
    assert {(bad, "bad failed")} == {(who, error) for who, _, error in failures}


def test_removing_a_subscriber(exchange: Exchange[Publication, int]) -> None:
    """With all its filters, the shared ones too; the others stay."""
    x, y = Client("x"), Client("y")
    topic_filters = [b"a", b"a/+", b"#", b"$share/g/a/#"]
    for client in (x, y):
        for topic_filter in topic_filters:
            exchange.subscribe(topic_filter, client, 1)
    exchange.remove(x, [*topic_filters, b"never"])
    publish(exchange, b"a/b")

    assert (0, 3) == (len(x.got), len(y.got))
    exchange.remove(y, topic_filters)
    assert (0, 0) == (len(exchange.subscriptions), len(exchange.groups))


def test_retaining(exchange: Exchange[Publication, int]) -> None:
    """[MQTT-3.3.1-6], [MQTT-3.3.1-7]: the last is kept; an empty one isn't, and ends it."""
    first, second = Publication(b"a", b"1"), Publication(b"a", b"2")

    assert exchange.retain(first, now=0) is Retention.ADDED
    assert exchange.retain(second, now=0) is Retention.REPLACED
    assert [second] == list(exchange.retained_for(b"#", 0))
    assert exchange.retain(Publication(b"a", b""), now=0) is None
    assert [] == list(exchange.retained_for(b"#", 0))
    assert len(exchange.retained) == 0


def test_what_is_retained_counts_with_all_its_bytes(
    exchange: Exchange[Publication, int],
) -> None:
    """Those too that a protocol has beside the payload."""

    class Long(Publication):
        @property
        def size(self) -> int:
            return super().size + 1000

    exchange.retain(Long(b"ab", b"123"), now=0)

    assert exchange.retained.bytes == 1005


def test_what_is_retained_has_no_forms(exchange: Exchange[Publication, int]) -> None:
    """It takes what the bound counts, not that several times over."""
    publication = Publication(b"a", b"1")
    publication.encoded("v5", lambda _: b"form")
    exchange.retain(publication, now=0)
    publication.encoded("v5", lambda _: b"form")

    assert publication._forms is None


def test_retained_publications_expire(exchange: Exchange[Publication, int]) -> None:
    """By the caller's clock."""
    exchange.retain(Publication(b"a", b"1"), now=10, expires=20)

    assert [b"1"] == [publication.payload for publication in exchange.retained_for(b"a", 19)]
    assert [] == list(exchange.retained_for(b"a", 20))


def test_what_is_retained_later_is_left_out(exchange: Exchange[Publication, int]) -> None:
    """Who had subscribed by then gets it as it is published; a later call gives it."""
    for topic in (b"a", b"b", b"c", b"d"):
        exchange.retain(Publication(topic, b"old"), now=0)
    found = exchange.retained_for(b"#", 0)
    assert next(found).topic == b"a"
    exchange.retain(Publication(b"b", b"new"), now=0)
    exchange.retain(Publication(b"c", b""), now=0)
    exchange.retain(Publication(b"e", b"new"), now=0)

    assert [(b"d", b"old")] == [(each.topic, each.payload) for each in found]
    later = exchange.retained_for(b"#", 0)
    assert [b"a", b"b", b"d", b"e"] == sorted(each.topic for each in later)


def test_what_was_kept_elsewhere_is_retained(exchange: Exchange[Publication, int]) -> None:
    """It was there before everybody."""
    found = exchange.retained_for(b"#", 0)
    exchange.retained.set(b"a", Publication(b"a", b"1"), size=1, now=0)

    assert [b"a"] == [each.topic for each in found]


def test_nothing_is_retained_for_groups(exchange: Exchange[Publication, int]) -> None:
    """A shared subscription gets what is published from now on only (4.8.2)."""
    for topic in (b"a", b"$share/g/a"):
        exchange.retain(Publication(topic, b"1"), now=0)

    assert [] == list(exchange.retained_for(b"$share/g/a", 0))


SUBSCRIBERS = "wxyz"
ROUTE_BYTES = 4 * NAME_BYTES  # so few that routes go all the time
RETAINED = RetainedLimits(messages=5, bytes=30)

shared_filters = st.builds(
    b"$share/%s/%s".__mod__, st.tuples(st.sampled_from([b"g", b"h"]), filters)
)


class Exchanges(RuleBasedStateMachine):
    """An exchange, and what it should have, told naively."""

    def __init__(self) -> None:
        super().__init__()
        self.failures = Failures()
        self.exchange: Exchange[Publication, int] = Exchange(
            self.failures.report, route_bytes=ROUTE_BYTES, retained=RETAINED
        )
        self.clients = {name: Client(name) for name in SUBSCRIBERS[1:]}
        self.clients["w"] = failing("w")
        self.subscriptions: dict[tuple[bytes, str], int] = {}
        self.retained: dict[bytes, tuple[bytes, int | None]] = {}
        self.now = 0

    which = st.sampled_from(SUBSCRIBERS)
    some_names = st.lists(names, min_size=1, max_size=3)

    def alive(self) -> dict[bytes, bytes]:
        """What is retained and has not expired."""
        return {
            name: payload
            for name, (payload, expires) in self.retained.items()
            if expires is None or expires > self.now
        }

    @rule(which=which, topic_filter=filters | shared_filters, value=st.integers(1, 3))
    def subscribe(self, which: str, topic_filter: bytes, value: int) -> None:
        """A subscription is added, or replaced, and then the old value is told."""
        replaced = self.exchange.subscribe(topic_filter, self.clients[which], value)

        assert self.subscriptions.get((topic_filter, which)) == replaced
        self.subscriptions[topic_filter, which] = value

    @rule(which=which, topic_filter=filters | shared_filters)
    def unsubscribe(self, which: str, topic_filter: bytes) -> None:
        """A subscription goes, if there is one."""
        value = self.exchange.unsubscribe(topic_filter, self.clients[which])

        assert self.subscriptions.pop((topic_filter, which), None) == value

    @rule(which=which)
    def remove(self, which: str) -> None:
        """All subscriptions of a subscriber go."""
        theirs = [topic_filter for topic_filter, who in self.subscriptions if who == which]
        self.exchange.remove(self.clients[which], theirs)
        for topic_filter in theirs:
            del self.subscriptions[topic_filter, which]

    @rule(topics=some_names)
    def publish(self, topics: list[bytes]) -> None:
        """Each subscription that matches gets each of them, each group one; w fails each time."""
        for topic in [*topics, *topics, *topics]:  # from the tree, remembered, from the routes
            for client in self.clients.values():
                client.got.clear()
            self.failures.clear()
            own: list[tuple[str, int]] = []
            groups: dict[tuple[bytes, bytes], set[tuple[str, int]]] = {}
            for (topic_filter, who), value in self.subscriptions.items():
                shared = parse_shared(topic_filter)
                if shared is None and matches(topic_filter, topic):
                    own.append((who, value))
                elif shared is not None and matches(shared.topic_filter, topic):
                    groups.setdefault(shared, set()).add((who, value))
            taken = publish(self.exchange, topic)

            working = [
                members for members in groups.values() if {who for who, _ in members} != {"w"}
            ]
            own_working = [pair for pair in own if pair[0] != "w"]
            got = [(name, value) for name, each in self.clients.items() for _, value in each.got]
            assert len(own_working) + len(working) == taken == len(got)
            for pair in own_working:
                got.remove(pair)
            for members in working:
                # Which member a group chose can't be told from what its other groups chose.
                assert members & set(got)
            assert set(got) <= set().union(*groups.values())
            assert len(self.failures) >= len(own) - len(own_working)

    @rule(topic=names, size=st.integers(0, 8), life=st.none() | st.integers(0, 10))
    def retain(self, topic: bytes, size: int, life: int | None) -> None:
        """A publication replaces the last one, if there is room; an empty one ends it."""
        payload, expires = b"x" * size, None if life is None else self.now + life
        outcome = self.exchange.retain(Publication(topic, payload), now=self.now, expires=expires)
        others = {name: kept for name, kept in self.alive().items() if name != topic}
        total = sum(len(name) + len(kept) for name, kept in others.items()) + len(topic) + size
        if not payload:
            assert outcome is None
            self.retained.pop(topic, None)
        elif len(others) == RETAINED.messages:
            assert outcome is Retention.TOO_MANY
        elif total > RETAINED.bytes:
            assert outcome is Retention.TOO_LARGE
        else:
            assert outcome in (Retention.ADDED, Retention.REPLACED)
            self.retained[topic] = (payload, expires)

    @rule(topic_filter=filters)
    def look(self, topic_filter: bytes) -> None:
        """What is retained, has not expired and matches."""
        expected = [
            (name, payload) for name, payload in self.alive().items() if matches(topic_filter, name)
        ]
        found = self.exchange.retained_for(topic_filter, self.now)

        assert sorted(expected) == sorted((each.topic, each.payload) for each in found)

    @rule(seconds=st.integers(1, 5))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.now += seconds

    @rule(most=st.integers(1, 3))
    def purge(self, most: int) -> None:
        """Some of what has expired goes, nothing else."""
        self.exchange.retained.purge(self.now, most)

    @invariant()
    def counts_agree(self) -> None:
        """Nothing is forgotten, nothing left behind, and the bounds hold."""
        exchange, routes, retained = self.exchange, self.exchange.routes, self.exchange.retained
        own = [key for key in self.subscriptions if parse_shared(key[0]) is None]
        groups = {parse_shared(topic_filter) for topic_filter, _ in self.subscriptions} - {None}
        assert len(own) + len(groups) == len(exchange.subscriptions)
        assert len(groups) == len(exchange.groups)
        assert sorted(routes._names) == sorted(routes)
        sizes = [
            NAME_BYTES + len(name) + MATCH_BYTES * len(route) for name, route in routes.items()
        ]
        assert sum(sizes) == routes.held <= ROUTE_BYTES
        assert self.alive().keys() <= set(retained)
        assert len(retained) <= RETAINED.messages
        assert retained.bytes <= RETAINED.bytes


def test_any_order_of_calls() -> None:
    """Subscribing, publishing, retaining, expiring: as the model says."""
    run_state_machine_as_test(Exchanges, settings=settings(deadline=None))
