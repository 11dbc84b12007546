"""The quiet client: one short line at a steady pace, each reply timed."""

from __future__ import annotations

import math
import select
import socket
import time
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from benchmarks.servers import HOST, ServerError

if TYPE_CHECKING:
    from collections.abc import Sequence

PACE_SECONDS = 0.01
PATIENCE_SECONDS = 10  # for the replies that are still due when the last line has been sent


@frozen(kw_only=True)
class RoundTrips:
    """What the quiet client saw, in µs."""

    p50_us: float
    p99_us: float
    max_us: float


def quiet_client(port: int, seconds: float) -> RoundTrips:
    """Send a line every `PACE_SECONDS`, whether or not replies are late, and time each reply.

    Because lines go out on time even while replies are late, a server that stalls is charged
    with every line that the stall delays, not just the first.

    Raises:
        ServerError: A wrong reply, a lost connection, or replies missing at the end.
    """
    try:
        with socket.create_connection((HOST, port), timeout=PATIENCE_SECONDS) as stream:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return _round_trips(_Conversation(stream).timed(seconds))
    except OSError as error:
        raise ServerError(f"the quiet client's connection: {error}") from error


def _round_trips(trips: Sequence[float]) -> RoundTrips:
    ordered = sorted(trip * 1e6 for trip in trips)
    return RoundTrips(
        p50_us=ordered[len(ordered) // 2],
        p99_us=ordered[len(ordered) * 99 // 100],
        max_us=ordered[-1],
    )


@define
class _Conversation:
    """Lines out, replies in; replies are checked and matched with their lines by number."""

    stream: socket.socket
    sent_at: list[float] = field(factory=list)
    trips: list[float] = field(factory=list)
    rest: bytes = b""

    def timed(self, seconds: float) -> list[float]:
        """Talk for so long, then wait for the last replies; the round trips in seconds."""
        start = time.perf_counter()
        for number in range(max(1, math.floor(seconds / PACE_SECONDS))):
            self._listen_until(start + number * PACE_SECONDS)
            self.sent_at.append(time.perf_counter())
            self.stream.sendall(_line(number))
        self._listen_until(time.perf_counter() + PATIENCE_SECONDS, all_replies=True)
        if len(self.trips) < len(self.sent_at):
            missing = len(self.sent_at) - len(self.trips)
            raise ServerError(f"{missing} of {len(self.sent_at)} quiet lines were not answered")
        return self.trips

    def _listen_until(self, deadline: float, *, all_replies: bool = False) -> None:
        while not (all_replies and len(self.trips) == len(self.sent_at)):
            left = deadline - time.perf_counter()
            readable, _, _ = select.select([self.stream], [], [], max(left, 0))
            if readable:
                self._take(self.stream.recv(65536))
            elif left <= 0:
                return

    def _take(self, data: bytes) -> None:
        now = time.perf_counter()
        if not data:
            raise ServerError("the server ended the quiet client's connection")
        *replies, self.rest = (self.rest + data).split(b"\n")
        for reply in replies:
            number = len(self.trips)
            if number == len(self.sent_at) or reply + b"\n" != _line(number):
                raise ServerError(f"quiet line {number} was answered with {reply!r}")
            self.trips.append(now - self.sent_at[number])


def _line(number: int) -> bytes:
    return b"quiet line %d\n" % number
