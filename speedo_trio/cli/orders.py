"""Orders: what signals ask of a server that runs in the foreground.

The first SIGINT or SIGTERM asks for a drain, the second for an end at once; further ones change
nothing. SIGHUP asks to read the settings again, unless it says that the terminal has hung up, which
asks for a drain. Under ``nohup`` it never says that.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from enum import Enum, auto
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Order(Enum):
    """What is asked."""

    RELOAD = auto()
    DRAIN = auto()
    STOP = auto()


class Orders:
    """The orders as they come, from signals as they come."""

    def __init__(self, signals: AsyncIterator[int], *, hangs_up: bool) -> None:
        self._signals = signals
        self._hangs_up = hangs_up
        self._ending = False

    def __aiter__(self) -> Orders:
        return self

    async def __anext__(self) -> Order:
        number = await anext(self._signals)
        if number == signal.SIGHUP and not (self._hangs_up and not _has_terminal()):
            return Order.RELOAD
        order = Order.STOP if self._ending else Order.DRAIN
        self._ending = True
        return order


@contextmanager
def open_orders() -> Iterator[Orders]:
    """Take the signals for the block; after it they are ignored.

    So once the status of the process stands, it stays: no signal changes it while Python ends.
    """
    nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # the receiver restores this
    with trio.open_signal_receiver(*SIGNALS) as signals:
        yield Orders(signals, hangs_up=_has_terminal() and not nohup)


def _has_terminal() -> bool:
    """Whether the process has a controlling terminal (tty(4)), one that has not hung up."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
