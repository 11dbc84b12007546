"""A client: the machine of one connection, from CONNECT to its end.

SKELETON: names and contracts are final, bodies follow.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from speedo_trio.mqtt.state.asks import NOTHING, Ask, Asking, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from speedo_trio.mqtt.state.capabilities import Capabilities
    from speedo_trio.mqtt.state.outside import Line, Outside
    from speedo_trio.mqtt.state.session import Session
    from speedo_trio.mqtt.state.sessions import Sessions
    from speedo_trio.mqtt.wire.packets import Packet
    from speedo_trio.mqtt.wire.reason_codes import ReasonCode

TURN = 2000
"""Messages and deliveries of one client that are done before it is others' turn: 2 ms or so."""


class State(Enum):
    """Where a connection is."""

    WAITING = auto()
    """For CONNECT."""
    AUTHENTICATING = auto()
    """CONNECT has come; CONNACK hasn't been sent."""
    CONNECTED = auto()
    OVER = auto()
    """Nothing is processed or sent any more."""


class Client:
    """One connection. For the host:

    - `receive_data(data, now)` for each read (or `receive_many`, with packets); then flush the line.
      On an `Ask`: find the verdict, `answer(ask, verdict, now)`. On `MORE`: let others have their
      turn, `proceed(now)`. Both give an outcome again; feed no more until it is None.
    - `pump(now)` when the line has room again, and again while it gives True, with others' turns in
      between. `unfinished` says after any call whether there is something to pump right now.
    - `deadline`, and `expire(now)` when it is over. It moves with every packet: look again then.
    - `fail(reason, now)` to end it: SERVER_SHUTTING_DOWN, ADMINISTRATIVE_ACTION, QUOTA_EXCEEDED.
    - `closed(now)` when the connection has closed, for whatever reason, also after `Outside.close`.
    """

    def __init__(
        self,
        capabilities: Capabilities,
        sessions: Sessions,
        line: Line,
        outside: Outside,
        *,
        now: float,
        asking: Asking = NOTHING,
    ) -> None: ...

    state: State
    session: Session | None
    """From CONNACK 0x00 on, until `closed`."""

    def receive_data(self, data: bytes, now: float, turn: int = TURN) -> Outcome: ...
    def receive_many(self, packets: Iterable[Packet], now: float, turn: int = TURN) -> Outcome: ...
    def receive(self, packet: Packet, now: float) -> Outcome: ...
    def proceed(self, now: float, turn: int = TURN) -> Outcome: ...
    def answer(self, ask: Ask, verdict: Verdict, now: float, turn: int = TURN) -> Outcome: ...
    def pump(self, now: float) -> bool: ...
    @property
    def unfinished(self) -> bool: ...
    @property
    def deadline(self) -> float | None: ...
    def expire(self, now: float) -> None: ...
    def touch(self, now: float) -> None:
        """Count the keep alive from now: the server didn't read for a while, by its own choice."""

    def fail(self, reason: ReasonCode, now: float, text: str = "") -> None: ...
    def closed(self, now: float) -> None: ...
