"""The course of a load: what all its clients share, and how far it is."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from speedo_trio.cli.bench.dialogue import EchoDialogue, EchoLines, LineDialogue
from speedo_trio.cli.bench.plan import text_bytes
from speedo_trio.cli.bench.tally import Tally

if TYPE_CHECKING:
    from speedo_trio.cli.bench.connector import Connector
    from speedo_trio.cli.bench.dialogue import Dialogue
    from speedo_trio.cli.bench.plan import Plan
    from speedo_trio.cli.bench.poller import Poller
    from speedo_trio.cli.bench.schedule import Schedule


class Phase(enum.Enum):
    """How far a load is."""

    CONNECTING = "connecting"
    WARMING_UP = "warming up"
    MEASURING = "measuring"
    FINISHING = "finishing"
    """Nothing more is asked; the last replies are waited for."""


@define(eq=False)
class Course:
    """What the clients of a load share."""

    plan: Plan
    connector: Connector
    tally: Tally = field(factory=Tally)
    phase: Phase = Phase.CONNECTING
    schedule: Schedule | None = None
    """When to send, if the plan has a rate; from the warm-up on."""
    interrupted: bool = False
    """Whether the user ended it: what is in flight then isn't lost."""
    unsent: int = 0
    """At the end, requests of the schedule that were due and had found no room to be sent."""
    left: int | None = None
    """Requests that may still be sent; None: as many as there is time for."""
    used_up: trio.Event = field(factory=trio.Event)
    """Set when the last request that `left` allowed was sent."""
    poller: Poller | None = None
    """Hears for sockets, where the system can do that."""
    _lines: EchoLines | None = field(default=None, init=False)

    @property
    def ending(self) -> bool:
        """Whether nothing more is asked."""
        return self.phase is Phase.FINISHING or self.left == 0

    def take(self, count: int) -> int:
        """How many of `count` requests may be sent, at least one unless it is `ending`."""
        if self.left is not None:
            count = min(count, self.left)
            self.left -= count
            if not self.left:
                self.used_up.set()
        return count

    def dialogue(self) -> Dialogue:
        """What to say on a new connection."""
        plan = self.plan
        if plan.send is not None:
            expected = None if plan.expect is None else text_bytes(plan.expect)
            return LineDialogue(text_bytes(plan.send), expected)
        if self._lines is None:
            self._lines = EchoLines(plan.line_bytes, plan.window)
        return EchoDialogue(self._lines)
