"""The shapes that are guarded, by name, and how the work of a message is counted on one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from benchmarks.guard.clients import Crowd
from benchmarks.guard.counting import FIGURES, Counter
from benchmarks.guard.driver import drive, socket_path
from benchmarks.guard.lines import Lines
from benchmarks.guard.packets import Packets
from benchmarks.guard.visits import Visits
from benchmarks.speedo_async import AsyncEcho
from speedo_trio import EchoProtocol
from speedo_trio.mqtt import MQTT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from speedo_trio.protocol.handler import ProtocolHandlerFactory

WARM_UP, ROUNDS = 4, 8


@frozen
class Guarded:
    """A protocol, and what its clients do.

    Attributes:
        runs: The least of so many counts: threads meet in another way each time, and messages of
            tasks give way by the clock.
    """

    protocol: Callable[[], ProtocolHandlerFactory]
    script: Lines | Packets | Visits
    runs: int = 1

    @property
    def slack(self) -> float:
        """How much of a figure is not for this code to decide."""
        return 0.01 if self.runs == 1 else 0.05


SHAPES = {
    "echo in threads, 8 × 32": Guarded(lambda: EchoProtocol, Lines(8, 32), runs=5),
    "echo async, 8 × 32": Guarded(lambda: AsyncEcho, Lines(8, 32), runs=5),
    "echo async, 8 × 1": Guarded(lambda: AsyncEcho, Lines(8, 1)),
    "pairs 8 × 16": Guarded(MQTT, Packets("pairs", 8, 16)),
    "pairs 1 × 1": Guarded(MQTT, Packets("pairs", 1, 1)),
    "pairs 20 × 1": Guarded(MQTT, Packets("pairs", 20, 1)),
    "fanout 20 × 8": Guarded(MQTT, Packets("fanout", 20, 8)),
    "fanin 20 × 8": Guarded(MQTT, Packets("fanin", 20, 8)),
    "wild 8 × 16": Guarded(MQTT, Packets("wild", 8, 16)),
    "fresh topics 8 × 16": Guarded(MQTT, Packets("fresh", 8, 16)),
    "visits 20": Guarded(MQTT, Visits(20)),
    "shared 8 × 16, QoS 1, 5.0": Guarded(MQTT, Packets("shared", 8, 16, 1, 5)),
    "pairs 8 × 16, QoS 1": Guarded(MQTT, Packets("pairs", 8, 16, 1)),
    "pairs 8 × 16, QoS 2": Guarded(MQTT, Packets("pairs", 8, 16, 2)),
    "pairs 8 × 16, 5.0": Guarded(MQTT, Packets("pairs", 8, 16, 0, 5)),
    "pairs 8 × 16, QoS 1, 5.0": Guarded(MQTT, Packets("pairs", 8, 16, 1, 5)),
    "pairs 8 × 16, QoS 2, 5.0": Guarded(MQTT, Packets("pairs", 8, 16, 2, 5)),
}


def work_of(guarded: Guarded) -> dict[str, float]:
    """What each message costs, by figure."""
    counter = Counter()
    looks: list[dict[str, int]] = []

    def rounds() -> Iterator[None]:
        for number in range(WARM_UP + ROUNDS + 1):
            if number >= WARM_UP:
                looks.append(counter.look())
            if number < WARM_UP + ROUNDS:
                yield

    with socket_path() as folder:
        crowd = Crowd(str(Path(folder, "s")))
        drive(guarded.protocol(), guarded.script.play(crowd, rounds()), crowd, counter)
    messages = guarded.script.messages * ROUNDS
    return {name: (looks[-1][name] - looks[0][name]) / messages for name in FIGURES}
