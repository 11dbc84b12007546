"""The local end of a bridge: a client of this broker, with a session as any other has.

What is to go out waits in that session while the other broker is away, within the bounds of all
sessions, and is as durable as they are. Hooks are not asked: who wrote the settings has allowed it.

Next: `speedo_trio.mqtt.bridging.crossing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import trio
from attrs import evolve

from speedo_trio.mqtt.bridging.passage import Passage
from speedo_trio.mqtt.state.asks import HOLD
from speedo_trio.mqtt.state.capabilities import NEVER
from speedo_trio.mqtt.state.client import Client
from speedo_trio.mqtt.state.outgoing import MOST_IDS, Receiver
from speedo_trio.mqtt.wire.packets import (
    ConnAck,
    Connect,
    PubRel,
    Subscribe,
    SubscriptionOptions,
    Unsubscribe,
)
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reader import PacketReader
from speedo_trio.mqtt.wire.versions import Version

if TYPE_CHECKING:
    from speedo_trio.mqtt.common import Service
    from speedo_trio.mqtt.state.asks import Outcome
    from speedo_trio.mqtt.state.session import Session
    from speedo_trio.mqtt.wire.packets import Packet
    from speedo_trio.mqtt.wire.reason_codes import ReasonCode

_FIVE: Final = Version.MQTT_5_0


class Far(Protocol):
    """The other broker, while it is connected to."""

    @property
    def full(self) -> bool:
        """Whether so much waits to be sent there that only answers should go."""

    def pass_on(self, packet: Packet) -> None:
        """A packet of the session, for the other broker. Must not call back."""

    def local_ended(self, text: str) -> None:
        """The session here was taken by somebody else, or ended."""


class Local:
    """A client that stays connected; what it is sent goes to the far side, or waits.

    It is the line and the outside of its machine.
    """

    def __init__(self, service: Service, client_id: str) -> None:
        self._service = service
        self._client_id = client_id
        # What holds for clients of others does not hold for this one, but for QoS and RETAIN.
        self._capabilities = evolve(
            service.capabilities,
            versions=("5.0",),
            maximum_session_expiry=NEVER,
            maximum_client_id_size=MOST_IDS,
            maximum_subscriptions=MOST_IDS,
            wildcard_subscriptions=True,
            receive_maximum=MOST_IDS,
            topic_alias_maximum=0,
            topic_aliases_sent=0,
        )
        self._machine: Client | None = None
        self._reader = PacketReader(_FIVE)
        self._turn = trio.Lock()
        self._far: Far | None = None
        self._open = False  # whether messages may go, too
        self._eased = trio.Event()
        self._passage = Passage(service.keeper, self._pass_on, self.pump)
        self.sent: int = 0
        """Bytes that were passed on."""

    # Its life

    async def enter(self, filters: dict[bytes, int]) -> None:
        """Take up the session, or begin one; nothing is done when it is there already.

        Args:
            filters: what it is to be subscribed to, with which QoS, and to nothing else.
        """
        await self._passage.ready()
        if self._machine is not None:
            return
        self._reader = PacketReader(_FIVE)
        machine = self._machine = Client(
            self._capabilities, self._service.sessions, self, self, now=self._now
        )
        stays = Properties(session_expiry_interval=NEVER)
        connect = Connect(client_id=self._client_id, clean_start=False, properties=stays)
        await self.receive([connect])
        await self._subscribe(machine, filters)

    def leave(self) -> None:
        """Go, for the session to wait for the next time."""
        self.part()
        machine, self._machine = self._machine, None
        if machine is not None:
            machine.closed(self._now)
            self._service.caretaker.stir()

    async def join(self, far: Far, receiver: Receiver, *, forgotten: bool) -> None:
        """The other broker has accepted: send there what it has not acknowledged, PUBRELs first.

        Messages wait until `open`.

        Args:
            receiver: what it is able to take.
            forgotten: whether it has no session of before. Then its packet identifiers are new.
        """
        session = self.session
        if session is None:
            far.local_ended("the session here has ended")
            return
        if forgotten and session.incoming.held:
            await self.receive([PubRel(each) for each in sorted(session.incoming.held)])
        self._far, self._open = far, False
        session.incoming.attach(MOST_IDS, 0)
        session.outgoing.attach(self, receiver, self.overflowed)
        session.outgoing.resume(self._now)
        self._service.core.flush()

    def open(self) -> None:
        """Let messages go as well."""
        self._open = True
        self.pump()

    def part(self) -> None:
        """The other broker is gone."""
        self._far, self._open = None, False
        self._passage.abandon()

    @property
    def session(self) -> Session | None:
        """That of this client; None: it has ended."""
        return None if self._machine is None else self._machine.session

    # What comes from the other broker

    async def receive(self, packets: list[Packet]) -> None:
        """Do what packets ask for, others' turns in between."""
        async with self._turn:
            await self._passage.ready()
            machine = self._machine
            if machine is None:
                return
            outcome: Outcome = machine.receive_many(packets, self._now)
            self._service.core.flush()
            try:
                while outcome is not None:  # nothing is asked, so there is more
                    if outcome is HOLD:
                        await self._held(machine)
                    await trio.lowlevel.checkpoint()
                    outcome = self._proceed(machine)
            finally:  # what has come is done, or the machine would take nothing more
                while outcome is not None:
                    machine.wait_for([], self._now)  # for nobody any more
                    outcome = self._proceed(machine)
            if machine.unfinished:
                self._service.caretaker.later(self)

    async def _held(self, machine: Client) -> None:
        """Wait for a subscriber here that has much to take."""
        self._eased = trio.Event()
        with trio.move_on_after(max(0.0, machine.held_until - self._now)):
            await self._eased.wait()

    def _proceed(self, machine: Client) -> Outcome:
        outcome = machine.proceed(self._now)
        self._service.core.flush()
        return outcome

    def pump(self) -> None:
        """Send what waits, as there is room now."""
        if self._machine is not None and not self.congested and self._machine.pump(self._now):
            self._service.caretaker.later(self)
        self._service.core.flush()

    # What the caretaker does

    def look(self, now: float) -> float | None:
        """Nothing is due."""
        return None

    def proceed(self, now: float) -> bool:
        """Send a portion of what waits; whether there is more."""
        return self._machine is not None and not self.congested and self._machine.pump(now)

    # The line

    @property
    def congested(self) -> bool:
        """Whether messages are to wait."""
        far = self._far
        return not self._open or far is None or far.full or self._passage.full

    def put(self, frame: bytes) -> bool:
        """A message; what has QoS 0 and can't go now is dropped."""
        if self.congested:
            return False
        self._passage.put(frame)
        return True

    def put_run(self, frames: bytes, number: int) -> None:
        """Pass on several at once."""
        self._pass_on(frames)

    def answer(self, frame: bytes) -> None:
        """Answers, which leave when what they promise is written down."""
        self._passage.hold()
        self._passage.put(frame)

    def hold(self) -> None:
        """Let what is put from now on leave only when all that was noted so far is written down."""
        self._passage.hold()

    def _pass_on(self, frames: bytes) -> None:
        far = self._far
        self.sent += len(frames)
        for packet in self._reader.feed(frames):
            if far is not None and not isinstance(packet, ConnAck):
                far.pass_on(packet)

    # The outside

    def close(self, last: bytes, reason: ReasonCode, text: str) -> None:
        """The machine has ended: somebody has taken the session, or ended it."""
        self._machine = None
        self._passage.abandon()
        if self._far is not None:
            self._far.local_ended(text or reason.name.replace("_", " ").lower())

    def overflowed(self) -> None:
        """There is no connection that could be ended: the message is dropped."""

    def eased(self) -> None:
        self._eased.set()

    def admitted(self, session: Session, *, present: bool) -> None:
        """It was taken in."""

    def abort(self) -> None:
        """Somebody wants it to end without a word."""
        machine, self._machine = self._machine, None
        if machine is not None:
            machine.closed(self._now)
            if self._far is not None:
                self._far.local_ended("it was ended")

    # How

    @property
    def _now(self) -> float:
        return self._service.core.clock()

    async def _subscribe(self, machine: Client, filters: dict[bytes, int]) -> None:
        """Be subscribed to these filters and no others."""
        session = machine.session
        if session is None:
            return
        packets: list[Packet] = []
        held = session.incoming.held  # identifiers that are in use
        packet_id = next(each for each in range(1, MOST_IDS + 1) if each not in held)
        gone = [each for each in session.subscriptions if each not in filters]
        if gone:
            packets.append(Unsubscribe(packet_id, gone))
        if filters:
            wanted = [(each, local_options(qos)) for each, qos in filters.items()]
            packets.append(Subscribe(packet_id, wanted))
        await self.receive(packets)


def local_options(qos: int) -> SubscriptionOptions:
    """How to subscribe: nothing comes back, and what is to be retained says so.

    What is retained comes once: what follows waits in the session. With QoS 0 nothing does, so then
    it comes each time.
    """
    return SubscriptionOptions(qos, True, True, 1 if qos else 0)  # in their order
