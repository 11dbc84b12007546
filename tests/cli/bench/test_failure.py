"""Failures: the kind and the text of what the network raises."""

from __future__ import annotations

import errno
import socket
import ssl

import pytest
import trio

from speedo_trio.cli.bench.failure import Failure, Kind, failure_of
from speedo_trio.errors import ConnectionLost

ERRORS = [
    (OSError(errno.ECONNREFUSED, "x"), Kind.REFUSED, "Connection refused"),
    (OSError(errno.ECONNRESET, "x"), Kind.RESET, "Connection reset by peer"),
    (OSError(errno.EPIPE, "x"), Kind.RESET, "Broken pipe"),
    (OSError(errno.ETIMEDOUT, "x"), Kind.TIMEOUT, "Connection timed out"),
    (OSError(errno.EHOSTUNREACH, "x"), Kind.OTHER, "No route to host"),
    (OSError("AF_UNIX path too long"), Kind.OTHER, "AF_UNIX path too long"),
    (socket.gaierror(socket.EAI_NONAME, "Unknown name"), Kind.OTHER, "Unknown name"),
    (ssl.SSLError(1, "[SSL: ODD] odd (_ssl.c:1)"), Kind.TLS, "odd"),
    (UnicodeError("label too long"), Kind.OTHER, "label too long"),
    (trio.BrokenResourceError(), Kind.OTHER, "BrokenResourceError"),
    (Failure(Kind.EOF, "the end"), Kind.EOF, "the end"),
]


@pytest.mark.parametrize(("error", "kind", "text"), ERRORS)
def test_an_error_has_its_kind(error: BaseException, kind: Kind, text: str) -> None:
    """Told in the words of the system, without the numbers and names that it puts around."""
    failure = failure_of(error)

    assert (failure.kind, str(failure)) == (kind, text)


def test_the_cause_tells() -> None:
    """What Trio and the wires raise is told by what made them do it."""
    broken = trio.BrokenResourceError("socket connection broken: x")
    broken.__cause__ = ConnectionResetError(errno.ECONNRESET, "x")
    lost = ConnectionLost("lost")
    lost.__cause__ = broken

    assert failure_of(lost).kind is Kind.RESET
    assert str(failure_of(lost)) == "Connection reset by peer"
