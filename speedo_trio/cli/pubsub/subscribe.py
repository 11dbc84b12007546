"""``trio-speedo sub``: messages from a server to stdout.

Next: `speedo_trio.cli.pubsub.rendering`.
"""

from __future__ import annotations

import math
import os
import sys
from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field

from speedo_trio.cli.mistakes import Mistake
from speedo_trio.cli.output import complain
from speedo_trio.cli.pubsub.rendering import renderer
from speedo_trio.cli.pubsub.run import DONE, FAILED, INTERRUPTED, UNFINISHED, run_work
from speedo_trio.cli.pubsub.schemes import scheme_of
from speedo_trio.cli.pubsub.writing import Writer
from speedo_trio.cli.trust import client_context
from speedo_trio.errors import SpeedoError

if TYPE_CHECKING:
    from collections.abc import Callable

    from speedo_trio.cli.pubsub.contract import PubSubClient, Received
    from speedo_trio.cli.pubsub.plan import SubPlan

_STDOUT: Final = 1
_LAST_SECONDS: Final = 1.0
"""How long after a signal what has come may take to be written."""


def run_sub(filters: tuple[str, ...], plan: SubPlan) -> int:
    """Write what comes until the plan is done; returns the exit status. Errors go to stderr.

    Raises:
        Mistake: a certificate cannot be read, or stdout is closed.
    """
    if sys.stdout is None:  # it was when Python started; the descriptor may be anything now
        raise Mistake("cannot write to stdout: it is closed")
    return run_work(Subscribing(filters, plan))


@define(eq=False)
class Subscribing:
    """The work of one command."""

    _filters: tuple[str, ...]
    _plan: SubPlan
    _writer: Writer = field(factory=lambda: Writer(_STDOUT), init=False)
    _listening: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _writing: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _interrupted: bool = field(default=False, init=False)
    _waiting_for: str | None = field(default="connection", init=False)
    _count: int = field(default=0, init=False)

    def interrupt(self) -> None:
        self._interrupted = True
        self._listening.cancel()
        self._writing.deadline = trio.current_time() + _LAST_SECONDS

    async def run(self) -> int:
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write)
            try:
                with self._listening:
                    await self._listen()
            except (Mistake, SpeedoError, UnicodeError) as error:
                failure = error  # raised below, when all is written, and not in a group
            self._writer.end()
        if self._writer.error is not None:
            return self._not_written(self._writer.error)
        if failure is not None:
            raise failure
        return self._status()

    def _not_written(self, error: OSError) -> int:
        if isinstance(error, BrokenPipeError):
            return DONE  # as with ``| head -1``: the reader has seen enough
        complain(f"cannot write to stdout: {error.strerror}")
        return FAILED

    def _status(self) -> int:
        missing = self._plan.count is not None and self._count < self._plan.count
        if self._interrupted:
            return INTERRUPTED if missing or self._waiting_for else DONE
        if self._waiting_for is not None:
            complain(f"no {self._waiting_for} within {self._plan.timeout:g} s: {self._plan.url}")
            return FAILED
        return UNFINISHED if missing else DONE

    async def _write(self) -> None:
        with self._writing:
            await self._writer.run()
        self._listening.cancel()  # nobody reads what would come

    async def _listen(self) -> None:
        """Subscribe, and have what comes written."""
        scheme = scheme_of(self._plan.url)
        context = client_context(self._plan) if scheme.secure else None
        with trio.move_on_after(self._plan.timeout) as patience:
            async with scheme.connect(self._plan, context) as client:
                self._waiting_for = "answer"
                patience.deadline = trio.current_time() + self._plan.timeout
                await client.subscribe(*self._filters)
                self._waiting_for = None
                patience.deadline = math.inf
                with trio.move_on_after(self._plan.seconds or math.inf):
                    await self._receive(client)

    async def _receive(self, client: PubSubClient) -> None:
        render = renderer(self._plan, terminal=os.isatty(_STDOUT))
        wanted = self._wanted()
        async for message in client:
            if wanted(message):
                self._count += 1
                await self._writer.put(render(message))
                if self._count == self._plan.count:
                    return

    def _wanted(self) -> Callable[[Received], bool]:
        """Whether a message is to be written."""
        if self._plan.no_retained:
            return lambda message: not message.retain
        if self._plan.only_retained:
            return lambda message: message.retain
        return lambda message: True
