"""The handler of one MQTT connection: bytes to the session machine, frames from it.

As with SimplePub, what is quick is done as the bytes arrive. What needs a verdict of a hook, or
others' turns in between, waits in the connection's lane, and later reads wait behind it.

Next: `speedo_trio.mqtt.service`.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final

import trio
from attrs import define

from speedo_trio.broker.mailbox import Mailbox
from speedo_trio.errors import MQTTError
from speedo_trio.mqtt.events import ClientConnected, ClientDisconnected, ClientRefused
from speedo_trio.mqtt.holding import Holding
from speedo_trio.mqtt.hub import BrokerSession
from speedo_trio.mqtt.referee import Referee, client_info
from speedo_trio.mqtt.state.asks import HOLD, NOTHING, Hold, More
from speedo_trio.mqtt.state.client import Client
from speedo_trio.mqtt.state.machine import State
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.protocol.handler import ProtocolHandler
from speedo_trio.protocol.message import Message

if TYPE_CHECKING:
    from speedo_trio.events import CloseReason
    from speedo_trio.mqtt.common import Service
    from speedo_trio.mqtt.state.asks import Ask, Outcome
    from speedo_trio.mqtt.state.session import Session
    from speedo_trio.protocol.handler import Connection

_BUSY_LOOK = 1.0
"""Seconds until the next look at a connection whose packets wait for a verdict."""

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
        self._mailbox = Mailbox(
            connection, service.capabilities.queue, service.core.dirty, self._too_slow
        )
        self._client = Client(
            service.capabilities,
            service.sessions,
            self._mailbox,
            self,
            now=self._clock(),
            asking=service.asking,
        )
        self._holding = Holding(self._client, service.caretaker, self._clock, self._release)
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
        outcome = self.receive(data)
        if outcome is None:
            return None
        if outcome is HOLD and self._service.asking == NOTHING:
            self._holding.begin()
            return None
        return [_Rest(self, b"", outcome)]

    def eof(self) -> list[Message] | None:
        return [_Settled(self)] if self._client.busy else None

    def draining(self) -> list[Message]:
        return [_Farewell(self)]

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
        self._core.flush()  # its will
        self._service.caretaker.leave(self)
        self._service.caretaker.leave(self._holding)
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
        if self._mailbox.close(last):
            self.connection.close()
        else:
            self.connection.abort()

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
        session.who = referee.client
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
        client.expire(now)
        if client.state is State.OVER:
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
        outcome = self._client.receive_data(data, self._clock())
        self._core.flush_after_reads(self.connection, len(data))
        return self._after(outcome)

    async def settled(self) -> None:
        """Wait until nothing waits that the machine has got."""
        await self._holding.free()

    async def receive_later(self, data: bytes) -> Outcome:
        """`receive`, when nothing waits any more that came before."""
        await self.settled()
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
        self._scope = None

    async def _go_on(self, outcome: Ask | More | Hold, turn: int) -> Outcome:
        if isinstance(outcome, Hold):
            await self._holding.over()
            held = self._client.proceed(self._clock(), _RELEASED)
            self._core.flush()
            return self._after(held)
        if isinstance(outcome, More):
            await trio.lowlevel.checkpoint()
            left = self._client.proceed(self._clock())
            self._core.flush()
            return self._after(left)
        if turn % _VERDICTS == _VERDICTS - 1:  # hooks need not let others have theirs
            await trio.lowlevel.checkpoint()
        referee = self._introduce()
        assert referee is not None  # somebody wants to know, or there would be no ask
        verdict = await referee.decide(outcome)
        session = self._client.session
        if isinstance(session, BrokerSession):  # it may have shown anew who it is
            session.who = referee.client
        left = self._client.answer(outcome, verdict, self._clock())
        self._core.flush()
        return self._after(left)

    async def room(self) -> None:
        """Wait until nothing waits to be sent to the client."""
        while self._mailbox.congested:
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
            self._client.hear(data, self._clock())
            self._core.flush_after_reads(self.connection, len(data))
            self._after(None)
            return None
        self._behind += 1
        return [_Rest(self, data)]

    def _release(self) -> Outcome:
        """Go on with a client that was held, if that is over."""
        try:
            outcome = self._client.proceed(self._clock(), _RELEASED)
            self._core.flush()
            return self._after(outcome)
        except MQTTError:  # the client has been told, and observers are by that
            self.connection.after_reads(self._blame)
            return None

    def _blame(self) -> None:
        """Raise what the client did wrong, where it is known whose fault it is."""
        assert self._error is not None
        raise self._error

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
        if self._referee is None and connect is not None and self._service.knows_clients:
            client = client_info(self.connection, connect, self._client.client_id)
            self._referee = Referee(self._service.calls, client)
        return self._referee

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


@define(eq=False)
class _Rest(Message):
    """A read that had to wait, or what is left of one."""

    handler: MQTTHandler
    data: bytes
    outcome: Outcome = None

    async def execute(self) -> None:
        """Raises MQTTError: What ends the connection; the client has been told."""
        handler, outcome = self.handler, self.outcome
        if self.data:
            outcome = await handler.receive_later(self.data)
        await handler.finish(outcome)


@define(eq=False)
class _Settled(Message):
    """The peer sends no more: what it has sent is done before the connection ends."""

    handler: MQTTHandler

    async def execute(self) -> None:
        """Raises nothing."""
        await self.handler.settled()


@define(eq=False)
class _Farewell(Message):
    """The server drains: what waits is sent, then the client is told."""

    handler: MQTTHandler

    async def execute(self) -> None:
        """[MQTT-3.14.0-1] is kept by `speedo_trio.mqtt.state.client`."""
        await self.handler.settled()
        await self.handler.room()
        self.handler.say_goodbye()
