"""The session: a client's side of one stream, from its first frame to its one ending.

Next: `speedo_trio.simplepub.client`.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

import trio
from attrs import Factory, define

from speedo_trio.broker.message import TopicMessage
from speedo_trio.errors import (
    ConnectionClosed,
    ConnectionLost,
    IncompleteFrame,
    MalformedFrame,
    ProtocolError,
)
from speedo_trio.pubsub.topics import check_name
from speedo_trio.simplepub.frames import (
    FrameReader,
    FrameType,
    decode_filters,
    decode_pub,
    decode_reason,
    encode_disconnect,
)
from speedo_trio.simplepub.inbox import Inbox
from speedo_trio.simplepub.sender import Sender
from speedo_trio.simplepub.target import why

if TYPE_CHECKING:
    from collections.abc import Callable

GOODBYE_SECONDS: Final = 1.0
"""How long the end of a connection may take: for the server to do what was sent before and close,
or for its last words after it stopped listening. Over a network that works it is far less."""
_READ_BYTES: Final = 65_536


@define(eq=False)
class _Request:
    """A SUB or UNSUB that the server is to answer with the same frame."""

    frame: bytes
    answered: bool = False
    over: trio.Event = Factory(trio.Event)


class Session:
    """What a client does over its stream.

    `read` must run in a task. All ends go through `finish`; the first one counts, and closes the
    stream.
    """

    __slots__ = (*("_end", "_finished", "_inbox", "_reading", "_requests", "_sender", "_stream"),)

    def __init__(self, stream: trio.abc.Stream, buffer: int) -> None:
        self._stream = stream
        self._sender = Sender(stream)
        self._inbox = Inbox(buffer)
        self._requests: deque[_Request] = deque()  # in the order in which they were sent
        self._reading = trio.CancelScope(shield=True)  # `finish` cancels it, and nobody else
        self._end: ConnectionClosed | ProtocolError | None = None
        self._finished = trio.Event()

    # What calls do

    async def send(self, frame: bytes, before: Callable[[], None] | None = None) -> None:
        """Send a frame, as `Sender.send` does.

        Raises:
            ConnectionClosed: the session has ended; or another error, with which it did.
        """
        self._see_whether_it_ended()
        try:
            await self._sender.send(frame, before)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            await self._hear_last_words(error)
            self._see_whether_it_ended()
        except BaseException:
            if self._sender.broken:
                self.finish(ConnectionClosed("a call was cancelled in the middle of its frame"))
            raise

    async def ask(self, frame: bytes) -> None:
        """Send a SUB or UNSUB and wait for its answer. After a cancel it may have been done.

        Raises:
            ConnectionClosed: as `send`.
        """
        request = _Request(frame)
        with self._inbox.hurry():
            await self.send(frame, partial(self._requests.append, request))
            await request.over.wait()
        if not request.answered:
            self._see_whether_it_ended()

    async def take(self) -> TopicMessage:
        """Wait for the next message.

        Raises:
            ConnectionClosed: as `send`, after the last message that came before.
        """
        message = await self._inbox.take()
        if message is None:
            self._see_whether_it_ended()
            raise AssertionError("an inbox is closed by the end")
        return message

    # The end

    async def leave(self) -> None:
        """Say goodbye, and wait for a moment until the server has done all and closes."""
        if self._end is not None:
            return
        self._inbox.discard()
        with trio.move_on_after(GOODBYE_SECONDS):
            try:
                await self._sender.send(encode_disconnect())
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return
            await self._finished.wait()

    def close(self) -> None:
        """End the session, if nothing else has; `read` then closes the stream and returns."""
        self.finish(ConnectionClosed("this client has left its block"))

    def finish(self, error: ConnectionClosed | ProtocolError) -> None:
        """End the session: all calls that wait, and all later ones, raise that error."""
        if self._end is not None:
            return
        self._end = error.with_traceback(None)  # its frames would keep data alive
        self._finished.set()
        self._inbox.close()
        self._reading.cancel()
        for request in self._requests:
            request.over.set()
        self._requests.clear()

    def _see_whether_it_ended(self) -> None:
        if self._end is not None:  # a new one: raised again it would drag its traceback along
            raise type(self._end)(*self._end.args) from self._end.__cause__

    async def _hear_last_words(self, error: Exception) -> None:
        """What can't be sent any more may be explained by what is still to be read."""
        with self._inbox.hurry(), trio.move_on_after(GOODBYE_SECONDS):
            await self._finished.wait()
        self.finish(_lost(error))

    # Reading

    async def read(self) -> None:
        """Read until the end, then close the stream. Only `finish` ends it early.

        So it doesn't end by a cancel from outside: the block that it serves does, and finishes it.
        """
        try:
            with self._reading:
                self.finish(await self._read_frames())
        finally:
            with trio.move_on_after(GOODBYE_SECONDS, shield=True) as closing:
                if self._reading.cancelled_caught:
                    closing.cancel()  # forcefully: without TLS's own goodbye
                await self._stream.aclose()

    async def _read_frames(self) -> ConnectionClosed | ProtocolError:
        """Read until something ends it; what that was."""
        frames = FrameReader()
        try:
            while True:
                await self._inbox.room()
                data = await self._stream.receive_some(_READ_BYTES)
                if not data:
                    frames.eof()
                    return ConnectionLost("the server closed the connection without a reason")
                for frame in frames.feed(bytes(data)):
                    self._take(frame)
        except (trio.BrokenResourceError, trio.ClosedResourceError, IncompleteFrame) as error:
            return _lost(error)
        except (ConnectionClosed, ProtocolError) as error:
            return error

    def _take(self, frame: bytes) -> None:
        kind = frame[0]
        if kind == FrameType.PUB:
            topic, body, retain = decode_pub(frame)
            check_name(topic)
            self._inbox.put(TopicMessage(topic.decode(), body, retain))
        elif kind == FrameType.DISCONNECT:
            reason = decode_reason(frame)
            text = "the server closed the connection"
            raise ConnectionClosed(f"{text}: {reason}" if reason else text)
        else:
            self._answer(frame)

    def _answer(self, frame: bytes) -> None:
        if not self._requests or self._requests[0].frame != frame:
            raise self._no_answer(frame)
        request = self._requests.popleft()
        request.answered = True
        request.over.set()

    def _no_answer(self, frame: bytes) -> ProtocolError:
        """The error of a SUB or UNSUB that is not the answer to what was asked."""
        decode_filters(frame)  # if it raises, it has more to tell
        seen = FrameType(frame[0]).name
        if not self._requests:
            return MalformedFrame(f"an answer {seen}, and nothing was asked")
        asked = FrameType(self._requests[0].frame[0]).name
        return MalformedFrame(f"an answer {seen} that is not the request {asked} again")


def _lost(error: Exception) -> ConnectionLost:
    lost = ConnectionLost(f"the connection broke: {why(error)}")
    lost.__cause__ = error.with_traceback(None)
    return lost
