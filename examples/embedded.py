"""A server as one part of a Trio application, beside a task that takes readings.

Shows that ``await nursery.start(serve, …)`` returns when the server listens, that messages share
the application's objects (they are ``async def``, so they run on the Trio thread and need no
lock), that a message may wait for what another task does, and how both end in order: first the
server drains, then the task that it needs is cancelled.

Run it with ``python embedded.py``, then type into ``nc localhost 9292``

    last        the last reading
    next        waits for the next one
    mean        the mean of the readings of the last minute

End it with Ctrl-C: who waits for a reading still gets it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import deque
from functools import partial
from statistics import fmean

import trio
from attrs import define

from speedo_trio import Connection, LineProtocol, Message, Server, serve


class Sampler:
    """Reads the machine's load once a period."""

    def __init__(self, period: float) -> None:
        self.period = period
        self.readings: deque[float] = deque([os.getloadavg()[0]], maxlen=round(60 / period))
        self._news = trio.Event()

    async def run(self) -> None:
        """Take readings until cancelled."""
        while True:
            await trio.sleep(self.period)
            self.readings.append(os.getloadavg()[0])
            self._news.set()
            self._news = trio.Event()

    async def next(self) -> float:
        """Wait for the next reading."""
        await self._news.wait()
        return self.readings[-1]


@define
class Query(Message):
    """What a peer wants to know."""

    sampler: Sampler
    what: bytes

    async def execute(self) -> bytes:  # async, so it may wait and shares objects without locks
        match self.what:
            case b"last":
                reading = self.sampler.readings[-1]
            case b"next":
                reading = await self.sampler.next()
            case b"mean":
                reading = fmean(self.sampler.readings)
            case _:
                return b"last, next or mean?"
        return b"%.2f" % reading


class ReadingsProtocol(LineProtocol):
    """A query a line, a reading a line."""

    def __init__(self, sampler: Sampler, connection: Connection) -> None:
        super().__init__(connection)
        self.sampler = sampler

    def frame(self, line: bytes) -> Query:
        return Query(self.sampler, line)


async def main(*binds: str) -> None:
    """The application: from the start of its tasks to their end."""
    sampler = Sampler(period=1.0)
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sampler.run)
            server: Server = await nursery.start(serve, partial(ReadingsProtocol, sampler), *binds)
            print("serving readings on", *server.addresses, flush=True)
            await anext(signals)
            print(await server.drain())
            nursery.cancel_scope.cancel()  # the sampler: nobody waits for a reading any more


if __name__ == "__main__":
    trio.run(main, *(sys.argv[1:] or ["tcp://localhost:9292"]))
