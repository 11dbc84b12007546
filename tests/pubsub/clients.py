"""Subscribers for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from speedo_trio.pubsub.publication import Publication
from speedo_trio.pubsub.subscriber import Subscriber

Failure: TypeAlias = tuple[object, bytes, str]
"""Who failed, with which payload, and how."""


class Client:
    """A subscriber that keeps what it gets, refuses, or does something of the test's."""

    def __init__(self, name: str, act: Callable[[Publication], None] | None = None) -> None:
        self.name = name
        self.act = act
        self.takes = True
        self.got: list[tuple[bytes, int]] = []

    def __repr__(self) -> str:
        return self.name

    def deliver(self, publication: Publication, value: int) -> bool:
        """Keep payload and value."""
        if self.act is not None:
            self.act(publication)
        if self.takes:
            self.got.append((publication.payload, value))
        return self.takes


def failing(name: str) -> Client:
    """A subscriber that raises whatever it gets."""

    def fail(publication: Publication) -> None:
        raise RuntimeError(f"{name} failed")

    return Client(name, fail)


class Failures(list[Failure]):
    """What was reported."""

    def report(
        self, subscriber: Subscriber[Publication, int], publication: Publication, error: Exception
    ) -> None:
        """Keep it."""
        self.append((subscriber, publication.payload, str(error)))
