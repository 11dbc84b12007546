"""Shapes: what is asked of a broker, as the command line calls it.

`KIND-AxB` and then, in this order and each only where it isn't the default, `-qQOS`, `-vVERSION`
and `-SIZEb`: `pairs-20x32`, `fanout-50x8-v5`, `pairs-20x16-q2-v5-1024b`, `idle-10000x1`.
"""

from __future__ import annotations

import argparse
import re

from attrs import frozen

_FORM = re.compile(
    r"(?P<kind>[a-z]+)-(?P<many>[1-9]\d*)x(?P<each>[1-9]\d*)"
    r"(?:-q(?P<qos>[012]))?(?:-v(?P<version>[45]))?(?:-(?P<size>[1-9]\d*)b)?",
    re.ASCII,
)
DEFAULT_SIZE = 64
LEAST_SIZE, LARGEST_SIZE = 16, 1 << 20  # what mqttload.c takes

LOADS = ("pairs", "fanout", "fanin", "wild", "shared")
TITLES = {
    "pairs": "{many:,} publishers, each with a subscriber; {each:,} messages on their way each",
    "fanout": "1 publisher, {many:,} subscribers; {each:,} messages on their way",
    "fanin": "{many:,} publishers, 1 subscriber; {each:,} messages on their way each",
    "wild": "{many:,} publishers, each with a subscriber of wildcards; {each:,} on their way",
    "shared": "{many:,} publishers, {many:,} share a subscription; {each:,} on their way",
    "storm": "{many:,} connects, {each:,} at a time",
    "beside": "one pair, {each:,} messages on their way, beside {many:,} connects a minute",
    "idle": "{many:,} idle connections, then with {each:,} subscriptions each",
    "subscriptions": "{many:,} clients with {each:,} subscriptions each, and messages among them",
    "retained": "{many:,} retained messages, replayed to {each:,} subscribers in turn",
}
UNITS = {"storm": "connects/s", "idle": "connects/s", "retained": "replayed/s"}


@frozen(order=True)
class Shape:
    """One thing to measure.

    Attributes:
        kind: One of `TITLES`, which tells what `many` and `each` count.
        version: MQTT's protocol level: 4 is 3.1.1, 5 is 5.0.
        size: A payload's bytes; only loads have it, and QoS.
    """

    kind: str
    many: int
    each: int
    qos: int = 0
    version: int = 4
    size: int = DEFAULT_SIZE

    def __str__(self) -> str:
        text = f"{self.kind}-{self.many}x{self.each}"
        text += f"-q{self.qos}" if self.qos else ""
        text += f"-v{self.version}" if self.version != 4 else ""
        return text + (f"-{self.size}b" if self.size != DEFAULT_SIZE else "")

    @property
    def title(self) -> str:
        """What a table of it is called."""
        said = TITLES[self.kind].format(many=self.many, each=self.each)
        version = "5.0" if self.version == 5 else "3.1.1"
        if self.kind not in LOADS:
            return f"{self}: {said}; {version}"
        return f"{self}: {said}; QoS {self.qos}, {version}, {self.size:,} bytes"

    @property
    def connections(self) -> int:
        """How many there are at once, at most."""
        if self.kind in {"pairs", "wild", "shared"}:
            return 2 * self.many
        return self.each if self.kind == "storm" else self.many + 1

    @property
    def unit(self) -> str:
        """What its rate counts."""
        return UNITS.get(self.kind, "messages/s")


def parse_shape(text: str) -> Shape:
    """The shape that an option means."""
    found = _FORM.fullmatch(text)
    if found is None or found["kind"] not in TITLES:
        kinds = ", ".join(TITLES)
        raise argparse.ArgumentTypeError(
            f"{text!r} is not KIND-AxB[-qQOS][-vVERSION][-SIZEb], such as pairs-20x16-q1-v5, "
            f"with one of these kinds: {kinds}"
        )
    given = {
        name: int(value) for name, value in found.groupdict().items() if name != "kind" and value
    }
    shape = Shape(found["kind"], **given)
    if shape.kind not in LOADS and (shape.qos or shape.size != DEFAULT_SIZE):
        raise argparse.ArgumentTypeError(f"{text!r}: QoS and size are for {', '.join(LOADS)}")
    if not LEAST_SIZE <= shape.size <= LARGEST_SIZE:
        allowed = f"allowed are {LEAST_SIZE} to {LARGEST_SIZE}"
        raise argparse.ArgumentTypeError(f"{text!r} has payloads of {shape.size} bytes; {allowed}")
    return shape
