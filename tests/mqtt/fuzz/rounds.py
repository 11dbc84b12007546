"""Rounds: a thousand streams in a world of their own, so that each can be run again by itself.

A round is what follows from a seed and its number. Wrong is whatever the handler raises that is
not the protocol's, what is logged as an error, what takes too long, what the server sends and may
not, and what is left in the end.

Next: `tests.mqtt.fuzz.__main__`.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from types import FrameType
from typing import Final

import trio
import trio.testing
from trio._core import _run as scheduler

from speedo_trio.events import Cause
from tests.mqtt.fuzz.streams import Streams
from tests.mqtt.fuzz.worlds import AMPLE, VARIANTS, Errors, Fault, Guest, World

STREAMS: Final = 1000
"""Of a round."""
GUESTS: Final = 8
"""Connections at a time. When there is one more, the oldest goes."""
HANG: Final = 2.0
"""Seconds of processor time that a stream may take. Most take a ten-thousandth of one."""
ORDER: Final = (
    *("usual", "tight", "usual", "strict", "tight", "poor", "usual", "hooked"),
    *("usual", "tight", "usual", "strict", "tight", "poor", "usual", "tight"),
)
"""The worlds of rounds, in turn. That with hooks takes twice as long as others."""
_LITTLE_ROOM: Final = (60, 300, 3000)


class Failed(Exception):
    """A round that showed a fault, and how to see it again."""

    def __init__(self, of: Round, error: BaseException) -> None:
        super().__init__(
            f"{type(error).__name__}: {error}\n"
            f"in stream {of.stream} of round {of.number} ({of.variant}), seed {of.seed}: "
            f"{of.data.hex() or 'at its end'}\n"
            f"again: python -m tests.mqtt.fuzz --seed {of.seed} --round {of.number}"
        )
        self.stream: bytes = of.data
        """What was sent last; what is at fault may have come before."""


class Hang(BaseException):
    """A stream took too long. Nobody is to catch this."""


class Round:
    """One round, which is run once."""

    def __init__(self, seed: int, number: int, streams: int = STREAMS) -> None:
        self.seed = seed
        self.number = number
        self.variant = ORDER[number % len(ORDER)]
        self.stream = 0
        self.data = b""
        self._most = streams
        self._streams = Streams(f"{seed} {number}")
        self._dice = Random(f"dice {seed} {number}").random
        self._errors = Errors()

    def run(self) -> None:
        """Run it.

        Raises:
            Failed: A fault has shown.
        """
        clock = trio.testing.MockClock()
        try:
            with hang_is_told(), self._errors.listening(), same_order(f"{self.seed} {self.number}"):
                trio.run(self._run, clock, clock=clock)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            while isinstance(error, BaseExceptionGroup):  # of nurseries
                error = error.exceptions[0]
            raise Failed(self, error) from error

    async def _run(self, clock: trio.testing.MockClock) -> None:
        async with trio.open_nursery() as nursery:
            world = World(VARIANTS[self.variant], clock)
            nursery.start_soon(world.service.run)
            signal.setitimer(signal.ITIMER_VIRTUAL, HANG)
            world.settle_in()
            for resident in world.residents:
                if resident.receive(resident.stream):
                    nursery.start_soon(resident.execute)
            for number in range(self._most):
                self.stream = number
                signal.setitimer(signal.ITIMER_VIRTUAL, HANG)
                self._visit(world, nursery)
                self._see_errors()
                for _ in range(3 if world.asks else not number % 10):  # a verdict takes some turns
                    await trio.lowlevel.checkpoint()
                if not number % 50:
                    world.lapse(self._dice() * 12)
                    await trio.lowlevel.checkpoint()
                    world.check()
            self.data = b""
            signal.setitimer(signal.ITIMER_VIRTUAL, HANG)
            await world.end()
            self._see_errors()
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            nursery.cancel_scope.cancel()

    def _visit(self, world: World, nursery: trio.Nursery) -> None:
        """A stream, of a new client or of one who is there; and what others still had to say."""
        dice, guests = self._dice, world.guests
        kind = dice()
        if kind > 0.97:
            for resident in world.residents:
                self._answer(resident, nursery)
                resident.relieve()
        if kind > 0.35:
            other = guests[int(dice() * len(guests))] if guests else None
            if other is not None:
                self._feed(other, nursery, whole=True)
                other.relieve()
                version = other.idle
                if version is not None and kind < 0.85:
                    self.data = self._streams.more(version)
                    other.stream += self.data
                    self._feed(other, nursery, whole=kind < 0.8)
                    return
        self.data = stream = self._streams.next()
        room = _LITTLE_ROOM[int(dice() * 3)] if kind < 0.1 else AMPLE
        guest = world.open(stream, room)
        self._feed(guest, nursery, whole=kind < 0.3)
        if kind > 0.9:
            self._answer(guest, nursery)
        if len(guests) > GUESTS:
            self._leave(guests.popleft(), nursery)

    def _feed(self, guest: Guest, nursery: trio.Nursery, *, whole: bool) -> None:
        """Let bytes come: all that are left, or some."""
        left = len(guest.stream) - guest.fed
        if left:
            size = left if whole else int(self._dice() * (left + 1))
            part = guest.stream[guest.fed : guest.fed + size]
            guest.fed += size
            if part and guest.receive(part):
                nursery.start_soon(guest.execute)

    def _answer(self, guest: Guest, nursery: trio.Nursery) -> None:
        """Let a client do what it is asked for, a few times."""
        for _ in range(3):
            answers = guest.answers()
            if not answers:
                break
            if guest.receive(answers):
                nursery.start_soon(guest.execute)

    def _leave(self, guest: Guest, nursery: trio.Nursery) -> None:
        kind = self._dice()
        if kind < 0.1:
            guest.packets()
        elif kind < 0.2 and not guest.ended:
            guest.lane.extend(guest.handler.draining())
            if guest.scheduled():
                nursery.start_soon(guest.execute)
        guest.end(Cause.EOF if kind < 0.6 else Cause.LOST)

    def _see_errors(self) -> None:
        for record in self._errors.records:
            error = record.exc_info and record.exc_info[1]
            raise Fault(f"logged: {record.getMessage()}") from error or None


@contextmanager
def same_order(seed: str) -> Iterator[None]:
    """Have Trio run tasks in an order that is the same each time: by chance, but of a seed.

    It is as Hypothesis does it; Trio has no public way.
    """
    before = scheduler._r, scheduler._ALLOW_DETERMINISTIC_SCHEDULING
    scheduler._r = Random(seed)
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]  # final, but for this
    try:
        yield
    finally:
        scheduler._r, scheduler._ALLOW_DETERMINISTIC_SCHEDULING = before  # type: ignore[misc]  # as above


@contextmanager
def hang_is_told() -> Iterator[None]:
    """Raise `Hang` where the code is that takes too long. In the main thread."""

    def tell(number: int, frame: FrameType | None) -> None:
        raise Hang(f"more than {HANG} s")

    before = signal.signal(signal.SIGVTALRM, tell)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
