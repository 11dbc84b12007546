"""Subscriptions of sites and lines, such that each topic has ten matches however many there are.

Three filters are of all sites, three of a topic's site and four of its line. So what differs
between a thousand and a million subscriptions is only how many others there are.
"""

from __future__ import annotations

import gc
from itertools import cycle
from random import Random
from typing import TYPE_CHECKING

from attrs import frozen

from speedo_trio.pubsub.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from speedo_trio.pubsub.publication import Publication

MATCHES = 10
CLIENTS = 10_000

_OF_ALL = (b"plant/#", b"+/+/line/+/heat", b"plant/+/line/+/+")
_OF_SITE = (b"plant/%d/#", b"plant/%d/line/+/heat", b"plant/%d/+/+/+")
_OF_LINE = (
    b"plant/%d/line/%d/heat",
    b"plant/%d/line/%d/+",
    b"plant/%d/+/%d/heat",
    b"plant/%d/line/%d/#",
)


class Client:
    """A subscriber that does next to nothing."""

    __slots__ = ("got",)

    def __init__(self) -> None:
        self.got = 0

    def deliver(self, publication: Publication, value: int) -> bool:
        """Count."""
        self.got += 1
        return True


class EncodingClient(Client):
    """A subscriber that wants the form that all want."""

    __slots__ = ()

    def deliver(self, publication: Publication, value: int) -> bool:
        """Encode, and count the bytes."""
        self.got += len(publication.encoded(value, _encode))
        return True


def _encode(publication: Publication) -> bytes:
    return publication.topic + publication.payload


@frozen
class Population:
    """So many subscriptions, about, spread over the clients."""

    subscriptions: int

    @property
    def sites(self) -> int:
        """A thousand at most, ten at least."""
        return min(1000, max(10, self.subscriptions // 1000))

    @property
    def lines(self) -> int:
        """Of each site."""
        of_lines = self.subscriptions - len(_OF_ALL) - len(_OF_SITE) * self.sites
        return of_lines // (len(_OF_LINE) * self.sites)

    def filters(self) -> Iterator[bytes]:
        """One for each subscription."""
        yield from _OF_ALL
        for site in range(self.sites):
            yield from (text % site for text in _OF_SITE)
            for line in range(self.lines):
                yield from (text % (site, line) for text in _OF_LINE)

    def topics(self, most: int) -> list[bytes]:
        """So many topics, or as many as there are, from all over, always the same."""
        places = [(site, line) for site in range(self.sites) for line in range(self.lines)]
        chosen = Random(1).sample(places, min(most, len(places)))
        return [_OF_LINE[0] % place for place in chosen]

    def exchange(self) -> Exchange[Publication, int]:
        """Make an exchange with these subscriptions."""
        exchange: Exchange[Publication, int] = Exchange(fail)
        clients = cycle([Client() for _ in range(CLIENTS)])
        for topic_filter, client in zip(self.filters(), clients, strict=False):
            exchange.subscribe(topic_filter, client, 0)
        gc.collect()
        gc.freeze()  # as a server may that has loaded its sessions
        return exchange


def fail(subscriber: object, publication: Publication, error: Exception) -> None:
    """No subscriber here has a reason to raise."""
    raise error
