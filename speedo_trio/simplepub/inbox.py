"""The inbox: messages that have come, and wait for the tasks that iterate.

Next: `speedo_trio.simplepub.sender`.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

from speedo_trio.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from speedo_trio.broker.message import TopicMessage


class Inbox:
    """Messages in the order in which they came. One task reads and puts, any number take.

    It is the reader that keeps the bound, by `room`: then the network makes the server wait.
    """

    __slots__ = ("_bound", "_closed", "_discards", "_hurries", "_messages", "_reader", "_takers")

    def __init__(self, bound: int) -> None:
        """Begin without a message.

        Args:
            bound: with so many messages there is no room.

        Raises:
            ConfigError: the bound is less than 1.
        """
        check_bound(bound)
        self._bound = bound
        self._messages: deque[TopicMessage] = deque()
        self._takers = trio.lowlevel.ParkingLot()
        self._reader = trio.lowlevel.ParkingLot()
        self._hurries = 0
        self._discards = False
        self._closed = False

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: TopicMessage) -> None:
        """Add a message, whether or not there is room."""
        if not self._discards:
            self._messages.append(message)
            self._takers.unpark()

    async def room(self) -> None:
        """Wait until there is room, or somebody is in a hurry."""
        while len(self._messages) >= self._bound and not self._hurries and not self._discards:
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

    async def take(self) -> TopicMessage | None:
        """Wait for the next message; None when there is none and no more will come.

        A cancel loses nothing. While messages are there it does not let other tasks run.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._messages:
            if self._closed:
                return None
            await self._takers.park()
        message = self._messages.popleft()
        if self._reader and len(self._messages) < self._bound:
            self._reader.unpark_all()
        return message


def check_bound(bound: int) -> None:
    """See that an inbox may have that bound.

    Raises:
        ConfigError: it is less than 1, which would never let a message in.
    """
    if bound < 1:
        raise ConfigError(f"buffer is {bound}; allowed is a number of messages from 1")
