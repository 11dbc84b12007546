"""The poller: one task that hears for all sockets, where the system has epoll.

A task for each socket is woken for each chunk, which costs more than the chunk. Here one is woken
for all that have something, and asks the kernel about each socket only once: that doubles what
many clients with one request each can do.
"""

from __future__ import annotations

import select
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

_AT_ONCE = 1024


def open_poller() -> Poller | None:
    """A poller; None where there is no epoll, and each connection must hear for itself."""
    return Poller() if hasattr(select, "epoll") else None


class Poller:
    """Calls back for sockets that can be read, while `run` runs. Close it."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[], None]] = {}

    def close(self) -> None:
        """Let go of the epoll instance; nothing is watched, and `run` does not run any more."""
        self._epoll.close()

    @contextmanager
    def watching(self, watched: socket.socket, callback: Callable[[], None]) -> Iterator[None]:
        """Inside the block, `callback` is called again and again while there is something to read.

        The socket must stay open until the block is left.
        """
        number = watched.fileno()
        self._callbacks[number] = callback
        self._epoll.register(number, select.EPOLLIN)
        try:
            yield
        finally:
            self._epoll.unregister(number)
            del self._callbacks[number]

    async def run(self) -> None:
        """Call back until it is cancelled. What a callback raises ends it."""
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            for number, _ in self._epoll.poll(0, _AT_ONCE):
                self._callbacks[number]()
