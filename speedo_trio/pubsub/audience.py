"""An audience: the subscribers of one filter, each with its value, in as little memory as can be.

One subscriber is a pair, a few are a list of pairs, many are a dictionary. An audience that exists
has somebody in it; None stands for the empty one. The pairs are what a match gives out, so
that a match copies references only.
"""

from __future__ import annotations

from typing import TypeAlias, TypeVar

S = TypeVar("S")
V = TypeVar("V")

Pair: TypeAlias = tuple[S, V]
"""A subscriber and the value of its subscription."""

Audience: TypeAlias = tuple[S, V] | list[tuple[S, V]] | dict[S, tuple[S, V]]
"""A filter's subscribers. Only the functions here change one."""

FEW = 8
"""The most that are kept as a list: looking through it takes less than a microsecond."""


def find(audience: Audience[S, V] | None, subscriber: S) -> Pair[S, V] | None:
    """The subscriber's pair; None when it is not in the audience."""
    if isinstance(audience, dict):
        return audience.get(subscriber)
    for pair in pairs(audience):
        if pair[0] == subscriber:
            return pair
    return None


def pairs(audience: Audience[S, V] | None) -> list[Pair[S, V]]:
    """The pairs of an audience, in a list that is not to be changed."""
    if audience is None:
        return []
    if isinstance(audience, tuple):
        return [audience]
    return audience if isinstance(audience, list) else [*audience.values()]


def join(audience: Audience[S, V] | None, subscriber: S, value: V) -> Audience[S, V]:
    """The audience with the subscriber, whose earlier value is replaced."""
    pair = (subscriber, value)
    if isinstance(audience, dict):
        audience[subscriber] = pair
        return audience
    others = [other for other in pairs(audience) if other[0] != subscriber]
    return _kept([*others, pair])


def leave(audience: Audience[S, V], subscriber: S) -> Audience[S, V] | None:
    """The audience without the subscriber; None when nobody is left."""
    if isinstance(audience, dict):
        del audience[subscriber]
        # Half as few, so that somebody who comes and goes doesn't cost a conversion each time.
        return _kept(list(audience.values())) if len(audience) <= FEW // 2 else audience
    others = [other for other in pairs(audience) if other[0] != subscriber]
    return _kept(others) if others else None


def _kept(members: list[Pair[S, V]]) -> Audience[S, V]:
    if len(members) == 1:
        return members[0]
    if len(members) <= FEW:
        return members
    return {pair[0]: pair for pair in members}
