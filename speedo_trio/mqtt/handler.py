"""The handler of one MQTT connection: bytes to the session machine, frames from it.

As with SimplePub, what is quick is done as the bytes arrive. What needs a verdict of a hook, or
others' turns in between, waits in the connection's lane, and later reads wait behind it.

Next: `speedo_trio.mqtt.service`.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final

import trio

from speedo_trio.broker.mailbox import Mailbox
from speedo_trio.errors import MQTTError
from speedo_trio.mqtt.events import ClientConnected, ClientDisconnected, ClientRefused
from speedo_trio.mqtt.holding import Holding
from speedo_trio.mqtt.hub import BrokerSession
from speedo_trio.mqtt.reads import Farewell, Rest, Settled, Slow
from speedo_trio.mqtt.referee import Referee, client_info
from speedo_trio.mqtt.state.asks import HOLD, Hold, More
from speedo_trio.mqtt.state.client import TURN, Client
from speedo_trio.mqtt.state.machine import State
from speedo_trio.mqtt.stay import Stay
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.protocol.handler import ProtocolHandler

if TYPE_CHECKING:
    from speedo_trio.events import CloseReason
    from speedo_trio.mqtt.common import Service
    from speedo_trio.mqtt.requests import ClientInfo
    from speedo_trio.mqtt.state.asks import Ask, Outcome
    from speedo_trio.mqtt.state.session import Session
    from speedo_trio.mqtt.store.gate import GatedMailbox
    from speedo_trio.mqtt.store.keeper import Keeper
    from speedo_trio.protocol.handler import Connection
    from speedo_trio.protocol.message import Message

_BUSY_LOOK = 1.0
"""Seconds until the next look at a connection whose packets wait for a verdict."""

_LAST_LOOK: Final = 5.0
"""Seconds that the last words to a client may wait for the store."""

_VERDICTS: Final = 32
"""Verdicts on what one client sent until it is others' turn."""

_RELEASED: Final = 200
"""Messages and deliveries of a client that was held, until it is others' turn: those may have
waited for the same."""

_FAULTS = {
    ReasonCode.MALFORMED_PACKET,
    ReasonCode.PROTOCOL_ERROR,
    ReasonCode.PACKET_TOO_LARGE,
    ReasonCode.TOPIC_ALIAS_INVALID,
    ReasonCode.RECEIVE_MAXIMUM_EXCEEDED,
    ReasonCode.TOPIC_NAME_INVALID,
    ReasonCode.TOPIC_FILTER_INVALID,
    ReasonCode.UNSUPPORTED_PROTOCOL_VERSION,
}
"""Reasons of an end that are the peer's fault, and so are reported."""


class MQTTHandler(ProtocolHandler):
    """One connection."""

    def __init__(self, connection: Connection, service: Service) -> None:
        super().__init__(connection)
        self._service = service
        self._core = service.core
        self._clock = service.core.clock
        keeper = service.keeper
        self._keeper = keeper
        self._gated: GatedMailbox | None = None  # the same one, if there is a store
        if keeper is None:
            limits, dirty = service.capabilities.queue, service.core.dirty
            self._mailbox = Mailbox(connection, limits, dirty, self._too_slow)
        else:
            self._mailbox = self._gated = self._behind_a_gate(keeper)
        self._client = Client(
            service.capabilities,
            service.sessions,
            self._mailbox,
            self,
            now=self._clock(),
            asking=service.asking_for(connection.peer),
        )
        self._holding = Holding(self._client, service.caretaker, self._clock, self._release)
        self._stay: Stay | None = None  # when it is only for a time
        self._referee: Referee | None = None  # when a hook wants to know of the client
        self._admitted = False
        self._told = False  # of its end
        self._scope: trio.CancelScope | None = None  # of a read that waits for hooks
        self.received: int = 0
        """Bytes."""
        self._behind = 0  # reads that wait in the lane, and that the machine has not got
        self._watched = False  # whether its keep alive is
        self._full = ""  # why it is to be ended for reading too slowly
        self._error: MQTTError | None = None
        self._room: trio.Event | None = None  # set when there is room again

    # What the connection tells

    def opened(self) -> None:
        deadline = self._client.deadline
        assert deadline is not None  # for CONNECT
        self._service.caretaker.watch(self, deadline)
        self._service.traffic.enter(self)

    def handle(self, data: bytes) -> list[Message] | None:
        self.received += len(data)
        if self._behind or self._client.busy:
            return self._handle_later(data)
        if self._gated is not None and self._to_wait():
            self._behind += 1
            return [Rest(self, data)]
        outcome = self.receive(data)
        if outcome is None:
            return None if self._client.pace is None else self._handle_slowly()
        if outcome is HOLD and self._service.quick:
            self._holding.begin()
            return None
        return [Rest(self, b"", outcome)]

    def eof(self) -> list[Message] | None:
        return [Settled(self)] if self._client.busy else None

    def draining(self) -> list[Message]:
        return [Farewell(self)]

    def writable(self) -> None:
        self._mailbox.pump()
        if not self._mailbox.congested:
            if self._client.unfinished:
                self._service.caretaker.later(self)
            if self._room is not None:
                self._room.set()
                self._room = None

    def closed(self, reason: CloseReason) -> None:
        self._client.closed(self._clock())
        self._holding.end()
        self._mailbox.close()
        if self._gated is not None:
            self._gated.gate.abandon()
        self._core.flush()  # its will
        self._service.caretaker.leave(self)
        if self._stay is not None:
            self._stay.until(None)
        self._service.caretaker.stir()
        self._service.traffic.leave(self)
        self._tell_end(None, "" if reason.error is None else str(reason))

    # What the machine tells

    def close(self, last: bytes, reason: ReasonCode, text: str) -> None:
        """Send nothing more but `last`, and close."""
        if reason in _FAULTS:
            self._error = MQTTError(text, reason)
        if self._scope is not None:
            self._scope.cancel()
        self._holding.end()
        self._tell_end(reason, text)
        if not self._mailbox.close(last):
            self.connection.abort()
        elif self._gated is None:
            self.connection.close()
        else:
            self._gated.gate.close()
            self._service.caretaker.watch(self, self._clock() + _LAST_LOOK)

    def overflowed(self) -> None:
        """Its queue is full, and that is to end it."""
        self._too_slow("its queue is full")

    def eased(self) -> None:
        """What it is held for may have come to pass."""
        self._holding.eased()

    def admitted(self, session: Session, *, present: bool) -> None:
        """The client was taken in."""
        self._admitted = True
        referee = self._introduce()
        if referee is None:
            return
        assert isinstance(session, BrokerSession)
        self._recognise(session, referee.client)
        if self._service.tell is not None:
            self._service.tell(ClientConnected(client=referee.client, session_present=present))

    def abort(self) -> None:
        """End the connection without a word, as if the network had lost it."""
        self.connection.abort()

    # What the traffic counts

    @property
    def packets_received(self) -> int:
        """Packets of any type."""
        return self._client.packets

    @property
    def packets_sent(self) -> int:
        """Packets of any type but PUBLISH: CONNACK and answers."""
        return self._client.answered + self._admitted

    @property
    def mailbox(self) -> Mailbox:
        """What goes to the client."""
        return self._mailbox

    # What the caretaker does

    def look(self, now: float) -> float | None:
        """See whether its time is over; when to look again."""
        client = self._client
        if self._behind and self._gated is not None:  # it may be the store that is slow
            return now + _BUSY_LOOK
        client.expire(now)
        if client.state is State.OVER:
            if self._gated is not None and self._gated.gate.shut:
                self.connection.abort()
            return None
        return now + _BUSY_LOOK if client.busy else client.deadline

    def proceed(self, now: float) -> bool:
        """Send a portion of what waits."""
        if self._full:
            self._client.fail(ReasonCode.QUOTA_EXCEEDED, now, self._full)
        return not self._mailbox.congested and self._client.pump(now)

    # What messages do

    def receive(self, data: bytes) -> Outcome:
        """Do what bytes ask for, as far as that goes.

        Raises:
            MQTTError: What ends the connection; the client has been told.
        """
        if self._gated is not None:  # as in `_begin_turn`; this is for each read
            self._gated.begin_turn()
        outcome = self._client.receive_data(data, self._clock())
        self._core.flush_after_reads(self.connection, len(data))
        return self._after(outcome)

    async def settled(self) -> None:
        """Wait until nothing waits that the machine has got."""
        await self._holding.free()

    async def slow_down(self) -> None:
        """Wait until the client is no more ahead of what it may publish."""
        self._behind -= 1
        await self.finish(None)

    async def receive_later(self, data: bytes) -> Outcome:
        """`receive`, when nothing waits any more that came before, and the store has room."""
        await self.settled()
        await self._store_room()
        self._behind -= 1
        return self.receive(data)

    async def finish(self, outcome: Outcome) -> None:
        """Go on until nothing is left to do, after verdicts and others' turns.

        Raises:
            MQTTError: What ends the connection; the client has been told.
        """
        with trio.CancelScope() as self._scope:
            for turn in count():
                if outcome is None:
                    break
                outcome = await self._go_on(outcome, turn)
            await self._slow_down()
        self._scope = None

    async def _slow_down(self) -> None:
        """Read nothing while the client is ahead of what it may publish."""
        client = self._client
        ahead = client.ahead(self._clock())
        if not ahead:
            return
        self._service.sessions.hit("publish_rate")
        self._behind += 1
        while ahead:
            await trio.sleep(min(ahead, _BUSY_LOOK))
            now = self._clock()
            client.touch(now)  # its keep alive waits, too
            ahead = client.ahead(now)
        self._behind -= 1

    async def _go_on(self, outcome: Ask | More | Hold, turn: int) -> Outcome:
        if isinstance(outcome, Hold):
            await self._holding.over()
            await self._store_room()
            return self._proceed(_RELEASED)
        if isinstance(outcome, More):
            await trio.lowlevel.checkpoint()
            await self._store_room()
            return self._proceed(TURN)
        if turn % _VERDICTS == _VERDICTS - 1:  # hooks need not let others have theirs
            await trio.lowlevel.checkpoint()
        referee = self._introduce()
        assert referee is not None  # somebody wants to know, or there would be no ask
        verdict = await referee.decide(outcome)
        session = self._client.session
        if isinstance(session, BrokerSession) and session.who is not referee.client:
            self._recognise(session, referee.client)  # it has shown anew who it is
        self._begin_turn()
        left = self._client.answer(outcome, verdict, self._clock())
        self._core.flush()
        return self._after(left)

    async def room(self) -> None:
        """Wait until nothing waits to be sent to the client."""
        while self._mailbox.congested or (self._gated is not None and self._gated.gate.shut):
            if self._room is None:
                self._room = trio.Event()
            await self._room.wait()

    def say_goodbye(self) -> None:
        """The server shuts down."""
        self._client.fail(ReasonCode.SERVER_SHUTTING_DOWN, self._clock())

    # How

    def _handle_later(self, data: bytes) -> list[Message] | None:
        """While packets wait: what need not wait with them is done."""
        if not self._behind and self._client.hears:
            self._begin_turn()
            self._client.hear(data, self._clock())
            self._core.flush_after_reads(self.connection, len(data))
            self._after(None)
            return None
        self._behind += 1
        return [Rest(self, data)]

    def _handle_slowly(self) -> list[Message] | None:
        """See whether the client is ahead of what it may publish; later reads then wait."""
        if not self._client.ahead(self._clock()):
            return None
        self._behind += 1
        return [Slow(self)]

    def _release(self) -> Outcome:
        """Go on with a client that was held, if that is over."""
        try:
            return self._proceed(_RELEASED)
        except MQTTError:  # the client has been told, and observers are by that
            self.connection.after_reads(self._blame)
            return None

    def _blame(self) -> None:
        """Raise what the client did wrong, where it is known whose fault it is."""
        assert self._error is not None
        raise self._error

    def _proceed(self, turn: int) -> Outcome:
        """Go on after others' turns."""
        self._begin_turn()
        outcome = self._client.proceed(self._clock(), turn)
        self._core.flush()
        return self._after(outcome)

    def _behind_a_gate(self, keeper: Keeper) -> GatedMailbox:
        gate = keeper.gate(self.connection, self._gate_opened)
        return keeper.mailbox(gate, self._service.capabilities.queue, self._too_slow)

    def _gate_opened(self) -> None:
        if self._mailbox.congested or self._room is not None:
            self.writable()

    def _to_wait(self) -> bool:
        """Whether the store is not ready, or the client waits for answers and it for room."""
        gated, keeper = self._gated, self._keeper
        return gated is not None and keeper is not None and keeper.delays(gated.gate)

    async def _store_room(self) -> None:
        """Wait while so much is to be written to the store that publishers wait."""
        if self._keeper is not None and self._to_wait():
            await self._keeper.room()
            self._client.touch(self._clock())

    def _begin_turn(self) -> None:
        if self._gated is not None:
            self._gated.begin_turn()

    def _after(self, outcome: Outcome) -> Outcome:
        client = self._client
        if client.unfinished:
            self._service.caretaker.later(self)
        if not self._watched and client.state is State.CONNECTED and not client.busy:
            self._watched = True
            if client.deadline is not None:
                self._service.caretaker.watch(self, client.deadline)
        if self._error is not None:
            raise self._error
        return outcome

    def _introduce(self) -> Referee | None:
        """Who decides about the client and knows who it is; None: nobody wants to know."""
        connect = self._client.connect
        wanted = self._service.knows_clients or self._client.asking.connect
        if self._referee is None and connect is not None and wanted:
            client = client_info(self.connection, connect, self._client.client_id)
            self._referee = Referee(self._service.calls, client)
        return self._referee

    def _recognise(self, session: BrokerSession, who: ClientInfo) -> None:
        self._service.recognise(session, who)
        if who.until is not None or self._stay is not None:
            if self._stay is None:
                self._stay = Stay(self._client, self._service.caretaker, self._clock)
            self._stay.until(who.until)

    def _tell_end(self, reason: ReasonCode | None, text: str) -> None:
        """Tell of the end of a client that has sent a CONNECT, once."""
        tell, referee = self._service.tell, self._introduce()
        if self._told or tell is None or referee is None:
            return
        self._told = True
        kind = ClientDisconnected if self._admitted else ClientRefused
        tell(kind(client=referee.client, reason=reason, text=text))

    def _too_slow(self, what: str) -> None:
        """End it, but not in the middle of what goes on."""
        self._full = f"it reads too slowly: {what}"
        self._service.caretaker.later(self)
