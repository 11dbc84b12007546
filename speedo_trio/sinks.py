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


@define
class LogMessage(Message):
    """A line to be logged, and who sent it."""

    peer: Address
    line: bytes

    def execute(self) -> None:
        _logger.info("%s: %s", self.peer, self.line.decode("utf-8", "backslashreplace"))


class LogProtocol(LineProtocol):
    """Writes each line to the logger ``speedo_trio.log``, at INFO, in a worker thread.

    Control characters are written as escapes, so that a peer can't forge lines of the log.
    """

    def frame(self, payload: bytes) -> LogMessage:
        return LogMessage(self.connection.peer, payload)
