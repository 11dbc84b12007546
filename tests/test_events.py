"""Events: how addresses, reasons and reports read."""

from __future__ import annotations

from typing import get_args

import attrs
import pytest

from speedo_trio.errors import FrameTooLong
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
    Reconfigured,
    Refusal,
    StoreFailed,
    StoreRecovered,
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


EVENTS = (
    Listening(addresses=(PEER,)),
    AcceptFailed(address=PEER, error=OSError(24, "Too many open files"), retry_in=0.1),
    ConnectionRefused(peer=PEER, why=Refusal.FULL, limit=2),
    ConnectionOpened(connection=1, peer=PEER, local=PEER),
    ConnectionEnded(
        connection=1,
        peer=PEER,
        reason=CloseReason(Cause.EOF),
        received=1,
        sent=2,
        messages=3,
        seconds=4.0,
    ),
    ConnectionFailed(connection=1, peer=PEER, reason=CloseReason(Cause.HANDLER_ERROR)),
    MessageFailed(connection=1, peer=PEER, message="the message", error=ValueError()),
    MessageDropped(subscriber="application", dropped=1),
    StoreFailed(store="mqtt.db", error=OSError(28, "No space left on device")),
    StoreRecovered(store="mqtt.db"),
    DrainStarted(connections=5, grace=1.5),
    GraceOver(connections=1, messages=2),
    Drained(report=CLEAN),
    Reconfigured(changed=("limits.connections",)),
)


def test_every_event_is_here() -> None:
    """A new event must be added."""
    assert {type(event) for event in EVENTS} == set(get_args(Event))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_events_are_frozen(event: Event) -> None:
    """An observer can keep an event; nobody changes it."""
    name = attrs.fields(type(event))[0].name

    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(event, name, None)
