"""Sinks: protocols that only take. Discard throws bytes away, log tells of them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from attrs import define

from speedo_trio.protocol.framed import LineProtocol
from speedo_trio.protocol.handler import ProtocolHandler
from speedo_trio.protocol.message import Message

if TYPE_CHECKING:
    from speedo_trio.events import Address

_logger = logging.getLogger("speedo_trio.log")


class DiscardProtocol(ProtocolHandler):
    """Takes everything and answers nothing (RFC 863)."""

    def handle(self, data: bytes) -> None:
        return None


def printable(line: bytes) -> str:
    """The line as text of one line: what is no UTF-8, not printable or a backslash is escaped."""
    text = line.decode("utf-8", "surrogateescape")
    return "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character.isprintable() and character != "\\":
        return character
    if "\udc80" <= character <= "\udcff":  # a byte that is no UTF-8, by surrogateescape
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


@define
class LogMessage(Message):
    """A line to be logged, and who sent it."""

    peer: Address
    line: bytes

    def execute(self) -> None:
        _logger.info("%s: %s", self.peer, printable(self.line))


class LogProtocol(LineProtocol):
    """Writes each line to the logger ``speedo_trio.log``, at INFO, in a worker thread.

    Control characters are written as escapes, so that a peer can't forge lines of the log or
    command the terminal that shows it.
    """

    def frame(self, payload: bytes) -> LogMessage:
        return LogMessage(self.connection.peer, payload)
