"""The inbox: messages that have come, and wait for the tasks that iterate.

Next: `speedo_trio.mqtt.client.conversation`.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

from speedo_trio.pubsub.bounds import checked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from speedo_trio.mqtt.client.message import ReceivedMessage


class Inbox:
    """Messages in the order in which they came. One task reads and puts, any number take.

    It is the reader that keeps the bound, by `room`: then the network makes the server wait.
    """

    def __init__(self, bound: int) -> None:
        """Begin without a message.

        Args:
            bound: with so many messages there is no room.

        Raises:
            ConfigError: the bound is less than 1, which would never let a message in.
        """
        self._bound = checked("buffer", bound)
        self._messages: deque[ReceivedMessage] = deque()
        self._takers = trio.lowlevel.ParkingLot()
        self._reader = trio.lowlevel.ParkingLot()
        self._hurries = 0
        self._discards = False
        self._closed = False

    def put(self, message: ReceivedMessage) -> None:
        """Add a message, whether or not there is room."""
        if not self._discards:
            self._messages.append(message)
            self._takers.unpark()

    @property
    def full(self) -> bool:
        """Whether nothing is to be read now."""
        return len(self._messages) >= self._bound and not self._hurries and not self._discards

    async def room(self) -> None:
        """Wait until there is room, or somebody is in a hurry."""
        while self.full:
            await self._reader.park()

    @contextmanager
    def hurry(self) -> Iterator[None]:
        """For the block there is room without bound: what comes after the messages is needed."""
        self._hurries += 1
        self._reader.unpark_all()
        try:
            yield
        finally:
            self._hurries -= 1

    def discard(self) -> None:
        """Drop what comes from now on: nobody wants it any more."""
        self._discards = True
        self._reader.unpark_all()

    def close(self) -> None:
        """No more will come: have those who wait for it look."""
        self._closed = True
        self._takers.unpark_all()
        self._reader.unpark_all()

    async def take(self) -> ReceivedMessage | None:
        """Wait for the next message; None when there is none and no more will come.

        A cancel loses nothing. While messages are there it does not let other tasks run.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._messages:
            if self._closed:
                return None
            await self._takers.park()
        message = self._messages.popleft()
        if len(self._messages) < self._bound:
            self._reader.unpark_all()
        return message
