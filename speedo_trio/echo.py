"""Echo: every line comes back. The smallest complete protocol; copy this file to start yours."""

from __future__ import annotations

from attrs import define

from speedo_trio.protocol.framed import FramedProtocol
from speedo_trio.protocol.framing import DelimiterFramer
from speedo_trio.protocol.message import Message


@define
class EchoMessage(Message):
    """One line to send back."""

    line: bytes

    def execute(self) -> bytes:
        return self.line


class EchoProtocol(FramedProtocol):
    """Sends each line back as it came; a carriage return before the newline is part of it."""

    def make_framer(self) -> DelimiterFramer:
        return DelimiterFramer(b"\n")

    def frame(self, payload: bytes) -> EchoMessage:
        return EchoMessage(payload)
