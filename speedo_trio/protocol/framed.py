"""Protocols whose messages are frames: give a framer and turn frames into messages.

Next: `speedo_trio.echo`, the smallest complete protocol.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from speedo_trio.protocol.framing import LineFramer
from speedo_trio.protocol.handler import ProtocolHandler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from speedo_trio.protocol.framing import Framer
    from speedo_trio.protocol.handler import Connection, Messages
    from speedo_trio.protocol.message import Message


class FramedProtocol(ProtocolHandler):
    """A protocol whose messages and replies are the frames of one `Framer`.

    Subclasses say which framer (`make_framer`) and what a frame means (`frame`). Replies are
    encoded by the same framer; `Connection.write` sends bytes as they are, so encode what you
    push with ``self.framer.encode``.
    """

    framer: Framer

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.framer = self.make_framer()

    @abstractmethod
    def make_framer(self) -> Framer:
        """The framer of this connection; called once, when the handler is made."""

    @abstractmethod
    def frame(self, payload: bytes) -> Message | None:
        """The message that a frame stands for, or None when it needs none.

        Raises:
            ProtocolError: the frame is not allowed; earlier frames are still executed and
                answered, then the connection closes.
        """

    def handle(self, data: bytes) -> Messages:
        return self._messages(self.framer.feed(data))

    def _messages(self, frames: Iterable[bytes]) -> Iterator[Message]:
        frame = self.frame
        for payload in frames:
            message = frame(payload)
            if message is not None:
                yield message

    def eof(self) -> Messages:
        """Raises `IncompleteFrame` when the stream ended inside a frame."""
        self.framer.eof()
        return None

    def encoder(self) -> Callable[[bytes], bytes] | None:
        return self.framer.encode


class LineProtocol(FramedProtocol):
    r"""A protocol of lines: ``\n`` ends one, ``\r\n`` is accepted, replies end with ``\n``.

    `frame` gets each line without its end; replies get theirs. A reply that holds a newline is
    refused, since the peer would see two replies in it.
    """

    limit: ClassVar[int] = 65536
    """The longest line allowed, in bytes without its end."""

    def make_framer(self) -> Framer:
        return LineFramer(limit=self.limit)
