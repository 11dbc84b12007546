"""The writer: one thread that does a store's work, one job after the other.

Next: `speedo_trio.mqtt.store.fetching`.
"""

from __future__ import annotations

import logging
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeAlias

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    Job: TypeAlias = Callable[[], object]
    Done: TypeAlias = Callable[[object, Exception | None], None]

_logger = logging.getLogger("speedo_trio.mqtt")


class Writer:
    """A thread, from `start` to `end`. All of it is for the Trio thread."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[Job, Done] | None] = SimpleQueue()
        self._token = trio.lowlevel.current_trio_token()
        self._over = trio.Event()
        self._thread = threading.Thread(target=self._work, name="mqtt store", daemon=True)
        self._thread.start()

    def put(self, job: Job, done: Done) -> None:
        """Have a job done after those before.

        Args:
            done: Called in the Trio thread with what the job gave, or with what it raised.
        """
        self._jobs.put((job, done))

    async def end(self) -> None:
        """Wait until all jobs are done and the thread has ended. A cancel leaves it to itself."""
        self._jobs.put(None)
        await self._over.wait()

    def _work(self) -> None:
        while True:
            order = self._jobs.get()
            if order is None:
                break
            job, done = order
            result: object = None
            error: Exception | None = None
            try:
                result = job()
            except Exception as raised:  # noqa: BLE001  # for the one who asked
                error = raised
            del order, job
            if not self.tell(_Report(done, result, error)):
                return
        self.tell(self._over.set)

    def tell(self, report: Callable[[], object]) -> bool:
        """From the thread: have something done on the Trio thread, which must not raise.

        Returns:
            Whether it will be; False when Trio has ended.
        """
        try:
            self._token.run_sync_soon(report)
        except trio.RunFinishedError:
            return False
        return True


class _Report:
    """What a job came to."""

    def __init__(self, done: Done, result: object, error: Exception | None) -> None:
        self._done = done
        self._result = result
        self._error = error

    def __call__(self) -> None:
        try:
            self._done(self._result, self._error)
        except Exception:
            _logger.exception("what the store has written could not be passed on")
