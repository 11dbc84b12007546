"""The writer: messages to stdout as soon as they come, whoever reads it however slowly.

Next: `speedo_trio.cli.pubsub.run`.
"""

from __future__ import annotations

import os
import select
from functools import partial
from typing import Final

import trio

_MOST_BYTES: Final = 65_536
"""With so much that waits to be written, no more is taken: as much as a pipe holds."""


class Writer:
    """Writes to a descriptor, in a thread: a pipe that nobody reads must not stop the event loop.

    What comes while it writes is written together.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting = bytearray()
        self._stirred = trio.lowlevel.ParkingLot()
        self._room = trio.lowlevel.ParkingLot()
        self._ended = False
        self.error: OSError | None = None
        """What ended the writing; a `BrokenPipeError` when the reader has gone."""

    async def put(self, data: bytes) -> None:
        """Have data written; waits while too much waits. After an error it is dropped."""
        self._waiting += data
        self._stirred.unpark_all()
        while len(self._waiting) >= _MOST_BYTES and self.error is None:
            await self._room.park()

    def end(self) -> None:
        """Have `run` return when all is written."""
        self._ended = True
        self._stirred.unpark_all()

    async def run(self) -> None:
        """Write what comes, until the end or an error. A cancel leaves some of it unwritten."""
        while self.error is None:
            if self._waiting:
                await self._write()
            elif self._ended:
                return
            else:
                await self._stirred.park()

    async def _write(self) -> None:
        data, self._waiting = self._waiting, bytearray()
        self._room.unpark_all()
        try:
            write = partial(write_all, self._descriptor, data)
            await trio.to_thread.run_sync(write, abandon_on_cancel=True)
        except OSError as error:
            self.error = error
            self._room.unpark_all()


def write_all(descriptor: int, data: bytes | bytearray) -> None:
    """Write all of it, and wait as long as that takes; also where somebody made it non-blocking.

    Not by `sys.stdout`, whose lock an abandoned thread would hold.
    """
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            select.select([], [descriptor], [])
