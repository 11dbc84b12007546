"""The border between worker threads and the Trio thread.

`trio.lowlevel.TrioToken.run_sync_soon` is the only way across, costs a system call and kills the
whole run when what it calls raises. So calls are collected: one crossing serves all that came
while it was under way, and an exception in one becomes an ordinary failure of the server.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, NoReturn

import trio

if TYPE_CHECKING:
    from collections.abc import Callable


class Border:
    """Brings calls of any thread to the Trio thread. Make it on the Trio thread."""

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._thread = threading.get_ident()
        self._calls: deque[Callable[[], object]] = deque()
        self._crossing = False
        self._broken = trio.Event()
        self._error: BaseException | None = None

    @property
    def here(self) -> bool:
        """Whether the caller is on the Trio thread."""
        return threading.get_ident() == self._thread

    def soon(self, call: Callable[[], object]) -> None:
        """Call it on the Trio thread, soon and in the order asked for. From any thread.

        Does nothing once the Trio run is over.
        """
        self._calls.append(call)
        if not self._crossing:  # set late, it costs a crossing that finds nothing
            self._crossing = True
            try:
                self._token.run_sync_soon(self._arrive)
            except trio.RunFinishedError:
                self._calls.clear()
                self._crossing = False

    def now(self, call: Callable[[], object]) -> None:
        """Call it at once on the Trio thread, or soon from another."""
        if self.here:
            call()
        else:
            self.soon(call)

    async def guard(self) -> NoReturn:
        """Wait for a call to raise, and raise that here, where a nursery sees it."""
        await self._broken.wait()
        assert self._error is not None
        raise self._error

    def _arrive(self) -> None:
        self._crossing = False
        calls = self._calls
        for _ in range(len(calls)):
            try:
                calls.popleft()()
            except BaseException as error:  # noqa: BLE001  # a bug of ours; `guard` raises it
                self._error = error
                self._broken.set()
