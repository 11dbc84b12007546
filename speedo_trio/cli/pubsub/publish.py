"""``trio-speedo pub``: messages from the command line, a file or stdin to a server.

Next: `speedo_trio.cli.pubsub.subscribe`.
"""

from __future__ import annotations

import math
import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field

from speedo_trio.cli.mistakes import Mistake
from speedo_trio.cli.output import complain
from speedo_trio.cli.pubsub.plan import STDIN
from speedo_trio.cli.pubsub.run import DONE, FAILED, INTERRUPTED, run_work
from speedo_trio.cli.pubsub.schemes import scheme_of
from speedo_trio.cli.trust import client_context
from speedo_trio.errors import SpeedoError
from speedo_trio.protocol.framing import DelimiterFramer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from speedo_trio.cli.pubsub.contract import PubSubClient
    from speedo_trio.cli.pubsub.plan import PubPlan

_LONGEST: Final = 2**28
"""The most bytes of a message that are read: as many as any protocol's frame can have."""
_READ_BYTES: Final = 65_536
_STDIN: Final = 0


def run_pub(topic: str, message: str | None, plan: PubPlan) -> int:
    """Publish what the plan says; returns the exit status. Errors are told on stderr.

    Raises:
        Mistake: a certificate cannot be read.
    """
    return run_work(Publishing(topic, message, plan))


@define(eq=False)
class Publishing:
    """The work of one command."""

    _topic: str
    _message: str | None
    _plan: PubPlan
    _scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _failure: Exception | None = field(default=None, init=False)
    _waiting_for: str = field(default="connection", init=False)

    def interrupt(self) -> None:
        self._scope.cancel()

    async def run(self) -> int:
        with self._scope:
            body = await self._body()
            with trio.move_on_after(self._plan.timeout) as patience:
                await self._connect(body, patience)
            if not patience.cancelled_caught:
                return DONE
            text = f"no {self._waiting_for} within {self._plan.timeout:g} s"
            complain(f"{text}: {self._plan.url}")
            return FAILED
        return INTERRUPTED

    async def _connect(self, body: bytes | None, patience: trio.CancelScope) -> None:
        scheme = scheme_of(self._plan.url)
        context = client_context(self._plan) if scheme.secure else None
        async with scheme.connect(self._plan, context) as client:
            patience.deadline = math.inf
            if body is None:
                await self._publish_lines(client)
            else:
                await self._publish(client, body)
            self._waiting_for = "answer"
            patience.deadline = trio.current_time() + self._plan.timeout
            await client.ping()

    async def _body(self) -> bytes | None:
        """The one message; None when it is many."""
        if self._message is not None:
            return self._message.encode("utf-8", "surrogateescape")  # as its bytes were given
        if self._plan.file is not None:
            path = self._plan.file
            return await _in_thread(_read_all if path == STDIN else partial(_read_file, path))
        return None

    async def _publish(self, client: PubSubClient, body: bytes) -> None:
        await client.publish(self._topic, body, retain=self._plan.retain)

    async def _publish_lines(self, client: PubSubClient) -> None:
        """Publish each line of stdin, until it or the connection ends."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, client, nursery.cancel_scope)
            try:
                await self._read_lines(client)
            except (SpeedoError, Mistake, UnicodeError) as error:
                self._failure = error  # raised below, where it is not in a group
            nursery.cancel_scope.cancel()
        if self._failure is not None:
            raise self._failure

    async def _watch(self, client: PubSubClient, reading: trio.CancelScope) -> None:
        """Stop the reading when the connection is lost: a line may not come for hours."""
        messages = aiter(client)
        try:
            while True:
                await anext(messages)  # nothing was subscribed to, so there should be none
        except SpeedoError as error:
            self._failure = error
            reading.cancel()

    async def _read_lines(self, client: PubSubClient) -> None:
        framer = DelimiterFramer(b"\n", limit=_LONGEST)
        while data := await _in_thread(_read_stdin):
            for line in framer.feed(data):
                await self._publish(client, line)
        if framer.buffered:  # the last line's end is missing
            for line in framer.feed(b"\n"):
                await self._publish(client, line)


async def _in_thread(read: Callable[[], bytes]) -> bytes:
    """Have a thread read what may take any time; a cancel leaves it behind."""
    return await trio.to_thread.run_sync(read, abandon_on_cancel=True)


def _read_stdin() -> bytes:
    """What there is of stdin. Not by `sys.stdin`, whose lock an abandoned thread would hold."""
    if sys.stdin is None:  # the descriptor was closed when Python started, and may be anything now
        raise Mistake("cannot read stdin: it is closed")
    try:
        return os.read(_STDIN, _READ_BYTES)
    except OSError as error:
        raise Mistake(f"cannot read stdin: {error.strerror}") from error


def _read_all() -> bytes:
    """Stdin to its end."""
    return _gathered(_read_stdin)


def _read_file(path: Path) -> bytes:
    """All of a file."""
    try:
        with path.open("rb", buffering=0) as file:
            return _gathered(partial(file.read, _READ_BYTES))
    except OSError as error:
        raise Mistake(f"--file {path}: {error.strerror}") from error


def _gathered(read: Callable[[], bytes]) -> bytes:
    """What `read` gives until its end, if it has one."""
    data = bytearray()
    while part := read():
        data += part
        if len(data) > _LONGEST:
            raise Mistake(f"--file has over {_LONGEST} bytes, more than a message can have")
    return bytes(data)
