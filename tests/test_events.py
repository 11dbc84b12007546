"""Events: how addresses, reasons and reports read, and what the default observer logs."""

from __future__ import annotations

import logging
from typing import NamedTuple

import attrs
import pytest

from speedo_trio.errors import FrameTooLong
from speedo_trio.events import (
    AcceptFailed,
    Address,
    Cause,
    CloseReason,
    ConnectionFailed,
    ConnectionRefused,
    Drained,
    DrainReport,
    DrainStarted,
    Event,
    Listening,
    Refusal,
    log_event,
)

PEER = Address("tcp", host="192.0.2.7", port=40_000)
CLEAN = DrainReport(
    connections=3,
    executed=20,
    dropped_messages=0,
    dropped_bytes=0,
    cut_connections=0,
    abandoned_threads=0,
    seconds=0.125,
)
WRONG = RuntimeError("went wrong")


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (Address("tcp", host="127.0.0.1", port=9292), "tcp://127.0.0.1:9292"),
        (Address("tcp", host="::1", port=9292), "tcp://[::1]:9292"),
        (Address("tcp", host="::", port=0), "tcp://[::]:0"),
        (Address("unix", path="/run/speedo.sock"), "unix:/run/speedo.sock"),
        (Address("unix"), "unix:"),
        (Address("stream"), "stream:"),
    ],
)
def test_addresses_read_as_binds(address: Address, text: str) -> None:
    """str() gives an address as a bind URL would."""
    assert str(address) == text


def test_addresses_are_values() -> None:
    """Equal ends are equal and can be counted."""
    assert {Address("tcp", "::1", 1): 2}[Address("tcp", host="::1", port=1)] == 2


@pytest.mark.parametrize("cause", Cause)
def test_reason_without_error_is_its_cause(cause: Cause) -> None:
    """A sentence for each cause."""
    assert str(CloseReason(cause)) == cause.value


def test_reason_tells_its_error() -> None:
    """The cause, then the error's class and text."""
    reason = CloseReason(Cause.PROTOCOL_ERROR, FrameTooLong("9 bytes; allowed are 8"))

    assert str(reason) == "the peer broke the protocol: FrameTooLong: 9 bytes; allowed are 8"


def test_report_without_losses_is_clean() -> None:
    """Its text says so."""
    assert CLEAN.clean
    assert str(CLEAN) == ("drained 3 connections in 0.12 s, 20 messages executed, nothing dropped")


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("dropped_messages", "dropped 7 messages"),
        ("dropped_bytes", "7 bytes of replies"),
        ("cut_connections", "cut 7 connections"),
        ("abandoned_threads", "abandoned 7 threads"),
    ],
)
def test_each_loss_is_told(field: str, text: str) -> None:
    """One loss of any kind makes the report unclean, and its text has the number."""
    report = attrs.evolve(CLEAN, **{field: 7})

    assert not report.clean
    assert text in str(report)


class Logged(NamedTuple):
    """An event and the line of log that it makes."""

    event: Event
    level: int
    text: str


LOGGED = (
    Logged(
        Listening(addresses=(PEER, Address("unix", path="/s"))),
        logging.INFO,
        "listening on tcp://192.0.2.7:40000, unix:/s",
    ),
    Logged(
        ConnectionFailed(
            connection=4,
            peer=PEER,
            reason=CloseReason(Cause.PROTOCOL_ERROR, FrameTooLong("too long")),
        ),
        logging.INFO,
        "connection 4 from tcp://192.0.2.7:40000: "
        "the peer broke the protocol: FrameTooLong: too long",
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
        AcceptFailed(address=PEER, error=OSError(24, "Too many open files"), retry_in=0.1),
        logging.WARNING,
        "tcp://192.0.2.7:40000: accept failed, next try in 0.1 s: [Errno 24] Too many open files",
    ),
    Logged(
        ConnectionRefused(peer=PEER, why=Refusal.FULL, limit=2),
        logging.WARNING,
        "connection from tcp://192.0.2.7:40000 refused: limits.connections is 2",
    ),
    Logged(
        DrainStarted(connections=5, grace=1.5), logging.INFO, "draining 5 connections, grace 1.5 s"
    ),
    Logged(Drained(report=CLEAN), logging.INFO, str(CLEAN)),
)


@pytest.mark.parametrize("row", LOGGED, ids=lambda row: type(row.event).__name__)
def test_log_event(row: Logged, caplog: pytest.LogCaptureFixture) -> None:
    """Each event is one line on the logger speedo_trio, at the level that it deserves."""
    caplog.set_level(logging.DEBUG)

    log_event(row.event)

    assert caplog.record_tuples == [("speedo_trio", row.level, row.text)]


def test_log_has_the_traceback_of_our_own_errors_only(caplog: pytest.LogCaptureFixture) -> None:
    """A handler's error comes with its traceback, a peer's without."""
    caplog.set_level(logging.DEBUG)
    for cause in (Cause.HANDLER_ERROR, Cause.PROTOCOL_ERROR):
        log_event(ConnectionFailed(connection=1, peer=PEER, reason=CloseReason(cause, WRONG)))

    ours, theirs = caplog.records
    assert ours.exc_info is not None
    assert ours.exc_info[1] is WRONG
    assert not theirs.exc_info


@pytest.mark.parametrize("row", LOGGED, ids=lambda row: type(row.event).__name__)
def test_events_are_frozen(row: Logged) -> None:
    """An observer can keep an event; nobody changes it."""
    name = attrs.fields(type(row.event))[0].name

    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(row.event, name, None)
