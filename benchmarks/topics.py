"""Publish and subscribe among a million subscriptions: `python -m benchmarks.topics`."""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from benchmarks.machine import this_machine
from benchmarks.population import CLIENTS, MATCHES, Client, EncodingClient, Population, fail
from benchmarks.table import table
from speedo_trio.pubsub.exchange import Exchange
from speedo_trio.pubsub.publication import Publication
from speedo_trio.pubsub.retained import Retained, RetainedLimits
from speedo_trio.pubsub.routes import Routes
from speedo_trio.pubsub.tree import SubscriptionTree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

TOPICS = 200
"""Topics that are published to in turn: as many as the smallest population has, about."""
MANY_TOPICS = 20_000
TIMES = 10_000
ROUNDS = 9
"""The best of so many is taken: the others were disturbed."""
CHANGE_EVERY = 10
ALLOWED_FACTOR = 2.0
"""Ten matches among the most may cost so many times what they cost among the fewest."""


def main() -> int:
    """Measure and print; 1 when ten matches cost too much among many."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.topics", description=__doc__)
    parser.add_argument("--subscriptions", type=int, nargs="+", default=[1000, 100_000, 1_000_000])
    counts = sorted(parser.parse_args().subscriptions)
    print(f"{str(this_machine([])).rstrip(': ')}\nBest of {ROUNDS} rounds; µs of one thread.\n")
    _print_shapes(counts[-1])
    publishing = [_apart(measure_publishing, count) for count in counts]
    factor = _print_publishing(publishing)
    _print_changes(counts[-1])
    _print_others()
    return 0 if factor <= ALLOWED_FACTOR else 1


def _apart(measure: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401  # its result
    """Measure in a process of its own, whose memory nothing else has used."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


def _best(work: Callable[[], object], times: int, rounds: int = ROUNDS) -> float:
    """Microseconds for each of the things of which `work` does so many."""
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best / times * 1e6


def _publish(exchange: Exchange[Publication, int], topics: Iterable[bytes]) -> None:
    publish = exchange.publish
    for topic in topics:
        publish(Publication(topic, b"21.5"))


def _resident() -> int:
    """The bytes that this process has in memory."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


# Memory and time of subscriptions

SHAPES: dict[str, tuple[bytes, ...]] = {
    "site/1/line/1/heat": (b"site/%d/line/%d/heat",),
    "site/1/line/1/+": (b"site/%d/line/%d/+",),
    "site/1/line/1/#": (b"site/%d/line/%d/#",),
    "site/1/line/1/in/+ and .../out/+": (b"site/%d/line/%d/in/+", b"site/%d/line/%d/out/+"),
    "site-1/+/line-1/heat": (b"site-%d/+/line-%d/heat",),
}


def _filters(shape: str, count: int) -> Iterator[bytes]:
    texts = SHAPES[shape]
    for number in range(count // len(texts)):
        yield from (text % (number % 1000, number) for text in texts)


def measure_shape(shape: str, count: int) -> tuple[float, float, float]:
    """Bytes and microseconds for each subscription, microseconds to take it back."""
    clients = [Client() for _ in range(CLIENTS)]
    tree: SubscriptionTree[Client, int] = SubscriptionTree()
    before, began = _resident(), time.perf_counter()
    for topic_filter, client in zip(_filters(shape, count), cycle(clients), strict=False):
        tree.subscribe(topic_filter, client, 0)
    subscribing = time.perf_counter() - began
    gc.collect()
    taken, began = _resident() - before, time.perf_counter()
    for topic_filter, client in zip(_filters(shape, count), cycle(clients), strict=False):
        tree.unsubscribe(topic_filter, client)
    unsubscribing = time.perf_counter() - began
    return taken / count, subscribing / count * 1e6, unsubscribing / count * 1e6


def _print_shapes(count: int) -> None:
    rows = []
    for shape in SHAPES:
        taken, subscribing, unsubscribing = _apart(measure_shape, shape, count)
        rows.append((shape, f"{taken:.0f}", f"{subscribing:.1f}", f"{unsubscribing:.1f}"))
    print(f"{count:,} subscriptions, one for each filter; the filter's own bytes included")
    print(table(("filters", "bytes each", "subscribe µs", "unsubscribe µs"), rows), end="\n\n")


# Publications


@frozen(kw_only=True)
class Publishing:
    """Microseconds for a publication, among so many subscriptions."""

    subscriptions: int
    seconds: float
    """To subscribe them all."""
    one: float
    several: float
    many: float | None
    """None when there are not so many topics."""
    found: float
    once: float


def measure_publishing(count: int) -> Publishing:
    """Publish among so many subscriptions, along routes that are remembered and others."""
    population = Population(count)
    began = time.perf_counter()
    exchange = population.exchange()
    seconds = time.perf_counter() - began
    topics, many = population.topics(TOPICS), population.topics(MANY_TOPICS)
    enough = len(many) == MANY_TOPICS
    for topic in many * 3:
        assert len(exchange.routes[topic]) == MATCHES
    several = [*islice(cycle(topics), TIMES)]
    once = [b"plant/%d/line/once/%d" % (number % 10, number) for number in range(TIMES)]
    return Publishing(
        subscriptions=len(exchange.subscriptions),
        seconds=seconds,
        one=_best(lambda: _publish(exchange, several[:1] * TIMES), TIMES),
        several=_best(lambda: _publish(exchange, several), TIMES),
        many=_best(lambda: _publish(exchange, many), MANY_TOPICS) if enough else None,
        once=_best(lambda: _publish(exchange, once), TIMES, 1),
        found=_found(exchange, several),
    )


def _found(exchange: Exchange[Publication, int], topics: list[bytes]) -> float:
    """With no route remembered."""
    exchange.routes = Routes(exchange.subscriptions, most_bytes=1)
    return _best(lambda: _publish(exchange, topics), len(topics))


def _print_publishing(measured: Sequence[Publishing]) -> float:
    """The largest of the factors that ten matches among the most cost."""
    rows = [("subscribe, s in all", *(f"{each.seconds:.2f}" for each in measured), "")]
    factors: list[float] = []
    for what, name in {
        "publish to one topic": "one",
        f"to {TOPICS} topics in turn": "several",
        f"to {MANY_TOPICS:,} topics in turn": "many",
        f"to {TOPICS} topics, no route remembered": "found",
        "to names used once (6 matches)": "once",
    }.items():
        figures = [getattr(each, name) for each in measured]
        fewest = next((figure for figure in figures if figure is not None), figures[-1])
        factors.append(figures[-1] / fewest)
        shown = ("–" if figure is None else f"{figure:.2f}" for figure in figures)
        rows.append((what, *shown, f"{factors[-1]:.2f}"))
    header = ("ten matches", *(f"among {each.subscriptions:,}" for each in measured), "factor")
    print(table(header, rows), end="\n\n")
    return max(factors)


# Changes

CHANGES: dict[str, tuple[bytes, ...]] = {
    "none": (),
    "no wildcard, another topic": (b"plant/0/line/other/heat",),
    "no wildcard, one of the topics": (b"%s",),
    "a wildcard, other topics": (b"plant/0/line/other/+",),
    "a wildcard, one of the topics": (b"%s/#",),
    "a wildcard, all topics: #": (b"#",),
}


def measure_changes(count: int) -> list[tuple[str, float, float]]:
    """What publications and changes of each kind cost, in turn."""
    population = Population(count)
    exchange = population.exchange()
    topics = population.topics(TOPICS)
    rows = []
    for what, texts in CHANGES.items():
        _publish(exchange, population.topics(MANY_TOPICS) * 3)
        changes = [text % topics[0] if b"%s" in text else text for text in texts]
        rows.append((what, *_changing(exchange, topics, changes)))
    return rows


def _changing(
    exchange: Exchange[Publication, int], topics: list[bytes], changes: Sequence[bytes]
) -> tuple[float, float]:
    """Publish to the topics in turn; subscribe or unsubscribe after each so many."""
    client = Client()
    publishing = changing = float("inf")
    for _ in range(ROUNDS):
        published = changed = 0.0
        for start in range(0, len(topics), CHANGE_EVERY):
            began = time.perf_counter()
            _publish(exchange, topics[start : start + CHANGE_EVERY])
            between = time.perf_counter()
            for topic_filter in changes:
                if exchange.unsubscribe(topic_filter, client) is None:
                    exchange.subscribe(topic_filter, client, 1)
            changed += time.perf_counter() - between
            published += between - began
        publishing = min(publishing, published / len(topics))
        changing = min(changing, changed * CHANGE_EVERY / len(topics))
    return publishing * 1e6, changing * 1e6


def _print_changes(count: int) -> None:
    rows = []
    measured = _apart(measure_changes, count)
    for what, publishing, changing in measured:
        factor = publishing / measured[0][1]
        rows.append((what, f"{publishing:.2f}", f"{factor:.2f}", f"{changing:.1f}"))
    print(f"A change after each {CHANGE_EVERY} publications to {TOPICS} topics, among {count:,}")
    print(table(("change", "publish µs", "factor", "change µs"), rows), end="\n\n")


# Fan-out, and what is retained


def measure_fan_out(kind: type[Client]) -> float:
    """Microseconds for a delivery, to very many subscribers of one topic."""
    exchange: Exchange[Publication, int] = Exchange(fail)
    for _ in range(CLIENTS):
        exchange.subscribe(b"fan/out", kind(), 0)
    return _best(lambda: _publish(exchange, [b"fan/out"] * 10), 10 * CLIENTS)


def measure_retained(count: int) -> list[float]:
    """Microseconds to set a message, to replace it, and to match one of all and each of all."""
    names = list(_filters("site/1/line/1/heat", count))
    retained: Retained[bytes] = Retained(RetainedLimits(messages=count))

    def set_all() -> None:
        for name in names:
            retained.set(name, b"21.5", size=4, now=0, expires=60)

    return [
        _best(set_all, count, 1),
        _best(set_all, count),
        _best(lambda: [*retained.match(b"site/7/line/7/+", 0)], 1),
        _best(lambda: [*retained.match(b"site/+/line/7/heat", 0)], 1),
        _best(lambda: [*retained.match(b"#", 0)], count),
    ]


def _print_others() -> None:
    rows = [
        (f"deliver to one of {CLIENTS:,}", _apart(measure_fan_out, Client)),
        ("the same, and ask for the shared form", _apart(measure_fan_out, EncodingClient)),
    ]
    what = (
        "set",
        "replace",
        "match one by site/7/line/7/+",
        "one by site/+/line/7/heat",
        "each by #",
    )
    figures = _apart(measure_retained, 100_000)
    rows += [
        (f"retained, 100,000: {each}", figure) for each, figure in zip(what, figures, strict=True)
    ]
    print(table(("other things", "µs"), [(each, f"{figure:.2f}") for each, figure in rows]))


if __name__ == "__main__":
    raise SystemExit(main())
