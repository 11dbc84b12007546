"""The schedule of an open loop: when which client is to send, whatever the server does."""

from __future__ import annotations

from attrs import frozen

SECOND = 1_000_000_000
"""Nanoseconds."""


@frozen(kw_only=True)
class Schedule:
    """Requests at a constant rate, the clients one after the other. Times are nanoseconds."""

    start: int
    """When the first request is due."""
    rate: float
    """Requests a second, of all clients together."""
    clients: int

    def moment(self, number: int) -> int:
        """When request `number` of all, counted from 0, is due."""
        return self.start + int(number * SECOND / self.rate)

    def passed(self, now: int) -> int:
        """How many requests of all clients are due by `now`."""
        number = max(0, int((now - self.start) * self.rate / SECOND) - 1)  # one too low at least
        while self.moment(number) <= now:
            number += 1
        return number

    def due(self, client: int, now: int) -> int:
        """How many requests of a client, counted from 0, are due by `now`."""
        return (self.passed(now) - client + self.clients - 1) // self.clients

    def moment_of(self, client: int, number: int) -> int:
        """When request `number` of a client, both counted from 0, is due."""
        return self.moment(client + number * self.clients)
