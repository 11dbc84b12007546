"""Crowds: publishers that wait because a subscriber has much to take, and whether it takes it.

A publisher with QoS 1 or 2 is acknowledged as fast as the broker reads. Without more, it would be
told that messages are taken which a slower subscriber's queue then has no room for. So a publisher
is *held* when it publishes to a subscriber whose queue is more than half full: the machine does no
more of its packets, until the queue is down to a quarter. A client that is connected is worth
waiting for while it takes something; one that has taken nothing for a while is *stalled*, and holds
up nobody. Its queue fills, and then the capabilities say what is dropped. The other half of the
queue is for publishers that don't know yet: each has one message taken before it is held.

Why nobody waits for ever:

- Who is held waits for queues, and a queue that nothing is taken from for `stall_timeout` is waited
  for no longer, whatever the reason. So each wait goes on only as long as messages leave.
- Acknowledgements and PINGREQ of a held client are dealt with all the same, past the packets that
  wait. So a client that publishes to itself, and clients that publish to one another, take what is
  sent to them while they are held. That goes as far as `Later` has room, which is more than a
  client of 5.0 may have on its way by the default receive maximum. Who sends more without waiting
  for acknowledgements, and its own behind that, is stalled at the end: it is let go on, and what is
  too much for its queue is dropped.
- What goes to clients is never held, to those that are held neither. So nothing stands between a
  subscriber and the acknowledgement that others wait for.

Nobody is held for QoS 0, of which nobody is told that it was taken, nor for wills and for what the
program publishes, which have nobody who could wait.

Nothing is timed for each message. Whether something was taken is counted, and looked at when a
publisher wants to know.

Next: `speedo_trio.mqtt.state.later`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from speedo_trio.mqtt.state.backlog import Backlog
    from speedo_trio.mqtt.state.line import Line
    from speedo_trio.mqtt.state.publication import MQTTPublication


LONG_MESSAGE: Final = 25
"""So many times the `stall_timeout` a client may take for one message if bytes leave meanwhile: a
megabyte at 200 KB/s, by the defaults. They might be of QoS 0, and acknowledged be nothing."""


SECOND_LOOK: Final = 0.25
"""So much of the `stall_timeout` after a look that finds too little there is another. If it was the
server that had no time, the acknowledgements that had come are read until then."""


class Waiting(Protocol):
    """Who waits for a crowd: a `speedo_trio.mqtt.state.client.Client`."""

    def eased(self) -> None:
        """There is room again: see soon whether to go on."""


class Pressure:
    """The crowds that the last publication has come upon: how they get to know its publisher."""

    __slots__ = ("_crowds", "patience", "publication")

    def __init__(self, patience: float) -> None:
        """Args: the `stall_timeout`."""
        self.patience: float = patience
        self.publication: MQTTPublication | None = None
        """The last one that has come upon any, unless they were taken."""
        self._crowds: list[Crowd] = []

    def note(self, publication: MQTTPublication, crowd: Crowd) -> None:
        """A publication has come upon a crowd."""
        if publication is not self.publication:
            self.publication, self._crowds = publication, []
        self._crowds.append(crowd)

    def take(self) -> list[Crowd]:
        """Take the crowds that `publication` has come upon."""
        crowds, self._crowds, self.publication = self._crowds, [], None
        return crowds


class Crowd:
    """The publishers that wait for the backlog of one connected client."""

    __slots__ = (
        "_backlog",
        "_doubt",
        "_line",
        "_pressure",
        "_sent",
        "_since",
        "_taken",
        "_taken_at",
        "_waiting",
        "stalled",
    )

    def __init__(self, backlog: Backlog, line: Line, pressure: Pressure) -> None:
        self._backlog = backlog
        self._line: Line | None = line
        self._pressure = pressure
        self._taken = False  # a message, since the last look
        self._taken_at = 0.0  # the look that found one
        self._sent = line.sent  # bytes, at the last look
        self._since = 0.0  # the look that found one, or more bytes
        self._doubt: float | None = None  # the look that found nothing for too long
        self._waiting: dict[Waiting, None] = {}
        self.stalled: bool = False
        """Whether it was found to take nothing. Until a message is taken it holds up nobody."""

    def grow(self, publication: MQTTPublication, *, first: bool, alone: bool) -> None:
        """A publication was put into the backlog, or found no room there.

        Call it unless it is `stalled`, or when something is the first.

        Args:
            first: Nothing waited before, so there was nothing to take.
            alone: No other could have taken it in place of this client.
        """
        if first:
            self._begin(publication.received_at)
        if alone and self._backlog.crowded:
            self._pressure.note(publication, self)

    def shrink(self) -> None:
        """A message was taken from the backlog."""
        self._taken = True
        self.stalled = False
        if self._waiting and self._backlog.eased:
            self._tell()

    def holds(self, now: float) -> bool:
        """Whether publishers are to wait: there is much to take, and the client goes on taking."""
        line = self._line
        if line is None or not self._backlog.crowded:
            return False
        if self._taken:
            self._begin(now)
        elif line.congested and line.sent != self._sent and now < self._longest:
            self._sent, self._since, self._doubt = line.sent, now, None
        if self._doubt is not None:
            self.stalled = now >= self.until
        elif now >= self.until:
            self._doubt = now
        return not self.stalled

    @property
    def until(self) -> float:
        """When to ask `holds` again, if `Waiting.eased` isn't called before."""
        patience = self._pressure.patience
        if self._doubt is not None:
            return self._doubt + patience * SECOND_LOOK
        return self._since + patience

    def join(self, waiting: Waiting) -> None:
        """Wait until there is room; `Waiting.eased` is called once."""
        self._waiting[waiting] = None

    def leave(self, waiting: Waiting) -> None:
        """Wait no more."""
        self._waiting.pop(waiting, None)

    def close(self) -> None:
        """The client has gone: nobody waits for it."""
        self._line = None
        self._tell()

    @property
    def _longest(self) -> float:
        """Until when bytes alone count."""
        return self._taken_at + self._pressure.patience * LONG_MESSAGE

    def _begin(self, now: float) -> None:
        """Count from now."""
        self._taken_at = self._since = now
        self._taken = self.stalled = False
        self._doubt = None
        if self._line is not None:
            self._sent = self._line.sent

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for each in waiting:
            each.eased()
