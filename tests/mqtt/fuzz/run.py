"""A run of the fuzzer: round after round for some time, in one process or in several.

Next: `tests.mqtt.fuzz.__main__`.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

from attrs import define

from tests.mqtt.fuzz.rounds import STREAMS, Failed, Round

WARM: Final = 32
"""Rounds until caches are full: each world comes twice."""
MORE_OBJECTS: Final = 1000
"""So many objects may be there more in the end, of a run of any length. A round makes a hundred
times as many."""
MORE_BYTES: Final = 16_777_216
"""So much memory may be taken more in the end."""


@define
class Tally:
    """What a run came to."""

    rounds: int = 0
    streams: int = 0
    seconds: float = 0
    """As the clock on the wall has it; of processes together, the longest."""
    work: float = 0
    """Seconds of processor time."""
    objects: int = 0
    """How many more there were in the end than after some rounds."""
    memory: int = 0
    """How many bytes more were taken."""
    failure: str = ""

    def add(self, other: Tally) -> None:
        """Add what another process came to."""
        self.rounds += other.rounds
        self.streams += other.streams
        self.seconds = max(self.seconds, other.seconds)
        self.work += other.work
        self.objects = max(self.objects, other.objects)
        self.memory = max(self.memory, other.memory)
        self.failure = self.failure or other.failure

    def __str__(self) -> str:
        return (
            f"{self.streams:,} streams in {self.rounds:,} rounds, {self.seconds:.1f} s: "
            f"{self.streams / max(self.seconds, 1e-9):,.0f} a second, "
            f"{self.streams / max(self.work, 1e-9):,.0f} a second of processor time; "
            f"{self.objects:+,} objects, {self.memory / 1_048_576:+.1f} MiB"
        )


def run(seed: int, seconds: float, first: int = 0, step: int = 1) -> Tally:
    """Run rounds until the time is over or one fails: the first, and each so many later."""
    tally, number = Tally(), first
    objects, memory = 0, 0
    gc.collect()
    gc.freeze()  # modules need not be looked through again and again
    began, worked = time.monotonic(), time.process_time()
    while not tally.failure and (tally.seconds < seconds or tally.rounds < WARM):
        try:
            Round(seed, number).run()
        except Failed as failed:
            tally.failure = "".join(traceback.format_exception(failed))
        tally.rounds += 1
        tally.streams += STREAMS
        number += step
        if tally.rounds == WARM:
            objects, memory = _objects(), _memory()
        tally.seconds = time.monotonic() - began
    tally.work = time.process_time() - worked
    if not tally.failure:
        tally.objects, tally.memory = _objects() - objects, _memory() - memory
        if tally.objects > MORE_OBJECTS or tally.memory > MORE_BYTES:
            tally.failure = f"growth, with the seed {seed}: {tally}"
    return tally


def run_processes(seed: int, seconds: float, processes: int) -> Tally:
    """The same in several processes, which share the rounds."""
    total = Tally()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context) as pool:
        each = partial(run, seed, seconds, step=processes)
        for tally in pool.map(each, range(processes)):
            total.add(tally)
    return total


def _objects() -> int:
    """How many objects there are that may hold others."""
    gc.collect()
    return len(gc.get_objects())


def _memory() -> int:
    """Bytes that the process has in memory; 0 where the system doesn't tell."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0
