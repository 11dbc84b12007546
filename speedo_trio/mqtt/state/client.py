"""A client: the machine of one connection, from CONNECT to its end, as its host runs it.

This ends the tour of the state machine.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from speedo_trio.errors import HandlerError, MQTTError, TopicError
from speedo_trio.mqtt.state.answers import unsupported
from speedo_trio.mqtt.state.asks import (
    HOLD,
    MORE,
    NOTHING,
    Ask,
    Asking,
    Hold,
    Outcome,
    Verdict,
)
from speedo_trio.mqtt.state.connecting import (
    on_auth,
    on_auth_again,
    on_connect,
    on_disconnect,
    on_disconnect_early,
)
from speedo_trio.mqtt.state.later import Later
from speedo_trio.mqtt.state.machine import FIVE, Machine, State, wrong
from speedo_trio.mqtt.state.pace import Pace
from speedo_trio.mqtt.state.publication import FAMILIES, MQTTPublication
from speedo_trio.mqtt.state.publishing import (
    DOLLAR,
    keep_pace,
    on_puback,
    on_pubcomp,
    on_publish,
    on_pubrec,
    on_pubrel,
)
from speedo_trio.mqtt.state.runs import on_answer_run, on_publish_run, one_by_one
from speedo_trio.mqtt.state.subscribing import on_subscribe, on_unsubscribe
from speedo_trio.mqtt.wire.packets import (
    Auth,
    Connect,
    Disconnect,
    PingReq,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Subscribe,
    Unsubscribe,
)
from speedo_trio.mqtt.wire.reader import PacketReader
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.runs import AnswerRun, PublishRun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from speedo_trio.mqtt.state.capabilities import Capabilities
    from speedo_trio.mqtt.state.line import Line
    from speedo_trio.mqtt.state.outside import Outside
    from speedo_trio.mqtt.state.sessions import Sessions
    from speedo_trio.mqtt.wire.packets import Packet
    from speedo_trio.mqtt.wire.runs import Run
    from speedo_trio.mqtt.wire.versions import Version

TURN: Final = 2000
"""Messages and deliveries of one client that are done before it is others' turn: 2 ms or so."""

PINGRESP: Final = b"\xd0\x00"

_LIMITS: Final = {
    ReasonCode.PACKET_TOO_LARGE: "maximum_packet_size",
    ReasonCode.RECEIVE_MAXIMUM_EXCEEDED: "receive_maximum",
    ReasonCode.TOPIC_ALIAS_INVALID: "topic_alias_maximum",
    ReasonCode.MESSAGE_RATE_TOO_HIGH: "publish_rate",
}
"""Ends of a connection at a limit, and which it is."""

Transition: TypeAlias = (
    "Callable[[Machine, Any, float], Ask | Hold | None]"  # Any: a packet of its type
)


def on_pingreq(machine: Machine, packet: PingReq, now: float) -> None:
    """The client shows that it is there."""
    machine.answers.append(PINGRESP)  # [MQTT-3.12.4-1]


def on_what_is_wrong(machine: Machine, packet: Packet, now: float) -> Ask | None:
    """A packet that is not allowed in this state.

    Raises:
        MQTTError: Always, but at the end.
    """
    if machine.state is State.OVER:
        return None
    raise wrong(f"{type(packet).__name__.upper()} has come in the state {machine.state.name}")


TRANSITIONS: Final[dict[State, dict[type[Packet], Transition]]] = {
    State.WAITING: {  # [MQTT-3.1.0-1]
        Connect: on_connect,
    },
    State.AUTHENTICATING: {  # [MQTT-3.1.2-30] [MQTT-3.1.4-6]
        Auth: on_auth,
        Disconnect: on_disconnect_early,
    },
    State.CONNECTED: {  # a second CONNECT is not allowed [MQTT-3.1.0-2]
        Publish: on_publish,
        PubAck: on_puback,
        PubRec: on_pubrec,
        PubRel: on_pubrel,
        PubComp: on_pubcomp,
        Subscribe: on_subscribe,
        Unsubscribe: on_unsubscribe,
        PingReq: on_pingreq,
        Disconnect: on_disconnect,
        Auth: on_auth_again,
    },
    State.OVER: {},
}
"""What a packet does in each state. One that is not here is a protocol error, and at the end
nothing."""

AT_ONCE: Final = frozenset({PubAck, PubRec, PubComp})
"""What is done though earlier packets wait: none of them has to do with it. PINGREQ is too, of a
client that is held, which may be for longer than it waits for an answer; else who waits for that
knows that what came before is done."""


class Client(Machine):
    """One connection, for its host.

    - Call `receive_data` for each read (or `receive_many`, with packets), then flush the line. On
      an ask, find the verdict and give it to `answer`. On `MORE`, let others have their turn and
      call `proceed`. Both have an outcome again; receive nothing more until it is None. `Hold`
      says what there is to do on `HOLD`.
    - Call `pump` when the line has room again, and while it gives True, with others' turns between.
      `unfinished` tells after any other call whether there is something to pump right now.
    - Call `expire` when `deadline` is over. That moves with every packet, so look at it again then.
    - Call `fail` to end it: SERVER_SHUTTING_DOWN, ADMINISTRATIVE_ACTION, QUOTA_EXCEEDED and so on.
    - Call `closed` when the connection has closed, whoever closed it.

    `state`, `version`, `client_id`, `connect`, `session` and `refused` are there to look at. `now`
    is in seconds, of one clock for all clients and sessions.
    """

    __slots__ = ("_reader",)

    # As `Machine` has them. They are set here too, and not all checkers of types look there.
    ask: Ask | None
    heard: float
    judge: Callable[[Verdict, float], None] | None
    refused: int
    rest: Iterator[Packet | Run] | None
    taken: int
    version: Version | None

    def __init__(
        self,
        capabilities: Capabilities,
        sessions: Sessions,
        line: Line,
        outside: Outside,
        *,
        now: float,
        asking: Asking = NOTHING,
    ) -> None:
        super().__init__(capabilities, sessions, line, outside, now=now, asking=asking)
        rate, burst = capabilities.publish_rate, capabilities.publish_burst
        self.pace: Pace | None = None if rate is None else Pace(rate, burst, now)
        self._reader = PacketReader(limit=capabilities.maximum_packet_size)

    def receive_data(self, data: bytes, now: float, turn: int = TURN) -> Outcome:
        """Do what the next bytes of the stream ask for, as far as packets are complete."""
        return self.receive_many(self._reader.feed_runs(data), now, turn)

    def receive_many(
        self, packets: Iterable[Packet | Run], now: float, turn: int = TURN
    ) -> Outcome:
        """Do what packets ask for, up to the first ask.

        Args:
            packets: What `PacketReader.feed` gives: an MQTTError that it raises is answered.
            turn: So many messages and deliveries, about, are done before the outcome is `MORE`.
        """
        if self.rest is not None:
            raise HandlerError("packets while others wait; allowed is answer() or proceed()")
        self.rest = iter(packets)
        return self._go_on(now, turn)

    def receive(self, packet: Packet, now: float) -> Outcome:
        """Do what a packet asks for."""
        return self.receive_many((packet,), now)

    def proceed(self, now: float, turn: int = TURN) -> Outcome:
        """Go on after `MORE` or `HOLD`. When the connection has ended meanwhile it does nothing."""
        if self.ask is not None:
            raise HandlerError("proceed() while an ask waits; allowed is answer()")
        if self.crowds:
            self.wait_for(self.crowds, now)
            self.heard = now  # the server chose not to go on
        return self._go_on(now, turn)

    @property
    def packets(self) -> int:
        """Packets that have come, of those that `receive_data` and `hear` were given."""
        return self._reader.count

    @property
    def hears(self) -> bool:
        """Whether packets wait, and `hear` may be called."""
        rest = self.rest
        return (
            rest is not None
            and self.state is State.CONNECTED  # [MQTT-3.1.4-6]
            and not (isinstance(rest, Later) and rest.full)
        )

    def hear(self, data: bytes, now: float) -> None:
        """Take the next bytes of the stream while packets wait, for whatever reason.

        What `AT_ONCE` tells of is done. All else waits behind what waits already; what is not
        allowed ends the connection at once.
        """
        if not self.hears:
            raise HandlerError("hear() while nothing waits; allowed is receive_data()")
        try:
            later = self._set_aside(now)
            packets = self._reader.feed_runs(data)
            if self.rest is later:
                self._sort(packets, later, now)
        except MQTTError as error:
            self._err(error, now)
        finally:
            self.speak()

    @property
    def held_until(self) -> float:
        """When to call `proceed` after `HOLD`, if `Outside.eased` isn't called before."""
        return max((crowd.until for crowd in self.crowds), default=0.0)

    def answer(self, ask: Ask, verdict: Verdict, now: float, turn: int = TURN) -> Outcome:
        """Go on with what was asked, and then with the packets behind it.

        When the connection has ended meanwhile this does nothing.

        Raises:
            HandlerError: It isn't what was asked, or the verdict is none for it.
        """
        if self.state is State.OVER:
            return None
        judge = self.judge
        if ask is not self.ask or judge is None:
            raise HandlerError(f"an answer to {ask!r}; asked is {self.ask!r}")
        self.ask = self.judge = None
        self.heard = now  # the server chose not to read
        try:
            judge(verdict, now)
        except MQTTError as error:
            self._err(error, now)
        return self._go_on(now, turn)

    @property
    def busy(self) -> bool:
        """Whether packets wait for `answer` or `proceed`."""
        return self.rest is not None

    def pump(self, now: float) -> bool:
        """Send what waits, as there is room now; whether more could go after others' turns."""
        session = self.session
        return session is not None and session.outgoing.pump(now)

    @property
    def unfinished(self) -> bool:
        """Whether `pump` would send something right now."""
        session = self.session
        return session is not None and session.outgoing.unfinished

    @property
    def deadline(self) -> float | None:
        """When to call `expire`; None: not as things are.

        While packets wait there is none, as nothing is read then.
        """
        if self.rest is not None or self.state is State.OVER:
            return None
        if self.state is not State.CONNECTED:
            return self.connect_by
        # [MQTT-3.1.2-22]
        return self.heard + 1.5 * self.keep_alive if self.keep_alive else None

    def expire(self, now: float) -> None:
        """End the connection if its deadline is over."""
        deadline = self.deadline
        if deadline is None or now < deadline:
            return
        if self.state is State.CONNECTED:
            text = f"no packet for one and a half times the keep alive of {self.keep_alive} s"
            self.fail(ReasonCode.KEEP_ALIVE_TIMEOUT, now, text)
        else:
            seen = "no CONNECT" if self.state is State.WAITING else "no end of authentication"
            text = f"{seen} within {self.capabilities.connect_timeout} s"
            self.fail(ReasonCode.NOT_AUTHORIZED, now, text)

    def touch(self, now: float) -> None:
        """Count the keep alive from now: the server has not read for a while, by its own choice."""
        self.heard = now

    def ahead(self, now: float) -> float:
        """Seconds for which nothing is to be read, as the client publishes too fast; mostly 0."""
        pace = self.pace
        return 0.0 if pace is None or self.state is State.OVER else pace.ahead(now)

    def closed(self, now: float) -> None:
        """The connection has closed. It may have ended before."""
        if self.state is not State.OVER:
            self.leave(now)

    def _go_on(self, now: float, turn: int) -> Outcome:
        """Go on with the packets that are left, until an ask or the end of the turn."""
        try:
            while self.rest is not None:
                try:
                    if self.crowds:
                        return self._hold(now)
                    return self._work_through(self.rest, now, turn)
                except TopicError:  # of a plain PUBLISH with QoS 0; the rest is not to blame
                    self.refused += 1
                    self.sessions.hit("topics")
                except MQTTError as error:
                    self._err(error, now)
        finally:
            self.speak()
        return None

    def _work_through(self, rest: Iterator[Packet | Run], now: float, turn: int) -> Outcome:
        """The loop. A plain PUBLISH, which most packets are, is dealt with here, without a call.

        Raises:
            MQTTError: What ends the connection.
            TopicError: The broker doesn't take the topic of a plain PUBLISH.
        """
        work = 0
        table, publish, client_id = TRANSITIONS[self.state], self.hub.publish, self.client_id
        family = FAMILIES[self.version or FIVE]
        for packet in rest:
            self.heard = now
            if (
                type(packet) is Publish
                and (raw := packet.raw) is not None
                and self.plain
                and packet.topic[0] != DOLLAR
            ):
                work += 1 + publish(
                    MQTTPublication(
                        packet.topic, packet.payload, 0, False, None, client_id, now, {family: raw}
                    )
                )
            elif isinstance(packet, (PublishRun, AnswerRun)):
                done, left = self._do_run(packet, now)
                if left is not None:
                    self.rest = one_by_one(chain((left,), rest))
                    return self._work_through(self.rest, now, turn - work - done)
                work += done
            else:
                ask = table.get(type(packet), on_what_is_wrong)(self, packet, now)
                if ask is not None:  # the next packets wait [MQTT-4.6.0-2] [MQTT-4.6.0-3]
                    return self._hold(now) if ask is HOLD else ask
                work += 1 + self.taken
                self.taken = 0
                table, client_id = TRANSITIONS[self.state], self.client_id
                family = FAMILIES[self.version or FIVE]
            if work >= turn and self.rest is not None:
                return MORE
        self.rest = None
        return None

    def _do_run(self, run: Run, now: float) -> tuple[int, Run | None]:
        """Do what can be done together; how much work that was, and what is left."""
        if isinstance(run, PublishRun):
            work = on_publish_run(self, run, now)
            return work, None if work else run
        number = on_answer_run(self, run, now)
        return number, None if number == len(run) else run.after(number)

    def _hold(self, now: float) -> Outcome:
        """Let the packets wait that are left, but for those which need not.

        Raises:
            MQTTError: What ends the connection.
        """
        self.taken = 0
        self._set_aside(now)
        return None if self.rest is None else HOLD

    def _set_aside(self, now: float) -> Later:
        """The packets that wait, without those which need not.

        Raises:
            MQTTError: What ends the connection.
        """
        rest = self.rest
        if isinstance(rest, Later):
            return rest
        assert rest is not None  # or nothing would wait
        self.rest = later = Later()
        self._sort(rest, later, now)
        return later

    def _sort(self, packets: Iterable[Packet | Run], later: Later, now: float) -> None:
        """Do what is done at once, and let the rest wait.

        Raises:
            MQTTError: What ends the connection.
        """
        table = TRANSITIONS[State.CONNECTED]
        for packet in one_by_one(packets):
            if type(packet) in AT_ONCE or (type(packet) is PingReq and self.crowds):
                table[type(packet)](self, packet, now)
                if self.rest is not later:  # that has ended the connection
                    return
            else:
                if self.pace is not None and type(packet) is Publish:
                    keep_pace(self, self.pace, now)
                later.put(packet)

    def _err(self, error: MQTTError, now: float) -> None:
        """The client did what is not allowed, or what can't be done for it."""
        reason = ReasonCode(error.reason)
        if reason in _LIMITS:
            self.sessions.hit(_LIMITS[reason])
        if self.state is not State.WAITING:
            self.fail(reason, now, str(error))
        elif self._reader.version is not None:
            self.version = self._reader.version
            self.fail(reason, now, str(error))
        else:
            self.end(unsupported(self._reader.level), reason, str(error), now)
