"""A subscriber: who gets publications.

Next: `speedo_trio.pubsub.outbox`, where they wait for one that is slow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, TypeVar

from speedo_trio.pubsub.publication import Publication

P = TypeVar("P", bound=Publication)
V = TypeVar("V")
P_contra = TypeVar("P_contra", bound=Publication, contravariant=True)
V_contra = TypeVar("V_contra", contravariant=True)


class Subscriber(Protocol[P_contra, V_contra]):
    """Whoever subscribes: the session of a client, a callback in the same program, a group.

    Subscribers are told apart by `==` and `hash`, which for most objects means by identity.
    """

    def deliver(self, publication: P_contra, value: V_contra) -> bool:
        """Take a publication, or don't. Must not wait, and must not take long.

        Args:
            value: The value of the subscription that it comes by.

        Returns:
            Whether it was taken: sent, or put where it waits to be sent.
        """


class Terms:
    """What a subscriber has subscribed to a filter with; a protocol with options subclasses it."""

    __slots__ = ()

    def merged(self, terms: Sequence[Terms]) -> Terms:
        """What holds for a topic that several filters of one subscriber match.

        Args:
            terms: Those of all these filters, these included.
        """
        return self


NO_TERMS = Terms()
"""Nothing but the filter."""


def merge(terms: list[Terms]) -> Terms:
    """Merge the terms of one subscriber's filters, all of its own kind."""
    return terms[0].merged(terms)


Failed: TypeAlias = Callable[[Subscriber[P, V], P, Exception], None]
"""Told of a subscriber that raised instead of taking a publication, and of what it raised."""
