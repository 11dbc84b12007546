"""The bout: what publishers and subscribers of a load share.

Next: `speedo_trio.cli.bench.mqtt.peer`.
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING, Protocol

from attrs import define, field

from speedo_trio.cli.bench.failure import Failure, Kind

if TYPE_CHECKING:
    import trio

    from speedo_trio.cli.bench.connector import Connector
    from speedo_trio.cli.bench.course import Course
    from speedo_trio.cli.bench.mqtt.shape import Shape
    from speedo_trio.cli.bench.mqtt.stamp import Payloads
    from speedo_trio.cli.bench.plan import Plan
    from speedo_trio.cli.bench.poller import Poller
    from speedo_trio.cli.bench.tally import Tally
    from speedo_trio.mqtt.wire.versions import Version


class Source(Protocol):
    """What others know of a publisher."""

    published: int
    """Messages; the last one has this number."""
    delivered: int
    """Copies that have come, none of them twice."""

    @property
    def owed(self) -> int:
        """Copies that have not come."""

    @property
    def pending(self) -> int:
        """Messages that are not acknowledged."""

    def fill(self) -> None:
        """Publish what the window has room for."""


@define(eq=False)
class Bout:
    """Shape, payloads, publishers by their numbers, and how the load goes."""

    course: Course
    shape: Shape
    version: Version
    qos: int
    payloads: Payloads
    publishers: list[Source] = field(factory=list)
    nursery: trio.Nursery = field(init=False)
    """Of the load, while it runs."""

    @property
    def plan(self) -> Plan:
        """What was asked for."""
        return self.course.plan

    @property
    def tally(self) -> Tally:
        """What was measured."""
        return self.course.tally

    @property
    def connector(self) -> Connector:
        """Makes connections."""
        return self.course.connector

    @property
    def poller(self) -> Poller | None:
        """Hears for sockets, where the system can do that."""
        return self.course.poller

    @property
    def settled(self) -> bool:
        """Whether all that was published has come, and was acknowledged."""
        return not any(publisher.owed or publisher.pending for publisher in self.publishers)

    def now(self) -> int:
        """In nanoseconds."""
        return perf_counter_ns()

    def fault(self, kind: Kind, text: str, count: int = 1) -> None:
        """Count something that is wrong with a message."""
        self.tally.fail(Failure(kind, text), count)

    def fail(self, failure: Failure) -> None:
        """Count a failure, and end the load: without one client its figures mean nothing."""
        if not self.nursery.cancel_scope.cancel_called:
            self.tally.fail(failure)
            self.nursery.cancel_scope.cancel()
