"""The tally: what a load has measured."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from attrs import define, field

from speedo_trio.cli.bench.failure import Failure, Kind
from speedo_trio.cli.bench.histogram import Histogram

if TYPE_CHECKING:
    from speedo_trio.cli.bench.dialogue import Wrong


@define(kw_only=True)
class Volume:
    """How much went each way."""

    requests: int = 0
    replies: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0

    def copy(self) -> Volume:
        """The same numbers, which stay."""
        return Volume(
            requests=self.requests,
            replies=self.replies,
            bytes_sent=self.bytes_sent,
            bytes_received=self.bytes_received,
        )


@define(eq=False)
class Tally:
    """What all clients of a load have measured. Times are nanoseconds.

    A warm-up's volume and latencies don't count, nor what comes after the end for the volume. What
    goes wrong always counts.
    """

    volume: Volume = field(factory=Volume)
    latencies: Histogram = field(factory=Histogram)
    connects: Histogram = field(factory=Histogram)
    """How long it took until connections could be used, their handshakes included."""
    failures: Counter[Kind] = field(factory=Counter)
    examples: dict[Kind, str] = field(factory=dict)
    """The first failure of each kind, in words."""
    lost: int = 0
    """Requests that were sent and never answered."""
    began: int = 0
    ended: int = 0
    latest: int = 0
    """When something was last received."""
    counted: Volume = field(factory=Volume)
    """The volume between `began` and `ended`."""

    def begin(self, now: int, *, connects: bool) -> None:
        """Measure from `now` on.

        Args:
            connects: whether connections that were made before are not to count, either.
        """
        self.volume = Volume()
        self.latencies = Histogram()
        if connects:
            self.connects = Histogram()
        self.began = now

    def end(self, now: int) -> None:
        """The time is over. Latencies of what comes yet still count, or slow ones would not."""
        if not self.began:  # the warm-up was not over
            self.begin(now, connects=False)
        if not self.ended:
            self.ended = now
            self.counted = self.volume.copy()

    def fail(self, failure: Failure, count: int = 1) -> None:
        """Note a failure, `count` times."""
        self.failures[failure.kind] += count
        self.examples.setdefault(failure.kind, str(failure))

    def wrong(self, wrong: Wrong) -> None:
        """Note wrong replies."""
        self.fail(Failure(Kind.WRONG, str(wrong)), wrong.count)

    @property
    def faultless(self) -> bool:
        """Whether nothing went wrong."""
        return not self.failures and not self.lost

    @property
    def seconds(self) -> float:
        """How long was measured."""
        return (self.ended - self.began) / 1e9

    def per_second(self, number: int) -> float:
        """`number` for each second that was measured; 0 when none was."""
        return number / self.seconds if self.ended > self.began else 0.0
