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
from speedo_trio.mqtt.hub import BrokerSession
from speedo_trio.mqtt.referee import Referee, client_info
from speedo_trio.mqtt.state.asks import More
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
    from speedo_trio.mqtt.store.gate import GatedMailbox
    from speedo_trio.mqtt.store.keeper import Keeper
    from speedo_trio.protocol.handler import Connection

_BUSY_LOOK = 1.0
"""Seconds until the next look at a connection whose packets wait for a verdict."""

_LAST_LOOK: Final = 5.0
"""Seconds that the last words to a client may wait for the store."""

_VERDICTS: Final = 32
"""Verdicts on what one client sent until it is others' turn."""

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
            asking=service.asking,
        )
        self._referee: Referee | None = None  # when a hook wants to know of the client
        self._admitted = False
        self._told = False  # of its end
        self._scope: trio.CancelScope | None = None  # of a read that waits for hooks
        self.received: int = 0
        """Bytes."""
        self._behind = 0  # reads that wait in the lane
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
        if self._behind or self._to_wait():
            self._behind += 1
            return [_Rest(self, data)]
        outcome = self.receive(data)
        if outcome is None:
            return None
        self._behind += 1
        return [_Rest(self, b"", outcome)]

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
        self._mailbox.close()
        if self._gated is not None:
            self._gated.gate.abandon()
        self._core.flush()  # its will
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
        self._begin_turn()
        return self._after(self._client.receive_data(data, self._clock()))

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
        self._behind -= 1

    async def _go_on(self, outcome: Ask | More, turn: int) -> Outcome:
        if isinstance(outcome, More):
            await trio.lowlevel.checkpoint()
            await self.store_room()
            self._begin_turn()
            return self._after(self._client.proceed(self._clock()))
        if turn % _VERDICTS == _VERDICTS - 1:  # hooks need not let others have theirs
            await trio.lowlevel.checkpoint()
        referee = self._introduce()
        assert referee is not None  # somebody wants to know, or there would be no ask
        verdict = await referee.decide(outcome)
        session = self._client.session
        if isinstance(session, BrokerSession):  # it may have shown anew who it is
            session.who = referee.client
        self._begin_turn()
        return self._after(self._client.answer(outcome, verdict, self._clock()))

    async def room(self) -> None:
        """Wait until nothing waits to be sent to the client."""
        while self._mailbox.congested or (self._gated is not None and self._gated.gate.shut):
            if self._room is None:
                self._room = trio.Event()
            await self._room.wait()

    def say_goodbye(self) -> None:
        """The server shuts down."""
        self._client.fail(ReasonCode.SERVER_SHUTTING_DOWN, self._clock())

    async def store_room(self) -> None:
        """Wait while so much is to be written to the store that publishers wait."""
        if self._keeper is not None and self._to_wait():
            await self._keeper.room()
            self._client.touch(self._clock())

    # How

    def _behind_a_gate(self, keeper: Keeper) -> GatedMailbox:
        gate = keeper.gate(self.connection, self._gate_opened)
        return keeper.mailbox(gate, self._service.capabilities.queue, self._too_slow)

    def _gate_opened(self) -> None:
        if self._mailbox.congested or self._room is not None:
            self.writable()

    def _to_wait(self) -> bool:
        """Whether the client waits for answers, and the store for room."""
        gated, keeper = self._gated, self._keeper
        return gated is not None and gated.gate.shut and keeper is not None and keeper.full

    def _begin_turn(self) -> None:
        if self._gated is not None:
            self._gated.begin_turn()

    def _after(self, outcome: Outcome) -> Outcome:
        client = self._client
        self._core.flush()
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
        await self.handler.store_room()
        outcome = self.handler.receive(self.data) if self.data else self.outcome
        await self.handler.finish(outcome)


@define(eq=False)
class _Farewell(Message):
    """The server drains: what waits is sent, then the client is told."""

    handler: MQTTHandler

    async def execute(self) -> None:
        """[MQTT-3.14.0-1] is kept by `speedo_trio.mqtt.state.client`."""
        await self.handler.room()
        self.handler.say_goodbye()
