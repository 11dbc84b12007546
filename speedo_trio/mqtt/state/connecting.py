"""CONNECT, AUTH and DISCONNECT: how a client comes in and goes.

Next: `speedo_trio.mqtt.state.publishing`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from speedo_trio.errors import HandlerError, MQTTError
from speedo_trio.mqtt.state.answers import CLIENT_DISCONNECTS
from speedo_trio.mqtt.state.asks import (
    ALLOW,
    Allow,
    Ask,
    AskAuth,
    AskConnect,
    Challenge,
    Refuse,
    Verdict,
)
from speedo_trio.mqtt.state.handshake import (
    check_connect,
    expiry_asked,
    keep_alive,
    receiver,
    welcome,
)
from speedo_trio.mqtt.state.machine import FIVE, Machine, State, wrong
from speedo_trio.mqtt.state.outgoing import MOST_IDS
from speedo_trio.mqtt.wire.encoder import encode
from speedo_trio.mqtt.wire.packets import Auth, ConnAck, Connect, Disconnect
from speedo_trio.mqtt.wire.properties import Properties
from speedo_trio.mqtt.wire.reader import MOST_PACKET_BYTES
from speedo_trio.mqtt.wire.reason_codes import ReasonCode

if TYPE_CHECKING:
    from speedo_trio.mqtt.state.session import Session
    from speedo_trio.mqtt.wire.versions import Version


def on_connect(machine: Machine, connect: Connect, now: float) -> Ask | None:
    """Begin: see that the server takes such a client, and have the host asked about it."""
    machine.version, machine.connect = connect.version, connect
    properties = connect.properties or Properties()
    machine.limit = properties.maximum_packet_size or MOST_PACKET_BYTES
    machine.problems = properties.request_problem_information is not False
    machine.bridge = connect.bridge
    machine.connect_by = now + machine.capabilities.connect_timeout
    machine.enter(State.AUTHENTICATING)
    check_connect(connect, machine.capabilities)  # [MQTT-3.1.4-1]
    # [MQTT-3.1.3-6] [MQTT3-3.1.3-6]
    machine.client_id = connect.client_id or machine.sessions.assign()
    if machine.asking.connect:  # [MQTT-3.1.4-2]
        ask = AskConnect(connect, machine.client_id)
        return machine.put_ask(ask, partial(_judge, machine))
    method = properties.authentication_method
    if method is not None:  # [MQTT-4.12.0-1]
        raise MQTTError(
            f"the authentication method is {method!r}; allowed is none",
            ReasonCode.BAD_AUTHENTICATION_METHOD,
        )
    _accept(machine, ALLOW, now)
    return None


def on_auth(machine: Machine, auth: Auth, now: float) -> Ask | None:
    """A step of the authentication that CONNECT began."""
    method = _check_method(machine, auth)
    if auth.reason is not ReasonCode.CONTINUE_AUTHENTICATION:  # [MQTT-4.12.0-3]
        raise wrong(f"AUTH has the reason code 0x{auth.reason:02X}; allowed is 0x18")
    return _step(machine, auth, method, again=False)


def on_auth_again(machine: Machine, auth: Auth, now: float) -> Ask | None:
    """A step of an authentication of a client that is connected (section 4.12.1)."""
    method = _check_method(machine, auth)  # [MQTT-4.12.1-1]
    begun = ReasonCode.CONTINUE_AUTHENTICATION
    allowed = begun if machine.steps else ReasonCode.RE_AUTHENTICATE
    if auth.reason is not allowed:
        raise wrong(f"AUTH has the reason code 0x{auth.reason:02X}; allowed is 0x{allowed:02X}")
    return _step(machine, auth, method, again=True)


def on_disconnect_early(machine: Machine, packet: Disconnect, now: float) -> None:
    """The client gives up an authentication."""
    machine.end(b"", packet.reason, "", now)


def on_disconnect(machine: Machine, packet: Disconnect, now: float) -> None:
    """The client goes, with its will or without."""
    session = machine.session
    assert session is not None
    if packet.reason not in CLIENT_DISCONNECTS:
        raise wrong(f"DISCONNECT has the reason code 0x{packet.reason:02X}, which is a server's")
    properties = packet.properties
    if properties is not None:
        if properties.server_reference is not None:  # section 3.14.2.2.5
            raise wrong("DISCONNECT has a server reference; allowed is none")
        if properties.session_expiry_interval is not None:
            _change_expiry(machine, session, properties.session_expiry_interval)
    if packet.reason is ReasonCode.NORMAL_DISCONNECTION:
        session.will = None  # [MQTT-3.14.4-3] [MQTT3-3.1.2-10]
    machine.end(b"", packet.reason, "", now)


def _accept(machine: Machine, allow: Allow, now: float) -> None:
    """Take the client in: its session, CONNACK first, then what waits.

    [MQTT-3.2.0-1] [MQTT-3.2.0-2]
    """
    connect, own = machine.connect, machine.capabilities
    assert connect is not None
    asked = expiry_asked(connect)
    expiry = min(asked, own.maximum_session_expiry)
    if expiry < asked and connect.version is FIVE:  # others ask for ever, and mean nothing by it
        machine.sessions.hit("maximum_session_expiry")
    told = welcome(connect, own, client_id=machine.client_id, expiry=expiry, data=allow.data)
    if machine.limit < MOST_PACKET_BYTES:  # [MQTT-3.1.2-24]
        _check_fits(machine.limit, ConnAck(properties=told), connect.version)
    session, present = machine.sessions.connect(
        machine,
        machine.client_id,
        clean_start=connect.clean_start,  # [MQTT-3.1.4-4]
        expiry=expiry,
        will=connect.will,
        now=now,
    )
    machine.session = session
    machine.steps = 0
    machine.keep_alive = keep_alive(connect, own)
    machine.enter(State.CONNECTED)
    five = connect.version is FIVE
    session.incoming.attach(
        own.receive_maximum if five else MOST_IDS, own.topic_alias_maximum if five else 0
    )
    session.outgoing.attach(
        machine.line,
        receiver(connect, own),
        machine.outside.overflowed,
        machine.sessions.pressure,
    )
    # [MQTT-3.1.4-5] [MQTT-3.2.2-2] [MQTT-3.2.2-3]
    machine.line.answer(encode(ConnAck(ReasonCode.SUCCESS, present, told), connect.version))
    session.outgoing.resume(now)


def _check_fits(limit: int, connack: ConnAck, version: Version) -> None:
    size = len(encode(connack, version))
    if size > limit:
        raise MQTTError(
            f"the client's maximum packet size is {limit}; allowed is {size} at least",
            ReasonCode.PACKET_TOO_LARGE,
        )


def _check_method(machine: Machine, auth: Auth) -> str:
    """See that an AUTH has the method of CONNECT [MQTT-4.12.0-5] [MQTT-4.12.0-7]."""
    own = _method(machine)
    method = None if auth.properties is None else auth.properties.authentication_method
    if own is None or method != own:
        allowed = "no AUTH" if own is None else repr(own)
        raise wrong(f"AUTH has the authentication method {method!r}; allowed is {allowed}")
    return own


def _method(machine: Machine) -> str | None:
    """The authentication method of CONNECT."""
    connect = machine.connect
    if connect is None or connect.properties is None:
        return None
    return connect.properties.authentication_method


def _step(machine: Machine, auth: Auth, method: str, *, again: bool) -> AskAuth:
    first = again and not machine.steps
    machine.steps += 1
    most = machine.capabilities.authentication_steps
    if machine.steps > most:
        raise MQTTError(
            f"the authentication has {machine.steps} steps; allowed are {most}",
            ReasonCode.NOT_AUTHORIZED,
        )
    data = None if auth.properties is None else auth.properties.authentication_data
    ask = AskAuth(machine.client_id, method, data, again, first)
    return machine.put_ask(ask, partial(_judge_again if again else _judge, machine))


def _judge(machine: Machine, verdict: Verdict, now: float) -> None:
    """The verdict on a client that wants to connect."""
    match verdict:
        case Allow():
            _accept(machine, verdict, now)
        case Challenge():  # [MQTT-4.12.0-2]
            _authenticate(machine, ReasonCode.CONTINUE_AUTHENTICATION, verdict.data)
        case Refuse():  # [MQTT-4.12.0-4]
            machine.fail(verdict.reason, now, verdict.text, verdict.server_reference)
        case _:
            raise HandlerError(f"{verdict!r} is no verdict on a client")


def _judge_again(machine: Machine, verdict: Verdict, now: float) -> None:
    """The verdict on a client that is connected."""
    if isinstance(verdict, Allow):
        machine.steps = 0
        _authenticate(machine, ReasonCode.SUCCESS, verdict.data)
    else:  # [MQTT-4.12.1-2]
        _judge(machine, verdict, now)


def _authenticate(machine: Machine, reason: ReasonCode, data: bytes | None) -> None:
    """Send AUTH, with the method of CONNECT. Without one none is sent [MQTT-4.12.0-6]."""
    method = _method(machine)
    if method is None:
        raise HandlerError("a Challenge for a client that gave no authentication method")
    properties = Properties(authentication_method=method, authentication_data=data)
    machine.tell(lambda _: Auth(reason, properties))  # [MQTT-3.15.2-1]


def _change_expiry(machine: Machine, session: Session, expiry: int) -> None:
    """The client changes how long its session stays (section 3.14.2.2.2)."""
    assert machine.connect is not None
    if expiry and not expiry_asked(machine.connect):
        raise wrong(f"the session expiry interval is {expiry}; allowed is 0, as in CONNECT")
    session.expiry = min(expiry, machine.capabilities.maximum_session_expiry)
