"""An echo server that is watched: `python -m benchmarks.attached PORT threads observer meter`.

What follows the port says where messages execute, `threads` or `async`, and what is attached: an
observer that counts events, a meter, both or nothing.
"""

from __future__ import annotations

import gc
import sys
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from benchmarks.speedo_async import AsyncEcho
from speedo_trio import EchoProtocol, Meter, serve

if TYPE_CHECKING:
    from speedo_trio import Event

PROTOCOLS = {"threads": EchoProtocol, "async": AsyncEcho}


class EventCounter:
    """The least that an observer can do with an event."""

    def __init__(self) -> None:
        self.counts: Counter[type[Event]] = Counter()

    def __call__(self, event: Event) -> None:
        self.counts[type(event)] += 1


def main(port: str, kind: str, *attached: str) -> None:
    """Serve until a signal."""
    gc.collect()  # the three lines with which `trio-speedo` begins
    gc.freeze()
    gc.set_threshold(20_000)
    extras: dict[str, Any] = {}
    if "observer" in attached:
        extras["observer"] = EventCounter()
    if "meter" in attached:
        extras["meter"] = Meter()
    trio.run(partial(serve, PROTOCOLS[kind], f"tcp://127.0.0.1:{port}", **extras))


if __name__ == "__main__":
    main(*sys.argv[1:])
