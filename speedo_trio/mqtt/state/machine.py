"""The machine of one connection: where it is, what it has, and how it ends.

`connecting`, `publishing` and `subscribing` say what packets do to it; `Client` adds what its host
calls.

Next: `speedo_trio.mqtt.state.connecting`.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final, TypeVar

from speedo_trio.errors import MQTTError
from speedo_trio.mqtt.state.answers import disconnection, fitting, refusal
from speedo_trio.mqtt.state.asks import NOTHING, Ask, Asking, Verdict
from speedo_trio.mqtt.state.later import Later
from speedo_trio.mqtt.wire.reader import MOST_PACKET_BYTES
from speedo_trio.mqtt.wire.reason_codes import ReasonCode
from speedo_trio.mqtt.wire.versions import Version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from speedo_trio.mqtt.state.capabilities import Capabilities
    from speedo_trio.mqtt.state.crowd import Crowd
    from speedo_trio.mqtt.state.line import Line
    from speedo_trio.mqtt.state.outside import Outside
    from speedo_trio.mqtt.state.pace import Pace
    from speedo_trio.mqtt.state.session import Session
    from speedo_trio.mqtt.state.sessions import Sessions
    from speedo_trio.mqtt.wire.packets import Connect, Packet
    from speedo_trio.mqtt.wire.properties import Properties
    from speedo_trio.mqtt.wire.runs import Run

A = TypeVar("A", bound=Ask)

FIVE: Final = Version.MQTT_5_0


class State(Enum):
    """Where a connection is."""

    WAITING = auto()
    """For CONNECT."""
    AUTHENTICATING = auto()
    """CONNECT has come, CONNACK has not been sent."""
    CONNECTED = auto()
    OVER = auto()
    """Nothing is processed or sent any more."""


class Machine:
    """One connection, for the modules that make up its behaviour. Others see a `Client`."""

    __slots__ = (
        "answered",
        "answers",
        "ask",
        "asking",
        "bridge",
        "capabilities",
        "client_id",
        "connect",
        "connect_by",
        "crowds",
        "heard",
        "hub",
        "judge",
        "keep_alive",
        "limit",
        "line",
        "outside",
        "pace",
        "plain",
        "pressure",
        "problems",
        "refused",
        "rest",
        "session",
        "sessions",
        "state",
        "steps",
        "taken",
        "version",
    )

    pace: Pace | None
    """How fast the client may publish; None: as fast as it can. `Client` sets it."""

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
        """The connection has been opened.

        Args:
            capabilities: What holds for clients of this listener.
            line: Where its frames go.
            outside: Who runs it.
            now: When it was opened.
            asking: Which decisions the host takes.
        """
        self.capabilities: Final = capabilities
        self.sessions: Final = sessions
        self.hub: Final = sessions.hub
        self.pressure: Final = sessions.pressure
        self.line: Final = line
        self.outside: Final = outside
        self.asking: Final = asking
        self.state: State = State.WAITING
        """Where it is. Only `enter` changes it."""
        self.plain: bool = False
        """Whether a plain PUBLISH is published without more ado."""
        self.version: Version | None = None
        """What the client speaks, once CONNECT has told."""
        self.client_id: str = ""
        """Its client identifier, once CONNECT has told or one was assigned."""
        self.connect: Connect | None = None
        """The CONNECT, once it has come."""
        self.session: Session | None = None
        """From the CONNACK that accepts until the end."""
        self.refused: int = 0
        """Messages of the client that were not published."""
        self.limit: int = MOST_PACKET_BYTES
        """The bytes of a packet that the client takes."""
        self.problems: bool = True
        """Whether it wants reason strings [MQTT-3.1.2-29]."""
        self.bridge: bool = False
        """Whether it is a bridge before MQTT 5.0, and so wants nothing back, and RETAIN as is."""
        self.keep_alive: int = 0
        """Seconds; 0 for none."""
        self.heard: float = now
        """When the last packet came."""
        self.connect_by: float = now + capabilities.connect_timeout
        """When it is to be connected."""
        self.steps: int = 0
        """Those of an authentication that goes on; 0: none does."""
        self.rest: Iterator[Packet | Run] | None = None
        """Packets that have not been looked at."""
        self.ask: Ask | None = None
        """What the host is asked."""
        self.judge: Callable[[Verdict, float], None] | None = None
        """Who gets the verdict, and when it came."""
        self.answers: list[bytes] = []
        """Frames that answer what was received together; they go out joined."""
        self.answered: int = 0
        """Answers that were sent."""
        self.crowds: list[Crowd] = []
        """What it is held for; none: it is not held."""
        self.taken: int = 0
        """Deliveries that the packet which is looked at has made."""

    def enter(self, state: State) -> None:
        """Be in another state."""
        self.state = state
        session = self.session
        free = (session is None or session.rights is None) and self.pace is None
        self.plain = state is State.CONNECTED and free and not self.asking.publish

    def restricted(self) -> None:
        """The rights of the session have changed."""
        self.enter(self.state)

    def put_ask(self, ask: A, judge: Callable[[Verdict, float], None]) -> A:
        """Stop for an ask; give it back, for the outcome."""
        self.ask = ask
        self.judge = judge
        return ask

    def tell(self, make: Callable[[Properties | None], Packet], text: str = "") -> None:
        """Answer with a reason string, if the client wants such [MQTT-3.1.2-29]."""
        assert self.version is not None
        frame = fitting(make, self.version, self.limit, text if self.problems else "")
        if frame:
            self.answers.append(frame)

    def speak(self) -> None:
        """Send the answers."""
        answers = self.answers
        if answers:
            self.answered += len(answers)
            frame = answers[0] if len(answers) == 1 else b"".join(answers)
            answers.clear()  # before, as the line may find that this is the end, and say so
            self.line.answer(frame)

    def answer_run(self, frames: bytes, number: int) -> None:
        """Answer several packets."""
        self.answers.append(frames)
        self.answered += number - 1  # `speak` counts one

    def fail(
        self,
        reason: ReasonCode,
        now: float,
        text: str = "",
        server_reference: str | None = None,
    ) -> None:
        """End the connection; the client is told why, as its version and the state allow.

        [MQTT-4.13.1-1] [MQTT-4.13.2-1] [MQTT-3.14.0-1]
        """
        if self.state is State.OVER:
            return
        reference = server_reference or self.capabilities.server_reference
        if self.state is State.CONNECTED:
            assert self.version is not None
            last = disconnection(reason, self.version, self.limit, text, reference)
        else:  # [MQTT-3.2.2-7]
            last = refusal(reason, self.version, self.limit, text, reference)
        self.end(last, reason, text, now)

    def end(self, last: bytes, reason: ReasonCode, text: str, now: float) -> None:
        """Process and send nothing more [MQTT-3.14.4-1], and close [MQTT-3.14.4-2]."""
        self.speak()
        self.leave(now)
        self.outside.close(last, reason, text)

    def wait_for(self, crowds: list[Crowd], now: float) -> None:
        """Be held by those of the crowds that hold anybody, and by no others."""
        for crowd in self.crowds:
            crowd.leave(self)
        self.crowds = [crowd for crowd in crowds if crowd.holds(now)]
        for crowd in self.crowds:
            crowd.join(self)

    def eased(self) -> None:
        """One of the crowds is none any more. `Crowd` calls it."""
        self.outside.eased()

    def taken_over(self, now: float) -> None:
        """Another connection takes the session [MQTT-3.1.4-3]. `Sessions` calls it."""
        self.fail(ReasonCode.SESSION_TAKEN_OVER, now)

    def lose_session(self, now: float) -> None:
        """The session ends by the server's will. `Sessions` calls it."""
        self.fail(ReasonCode.ADMINISTRATIVE_ACTION, now)

    def leave(self, now: float) -> None:
        """Let go of the session and of what was to be done."""
        session, self.session = self.session, None
        if session is not None and isinstance(self.rest, Later) and self.rest.ends_well:
            session.will = None  # [MQTT-3.14.4-3] [MQTT3-3.1.2-10]
        self.enter(State.OVER)
        self.rest = self.ask = self.judge = None
        self.wait_for([], now)
        self.answers.clear()
        if session is not None:
            self.sessions.disconnected(session, now)


def wrong(text: str) -> MQTTError:
    """A protocol error."""
    return MQTTError(text, ReasonCode.PROTOCOL_ERROR)


def check_id(machine: Machine, name: str, packet_id: int) -> None:
    """A packet has the identifier of a QoS 2 message: only clients of 5.0 can be told.

    [MQTT-2.2.1-3]

    Raises:
        MQTTError: It is another.
    """
    if machine.version is not FIVE:
        raise MQTTError(
            f"{name} has the packet identifier {packet_id}, which a message with QoS 2 has; "
            "allowed is one that is free",
            ReasonCode.PACKET_IDENTIFIER_IN_USE,
        )
