"""The load on a broker: all publishers and subscribers, from the first connection to the last copy.

Next: `speedo_trio.cli.bench.mqtt.report`.
"""

from __future__ import annotations

from secrets import token_hex
from time import perf_counter_ns
from typing import TYPE_CHECKING

import trio

from speedo_trio.cli.bench.course import Course, Phase
from speedo_trio.cli.bench.failure import Failure, Kind
from speedo_trio.cli.bench.mqtt.bout import Bout
from speedo_trio.cli.bench.mqtt.numbers import Numbers
from speedo_trio.cli.bench.mqtt.publisher import Publisher
from speedo_trio.cli.bench.mqtt.shape import Shape
from speedo_trio.cli.bench.mqtt.stamp import Payloads
from speedo_trio.cli.bench.mqtt.subscriber import Subscriber
from speedo_trio.cli.bench.poller import open_poller
from speedo_trio.mqtt.wire.versions import Version

if TYPE_CHECKING:
    from speedo_trio.cli.bench.connector import Connector
    from speedo_trio.cli.bench.mqtt.peer import Peer
    from speedo_trio.cli.bench.plan import Plan

_CONNECTING_AT_ONCE = 64
"""Fewer than the shortest usual queue of a listening socket (128) has room for."""
_LOOK_SECONDS = 0.02
"""How often it is looked at the end whether all has come."""


class MQTTLoad:
    """The clients of a plan. `run` it once; `course.tally` has the results then."""

    def __init__(self, plan: Plan, connector: Connector) -> None:
        self.course: Course = Course(plan, connector, poller=open_poller())
        self._plan = plan
        self._shape = Shape(plan.shape_name, plan.clients, f"bench-{token_hex(4)}")
        self._bout = Bout(
            self.course,
            self._shape,
            Version(plan.version),
            plan.qos or 0,
            Payloads(plan.line_bytes),
        )
        self._publishers = [Publisher(each, self._bout) for each in range(self._shape.publishers)]
        self._bout.publishers.extend(self._publishers)
        self._subscribers = self._make_subscribers()
        self._connecting = trio.CancelScope()
        self._refused: Failure | None = None

    def _make_subscribers(self) -> list[Subscriber]:
        def numbers() -> list[Numbers]:
            return [Numbers() for _ in range(self._shape.publishers)]

        shared = numbers()
        return [
            Subscriber(each, self._bout, shared if self._shape.shared else numbers())
            for each in range(self._shape.subscribers)
        ]

    async def run(self) -> None:
        """Connect, warm up, measure, and wait for the last copies.

        Raises:
            Failure: a connection could not be made, or a client was refused.
        """
        try:
            with self._connecting:
                await self._connect()
            if self._refused is not None:
                raise self._refused
            if not self.course.interrupted:
                await self._measure()
        finally:
            with trio.CancelScope(shield=True):  # no wire's close waits
                for peer in (*self._publishers, *self._subscribers):
                    await peer.hang_up()
            if self.course.poller is not None:
                self.course.poller.close()

    def interrupt(self) -> None:
        """End now, with what was measured so far. What is on its way is not waited for."""
        self.course.interrupted = True
        self._connecting.cancel()
        if self.course.phase is not Phase.CONNECTING:
            self._finish()
            self._bout.nursery.cancel_scope.cancel()

    async def _connect(self) -> None:
        """Subscribers first, so that they miss nothing."""
        first, *others = self._subscribers
        await first.connect(await self.course.connector.open_first())
        await self._connect_all(others)
        await self._connect_all(self._publishers)

    async def _connect_all(self, peers: list[Subscriber] | list[Publisher]) -> None:
        room = trio.CapacityLimiter(_CONNECTING_AT_ONCE)

        async def connect(peer: Peer) -> None:
            async with room:
                try:
                    await peer.connect()
                except Failure as failure:
                    self._refused = failure
                    self._connecting.cancel()

        async with trio.open_nursery() as nursery:
            for peer in peers:
                nursery.start_soon(connect, peer)

    async def _measure(self) -> None:
        async with trio.open_nursery() as self._bout.nursery:
            nursery = self._bout.nursery
            if self.course.poller is not None:
                nursery.start_soon(self.course.poller.run)
            for peer in (*self._publishers, *self._subscribers):
                nursery.start_soon(peer.listen)
            if self._plan.warm_up_seconds:
                self.course.phase = Phase.WARMING_UP
            else:
                self._begin()
            for publisher in self._publishers:
                publisher.fill()
            await self._keep_time()
            nursery.cancel_scope.cancel()
        self._finish()
        if not self.course.interrupted:
            self._judge()

    async def _keep_time(self) -> None:
        if self.course.phase is Phase.WARMING_UP:
            await trio.sleep(self._plan.warm_up_seconds)
            self._begin()
        await trio.sleep(self._plan.measuring_seconds)
        self._finish()
        with trio.move_on_after(self._plan.timeout):
            while not self._bout.settled:  # noqa: ASYNC110  # no event for each message
                await trio.sleep(_LOOK_SECONDS)

    def _begin(self) -> None:
        """What comes now counts."""
        self.course.phase = Phase.MEASURING
        self.course.tally.begin(perf_counter_ns(), connects=False)

    def _finish(self) -> None:
        """Publish nothing more, and end the measurement, unless it has ended."""
        self.course.phase = Phase.FINISHING
        if not self.course.tally.ended:
            self.course.tally.end(perf_counter_ns())

    def _judge(self) -> None:
        """Count what has not come."""
        for number, publisher in enumerate(self._publishers):
            if owed := publisher.owed:
                text = f"{owed} of publisher {number}, which has published {publisher.published}"
                self._bout.fault(Kind.LOST, text, owed)
            if pending := publisher.pending:
                self._bout.fault(Kind.UNACKNOWLEDGED, f"{pending} of publisher {number}", pending)
