"""A client of the load: a connection, and the next one when it ends.

Its hot path knows no single requests: a chunk that is received is compared as a whole, and what it
leaves room for goes out as one batch, without a task switch while the kernel takes it.
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING

import trio

from speedo_trio.cli.bench.connector import READ_BYTES
from speedo_trio.cli.bench.failure import Failure, Kind, failure_of
from speedo_trio.cli.bench.flight import Flight
from speedo_trio.errors import ConnectionLost

if TYPE_CHECKING:
    from speedo_trio.cli.bench.connector import Opened
    from speedo_trio.cli.bench.course import Course
    from speedo_trio.cli.bench.schedule import Schedule
    from speedo_trio.io.wire import Wire

RETRY_SECONDS = 0.1
"""How long to wait after a failure before connecting again, so that a server that is gone isn't
asked all the time."""
_PUSH_BYTES = 65_536
"""How much of what waits is offered to the wire at once."""


class Client:
    """Keeps its window full, or to the schedule, until the load ends."""

    def __init__(self, number: int, course: Course) -> None:
        """Args: which client of the load it is, from 0; what it shares with the others."""
        self._number = number
        self._course = course
        self._window = course.plan.window
        self._once = course.plan.connect_each
        self._flight = Flight()
        self._dialogue = course.dialogue()
        self._opened: Opened | None = None
        self._wire: Wire  # of the conversation
        self._talking = False  # the wire is in use and nothing is wrong with it yet
        self._asked = 0  # requests on this wire
        self._scheduled = 0  # requests of the schedule that were sent
        self._unsent = bytearray()  # what the kernel did not take at once
        self._nursery: trio.Nursery | None = None
        self._waiting = trio.CancelScope()  # around what `stop` may interrupt

    def adopt(self, opened: Opened) -> None:
        """Have this connection, which nobody has used yet, as the next."""
        self._opened = opened
        self._course.tally.connects.record(opened.took)

    async def connect(self) -> None:
        """Have a connection, unless that fails, which is counted; `run` tries again."""
        if self._opened is not None:
            return
        with trio.CancelScope() as self._waiting:
            try:
                self.adopt(await self._course.connector.open())
            except Failure as failure:
                self._course.tally.fail(failure)

    async def run(self) -> None:
        """Ask and hear until the load ends, or the server cannot be connected to any more."""
        try:
            while not self._course.ending and (opened := await self._connected()):
                await self._converse(opened)
        finally:
            await self.hang_up()

    async def hang_up(self) -> None:
        """Close the connection, if there is one."""
        if self._opened is not None:
            opened, self._opened = self._opened, None
            await opened.wire.close()

    def tick(self) -> None:
        """A request of the schedule is due: send it, if there is a connection with room."""
        if self._talking:
            self._ask()

    def look(self, now: int) -> None:
        """See whether a reply takes too long; if so the connection ends."""
        oldest = self._flight.oldest()
        timeout = self._course.plan.timeout
        if oldest is not None and now - oldest > timeout * 1e9:
            self._fail(Failure(Kind.TIMEOUT, f"no reply within {timeout:g} s"))

    def stop(self) -> None:
        """The load ends: wait for nothing but replies to what was sent."""
        if not self._flight.count:
            self._waiting.cancel()

    def cut(self) -> None:
        """The load ends, and nothing is waited for."""
        self._waiting.cancel()

    def behind(self, now: int) -> int:
        """How many requests of the schedule were due by `now` and not sent."""
        schedule = self._course.schedule
        return 0 if schedule is None else schedule.due(self._number, now) - self._scheduled

    async def _connected(self) -> Opened | None:
        """Wait for a connection; None when there is none within the timeout, or the load ends."""
        await self._turn()
        give_up = trio.current_time() + self._course.plan.timeout
        while not self._course.ending:
            await self.connect()
            if self._opened is not None:
                return self._opened
            if trio.current_time() >= give_up:
                return None
            with trio.CancelScope() as self._waiting:
                await trio.sleep(RETRY_SECONDS)
        return None

    async def _turn(self) -> None:
        """With a schedule and a connection for each request: wait until the next is due."""
        schedule = self._course.schedule
        if self._once and schedule is not None:
            due = schedule.moment_of(self._number, self._scheduled)
            with trio.CancelScope() as self._waiting:
                await trio.sleep(max(0, due - perf_counter_ns()) / 1e9)

    async def _converse(self, opened: Opened) -> None:
        """Ask and hear on the connection until it ends or has had its part."""
        self._dialogue = self._course.dialogue()
        self._asked = 0
        self._unsent.clear()
        self._wire = opened.wire
        self._talking = True
        async with trio.open_nursery() as self._nursery:
            self._waiting = self._nursery.cancel_scope
            self._ask()
            await self._listen(opened)
        lost = self._flight.crash()
        if not self._course.interrupted:
            self._course.tally.lost += lost
        await self.hang_up()

    async def _listen(self, opened: Opened) -> None:
        """Hear until `_end` cancels it."""
        poller = self._course.poller
        if opened.socket is not None and poller is not None:
            with poller.watching(opened.socket, self._receive):
                await trio.sleep_forever()
        while True:
            try:
                await opened.wire.readable()
            except ConnectionLost as error:
                self._fail(failure_of(error))
            self._receive()

    def _receive(self) -> None:
        """Take what has come, if anything."""
        if not self._talking:
            return
        try:
            data = self._wire.read(READ_BYTES)
        except ConnectionLost as error:
            self._fail(failure_of(error))
            return
        if data:
            self._hear(data)
        elif data is not None:
            self._fail(Failure(Kind.EOF, "the server ended the connection"))

    def _hear(self, data: bytes) -> None:
        now = perf_counter_ns()
        heard, wrong = self._dialogue.hear(data)
        tally = self._course.tally
        tally.latest = now
        tally.volume.replies += heard
        tally.volume.bytes_received += len(data)
        self._flight.land(heard, now, tally.latencies.record)
        if wrong is not None:
            tally.wrong(wrong)
            if wrong.lasting:
                self._end()
                return
        self._ask()

    def _ask(self) -> None:
        """Send what may be sent now: up to a full window, but nothing before its time.

        When nothing is in flight then, and nothing will be asked, the conversation ends.
        """
        course = self._course
        if course.ending or (self._once and self._asked):
            if not self._flight.count:
                self._end()
        elif room := self._window - self._flight.count:
            if course.schedule is None:
                self._launch(room, None)
            elif (due := self.behind(perf_counter_ns())) > 0:
                self._launch(min(room, due), course.schedule)

    def _launch(self, room: int, schedule: Schedule | None) -> None:
        count = self._course.take(room)
        data = self._dialogue.ask(count)
        now = perf_counter_ns()
        if schedule is None:
            self._flight.launch(count, now, now)
        else:
            for number in range(self._scheduled, self._scheduled + count):
                self._flight.launch(1, schedule.moment_of(self._number, number), now)
            self._scheduled += count
        self._asked += count
        volume = self._course.tally.volume
        volume.requests += count
        volume.bytes_sent += len(data)
        self._send(data)

    def _send(self, data: bytes) -> None:
        """Send what the kernel takes at once; a task that ends when all is sent does the rest."""
        assert self._nursery is not None
        if self._unsent:
            self._unsent += data
            return
        try:
            sent = self._wire.send_nowait(data)
        except ConnectionLost as error:
            self._fail(failure_of(error))
            return
        if sent < len(data):
            self._unsent += data[sent:]
            self._nursery.start_soon(self._push, self._wire)

    async def _push(self, wire: Wire) -> None:
        try:
            while self._unsent:
                sent = await wire.push(bytes(self._unsent[:_PUSH_BYTES]))
                del self._unsent[:sent]
        except ConnectionLost as error:
            self._fail(failure_of(error))

    def _fail(self, failure: Failure) -> None:
        """Count a failure and end the connection; what fails after that is its consequence."""
        if self._talking:
            self._course.tally.fail(failure)
            self._end()

    def _end(self) -> None:
        self._talking = False
        assert self._nursery is not None
        self._nursery.cancel_scope.cancel()
