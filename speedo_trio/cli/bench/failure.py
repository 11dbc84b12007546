"""Failures: what goes wrong between the load and the server, by kind."""

from __future__ import annotations

import enum
import os
import re
import socket
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


_OPENSSL = re.compile(r"^\[[^]]*\] | \(_ssl\.c:\d+\)$")
"""What Python puts around a text of OpenSSL: ``[SSL: WRONG_VERSION_NUMBER] `` and where it was."""


class Kind(enum.StrEnum):
    """The kinds that are counted."""

    REFUSED = "refused"
    RESET = "reset"
    EOF = "EOF"
    TIMEOUT = "timeout"
    WRONG = "wrong reply"
    TLS = "TLS"
    WEBSOCKET = "WebSocket"
    LOST = "lost"
    TWICE = "twice"
    DISORDER = "out of order"
    UNACKNOWLEDGED = "not acknowledged"
    OTHER = "other"


class Failure(Exception):
    """Something went wrong with a connection; the text says what, in a line."""

    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.kind: Kind = kind


_KINDS: dict[type[OSError], Kind] = {
    ConnectionRefusedError: Kind.REFUSED,
    ConnectionError: Kind.RESET,  # reset, aborted, broken pipe
    ssl.SSLError: Kind.TLS,
    TimeoutError: Kind.TIMEOUT,  # the kernel's own
    OSError: Kind.OTHER,
}
"""The first class that an error is of tells its kind."""


def failure_of(error: BaseException) -> Failure:
    """The failure that an error of the network is, told by what caused it."""
    for cause in _causes(error):
        if isinstance(cause, Failure):
            return cause
        if isinstance(cause, OSError):
            kind = next(kind for known, kind in _KINDS.items() if isinstance(cause, known))
            return Failure(kind, _text(cause))
    return Failure(Kind.OTHER, str(error) or type(error).__name__)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _text(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return _OPENSSL.sub("", str(error))
    if isinstance(error, socket.gaierror) or not error.errno:
        return error.strerror or str(error)
    return os.strerror(error.errno)  # Trio's own texts name the address; so does who tells this
