"""The event log: which event is which line, and what becomes of a flood of them."""

from __future__ import annotations

import logging
from typing import NamedTuple

import pytest

from speedo_trio.errors import FrameTooLong, HandshakeError
from speedo_trio.events import (
    AcceptFailed,
    Address,
    Cause,
    CloseReason,
    ConnectionEnded,
    ConnectionFailed,
    ConnectionOpened,
    ConnectionRefused,
    Drained,
    DrainReport,
    DrainStarted,
    Event,
    GraceOver,
    Listening,
    MessageDropped,
    MessageFailed,
    ProxyInfo,
    Reconfigured,
    Refusal,
    StoreFailed,
    StoreRecovered,
    TLSInfo,
    WebSocketInfo,
)
from speedo_trio.logs.event_log import EventLog

PEER = Address("tcp", host="192.0.2.7", port=40_000)
LOCAL = Address("tcp", host="192.0.2.1", port=9292)
WRONG = RuntimeError("went wrong")
REPORT = DrainReport(
    connections=3,
    executed=20,
    dropped_messages=0,
    dropped_bytes=0,
    cut_connections=0,
    abandoned_threads=0,
    seconds=0.125,
)
TOO_LONG = CloseReason(Cause.PROTOCOL_ERROR, FrameTooLong("too long"))
BROKE = ConnectionFailed(connection=4, peer=PEER, reason=TOO_LONG)
REFUSED = ConnectionRefused(peer=PEER, why=Refusal.FULL, limit=2)
FAILED = MessageFailed(connection=4, peer=PEER, message="the message", error=WRONG)
OPENED = ConnectionOpened(connection=4, peer=PEER, local=LOCAL)
CLOSED = ConnectionEnded(
    connection=4,
    peer=PEER,
    reason=TOO_LONG,
    received=100,
    sent=50,
    messages=1,
    seconds=1.25,
)


class Logged(NamedTuple):
    """An event and the line of log that it makes."""

    event: Event
    level: int
    text: str


LOGGED = (
    Logged(
        MessageDropped(subscriber="simplepub tcp://192.0.2.7:40000", dropped=10),
        logging.WARNING,
        "simplepub tcp://192.0.2.7:40000 reads too slowly: 10 messages dropped so far",
    ),
    Logged(
        StoreFailed(store="mqtt.db", error=OSError("the disk is full")),
        logging.ERROR,
        "the store mqtt.db fails; what it can't keep is not acknowledged: the disk is full",
    ),
    Logged(
        StoreRecovered(store="mqtt.db"),
        logging.INFO,
        "the store mqtt.db has recovered, and all that waited is written",
    ),
    Logged(
        Listening(addresses=(PEER, Address("unix", path="/s"))),
        logging.INFO,
        "listening on tcp://192.0.2.7:40000, unix:/s",
    ),
    Logged(
        BROKE,
        logging.INFO,
        "connection 4 from tcp://192.0.2.7:40000: "
        "the peer broke the protocol: FrameTooLong: too long",
    ),
    Logged(
        ConnectionFailed(
            connection=4,
            peer=PEER,
            reason=CloseReason(Cause.HANDSHAKE, HandshakeError("no PROXY header")),
        ),
        logging.INFO,
        "connection 4 from tcp://192.0.2.7:40000: "
        "the handshake failed: HandshakeError: no PROXY header",
    ),
    Logged(
        ConnectionFailed(connection=4, peer=PEER, reason=CloseReason(Cause.HANDLER_ERROR, WRONG)),
        logging.ERROR,
        "connection 4 from tcp://192.0.2.7:40000: "
        "the handler or a message raised: RuntimeError: went wrong",
    ),
    Logged(
        ConnectionFailed(
            connection=4,
            peer=PEER,
            reason=CloseReason(Cause.HANDLER_ERROR, WRONG),
            message="the message",
        ),
        logging.ERROR,
        "connection 4 from tcp://192.0.2.7:40000, in 'the message': "
        "the handler or a message raised: RuntimeError: went wrong",
    ),
    Logged(
        FAILED,
        logging.WARNING,
        "connection 4 from tcp://192.0.2.7:40000, in 'the message': "
        "it raised and was answered for: RuntimeError: went wrong",
    ),
    Logged(
        AcceptFailed(address=PEER, error=OSError(24, "Too many open files"), retry_in=0.1),
        logging.WARNING,
        "tcp://192.0.2.7:40000: accept failed, next try in 0.1 s: [Errno 24] Too many open files",
    ),
    Logged(
        REFUSED,
        logging.WARNING,
        "connection from tcp://192.0.2.7:40000 refused: limits.connections is 2",
    ),
    Logged(OPENED, logging.DEBUG, "connection 4 from tcp://192.0.2.7:40000: opened"),
    Logged(
        CLOSED,
        logging.DEBUG,
        "connection 4 from tcp://192.0.2.7:40000: closed after 1.250 s, "
        "the peer broke the protocol: FrameTooLong: too long: "
        "100 bytes received, 50 sent, 1 message",
    ),
    Logged(
        DrainStarted(connections=5, grace=1.49999),
        logging.INFO,
        "draining 5 connections, grace 1.5 s",
    ),
    Logged(
        GraceOver(connections=1, messages=2),
        logging.INFO,
        "the grace is over: 1 connection cut off, 2 messages waiting",
    ),
    Logged(Drained(report=REPORT), logging.INFO, str(REPORT)),
    Logged(
        Reconfigured(changed=("limits.connections", "certificates")),
        logging.INFO,
        "reconfigured: limits.connections, certificates",
    ),
    Logged(Reconfigured(changed=()), logging.INFO, "reconfigured: nothing changed"),
)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The time that the log has."""
    return Clock()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, clock: Clock) -> EventLog:
    """A log at its default level, INFO."""
    caplog.set_level(logging.INFO)
    return EventLog(clock=clock)


@pytest.mark.parametrize("row", LOGGED, ids=lambda row: type(row.event).__name__)
def test_each_event_is_one_line(row: Logged, caplog: pytest.LogCaptureFixture) -> None:
    """It goes to the logger speedo_trio, at the level that it deserves, and is on the record."""
    caplog.set_level(logging.DEBUG)

    EventLog()(row.event)

    assert caplog.record_tuples == [("speedo_trio", row.level, row.text)]
    assert vars(caplog.records[0])["event"] is row.event


def test_listening_nowhere_is_no_line(log: EventLog, caplog: pytest.LogCaptureFixture) -> None:
    """A server whose peers all come by serve_stream has no address to tell."""
    log(Listening(addresses=()))

    assert caplog.records == []


def test_connections_are_no_lines_by_default(
    log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    """What comes and goes thousands of times a second is for DEBUG."""
    log(OPENED)
    log(CLOSED)

    assert caplog.records == []


def test_what_handshakes_agreed_on_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """The proxy, TLS and the WebSocket's path; what a peer chose stays on its line."""
    caplog.set_level(logging.DEBUG)
    EventLog()(
        ConnectionOpened(
            connection=1,
            peer=PEER,
            local=LOCAL,
            proxy=ProxyInfo(proxy=LOCAL, version=2),
            tls=TLSInfo(version="TLSv1.3", cipher="AES"),
            websocket=WebSocketInfo(path="/a\nb", subprotocol=None, headers=()),
        )
    )

    assert caplog.messages[0] == (
        "connection 1 from tcp://192.0.2.7:40000: opened, by way of tcp://192.0.2.1:9292, "
        "TLSv1.3 AES, WebSocket /a\\nb"
    )


def test_the_traceback_is_that_of_our_own_errors_only(
    log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    """A handler's error comes with its traceback; a peer's, and one answered for, without."""
    for cause in (Cause.HANDLER_ERROR, Cause.PROTOCOL_ERROR):
        log(ConnectionFailed(connection=1, peer=PEER, reason=CloseReason(cause, WRONG)))
    log(FAILED)

    ours, theirs, answered = caplog.records
    assert ours.exc_info is not None
    assert ours.exc_info[1] is WRONG
    assert not theirs.exc_info
    assert not answered.exc_info


def test_at_debug_an_answered_error_has_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """Who looks for a bug sees where it was raised; the level stays WARNING."""
    caplog.set_level(logging.DEBUG)
    EventLog()(FAILED)

    assert caplog.records[0].exc_info is not None
    assert caplog.records[0].levelno == logging.WARNING


def test_what_a_peer_says_cannot_forge_a_line(
    log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    """A newline in an error's text is an escape, and a huge text is cut."""
    error = ValueError("no such key: x\n1970-01-01 ERROR the disk is full" + "x" * 100_000)
    log(ConnectionFailed(connection=1, peer=PEER, reason=CloseReason(Cause.HANDLER_ERROR, error)))
    log(MessageFailed(connection=1, peer=PEER, message="x" * 100_000, error=error))

    for line in caplog.messages:
        assert "\n" not in line
        assert len(line) < 1500


def test_a_message_whose_repr_raises_is_still_told(
    log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    """The failure is the message's, the line is the operator's."""

    class Nameless:
        def __repr__(self) -> str:
            raise RuntimeError

    log(MessageFailed(connection=1, peer=PEER, message=Nameless(), error=WRONG))

    assert "in <Nameless, whose repr() raises>: it raised" in caplog.text


@pytest.mark.parametrize("event", [REFUSED, BROKE, FAILED, LOGGED[8].event])
def test_a_flood_is_a_line_each_ten_seconds(
    event: Event, log: EventLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The first is told at once, the next after ten seconds, with the count of those between."""
    for _ in range(100):
        log(event)
    assert len(caplog.messages) == 1
    clock.now += 9.9
    log(event)
    assert len(caplog.messages) == 1
    clock.now += 0.1
    log(event)
    clock.now += 10
    log(event)

    first, second, third = caplog.messages
    assert second == f"{first}; 100 more like it since the last such line"
    assert third == first


def test_a_flood_hides_no_other_kind(log: EventLog, caplog: pytest.LogCaptureFixture) -> None:
    """Each limit and each cause has its own count."""
    for _ in range(10):
        for why in Refusal:
            log(ConnectionRefused(peer=PEER, why=why, limit=1))
        for cause in (Cause.PROTOCOL_ERROR, Cause.HANDSHAKE):
            log(ConnectionFailed(connection=1, peer=PEER, reason=CloseReason(cause)))

    assert len(caplog.messages) == len(Refusal) + 2


def test_our_own_errors_are_never_withheld(log: EventLog, caplog: pytest.LogCaptureFixture) -> None:
    """Each may be another bug."""
    for _ in range(10):
        log(ConnectionFailed(connection=1, peer=PEER, reason=CloseReason(Cause.HANDLER_ERROR)))

    assert len(caplog.messages) == 10


def test_what_was_withheld_is_told_at_the_end(
    log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    """The end of a drain tells it before its report, and only once."""
    for _ in range(3):
        log(REFUSED)
    log(Drained(report=REPORT))
    log.flush()

    assert caplog.messages[1:] == ["2 more like this: refused, limits.connections", str(REPORT)]


def test_at_debug_nothing_is_withheld(caplog: pytest.LogCaptureFixture) -> None:
    """Those of a flood are DEBUG lines."""
    caplog.set_level(logging.DEBUG)
    log = EventLog(clock=Clock())
    for _ in range(3):
        log(REFUSED)

    assert [record.levelno for record in caplog.records] == [30, 10, 10]


def test_logs_share_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """What one server withholds is not hidden by another's, nor told by it."""
    first, second = EventLog(), EventLog()
    for log in (first, second):
        log(REFUSED)

    assert len(caplog.messages) == 2


def test_another_logger(caplog: pytest.LogCaptureFixture) -> None:
    """An application may keep its servers apart."""
    EventLog(logging.getLogger("shop.stock"))(REFUSED)

    assert caplog.records[0].name == "shop.stock"


def test_a_level_that_nobody_wants_counts_nothing(
    log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    """What would not be written is not withheld either."""
    caplog.set_level(logging.ERROR, "speedo_trio")
    for _ in range(3):
        log(REFUSED)
    caplog.set_level(logging.INFO, "speedo_trio")
    log.flush()

    assert caplog.messages == []
