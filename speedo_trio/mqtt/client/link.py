"""A link: a stream that is read by one task, and written to by another, so that callers don't wait.

Next: `speedo_trio.mqtt.client.conversation`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

import trio

from speedo_trio.errors import ConnectionLost
from speedo_trio.mqtt.client.dialing import why

if TYPE_CHECKING:
    from collections.abc import Callable

READ_BYTES: Final = 65_536
FULL_BYTES: Final = 65_536
"""With so much that waits to be sent, those who can wait do."""


class Link:
    """What is written leaves in order and joined; `write` must run in a task."""

    def __init__(self, stream: trio.abc.Stream, sent: Callable[[], None]) -> None:
        """Args: the stream, and what is told that something has left."""
        self._stream = stream
        self._sent = sent
        self._waiting: list[bytes] = []
        self._size = 0
        self._stirred = trio.lowlevel.ParkingLot()
        self._left = trio.lowlevel.ParkingLot()

    def put(self, data: bytes) -> None:
        """Send whole packets, as soon as the network takes them."""
        if data:
            self._waiting.append(data)
            self._size += len(data)
            self._stirred.unpark_all()

    @property
    def full(self) -> bool:
        """Whether so much waits to be sent that one should not add to it."""
        return self._size >= FULL_BYTES

    async def room(self, most: int = FULL_BYTES) -> None:
        """Wait until less than `most` bytes wait to be sent; with 1 until all has left."""
        while self._size >= most:
            await self._left.park()

    async def write(self) -> NoReturn:
        """Send what is put, until cancelled.

        Raises:
            ConnectionLost: the network or the server is gone.
        """
        try:
            while True:
                while not self._waiting:
                    await self._stirred.park()
                batch, self._waiting = self._waiting, []
                data = batch[0] if len(batch) == 1 else b"".join(batch)
                await self._stream.send_all(data)
                self._size -= len(data)
                self._sent()
                self._left.unpark_all()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise lost(error) from error

    async def read(self) -> bytes:
        """The next bytes; nothing at the end.

        Raises:
            ConnectionLost: the network or the server is gone.
        """
        try:
            return bytes(await self._stream.receive_some(READ_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise lost(error) from error

    async def say_goodbye(self, data: bytes, seconds: float) -> None:
        """Send last words, unless something was cut off in the middle, and close.

        `write` must have ended. It takes so long at most, whoever cancels.
        """
        with trio.move_on_after(seconds, shield=True):
            try:
                if data and self._size == 0:
                    await self._stream.send_all(data)
                await self._stream.aclose()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
        await trio.aclose_forcefully(self._stream)

    async def close(self, seconds: float) -> None:
        """Close the stream; the other side gets so long for what its layers have to say."""
        with trio.move_on_after(seconds, shield=True):
            await self._stream.aclose()

    async def close_forcefully(self) -> None:
        """Close the stream without a word."""
        await trio.aclose_forcefully(self._stream)


def lost(error: Exception) -> ConnectionLost:
    """The error of a stream that broke."""
    return ConnectionLost(f"the connection broke: {why(error)}")
