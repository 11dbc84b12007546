"""Running a client's command: signals, errors in one line, and the exit status."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Protocol

import trio

from speedo_trio.cli.mistakes import Mistake
from speedo_trio.cli.output import complain
from speedo_trio.cli.pubsub.contract import Refused
from speedo_trio.errors import (
    ConfigError,
    ConnectionClosed,
    FrameTooLong,
    ProtocolError,
    TopicError,
    UnsendablePacket,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DONE, FAILED, MISTAKE, UNFINISHED, INTERRUPTED = 0, 1, 2, 3, 130
"""The exit statuses of ``pub`` and ``sub``."""


_MISTAKES = (Mistake, ConfigError, TopicError, FrameTooLong, UnsendablePacket, UnicodeError)


class Work(Protocol):
    """What a command does."""

    async def run(self) -> int:
        """Do it; the exit status. An error of the connection or the arguments is raised."""

    def interrupt(self) -> None:
        """A signal came: have `run` return soon."""


def run_work(work: Work) -> int:
    """Do the work until it is done, with errors told on stderr; returns the exit status."""
    return trio.run(_run, work)


async def _run(work: Work) -> int:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_obey, signals, work)
            status = await _told(work)
            nursery.cancel_scope.cancel()
    return status


async def _obey(signals: AsyncIterator[int], work: Work) -> None:
    async for _ in signals:
        work.interrupt()


async def _told(work: Work) -> int:
    """Do the work; what it raises is told."""
    try:
        return await work.run()
    except _MISTAKES as error:
        complain(str(error))
        return MISTAKE
    except (ConnectionClosed, ProtocolError, Refused) as error:
        complain(str(error))
        return FAILED
