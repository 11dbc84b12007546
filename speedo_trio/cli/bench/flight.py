"""The flight: requests that were sent and are not yet answered, and how long answers take."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Flight:
    """What one connection has in flight. Answers come in the order of the requests.

    Requests that are sent together share their stamps, so that a batch costs what a line does.
    Times are nanoseconds of one clock, whichever.
    """

    __slots__ = ("_batches", "count")

    def __init__(self) -> None:
        # Count, when they should have been sent, when they were.
        self._batches: deque[tuple[int, int, int]] = deque()
        self.count: int = 0
        """Requests in flight."""

    def launch(self, count: int, since: int, sent: int) -> None:
        """`count` requests are sent at the time `sent`; their latencies count from `since`."""
        self._batches.append((count, since, sent))
        self.count += count

    def land(self, count: int, now: int, record: Callable[[int, int], None]) -> None:
        """The oldest `count` requests, at most as many as are in flight, are answered `now`.

        Args:
            record: is called with each latency and how many requests it is of.
        """
        batches = self._batches
        self.count -= count
        while count:
            batch, since, sent = batches.popleft()
            if batch > count:
                batches.appendleft((batch - count, since, sent))
                batch = count
            record(now - since, batch)
            count -= batch

    def oldest(self) -> int | None:
        """When the request that waits longest was sent; None when nothing is in flight."""
        return self._batches[0][2] if self._batches else None

    def crash(self) -> int:
        """Nothing more will be answered; how many requests that leaves without an answer."""
        lost, self.count = self.count, 0
        self._batches.clear()
        return lost
